// Computes the projections that lead to one attention together: one product with the weights side
// by side instead of two or three that each read x again.
//
//   attention(.. x @ Wq + bq .., .. x @ Wk + bk .., .. x @ Wv + bv ..)
//     =>  p = x @ [Wq Wk Wv] + [bq bk bv],  attention(.. p[:, :n] .., ..)
//
// also for two of the three. Biases may be missing; what stands between bias and attention (head
// split, scale, a rotation) stays and reads a slice of p, which is a view. An activation that all
// of them have is computed for all of them. In the same way projections that are put side by side
// become one: heads that were written as modules.
//
//   concat(x @ W1 + b1, x @ W2 + b2, ..)  =>  x @ [W1 W2 ..] + [b1 b2 ..]
//
// Needs: canonical_matmuls, sink_views (biases directly behind products).
// Keeps: each number: columns of a product do not depend on one another.
// Declines: projections that anything but the attention reads: a slice is a detour for other
// readers.
#include <algorithm>
#include <cstring>
#include <ios>
#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <tuple>
#include <vector>

#include "compiler/ir/match.h"
#include "passes/passes.h"
#include "passes/rewrite.h"

namespace sylvite {
namespace {

struct Projection {
  Node *matmul = nullptr;
  Value *result = nullptr;       // of the product, the bias added to it, the activation
  const Tensor *bias = nullptr;  // of N elements, or null
  std::vector<Node *> activation = {};
  int64_t columns() const { return *matmul->output()->type.shape.back().constant(); }
};

// The one attention that reads the value, through views and constant factors; null if others do
// too. Behind a view, through any elementwise op: it could not be the product's epilogue.
Node *attention_behind(const Value *value, bool behind_view = false, int depth = 0) {
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
    } else if (class_of(user->op) == OpClass::View) {
      attention = attention_behind(user->output(), true, depth + 1);
    } else if (class_of(user->op) == OpClass::Elementwise &&
               (behind_view || (user->op == Op::Mul && scalar_constant(user->input(1))))) {
      attention = attention_behind(user->output(), behind_view, depth + 1);
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

// Functions of one number behind the bias, but for factors, which attention takes itself.
void add_activation(Projection &projection) {
  constexpr size_t kLongest = 8;
  while (projection.activation.size() < kLongest) {
    Node *user = only_user(projection.result);
    if (user == nullptr || class_of(user->op) != OpClass::Elementwise || user->op == Op::Mul ||
        user->op == Op::Cast ||
        !std::all_of(user->inputs.begin(), user->inputs.end(), [&](const Value *input) {
          return input == projection.result ||
                 (input->type.rank() == 0 && scalar_constant(input).has_value());
        })) {
      return;
    }
    projection.activation.push_back(user);
    projection.result = user->output();
  }
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
  add_activation(projection);
  return projection;
}

// Equal for equal activations.
std::string signature(const Projection &projection) {
  std::ostringstream text;
  for (const Node *node : projection.activation) {
    text << name_of(node->op);
    for (const Value *input : node->inputs) {
      const std::optional<double> number = scalar_constant(input);
      number ? text << ' ' << std::hexfloat << *number : text << " x";
    }
    text << ';';
  }
  return text.str();
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

// One product in place of several of the same x, with their bias and activation.
Value *packed(Builder &build, const std::vector<Projection> &projections) {
  const Projection &first = projections.front();
  const DType dtype = first.result->type.dtype;
  const int64_t depth = constant_of(first.matmul->input(1))->shape()[0];
  std::vector<Tensor> weights, biases;
  bool biased = false;
  for (const Projection &projection : projections) {
    weights.push_back(*constant_of(projection.matmul->input(1)));
    biases.push_back(projection.bias != nullptr ? projection.bias->reshaped({projection.columns()})
                                                : Tensor(dtype, {projection.columns()}));
    biased |= projection.bias != nullptr;
  }
  Value *result =
      build.add(Op::MatMul, {first.matmul->input(0), build.constant(side_by_side(weights, depth))});
  for (const Projection &projection : projections) {
    for (const std::string &source : projection.matmul->sources) {
      std::vector<std::string> &sources = result->producer->sources;
      if (std::find(sources.begin(), sources.end(), source) == sources.end()) {
        sources.push_back(source);
      }
    }
  }
  if (biased) {
    Tensor bias = side_by_side(biases, 1);
    result = build.add(Op::Add, {result, build.constant(bias.reshaped({bias.count()}))});
  }
  for (const Node *node : first.activation) {
    std::vector<Value *> inputs = node->inputs;
    for (Value *&input : inputs) {
      const Tensor *number = constant_of(input);
      input = number != nullptr ? build.constant(*number) : result;
    }
    result = build.copy(*node, inputs);
  }
  return result;
}

void pack(Graph &graph, const std::vector<Projection> &projections, Node *before) {
  Builder build(graph, before);
  Value *result = packed(build, projections);
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

// The projection, its bias added, that ends in this value and that nothing else reads.
std::optional<Projection> projection_behind(Value *value) {
  Value *product = value;
  match(value, op(Op::Add, any(&product), constant()));
  if (product->producer == nullptr || !is_projection(*product->producer) ||
      only_user(value) == nullptr || only_user(product) == nullptr || value->users.size() != 1) {
    return std::nullopt;
  }
  Projection projection = projection_of(product->producer);
  return projection.result == value ? std::optional(projection) : std::nullopt;
}

// concat(x @ W1 + b1, x @ W2 + b2, ..) => x @ [W1 W2 ..] + [b1 b2 ..]
Value *projections_side_by_side(Builder &build, Value *root) {
  if (!is_op(root, Op::Concat) || root->producer->inputs.size() < 2 ||
      normal_axis(root->producer->attributes.integer("axis"), root->type.rank()) !=
          root->type.rank() - 1) {
    return nullptr;
  }
  std::vector<Projection> projections;
  for (Value *input : root->producer->inputs) {
    std::optional<Projection> projection = projection_behind(input);
    if (!projection || (!projections.empty() &&
                        projection->matmul->input(0) != projections.front().matmul->input(0))) {
      return nullptr;
    }
    projections.push_back(*projection);
  }
  return packed(build, projections);
}

}  // namespace

bool pack_qkv(Graph &graph) {
  // Projections of one x for one attention, with one activation, in the order in which they stand.
  static constexpr Rule kRules[] = {projections_side_by_side};
  bool changed = rewrite(graph, kRules);
  using Key = std::tuple<Value *, Node *, std::string>;
  std::map<Key, std::vector<Projection>> groups;
  std::vector<Key> order;
  for (Node *node : graph.node_order()) {
    if (!is_projection(*node) || node->output()->users.empty()) {
      continue;
    }
    const Projection projection = projection_of(node);
    if (Node *attention = attention_behind(projection.result)) {
      const Key key = {node->input(0), attention, signature(projection)};
      std::vector<Projection> &group = groups[key];
      if (group.empty()) {
        order.push_back(key);
      }
      group.push_back(projection);
    }
  }
  for (const Key &key : order) {
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
