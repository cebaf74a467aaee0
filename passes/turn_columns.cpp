// Turns attention over columns into attention over rows, the form that raise_attention knows: the
// softmax runs over the last axis, the keys', and the probabilities are the left operand.
//
//   softmax(f(matmul(k, q), m)) over the axis before the last
//     =>  transpose(softmax(f(transpose(matmul(k, q)), transpose(m))))
//   matmul(v, g(softmax(..))) {transpose_b}  =>  transpose(matmul(g(softmax(..)), v) {transpose_b})
//
// and the transpose of a product is the product of the transposes. f: scale and masks in whatever
// spelling; g: what is done to the probabilities.
//
// Needs: nothing; the second rule: canonical_matmuls and sink_views.
// Keeps: every value.
// Declines: a softmax of anything but scores, or over the axis that is not summed over next; scores
// that something else reads.
#include <algorithm>
#include <utility>

#include "passes/passes.h"
#include "passes/rewrite.h"

namespace sylvite {
namespace {

constexpr int kDeepest = 8;  // elementwise ops between product and softmax

bool is_variable_product(const Value *value) {
  return is_op(value, Op::MatMul) && constant_of(value->producer->input(0)) == nullptr &&
         constant_of(value->producer->input(1)) == nullptr;
}

bool is_transposed(const Node &matmul) {
  return matmul.attributes.integer_or("transpose_b", 0) != 0;
}

bool swaps_last_two(const Node &node) {
  return node.op == Op::Transpose && node.output()->type.rank() >= 2 &&
         node.attributes.integers("perm") == swap_last_two(node.output()->type.rank());
}

// Whether the value is computed from one product by elementwise ops, each read here alone.
bool comes_from_scores(const Value *value, int depth) {
  if (is_variable_product(value) && only_user(value) != nullptr) {
    return true;
  }
  return depth < kDeepest && is_class(value, OpClass::Elementwise) && only_user(value) != nullptr &&
         std::any_of(
             value->producer->inputs.begin(), value->producer->inputs.end(),
             [&](const Value *input) { return comes_from_scores(input, depth + 1); });
}

// Whether the rows' axis, the one before the last, is what the next product sums over.
bool weighs_by_columns(const Value *probabilities) {
  const Value *value = probabilities;
  bool turned = false;
  for (int depth = 0; depth <= kDeepest; ++depth) {
    const Node *user = only_user(value);
    if (user == nullptr) {
      return false;
    }
    if (user->op == Op::MatMul) {
      const bool right = user->input(1) == value;
      return turned != (right && !is_transposed(*user));
    }
    if (swaps_last_two(*user)) {
      turned = !turned;
    } else if (class_of(user->op) != OpClass::Elementwise) {
      return false;
    }
    value = user->output();
  }
  return false;
}

// The value with its last two axes swapped; of what broadcasts: so that the result is.
Value *turned(Builder &build, Value *value, int depth = 0) {
  const int64_t rank = value->type.rank();
  if (rank == 0) {
    return value;
  }
  if (rank == 1) {
    return build.reshape(value, {value->type.shape[0], Dim(1)});
  }
  if (!comes_from_scores(value, depth)) {
    return build.transpose(value, swap_last_two(rank));
  }
  const Node &node = *value->producer;
  if (node.op == Op::MatMul) {
    Value *a = node.input(0), *b = node.input(1);
    b = is_transposed(node) ? b : build.transpose(b, swap_last_two(b->type.rank()));
    return build.add(Op::MatMul, {b, a}, {{"transpose_b", int64_t{1}}});
  }
  std::vector<Value *> inputs;
  for (Value *input : node.inputs) {
    inputs.push_back(turned(build, input, depth + 1));
  }
  return build.copy(node, inputs);
}

Value *softmax_over_columns(Builder &build, Value *root) {
  if (!is_op(root, Op::Softmax)) {
    return nullptr;
  }
  const int64_t rank = root->type.rank();
  const int64_t axis = normal_axis(root->producer->attributes.integer("axis"), rank);
  Value *scores = root->producer->input(0);
  if (rank < 2 || axis != rank - 2 || !comes_from_scores(scores, 0) || !weighs_by_columns(root)) {
    return nullptr;
  }
  Value *softmax = build.add(Op::Softmax, {turned(build, scores)}, {{"axis", rank - 1}});
  return build.transpose(softmax, swap_last_two(rank));
}

bool comes_from_softmax(const Value *value, int depth = 0) {
  return is_op(value, Op::Softmax) ||
         (depth < kDeepest && is_class(value, OpClass::Elementwise) &&
          std::any_of(
              value->producer->inputs.begin(), value->producer->inputs.end(),
              [&](const Value *input) { return comes_from_softmax(input, depth + 1); }));
}

Value *probabilities_on_the_left(Builder &build, Value *root) {
  if (!is_variable_product(root) || !is_transposed(*root->producer)) {
    return nullptr;
  }
  Value *v = root->producer->input(0), *probabilities = root->producer->input(1);
  if (!comes_from_softmax(probabilities) || comes_from_softmax(v)) {
    return nullptr;
  }
  Value *product = build.add(Op::MatMul, {probabilities, v}, {{"transpose_b", int64_t{1}}});
  return build.transpose(product, swap_last_two(product->type.rank()));
}

}  // namespace

bool turn_columns(Graph &graph) {
  static constexpr Rule kRules[] = {softmax_over_columns, probabilities_on_the_left};
  return rewrite(graph, kRules);
}

}  // namespace sylvite
