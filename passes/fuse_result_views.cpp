// Lets a kernel store its result in the order in which it is read: the transpose and reshape that
// put attention's heads side by side cost nothing when the result is written there at once.
//
// Needs: form_kernels; runs before fuse_views, which would let the reader pick the heads together.
// Keeps: every value.   Declines: results with several readers.
#include "compiler/ir/kernel_traits.h"
#include "passes/kernel_fusion.h"
#include "passes/passes.h"
#include "passes/rewrite.h"

namespace sylvite {

bool fuse_result_views(Graph &graph) {
  bool changed = false;
  std::vector<Node *> kernels = kernels_in_order(graph);
  // Only kernels with a root: the others may be fused away while this list is walked.
  std::erase_if(kernels, [](const Node *kernel) { return !has_root(*kernel); });
  for (Node *kernel : kernels) {
    while (kernel != nullptr && kernel_traits(root_op(*kernel)).view_epilogue) {
      Node *reader = only_user(kernel->output());
      const bool view = reader != nullptr && reader->op == Op::Kernel && only_views(*reader);
      kernel = view ? fuse_kernels(graph, kernel, reader) : nullptr;
      changed |= kernel != nullptr;
    }
  }
  return changed;
}

}  // namespace sylvite
