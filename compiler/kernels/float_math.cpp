// Polynomials in Horner form over explicit fma. The coefficients are our own fits: Taylor for exp,
// a relative minimax rational in x^2 for erf and tanh (no exp inside: 11 and 9 fma and one
// division), Chebyshev fits for log, sin and cos. All rational coefficients are positive, so that
// no step cancels. In double the series of exp and of the inverse hyperbolic tangent as they are:
// longer than a fit, but few models compute in double at all.
#include "compiler/kernels/float_math.h"

#include <initializer_list>
#include <limits>
#include <sstream>

#include "compiler/ir/error.h"
#include "compiler/kernels/float_conversions.h"

namespace sylvite {
namespace {

using Halide::Expr;
using Halide::select;

Expr constant(float value) {
  return Expr(value);
}
Expr constant_f64(double value) {
  return Halide::Internal::FloatImm::make(Halide::Float(64), value);
}
// A constant of x's type.
Expr like(const Expr &x, double value) {
  return Halide::Internal::FloatImm::make(
      x.type(), x.type().bits() == 32 ? static_cast<float>(value) : value);
}
Expr add(const Expr &a, const Expr &b) {
  return exact(a + b);
}
Expr sub(const Expr &a, const Expr &b) {
  return exact(a - b);
}
Expr mul(const Expr &a, const Expr &b) {
  return exact(a * b);
}
Expr less(const Expr &a, const Expr &b) {
  return exact(a < b);
}

// Coefficients from the highest power down.
Expr horner(const Expr &x, std::initializer_list<float> coefficients) {
  Expr sum;
  for (float coefficient : coefficients) {
    sum = sum.defined() ? exact_fma(sum, x, constant(coefficient)) : constant(coefficient);
  }
  return sum;
}

// NaN stays NaN: both comparisons are false.
Expr clamp_keeping_nan(const Expr &x, float low, float high) {
  const Expr raised = select(less(x, constant(low)), constant(low), x);
  return select(less(constant(high), raised), constant(high), raised);
}

Expr horner_f64(const Expr &x, std::initializer_list<double> coefficients) {
  Expr sum;
  for (double coefficient : coefficients) {
    const Expr next = constant_f64(coefficient);
    sum = sum.defined() ? exact_fma(sum, x, next) : next;
  }
  return sum;
}

// 2^n for whole n in [-126, 127], of a double in [-1022, 1023].
Expr power_of_two(const Expr &n) {
  if (n.type().bits() == 64) {
    const Expr biased = Halide::cast<int64_t>(Halide::cast<int32_t>(n) + 1023);
    return Halide::reinterpret<double>(biased << Halide::cast<int64_t>(52));
  }
  return Halide::reinterpret<float>((Halide::cast<int32_t>(n) + 127) << 23);
}

// p * 2^n for whole n, in two halves, so that results may be denormal or overflow. A float that may
// be NaN must not be converted to an integer: p is NaN already.
Expr scaled_by_power(const Expr &p, const Expr &n) {
  const Expr whole = select(less(absolute(n), like(n, 2000)), n, like(n, 0));
  const Expr half = Halide::round(mul(whole, like(n, 0.5)));
  return mul(mul(p, power_of_two(half)), power_of_two(sub(whole, half)));
}

}  // namespace

Expr exact_fma(const Expr &a, const Expr &b, const Expr &c) {
  const Halide::Type type = a.type();
  return Halide::Internal::Call::make(type, type.bits() == 64 ? "llvm.fma.f64" : "llvm.fma.f32",
                                      {a, b, c}, Halide::Internal::Call::PureExtern);
}

// Of the operation on top alone: Halide's strict_float copies the whole tree below, and values that
// a formula reads twice would be two trees from then on.
Expr exact(const Expr &e) {
  using namespace Halide::Internal;  // NOLINT(google-build-using-namespace): its nodes
  if (is_const(e)) {
    return e;
  }
  const auto strict = [&](Call::IntrinsicOp op, const Expr &a, const Expr &b) {
    return Call::make(e.type(), op, {a, b}, Call::PureIntrinsic);
  };
  if (const auto *op = e.as<Add>()) {
    return strict(Call::strict_add, op->a, op->b);
  }
  if (const auto *op = e.as<Sub>()) {
    return strict(Call::strict_sub, op->a, op->b);
  }
  if (const auto *op = e.as<Mul>()) {
    return strict(Call::strict_mul, op->a, op->b);
  }
  if (const auto *op = e.as<Div>()) {
    return strict(Call::strict_div, op->a, op->b);
  }
  if (const auto *op = e.as<LT>()) {
    return strict(Call::strict_lt, op->a, op->b);
  }
  if (const auto *op = e.as<GT>()) {
    return strict(Call::strict_lt, op->b, op->a);
  }
  if (const auto *op = e.as<EQ>()) {
    return strict(Call::strict_eq, op->a, op->b);
  }
  if (const auto *op = e.as<NE>()) {
    return !strict(Call::strict_eq, op->b, op->a);
  }
  std::ostringstream text;
  text << "no exact form of " << e;
  SYLVITE_CHECK(false, text.str());
}

Expr is_nan_exact(const Expr &x) {
  return exact(x != x);
}

Expr max_nan(const Expr &a, const Expr &b) {
  if (Halide::Internal::is_const(b)) {
    return select(less(a, b), b, a);
  }
  if (Halide::Internal::is_const(a)) {
    return select(less(b, a), a, b);
  }
  return select(is_nan_exact(a), a, select(less(b, a), a, b));
}

Expr min_nan(const Expr &a, const Expr &b) {
  if (Halide::Internal::is_const(b)) {
    return select(less(b, a), b, a);
  }
  if (Halide::Internal::is_const(a)) {
    return select(less(a, b), a, b);
  }
  return select(is_nan_exact(a), a, select(less(a, b), a, b));
}

// x = n ln 2 + r with |r| <= ln 2 / 2.
Expr exp_f32(const Expr &x) {
  const Expr y = clamp_keeping_nan(x, -104.0f, 89.0f);
  const Expr n = Halide::round(mul(y, constant(1.44269504088896341f)));
  Expr r = exact_fma(n, constant(-0.693145751953125f), y);
  r = exact_fma(n, constant(-1.42860682030941723212e-6f), r);
  const Expr p = horner(r, {1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f});
  return scaled_by_power(p, n);
}

Expr exp_f64(const Expr &x) {
  const Expr low = constant_f64(-746), high = constant_f64(710);
  const Expr raised = select(less(x, low), low, x);
  const Expr y = select(less(high, raised), high, raised);
  const Expr n = Halide::round(mul(y, constant_f64(1.4426950408889634074)));
  Expr r = exact_fma(n, constant_f64(-0x1.62e42feep-1), y);
  r = exact_fma(n, constant_f64(-0x1.a39ef35793c76p-33), r);
  const Expr p = horner_f64(
      r, {1.0 / 6227020800, 1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880,
          1.0 / 40320, 1.0 / 5040, 1.0 / 720, 1.0 / 120, 1.0 / 24, 1.0 / 6, 0.5, 1.0, 1.0});
  return scaled_by_power(p, n);
}

// x = 2^n m with m in [sqrt(1/2), sqrt(2)); log m = r + r^2 P(r), r = m - 1.
Expr log_f32(const Expr &x) {
  const float infinity = std::numeric_limits<float>::infinity();
  const Expr tiny = less(x, constant(0x1p-126f));
  const Expr scaled = select(tiny, mul(x, constant(0x1p23f)), x);
  const Expr bits = Halide::reinterpret<int32_t>(scaled);
  const Expr shifted = bits - 0x3f3504f3;  // the bits of sqrt(1/2)
  const Expr n =
      sub(Halide::cast<float>(shifted >> 23), select(tiny, constant(23.0f), constant(0.0f)));
  const Expr r = sub(Halide::reinterpret<float>((shifted & 0x7fffff) + 0x3f3504f3), constant(1.0f));
  const Expr p = horner(r, {-0.07866667956113815f, 0.12821748852729797f, -0.131016343832016f,
                            0.1418900042772293f, -0.1662759929895401f, 0.2000196874141693f,
                            -0.2500077188014984f, 0.33333322405815125f, -0.4999999701976776f});
  const Expr log_m = exact_fma(mul(r, r), p, r);
  Expr result = exact_fma(n, constant(1.42860682030941723212e-6f), log_m);
  result = exact_fma(n, constant(0.693145751953125f), result);
  result = select(exact(x == constant(infinity)), constant(infinity), result);
  result = select(exact(x == constant(0.0f)), constant(-infinity), result);
  const Expr nan = constant(std::numeric_limits<float>::quiet_NaN());
  return select(less(x, constant(0.0f)) || is_nan_exact(x), nan, result);
}

// As above; log m = 2 artanh(s), s = (m - 1) / (m + 1), |s| <= 0.172.
Expr log_f64(const Expr &x) {
  const auto integer = [](int64_t value) {
    return Halide::Internal::IntImm::make(Halide::Int(64), value);
  };
  const double infinity = std::numeric_limits<double>::infinity();
  const Expr zero = constant_f64(0), one = constant_f64(1);
  const Expr tiny = less(x, constant_f64(0x1p-1022));
  const Expr scaled = select(tiny, mul(x, constant_f64(0x1p54)), x);
  const Expr root_half = integer(0x3fe6a09e667f3bcd);  // the bits of sqrt(1/2)
  const Expr shifted = Halide::reinterpret<int64_t>(scaled) - root_half;
  const Expr exponent = Halide::cast<int32_t>(shifted >> integer(52));
  const Expr n = sub(Halide::cast<double>(exponent), select(tiny, constant_f64(54), zero));
  const Expr m = Halide::reinterpret<double>((shifted & integer(0xfffffffffffff)) + root_half);
  const Expr s = exact(sub(m, one) / add(m, one));
  const Expr t = mul(s, s);
  const Expr p = horner_f64(t, {2.0 / 23, 2.0 / 21, 2.0 / 19, 2.0 / 17, 2.0 / 15, 2.0 / 13,
                                2.0 / 11, 2.0 / 9, 2.0 / 7, 2.0 / 5, 2.0 / 3});
  const Expr log_m = exact_fma(mul(s, t), p, mul(constant_f64(2), s));
  Expr result = exact_fma(n, constant_f64(0x1.a39ef35793c76p-33), log_m);
  result = exact_fma(n, constant_f64(0x1.62e42feep-1), result);
  result = select(exact(x == constant_f64(infinity)), constant_f64(infinity), result);
  result = select(exact(x == zero), constant_f64(-infinity), result);
  const Expr nan = constant_f64(std::numeric_limits<double>::quiet_NaN());
  return select(less(x, zero) || is_nan_exact(x), nan, result);
}

Expr erf_f32(const Expr &x) {
  const Expr y = clamp_keeping_nan(x, -3.95f, 3.95f);
  const Expr s = mul(y, y);
  const Expr p = horner(s, {2.0258271433704067e-06f, 0.00028467856463976204f, 0.003808074165135622f,
                            0.052875179797410965f, 0.19154927134513855f, 1.1283791065216064f});
  const Expr q = horner(s, {3.783047213801183e-05f, 0.0011706905206665397f, 0.015054930932819843f,
                            0.11455907672643661f, 0.5030887722969055f, 1.0f});
  return clamp_keeping_nan(exact(mul(y, p) / q), -1.0f, 1.0f);
}

Expr tanh_f32(const Expr &x) {
  const Expr y = clamp_keeping_nan(x, -9.0f, 9.0f);
  const Expr s = mul(y, y);
  const Expr p = horner(s, {1.3354913619423314e-08f, 2.0609304556273855e-05f, 0.003495603334158659f,
                            0.1338103860616684f, 1.0f});
  const Expr q = horner(s, {7.776673101034248e-07f, 0.00032856586039997637f, 0.02587704174220562f,
                            0.46714353561401367f, 1.0f});
  return clamp_keeping_nan(exact(mul(y, p) / q), -1.0f, 1.0f);
}

// t = e^-2|x| - 1 without cancellation, (u - 1) y / log u with u = e^y (Kahan); -t / (t + 2).
Expr tanh_f64(const Expr &x) {
  const Expr one = constant_f64(1);
  const Expr y = mul(absolute(x), constant_f64(-2));
  const Expr u = exp_f64(y);
  const Expr exact_enough = exact(u == one) || less(y, constant_f64(-40));
  const Expr less_one = sub(u, one);
  const Expr quotient =
      exact(mul(less_one, y) / log_f64(select(exact_enough, constant_f64(0.5), u)));
  const Expr t = select(less(y, constant_f64(-40)), less_one, exact(u == one), y, quotient);
  const Expr result = exact(mul(t, constant_f64(-1)) / add(t, constant_f64(2)));
  const Expr zero = constant_f64(0);  // of either sign
  return select(is_nan_exact(x) || exact(x == zero), x, less(x, zero),
                mul(result, constant_f64(-1)), result);
}

namespace {

// sin(x + quarters * pi / 2): x = n pi/2 + r, |r| <= pi/4, pi/2 in three parts (Cody and Waite).
Expr sine_of(const Expr &x, int quarters) {
  const Expr usable = select(less(absolute(x), constant(1e9f)), x, constant(0.0f));
  const Expr n = Halide::round(mul(usable, constant(0.636619772367581343f)));
  Expr r = exact_fma(n, constant(-1.5707962512969971f), usable);
  r = exact_fma(n, constant(-7.5497894158615964e-08f), r);
  r = exact_fma(n, constant(-5.3903029534742384e-15f), r);
  const Expr s = mul(r, r);
  const Expr sine =
      exact_fma(mul(mul(s, r), horner(s, {2.724996420511161e-06f, -0.00019840087043121457f,
                                          0.008333331905305386f, -0.1666666716337204f})),
                constant(1.0f), r);
  const Expr cosine = add(exact_fma(mul(s, s),
                                    horner(s, {-2.730098742631526e-07f, 2.480059993104078e-05f,
                                               -0.00138888880610466f, 0.0416666679084301f}),
                                    mul(s, constant(-0.5f))),
                          constant(1.0f));
  const Expr quadrant = (Halide::cast<int32_t>(n) + quarters) & 3;
  const Expr value = select((quadrant & 1) != 0, cosine, sine);
  const Expr signed_value = select((quadrant & 2) != 0, mul(value, constant(-1.0f)), value);
  const Expr nan = constant(std::numeric_limits<float>::quiet_NaN());
  const Expr finite = less(absolute(x), constant(std::numeric_limits<float>::infinity()));
  return select(finite, signed_value, nan);
}

}  // namespace

Expr sin_f32(const Expr &x) {
  return sine_of(x, 0);
}
Expr cos_f32(const Expr &x) {
  return sine_of(x, 1);
}

// |x|^y = exp(y log |x|), with the sign and the special cases of C's pow. The relative error grows
// with |y log x|: a few ulp near 1, about 1e-5 (in double 1e-13) at the ends of the range. Small
// whole constant exponents, which models use, never come here.
Expr power_of(const Expr &x, const Expr &y) {
  const bool wide = x.type().bits() == 64;
  const auto number = [&x](double value) { return like(x, value); };
  const Expr zero = number(0), one = number(1), a = absolute(x);
  const Expr lowest = number(-std::numeric_limits<double>::infinity());
  const Expr nan = number(std::numeric_limits<double>::quiet_NaN());
  // Also for 0 and infinity, by the logarithm's -inf and inf; 1 to the power of these is 1.
  const Expr magnitude = select(exact(a == one), one,
                                wide ? exp_f64(mul(y, log_f64(a))) : exp_f32(mul(y, log_f32(a))));
  const Expr whole = exact(Halide::floor(y) == y);
  const Expr half = mul(y, number(0.5));
  const Expr odd = whole && exact(Halide::floor(half) != half);
  const Expr signed_x = wide ? Halide::reinterpret<int64_t>(x) < Halide::cast<int64_t>(0)
                             : Halide::reinterpret<int32_t>(x) < 0;  // -0 too
  const Expr has_no_root = less(x, zero) && less(lowest, x) && !whole;
  Expr result = select(signed_x && odd, mul(magnitude, number(-1)), magnitude);
  result = select(has_no_root, nan, result);
  result = select(exact(y == zero), one, result);
  return result;
}

}  // namespace sylvite
