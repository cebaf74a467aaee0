// Walks a parsed model and builds the graph. Internal to the importer: includes ONNX.
#pragma once

#include <onnx/onnx_pb.h>

#include <deque>
#include <map>
#include <optional>
#include <set>
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

// Names from the file for messages: one line, not too long.
std::string printable(const std::string &name);

// The rule for an operator of the standard domain, or null.
const OpRule *find_rule(const std::string &op_type);

// The schema of a standard operator at an opset. Operators that are used before the opset that
// brought them (onnxruntime's optimisers do so) or after they were withdrawn get their latest one.
// Null: no such operator.
const onnx::OpSchema *find_schema(const std::string &op_type, int64_t opset);

// The standard domain has two names.
bool is_standard_domain(const std::string &domain);
int64_t newest_opset();

// How deep functions may call each other.
inline constexpr size_t kMaxCallDepth = 64;

// What finds a model-local function: domain, name and overload.
std::string function_key(const onnx::FunctionProto &function);
std::string function_key(const onnx::NodeProto &call);

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
  Importer(const onnx::ModelProto &model, TensorSource tensors, const ImportOptions &options);

  std::unique_ptr<Graph> run();

 private:
  // An attribute, and where its tensor's bytes are.
  struct AttributeRef {
    const onnx::AttributeProto *proto = nullptr;
    const TensorSource *tensors = nullptr;
  };
  using Arguments = std::map<std::string, AttributeRef>;
  using Opsets = std::map<std::string, int64_t>;

  // What a name stands for: a value, or a constant that nobody has needed yet.
  struct Binding {
    Value *value = nullptr;
    const onnx::TensorProto *constant = nullptr;
  };

  // The names of one graph or function body.
  struct Scope {
    Scope *outer = nullptr;  // whose names a nested graph sees too
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

  Binding *find(Scope &scope, const std::string &name) const;
  Value *value_of(Scope &scope, const std::string &name);
  void define(Scope &scope, const std::string &name, Value *value);

  // Imports the nodes that `wanted` depends on.
  void import_nodes(const Nodes &nodes, Scope &scope, const std::vector<std::string> &wanted);
  void import_node(const onnx::NodeProto &node, int index, Scope &scope);
  void import_if(const onnx::NodeProto &node, OnnxNode &view, Scope &scope);
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
  OnnxNode view_of(const onnx::NodeProto &node, const std::string &source, Scope &scope);

  const onnx::ModelProto &model_;
  TensorSource tensors_;
  TensorSource library_tensors_;  // of function bodies from the ONNX library
  const ImportOptions &options_;
  Opsets opsets_;
  std::map<std::string, const onnx::FunctionProto *> functions_;
  std::vector<std::string> calls_;          // the functions that are being inlined
  std::deque<onnx::FunctionProto> bodies_;  // built for nodes, read by lazy constants
  int64_t node_count_ = 0;
  std::unique_ptr<Graph> graph_;
};

}  // namespace sylvite
