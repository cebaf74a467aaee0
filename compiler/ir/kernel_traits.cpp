// What each root's kernel template can take in. Kept in one switch, so that fuse passes and
// templates read the same facts.
#include "compiler/ir/kernel_traits.h"

namespace sylvite {

KernelTraits kernel_traits(Op root) {
  KernelTraits traits;
  switch (root) {
    case Op::MatMul:
    case Op::MatMulPanels:
    case Op::Conv:
      // Operands are read many times: a formula would be computed as often.
      traits.elementwise_epilogue = true;
      break;
    case Op::LayerNorm:
      traits.extra_first_operand_output = true;
      [[fallthrough]];
    case Op::Softmax:
    case Op::Reduce:
      traits.elementwise_prologue = true;
      traits.elementwise_epilogue = true;
      break;
    case Op::Attention:
      traits.view_epilogue = true;
      break;
    case Op::ArgReduce:
    case Op::CumSum:
    case Op::Pool:
      traits.elementwise_prologue = true;
      break;
    case Op::Kernel:
      traits.elementwise_prologue = true;
      traits.elementwise_epilogue = true;
      traits.view_epilogue = true;
      break;
    default:
      break;  // library ops stand alone
  }
  return traits;
}

const Node *root_of(const Graph &region) {
  for (const std::unique_ptr<Node> &node : region.nodes()) {
    const OpClass op_class = class_of(node->op);
    if (op_class == OpClass::Root || op_class == OpClass::Library) {
      return node.get();
    }
  }
  return nullptr;
}

}  // namespace sylvite
