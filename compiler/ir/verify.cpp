// The verifier: every rule of the IR that the compiler relies on, checked after each pass. It
// reports the first broken one; the RunningScope of the pass is part of the message.
#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "compiler/ir/infer.h"

namespace sylvite {
namespace {

std::string where(const Node &node) {
  return "node " + describe(node);
}

void check_dims(const Graph &graph, const std::vector<Dim> &dims, const std::string &place) {
  for (const Dim &dim : dims) {
    for (const std::string &symbol : symbols_of(dim)) {
      SYLVITE_CHECK(graph.symbol_table().find(symbol) != nullptr,
                    place + ": size '" + symbol + "' is not declared");
    }
  }
}

void check_value(const Graph &graph, const Value &value, const Node *producer, size_t index,
                 const std::string &place) {
  SYLVITE_CHECK(value.producer == producer, place + ": a result names another producer");
  SYLVITE_CHECK(value.index == static_cast<int>(index), place + ": a result has a wrong index");
  check_dims(graph, value.type.shape, place);
  if (value.host) {
    check_dims(graph, *value.host, place);
    SYLVITE_CHECK(!is_float(value.type.dtype), place + ": host elements of a float tensor");
    SYLVITE_CHECK(element_count(value.type.shape).is(static_cast<int64_t>(value.host->size())),
                  place + ": wrong number of host elements");
  }
}

// Types of the results as the op's rule gives them now.
void check_types(const Graph &graph, const Node &node) {
  Inference inference(graph, node, nullptr);
  std::vector<TensorType> types;
  try {
    types = run_rule(inference);
  } catch (const ModelError &error) {
    SYLVITE_CHECK(false, error.what());
  }
  SYLVITE_CHECK(types.size() == node.outputs.size(),
                where(node) + " has " + std::to_string(node.outputs.size()) +
                    " results, its rule gives " + std::to_string(types.size()));
  for (size_t i = 0; i < types.size(); ++i) {
    SYLVITE_CHECK(types_agree(graph, types[i], node.outputs[i]->type),
                  where(node) + " has type " + to_string(node.outputs[i]->type) +
                      ", its rule gives " + to_string(types[i]));
  }
}

// How often each value is read by the graph's nodes.
using UseCounts = std::unordered_map<const Value *, std::unordered_map<const Node *, size_t>>;

void check_uses(const Value &value, const UseCounts &uses, const std::string &place) {
  std::unordered_map<const Node *, size_t> listed;
  for (const Node *user : value.users) {
    ++listed[user];
  }
  const auto found = uses.find(&value);
  SYLVITE_CHECK(found == uses.end() ? listed.empty() : listed == found->second,
                place + ": the list of uses of '" + value.name + "' is wrong");
}

}  // namespace

void verify(const Graph &graph) {
  SYLVITE_CHECK(graph.parent == nullptr || (graph.symbols.all().empty() && graph.guards.empty()),
                "a region holds symbols or guards of its own");
  std::unordered_set<const Value *> known;
  for (size_t i = 0; i < graph.inputs().size(); ++i) {
    const Value &input = *graph.inputs()[i];
    check_value(graph, input, nullptr, i, "input '" + input.name + "'");
    known.insert(&input);
  }
  UseCounts uses;
  for (const std::unique_ptr<Node> &node : graph.nodes()) {
    SYLVITE_CHECK(node->graph == &graph, where(*node) + " names another graph");
    for (const Value *input : node->inputs) {
      SYLVITE_CHECK(known.count(input) != 0,
                    where(*node) + " reads a value that no earlier node of its graph makes");
      ++uses[input][node.get()];
    }
    for (const auto &[name, attribute] : node->attributes.all()) {
      if (const std::vector<Dim> *dims = std::get_if<std::vector<Dim>>(&attribute)) {
        check_dims(graph, *dims, where(*node));
      }
    }
    for (const std::unique_ptr<Graph> &region : node->regions) {
      SYLVITE_CHECK(region->parent == &graph, where(*node) + ": its region has another parent");
      verify(*region);
    }
    check_types(graph, *node);
    for (size_t i = 0; i < node->outputs.size(); ++i) {
      check_value(graph, *node->outputs[i], node.get(), i, where(*node));
      known.insert(node->outputs[i].get());
    }
  }
  for (const Value *input : graph.inputs()) {
    check_uses(*input, uses, "input '" + input->name + "'");
  }
  for (const std::unique_ptr<Node> &node : graph.nodes()) {
    for (const std::unique_ptr<Value> &value : node->outputs) {
      check_uses(*value, uses, where(*node));
    }
  }
  for (size_t i = 0; i < graph.output_count(); ++i) {
    SYLVITE_CHECK(known.count(graph.output(i)) != 0,
                  "output '" + graph.output_name(i) + "' is no value of the graph");
  }
  for (const Guard &guard : graph.guards) {
    check_dims(graph, {guard.left, guard.right}, "a guard");
  }
}

}  // namespace sylvite
