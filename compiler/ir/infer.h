// What shape rules are written in. Internal to compiler/ir.
//
// A rule is `infer_<text name>(Inference &)`, declared here from ops.def, so that an op without a
// rule does not link. It checks the node and returns its result types. Sizes that meet go through
// `same_size`, which proves them equal, assumes it (recording a guard, or replacing one symbol by
// the other in the whole graph) or reports the contradiction. Input types are therefore read again
// after each such call, never copied before it.
#pragma once

#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "compiler/ir/error.h"
#include "compiler/ir/graph.h"

namespace sylvite {

class Inference {
 public:
  // Without `assumptions`, sizes that are neither provably equal nor guarded already are an error:
  // this is how the verifier runs the rules again.
  Inference(const Graph &graph, const Node &node, Graph *assumptions)
      : node_(node), graph_(graph), assumptions_(assumptions) {}

  const Node &node() const { return node_; }
  const Attributes &attributes() const { return node_.attributes; }
  size_t input_count() const { return node_.inputs.size(); }
  const TensorType &type(size_t i) const { return node_.inputs[i]->type; }
  const Shape &shape(size_t i) const { return node_.inputs[i]->type.shape; }
  DType dtype(size_t i) const { return node_.inputs[i]->type.dtype; }
  int64_t rank(size_t i) const { return type(i).rank(); }
  const SymbolTable &symbols() const { return graph_.symbol_table(); }

  template <typename... Parts>
  [[noreturn]] void fail(const Parts &...parts) const {
    throw_model_error("node ", describe(node_), ": ", parts...);
  }
  template <typename... Parts>
  void require(bool condition, const Parts &...parts) const {
    if (!condition) {
      fail(parts...);
    }
  }

  // The one size that a and b are. `what` names them for messages: "axis 1 of its inputs".
  Dim same_size(const Dim &a, const Dim &b, const std::string &what);
  // Same rank, each axis the same size.
  void same_shape(const Shape &a, const Shape &b, const std::string &what);
  // The numpy broadcast of the two shapes; only a literal 1 stretches.
  Shape broadcast(const Shape &a, const Shape &b);

  // An integer attribute that names an axis of [0, rank).
  int64_t axis(const std::string &attribute, int64_t rank) const;
  // Each a different axis of [0, rank).
  void require_axes(const std::vector<int64_t> &axes, int64_t rank) const;
  // Fails if the size is negative for all values of its symbols.
  void require_size(const Dim &size) const;

  // The dim with the symbols replaced that this node's rule has unified so far.
  Dim current(Dim dim) const;

 private:
  void assume(const Dim &a, const Dim &b, const std::string &what);
  bool solve(const Dim &a, const Dim &b, const std::string &what);

  const Node &node_;
  const Graph &graph_;
  Graph *assumptions_;
  std::vector<std::pair<std::string, Dim>> replaced_;
};

#define OP(kind, text, min_inputs, max_inputs, outputs, op_class) \
  std::vector<TensorType> infer_##text(Inference &inference);
#include "compiler/ir/ops.def"
#undef OP

// Attributes, arity and the op's rule.
std::vector<TensorType> run_rule(Inference &inference);

// The elements of the node's only result where they are known (host_values.cpp).
std::optional<std::vector<Dim>> host_elements(const Inference &inference, const TensorType &result);

}  // namespace sylvite
