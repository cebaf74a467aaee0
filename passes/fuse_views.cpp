// Lets kernels read through views: reshapes, transposes, slices, expansions, concatenations and
// made-up positions become index arithmetic in every kernel that reads them, and nothing is copied.
// Rows that are looked up (the blocks of a cache, the rows of a source) count as views where
// kernel_traits.h says so.
//
// Needs: form_kernels.   Keeps: every value.
// Declines: views that are stored anyway: results of the graph, operands of library ops,
// concatenated or padded operands of products, which would choose between the parts for every
// element, over and over.
#include <algorithm>

#include "compiler/ir/kernel_traits.h"
#include "passes/kernel_fusion.h"
#include "passes/passes.h"
#include "passes/rewrite.h"

namespace sylvite {
namespace {

bool chooses(const Node &kernel) {
  const Graph::NodeList &nodes = region_of(kernel).nodes();
  return std::any_of(nodes.begin(), nodes.end(), [](const std::unique_ptr<Node> &node) {
    return (node->op == Op::Concat && node->inputs.size() > 1) || node->op == Op::Pad;
  });
}

// Views and looked-up rows, at least one of these.
bool looks_up_only_rows(const Node &kernel) {
  bool rows = false;
  for (const std::unique_ptr<Node> &node : region_of(kernel).nodes()) {
    const OpClass op_class = class_of(node->op);
    rows = rows || looks_up_rows(*node);
    if (op_class != OpClass::View && op_class != OpClass::Leaf && !looks_up_rows(*node)) {
      return false;
    }
  }
  return rows;
}

bool is_contraction(Op root) {
  return root == Op::MatMul || root == Op::MatMulPanels || root == Op::Conv ||
         root == Op::Attention;
}

// Whether the reader wants the view's elements in memory.
bool wants_memory(const Node &reader, bool choice, bool rows) {
  const Op root = root_op(reader);
  return class_of(root) == OpClass::Library || (choice && is_contraction(root)) ||
         (rows && !kernel_traits(root).row_prologue);
}

}  // namespace

bool fuse_views(Graph &graph) {
  bool changed = false;
  const std::vector<Node *> kernels = kernels_in_order(graph);
  // Readers first, so that a chain of views moves as a whole.
  for (auto it = kernels.rbegin(); it != kernels.rend(); ++it) {
    Node *view = *it;
    const bool rows = looks_up_only_rows(*view);
    if ((!only_views(*view) && !rows) || graph.is_output(view->output())) {
      continue;
    }
    const bool choice = chooses(*view);
    const std::vector<Node *> readers = readers_of(*view->output());
    if (std::any_of(readers.begin(), readers.end(), [&](const Node *reader) {
          return reader->op != Op::Kernel || wants_memory(*reader, choice, rows);
        })) {
      continue;
    }
    for (Node *reader : readers) {
      changed |= fuse_kernels(graph, view, reader) != nullptr;
    }
  }
  return changed;
}

}  // namespace sylvite
