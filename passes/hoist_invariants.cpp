// Takes out of a loop's body what is the same in each iteration: above all the keys and values of
// cross-attention, which a decoding loop would compute from the encoder's result for each token.
//
// Needs: shape arithmetic gone.   Keeps: every value.
// Declines: what is cheap enough to be computed where it is read (masks, views: memory would cost
// more), nodes with bodies of their own, and lookups, whose indices may be wrong in a loop that
// makes no iteration.
#include <algorithm>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "compiler/ir/control.h"
#include "passes/passes.h"

namespace sylvite {
namespace {

bool mentions_any(const std::vector<Dim> &dims, const std::string &symbol) {
  return std::any_of(dims.begin(), dims.end(),
                     [&](const Dim &dim) { return mentions(dim, symbol); });
}

// Whether the node's sizes, or those of what stands in its regions, hold the symbol.
bool mentions_symbol(const Node &node, const std::string &symbol) {
  for (const auto &[name, attribute] : node.attributes.all()) {
    const auto *dims = std::get_if<std::vector<Dim>>(&attribute);
    if (dims != nullptr && mentions_any(*dims, symbol)) {
      return true;
    }
  }
  for (const std::unique_ptr<Value> &output : node.outputs) {
    if (mentions_any(output->type.shape, symbol)) {
      return true;
    }
  }
  return std::any_of(node.regions.begin(), node.regions.end(), [&](const auto &region) {
    return std::any_of(region->nodes().begin(), region->nodes().end(),
                       [&](const auto &inner) { return mentions_symbol(*inner, symbol); });
  });
}

class Hoister {
 public:
  Hoister(Graph &graph, Node &loop)
      : graph_(graph), loop_(loop), parts_(loop), body_(*loop.regions[0]) {}

  bool run() {
    find_invariant();
    find_worth();
    if (worth_.empty()) {
      return false;
    }
    for (const Node *node : body_.node_order()) {
      if (worth_.count(node) != 0) {
        copy_out(*node);
      }
    }
    read_from_outside();
    body_.remove_dead();
    drop_unused_operands();
    return true;
  }

 private:
  bool is_invariant(const Value *value) const {
    return value->producer == nullptr ? value->index >= static_cast<int>(parts_.carried)
                                      : invariant_.count(value->producer) != 0;
  }

  void find_invariant() {
    for (const std::unique_ptr<Node> &node : body_.nodes()) {
      const OpClass op_class = class_of(node->op);
      if (op_class != OpClass::Control && op_class != OpClass::Lookup &&
          op_class != OpClass::Library && !mentions_symbol(*node, parts_.iteration) &&
          std::all_of(node->inputs.begin(), node->inputs.end(),
                      [&](const Value *input) { return is_invariant(input); })) {
        invariant_.insert(node.get());
      }
    }
  }

  // Products and their like, what is computed elementwise from them without growing, and all that
  // these depend on.
  void find_worth() {
    std::unordered_set<const Node *> behind;  // a root
    for (const std::unique_ptr<Node> &node : body_.nodes()) {
      if (invariant_.count(node.get()) == 0) {
        continue;
      }
      const bool follows =
          std::any_of(node->inputs.begin(), node->inputs.end(), [&](const Value *input) {
            return input->producer != nullptr && behind.count(input->producer) != 0 &&
                   element_count(input->type.shape) == element_count(node->output()->type.shape);
          });
      const OpClass op_class = class_of(node->op);
      if (op_class == OpClass::Root || follows) {
        behind.insert(node.get());
      }
      if (op_class == OpClass::Root || (follows && op_class == OpClass::Elementwise)) {
        need(node.get());
      }
    }
  }

  void need(const Node *node) {
    std::vector<const Node *> pending = {node};
    while (!pending.empty()) {
      const Node *next = pending.back();
      pending.pop_back();
      if (!worth_.insert(next).second) {
        continue;
      }
      for (const Value *input : next->inputs) {
        if (input->producer != nullptr) {
          pending.push_back(input->producer);
        }
      }
    }
  }

  Value *outside(const Value *value) const {
    return value->producer == nullptr
               ? loop_.input(parts_.first + static_cast<size_t>(value->index))
               : copies_.at(value);
  }

  void copy_out(const Node &node) {
    std::vector<Value *> operands;
    for (const Value *input : node.inputs) {
      operands.push_back(outside(input));
    }
    std::vector<std::unique_ptr<Graph>> regions;
    for (const std::unique_ptr<Graph> &region : node.regions) {
      regions.push_back(region->clone());
    }
    Node *copy = graph_.add(node.op, std::move(operands), node.attributes, std::move(regions),
                            node.sources, &loop_);
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      copy->output(i)->name = node.output(i)->name;
      copies_[node.output(i)] = copy->output(i);
    }
  }

  // What stays in the body reads hoisted values as captured ones.
  void read_from_outside() {
    for (Node *node : body_.node_order()) {
      if (worth_.count(node) == 0 || node->op == Op::Constant ||
          class_of(node->op) == OpClass::Leaf) {
        continue;
      }
      for (const std::unique_ptr<Value> &output : node->outputs) {
        const bool read = body_.is_output(output.get()) ||
                          std::any_of(output->users.begin(), output->users.end(),
                                      [&](const Node *user) { return worth_.count(user) == 0; });
        if (!read) {
          continue;
        }
        add_operand(loop_, copies_.at(output.get()));
        Value *input = body_.inputs().back();
        input->name = output->name;
        body_.replace_uses(output.get(), input);
      }
    }
  }

  void drop_unused_operands() {
    for (size_t i = body_.inputs().size(); i-- > parts_.carried;) {
      Value *input = body_.inputs()[i];
      if (!input->users.empty() || body_.is_output(input)) {
        continue;
      }
      drop_operand(loop_, parts_.first + i);
    }
  }

  Graph &graph_;
  Node &loop_;
  const LoopParts parts_;
  Graph &body_;
  std::unordered_set<const Node *> invariant_, worth_;
  std::unordered_map<const Value *, Value *> copies_;
};

}  // namespace

bool hoist_invariants(Graph &graph) {
  bool changed = false;
  for (Node *node : graph.node_order()) {
    if (node->op == Op::Loop) {
      changed |= Hoister(graph, *node).run();
    }
  }
  return changed;
}

}  // namespace sylvite
