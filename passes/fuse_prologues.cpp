// Computes the operand of a normalisation, softmax or reduction where it is read, instead of
// storing it first: casts, masks, gathered embeddings. And the mask of an attention that says
// where something else is zero.
//
// Needs: fuse_epilogues (a formula behind a product rather belongs to the product).
// Keeps: every value.
// Declines: operands with several readers, operands of products, which read them many times.
#include "compiler/ir/kernel_traits.h"
#include "compiler/ir/match.h"
#include "passes/fusion_cost.h"
#include "passes/kernel_fusion.h"
#include "passes/passes.h"
#include "passes/rewrite.h"

namespace sylvite {
namespace {

// Views, and one comparison of floats with a number, which takes attention no longer, score by
// score, than to load what came out.
bool at_most_compares(const Node &formula) {
  const Node *comparison = nullptr;
  for (const std::unique_ptr<Node> &node : region_of(formula).nodes()) {
    const bool compares =
        node->op == Op::Equal || node->op == Op::Less || node->op == Op::LessEqual;
    if (compares && comparison == nullptr && node->input(0)->type.dtype == DType::F32) {
      comparison = node.get();
    } else if (class_of(node->op) != OpClass::View && node->op != Op::Constant) {
      return false;
    }
  }
  return comparison == nullptr || scalar_constant(comparison->input(1)).has_value();
}

bool pays(const Node &formula, const Node &root, const SymbolTable &symbols) {
  return root.op == Op::Attention ? at_most_compares(formula)
                                  : cheap_to_repeat(formula, root.input(0)->type.shape, symbols);
}

}  // namespace

bool fuse_prologues(Graph &graph) {
  bool changed = false;
  const std::vector<Node *> kernels = kernels_in_order(graph);
  for (auto it = kernels.rbegin(); it != kernels.rend(); ++it) {
    Node *formula = *it;
    Node *reader = has_root(*formula) ? nullptr : only_user(formula->output());
    const Node *root =
        reader == nullptr || reader->op != Op::Kernel ? nullptr : root_of(region_of(*reader));
    if (root != nullptr && !root->inputs.empty() && pays(*formula, *root, graph.symbol_table())) {
      changed |= fuse_kernels(graph, formula, reader) != nullptr;
    }
  }
  return changed;
}

}  // namespace sylvite
