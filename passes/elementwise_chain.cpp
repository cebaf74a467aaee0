#include "passes/elementwise_chain.h"

#include <algorithm>
#include <functional>
#include <map>
#include <set>

#include "compiler/ir/match.h"
#include "passes/rewrite.h"

namespace sylvite {
namespace {

// Constants that a formula holds instead of reading.
bool is_number_constant(const Value *value) {
  const Tensor *tensor = constant_of(value);
  return tensor != nullptr && tensor->count() == 1;
}

class ChainFinder {
 public:
  ChainFinder(Value *from, ElementwiseChain &chain) : chain_(chain) { depends_[from] = true; }

  // Collects in operand order, operands before the node itself.
  bool visit(Value *value) {
    const auto known = depends_.find(value);
    if (known != depends_.end()) {
      return known->second;
    }
    bool depends = false;
    if (is_class(value, OpClass::Elementwise)) {
      for (Value *input : value->producer->inputs) {
        depends |= visit(input);
      }
      if (depends) {
        chain_.nodes.push_back(value->producer);
      }
    }
    depends_[value] = depends;
    return depends;
  }

 private:
  ElementwiseChain &chain_;
  std::map<const Value *, bool> depends_;
};

bool read_outside(const Graph &graph, const Value *value, const std::set<const Node *> &inside) {
  return graph.is_output(value) ||
         std::any_of(value->users.begin(), value->users.end(),
                     [&](const Node *user) { return inside.count(user) == 0; });
}

}  // namespace

ElementwiseChain find_elementwise_chain(const Graph &graph, Value *from, Value *to) {
  ElementwiseChain chain;
  if (!ChainFinder(from, chain).visit(to)) {
    chain.obstacle = "no elementwise formula leads there";
    return chain;
  }
  const std::set<const Node *> inside(chain.nodes.begin(), chain.nodes.end());
  std::set<const Value *> made = {from};
  for (const Node *node : chain.nodes) {
    made.insert(node->output());
  }
  for (const Value *value : made) {
    if (value != to && read_outside(graph, value, inside)) {
      chain.obstacle = "'" + value->name + "' is read elsewhere too";
      return chain;
    }
  }
  for (const Node *node : chain.nodes) {
    if (!same_shape(node->output()->type.shape, from->type.shape, graph.symbol_table())) {
      chain.obstacle = describe(*node) + " changes the shape";
      return chain;
    }
    for (Value *input : node->inputs) {
      if (made.count(input) == 0 && !is_number_constant(input) &&
          std::find(chain.operands.begin(), chain.operands.end(), input) == chain.operands.end()) {
        chain.operands.push_back(input);
      }
    }
  }
  return chain;
}

std::unique_ptr<Graph> region_of_chain(const ElementwiseChain &chain, const Value *from,
                                       const Value *to, const std::vector<Value *> &operands,
                                       double scale, const std::string &head_name, Graph &parent) {
  auto region = std::make_unique<Graph>();
  region->parent = &parent;
  std::map<const Value *, Value *> inside;
  Value *head = region->add_input(head_name, from->type);
  for (Value *operand : operands) {
    inside[operand] = region->add_input(operand->name, operand->type);
  }
  if (scale != 1) {
    Value *factor = region->add_constant(Tensor::of<double>(from->type.dtype, {}, {scale}));
    head = region->add(Op::Mul, {head, factor})->output();
  }
  inside[from] = head;
  for (const Node *node : chain.nodes) {
    std::vector<Value *> inputs;
    for (Value *input : node->inputs) {
      Value *&copy = inside[input];
      if (copy == nullptr) {
        copy = region->add_constant(*constant_of(input));
      }
      inputs.push_back(copy);
    }
    inside[node->output()] =
        region->add(node->op, inputs, node->attributes, node->sources)->output();
  }
  region->add_output("result", inside.at(to));
  return region;
}

}  // namespace sylvite
