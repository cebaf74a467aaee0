// The graph IR: values, nodes, graphs. See docs/ir.md for the text form and each op's meaning.
//
// A Graph owns its nodes, a Node owns its results. Nodes stand in topological order. Handles are
// plain pointers that stay valid until the node is erased. Building a node through Graph::add runs
// its shape rule, so every value always has a type; a rule that finds a contradiction throws
// ModelError with the node's source name.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "compiler/ir/dims.h"
#include "compiler/ir/tensor.h"

namespace sylvite {

enum class Op : uint8_t {
#define OP(kind, text, min_inputs, max_inputs, outputs, op_class) kind,
#include "compiler/ir/ops.def"
#undef OP
};

enum class OpClass : uint8_t { Leaf, Elementwise, View, Lookup, Root, Library, Region, Control };

const char *name_of(Op op);
std::optional<Op> parse_op(std::string_view text);
OpClass class_of(Op op);
struct OpArity {
  int min_inputs, max_inputs, outputs;  // -1: any
};
OpArity arity_of(Op op);

struct TensorType {
  DType dtype = DType::F32;
  Shape shape;
  int64_t rank() const { return static_cast<int64_t>(shape.size()); }
  friend bool operator==(const TensorType &, const TensorType &) = default;
};
std::string to_string(const TensorType &type);  // f32[batch, 197, 768]

using TensorPtr = std::shared_ptr<const Tensor>;
using AttributeValue = std::variant<int64_t, double, std::string, DType, std::vector<int64_t>,
                                    std::vector<Dim>, TensorPtr>;

// Attributes by name. The typed getters are internal checks: shape rules have verified presence and
// type.
class Attributes {
 public:
  Attributes() = default;
  Attributes(std::initializer_list<std::pair<const std::string, AttributeValue>> values)
      : values_(values) {}
  void set(const std::string &name, AttributeValue value) { values_[name] = std::move(value); }
  void erase(const std::string &name) { values_.erase(name); }
  bool has(const std::string &name) const { return values_.count(name) != 0; }
  int64_t integer(const std::string &name) const;
  int64_t integer_or(const std::string &name, int64_t fallback) const;
  double real(const std::string &name) const;
  double real_or(const std::string &name, double fallback) const;
  const std::string &text(const std::string &name) const;
  std::string text_or(const std::string &name, const std::string &fallback) const;
  DType dtype(const std::string &name) const;
  const std::vector<int64_t> &integers(const std::string &name) const;
  const std::vector<Dim> &dims(const std::string &name) const;
  const TensorPtr &tensor(const std::string &name) const;
  const std::map<std::string, AttributeValue> &all() const { return values_; }
  friend bool operator==(const Attributes &a, const Attributes &b);  // tensors by content

 private:
  std::map<std::string, AttributeValue> values_;
};

class Graph;
struct Node;

struct Value {
  std::string name;  // for people; unique within the graph once printed
  TensorType type;
  Node *producer = nullptr;   // null: an input of the graph
  int index = 0;              // which result of the producer, or which input of the graph
  std::vector<Node *> users;  // one entry a use: a node that reads it twice stands twice
  bool is_graph_input() const { return producer == nullptr; }
  // The elements of a small integer (or bool) tensor as expressions, where they are known at
  // compile time. Of an input of the outermost graph: symbols for its contents, which are used as
  // sizes; they are read off the tensor as others are off its shape.
  std::optional<std::vector<Dim>> host;
};

struct Node {
  Op op = Op::Constant;
  std::vector<Value *> inputs;
  Attributes attributes;
  std::vector<std::unique_ptr<Value>> outputs;
  std::vector<std::unique_ptr<Graph>> regions;
  // The names of the ONNX nodes that this node came from, first the most telling. Kept through
  // rewrites.
  std::vector<std::string> sources;
  Graph *graph = nullptr;

  Value *input(size_t i) const { return inputs[i]; }
  Value *output(size_t i = 0) const { return outputs[i].get(); }
};

// "'encoder/layer.0/MatMul' (matmul)": how messages name a node.
std::string describe(const Node &node);

// Two sizes that were assumed equal: checked once per run, with this message's parts.
struct Guard {
  Dim left, right;
  std::string reason;  // "'Add_12' adds input_ids' axis 1 and attention_mask's axis 1"
};

// One fusion that nearly happened.
struct NearMiss {
  std::string kind;       // "attention"
  std::string node;       // in the user's names
  std::string condition;  // the one that failed
};

class Graph {
 public:
  Graph() = default;
  Graph(const Graph &) = delete;
  Graph &operator=(const Graph &) = delete;
  ~Graph();

  std::string name;
  SymbolTable symbols;  // of the outermost graph; regions use their parent's
  std::vector<Guard> guards;
  std::vector<NearMiss> near_misses;
  std::vector<std::string> warnings;  // lines for the user, e.g. sizes frozen by the exporter
  // Of a region. Set it before building the region (the symbols' ranges stand in the outermost
  // graph); adding the region's node sets it again.
  Graph *parent = nullptr;

  // Inputs and outputs, in the user's order. Output names are the user's: they are kept beside the
  // value, because one value may be two outputs or an input.
  Value *add_input(const std::string &input_name, TensorType type);
  void add_output(const std::string &output_name, Value *value);
  const std::vector<Value *> &inputs() const { return inputs_; }
  size_t output_count() const { return outputs_.size(); }
  Value *output(size_t i) const { return outputs_[i].value; }
  const std::string &output_name(size_t i) const { return outputs_[i].name; }
  void set_output(size_t i, Value *value) { outputs_[i].value = value; }
  void clear_outputs() { outputs_.clear(); }
  bool is_output(const Value *value) const;
  // Removes an input without users.
  void erase_input(Value *input);

  // Nodes in topological order.
  using NodeList = std::list<std::unique_ptr<Node>>;
  const NodeList &nodes() const { return nodes_; }
  // A copy of the order, safe against changes while it is walked.
  std::vector<Node *> node_order() const;

  // Appends a node (before `before` when given), infers its result types and host contents.
  Node *add(Op op, std::vector<Value *> inputs, Attributes attributes = {},
            std::vector<std::string> sources = {}, Node *before = nullptr);
  // The same for ops with regions or a stated number of outputs.
  Node *add(Op op, std::vector<Value *> inputs, Attributes attributes,
            std::vector<std::unique_ptr<Graph>> regions, std::vector<std::string> sources,
            Node *before = nullptr);
  Value *add_constant(Tensor tensor, const std::string &constant_name = "", Node *before = nullptr);

  void replace_input(Node *node, size_t i, Value *value);
  // Every use of `from`, graph outputs too, reads `to` afterwards. Types must agree.
  void replace_uses(Value *from, Value *to);
  // The node must have no users and be no output.
  void erase(Node *node);
  // Removes what no output needs.
  bool remove_dead();
  // Restores topological order after insertions that broke it; keeps the order otherwise.
  void sort();
  // Replaces a symbol in every type, attribute and guard, in regions too, and takes it out of the
  // symbol table. Guards that become trivial disappear: the inputs' types now say the same.
  void substitute_symbol(const std::string &symbol, const Dim &replacement);

  // The table that regions share: that of the outermost graph.
  SymbolTable &symbol_table();
  const SymbolTable &symbol_table() const;

  std::unique_ptr<Graph> clone() const;

 private:
  struct Output {
    std::string name;
    Value *value;
  };
  std::vector<Value *> inputs_;
  std::vector<std::unique_ptr<Value>> input_storage_;
  std::vector<Output> outputs_;
  NodeList nodes_;
  std::unordered_map<const Node *, NodeList::iterator> positions_;  // never walked
  int64_t host_elements_ = 0;  // of all values together; beyond a bound they are no longer kept

  Node *insert(std::unique_ptr<Node> node, Node *before);
  void unlink(Node *node);
};

// The graph that holds the symbol table, guards and warnings of this one: itself, or its outermost
// parent.
Graph &outermost(Graph &graph);
const Graph &outermost(const Graph &graph);

// Equal, provably equal, or assumed equal by a guard of the outermost graph.
bool types_agree(const Graph &graph, const TensorType &a, const TensorType &b);

// Result types and host contents of a node whose inputs and attributes are set (shapes.cpp).
// Declared here for Graph::add; called by nobody else. May assume that two symbolic sizes are
// equal: it then records a guard in the graph.
void infer_types(Graph &graph, Node &node);

// Throws InternalError that names the first broken rule: order, users, arity, types as the shape
// rules give them, symbols declared (verify.cpp).
void verify(const Graph &graph);

// The constant behind a value (through nothing else), or null.
const Tensor *constant_of(const Value *value);
bool same_tensor(const Tensor &a, const Tensor &b);

}  // namespace sylvite
