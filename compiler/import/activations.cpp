// Activations as formulas of elementwise ops, in the spelling that is exact for large inputs of
// either sign.
#include <cmath>
#include <map>
#include <numbers>
#include <string>

#include "compiler/import/onnx_node.h"
#include "compiler/import/terms.h"

namespace sylvite {
namespace {

Term sigmoid(Term x) {
  return 1.0 / (apply(Op::Exp, apply(Op::Neg, x)) + 1.0);
}

// log(1 + exp(x)) without overflow.
Term softplus(Term x) {
  const Term tail = apply(Op::Exp, apply(Op::Neg, apply(Op::Abs, x)));
  return max(x, 0) + apply(Op::Log, tail + 1.0);
}

// exp(x) - 1 for negative x.
Term exp_minus_one(Term x) {
  return apply(Op::Exp, min(x, 0)) - 1.0;
}

template <Term (*formula)(Term)>
void activation(OnnxNode &node) {
  node.set_output(0, formula({node, node.input(0)}).value);
}

Term hyperbolic_tangent(Term x) {
  return apply(Op::Tanh, x);
}

// A parameter of an activation; that of one that another operator ends in has a longer name.
double parameter(const Term &x, const std::string &name, double fallback) {
  return x.node.real(x.node.has("activation") ? "activation_" + name : name, fallback);
}

Term relu(Term x) {
  return max(x, 0);
}

Term leaky_relu(Term x) {
  return where_negative(x, x * parameter(x, "alpha", 0.01), x);
}

Term parametric_relu(Term x) {
  return where_negative(x, x * Term{x.node, x.node.input(1)}, x);
}

Term elu(Term x) {
  return where_negative(x, exp_minus_one(x) * parameter(x, "alpha", 1), x);
}

Term selu(Term x) {
  const double alpha = parameter(x, "alpha", 1.67326319217681884765625);
  const double gamma = parameter(x, "gamma", 1.05070102214813232421875);
  return where_negative(x, exp_minus_one(x) * alpha, x) * gamma;
}

Term celu(Term x) {
  const double alpha = x.node.real("alpha", 1);
  return max(x, 0) + exp_minus_one(x * (1 / alpha)) * alpha;
}

Term hard_sigmoid(Term x) {
  return min(max(x * parameter(x, "alpha", 0.2) + parameter(x, "beta", 0.5), 0), 1);
}

Term hard_swish(Term x) {
  return x * min(max(x * (1.0 / 6) + 0.5, 0), 1);
}

Term softsign(Term x) {
  return x / (apply(Op::Abs, x) + 1.0);
}

Term mish(Term x) {
  return x * apply(Op::Tanh, softplus(x));
}

Term swish(Term x) {
  return {x.node, swish(x.node, x.value, x.node.real("alpha", 1))};
}

Term gelu(Term x) {
  const std::string approximate = x.node.text("approximate", "none");
  if (approximate != "none" && approximate != "tanh") {
    x.node.fail("approximate is '", approximate, "', expected 'none' or 'tanh'");
  }
  return {x.node, approximate == "tanh" ? tanh_gelu(x.node, x.value) : exact_gelu(x.node, x.value)};
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

Value *exact_gelu(OnnxNode &node, Value *value) {
  const Term x{node, value};
  return (x * 0.5 * (apply(Op::Erf, x * (1 / std::numbers::sqrt2)) + 1.0)).value;
}

Value *tanh_gelu(OnnxNode &node, Value *value) {
  const Term x{node, value};
  const Term inner = (x + x * x * x * 0.044715) * std::sqrt(2 / std::numbers::pi);
  return (x * 0.5 * (apply(Op::Tanh, inner) + 1.0)).value;
}

Value *swish(OnnxNode &node, Value *value, double alpha) {
  const Term x{node, value};
  return (x * sigmoid(alpha == 1 ? x : x * alpha)).value;
}

Value *fused_activation(OnnxNode &node, Value *x, const std::string &name) {
  using Formula = Term (*)(Term);
  static const std::map<std::string, Formula> formulas = {
      {"Elu", elu},
      {"HardSigmoid", hard_sigmoid},
      {"LeakyRelu", leaky_relu},
      {"Relu", relu},
      {"Selu", selu},
      {"Sigmoid", sigmoid},
      {"Softplus", softplus},
      {"Softsign", softsign},
      {"Tanh", hyperbolic_tangent},
  };
  if (name.empty()) {
    return x;
  }
  const auto found = formulas.find(name);
  if (found == formulas.end()) {
    node.fail("ends in the activation '", name,
              "', which is not supported; optimise the model without this fusion");
  }
  return found->second({node, x}).value;
}

std::span<const OpRule> activation_rules() {
  return kRules;
}

}  // namespace sylvite
