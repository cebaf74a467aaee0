// Computes what is done to a result before it is written: bias, activation, residual become part of
// the product's kernel, as far as kernel_traits.h lets them.
//
// Needs: fuse_elementwise (the formula is one kernel).   Keeps: every value.
// Declines: results with several readers; formulas that broadcast the result.
// A formula of two results goes to the kernel that stands last; the other result is stored.
#include "passes/kernel_fusion.h"
#include "passes/passes.h"
#include "passes/rewrite.h"

namespace sylvite {

bool fuse_epilogues(Graph &graph) {
  bool changed = false;
  for (Node *formula : kernels_in_order(graph)) {
    if (has_root(*formula) || only_views(*formula)) {
      continue;
    }
    const std::vector<Node *> order = kernels_in_order(graph);
    for (auto it = order.rbegin(); it != order.rend(); ++it) {
      if (has_root(**it) && only_user((*it)->output()) == formula &&
          fuse_kernels(graph, *it, formula) != nullptr) {
        changed = true;
        break;
      }
    }
  }
  return changed;
}

}  // namespace sylvite
