// Walks a parsed model and builds the graph. Internal to the importer: includes ONNX.
#pragma once

#include <onnx/onnx_pb.h>

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "compiler/import/import.h"
#include "compiler/import/onnx_node.h"
#include "compiler/import/tensors.h"
#include "compiler/ir/graph.h"

namespace onnx {
class OpSchema;
}

namespace sylvite {

// A mistake whose place in the model is already in the message.
struct LocatedError : ModelError {
  using ModelError::ModelError;
};

// The import begins anew with symbols for the contents of these inputs.
struct ContentsNeeded {
  std::set<std::string> inputs;
};

// Names from the file for messages: one line, not too long.
std::string printable(const std::string &name);

// The rule for an operator of a domain, or null.
const OpRule *find_rule(const std::string &domain, const std::string &op_type);

// The schema of a standard operator at an opset. Operators that are used before the opset that
// brought them (onnxruntime's optimisers do so) or after they were withdrawn get their latest one.
// Null: no such operator.
const onnx::OpSchema *find_schema(const std::string &op_type, int64_t opset);
// The newest schema of an operator of ONNX's own preview domain; null: it is no such operator.
const onnx::OpSchema *find_preview_schema(const onnx::NodeProto &node);

// The standard domain has two names.
bool is_standard_domain(const std::string &domain);
int64_t newest_opset();

// Older models are read as far as each of their operators is the same in this one.
inline constexpr int64_t kOldestOpset = 11;

// How deep functions may call each other.
inline constexpr size_t kMaxCallDepth = 64;
// How deep loops and branches may stand in each other.
inline constexpr int kMaxControlDepth = 8;
// Each has symbols of its own, which every later loop sees.
inline constexpr int kMaxLoops = 1024;
// A loop of a number of iterations that is known while compiling becomes as many copies of its
// body, each with weights of its own, up to this many.
inline constexpr int64_t kMostUnrolled = 64;

// What finds a model-local function: domain, name and overload.
std::string function_key(const onnx::FunctionProto &function);
std::string function_key(const onnx::NodeProto &call);

// Operators that the importer itself translates: control flow and sequences. `how` goes into the
// table of operators.
struct OwnOperator {
  const char *name;
  const char *how;
};
std::span<const OwnOperator> own_operators();
bool is_sequence_operator(const std::string &op_type);

// The lines for all operators that cannot be imported; empty when there are none.
std::string unsupported_operators(const onnx::ModelProto &model);

// The nodes' indices such that each follows the nodes that it reads from, otherwise in the file's
// order. Throws LocatedError (without the file's name) for a cycle or a name that is defined twice.
std::vector<int> topological_order(const google::protobuf::RepeatedPtrField<onnx::NodeProto> &nodes,
                                   const std::string &prefix);

// What a node reads: its inputs and the outer names that its nested graphs use.
std::vector<std::string> names_read_by(const onnx::NodeProto &node);

// How messages and Node::sources name the index-th node of a graph.
std::string source_name(const onnx::NodeProto &node, int index, const std::string &prefix);

class Importer {
 public:
  // `contents`: inputs whose contents are used as sizes. Throws ContentsNeeded when there must be
  // more of them.
  Importer(const onnx::ModelProto &model, TensorSource tensors, const ImportOptions &options,
           const std::set<std::string> &contents);

  std::unique_ptr<Graph> run();

 private:
  // An attribute, and where its tensor's bytes are.
  struct AttributeRef {
    const onnx::AttributeProto *proto = nullptr;
    const TensorSource *tensors = nullptr;
  };
  using Arguments = std::map<std::string, AttributeRef>;
  using Opsets = std::map<std::string, int64_t>;

  using Sequence = std::vector<Value *>;

  // What a name stands for: a value, a constant that nobody has needed yet, or a list of values.
  struct Binding {
    Value *value = nullptr;
    const onnx::TensorProto *constant = nullptr;
    std::shared_ptr<const Sequence> sequence = nullptr;
  };

  // The regions of a control node that is being built, and what they take from the graph around
  // them. All regions of a node take the same.
  struct Body {
    Body *outer = nullptr;  // null: the model's own graph is around it
    int depth = 1;
    std::vector<Graph *> regions;
    size_t current = 0;             // the region that nodes go to
    std::vector<Value *> captured;  // values of the outer graph
    // By region: what a value of the outer graph is inside.
    std::vector<std::map<const Value *, Value *>> inside;
    Graph &graph() const { return *regions[current]; }
  };

  // The names of one graph or function body.
  struct Scope {
    Scope *outer = nullptr;  // whose names a nested graph sees too
    Body *body = nullptr;    // whose nodes these are; null: the model's own graph
    std::unordered_map<std::string, Binding> names;
    const Opsets *opsets = nullptr;
    const Arguments *arguments = nullptr;  // of a function body
    const TensorSource *tensors = nullptr;
    std::string prefix;                 // of the names of nodes
    std::optional<std::string> source;  // in the body of a standard operator: the user's node
  };

  using Nodes = google::protobuf::RepeatedPtrField<onnx::NodeProto>;

  void check_opset(const Opsets &opsets) const;
  void add_inputs(Scope &scope);
  void add_outputs(Scope &scope);
  void add_initializers(const onnx::GraphProto &graph, Scope &scope);
  void check_declared_type(const onnx::ValueInfoProto &info, const Value *value);

  // A loop as both Loop and Scan describe it.
  struct Iterations {
    const onnx::GraphProto *body = nullptr;
    // The body's input that is the first carried value; before it stand number and condition.
    int first = 0;
    std::vector<Binding> carried;
    struct Scanned {
      Value *value = nullptr;
      int64_t axis = 0;
      bool reverse = false;
    };
    std::vector<Scanned> scanned;
    struct Collected {
      int64_t axis = 0;
      bool reverse = false;
    };
    std::vector<Collected> collected;
    bool has_condition = false;  // the body's output 0
    Value *condition = nullptr;  // to begin; null: true
    std::optional<Dim> trip;     // nothing: no bound
  };
  // By carried value and axis, how much it grows in an iteration.
  using Growth = std::vector<std::vector<Dim>>;

  Graph &graph_of(const Scope &scope) const {
    return scope.body == nullptr ? *graph_ : scope.body->graph();
  }
  Scope nested_scope(Scope &scope) const;
  // The value of the graph of `from` as the graph of `to`, which stands in it, sees it.
  Value *bring(Value *value, const Body *from, Body *to);
  // The model's inputs that a value of whole numbers is computed from; nothing where it is data.
  std::optional<std::set<std::string>> inputs_behind(const Value *value, const Body *body) const;

  Binding *find(Scope &scope, const std::string &name, const Scope **owner = nullptr) const;
  const Binding &binding_of(Scope &scope, const std::string &name) const;
  // A value or a list of values, as the scope's graph sees them.
  Binding resolve(Scope &scope, const std::string &name);
  Value *value_of(Scope &scope, const std::string &name);
  void define(Scope &scope, const std::string &name, Value *value);
  void define_sequence(Scope &scope, const std::string &name, const Binding &sequence);

  // Imports the nodes that `wanted` depends on.
  void import_nodes(const Nodes &nodes, Scope &scope, const std::vector<std::string> &wanted);
  void import_node(const onnx::NodeProto &node, int index, Scope &scope);
  using Results = std::vector<Binding>;
  void import_if(const onnx::NodeProto &node, OnnxNode &view, Scope &scope, Results &results);
  void import_branches(const onnx::NodeProto &node, OnnxNode &view, Scope &scope, Results &results);
  void import_loop(const onnx::NodeProto &node, OnnxNode &view, Scope &scope, Results &results);
  void import_scan(const onnx::NodeProto &node, OnnxNode &view, Scope &scope, Results &results);
  void import_iterations(const Iterations &loop, OnnxNode &view, Scope &scope, Results &results);
  // Copies of the body; nothing where a condition is data.
  std::optional<Results> unrolled(const Iterations &loop, int64_t trip, OnnxNode &view,
                                  Scope &scope);
  Results rolled(const Iterations &loop, const Growth &growth, OnnxNode &view, Scope &scope);
  Growth find_growth(const Iterations &loop, OnnxNode &view, Scope &scope);
  // The body for sizes that grow so, in the body's graph, whose inputs are then the carried values;
  // its results.
  std::vector<Value *> import_iteration(const Iterations &loop, const Growth &growth,
                                        const std::string &iteration, OnnxNode &view, Body &body,
                                        Scope &scope);
  // A symbol for the number of an iteration.
  static std::string declare_iteration(const Dim &trip, SymbolTable &symbols);
  const onnx::GraphProto &body_graph(const onnx::NodeProto &node, const char *name,
                                     const Scope &scope) const;
  // SequenceConstruct and its like: lists of values, all known while compiling.
  void import_sequence(const onnx::NodeProto &node, OnnxNode &view, Scope &scope, Results &results);
  void import_standard(const onnx::NodeProto &node, OnnxNode &view, Scope &scope);
  void import_local_function(const onnx::NodeProto &node, const onnx::FunctionProto &function,
                             const std::string &source, OnnxNode &view, Scope &scope);
  void import_body(const onnx::FunctionProto &body, const Arguments &arguments, OnnxNode &view,
                   Scope &body_scope);
  const onnx::FunctionProto &body_of(const onnx::NodeProto &node, const onnx::OpSchema &schema,
                                     int64_t opset, const OnnxNode &view, const Scope &scope);

  onnx::NodeProto resolved(const onnx::NodeProto &node, const Scope &scope) const;
  AttributeRef attribute(const onnx::NodeProto &node, const std::string &name,
                         const Scope &scope) const;
  // Inputs that are sequences are missing in the view of an operator that takes some.
  OnnxNode view_of(const onnx::NodeProto &node, const std::string &source, Scope &scope,
                   bool with_sequences);

  const onnx::ModelProto &model_;
  TensorSource tensors_;
  TensorSource library_tensors_;  // of function bodies from the ONNX library
  const ImportOptions &options_;
  const std::set<std::string> &contents_;
  Opsets opsets_;
  std::map<std::string, const onnx::FunctionProto *> functions_;
  std::vector<std::string> calls_;          // the functions that are being inlined
  std::deque<onnx::FunctionProto> bodies_;  // built for nodes, read by lazy constants
  int64_t node_count_ = 0;
  int loop_count_ = 0;
  std::unique_ptr<Graph> graph_;
};

}  // namespace sylvite
