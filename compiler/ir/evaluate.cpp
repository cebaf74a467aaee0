// Walks a graph in order and evaluates each node; the ops themselves are in
// evaluate_elementwise.cpp, evaluate_views.cpp and evaluate_roots.cpp.
#include "compiler/ir/evaluate.h"

#include <algorithm>
#include <cstdint>
#include <set>
#include <utility>

#include "compiler/ir/error.h"
#include "compiler/ir/evaluate_parts.h"

namespace sylvite {
namespace {

// left = coefficient * symbol + rest, for one unbound symbol that occurs once and alone.
struct Affine {
  std::string symbol;
  int64_t coefficient = 0;
  int64_t rest = 0;
};

std::optional<Affine> as_affine(const Dim &dim, const SymbolValues &known) {
  Affine affine;
  for (const DimTerm &term : dim.terms()) {
    std::vector<std::string> unknown;
    int64_t product = term.coefficient;
    for (const DimAtom &factor : term.factors) {
      if (factor.kind != AtomKind::Symbol) {
        return std::nullopt;
      }
      const auto found = known.find(factor.name);
      if (found == known.end()) {
        unknown.push_back(factor.name);
      } else {
        product *= found->second;
      }
    }
    if (unknown.empty()) {
      affine.rest += product;
    } else if (unknown.size() == 1 && affine.symbol.empty()) {
      affine.symbol = unknown[0];
      affine.coefficient = product;
    } else {
      return std::nullopt;
    }
  }
  return affine;
}

// What an expression over the symbols is in this run.
struct Given {
  Dim dim;
  int64_t value = 0;
  std::string place;
};

void check_range(const SymbolTable &table, const std::string &symbol, int64_t value,
                 const std::string &place) {
  const SymbolInfo *info = table.find(symbol);
  if (info == nullptr) {
    return;
  }
  if (value < info->lower) {
    throw_model_error(place, " is ", value, ", expected at least ", info->lower);
  }
  if (info->upper && value > *info->upper) {
    throw_model_error(place, " is ", value, ", expected at most ", *info->upper);
  }
}

}  // namespace

std::map<std::string, int64_t> bind_symbols(const Graph &graph, const std::vector<Tensor> &inputs) {
  if (inputs.size() != graph.inputs().size()) {
    throw_model_error("expected ", graph.inputs().size(), " inputs, got ", inputs.size());
  }
  SymbolValues symbols;
  const auto place = [&](size_t i, size_t axis) {
    return "input '" + graph.inputs()[i]->name + "': size of axis " + std::to_string(axis);
  };
  for (size_t i = 0; i < inputs.size(); ++i) {
    const TensorType &type = graph.inputs()[i]->type;
    if (inputs[i].dtype() != type.dtype) {
      throw_model_error("input '", graph.inputs()[i]->name, "': expected ", name_of(type.dtype),
                        ", got ", name_of(inputs[i].dtype()));
    }
    if (inputs[i].rank() != type.rank()) {
      throw_model_error("input '", graph.inputs()[i]->name, "': expected shape ",
                        to_string(type.shape), ", got ", inputs[i].rank(), " axes");
    }
  }
  // Sizes first, then contents that are used as sizes.
  std::vector<Given> given;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Shape &shape = graph.inputs()[i]->type.shape;
    for (size_t axis = 0; axis < shape.size(); ++axis) {
      given.push_back({shape[axis], inputs[i].shape()[axis], place(i, axis)});
    }
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    const std::optional<std::vector<Dim>> &host = graph.inputs()[i]->host;
    if (host && static_cast<int64_t>(host->size()) == inputs[i].count()) {
      for (size_t k = 0; k < host->size(); ++k) {
        given.push_back({(*host)[k], inputs[i].at_int(static_cast<int64_t>(k)),
                         "input '" + graph.inputs()[i]->name + "': element " + std::to_string(k)});
      }
    }
  }
  // Two rounds: an expression may stand before the input that gives its other symbols.
  for (int round = 0; round < 2; ++round) {
    for (const Given &each : given) {
      const std::optional<Affine> affine = as_affine(each.dim, symbols);
      if (affine && !affine->symbol.empty() && affine->coefficient != 0 &&
          (each.value - affine->rest) % affine->coefficient == 0) {
        const int64_t value = (each.value - affine->rest) / affine->coefficient;
        check_range(graph.symbol_table(), affine->symbol, value, each.place);
        symbols[affine->symbol] = value;
      }
    }
  }
  for (const Given &each : given) {
    int64_t expected = 0;
    try {
      expected = evaluate(each.dim, symbols);
    } catch (const std::out_of_range &) {
      throw_model_error(each.place, " is ", each.value, ", which does not fit ", each.dim.str());
    }
    if (expected != each.value) {
      throw_model_error(each.place, " is ", each.value, ", expected ", expected,
                        each.dim.is_constant() ? "" : " (" + each.dim.str() + ")");
    }
  }
  check_guards(graph, symbols, "");
  return symbols;
}

bool attributes_are_numbers(const Node &node) {
  const auto &attributes = node.attributes.all();
  return std::all_of(attributes.begin(), attributes.end(), [](const auto &attribute) {
    const auto *const dims = std::get_if<std::vector<Dim>>(&attribute.second);
    return dims == nullptr || std::all_of(dims->begin(), dims->end(),
                                          [](const Dim &dim) { return dim.is_constant(); });
  });
}

int64_t evaluation_steps(const Node &node) {
  const auto product = [](int64_t a, int64_t b) {
    int64_t result = 0;
    return __builtin_mul_overflow(a, b, &result) ? INT64_MAX : result;
  };
  const auto count = [&](const Value *value) {
    int64_t result = 1;
    for (const Dim &size : value->type.shape) {
      result = product(result, size.constant().value_or(INT64_MAX));
    }
    return result;
  };
  int64_t steps = 0, largest = 1;
  for (const std::unique_ptr<Value> &output : node.outputs) {
    steps = std::max(steps, count(output.get()));
  }
  for (const Value *const input : node.inputs) {
    largest = std::max(largest, count(input));
  }
  if (node.op == Op::Pool) {  // its window may be larger than what it slides over
    int64_t window = 1;
    for (const int64_t size : node.attributes.integers("kernel")) {
      window = product(window, size);
    }
    return product(steps, window);
  }
  return class_of(node.op) == OpClass::Root ? product(steps, largest) : std::max(steps, largest);
}

std::vector<Tensor> evaluate_node(const Node &node, const std::vector<Tensor> &inputs,
                                  const SymbolValues &symbols) {
  switch (class_of(node.op)) {
    case OpClass::Elementwise:
      return {evaluate_elementwise(node, inputs, symbols)};
    case OpClass::View:
      return {evaluate_view(node, inputs, symbols)};
    case OpClass::Lookup:
      return {evaluate_lookup(node, inputs)};
    case OpClass::Root:
      return evaluate_root(node, inputs, symbols);
    case OpClass::Library:
      return evaluate_library(node, inputs, symbols);
    case OpClass::Region:
      return evaluate_region(*node.regions[0], inputs, symbols);
    case OpClass::Control: {
      SymbolValues own = symbols;
      return evaluate_control(node, inputs, own);
    }
    case OpClass::Leaf:
      break;
  }
  const Attributes &attributes = node.attributes;
  if (node.op == Op::Constant) {
    return {*attributes.tensor("value")};
  }
  const DType dtype = node.output()->type.dtype;
  Tensor result(dtype, evaluate_shape(node.output()->type.shape, symbols));
  if (node.op == Op::Iota) {
    const int64_t start = evaluate(attributes.dims("start")[0], symbols);
    const int64_t step = evaluate(attributes.dims("step")[0], symbols);
    for (int64_t i = 0; i < result.count(); ++i) {
      result.set_int(i, start + i * step);
    }
  } else {
    SYLVITE_CHECK(node.op == Op::DimValues);
    const std::vector<Dim> &values = attributes.dims("values");
    for (size_t i = 0; i < values.size(); ++i) {
      result.set_int(static_cast<int64_t>(i), evaluate(values[i], symbols));
    }
  }
  return {result};
}

namespace {

std::vector<Tensor> walk(const Graph &graph, const std::vector<Tensor> &inputs,
                         SymbolValues symbols, const EvaluateOptions &options) {
  SYLVITE_CHECK(inputs.size() == graph.inputs().size());
  std::map<const Value *, Tensor> values;
  std::map<const Value *, size_t> uses_left;
  for (size_t i = 0; i < inputs.size(); ++i) {
    values[graph.inputs()[i]] = inputs[i];
  }
  for (const std::unique_ptr<Node> &node : graph.nodes()) {
    std::vector<Tensor> operands;
    for (const Value *input : node->inputs) {
      operands.push_back(values.at(input));
    }
    std::vector<Tensor> results = class_of(node->op) == OpClass::Control
                                      ? evaluate_control(*node, operands, symbols)
                                      : evaluate_node(*node, operands, symbols);
    SYLVITE_CHECK(results.size() == node->outputs.size(), describe(*node));
    for (size_t i = 0; i < results.size(); ++i) {
      const TensorType &type = node->output(i)->type;
      SYLVITE_CHECK(results[i].dtype() == type.dtype &&
                        results[i].shape() == evaluate_shape(type.shape, symbols),
                    describe(*node) + ": the evaluator's result does not have the inferred type");
    }
    if (options.observe) {
      options.observe(*node, results);
    }
    for (size_t i = 0; i < results.size(); ++i) {
      const Value *value = node->output(i);
      uses_left[value] = value->users.size();
      values[value] = std::move(results[i]);
    }
    for (const Value *input : node->inputs) {  // what nobody reads any more is dropped
      const auto left = uses_left.find(input);
      if (left != uses_left.end() && --left->second == 0 && !graph.is_output(input)) {
        values.erase(input);
      }
    }
  }
  std::vector<Tensor> outputs;
  for (size_t i = 0; i < graph.output_count(); ++i) {
    outputs.push_back(values.at(graph.output(i)));
  }
  return outputs;
}

}  // namespace

std::vector<Tensor> evaluate_region(const Graph &region, const std::vector<Tensor> &inputs,
                                    const SymbolValues &symbols) {
  return walk(region, inputs, symbols, {});
}

std::vector<Tensor> evaluate(const Graph &graph, const std::vector<Tensor> &inputs,
                             const EvaluateOptions &options) {
  return walk(graph, inputs, bind_symbols(graph, inputs), options);
}

void check_guards(const Graph &graph, const SymbolValues &symbols, const std::string &about) {
  for (const Guard &guard : outermost(graph).guards) {
    std::set<std::string> names = symbols_of(guard.left);
    names.merge(symbols_of(guard.right));
    const bool known = std::all_of(names.begin(), names.end(), [&](const std::string &name) {
      return symbols.count(name) != 0;
    });
    if (!known || (!about.empty() && names.count(about) == 0)) {
      continue;
    }
    const int64_t left = evaluate(guard.left, symbols), right = evaluate(guard.right, symbols);
    if (left != right) {
      throw_model_error(guard.reason, ": ", guard.left.str(), " (", left, ") and ",
                        guard.right.str(), " (", right, ") must be equal");
    }
  }
}

std::vector<int64_t> evaluate_shape(const Shape &shape, const SymbolValues &symbols) {
  std::vector<int64_t> result;
  for (const Dim &dim : shape) {
    result.push_back(evaluate(dim, symbols));
    if (result.back() < 0) {
      throw_model_error("a size is negative at these inputs: ", dim.str(), " = ", result.back());
    }
  }
  return result;
}

std::vector<int64_t> row_major_strides(const std::vector<int64_t> &shape) {
  std::vector<int64_t> strides(shape.size(), 1);
  for (size_t axis = shape.size(); axis-- > 1;) {
    // Of an empty tensor, whose other sizes may be huge, no stride is used.
    strides[axis - 1] = static_cast<int64_t>(static_cast<uint64_t>(strides[axis]) *
                                             static_cast<uint64_t>(shape[axis]));
  }
  return strides;
}

int64_t count_of(const std::vector<int64_t> &shape) {
  int64_t count = std::find(shape.begin(), shape.end(), 0) == shape.end() ? 1 : 0;
  for (int64_t size : shape) {
    count *= size;
  }
  return count;
}

bool advance(Index &index, const std::vector<int64_t> &shape) {
  for (size_t axis = shape.size(); axis-- > 0;) {
    if (++index[axis] < shape[axis]) {
      return true;
    }
    index[axis] = 0;
  }
  return false;
}

int64_t broadcast_offset(const Index &index, const std::vector<int64_t> &shape) {
  int64_t offset = 0;
  const size_t skipped = index.size() - shape.size();
  for (size_t axis = 0; axis < shape.size(); ++axis) {
    offset = offset * shape[axis] + (shape[axis] == 1 ? 0 : index[skipped + axis]);
  }
  return offset;
}

std::string place_of(const Node &node) {
  return node.sources.empty() ? describe(node) : "node '" + node.sources.front() + "'";
}

int64_t checked_index(const Node &node, int64_t index, int64_t size, const char *what) {
  if (index < -size || index >= size) {
    throw_model_error(place_of(node), ": ", what, " ", index, " is out of range for size ", size);
  }
  return index < 0 ? index + size : index;
}

}  // namespace sylvite
