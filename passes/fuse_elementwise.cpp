// Joins elementwise kernels (and lookups) with the one elementwise kernel that reads them: a whole
// formula becomes one pass over memory.
//
// Needs: form_kernels; runs before the formulas are given to kernels with a root.
// Keeps: every value.
// Declines: results with several readers, which are computed once and stored; costly small results
// that a larger kernel would compute over and over; what a product in front can compute, if a view
// is all that follows (a slice could not go there with it).
#include <algorithm>

#include "compiler/ir/kernel_traits.h"
#include "passes/fusion_cost.h"
#include "passes/kernel_fusion.h"
#include "passes/passes.h"
#include "passes/rewrite.h"

namespace sylvite {
namespace {

// Whether the formula may become part of a kernel with a root that it alone reads.
bool may_be_epilogue(const Node &formula) {
  return std::any_of(formula.inputs.begin(), formula.inputs.end(), [&](const Value *input) {
    const Node *producer = input->producer;
    return producer != nullptr && producer->op == Op::Kernel && has_root(*producer) &&
           kernel_traits(root_op(*producer)).elementwise_epilogue && only_user(input) == &formula;
  });
}

}  // namespace

bool fuse_elementwise(Graph &graph) {
  bool changed = false;
  const std::vector<Node *> kernels = kernels_in_order(graph);
  for (auto it = kernels.rbegin(); it != kernels.rend(); ++it) {
    Node *producer = *it;
    Node *reader = has_root(*producer) ? nullptr : only_user(producer->output());
    if (reader != nullptr && reader->op == Op::Kernel && !has_root(*reader) &&
        !(only_views(*reader) && may_be_epilogue(*producer)) &&
        cheap_to_repeat(*producer, reader->output()->type.shape, graph.symbol_table())) {
      changed |= fuse_kernels(graph, producer, reader) != nullptr;
    }
  }
  return changed;
}

}  // namespace sylvite
