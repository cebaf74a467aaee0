// Puts the operands of sums, products and the like into the order in which they are computed, so
// that a + b and b + a are one computation; constants stay on the right.
//
// Keeps: every bit.   Declines: minima and maxima, which tell the zeros' signs apart.
#include <unordered_map>

#include "compiler/ir/match.h"
#include "passes/passes.h"
#include "passes/rewrite.h"

namespace sylvite {

bool order_operands(Graph &graph) {
  bool changed = false;
  std::unordered_map<const Value *, size_t> places;  // never walked
  for (const Value *input : graph.inputs()) {
    places.emplace(input, places.size());
  }
  for (const std::unique_ptr<Node> &node : graph.nodes()) {
    const bool ordered = is_commutative(node->op) && node->op != Op::Min && node->op != Op::Max;
    Value *left = ordered ? node->input(0) : nullptr;
    Value *right = ordered ? node->input(1) : nullptr;
    if (ordered && constant_of(left) == nullptr && constant_of(right) == nullptr &&
        places.at(left) > places.at(right)) {
      graph.replace_input(node.get(), 0, right);
      graph.replace_input(node.get(), 1, left);
      changed = true;
    }
    for (const std::unique_ptr<Value> &output : node->outputs) {
      places.emplace(output.get(), places.size());
    }
  }
  return changed;
}

}  // namespace sylvite
