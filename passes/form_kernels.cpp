// Puts every op into a kernel of its own: from here on the graph is a list of kernels, which the
// fusing passes make fewer. A graph that none of them touches is already correct, only slow.
//
// Needs: nothing.   Keeps: every value.   A concatenation of more operands than a kernel has inputs
// becomes a tree of smaller ones.
#include "passes/kernel_fusion.h"
#include "passes/passes.h"
#include "passes/rewrite.h"

namespace sylvite {
namespace {

// concat(a, b, ...) => concat(concat(a, ...), concat(...), ...)
Value *split_wide_concat(Builder &build, Value *root) {
  constexpr size_t kWidest = 8;  // leaves a consumer room for inputs of its own
  if (!is_op(root, Op::Concat) || root->producer->inputs.size() <= kWidest) {
    return nullptr;
  }
  const std::vector<Value *> &inputs = root->producer->inputs;
  std::vector<Value *> parts;
  for (size_t first = 0; first < inputs.size(); first += kWidest) {
    const size_t end = std::min(first + kWidest, inputs.size());
    parts.push_back(
        build.add(Op::Concat,
                  std::vector<Value *>(inputs.begin() + static_cast<std::ptrdiff_t>(first),
                                       inputs.begin() + static_cast<std::ptrdiff_t>(end)),
                  root->producer->attributes));
  }
  return build.add(Op::Concat, parts, root->producer->attributes);
}

}  // namespace

bool form_kernels(Graph &graph) {
  static constexpr Rule kRules[] = {split_wide_concat};
  bool changed = rewrite(graph, kRules);
  for (Node *node : graph.node_order()) {
    if (node->op != Op::Constant && node->op != Op::Kernel &&
        class_of(node->op) != OpClass::Control) {
      make_kernel(graph, node);
      changed = true;
    }
  }
  return changed;
}

}  // namespace sylvite
