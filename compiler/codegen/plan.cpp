// Graph of kernels -> Plan.
//
// Values that differ only by a reshape share one buffer: a kernel reads an address and knows its
// shapes, so a kernel node that only regroups the elements of its input costs nothing at run time.
// A pool that a node appends to is written in place: the result is the pool's buffer.
// Buffers are numbered in one row: inputs, outputs, intermediates, weights. A kernel writes a graph
// output straight into the output's buffer; only an output that is an input, a weight, or a second
// name of another output is copied, after the last call. Equal weights are stored once.
#include "compiler/codegen/plan.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "compiler/codegen/hash.h"
#include "compiler/codegen/plan_parts.h"
#include "compiler/ir/error.h"
#include "compiler/ir/kernel_traits.h"
#include "runtime/abi.h"

namespace sylvite {
namespace {

constexpr int64_t kMaxElements = int64_t{1} << 31;  // kernels index with 32 bits

bool is_one(const Dim &dim) {
  return dim.is(1);
}

// Whether a node's result has the elements of its first input in the same order.
bool keeps_elements(const Node &node) {
  const TensorType &from = node.input(0)->type;
  const TensorType &to = node.output()->type;
  switch (node.op) {
    case Op::Reshape:
      return true;
    case Op::Cast:
      return from.dtype == to.dtype;
    case Op::Expand:  // adds axes of size 1 at most
      return element_count(from.shape) == element_count(to.shape);
    case Op::Slice:
    case Op::Pad:
      return from.shape == to.shape &&
             (node.op == Op::Pad ||
              node.attributes.integers("steps") == std::vector<int64_t>(from.shape.size(), 1));
    case Op::Concat:
      return node.inputs.size() == 1;
    case Op::Transpose: {  // only axes of size 1 change places
      int64_t last = -1;
      for (const int64_t axis : node.attributes.integers("perm")) {
        if (is_one(from.shape[static_cast<size_t>(axis)])) {
          continue;
        }
        if (axis < last) {
          return false;
        }
        last = axis;
      }
      return true;
    }
    default:
      return false;
  }
}

// The input of the region whose elements `value` has, in the same order; null where it computes
// something.
const Value *source_of(const Value *value) {
  while (value->producer != nullptr) {
    if (value->producer->inputs.empty() || !keeps_elements(*value->producer)) {
      return nullptr;
    }
    value = value->producer->input(0);
  }
  return value;
}

// For a kernel whose results are all reshapes of its inputs: these inputs; otherwise empty.
std::vector<const Value *> reshaped_inputs(const Node &kernel) {
  const Graph &region = *kernel.regions[0];
  std::vector<const Value *> sources;
  for (size_t i = 0; i < region.output_count(); ++i) {
    const Value *source = source_of(region.output(i));
    if (source == nullptr) {
      return {};
    }
    sources.push_back(kernel.input(static_cast<size_t>(source->index)));
  }
  return sources;
}

const Node *library_node(const Graph &region) {
  for (const auto &node : region.nodes()) {
    if (class_of(node->op) == OpClass::Library) {
      return node.get();
    }
  }
  return nullptr;
}

// The pool that a kernel appends to in place, or null. Nobody else may read it as it was before.
const Value *appended_pool(const Node &kernel) {
  const Node *library = library_node(*kernel.regions[0]);
  if (library == nullptr || library->op != Op::Append) {
    return nullptr;
  }
  const Value *pool = kernel.input(static_cast<size_t>(library->input(0)->index));
  SYLVITE_CHECK(pool->producer == nullptr && pool->users.size() == 1,
                "a pool is no input of the graph, or has another reader");
  return pool;
}

struct PlanBuilder {
  const Graph &graph;
  Plan plan;
  std::map<const Value *, const Value *> reshape_of;  // value -> the value whose elements it has
  std::vector<const Node *> calls;                    // kernel nodes that compute something
  BufferNumbers numbers;

  // The value whose buffer `value` shares.
  const Value *storage(const Value *value) const {
    for (auto found = reshape_of.find(value); found != reshape_of.end();
         found = reshape_of.find(value)) {
      value = found->second;
    }
    return value;
  }

  int number(const Value *value) const {
    const auto found = numbers.find(value);
    SYLVITE_CHECK(found != numbers.end(), "no buffer for value '" + value->name + "'");
    return found->second;
  }

  void find_calls();
  void number_inputs_and_outputs();
  void number_intermediates();
  void number_weights();
  void number_reshapes();
  void add_calls();
  void add_copies();
};

void PlanBuilder::find_calls() {
  for (const auto &node : graph.nodes()) {
    if (node->op == Op::Constant) {
      continue;
    }
    SYLVITE_CHECK(node->op == Op::Kernel, "node " + describe(*node) + " is not in a kernel");
    const std::vector<const Value *> sources = reshaped_inputs(*node);
    if (sources.empty()) {
      calls.push_back(node.get());
    }
    if (const Value *pool = appended_pool(*node)) {
      reshape_of[node->output()] = pool;
    }
    for (size_t i = 0; i < sources.size(); ++i) {
      reshape_of[node->output(i)] = sources[i];
    }
  }
}

void PlanBuilder::number_inputs_and_outputs() {
  for (const Value *input : graph.inputs()) {
    numbers[input] = static_cast<int>(plan.inputs.size());
    plan.inputs.push_back({input->name, input->type});
  }
  for (size_t i = 0; i < graph.output_count(); ++i) {
    const Value *value = storage(graph.output(i));
    const bool computed = value->producer != nullptr && value->producer->op == Op::Kernel;
    if (computed && numbers.count(value) == 0) {
      numbers[value] = plan.first_output() + static_cast<int>(i);
    }
    plan.outputs.push_back({graph.output_name(i), graph.output(i)->type});
  }
}

void PlanBuilder::number_intermediates() {
  for (const Node *node : calls) {
    for (const auto &result : node->outputs) {
      if (numbers.count(result.get()) == 0 && reshape_of.count(result.get()) == 0) {
        numbers[result.get()] =
            plan.first_intermediate() + static_cast<int>(plan.intermediates.size());
        plan.intermediates.push_back({label_of(*result), result->type});
      }
    }
  }
}

// Weights in order of first use, equal contents once.
void PlanBuilder::number_weights() {
  std::unordered_multimap<uint64_t, int> by_content;
  const auto add = [&](const Value *read) {
    const Value *value = storage(read);
    if (value->producer == nullptr || value->producer->op != Op::Constant ||
        numbers.count(value) != 0) {
      return;
    }
    const TensorPtr &tensor = value->producer->attributes.tensor("value");
    const std::span<const std::byte> bytes = tensor->bytes();
    const uint64_t content = hash_bytes(bytes.data(), bytes.size());
    for (auto [at, end] = by_content.equal_range(content); at != end; ++at) {
      const Tensor &other = *plan.weights[static_cast<size_t>(at->second)];
      if (other.dtype() == tensor->dtype() && other.bytes().size() == bytes.size() &&
          (bytes.empty() || std::memcmp(other.bytes().data(), bytes.data(), bytes.size()) == 0)) {
        numbers[value] = plan.first_weight() + at->second;
        return;
      }
    }
    if (tensor->count() >= kMaxElements) {
      throw_model_error("weight '", label_of(*value), "' has ", tensor->count(),
                        " elements; tensors of 2^31 elements or more are not supported");
    }
    const int weight = static_cast<int>(plan.weights.size());
    numbers[value] = plan.first_weight() + weight;
    by_content.emplace(content, weight);
    plan.weights.push_back(tensor);
    const bool named = !value->name.empty() || !value->producer->sources.empty();
    plan.weight_names.push_back(named ? label_of(*value) : "weight" + std::to_string(weight));
  };
  for (const Node *node : calls) {
    std::for_each(node->inputs.begin(), node->inputs.end(), add);
  }
  for (size_t i = 0; i < graph.output_count(); ++i) {
    add(graph.output(i));
  }
}

void PlanBuilder::number_reshapes() {
  for (const auto &[value, from] : reshape_of) {
    const auto found = numbers.find(storage(from));
    if (found != numbers.end()) {  // else nobody reads it
      numbers[value] = found->second;
    }
  }
}

// What a library kernel is told: runtime/abi.h describes the symbols of each.
std::vector<Dim> library_symbols(const Node &node) {
  const Attributes &attributes = node.attributes;
  const Shape &data = node.input(0)->type.shape;
  const Dim dtype = static_cast<int64_t>(node.input(0)->type.dtype);
  const auto axis_of = [&] {
    const int64_t axis = attributes.integer("axis");
    return static_cast<size_t>(axis < 0 ? axis + static_cast<int64_t>(data.size()) : axis);
  };
  const auto product = [](const Shape &shape, size_t begin, size_t end) {
    return element_count(Shape(shape.begin() + static_cast<std::ptrdiff_t>(begin),
                               shape.begin() + static_cast<std::ptrdiff_t>(end)));
  };
  const auto reduction = [&]() -> Dim {
    static const std::map<std::string, int> kReductions = {{"none", SYL_REDUCE_NONE},
                                                           {"add", SYL_REDUCE_ADD},
                                                           {"mul", SYL_REDUCE_MUL},
                                                           {"min", SYL_REDUCE_MIN},
                                                           {"max", SYL_REDUCE_MAX}};
    const auto found = kReductions.find(attributes.text_or("reduction", "none"));
    SYLVITE_CHECK(found != kReductions.end(), describe(node));
    return found->second;
  };
  if (node.op == Op::TopK) {
    const size_t axis = axis_of();
    return {dtype,
            data[axis],
            product(data, axis + 1, data.size()),
            attributes.dims("k").at(0),
            attributes.integer_or("largest", 1),
            attributes.integer_or("sorted", 1)};
  }
  const Shape &indices = node.input(1)->type.shape;
  if (node.op == Op::Append) {
    const Shape &rows = node.input(2)->type.shape;
    return {dtype,      data[0], data[1], data[3], indices[0],
            indices[1], rows[2], attributes.dims("past").at(0)};
  }
  std::vector<Dim> symbols = {dtype, static_cast<int64_t>(node.input(1)->type.dtype), reduction()};
  if (node.op == Op::ScatterND) {
    const std::optional<int64_t> depth = indices.back().constant();
    SYLVITE_CHECK(depth.has_value(), describe(node));
    const size_t count = static_cast<size_t>(*depth);
    symbols.insert(symbols.end(), {*depth, product(indices, 0, indices.size() - 1),
                                   product(data, count, data.size())});
    symbols.insert(symbols.end(), data.begin(), data.begin() + *depth);
    return symbols;
  }
  SYLVITE_CHECK(node.op == Op::ScatterElements, describe(node));
  symbols.insert(symbols.end(),
                 {static_cast<int64_t>(axis_of()), static_cast<int64_t>(data.size())});
  symbols.insert(symbols.end(), data.begin(), data.end());
  symbols.insert(symbols.end(), indices.begin(), indices.end());
  return symbols;
}

std::string joined_sources(const Node &kernel) {
  std::string text;
  for (const std::string &source : kernel.sources) {
    text += (text.empty() ? "" : ",") + source;
  }
  return text;
}

std::string kernel_name(size_t index, const std::string &root) {
  return "k" + std::to_string(index) + (root.empty() || root == "none" ? "" : "_" + root);
}

// Beyond what the program's interface and its library kernels have room for.
void refuse_rank(const std::string &place, const TensorType &type) {
  if (type.rank() > kSylviteMaxRank) {
    throw_model_error(place, " has ", type.rank(), " dimensions; at most ", int{kSylviteMaxRank},
                      " are supported there");
  }
}

void PlanBuilder::add_calls() {
  std::map<std::string, int> kernel_of_key;
  for (const Node *node : calls) {
    const RunningScope scope("plan of " + describe(*node));
    const KernelInterface interface = kernel_interface(*node);
    const std::string key = kernel_key(*node, Isa::X86_64_V3, false);
    const auto [found, is_new] = kernel_of_key.emplace(key, static_cast<int>(plan.kernels.size()));
    if (is_new) {
      plan.kernels.push_back(
          {kernel_name(plan.kernels.size(), interface.root), node, interface, key, {}});
    }
    PlanCall call;
    call.kernel = found->second;
    call.node = node;
    for (const Value *input : node->inputs) {
      call.inputs.push_back(number(input));
    }
    for (const auto &result : node->outputs) {
      call.outputs.push_back(number(result.get()));
    }
    if (const Node *library = library_node(*node->regions[0])) {
      SYLVITE_CHECK(node->regions[0]->nodes().size() == 1, "a library op is not alone");
      refuse_rank(describe(*library), library->input(0)->type);
      call.symbols = library_symbols(*library);
      if (library->op == Op::TopK) {
        const Dim &size = call.symbols[1], &k = call.symbols[3];
        if (!prove_le(k, size, plan.symbols)) {
          plan.guards.push_back({min(k, size), k, describe(*library)});
        }
      }
    } else {
      call.symbols = interface.symbols;
    }
    call.extent0 = interface.extent0;
    call.extent1 = interface.extent1;
    call.scratch_bytes = interface.scratch_bytes;
    call.flops = interface.flops;
    call.bytes = interface.bytes;
    call.sources = joined_sources(*node);
    add_index_checks(*node, static_cast<int>(plan.calls.size()), numbers, plan);
    plan.calls.push_back(std::move(call));
  }
}

void PlanBuilder::add_copies() {
  for (size_t i = 0; i < graph.output_count(); ++i) {
    const int to = plan.first_output() + static_cast<int>(i);
    const int from = number(graph.output(i));
    if (from != to) {
      plan.copies.push_back({to, from});
    }
  }
}

void set_lifetimes(Plan &plan) {
  std::vector<bool> seen(plan.intermediates.size(), false);
  for (size_t call = 0; call < plan.calls.size(); ++call) {
    for (const std::vector<int> *buffers : {&plan.calls[call].inputs, &plan.calls[call].outputs}) {
      for (const int buffer : *buffers) {
        if (buffer < plan.first_intermediate() || buffer >= plan.first_weight()) {
          continue;
        }
        const size_t i = static_cast<size_t>(buffer - plan.first_intermediate());
        if (!seen[i]) {
          plan.intermediates[i].first = static_cast<int>(call);
          seen[i] = true;
        }
        plan.intermediates[i].last = static_cast<int>(call);
      }
    }
  }
}

void refuse_huge(const std::string &name, const TensorType &type) {
  const std::optional<int64_t> count = element_count(type.shape).constant();
  if (count && *count >= kMaxElements) {
    throw_model_error("'", name, "' has ", *count,
                      " elements; tensors of 2^31 elements or more are not supported");
  }
}

void refuse_huge_tensors(const Plan &plan) {
  for (const auto *tensors : {&plan.inputs, &plan.outputs}) {
    for (const PlanTensor &tensor : *tensors) {
      refuse_rank("'" + tensor.name + "'", tensor.type);
      refuse_huge(tensor.name, tensor.type);
    }
  }
  for (const PlanBuffer &buffer : plan.intermediates) {
    refuse_huge(buffer.name, buffer.type);
  }
}

}  // namespace

std::string label_of(const Value &value) {
  if (!value.name.empty()) {
    return value.name;
  }
  if (value.producer != nullptr && !value.producer->sources.empty()) {
    return value.producer->sources.front();
  }
  return "?";
}

std::string one_line(const std::string &name) {
  std::string text;
  for (const char c : name) {
    if (c == '}' && !text.empty() && text.back() == '{') {
      text += ' ';
    }
    text += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
  }
  return text;
}

Dim byte_count(const TensorType &type) {
  return element_count(type.shape) * Dim(size_of(type.dtype));
}

namespace {

Plan build_plan(const Graph &graph) {
  PlanBuilder builder{graph, {}, {}, {}, {}};
  Plan &plan = builder.plan;
  plan.name = graph.name;
  plan.symbols = graph.symbols;
  plan.guards = graph.guards;
  builder.find_calls();
  // From here on every kernel node is a call or a reshape.
  builder.number_inputs_and_outputs();
  builder.number_intermediates();
  builder.number_weights();
  builder.number_reshapes();
  // From here on every value that is read has a buffer.
  refuse_huge_tensors(plan);
  builder.add_calls();
  builder.add_copies();
  set_lifetimes(plan);
  add_bindings(plan);
  return std::move(builder.plan);
}

}  // namespace

Plan make_plan(const Graph &graph) {
  try {
    return build_plan(graph);
  } catch (const DimOverflow &) {
    throw_model_error("the model's sizes are too large: their products exceed 64 bits");
  }
}

}  // namespace sylvite
