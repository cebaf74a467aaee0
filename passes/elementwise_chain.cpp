// Walks the formula with a stack of its own and copies it into a region.
#include "passes/elementwise_chain.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "passes/rewrite.h"

namespace sylvite {
namespace {

// Constants that a formula holds instead of reading.
bool is_number_constant(const Value *value) {
  const Tensor *tensor = constant_of(value);
  return tensor != nullptr && tensor->count() == 1;
}

// Formulas of attention are short; a longer one stays a kernel of its own.
constexpr size_t kMostValues = 256;

// Collects the elementwise nodes that depend on a value, operands before readers. Keeps its own
// stack: models may be deeper than ours.
class ChainFinder {
 public:
  ChainFinder(Value *from, ElementwiseChain &chain) : chain_(chain) { depends_[from] = true; }

  // Whether `to` depends on the first value; nothing if the formula is too long.
  std::optional<bool> find(Value *to) {
    pending_.push_back(to);
    while (!pending_.empty()) {
      Value *value = pending_.back();
      if (depends_.size() > kMostValues) {
        return std::nullopt;
      }
      if (depends_.count(value) != 0) {
        pending_.pop_back();
      } else if (wait_for_operands(value)) {
        settle(value);
      }
    }
    return depends_.at(to);
  }

 private:
  // True when all operands are known; otherwise they come first.
  bool wait_for_operands(Value *value) {
    if (!is_class(value, OpClass::Elementwise)) {
      return true;
    }
    bool ready = true;
    for (Value *input : value->producer->inputs) {
      if (depends_.count(input) == 0) {
        pending_.push_back(input);
        ready = false;
      }
    }
    return ready;
  }

  void settle(Value *value) {
    pending_.pop_back();
    bool depends = false;
    if (is_class(value, OpClass::Elementwise)) {
      for (Value *input : value->producer->inputs) {
        depends |= depends_.at(input);
      }
      if (depends) {
        chain_.nodes.push_back(value->producer);
      }
    }
    depends_[value] = depends;
  }

  ElementwiseChain &chain_;
  std::vector<Value *> pending_;
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
  const std::optional<bool> depends = ChainFinder(from, chain).find(to);
  if (!depends) {
    chain.obstacle = "the formula in front of '" + to->name + "' is too long";
    return chain;
  }
  if (!*depends) {
    chain.obstacle = "'" + to->name + "' is not computed from '" + from->name + "'";
    return chain;
  }
  const std::set<const Node *> inside(chain.nodes.begin(), chain.nodes.end());
  std::vector<const Value *> made = {from};
  for (const Node *node : chain.nodes) {
    made.push_back(node->output());
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
      if (std::find(made.begin(), made.end(), input) == made.end() && !is_number_constant(input) &&
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
