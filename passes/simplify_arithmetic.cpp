// One spelling for elementwise arithmetic, so that later patterns need not know how an exporter
// wrote it: constants stand on the right, powers become products and roots, a division by a
// constant becomes a product, a chain of constant factors becomes one, a bias that was added to the
// residual sum is added to its product; choices are made by conditions that are not negated.
//
// Keeps: values to the last bit or two: constants are re-associated, x / c becomes x * (1 / c).
// Declines: half precision, where 1 / c would be felt; integers, except for the order of operands;
// what a comparison, a rounding or a cast to integers reads, where the last bit decides.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "compiler/ir/match.h"
#include "passes/passes.h"
#include "passes/rewrite.h"

namespace sylvite {
namespace {

// A number that float holds with full precision: what a product of constants must stay.
bool is_ordinary(double number, DType dtype) {
  const double magnitude = std::abs(number);
  return dtype == DType::F64 ? std::isnormal(number) : magnitude > 1e-30 && magnitude < 1e30;
}

// Ops whose result jumps: an operand that is off by its last bit may land on the other side.
bool is_step(const Node &node) {
  switch (node.op) {
    case Op::Floor:
    case Op::Ceil:
    case Op::Round:
    case Op::Sign:
    case Op::Mod:
    case Op::Equal:
    case Op::Less:
    case Op::LessEqual:
      return true;
    case Op::Cast:
      return !is_float(node.output()->type.dtype);
    default:
      return false;
  }
}

// Whether a step reads the value, directly or through elementwise ops and views: positions and
// buckets are computed like that.
bool feeds_a_step(const Value *value) {
  constexpr size_t kFarthest = 64;
  std::vector<const Value *> reached = {value};
  for (size_t next = 0; next < reached.size(); ++next) {
    for (const Node *user : reached[next]->users) {
      if (is_step(*user)) {
        return true;
      }
      const OpClass op_class = class_of(user->op);
      if ((op_class == OpClass::Elementwise || op_class == OpClass::View) &&
          reached.size() < kFarthest) {
        reached.push_back(user->output());
      }
    }
  }
  return false;
}

bool is_power_of_two(double number) {
  int exponent = 0;
  return std::abs(std::frexp(number, &exponent)) == 0.5;
}

// op(c, x) => op(x, c)
Value *constant_on_the_right(Builder &build, Value *root) {
  const Node &node = *root->producer;
  if (!is_commutative(node.op) || constant_of(node.input(0)) == nullptr ||
      constant_of(node.input(1)) != nullptr) {
    return nullptr;
  }
  return build.copy(node, {node.input(1), node.input(0)});
}

// f(x, [[c, c], [c, c]]) => f(x, c) where x alone gives the result its shape
Value *uniform_operand(Builder &build, Value *root) {
  if (!is_class(root, OpClass::Elementwise)) {
    return nullptr;
  }
  const Node &node = *root->producer;
  const SymbolTable &symbols = build.graph().symbol_table();
  const bool shaped = std::any_of(node.inputs.begin(), node.inputs.end(), [&](const Value *input) {
    return constant_of(input) == nullptr &&
           same_shape(input->type.shape, root->type.shape, symbols);
  });
  std::vector<Value *> inputs = node.inputs;
  bool changed = false;
  for (Value *&input : inputs) {
    const Tensor *tensor = constant_of(input);
    if (shaped && tensor != nullptr && tensor->rank() > 0 && scalar_constant(input)) {
      const int64_t bytes = size_of(tensor->dtype());
      Tensor number(tensor->dtype(), {});
      std::memcpy(number.mutable_bytes(), tensor->bytes().data(), static_cast<size_t>(bytes));
      input = build.constant(std::move(number));
      changed = true;
    }
  }
  return changed ? build.copy(node, inputs) : nullptr;
}

// pow(x, 2) => x * x;  pow(x, 3) => (x * x) * x;  pow(x, 0.5) => sqrt(x);
// pow(x, -0.5) => 1 / sqrt(x);  pow(x, -1) => 1 / x
Value *power(Builder &build, Value *root) {
  Value *x = nullptr;
  double exponent = 0;
  if (!match(root, op(Op::Pow, any(&x), scalar(&exponent))) ||
      !is_computing_float(root->type.dtype) ||
      !same_type(root->type, x->type, build.graph().symbol_table())) {
    return nullptr;
  }
  const DType dtype = root->type.dtype;
  if (exponent == 2) {
    return build.add(Op::Mul, {x, x});
  }
  if (exponent == 3) {
    return build.add(Op::Mul, {build.add(Op::Mul, {x, x}), x});
  }
  if (exponent == 0.5) {
    return build.add(Op::Sqrt, {x});
  }
  if (exponent == -0.5) {
    return build.add(Op::Div, {build.scalar(1, dtype), build.add(Op::Sqrt, {x})});
  }
  if (exponent == -1) {
    return build.add(Op::Div, {build.scalar(1, dtype), x});
  }
  return nullptr;
}

// x / c => x * (1 / c)
Value *division_by_constant(Builder &build, Value *root) {
  Value *x = nullptr, *divisor = nullptr;
  double number = 0;
  if (!match(root, op(Op::Div, any(&x), constant(&divisor))) || !match(divisor, scalar(&number)) ||
      !is_computing_float(root->type.dtype) || !is_ordinary(number, root->type.dtype) ||
      constant_of(x) != nullptr || !same_type(root->type, x->type, build.graph().symbol_table()) ||
      (!is_power_of_two(number) && feeds_a_step(root))) {
    return nullptr;
  }
  return build.add(Op::Mul, {x, build.scalar(1 / number, root->type.dtype)});
}

// x - c => x + (-c)
Value *subtraction_of_constant(Builder &build, Value *root) {
  Value *x = nullptr;
  double number = 0;
  if (!match(root, op(Op::Sub, any(&x), scalar(&number))) ||
      !is_computing_float(root->type.dtype) || constant_of(x) != nullptr ||
      !same_type(root->type, x->type, build.graph().symbol_table())) {
    return nullptr;
  }
  return build.add(Op::Add, {x, build.scalar(-number, root->type.dtype)});
}

// (x * a) * b => x * (a * b)
Value *chain_of_factors(Builder &build, Value *root) {
  Value *x = nullptr;
  double a = 0, b = 0;
  const Pattern inner = op(Op::Mul, any(&x), scalar(&a)).one_use();
  if (!match(root, op(Op::Mul, inner, scalar(&b))) || !is_computing_float(root->type.dtype) ||
      constant_of(x) != nullptr || !is_ordinary(a, root->type.dtype) ||
      !is_ordinary(b, root->type.dtype) || !is_ordinary(a * b, root->type.dtype) ||
      (!is_power_of_two(a) && !is_power_of_two(b) && feeds_a_step(root)) ||
      !same_type(root->type, x->type, build.graph().symbol_table())) {
    return nullptr;
  }
  return build.add(Op::Mul, {x, build.scalar(a * b, root->type.dtype)});
}

// (x * c) * y => (x * y) * c for a power of two, whose products are exact
Value *factor_behind_product(Builder &build, Value *root) {
  Value *x = nullptr, *y = nullptr;
  double factor = 0;
  const Pattern inner = op(Op::Mul, any(&x), scalar(&factor)).one_use();
  if (!match(root, op(Op::Mul, inner, any(&y))) || !is_computing_float(root->type.dtype) ||
      constant_of(x) != nullptr || constant_of(y) != nullptr || !is_power_of_two(factor) ||
      !is_ordinary(factor, root->type.dtype)) {
    return nullptr;
  }
  Value *product = build.add(Op::Mul, {x, y});
  return same_type(root->type, product->type, build.graph().symbol_table())
             ? build.add(Op::Mul, {product, build.scalar(factor, root->type.dtype)})
             : nullptr;
}

// where(not(c), x, y) => where(c, y, x)
Value *choice_by_opposite(Builder &build, Value *root) {
  Value *condition = nullptr, *x = nullptr, *y = nullptr;
  return match(root, op(Op::Where, op(Op::Not, any(&condition)), any(&x), any(&y)))
             ? build.add(Op::Where, {condition, y, x})
             : nullptr;
}

// not(equal(x, 0)) => cast(x) {to = bool} for integers
Value *difference_from_zero(Builder &build, Value *root) {
  Value *x = nullptr;
  if (!match(root, op(Op::Not, op(Op::Equal, any(&x), number(0)))) || !is_integer(x->type.dtype) ||
      !same_shape(root->type.shape, x->type.shape, build.graph().symbol_table())) {
    return nullptr;
  }
  return build.add(Op::Cast, {x}, {{"to", DType::Bool}});
}

// A product with weights that nothing else reads.
bool is_projection(const Value *value) {
  return is_op(value, Op::MatMul) && constant_of(value->producer->input(1)) != nullptr &&
         only_user(value) != nullptr;
}

// (x + m) + b => x + (m + b) for a product m and its bias b
Value *bias_at_its_product(Builder &build, Value *root) {
  Value *x = nullptr, *product = nullptr, *bias = nullptr;
  const Pattern weighted =
      any(&product).where([](const Value &value) { return is_projection(&value); });
  if (!match(root, op(Op::Add, op(Op::Add, any(&x), weighted).one_use(), constant(&bias))) ||
      !is_computing_float(root->type.dtype) || constant_of(x) != nullptr || is_projection(x) ||
      bias->type.rank() != 1 || feeds_a_step(root)) {
    return nullptr;
  }
  const SymbolTable &symbols = build.graph().symbol_table();
  if (!same_type(root->type, product->type, symbols) || product->type.rank() == 0 ||
      !prove_equal(bias->type.shape[0], product->type.shape.back(), symbols)) {
    return nullptr;
  }
  return build.add(Op::Add, {x, build.add(Op::Add, {product, bias})});
}

}  // namespace

bool simplify_arithmetic(Graph &graph) {
  static constexpr Rule kRules[] = {
      constant_on_the_right, uniform_operand,         power,
      division_by_constant,  subtraction_of_constant, chain_of_factors,
      bias_at_its_product,   factor_behind_product,   choice_by_opposite,
      difference_from_zero};
  return rewrite(graph, kRules);
}

}  // namespace sylvite
