// Computes at compile time what depends on constants alone, with the reference evaluator.
//
// Keeps: exact semantics (the evaluator rounds after each op).
// Declines: results much larger than what they are computed from (an expanded constant is a view at
// run time, not a weight in the file), and products so large that the evaluator would be felt.
#include <algorithm>

#include "compiler/ir/evaluate.h"
#include "passes/passes.h"
#include "passes/rewrite.h"

namespace sylvite {
namespace {

constexpr int64_t kAlwaysSmall = 4096;      // elements
constexpr int64_t kMultiplyAdds = 1 << 26;  // about a second of the evaluator's time

bool all_inputs_constant(const Node &node) {
  return !node.inputs.empty() &&
         std::all_of(node.inputs.begin(), node.inputs.end(),
                     [](const Value *input) { return constant_of(input) != nullptr; });
}

int64_t count_of(const TensorType &type) {
  int64_t count = 1;
  for (const Dim &dim : type.shape) {
    count *= *dim.constant();
  }
  return count;
}

bool worth_folding(const Node &node) {
  const int64_t count = count_of(node.output()->type);
  int64_t largest = 0;
  for (const Value *input : node.inputs) {
    largest = std::max(largest, constant_of(input)->count());
  }
  if (node.op == Op::Concat) {  // as large as its inputs together
    return true;
  }
  if (class_of(node.op) == OpClass::Root && evaluation_steps(node) > kMultiplyAdds) {
    return false;
  }
  return count <= std::max(kAlwaysSmall, 2 * largest);
}

// The two views that large weights go through, without a detour over doubles.
std::optional<Tensor> fold_quickly(const Node &node) {
  const Tensor &tensor = *constant_of(node.input(0));
  if (node.op == Op::Reshape) {
    return tensor.reshaped(*static_shape(node.output()->type.shape));
  }
  if (node.op == Op::Transpose) {
    return permuted(tensor, node.attributes.integers("perm"));
  }
  return std::nullopt;
}

Value *fold(Builder &build, Value *root) {
  const Node &node = *root->producer;
  const OpClass op_class = class_of(node.op);
  const bool leaf = node.op == Op::Iota || node.op == Op::DimValues;
  if (op_class == OpClass::Region || !node.regions.empty() ||
      !(leaf || all_inputs_constant(node)) || !attributes_are_numbers(node) ||
      !static_shape(root->type.shape)) {
    return nullptr;
  }
  if (leaf) {
    return count_of(root->type) > kAlwaysSmall
               ? nullptr
               : build.constant(evaluate_node(node, {}, {}).front(), root->name);
  }
  if (!worth_folding(node)) {
    return nullptr;
  }
  if (std::optional<Tensor> quick = fold_quickly(node)) {
    return build.constant(std::move(*quick), root->name);
  }
  std::vector<Tensor> inputs;
  for (const Value *input : node.inputs) {
    inputs.push_back(*constant_of(input));
  }
  return build.constant(evaluate_node(node, inputs, {}).front(), root->name);
}

}  // namespace

bool fold_constants(Graph &graph) {
  static constexpr Rule kRules[] = {fold};
  return rewrite(graph, kRules);
}

}  // namespace sylvite
