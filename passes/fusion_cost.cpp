// Counts what would be repeated: formulas are few ops, so costs need no finer scale than few and
// many.
#include "passes/fusion_cost.h"

#include <algorithm>

#include "passes/kernel_fusion.h"

namespace sylvite {
namespace {

bool is_expensive(Op op) {
  switch (op) {
    case Op::Exp:
    case Op::Log:
    case Op::Erf:
    case Op::Tanh:
    case Op::Sin:
    case Op::Cos:
    case Op::Pow:
    case Op::Sqrt:
    case Op::Div:
    case Op::Mod:
      return true;
    default:
      return false;
  }
}

}  // namespace

bool cheap_to_repeat(const Node &producer, const Shape &shape, const SymbolTable &symbols) {
  constexpr int kFewOps = 4;
  if (prove_le(element_count(shape), element_count(producer.output()->type.shape), symbols)) {
    return true;
  }
  int ops = 0;
  for (const std::unique_ptr<Node> &node : region_of(producer).nodes()) {
    if (is_expensive(node->op)) {
      return false;
    }
    ops += class_of(node->op) == OpClass::Elementwise || class_of(node->op) == OpClass::Lookup;
  }
  return ops <= kFewOps;
}

}  // namespace sylvite
