// The part is copied first: its symbols are renamed, bound sizes replaced, all in the copy, so that
// its nodes can be added as they are. Adding infers every type anew, from what the bound values
// really are.
#include "compiler/ir/compose.h"

#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

#include "compiler/ir/error.h"

namespace sylvite {
namespace {

// Symbols of the part get names that `into` does not use.
void rename_symbols(Graph &part, const SymbolTable &taken) {
  std::vector<std::pair<std::string, SymbolInfo>> symbols(part.symbols.all().begin(),
                                                          part.symbols.all().end());
  for (const auto &[name, info] : symbols) {
    if (taken.find(name) == nullptr) {
      continue;
    }
    std::string fresh = taken.fresh_name(name);
    while (part.symbols.find(fresh) != nullptr || taken.find(fresh) != nullptr) {
      fresh += "_";
    }
    part.substitute_symbol(name, Dim::symbol(fresh));
    part.symbols.declare(fresh, info);
  }
}

// What the part knows of a size's range, as a guard on the size that takes its place.
void keep_range(const std::string &symbol, const Dim &given, const std::string &place, Graph &part,
                const Graph &into) {
  const SymbolInfo info = *part.symbols.find(symbol);
  if (!prove_le(info.lower, given, into.symbols)) {
    part.guards.push_back({max(given, info.lower), given, place});
  }
  if (info.upper && !prove_le(given, *info.upper, into.symbols)) {
    part.guards.push_back({min(given, *info.upper), given, place});
  }
}

// Sizes of a bound input are the value's.
void bind_sizes(Graph &part, const std::string &name, const Value &value, const Graph &into) {
  const Value *input = find_input(part, name);
  SYLVITE_CHECK(input != nullptr, name);
  if (input->type.dtype != value.type.dtype || input->type.rank() != value.type.rank()) {
    throw_model_error("input '", name, "' is ", to_string(input->type), ", but what it is given, '",
                      value.name, "', is ", to_string(value.type));
  }
  for (size_t axis = 0; axis < value.type.shape.size(); ++axis) {
    const Dim wanted = input->type.shape[axis], given = value.type.shape[axis];
    const std::optional<std::string> symbol = wanted.as_symbol();
    const std::string place = "axis " + std::to_string(axis) + " of '" + name + "'";
    if (symbol && part.symbols.find(*symbol) != nullptr) {
      keep_range(*symbol, given, place, part, into);
      part.substitute_symbol(*symbol, given);
    } else if (wanted.is_constant() && given.is_constant() && wanted != given) {
      throw_model_error("axis ", axis, " of input '", name, "' is ", wanted.str(),
                        ", but that of what it is given, '", value.name, "', is ", given.str());
    } else if (wanted != given) {
      part.guards.push_back({wanted, given, place});
    }
  }
}

}  // namespace

Value *find_input(const Graph &graph, const std::string &name) {
  for (Value *input : graph.inputs()) {
    if (input->name == name) {
      return input;
    }
  }
  return nullptr;
}

Value *find_output(const Graph &graph, const std::string &name) {
  for (size_t i = 0; i < graph.output_count(); ++i) {
    if (graph.output_name(i) == name) {
      return graph.output(i);
    }
  }
  return nullptr;
}

std::map<std::string, Value *> add_part(Graph &into, const Graph &original,
                                        const std::map<std::string, Value *> &inputs) {
  std::map<std::string, Value *> bound = inputs;
  for (const Value *input : original.inputs()) {
    if (Value *same = find_input(into, input->name); same != nullptr) {
      bound.emplace(input->name, same);
    }
  }
  const std::unique_ptr<Graph> part = original.clone();
  rename_symbols(*part, into.symbols);
  for (const auto &[name, value] : bound) {
    bind_sizes(*part, name, *value, into);
  }
  for (const auto &[name, info] : part->symbols.all()) {
    into.symbols.declare(name, info);
  }
  into.guards.insert(into.guards.end(), part->guards.begin(), part->guards.end());
  into.warnings.insert(into.warnings.end(), part->warnings.begin(), part->warnings.end());

  std::unordered_map<const Value *, Value *> added;
  for (const Value *input : part->inputs()) {
    const auto found = bound.find(input->name);
    added[input] = found != bound.end() ? found->second : into.add_input(input->name, input->type);
  }
  for (const std::unique_ptr<Node> &node : part->nodes()) {
    std::vector<Value *> operands;
    for (const Value *input : node->inputs) {
      operands.push_back(added.at(input));
    }
    std::vector<std::unique_ptr<Graph>> regions;
    for (const std::unique_ptr<Graph> &region : node->regions) {
      regions.push_back(region->clone());
      regions.back()->parent = &into;
    }
    Node *copy = into.add(node->op, std::move(operands), node->attributes, std::move(regions),
                          node->sources);
    for (size_t i = 0; i < node->outputs.size(); ++i) {
      copy->output(i)->name = node->output(i)->name;
      added[node->output(i)] = copy->output(i);
    }
  }
  std::map<std::string, Value *> outputs;
  for (size_t i = 0; i < part->output_count(); ++i) {
    outputs[part->output_name(i)] = added.at(part->output(i));
  }
  return outputs;
}

}  // namespace sylvite
