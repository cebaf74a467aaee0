// Removes ops that change nothing: views onto the same shape, casts to the same type, x * 1, x + 0
// where the sign of a zero cannot matter, logic with constants, a choice that is already made.
//
// Keeps: every bit, but for the sign of zeros nobody can see.
// Declines: x * 0 (NaN and infinity), x + 0 in front of a division or an output.
#include <algorithm>

#include "compiler/ir/match.h"
#include "passes/passes.h"
#include "passes/rewrite.h"

namespace sylvite {
namespace {

// `value`, unless its type differs from root's (an operand that was broadcast is not the result).
Value *if_same_type(Builder &build, Value *root, Value *value) {
  return same_type(root->type, value->type, build.graph().symbol_table()) ? value : nullptr;
}

// A uniform value or an operand in place of root: broadcast where need be.
Value *broadcast_to(Builder &build, Value *root, Value *value) {
  if (value->type.dtype != root->type.dtype) {
    return nullptr;
  }
  if (Value *same = if_same_type(build, root, value)) {
    return same;
  }
  return build.expand(value, root->type.shape);
}

// reshape, transpose, expand, slice, concat of one, pad by nothing: the same elements in the same
// places
Value *identity_view(Builder &build, Value *root) {
  const Node &node = *root->producer;
  if (class_of(node.op) != OpClass::View || node.inputs.empty()) {
    return nullptr;
  }
  Value *x = node.input(0);
  const auto all_zero = [](const std::vector<Dim> &dims) {
    return std::all_of(dims.begin(), dims.end(), [](const Dim &dim) { return dim.is(0); });
  };
  bool identity = false;
  switch (node.op) {
    case Op::Reshape:
    case Op::Expand:
      identity = true;  // of equal shapes, which if_same_type asks for
      break;
    case Op::Transpose:
      identity = node.attributes.integers("perm") == identity_permutation(x->type.rank());
      break;
    case Op::Slice: {
      const std::vector<int64_t> &steps = node.attributes.integers("steps");
      identity = all_zero(node.attributes.dims("starts")) &&
                 std::all_of(steps.begin(), steps.end(), [](int64_t step) { return step == 1; });
      break;
    }
    case Op::Concat:
      identity = node.inputs.size() == 1;
      break;
    case Op::Pad:
      identity =
          all_zero(node.attributes.dims("before")) && all_zero(node.attributes.dims("after"));
      break;
    default:
      break;
  }
  return identity ? if_same_type(build, root, x) : nullptr;
}

// cast(x, type of x) => x;  cast(cast(b, any number), bool) => b for a boolean b
Value *identity_cast(Builder &build, Value *root) {
  if (!is_op(root, Op::Cast)) {
    return nullptr;
  }
  Value *x = root->producer->input(0);
  if (x->type.dtype == root->type.dtype) {
    return x;
  }
  if (is_op(x, Op::Cast) && root->type.dtype == DType::Bool) {
    return if_same_type(build, root, x->producer->input(0));
  }
  return nullptr;
}

// x * 1, x / 1, x - 0, pow(x, 1) => x
Value *neutral_operand(Builder &build, Value *root) {
  Value *x = nullptr;
  const Pattern one = number(1), zero = number(0);
  if (match(root, op(Op::Mul, any(&x), one)) || match(root, op(Op::Div, any(&x), one)) ||
      match(root, op(Op::Pow, any(&x), one)) || match(root, op(Op::Sub, any(&x), zero))) {
    return if_same_type(build, root, x);
  }
  return nullptr;
}

// Whether the reader cannot tell -0 from +0 in this operand: sums and products that start at +0,
// functions that are even or continuous at zero and never return it.
bool ignores_sign_of_zero(const Node &user) {
  switch (user.op) {
    case Op::Softmax:
    case Op::LayerNorm:
    case Op::Attention:
    case Op::MatMul:
    case Op::Conv:
    case Op::Exp:
    case Op::Cos:
    case Op::Abs:
    case Op::Equal:
    case Op::Less:
    case Op::LessEqual:
    case Op::IsNaN:
    case Op::IsInf:
      return true;
    default:
      return false;
  }
}

// x + 0 => x: turns -0 into +0, so only where that cannot be seen (or never happens: integers)
Value *add_of_zero(Builder &build, Value *root) {
  Value *x = nullptr;
  if (!match(root, op(Op::Add, any(&x), number(0)))) {
    return nullptr;
  }
  const bool harmless = !is_float(root->type.dtype) ||
                        (!build.graph().is_output(root) &&
                         std::all_of(root->users.begin(), root->users.end(),
                                     [](const Node *user) { return ignores_sign_of_zero(*user); }));
  return harmless ? if_same_type(build, root, x) : nullptr;
}

// and(x, true), or(x, false) => x;  and(x, false) => false;  or(x, true) => true;  not(not(x)) => x
Value *constant_logic(Builder &build, Value *root) {
  Value *x = nullptr, *known = nullptr;
  const auto uniform = [](const Value &value) { return scalar_constant(&value).has_value(); };
  if (match(root, op(Op::Not, op(Op::Not, any(&x))))) {
    return x;
  }
  const bool conjunction = match(root, op(Op::And, any(&x), constant(&known).where(uniform)));
  if (!conjunction && !match(root, op(Op::Or, any(&x), constant(&known).where(uniform)))) {
    return nullptr;
  }
  if (root->type.dtype != DType::Bool) {
    return nullptr;  // bits of integers
  }
  const bool truth = *scalar_constant(known) != 0;
  return broadcast_to(build, root, truth == conjunction ? x : known);
}

// where(true, x, y) => x;  where(false, x, y) => y;  where(c, x, x) => x
Value *settled_choice(Builder &build, Value *root) {
  Value *condition = nullptr, *x = nullptr, *y = nullptr;
  if (!match(root, op(Op::Where, any(&condition), any(&x), any(&y)))) {
    return nullptr;
  }
  if (x == y) {
    return broadcast_to(build, root, x);
  }
  const std::optional<double> truth = scalar_constant(condition);
  return truth ? broadcast_to(build, root, *truth != 0 ? x : y) : nullptr;
}

// less_equal(number, iota) and the like, where the bounds decide => true
Value *decided_comparison(Builder &build, Value *root) {
  if (!is_op(root, Op::LessEqual) && !is_op(root, Op::Less)) {
    return nullptr;
  }
  const Node &node = *root->producer;
  const std::optional<double> number = scalar_constant(node.input(0));
  const Value *iota = node.input(1);
  while (is_op(iota, Op::Reshape) || is_op(iota, Op::Expand) || is_op(iota, Op::Transpose)) {
    iota = iota->producer->input(0);
  }
  if (!number || !is_op(iota, Op::Iota)) {
    return nullptr;
  }
  const Attributes &attributes = iota->producer->attributes;
  const std::optional<int64_t> lowest =
      build.graph().symbol_table().lower_bound(attributes.dims("start").front());
  const std::optional<int64_t> step = attributes.dims("step").front().constant();
  if (!lowest || !step || *step < 0 || !is_integer(iota->type.dtype)) {
    return nullptr;
  }
  const double low = static_cast<double>(*lowest);
  if (node.op == Op::Less ? *number < low : *number <= low) {
    return broadcast_to(build, root, build.scalar(1, DType::Bool));
  }
  return nullptr;
}

}  // namespace

bool remove_identities(Graph &graph) {
  static constexpr Rule kRules[] = {identity_view,  identity_cast,  neutral_operand,   add_of_zero,
                                    constant_logic, settled_choice, decided_comparison};
  return rewrite(graph, kRules);
}

}  // namespace sylvite
