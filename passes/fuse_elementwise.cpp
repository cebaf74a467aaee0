// Joins elementwise kernels (and lookups) with the one elementwise kernel that reads them: a whole
// formula becomes one pass over memory.
//
// Needs: form_kernels; runs before the formulas are given to kernels with a root.   Keeps: every
// value. Declines: results with several readers, which are computed once and stored; costly small
// results that a larger kernel would compute over and over.
#include "passes/fusion_cost.h"
#include "passes/kernel_fusion.h"
#include "passes/passes.h"
#include "passes/rewrite.h"

namespace sylvite {

bool fuse_elementwise(Graph &graph) {
  bool changed = false;
  const std::vector<Node *> kernels = kernels_in_order(graph);
  for (auto it = kernels.rbegin(); it != kernels.rend(); ++it) {
    Node *producer = *it;
    Node *reader = has_root(*producer) ? nullptr : only_user(producer->output());
    if (reader != nullptr && !has_root(*reader) &&
        cheap_to_repeat(*producer, reader->output()->type.shape, graph.symbol_table())) {
      changed |= fuse_kernels(graph, producer, reader) != nullptr;
    }
  }
  return changed;
}

}  // namespace sylvite
