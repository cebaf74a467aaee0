// The ops table, attributes and the editing of graphs.
//
// Editing keeps use lists exact: a value knows each of its uses, so that replacing and erasing cost
// what they touch, not the size of the graph. Nothing here recurses over the depth of a graph (a
// hundred thousand nodes in a chain are fine), only over the nesting of regions.
#include "compiler/ir/graph.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <queue>
#include <unordered_set>

#include "compiler/ir/error.h"

namespace sylvite {
namespace {

struct OpInfo {
  const char *name;
  OpArity arity;
  OpClass op_class;
};

constexpr OpInfo kOps[] = {
#define OP(kind, text, min_inputs, max_inputs, outputs, op_class) \
  {#text, {min_inputs, max_inputs, outputs}, OpClass::op_class},
#include "compiler/ir/ops.def"
#undef OP
};

// Host contents of all values of a graph together: 8 million elements are far beyond shape
// arithmetic.
constexpr int64_t kMaxHostElements = int64_t{8} << 20;

template <typename T>
const T &get(const std::map<std::string, AttributeValue> &values, const std::string &name) {
  const auto found = values.find(name);
  SYLVITE_CHECK(found != values.end(), "no attribute '" + name + "'");
  const T *value = std::get_if<T>(&found->second);
  SYLVITE_CHECK(value != nullptr, "attribute '" + name + "' has another type");
  return *value;
}

void remove_use(Value *value, const Node *user) {
  // From the back: dead code goes in reverse order.
  const auto found = std::find(value->users.rbegin(), value->users.rend(), user);
  SYLVITE_CHECK(found != value->users.rend(), describe(*user));
  value->users.erase(std::next(found).base());
}

void substitute_in(std::vector<Dim> &dims, const std::string &symbol,
                   const std::map<std::string, Dim> &replacements) {
  for (Dim &dim : dims) {
    if (mentions(dim, symbol)) {
      dim = substitute(dim, replacements);
    }
  }
}

void substitute_in(Value &value, const std::string &symbol,
                   const std::map<std::string, Dim> &replacements) {
  substitute_in(value.type.shape, symbol, replacements);
  if (value.host) {
    substitute_in(*value.host, symbol, replacements);
  }
}

}  // namespace

const char *name_of(Op op) {
  return kOps[static_cast<size_t>(op)].name;
}

std::optional<Op> parse_op(std::string_view text) {
  static const std::map<std::string_view, Op> by_name = [] {
    std::map<std::string_view, Op> result;
    for (size_t i = 0; i < std::size(kOps); ++i) {
      result[kOps[i].name] = static_cast<Op>(i);
    }
    return result;
  }();
  const auto found = by_name.find(text);
  return found == by_name.end() ? std::nullopt : std::optional(found->second);
}

OpClass class_of(Op op) {
  return kOps[static_cast<size_t>(op)].op_class;
}

OpArity arity_of(Op op) {
  return kOps[static_cast<size_t>(op)].arity;
}

std::string to_string(const TensorType &type) {
  return name_of(type.dtype) + to_string(type.shape);
}

// ---- attributes ----

int64_t Attributes::integer(const std::string &name) const {
  return get<int64_t>(values_, name);
}

int64_t Attributes::integer_or(const std::string &name, int64_t fallback) const {
  return has(name) ? integer(name) : fallback;
}

double Attributes::real(const std::string &name) const {
  return get<double>(values_, name);
}

double Attributes::real_or(const std::string &name, double fallback) const {
  return has(name) ? real(name) : fallback;
}

const std::string &Attributes::text(const std::string &name) const {
  return get<std::string>(values_, name);
}

std::string Attributes::text_or(const std::string &name, const std::string &fallback) const {
  return has(name) ? text(name) : fallback;
}

DType Attributes::dtype(const std::string &name) const {
  return get<DType>(values_, name);
}

const std::vector<int64_t> &Attributes::integers(const std::string &name) const {
  return get<std::vector<int64_t>>(values_, name);
}

const std::vector<Dim> &Attributes::dims(const std::string &name) const {
  return get<std::vector<Dim>>(values_, name);
}

const TensorPtr &Attributes::tensor(const std::string &name) const {
  return get<TensorPtr>(values_, name);
}

bool operator==(const Attributes &a, const Attributes &b) {
  const auto equal = [](const auto &x, const auto &y) {
    if (x.first != y.first || x.second.index() != y.second.index()) {
      return false;
    }
    if (const TensorPtr *tensor = std::get_if<TensorPtr>(&x.second)) {
      const TensorPtr &other = std::get<TensorPtr>(y.second);
      return *tensor == other || (*tensor && other && same_tensor(**tensor, *other));
    }
    if (const double *real = std::get_if<double>(&x.second)) {
      // By bits: NaN is itself, and 0 is not -0.
      return std::bit_cast<uint64_t>(*real) == std::bit_cast<uint64_t>(std::get<double>(y.second));
    }
    return x.second == y.second;
  };
  return std::equal(a.values_.begin(), a.values_.end(), b.values_.begin(), b.values_.end(), equal);
}

// ---- constants ----

const Tensor *constant_of(const Value *value) {
  if (value->producer == nullptr || value->producer->op != Op::Constant) {
    return nullptr;
  }
  return value->producer->attributes.tensor("value").get();
}

bool same_tensor(const Tensor &a, const Tensor &b) {
  if (a.dtype() != b.dtype() || a.shape() != b.shape()) {
    return false;
  }
  return a.bytes().data() == b.bytes().data() || a.bytes().empty() ||
         std::memcmp(a.bytes().data(), b.bytes().data(), a.bytes().size()) == 0;
}

std::string describe(const Node &node) {
  std::string name;
  if (!node.sources.empty()) {
    name = node.sources.front();
  } else if (!node.outputs.empty()) {
    name = node.outputs[0]->name;
  }
  return (name.empty() ? "" : "'" + name + "' ") + "(" + name_of(node.op) + ")";
}

// ---- graphs ----

Graph &outermost(Graph &graph) {
  Graph *top = &graph;
  while (top->parent != nullptr) {
    top = top->parent;
  }
  return *top;
}

const Graph &outermost(const Graph &graph) {
  return outermost(const_cast<Graph &>(graph));
}

bool types_agree(const Graph &graph, const TensorType &a, const TensorType &b) {
  if (a.dtype != b.dtype || a.rank() != b.rank()) {
    return false;
  }
  const Graph &top = outermost(graph);
  for (size_t i = 0; i < a.shape.size(); ++i) {
    const Dim &x = a.shape[i];
    const Dim &y = b.shape[i];
    const auto guarded = [&](const Guard &guard) {
      return (guard.left == x && guard.right == y) || (guard.left == y && guard.right == x);
    };
    if (x != y && !std::any_of(top.guards.begin(), top.guards.end(), guarded) &&
        !prove_equal(x, y, top.symbols)) {
      return false;
    }
  }
  return true;
}

Graph::~Graph() = default;

Value *Graph::add_input(const std::string &input_name, TensorType type) {
  auto value = std::make_unique<Value>();
  value->name = input_name;
  value->type = std::move(type);
  value->index = static_cast<int>(inputs_.size());
  inputs_.push_back(value.get());
  input_storage_.push_back(std::move(value));
  return inputs_.back();
}

void Graph::add_output(const std::string &output_name, Value *value) {
  SYLVITE_CHECK(value != nullptr, output_name);
  outputs_.push_back({output_name, value});
}

bool Graph::is_output(const Value *value) const {
  return std::any_of(outputs_.begin(), outputs_.end(),
                     [&](const Output &output) { return output.value == value; });
}

void Graph::erase_input(Value *input) {
  SYLVITE_CHECK(input->is_graph_input() && input->users.empty() && !is_output(input), input->name);
  const auto found = std::find(inputs_.begin(), inputs_.end(), input);
  SYLVITE_CHECK(found != inputs_.end(), input->name);
  const auto position = found - inputs_.begin();
  inputs_.erase(found);
  input_storage_.erase(input_storage_.begin() + position);
  for (size_t i = 0; i < inputs_.size(); ++i) {
    inputs_[i]->index = static_cast<int>(i);
  }
}

std::vector<Node *> Graph::node_order() const {
  std::vector<Node *> order;
  order.reserve(nodes_.size());
  for (const std::unique_ptr<Node> &node : nodes_) {
    order.push_back(node.get());
  }
  return order;
}

Node *Graph::insert(std::unique_ptr<Node> node, Node *before) {
  NodeList::iterator position = nodes_.end();
  if (before != nullptr) {
    const auto found = positions_.find(before);
    SYLVITE_CHECK(found != positions_.end(), "no such place in this graph");
    position = found->second;
  }
  Node *added = node.get();
  added->graph = this;
  for (Value *input : added->inputs) {
    SYLVITE_CHECK(input != nullptr, describe(*added));
    input->users.push_back(added);
  }
  for (const std::unique_ptr<Graph> &region : added->regions) {
    region->parent = this;
  }
  positions_[added] = nodes_.insert(position, std::move(node));
  return added;
}

void Graph::unlink(Node *node) {
  for (Value *input : node->inputs) {
    remove_use(input, node);
  }
  const auto found = positions_.find(node);
  nodes_.erase(found->second);
  positions_.erase(found);
}

Node *Graph::add(Op op, std::vector<Value *> inputs, Attributes attributes,
                 std::vector<std::string> sources, Node *before) {
  return add(op, std::move(inputs), std::move(attributes), std::vector<std::unique_ptr<Graph>>{},
             std::move(sources), before);
}

Node *Graph::add(Op op, std::vector<Value *> inputs, Attributes attributes,
                 std::vector<std::unique_ptr<Graph>> regions, std::vector<std::string> sources,
                 Node *before) {
  auto node = std::make_unique<Node>();
  node->op = op;
  node->inputs = std::move(inputs);
  node->attributes = std::move(attributes);
  node->regions = std::move(regions);
  node->sources = std::move(sources);
  // The node stands in the graph while its rule runs: a size that the rule unifies is replaced in
  // it too.
  Node *added = insert(std::move(node), before);
  // What a region that was built alone learnt belongs to the outermost graph.
  Graph &top = outermost(*this);
  for (const std::unique_ptr<Graph> &region : added->regions) {
    for (const auto &[symbol, info] : region->symbols.all()) {
      top.symbols.declare(symbol, info);
    }
    region->symbols = SymbolTable();
    std::move(region->guards.begin(), region->guards.end(), std::back_inserter(top.guards));
    region->guards.clear();
    std::move(region->warnings.begin(), region->warnings.end(), std::back_inserter(top.warnings));
    region->warnings.clear();
  }
  try {
    infer_types(*this, *added);
  } catch (...) {
    unlink(added);
    throw;
  }
  for (size_t i = 0; i < added->outputs.size(); ++i) {
    Value &value = *added->outputs[i];
    value.producer = added;
    value.index = static_cast<int>(i);
    if (value.host) {
      top.host_elements_ += static_cast<int64_t>(value.host->size());
      if (top.host_elements_ > kMaxHostElements) {
        value.host.reset();
      }
    }
  }
  return added;
}

Value *Graph::add_constant(Tensor tensor, const std::string &constant_name, Node *before) {
  Attributes attributes;
  attributes.set("value", std::make_shared<const Tensor>(std::move(tensor)));
  Value *value = add(Op::Constant, {}, std::move(attributes), {}, before)->output();
  value->name = constant_name;
  return value;
}

void Graph::replace_input(Node *node, size_t i, Value *value) {
  SYLVITE_CHECK(i < node->inputs.size() && value != nullptr, describe(*node));
  remove_use(node->inputs[i], node);
  node->inputs[i] = value;
  value->users.push_back(node);
}

void Graph::replace_uses(Value *from, Value *to) {
  if (from == to) {
    return;
  }
  SYLVITE_CHECK(types_agree(*this, from->type, to->type),
                "'" + from->name + "' is " + to_string(from->type) + ", its replacement " +
                    to_string(to->type));
  for (Node *user : from->users) {
    // A user that reads the value twice stands twice; the second visit finds nothing left to do.
    std::replace(user->inputs.begin(), user->inputs.end(), from, to);
  }
  to->users.insert(to->users.end(), from->users.begin(), from->users.end());
  from->users.clear();
  for (Output &output : outputs_) {
    if (output.value == from) {
      output.value = to;
    }
  }
}

void Graph::erase(Node *node) {
  for (const std::unique_ptr<Value> &value : node->outputs) {
    SYLVITE_CHECK(value->users.empty() && !is_output(value.get()),
                  describe(*node) + " is still used");
  }
  unlink(node);
}

bool Graph::remove_dead() {
  std::unordered_set<const Node *> live;
  std::vector<const Node *> pending;
  const auto need = [&](const Value *value) {
    if (value->producer != nullptr && live.insert(value->producer).second) {
      pending.push_back(value->producer);
    }
  };
  for (const Output &output : outputs_) {
    need(output.value);
  }
  while (!pending.empty()) {
    const Node *node = pending.back();
    pending.pop_back();
    for (const Value *input : node->inputs) {
      need(input);
    }
  }
  bool changed = false;
  const std::vector<Node *> order = node_order();
  for (auto node = order.rbegin(); node != order.rend(); ++node) {
    if (live.count(*node) == 0) {
      unlink(*node);
      changed = true;
      continue;
    }
    for (const std::unique_ptr<Graph> &region : (*node)->regions) {
      changed |= region->remove_dead();
    }
  }
  return changed;
}

void Graph::sort() {
  const std::vector<Node *> order = node_order();
  std::unordered_map<const Node *, size_t> position;
  for (size_t i = 0; i < order.size(); ++i) {
    position[order[i]] = i;
  }
  // How many operands of each node are not yet placed; the earliest node that waits for none comes
  // next.
  std::vector<size_t> waiting(order.size(), 0);
  std::priority_queue<size_t, std::vector<size_t>, std::greater<>> ready;
  for (size_t i = 0; i < order.size(); ++i) {
    for (const Value *input : order[i]->inputs) {
      waiting[i] += input->producer != nullptr;
    }
    if (waiting[i] == 0) {
      ready.push(i);
    }
  }
  NodeList sorted;
  while (!ready.empty()) {
    Node *node = order[ready.top()];
    ready.pop();
    sorted.splice(sorted.end(), nodes_, positions_.at(node));
    for (const std::unique_ptr<Value> &value : node->outputs) {
      for (const Node *user : value->users) {
        const size_t i = position.at(user);
        if (--waiting[i] == 0) {
          ready.push(i);
        }
      }
    }
  }
  SYLVITE_CHECK(nodes_.empty(), "the graph has a cycle through " + describe(*nodes_.front()));
  nodes_ = std::move(sorted);
}

void Graph::substitute_symbol(const std::string &symbol, const Dim &replacement) {
  const std::map<std::string, Dim> replacements{{symbol, replacement}};
  for (Value *input : inputs_) {
    substitute_in(*input, symbol, replacements);
  }
  for (const std::unique_ptr<Node> &node : nodes_) {
    for (const auto &[attribute, value] : node->attributes.all()) {
      const std::vector<Dim> *dims = std::get_if<std::vector<Dim>>(&value);
      if (dims != nullptr && std::any_of(dims->begin(), dims->end(),
                                         [&](const Dim &dim) { return mentions(dim, symbol); })) {
        std::vector<Dim> changed = *dims;
        substitute_in(changed, symbol, replacements);
        node->attributes.set(attribute, std::move(changed));
      }
    }
    for (const std::unique_ptr<Value> &value : node->outputs) {
      substitute_in(*value, symbol, replacements);
    }
    for (const std::unique_ptr<Graph> &region : node->regions) {
      region->substitute_symbol(symbol, replacement);
    }
  }
  std::vector<Guard> kept;
  for (Guard &guard : guards) {
    if (mentions(guard.left, symbol) || mentions(guard.right, symbol)) {
      guard.left = substitute(guard.left, replacements);
      guard.right = substitute(guard.right, replacements);
    }
    if (guard.left != guard.right) {
      kept.push_back(std::move(guard));
    }
  }
  guards = std::move(kept);
  if (!mentions(replacement, symbol)) {
    symbols.erase(symbol);
  }
}

SymbolTable &Graph::symbol_table() {
  return outermost(*this).symbols;
}

const SymbolTable &Graph::symbol_table() const {
  return outermost(*this).symbols;
}

std::unique_ptr<Graph> Graph::clone() const {
  auto copy = std::make_unique<Graph>();
  copy->name = name;
  copy->symbols = symbols;
  copy->guards = guards;
  copy->near_misses = near_misses;
  copy->warnings = warnings;
  copy->parent = parent;
  copy->host_elements_ = host_elements_;
  std::unordered_map<const Value *, Value *> copies;
  for (const Value *input : inputs_) {
    Value *value = copy->add_input(input->name, input->type);
    value->host = input->host;
    copies[input] = value;
  }
  for (const std::unique_ptr<Node> &node : nodes_) {
    auto duplicate = std::make_unique<Node>();
    duplicate->op = node->op;
    duplicate->attributes = node->attributes;
    duplicate->sources = node->sources;
    for (const Value *input : node->inputs) {
      duplicate->inputs.push_back(copies.at(input));
    }
    for (const std::unique_ptr<Graph> &region : node->regions) {
      duplicate->regions.push_back(region->clone());
    }
    for (const std::unique_ptr<Value> &output : node->outputs) {
      auto value = std::make_unique<Value>();
      value->name = output->name;
      value->type = output->type;
      value->host = output->host;
      value->index = output->index;
      value->producer = duplicate.get();
      copies[output.get()] = value.get();
      duplicate->outputs.push_back(std::move(value));
    }
    copy->insert(std::move(duplicate), nullptr);
  }
  for (const Output &output : outputs_) {
    copy->add_output(output.name, copies.at(output.value));
  }
  return copy;
}

}  // namespace sylvite
