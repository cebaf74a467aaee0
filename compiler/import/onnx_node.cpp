// Reads a node's operands and attributes with the checks that every rule needs, and builds the
// small steps that rules are made of.
#include "compiler/import/onnx_node.h"

#include <algorithm>
#include <numeric>

#include "compiler/import/element_types.h"
#include "compiler/ir/evaluate.h"
#include "compiler/ir/infer.h"

namespace sylvite {
namespace {

// Far more than any operator wants of sizes, axes or steps.
constexpr int64_t kMaxNumbers = 4096;

// Of the evaluator. What is computed from constants takes few nodes, 64 at most, and is soon done.
constexpr int64_t kMaxKnownSteps = 1 << 22;
constexpr int64_t kStepsOfNode = kMaxKnownSteps / 64;

std::optional<Tensor> computed(const Value *value, int64_t &left) {
  if (const Tensor *const tensor = constant_of(value)) {
    return tensor->count() > kMaxNumbers ? std::nullopt : std::optional(*tensor);
  }
  const Node *const node = value->producer;
  const std::optional<std::vector<int64_t>> shape = static_shape(value->type.shape);
  if (node == nullptr || !shape || node->outputs.size() != 1 || !node->regions.empty() ||
      !attributes_are_numbers(*node)) {
    return {};
  }
  int64_t count = 1;
  for (const int64_t size : *shape) {
    count = size > kMaxNumbers ? kMaxNumbers + 1 : count * size;
    if (count > kMaxNumbers) {
      return {};
    }
  }
  left -= std::max(evaluation_steps(*node), kStepsOfNode);
  if (left < 0) {
    return {};
  }
  std::vector<Tensor> inputs;
  for (const Value *const input : node->inputs) {
    std::optional<Tensor> tensor = computed(input, left);
    if (!tensor) {
      return {};
    }
    inputs.push_back(std::move(*tensor));
  }
  return evaluate_node(*node, inputs, {}).front();
}

const char *kind_name(const OnnxAttribute &attribute) {
  constexpr const char *kNames[] = {"an integer", "a float", "a string", "a tensor",
                                    "integers",   "floats",  "strings"};
  return kNames[attribute.index()];
}

template <typename T>
const T &typed(const OnnxNode &node, const std::string &name, const OnnxAttribute &attribute,
               const char *expected) {
  if (const T *value = std::get_if<T>(&attribute)) {
    return *value;
  }
  node.fail("attribute '", name, "' is ", kind_name(attribute), ", expected ", expected);
}

}  // namespace

std::optional<Tensor> known_tensor(const Value *value) {
  if (const Tensor *const tensor = constant_of(value)) {
    return *tensor;
  }
  int64_t left = kMaxKnownSteps;
  return computed(value, left);
}

OnnxNode::OnnxNode(Graph &graph, std::string op_type, int64_t opset,
                   std::vector<std::string> sources, std::vector<Value *> inputs,
                   std::vector<std::string> output_names, AttributeLookup attributes)
    : graph_(graph),
      op_type_(std::move(op_type)),
      opset_(opset),
      sources_(std::move(sources)),
      inputs_(std::move(inputs)),
      output_names_(std::move(output_names)),
      outputs_(output_names_.size()),
      attributes_(std::move(attributes)) {}

Value *OnnxNode::input(size_t i) const {
  if (!has_input(i)) {
    fail("input ", i, " is missing");
  }
  return inputs_[i];
}

std::vector<Dim> OnnxNode::dims(size_t i, const char *role) const {
  const Value *const value = input(i);
  if (value->host) {
    return *value->host;
  }
  const std::optional<Tensor> tensor =
      is_integer(value->type.dtype) ? known_tensor(value) : std::nullopt;
  if (tensor) {
    if (tensor->count() > kMaxNumbers) {
      fail("takes its ", role, " from '", value->name, "', which holds ", tensor->count(),
           " numbers; at most ", kMaxNumbers, " are supported");
    }
    std::vector<Dim> result;
    for (int64_t k = 0; k < tensor->count(); ++k) {
      result.emplace_back(tensor->at_int(k));
    }
    return result;
  }
  throw ContentsWanted{value, "takes its " + std::string(role) + " from '" + value->name +
                                  "', whose contents are computed at run time; only those that "
                                  "follow from the sizes of the inputs, or from the contents of "
                                  "small inputs, are supported"};
}

Dim OnnxNode::dim(size_t i, const char *role) const {
  const std::vector<Dim> values = dims(i, role);
  if (values.size() != 1) {
    fail("expected one number as ", role, ", got ", values.size());
  }
  return values[0];
}

std::vector<int64_t> OnnxNode::numbers(size_t i, const char *role) const {
  std::vector<int64_t> result;
  for (const Dim &value : dims(i, role)) {
    if (!value.is_constant()) {
      fail("takes its ", role, " from '", input(i)->name, "', which is ", value.str(),
           "; only constants are supported");
    }
    result.push_back(*value.constant());
  }
  return result;
}

int64_t OnnxNode::number(size_t i, const char *role) const {
  const std::vector<int64_t> values = numbers(i, role);
  if (values.size() != 1) {
    fail("expected one number as ", role, ", got ", values.size());
  }
  return values[0];
}

void OnnxNode::set_output(size_t i, Value *value) {
  SYLVITE_CHECK(i < outputs_.size(), op_type_);
  outputs_[i] = value;
}

int64_t OnnxNode::integer(const std::string &name, std::optional<int64_t> fallback) const {
  const auto attribute = attributes_(name);
  if (!attribute && !fallback) {
    fail("attribute '", name, "' is missing");
  }
  return attribute ? typed<int64_t>(*this, name, *attribute, "an integer") : *fallback;
}

double OnnxNode::real(const std::string &name, std::optional<double> fallback) const {
  const auto attribute = attributes_(name);
  if (!attribute && !fallback) {
    fail("attribute '", name, "' is missing");
  }
  return attribute ? typed<double>(*this, name, *attribute, "a float") : *fallback;
}

std::string OnnxNode::text(const std::string &name, const std::string &fallback) const {
  const auto attribute = attributes_(name);
  return attribute ? typed<std::string>(*this, name, *attribute, "a string") : fallback;
}

std::vector<int64_t> OnnxNode::integers(const std::string &name,
                                        const std::vector<int64_t> &fallback) const {
  const auto attribute = attributes_(name);
  return attribute ? typed<std::vector<int64_t>>(*this, name, *attribute, "integers") : fallback;
}

std::vector<double> OnnxNode::reals(const std::string &name) const {
  const auto attribute = attributes_(name);
  return attribute ? typed<std::vector<double>>(*this, name, *attribute, "floats")
                   : std::vector<double>{};
}

std::optional<Tensor> OnnxNode::tensor(const std::string &name) const {
  const auto attribute = attributes_(name);
  if (!attribute) {
    return {};
  }
  return typed<Tensor>(*this, name, *attribute, "a tensor");
}

DType OnnxNode::dtype(const std::string &name) const {
  return dtype_of_onnx(integer(name));
}

int64_t OnnxNode::axis(int64_t value, int64_t rank) const {
  if (value < -rank || value >= rank) {
    fail("axis ", value, " is out of range for ", rank, " dimensions");
  }
  return value < 0 ? value + rank : value;
}

std::vector<int64_t> OnnxNode::axes(const std::vector<int64_t> &values, int64_t rank) const {
  std::vector<int64_t> result;
  if (rank > kMaxRank) {
    fail("has ", rank, " dimensions; at most ", kMaxRank, " are supported");
  }
  for (const int64_t value : values) {
    result.push_back(axis(value, rank));
    if (std::count(result.begin(), result.end(), result.back()) > 1) {
      fail("axis ", value, " is given twice");
    }
  }
  return result;
}

Node *OnnxNode::add_node(Op op, std::vector<Value *> inputs, Attributes attributes) {
  return graph_.add(op, std::move(inputs), std::move(attributes), sources_);
}

Value *OnnxNode::add(Op op, std::vector<Value *> inputs, Attributes attributes) {
  return add_node(op, std::move(inputs), std::move(attributes))->output();
}

Value *OnnxNode::constant(Tensor tensor) {
  return graph_.add_constant(std::move(tensor));
}

Value *OnnxNode::scalar(DType dtype, double value) {
  Tensor tensor(dtype, {});
  tensor.set(0, value);
  return constant(std::move(tensor));
}

Value *OnnxNode::integers_constant(const std::vector<int64_t> &values) {
  return constant(Tensor::of(DType::I64, {static_cast<int64_t>(values.size())}, values));
}

Value *OnnxNode::reshape(Value *x, const Shape &shape) {
  return x->type.shape == shape ? x : add(Op::Reshape, {x}, {{"shape", shape}});
}

Value *OnnxNode::transpose(Value *x, const std::vector<int64_t> &perm) {
  std::vector<int64_t> identity(perm.size());
  std::iota(identity.begin(), identity.end(), 0);
  return perm == identity ? x : add(Op::Transpose, {x}, {{"perm", perm}});
}

Value *OnnxNode::expand(Value *x, const Shape &shape) {
  return x->type.shape == shape ? x : add(Op::Expand, {x}, {{"shape", shape}});
}

Value *OnnxNode::slice(Value *x, int64_t axis, const Dim &start, const Dim &size) {
  const size_t rank = x->type.shape.size();
  std::vector<Dim> starts(rank, Dim(0));
  std::vector<Dim> sizes = x->type.shape;
  starts[static_cast<size_t>(axis)] = start;
  sizes[static_cast<size_t>(axis)] = size;
  if (start.is(0) && sizes == x->type.shape) {
    return x;
  }
  return add(Op::Slice, {x},
             {{"starts", starts}, {"sizes", sizes}, {"steps", std::vector<int64_t>(rank, 1)}});
}

Value *OnnxNode::concat(const std::vector<Value *> &parts, int64_t axis) {
  return parts.size() == 1 ? parts[0] : add(Op::Concat, parts, {{"axis", axis}});
}

Value *OnnxNode::cast(Value *x, DType dtype) {
  return x->type.dtype == dtype ? x : add(Op::Cast, {x}, {{"to", dtype}});
}

Value *OnnxNode::reduce(const std::string &kind, Value *x, std::vector<int64_t> axes,
                        bool keepdims) {
  std::sort(axes.begin(), axes.end());
  return add(Op::Reduce, {x}, {{"kind", kind}, {"axes", axes}, {"keepdims", int64_t{keepdims}}});
}

Value *OnnxNode::iota(const Dim &count) {
  return add(Op::Iota, {},
             {{"start", std::vector<Dim>{0}},
              {"step", std::vector<Dim>{1}},
              {"count", std::vector<Dim>{count}},
              {"dtype", DType::I64}});
}

Value *OnnxNode::dim_values(const std::vector<Dim> &values, const std::vector<int64_t> &shape) {
  return add(Op::DimValues, {}, {{"values", values}, {"shape", shape}, {"dtype", DType::I64}});
}

void OnnxNode::assume_equal(const Dim &left, const Dim &right, const std::string &what) {
  Node place;
  place.sources = sources_;
  Inference(graph_, place, &graph_).same_size(left, right, what);
}

void OnnxNode::assume_at_most(const Dim &size, const Dim &most, const std::string &reason) {
  if (proved_le(size, most)) {
    return;
  }
  if (proved_le(most + 1, size)) {
    fail(reason);
  }
  std::vector<Guard> &guards = outermost(graph_).guards;
  const Dim bounded = min(size, most);
  if (std::any_of(guards.begin(), guards.end(), [&](const Guard &guard) {
        return guard.left == bounded && guard.right == size;
      })) {
    return;
  }
  guards.push_back({bounded, size, "'" + name() + "' " + reason});
  const std::optional<int64_t> limit = most.constant();
  if (!limit) {
    return;
  }
  const std::vector<DimTerm> &terms = size.terms();
  if (terms.empty() || terms[0].coefficient != 1 || terms[0].factors.size() != 1 ||
      terms[0].factors[0].kind != AtomKind::Symbol) {
    return;
  }
  const std::string &symbol = terms[0].factors[0].name;
  const std::optional<int64_t> rest = (size - Dim::symbol(symbol)).constant();
  const SymbolInfo *const info = symbols().find(symbol);
  const std::optional<int64_t> upper = rest ? (Dim(*limit) - Dim(*rest)).constant() : std::nullopt;
  if (upper && info != nullptr && *upper >= info->lower) {
    SymbolInfo narrowed = *info;
    narrowed.upper = std::min(narrowed.upper.value_or(INT64_MAX), *upper);
    graph_.symbol_table().declare(symbol, narrowed);
  }
}

}  // namespace sylvite
