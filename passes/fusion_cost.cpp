// Counts what is computed, and how often. Formulas (compiler/kernels/formula.h) are demand driven:
// a value at an index is one expression, however often it is read, and another index makes another
// one. So what counts are the pairs of a value and an index, where an index is known by the views
// that lead to it; chains of such reads grow exponentially.
#include "passes/fusion_cost.h"

#include <map>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

#include "compiler/ir/kernel_traits.h"
#include "passes/kernel_fusion.h"

namespace sylvite {
namespace {

class FormulaCost {
 public:
  explicit FormulaCost(int64_t most) : most_(most) {}

  void read(const Value *value, int index) {
    if (value->producer == nullptr || cost_ > most_ || !seen_.insert({value, index}).second) {
      return;
    }
    const Node &node = *value->producer;
    cost_ += node_cost(node);
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const Value *operand = node.input(i);
      const bool same =
          class_of(node.op) == OpClass::Elementwise && operand->type.shape == value->type.shape;
      read(operand, same ? index : behind(index, node, i));
    }
  }

  int64_t cost() const { return cost_; }

 private:
  // The index at which a node that is asked at `index` asks its operand.
  int behind(int index, const Node &node, size_t operand) {
    const int next = static_cast<int>(indices_.size() + broadcasts_.size()) + 1;
    // Operands of an elementwise op that are broadcast alike are asked alike.
    return class_of(node.op) == OpClass::Elementwise
               ? broadcasts_.emplace(std::pair{index, node.input(operand)->type.shape}, next)
                     .first->second
               : indices_.emplace(std::tuple{index, &node, operand}, next).first->second;
  }

  const int64_t most_;
  int64_t cost_ = 0;
  std::set<std::pair<const Value *, int>> seen_;
  std::map<std::tuple<int, const Node *, size_t>, int> indices_;
  std::map<std::pair<int, Shape>, int> broadcasts_;
};

}  // namespace

bool cheap_to_repeat(const Node &producer, const Shape &shape, const SymbolTable &symbols) {
  constexpr int64_t kLittle = 4;
  if (prove_le(element_count(shape), element_count(producer.output()->type.shape), symbols)) {
    return true;
  }
  int64_t cost = 0;
  for (const std::unique_ptr<Node> &node : region_of(producer).nodes()) {
    cost += op_cost(node->op) + (class_of(node->op) == OpClass::Lookup ? 1 : 0);
  }
  return cost <= kLittle;
}

int64_t node_cost(const Node &node) {
  constexpr int64_t kRoundingCost = 10;  // to a half type and back
  const DType dtype = node.output()->type.dtype;
  const bool rounds = op_cost(node.op) > 0 && (dtype == DType::F16 || dtype == DType::BF16);
  return 1 + op_cost(node.op) + (rounds ? kRoundingCost : 0);
}

int64_t formula_cost(const Graph &region, int64_t most) {
  FormulaCost cost(most);
  for (size_t i = 0; i < region.output_count(); ++i) {
    cost.read(region.output(i), 0);
  }
  return cost.cost();
}

}  // namespace sylvite
