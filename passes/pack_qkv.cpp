// Computes the projections that lead to one attention together: one product with the weights side
// by side instead of two or three that each read x again.
//
//   attention(.. x @ Wq + bq .., .. x @ Wk + bk .., .. x @ Wv + bv ..)
//     =>  p = x @ [Wq Wk Wv] + [bq bk bv],  attention(.. p[:, :n] .., ..)
//
// also for two of the three. Biases may be missing; what stands between bias and attention (head
// split, scale) stays and reads a slice of p, which is a view.
//
// Needs: canonical_matmuls, sink_views (biases directly behind products).
// Keeps: each number: columns of a product do not depend on one another.
// Declines: projections that anything but the attention reads: a slice is a detour for other
// readers.
#include <algorithm>
#include <cstring>
#include <map>
#include <set>

#include "compiler/ir/match.h"
#include "passes/passes.h"
#include "passes/rewrite.h"

namespace sylvite {
namespace {

struct Projection {
  Node *matmul = nullptr;
  Value *result = nullptr;       // of the product, or of the bias added to it
  const Tensor *bias = nullptr;  // of N elements, or null
  int64_t columns() const { return *matmul->output()->type.shape.back().constant(); }
};

// The one attention that reads the value, through views and constant factors; null if others do
// too.
Node *attention_behind(const Value *value, int depth = 0) {
  constexpr int kDeepest = 16;
  if (depth > kDeepest || value->users.empty() || value->users.front()->graph->is_output(value)) {
    return nullptr;
  }
  Node *found = nullptr;
  for (Node *user : value->users) {
    Node *attention = nullptr;
    if (user->op == Op::Attention) {
      // As q, k or v; not as a mask.
      const bool operand =
          std::find(user->inputs.begin() + 3, user->inputs.end(), value) == user->inputs.end();
      attention = operand ? user : nullptr;
    } else if (class_of(user->op) == OpClass::View ||
               (user->op == Op::Mul && scalar_constant(user->input(1)))) {
      attention = attention_behind(user->output(), depth + 1);
    }
    if (attention == nullptr || (found != nullptr && found != attention)) {
      return nullptr;
    }
    found = attention;
  }
  return found;
}

bool is_projection(const Node &node) {
  const Tensor *weights = node.op == Op::MatMul ? constant_of(node.input(1)) : nullptr;
  return weights != nullptr && weights->rank() == 2 &&
         node.attributes.integer_or("transpose_b", 0) == 0;
}

Projection projection_of(Node *matmul) {
  Projection projection{matmul, matmul->output(), nullptr};
  Node *user = only_user(matmul->output());
  Value *bias = nullptr;
  if (user != nullptr && user->op == Op::Add &&
      match(user->output(), op(Op::Add, any(), constant(&bias)))) {
    const Tensor &tensor = *constant_of(bias);
    if (tensor.count() == projection.columns() && !tensor.shape().empty() &&
        tensor.shape().back() == tensor.count()) {
      projection.result = user->output();
      projection.bias = &tensor;
    }
  }
  return projection;
}

// The matrices (or rows) side by side: all have the same number of rows.
Tensor side_by_side(const std::vector<Tensor> &parts, int64_t rows) {
  int64_t columns = 0;
  for (const Tensor &part : parts) {
    columns += part.count() / rows;
  }
  Tensor result(parts.front().dtype(), {rows, columns});
  const size_t size = static_cast<size_t>(size_of(result.dtype()));
  std::byte *to = result.mutable_bytes();
  for (int64_t row = 0; row < rows; ++row) {
    for (const Tensor &part : parts) {
      const size_t bytes = static_cast<size_t>(part.count() / rows) * size;
      std::memcpy(to, part.bytes().data() + static_cast<size_t>(row) * bytes, bytes);
      to += bytes;
    }
  }
  return result;
}

void pack(Graph &graph, const std::vector<Projection> &projections, Node *before) {
  Builder build(graph, before);
  const DType dtype = projections.front().result->type.dtype;
  const int64_t depth = constant_of(projections.front().matmul->input(1))->shape()[0];
  std::vector<Tensor> weights, biases;
  bool biased = false;
  for (const Projection &projection : projections) {
    weights.push_back(*constant_of(projection.matmul->input(1)));
    biases.push_back(projection.bias != nullptr ? projection.bias->reshaped({projection.columns()})
                                                : Tensor(dtype, {projection.columns()}));
    biased |= projection.bias != nullptr;
  }
  Value *result = build.add(Op::MatMul, {projections.front().matmul->input(0),
                                         build.constant(side_by_side(weights, depth))});
  if (biased) {
    Tensor bias = side_by_side(biases, 1);
    result = build.add(Op::Add, {result, build.constant(bias.reshaped({bias.count()}))});
  }
  for (const Projection &projection : projections) {
    for (const std::string &source : projection.matmul->sources) {
      std::vector<std::string> &sources = result->producer->sources;
      if (std::find(sources.begin(), sources.end(), source) == sources.end()) {
        sources.push_back(source);
      }
    }
  }
  // All slices stand before the first product goes, which `build` adds in front of.
  std::vector<Value *> parts;
  Dim begin = 0;
  for (const Projection &projection : projections) {
    const Dim columns = projection.columns();
    parts.push_back(build.slice(result, result->type.rank() - 1, begin, columns));
    begin += columns;
  }
  for (size_t i = 0; i < parts.size(); ++i) {
    replace_value(graph, projections[i].result, parts[i], {});
  }
}

}  // namespace

bool pack_qkv(Graph &graph) {
  // Projections of one x for one attention, in the order in which they stand.
  std::map<std::pair<Value *, Node *>, std::vector<Projection>> groups;
  std::vector<std::pair<Value *, Node *>> order;
  for (Node *node : graph.node_order()) {
    if (!is_projection(*node) || node->output()->users.empty()) {
      continue;
    }
    const Projection projection = projection_of(node);
    if (Node *attention = attention_behind(projection.result)) {
      std::vector<Projection> &group = groups[{node->input(0), attention}];
      if (group.empty()) {
        order.push_back({node->input(0), attention});
      }
      group.push_back(projection);
    }
  }
  bool changed = false;
  for (const auto &key : order) {
    const std::vector<Projection> &group = groups.at(key);
    if (group.size() < 2) {
      continue;
    }
    // In front of the first product: its operands, x and weights, all stand before it.
    pack(graph, group, group.front().matmul);
    changed = true;
  }
  return changed;
}

}  // namespace sylvite
