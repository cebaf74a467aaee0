// Lets attention find out for itself where its mask is: a mask that is one comparison of floats
// with a number, as of what a layer made of padding, becomes part of the scores' formula.
//
//   attention(q, k, v, equal(x, 0))  =>  one kernel that reads x
//
// A mask is read for each score, far more often than it has elements, but the comparison takes no
// longer there than to load what came out of it.
//
// Needs: fuse_views (the mask's views in attention's kernel).   Keeps: every value.
// Declines: masks that others read, too, or that take more than a comparison; whole numbers, which
// are wider than the mask and dear to compare on AVX2.
#include "compiler/ir/match.h"
#include "passes/kernel_fusion.h"
#include "passes/passes.h"
#include "passes/rewrite.h"

namespace sylvite {
namespace {

bool is_plain_comparison(const Node &kernel) {
  const Node *comparison = nullptr;
  for (const std::unique_ptr<Node> &node : region_of(kernel).nodes()) {
    const bool compares =
        node->op == Op::Equal || node->op == Op::Less || node->op == Op::LessEqual;
    if (compares && comparison == nullptr && node->input(0)->type.dtype == DType::F32) {
      comparison = node.get();
    } else if (class_of(node->op) != OpClass::View && node->op != Op::Constant) {
      return false;
    }
  }
  return comparison != nullptr && scalar_constant(comparison->input(1)).has_value();
}

}  // namespace

bool fuse_masks(Graph &graph) {
  bool changed = false;
  const std::vector<Node *> kernels = kernels_in_order(graph);
  for (auto it = kernels.rbegin(); it != kernels.rend();
       ++it) {  // readers first: they are replaced
    Node *mask = *it;
    Node *reader = is_plain_comparison(*mask) ? only_user(mask->output()) : nullptr;
    if (reader != nullptr && reader->op == Op::Kernel && root_op(*reader) == Op::Attention) {
      changed |= fuse_kernels(graph, mask, reader) != nullptr;
    }
  }
  return changed;
}

}  // namespace sylvite
