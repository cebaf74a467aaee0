// A decoder's graph repeats everything at every token; what depends on the source alone need not
// be: the encoder, and of cross-attention the keys and values.
//
// A node belongs to step where an operand does, or where a size does that only the target's inputs
// have (an Expand of the source's mask to the target's length). What depends on neither, constants
// and positions, stands in both graphs. The cut's values become encode's outputs; a value that is
// an input of the source is passed on. One is passed on for its size alone where step has to know
// the size and takes nothing else that has it.
#include <algorithm>
#include <set>
#include <unordered_map>
#include <utility>
#include <variant>

#include "compiler/ir/compose.h"
#include "compiler/ir/error.h"
#include "passes/decoding.h"

namespace sylvite {
namespace {

bool contains(const std::vector<std::string> &names, const std::string &name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool mentions_any(const std::vector<Dim> &dims, const std::set<std::string> &symbols) {
  return std::any_of(dims.begin(), dims.end(), [&](const Dim &dim) {
    return std::any_of(symbols.begin(), symbols.end(),
                       [&](const std::string &symbol) { return mentions(dim, symbol); });
  });
}

// Every symbol that the graph's shapes and attributes hold.
void collect_symbols(const Graph &graph, std::set<std::string> &symbols) {
  const auto collect = [&](const std::vector<Dim> &dims) {
    for (const Dim &dim : dims) {
      symbols.merge(symbols_of(dim));
    }
  };
  for (const Value *input : graph.inputs()) {
    collect(input->type.shape);
  }
  for (const std::unique_ptr<Node> &node : graph.nodes()) {
    for (const auto &[name, value] : node->attributes.all()) {
      if (const std::vector<Dim> *dims = std::get_if<std::vector<Dim>>(&value)) {
        collect(*dims);
      }
    }
    for (const std::unique_ptr<Value> &output : node->outputs) {
      collect(output->type.shape);
    }
    for (const std::unique_ptr<Graph> &region : node->regions) {
      collect_symbols(*region, symbols);
    }
  }
}

class Splitter {
 public:
  Splitter(const Graph &whole, const std::vector<std::string> &sources)
      : whole_(whole), sources_(sources), target_symbols_(find_target_symbols()) {}

  SplitGraph run() {
    mark();
    collect_cut();
    while (leave_mixed_to_step()) {
      collect_cut();
    }
    name_cut();
    SplitGraph split;
    split.encode = whole_.clone();
    split.step = whole_.clone();
    cut_encode(*split.encode);
    cut_step(*split.step, split.links);
    return split;
  }

 private:
  enum class Part : uint8_t { Neither, Source, Target };

  // Symbols that only the target's inputs bind.
  std::set<std::string> find_target_symbols() const {
    std::set<std::string> source, target;
    for (const Value *input : whole_.inputs()) {
      for (const Dim &dim : input->type.shape) {
        const std::set<std::string> names = symbols_of(dim);
        (contains(sources_, input->name) ? source : target).insert(names.begin(), names.end());
      }
    }
    for (const std::string &name : source) {
      target.erase(name);
    }
    return target;
  }

  void mark() {
    for (const Value *input : whole_.inputs()) {
      parts_[input] = contains(sources_, input->name) ? Part::Source : Part::Target;
    }
    for (const std::unique_ptr<Node> &node : whole_.nodes()) {
      Part part = Part::Neither;
      for (const Value *input : node->inputs) {
        part = std::max(part, parts_.at(input));
      }
      bool of_target = false;
      for (const auto &[name, value] : node->attributes.all()) {
        const std::vector<Dim> *dims = std::get_if<std::vector<Dim>>(&value);
        of_target = of_target || (dims != nullptr && mentions_any(*dims, target_symbols_));
      }
      for (const std::unique_ptr<Value> &output : node->outputs) {
        of_target = of_target || mentions_any(output->type.shape, target_symbols_);
      }
      for (const std::unique_ptr<Value> &output : node->outputs) {
        parts_[output.get()] = of_target ? Part::Target : part;
      }
    }
  }

  // Whether rows of this value can be told apart: the batch is an axis of its own. Where heads or
  // positions share its axis, nothing says in which order they stand there; where the exporter
  // froze the batch, nothing says which axis it is.
  bool has_rows(const Value *value) const {
    const Dim &batch = find_input(whole_, sources_.front())->type.shape.at(0);
    if (batch.constant()) {
      return batch.is(1) || value->is_graph_input();
    }
    const std::string symbol = batch.as_symbol().value_or("");
    int axes = 0;
    for (const Dim &dim : value->type.shape) {
      if (mentions(dim, symbol)) {
        ++axes;
        if (dim != batch) {
          return false;
        }
      }
    }
    return axes <= 1;
  }

  // Where the cut's values have no rows, step computes them from what has. Says whether there were
  // such.
  bool leave_mixed_to_step() {
    bool found = false;
    for (const Value *value : cut_) {
      if (!has_rows(value) && !value->is_graph_input()) {
        for (const std::unique_ptr<Value> &output : value->producer->outputs) {
          parts_[output.get()] = Part::Target;
        }
        found = true;
      }
    }
    return found;
  }

  // The source's values that step reads.
  void collect_cut() {
    cut_.clear();
    const auto note = [&](const Value *value) {
      if (parts_.at(value) == Part::Source &&
          std::find(cut_.begin(), cut_.end(), value) == cut_.end()) {
        cut_.push_back(value);
      }
    };
    for (const std::unique_ptr<Node> &node : whole_.nodes()) {
      if (std::any_of(node->outputs.begin(), node->outputs.end(), [&](const auto &output) {
            return parts_.at(output.get()) == Part::Target;
          })) {
        std::for_each(node->inputs.begin(), node->inputs.end(), note);
      }
    }
    for (size_t i = 0; i < whole_.output_count(); ++i) {
      note(whole_.output(i));
    }
  }

  // Names for what is cut, unlike those of the inputs.
  void name_cut() {
    std::set<std::string> taken;
    for (const Value *input : whole_.inputs()) {
      taken.insert(input->name);
    }
    for (const Value *value : cut_) {
      std::string name = value->name;
      if (!value->is_graph_input()) {
        const std::string base = name.empty() ? "state" : name;
        name = base;
        for (int i = 2; !taken.insert(name).second; ++i) {
          name = base + "_" + std::to_string(i);
        }
      }
      names_.push_back(name);
    }
  }

  // The cut's values in a clone, which has nodes and inputs in the same order.
  std::vector<Value *> cut_in(const Graph &clone) const {
    std::unordered_map<const Value *, Value *> copies;
    for (size_t i = 0; i < whole_.inputs().size(); ++i) {
      copies[whole_.inputs()[i]] = clone.inputs()[i];
    }
    auto copy = clone.nodes().begin();
    for (const std::unique_ptr<Node> &node : whole_.nodes()) {
      for (size_t i = 0; i < node->outputs.size(); ++i) {
        copies[node->output(i)] = (*copy)->output(i);
      }
      ++copy;
    }
    std::vector<Value *> result;
    for (const Value *value : cut_) {
      result.push_back(copies.at(value));
    }
    return result;
  }

  std::vector<std::string> target_inputs() const {
    std::vector<std::string> names;
    for (const Value *input : whole_.inputs()) {
      if (!contains(sources_, input->name)) {
        names.push_back(input->name);
      }
    }
    return names;
  }

  void cut_step(Graph &step, std::map<std::string, std::string> &links) const {
    const std::vector<Value *> values = cut_in(step);
    for (size_t i = 0; i < values.size(); ++i) {
      links[names_[i]] = names_[i];
      if (!values[i]->is_graph_input()) {
        const TensorType type = values[i]->type;
        step.replace_uses(values[i], step.add_input(names_[i], type));
      }
    }
    step.remove_dead();
    drop_unused_inputs(step, target_inputs());
    add_inputs_for_sizes(step, links);
    drop_unbound_guards(step);  // encode has those of the source alone
  }

  // Inputs of the source that step takes for sizes which no other of its inputs has as an axis.
  void add_inputs_for_sizes(Graph &step, std::map<std::string, std::string> &links) const {
    std::set<std::string> needed;
    collect_symbols(step, needed);
    for (const Guard &guard : step.guards) {
      if (mentions_any({guard.left, guard.right}, target_symbols_)) {
        needed.merge(symbols_of(guard.left));
        needed.merge(symbols_of(guard.right));
      }
    }
    for (const Value *input : step.inputs()) {
      for (const Dim &dim : input->type.shape) {
        needed.erase(dim.as_symbol().value_or(""));
      }
    }
    for (const Value *input : whole_.inputs()) {
      if (contains(sources_, input->name) && find_input(step, input->name) == nullptr &&
          mentions_any(input->type.shape, needed)) {
        links[input->name] = input->name;
        step.add_input(input->name, input->type);
        for (const Dim &dim : input->type.shape) {
          needed.erase(dim.as_symbol().value_or(""));
        }
      }
    }
  }

  void cut_encode(Graph &encode) const {
    const std::vector<Value *> values = cut_in(encode);
    encode.clear_outputs();
    for (size_t i = 0; i < values.size(); ++i) {
      if (!values[i]->is_graph_input()) {
        encode.add_output(names_[i], values[i]);
      }
    }
    encode.remove_dead();
    drop_unused_inputs(encode, sources_);
    drop_unbound_guards(encode);
    for (const std::string &symbol : target_symbols_) {
      encode.symbols.erase(symbol);
    }
  }

  const Graph &whole_;
  const std::vector<std::string> &sources_;
  const std::set<std::string> target_symbols_;
  std::unordered_map<const Value *, Part> parts_;
  std::vector<const Value *> cut_;
  std::vector<std::string> names_;
};

}  // namespace

SplitGraph split_at_sources(const Graph &whole, const std::vector<std::string> &sources) {
  for (const std::string &name : sources) {
    if (find_input(whole, name) == nullptr) {
      throw_model_error("there is no input '", name, "'");
    }
  }
  return Splitter(whole, sources).run();
}

}  // namespace sylvite
