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
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "compiler/codegen/hash.h"
#include "compiler/codegen/plan_parts.h"
#include "compiler/ir/control.h"
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

// An event whose buffers have no numbers yet.
struct Event {
  PlanEvent event;
  const Value *to = nullptr, *from = nullptr, *condition = nullptr;
};

struct PlanBuilder {
  const Graph &graph;
  Plan plan;
  std::map<const Value *, const Value *> reshape_of;  // value -> the value whose elements it has
  std::vector<const Node *> calls;                    // kernel nodes that compute something
  std::vector<Event> events;
  // What has a buffer of its own, in order, and the type that the buffer has room for.
  std::vector<const Value *> owned;
  std::map<const Value *, TensorType> room;
  std::deque<Value> temporaries;
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
    const auto found = numbers.find(storage(value));
    SYLVITE_CHECK(found != numbers.end(), "no buffer for value '" + value->name + "'");
    return found->second;
  }

  void own(const Value *value, const TensorType &type) {
    owned.push_back(value);
    room[value] = type;
  }
  void own(const Value *value) { own(value, value->type); }

  Event &add_event(PlanEvent::Kind kind) {
    events.emplace_back();
    events.back().event.kind = kind;
    events.back().event.before = static_cast<int>(calls.size());
    return events.back();
  }
  void add_copy(const Value *to, const Value *from, const Dim &bytes, const Dim &offset = 0) {
    Event &copy = add_event(PlanEvent::Kind::Copy);
    copy.to = to;
    copy.from = from;
    copy.event.bytes = bytes;
    copy.event.offset = offset;
  }

  void find_calls(const Graph &nodes);
  void find_calls_of_kernel(const Node &node);
  void find_calls_of_if(const Node &node);
  void add_sizes(const Node &node, const Graph &branch);
  void find_calls_of_loop(const Node &node);
  void end_iteration(const Node &node, const LoopParts &parts);
  void number_inputs_and_outputs();
  void number_intermediates();
  void number_weights();
  void number_reshapes();
  void add_calls();
  void add_events();
  void add_copies();
};

void PlanBuilder::find_calls(const Graph &nodes) {
  for (const auto &node : nodes.nodes()) {
    if (node->op == Op::If) {
      find_calls_of_if(*node);
    } else if (node->op == Op::Loop) {
      find_calls_of_loop(*node);
    } else if (node->op != Op::Constant) {
      SYLVITE_CHECK(node->op == Op::Kernel, "node " + describe(*node) + " is not in a kernel");
      find_calls_of_kernel(*node);
    }
  }
}

void PlanBuilder::find_calls_of_kernel(const Node &node) {
  const std::vector<const Value *> sources = reshaped_inputs(node);
  if (sources.empty()) {
    calls.push_back(&node);
  }
  if (const Value *pool = appended_pool(node)) {
    reshape_of[node.output()] = pool;
    return;
  }
  for (size_t i = 0; i < node.outputs.size(); ++i) {
    if (sources.empty()) {
      own(node.output(i));
    } else {
      reshape_of[node.output(i)] = sources[i];
    }
  }
}

// Both branches write the If's own buffers: where a kernel of the branch makes a result, directly.
void PlanBuilder::find_calls_of_if(const Node &node) {
  for (const auto &output : node.outputs) {
    own(output.get());
  }
  add_event(PlanEvent::Kind::IfBegin).condition = node.input(0);
  for (const std::unique_ptr<Graph> &branch : node.regions) {
    if (branch != node.regions.front()) {
      add_event(PlanEvent::Kind::IfElse);
    }
    for (size_t i = 1; i < node.inputs.size(); ++i) {
      reshape_of[branch->inputs()[i - 1]] = node.input(i);
    }
    find_calls(*branch);
    add_sizes(node, *branch);
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      const Value *made = storage(branch->output(i));
      const bool fresh = made->producer != nullptr && made->producer->op == Op::Kernel &&
                         made->producer->graph == branch.get();
      if (fresh) {
        reshape_of[made] = node.output(i);
      } else {
        add_copy(node.output(i), made, byte_count(made->type));
      }
    }
  }
  add_event(PlanEvent::Kind::IfEnd);
}

// The sizes that a branch gives to results in which branches differ. Once both are known, they
// bound what the size may be.
void PlanBuilder::add_sizes(const Node &node, const Graph &branch) {
  const Graph &first = *node.regions.front();
  std::set<std::string> added;
  for (size_t i = 0; i < node.outputs.size(); ++i) {
    const Shape &shape = node.output(i)->type.shape, &own = branch.output(i)->type.shape;
    for (size_t axis = 0; axis < shape.size(); ++axis) {
      const Dim &other = first.output(i)->type.shape[axis];
      const std::optional<std::string> symbol = shape[axis].as_symbol();
      const SymbolInfo *const info = symbol ? plan.symbols.find(*symbol) : nullptr;
      if (info == nullptr || info->kind != SymbolKind::Data || shape[axis] == own[axis] ||
          !added.insert(*symbol).second) {
        continue;
      }
      PlanEvent &event = add_event(PlanEvent::Kind::Size).event;
      event.symbol = *symbol;
      event.trip = own[axis];
      if (&branch != &first) {
        plan.variables.push_back({*symbol, simplify(min(own[axis], other), plan.symbols),
                                  simplify(max(own[axis], other), plan.symbols)});
      }
    }
  }
}

// A carried value has one buffer, as large as it ever gets, which the body reads and which is the
// loop's result; what an iteration makes of it is copied there at its end.
void PlanBuilder::find_calls_of_loop(const Node &node) {
  const LoopParts parts(node);
  const Graph &body = *node.regions[0];
  plan.variables.push_back({parts.iteration, 0, simplify(max(parts.trip - 1, 0), plan.symbols)});
  if (parts.may_stop) {
    plan.variables.push_back({parts.made, 0, parts.trip});
  }
  for (size_t i = 0; i < body.inputs().size(); ++i) {
    const Value *input = body.inputs()[i], *operand = node.input(parts.first + i);
    if (i >= parts.carried) {
      reshape_of[input] = operand;
      continue;
    }
    TensorType type = input->type;
    for (Dim &dim : type.shape) {
      const std::optional<Dim> most =
          largest_over(dim, parts.iteration, 0, parts.trip, plan.symbols);
      if (!most) {
        throw_model_error("node ", describe(node), ": the size ", dim.str(), " of '", input->name,
                          "' varies in a way that is not supported");
      }
      dim = *most;
    }
    own(input, type);
    reshape_of[node.output(i)] = input;
    add_copy(input, operand, byte_count(operand->type));
  }
  for (size_t i = 0; i < parts.collected; ++i) {
    TensorType type = node.output(parts.carried + i)->type;
    type.shape[0] = parts.trip;
    own(node.output(parts.carried + i), type);
  }
  Event &begin = add_event(PlanEvent::Kind::LoopBegin);
  begin.event.symbol = parts.iteration;
  begin.event.made = parts.made;
  begin.event.trip = parts.trip;
  begin.condition = parts.may_stop ? node.input(0) : nullptr;
  find_calls(body);
  end_iteration(node, parts);
  add_event(PlanEvent::Kind::LoopEnd);
}

void PlanBuilder::end_iteration(const Node &node, const LoopParts &parts) {
  const Graph &body = *node.regions[0];
  if (parts.may_stop) {
    add_event(PlanEvent::Kind::LoopTest).condition = body.output(body.output_count() - 1);
  }
  for (size_t i = parts.carried; i < parts.carried + parts.collected; ++i) {
    const Dim bytes = byte_count(body.output(i)->type);
    add_copy(node.output(i), body.output(i), bytes, bytes * Dim::symbol(parts.iteration));
  }
  // A value that is carried under another name is read before it is overwritten.
  std::vector<const Value *> next;
  for (size_t i = 0; i < parts.carried; ++i) {
    const Value *made = storage(body.output(i));
    const bool carried =
        made->producer == nullptr &&
        std::find(body.inputs().begin(), body.inputs().end(), made) != body.inputs().end();
    if (carried && made != body.inputs()[i]) {
      Value &temporary = temporaries.emplace_back();
      temporary.name = made->name;
      temporary.type = body.output(i)->type;
      own(&temporary);
      add_copy(&temporary, made, byte_count(temporary.type));
      made = &temporary;
    }
    next.push_back(made);
  }
  for (size_t i = 0; i < parts.carried; ++i) {
    if (next[i] != body.inputs()[i]) {
      add_copy(body.inputs()[i], next[i], byte_count(body.output(i)->type));
    }
  }
}

void PlanBuilder::number_inputs_and_outputs() {
  for (const Value *input : graph.inputs()) {
    numbers[input] = static_cast<int>(plan.inputs.size());
    plan.inputs.push_back({input->name, input->type, input->host.value_or(std::vector<Dim>())});
  }
  for (size_t i = 0; i < graph.output_count(); ++i) {
    const Value *value = storage(graph.output(i));
    const TensorType &type = graph.output(i)->type;
    // The output's own buffer has room for the final size only.
    const auto own = room.find(value);
    const auto fits = [&] {
      return plan.variables.empty() ||
             prove_equal(largest(byte_count(own->second), plan, value->name),
                         largest(byte_count(type), plan, value->name), plan.symbols);
    };
    if (own != room.end() && numbers.count(value) == 0 && fits()) {
      numbers[value] = plan.first_output() + static_cast<int>(i);
    }
    plan.outputs.push_back({graph.output_name(i), type});
  }
}

void PlanBuilder::number_intermediates() {
  for (const Value *value : owned) {
    if (numbers.count(value) != 0 || reshape_of.count(value) != 0) {
      continue;
    }
    numbers[value] = plan.first_intermediate() + static_cast<int>(plan.intermediates.size());
    TensorType type = room.at(value);
    const std::string label = label_of(*value);
    for (Dim &dim : type.shape) {
      dim = largest(dim, plan, label);
    }
    plan.intermediates.push_back({label, type});
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
  for (const Event &event : events) {
    for (const Value *read : {event.from, event.condition}) {
      if (read != nullptr) {
        add(read);
      }
    }
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
    return {dtype,      data[0],    data[1], data[3],
            indices[0], indices[1], rows[2], attributes.dims("past").at(0)};
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

void PlanBuilder::add_events() {
  for (Event &event : events) {
    event.event.to = event.to == nullptr ? 0 : number(event.to);
    event.event.from = event.from == nullptr ? 0 : number(event.from);
    event.event.condition = event.condition == nullptr ? -1 : number(event.condition);
    plan.events.push_back(std::move(event.event));
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
  PlanBuilder builder{graph, {}, {}, {}, {}, {}, {}, {}, {}};
  Plan &plan = builder.plan;
  plan.name = graph.name;
  plan.symbols = graph.symbols;
  plan.guards = graph.guards;
  builder.find_calls(graph);
  // From here on every kernel node is a call or a reshape.
  builder.number_inputs_and_outputs();
  builder.number_intermediates();
  builder.number_weights();
  builder.number_reshapes();
  // From here on every value that is read has a buffer.
  refuse_huge_tensors(plan);
  builder.add_calls();
  builder.add_events();
  builder.add_copies();
  settle_guards(plan);
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
