// Trigonometric and hyperbolic functions and their inverses as formulas of exp, log, tanh, sin and
// cos. Half types are computed in float. Each is good to a few units in the last place, for all
// arguments but Tan's large ones (where sin and cos are not): the spellings avoid the differences
// of nearly equal numbers that the textbook's have, and intermediate results that overflow where
// the function does not.
#include <cmath>
#include <numbers>

#include "compiler/import/onnx_node.h"
#include "compiler/import/terms.h"

namespace sylvite {
namespace {

constexpr double kHalfPi = std::numbers::pi / 2;
// From here on x^2 + 1 is x^2 in float and in double, and x^2 does not yet overflow.
constexpr double kLarge = 1e9;

template <Term (*formula)(Term)>
void function(OnnxNode &node) {
  Value *const x = node.input(0);
  node.set_output(0, node.cast(formula({node, widened(node, x)}).value, x->type.dtype));
}

Term absolute(Term x) {
  return apply(Op::Abs, x);
}
Term root(Term x) {
  return apply(Op::Sqrt, x);
}

// f(|x|) with the sign of x, for f(0) = 0: also of -0
Term odd(Term x, Term of_absolute) {
  return where(x == 0, x, where_negative(x, apply(Op::Neg, of_absolute), of_absolute));
}

// log(1 + x); a small x is not lost in the sum (Kahan).
Term log_plus_one(Term x) {
  const Term sum = x + 1.0;
  const Term logarithm = apply(Op::Log, sum);
  const Term corrected = logarithm * (x / (sum - 1.0));
  return where(x < 1, where(sum == 1, x, corrected), logarithm);
}

// log(2 x)
Term log_of_twice(Term x) {
  return apply(Op::Log, x) + std::numbers::ln2;
}

// tan(x)  =>  sin(x) / cos(x)
Term tangent(Term x) {
  return apply(Op::Sin, x) / apply(Op::Cos, x);
}

// Brought to |t| <= tan(pi/8) by atan(x) = pi/2 - atan(1/x) = pi/4 + atan((x-1)/(x+1)); there
// t + t^3 P(t^2), a fit whose relative error is 2e-8.
Term arc_tangent(Term x) {
  if (x.value->type.dtype == DType::F64) {
    x.node.fail("is not supported in float64: export the model in float32");
  }
  const double eighth = std::tan(std::numbers::pi / 8);
  const Term a = absolute(x);
  const Term large = apply(Op::Less, number(a, 1 / eighth), a);
  const Term small = apply(Op::LessEqual, a, number(a, eighth));
  const Term t = where(large, -1.0 / a, where(small, a, (a - 1.0) / (a + 1.0)));
  const Term base =
      where(large, number(a, kHalfPi), where(small, number(a, 0), number(a, kHalfPi / 2)));
  const Term s = t * t;
  const Term p = ((s * 0.08059821277856827 - 0.1387971043586731) * s + 0.19977913796901703) * s -
                 0.33332955837249756;
  return odd(x, base + (t + t * s * p));
}

// asin(x)  =>  atan(x / sqrt((1 - x) (1 + x)))
Term arc_sine(Term x) {
  return arc_tangent(x / root((1.0 - x) * (x + 1.0)));
}

// acos(x)  =>  2 atan(sqrt((1 - x) / (1 + x)))
Term arc_cosine(Term x) {
  return arc_tangent(root((1.0 - x) / (x + 1.0))) * 2;
}

// (e^x + e^-x) / 2 by f = e^(|x|/2), which overflows for no result that does not. f / 2 is read
// twice: (f / 2) f with nothing else to read it would become f f / 2 (passes/simplify_arithmetic).
Term hyperbolic_cosine(Term x) {
  const Term f = apply(Op::Exp, absolute(x) * 0.5);
  const Term half = f * 0.5;
  return half * f + 0.25 / half / f;
}

// sinh(x)  =>  tanh(x / 2) (cosh(x) + 1)
Term hyperbolic_sine(Term x) {
  return apply(Op::Tanh, x * 0.5) * (hyperbolic_cosine(x) + 1.0);
}

// log(x + sqrt(x^2 + 1))  =>  log1p(x + x^2 / (1 + sqrt(x^2 + 1))) for x >= 0
Term inverse_hyperbolic_sine(Term x) {
  const Term a = absolute(x);
  const Term square = a * a;
  const Term usual = log_plus_one(a + square / (root(square + 1.0) + 1.0));
  return odd(x, where(a < kLarge, usual, log_of_twice(a)));
}

// log(x + sqrt(x^2 - 1))  =>  log1p(t + sqrt(t) sqrt(x + 1)), t = x - 1
Term inverse_hyperbolic_cosine(Term x) {
  const Term t = x - 1.0;
  const Term usual = log_plus_one(t + root(t) * root(x + 1.0));
  return where(x < kLarge, usual, log_of_twice(x));
}

// log((1 + x) / (1 - x)) / 2  =>  log1p(2 x / (1 - x)) / 2 for x >= 0
Term inverse_hyperbolic_tangent(Term x) {
  const Term a = absolute(x);
  return odd(x, log_plus_one((a + a) / (1.0 - a)) * 0.5);
}

constexpr OpRule kRules[] = {
    {"Acos", 22, function<arc_cosine>},
    {"Acosh", 22, function<inverse_hyperbolic_cosine>},
    {"Asin", 22, function<arc_sine>},
    {"Asinh", 22, function<inverse_hyperbolic_sine>},
    {"Atan", 22, function<arc_tangent>},
    {"Atanh", 22, function<inverse_hyperbolic_tangent>},
    {"Cosh", 22, function<hyperbolic_cosine>},
    {"Sinh", 22, function<hyperbolic_sine>},
    {"Tan", 22, function<tangent>},
};

}  // namespace

std::span<const OpRule> trigonometry_rules() {
  return kRules;
}

}  // namespace sylvite
