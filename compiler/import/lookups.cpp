// Operators that read or write positions which data decides. Indices may be negative in ONNX as in
// the IR.
#include <algorithm>

#include "compiler/import/onnx_node.h"

namespace sylvite {
namespace {

void gather(OnnxNode &node) {
  const int64_t axis = node.axis(node.integer("axis", 0), node.input(0)->type.rank());
  node.set_output(0, node.add(Op::Gather, {node.input(0), node.input(1)}, {{"axis", axis}}));
}

// The indices of GatherElements and ScatterElements name positions on one axis; on the others they
// stand at their own, which the data must have.
void require_room(OnnxNode &node, int64_t axis) {
  const Shape &data = node.input(0)->type.shape;
  const Shape &indices = node.input(1)->type.shape;
  for (size_t i = 0; i < std::min(data.size(), indices.size()); ++i) {
    if (static_cast<int64_t>(i) != axis) {
      node.assume_at_most(indices[i], data[i],
                          "has indices for " + indices[i].str() + " of " + data[i].str() +
                              " positions on axis " + std::to_string(i));
    }
  }
}

void gather_elements(OnnxNode &node) {
  const int64_t axis = node.axis(node.integer("axis", 0), node.input(0)->type.rank());
  require_room(node, axis);
  node.set_output(0,
                  node.add(Op::GatherElements, {node.input(0), node.input(1)}, {{"axis", axis}}));
}

void gather_nd(OnnxNode &node) {
  const int64_t batch_dims = node.integer("batch_dims", 0);
  node.set_output(
      0, node.add(Op::GatherND, {node.input(0), node.input(1)}, {{"batch_dims", batch_dims}}));
}

std::string reduction_of(const OnnxNode &node) {
  const std::string reduction = node.text("reduction", "none");
  for (const char *known : {"none", "add", "mul", "max", "min"}) {
    if (reduction == known) {
      return reduction;
    }
  }
  node.fail("reduction '", reduction, "' is not supported; none, add, mul, max and min are");
}

void scatter_elements(OnnxNode &node) {
  const int64_t axis = node.axis(node.integer("axis", 0), node.input(0)->type.rank());
  require_room(node, axis);
  node.set_output(0, node.add(Op::ScatterElements, {node.input(0), node.input(1), node.input(2)},
                              {{"axis", axis}, {"reduction", reduction_of(node)}}));
}

void scatter_nd(OnnxNode &node) {
  node.set_output(0, node.add(Op::ScatterND, {node.input(0), node.input(1), node.input(2)},
                              {{"reduction", reduction_of(node)}}));
}

void top_k(OnnxNode &node) {
  Value *const x = node.input(0);
  const int64_t axis = node.axis(node.integer("axis", -1), x->type.rank());
  const Dim k = node.dim(1, "number of results");
  const Dim &size = x->type.shape[static_cast<size_t>(axis)];
  if (k.is_constant() &&
      (*k.constant() < 0 || (size.is_constant() && *k.constant() > *size.constant()))) {
    node.fail("asks for ", k.str(), " of the ", size.str(), " elements of axis ", axis);
  }
  node.assume_at_most(k, size, "asks for " + k.str() + " of " + size.str() + " elements");
  const Node *const sorted = node.add_node(Op::TopK, {x},
                                           {{"axis", axis},
                                            {"k", std::vector<Dim>{k}},
                                            {"largest", node.integer("largest", 1)},
                                            {"sorted", node.integer("sorted", 1)}});
  for (size_t i = 0; i < node.output_count(); ++i) {
    node.set_output(i, sorted->output(i));
  }
}

constexpr OpRule kRules[] = {
    {"Gather", 13, gather},        {"GatherElements", 13, gather_elements},
    {"GatherND", 13, gather_nd},   {"ScatterElements", 18, scatter_elements},
    {"ScatterND", 18, scatter_nd}, {"TopK", 24, top_k},
};

}  // namespace

std::span<const OpRule> lookup_rules() {
  return kRules;
}

}  // namespace sylvite
