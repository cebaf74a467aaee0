// A `sylvite` in which one pass makes a mistake: the linker gives this fuse_epilogues for the real
// one (--wrap), which it calls. So the product holds nothing for this test.
#include "compiler/ir/graph.h"

bool real_pass(sylvite::Graph &graph) __asm__("__real__ZN7sylvite14fuse_epiloguesERNS_5GraphE");
bool spoilt_pass(sylvite::Graph &graph) __asm__("__wrap__ZN7sylvite14fuse_epiloguesERNS_5GraphE");

// The first sum in a kernel becomes a product.
bool spoilt_pass(sylvite::Graph &graph) {
  const bool changed = real_pass(graph);
  for (const std::unique_ptr<sylvite::Node> &kernel : graph.nodes()) {
    if (kernel->op != sylvite::Op::Kernel) {
      continue;
    }
    for (const std::unique_ptr<sylvite::Node> &node : kernel->regions[0]->nodes()) {
      if (node->op == sylvite::Op::Add && is_float(node->output()->type.dtype)) {
        node->op = sylvite::Op::Mul;
        return true;
      }
    }
  }
  return changed;
}
