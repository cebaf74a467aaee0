// Computes the operand of a normalisation, softmax or reduction where it is read, instead of
// storing it first: casts, masks, gathered embeddings.
//
// Needs: fuse_epilogues (a formula behind a product rather belongs to the product).
// Keeps: every value.
// Declines: operands with several readers, operands of products and of attention, which read them
// many times.
#include "compiler/ir/kernel_traits.h"
#include "passes/fusion_cost.h"
#include "passes/kernel_fusion.h"
#include "passes/passes.h"
#include "passes/rewrite.h"

namespace sylvite {

bool fuse_prologues(Graph &graph) {
  bool changed = false;
  const std::vector<Node *> kernels = kernels_in_order(graph);
  for (auto it = kernels.rbegin(); it != kernels.rend(); ++it) {
    Node *formula = *it;
    Node *reader = has_root(*formula) ? nullptr : only_user(formula->output());
    const Node *root =
        reader == nullptr || reader->op != Op::Kernel ? nullptr : root_of(region_of(*reader));
    if (root != nullptr && !root->inputs.empty() && root->op != Op::Attention &&
        cheap_to_repeat(*formula, root->input(0)->type.shape, graph.symbol_table())) {
      changed |= fuse_kernels(graph, formula, reader) != nullptr;
    }
  }
  return changed;
}

}  // namespace sylvite
