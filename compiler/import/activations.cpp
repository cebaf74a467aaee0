// Activations as formulas of elementwise ops, in the spelling that is exact for large inputs of
// either sign.
#include <cmath>
#include <numbers>

#include "compiler/import/onnx_node.h"

namespace sylvite {
namespace {

// Expressions over one input, so that the formulas below read like formulas.
struct Formula {
  OnnxNode &node;
  Value *value;
};

Formula apply(Op op, Formula a) {
  return {a.node, a.node.add(op, {a.value})};
}
Formula apply(Op op, Formula a, Formula b) {
  return {a.node, a.node.add(op, {a.value, b.value})};
}
Formula number(Formula like, double value) {
  return {like.node, like.node.like(like.value, value)};
}
Formula operator+(Formula a, Formula b) {
  return apply(Op::Add, a, b);
}
Formula operator-(Formula a, Formula b) {
  return apply(Op::Sub, a, b);
}
Formula operator*(Formula a, Formula b) {
  return apply(Op::Mul, a, b);
}
Formula operator/(Formula a, Formula b) {
  return apply(Op::Div, a, b);
}
Formula operator+(Formula a, double b) {
  return a + number(a, b);
}
Formula operator-(Formula a, double b) {
  return a - number(a, b);
}
Formula operator*(Formula a, double b) {
  return a * number(a, b);
}
Formula operator/(double a, Formula b) {
  return number(b, a) / b;
}
Formula max(Formula a, double b) {
  return apply(Op::Max, a, number(a, b));
}
Formula min(Formula a, double b) {
  return apply(Op::Min, a, number(a, b));
}
Formula where_negative(Formula x, Formula negative, Formula other) {
  const Formula condition = apply(Op::Less, x, number(x, 0));
  return {x.node, x.node.add(Op::Where, {condition.value, negative.value, other.value})};
}

Formula sigmoid(Formula x) {
  return 1.0 / (apply(Op::Exp, apply(Op::Neg, x)) + 1.0);
}

// log(1 + exp(x)) without overflow.
Formula softplus(Formula x) {
  const Formula tail = apply(Op::Exp, apply(Op::Neg, apply(Op::Abs, x)));
  return max(x, 0) + apply(Op::Log, tail + 1.0);
}

// exp(x) - 1 for negative x.
Formula exp_minus_one(Formula x) {
  return apply(Op::Exp, min(x, 0)) - 1.0;
}

template <Formula (*formula)(Formula)>
void activation(OnnxNode &node) {
  node.set_output(0, formula({node, node.input(0)}).value);
}

Formula relu(Formula x) {
  return max(x, 0);
}

Formula leaky_relu(Formula x) {
  return where_negative(x, x * x.node.real("alpha", 0.01), x);
}

Formula parametric_relu(Formula x) {
  return where_negative(x, x * Formula{x.node, x.node.input(1)}, x);
}

Formula elu(Formula x) {
  return where_negative(x, exp_minus_one(x) * x.node.real("alpha", 1), x);
}

Formula selu(Formula x) {
  const double alpha = x.node.real("alpha", 1.67326319217681884765625);
  const double gamma = x.node.real("gamma", 1.05070102214813232421875);
  return where_negative(x, exp_minus_one(x) * alpha, x) * gamma;
}

Formula celu(Formula x) {
  const double alpha = x.node.real("alpha", 1);
  return max(x, 0) + exp_minus_one(x * (1 / alpha)) * alpha;
}

Formula hard_sigmoid(Formula x) {
  return min(max(x * x.node.real("alpha", 0.2) + x.node.real("beta", 0.5), 0), 1);
}

Formula hard_swish(Formula x) {
  return x * min(max(x * (1.0 / 6) + 0.5, 0), 1);
}

Formula softsign(Formula x) {
  return x / (apply(Op::Abs, x) + 1.0);
}

Formula mish(Formula x) {
  return x * apply(Op::Tanh, softplus(x));
}

Formula swish(Formula x) {
  return x * sigmoid(x * x.node.real("alpha", 1));
}

Formula gelu(Formula x) {
  const std::string approximate = x.node.text("approximate", "none");
  if (approximate == "tanh") {
    const Formula inner = (x + x * x * x * 0.044715) * std::sqrt(2 / std::numbers::pi);
    return x * 0.5 * (apply(Op::Tanh, inner) + 1.0);
  }
  if (approximate != "none") {
    x.node.fail("approximate is '", approximate, "', expected 'none' or 'tanh'");
  }
  return x * 0.5 * (apply(Op::Erf, x * (1 / std::numbers::sqrt2)) + 1.0);
}

constexpr OpRule kRules[] = {
    {"Celu", 28, activation<celu>},
    {"Elu", 22, activation<elu>},
    {"Gelu", 20, activation<gelu>},
    {"HardSigmoid", 22, activation<hard_sigmoid>},
    {"HardSwish", 22, activation<hard_swish>},
    {"LeakyRelu", 16, activation<leaky_relu>},
    {"Mish", 22, activation<mish>},
    {"PRelu", 16, activation<parametric_relu>},
    {"Relu", 14, activation<relu>},
    {"Selu", 22, activation<selu>},
    {"Sigmoid", 13, activation<sigmoid>},
    {"Softplus", 22, activation<softplus>},
    {"Softsign", 22, activation<softsign>},
    {"Swish", 24, activation<swish>},
};

}  // namespace

std::span<const OpRule> activation_rules() {
  return kRules;
}

}  // namespace sylvite
