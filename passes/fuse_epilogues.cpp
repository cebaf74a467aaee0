// Computes what is done to a result before it is written: bias, activation, residual become part of
// the product's kernel, as far as kernel_traits.h lets them.
//
// Needs: fuse_elementwise (the formula is one kernel).   Keeps: every value.
// Declines: results with several readers; formulas that broadcast the result.
// A formula of two results goes to the kernel that stands last; the other result is stored.
#include <algorithm>
#include <map>

#include "passes/kernel_fusion.h"
#include "passes/passes.h"
#include "passes/rewrite.h"

namespace sylvite {

namespace {

using Places = std::map<const Node *, size_t>;

// The kernels with a root whose result only this formula reads, the last one first.
std::vector<Node *> candidates_for(const Node *formula, const Places &places) {
  std::vector<Node *> candidates;
  for (const Value *input : formula->inputs) {
    Node *producer = input->producer;
    if (producer != nullptr && producer->op == Op::Kernel && has_root(*producer) &&
        only_user(producer->output()) == formula) {
      candidates.push_back(producer);
    }
  }
  std::sort(candidates.begin(), candidates.end(),
            [&](const Node *a, const Node *b) { return places.at(a) > places.at(b); });
  return candidates;
}

}  // namespace

bool fuse_epilogues(Graph &graph) {
  bool changed = false;
  const std::vector<Node *> kernels = kernels_in_order(graph);
  Places places;
  for (size_t i = 0; i < kernels.size(); ++i) {
    places[kernels[i]] = i;
  }
  // A product stands in front of its formula: what a fusion erases was visited before.
  for (size_t i = 0; i < kernels.size(); ++i) {
    Node *formula = kernels[i];
    if (has_root(*formula) || only_views(*formula)) {
      continue;
    }
    for (Node *product : candidates_for(formula, places)) {
      if (Node *fused = fuse_kernels(graph, product, formula)) {
        places[fused] = i;
        changed = true;
        break;
      }
    }
  }
  return changed;
}

}  // namespace sylvite
