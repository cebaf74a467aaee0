// A rewrite is right when the graph behind it computes what the graph before it computed. Both are
// evaluated on the same inputs, and their outputs compared; but rounding differs wherever constants
// are re-associated, differences grow on their way through forty layers, and one that crosses a
// rounding to whole numbers is large. So values are compared where they arise: one that kept its
// name through the pass and agrees with what was recorded *is* what was recorded for whatever reads
// it. What is left of a difference is that of the rewritten region alone, and a narrow tolerance
// does.
//
// Names are a help and no promise: a value that does not agree (a pass may have kept a name for
// something else) goes its own way. What decides are the outputs; only if one of them is off, the
// first value that did not agree tells where. In front of form_kernels nodes are ops, later
// kernels: there the values inside of the kernel's region, which were values of the graph once,
// name the place.
#include "passes/check_rewrites.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <sstream>
#include <utility>

#include "compiler/ir/error.h"
#include "compiler/ir/evaluate.h"

namespace sylvite {
namespace {

// Of a float's rounding to each narrowest type in a graph, some units: constants are re-associated,
// so results may be rounded to a neighbour.
double tolerance_of(DType dtype) {
  switch (dtype) {
    case DType::F16:
      return 4e-3;
    case DType::BF16:
      return 3e-2;
    default:
      return 2e-5;
  }
}

double tolerance_of(const Graph &graph) {
  double tolerance = tolerance_of(DType::F32);
  for (const Value *input : graph.inputs()) {
    tolerance = std::max(tolerance, tolerance_of(input->type.dtype));
  }
  for (const std::unique_ptr<Node> &node : graph.nodes()) {
    for (const std::unique_ptr<Value> &output : node->outputs) {
      tolerance = std::max(tolerance, tolerance_of(output->type.dtype));
    }
    for (const std::unique_ptr<Graph> &region : node->regions) {
      tolerance = std::max(tolerance, tolerance_of(*region));
    }
  }
  return tolerance;
}

// Names that more than one value has say nothing.
std::set<std::string> ambiguous_names(const Graph &graph) {
  std::set<std::string> names, ambiguous = {""};
  const auto add = [&](const Value &value) {
    if (!names.insert(value.name).second) {
      ambiguous.insert(value.name);
    }
  };
  for (const Value *input : graph.inputs()) {
    add(*input);
  }
  for (const std::unique_ptr<Node> &node : graph.nodes()) {
    for (const std::unique_ptr<Value> &output : node->outputs) {
      add(*output);
    }
  }
  return ambiguous;
}

// "node '/encoder/layer.0/Add'", or the kind of thing where it has no name.
std::string place_of(const Node &node) {
  return node.sources.empty() ? "node " + describe(node) : "node '" + node.sources.front() + "'";
}

double largest_of(const Tensor &tensor) {
  double largest = 0;
  for (int64_t i = 0; i < tensor.count(); ++i) {
    const double size = std::fabs(tensor.at(i));
    largest = std::isfinite(size) ? std::max(largest, size) : largest;
  }
  return largest;
}

bool same_type(const Tensor &a, const Tensor &b) {
  return a.dtype() == b.dtype() && a.shape() == b.shape();
}

// The first element that differs: whole numbers by more than nothing, floats by more than
// `tolerance` of the element, or of 1 where the tensor has such large ones.
std::optional<int64_t> first_difference(const Tensor &got, const Tensor &expected,
                                        double tolerance) {
  if (same_tensor(got, expected)) {
    return std::nullopt;
  }
  const bool exact = !is_float(expected.dtype());
  const double unit = exact ? 0 : std::min(1.0, largest_of(expected));
  for (int64_t i = 0; i < expected.count(); ++i) {
    if (exact) {
      if (got.at_int(i) != expected.at_int(i)) {
        return i;
      }
      continue;
    }
    const double a = got.at(i), b = expected.at(i);
    if (a == b || (std::isnan(a) && std::isnan(b))) {
      continue;
    }
    if (!(std::fabs(a - b) <= tolerance * std::max(unit, std::fabs(b))) || std::isinf(b)) {
      return i;
    }
  }
  return std::nullopt;
}

// "[0, 3] is 0.25, was 0.5"
std::string describe_difference(const Tensor &got, const Tensor &expected, int64_t element) {
  std::string index;
  int64_t rest = element;
  for (size_t axis = expected.shape().size(); axis-- > 0;) {
    const int64_t size = expected.shape()[axis];
    index.insert(0, std::to_string(rest % size) + (index.empty() ? "" : ", "));
    rest /= size;
  }
  std::ostringstream text;
  text.precision(9);
  text << "[" << index << "] is ";
  if (is_float(expected.dtype())) {
    text << got.at(element) << ", was " << expected.at(element);
  } else {
    text << got.at_int(element) << ", was " << expected.at_int(element);
  }
  return text.str();
}

}  // namespace

RewriteCheck::RewriteCheck(const Graph &graph) : graph_(&graph), tolerance_(tolerance_of(graph)) {}

void RewriteCheck::add_sample(const std::string &sizes, std::vector<Tensor> inputs) {
  SYLVITE_CHECK(steps_ == 0, "samples are added before the first step");
  Sample nothing;
  nothing.sizes = sizes;
  nothing.inputs = std::move(inputs);
  std::optional<Difference> none;
  samples_.push_back(evaluated(*graph_, nothing, none));
}

void RewriteCheck::step(const std::string &pass, const Graph &graph) {
  const RunningScope running("check of pass " + pass);
  ++steps_;
  for (Sample &before : samples_) {
    std::optional<Difference> first;
    Sample after;
    try {
      after = evaluated(graph, before, first);
    } catch (const ModelError &error) {
      throw InternalError("pass " + pass + " makes the graph refuse what it took before, at " +
                          before.sizes + ": " + error.what());
    }
    SYLVITE_CHECK(after.outputs.size() == before.outputs.size());
    for (size_t i = 0; i < after.outputs.size(); ++i) {
      const std::optional<Difference> found =
          compare(graph.output_name(i), after.outputs[i].tensor, before.outputs[i]);
      if (found) {
        const Difference &guilty = first ? *first : *found;
        throw InternalError("pass " + pass + " changes what " + guilty.node + " computes: '" +
                            guilty.value + "' " + guilty.element + " (at " + before.sizes + ")");
      }
    }
    before = std::move(after);
  }
}

std::optional<RewriteCheck::Difference> RewriteCheck::compare(const std::string &name,
                                                              const Tensor &got,
                                                              const Record &expected) const {
  if (!same_type(got, expected.tensor)) {
    return Difference{expected.node, name, "has another type or shape"};
  }
  const std::optional<int64_t> element = first_difference(got, expected.tensor, tolerance_);
  if (!element) {
    return std::nullopt;
  }
  return Difference{expected.node, name, describe_difference(got, expected.tensor, *element)};
}

// The first value in a kernel that was recorded when it was one of the graph, and differs.
std::optional<RewriteCheck::Difference> RewriteCheck::inside(
    const Node &kernel, const std::vector<Tensor> &operands,
    const std::map<std::string, int64_t> &symbols, const Sample &before) const {
  const Graph &region = *kernel.regions[0];
  const std::set<std::string> ambiguous = ambiguous_names(region);
  std::map<const Value *, Tensor> values;
  for (size_t i = 0; i < operands.size(); ++i) {
    values[region.inputs()[i]] = operands[i];
  }
  for (const std::unique_ptr<Node> &node : region.nodes()) {
    std::vector<Tensor> inputs;
    for (const Value *input : node->inputs) {
      inputs.push_back(values.at(input));
    }
    const std::vector<Tensor> results = evaluate_node(*node, inputs, symbols);
    for (size_t i = 0; i < results.size(); ++i) {
      const std::string &name = node->output(i)->name;
      const auto recorded = before.values.find(name);
      if (recorded != before.values.end() && ambiguous.count(name) == 0 &&
          same_type(results[i], recorded->second.tensor)) {
        const std::optional<Difference> found = compare(name, results[i], recorded->second);
        if (found) {
          return found;
        }
      }
      values[node->output(i)] = results[i];
    }
  }
  return std::nullopt;
}

RewriteCheck::Sample RewriteCheck::evaluated(const Graph &graph, const Sample &before,
                                             std::optional<Difference> &first) {
  Sample after;
  after.sizes = before.sizes;
  after.inputs = before.inputs;
  const std::set<std::string> ambiguous = ambiguous_names(graph);
  std::map<const Value *, Record> all;  // tensors share their bytes
  for (size_t i = 0; i < graph.inputs().size() && i < before.inputs.size(); ++i) {
    const Value *input = graph.inputs()[i];
    all[input] = {before.inputs[i], "input '" + input->name + "'"};
  }
  const auto note_difference = [&](const Node &node, Difference found) {
    if (node.op == Op::Kernel) {
      std::vector<Tensor> operands;
      for (const Value *input : node.inputs) {
        operands.push_back(all.at(input).tensor);
      }
      first = inside(node, operands, bind_symbols(graph, before.inputs), before);
    }
    first = first.value_or(std::move(found));
  };
  const auto observe = [&](const Node &node, std::vector<Tensor> &results) {
    for (size_t i = 0; i < results.size(); ++i) {
      const Value *value = node.output(i);
      const auto recorded = before.values.find(value->name);
      if (recorded != before.values.end() && ambiguous.count(value->name) == 0 &&
          same_type(results[i], recorded->second.tensor)) {
        std::optional<Difference> found = compare(value->name, results[i], recorded->second);
        if (!found) {
          results[i] = recorded->second.tensor;
        } else if (!first) {
          note_difference(node, std::move(*found));
        }
      }
      all[value] = {results[i], place_of(node)};
      // Constants are no place; one that a computation became is compared with what it gave.
      if (node.op != Op::Constant && ambiguous.count(value->name) == 0) {
        after.values[value->name] = all[value];
      }
    }
  };
  const std::vector<Tensor> outputs = evaluate(graph, before.inputs, {observe});
  for (size_t i = 0; i < outputs.size(); ++i) {
    after.outputs.push_back({outputs[i], all.at(graph.output(i)).node});
  }
  return after;
}

}  // namespace sylvite
