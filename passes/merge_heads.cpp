// Computes heads that were written as modules of their own as one attention.
//
//   concat(attention(q1, k1, v1, m) [f, g], attention(q2, k2, v2, m) [f, g], ...) on the last axis
//     =>  reshape(transpose(attention(heads(q1, q2, ...), heads(k1, ..), heads(v1, ..), m) [f, g]))
//
// heads() puts its operands side by side and splits them again, into a new axis in front of the
// positions: where these are projections, pack_qkv makes one product of all of them.
//
// Needs: raise_attention.   Keeps: each number: heads do not depend on one another.
// Declines: heads of different sizes, with different formulas or different masks, with views inside
// of a formula; heads that something else reads.
#include <algorithm>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "passes/passes.h"
#include "passes/rewrite.h"

namespace sylvite {
namespace {

using Same = std::map<const Value *, const Value *>;

// [.., L, heads, d] to [.., heads, L, d] and back.
std::vector<int64_t> swap_positions_and_heads(int64_t rank) {
  std::vector<int64_t> perm = identity_permutation(rank);
  std::swap(perm[perm.size() - 2], perm[perm.size() - 3]);
  return perm;
}

// Whether both regions are one formula of their inputs.
bool same_region(const Graph &a, const Graph &b) {
  if (a.nodes().size() != b.nodes().size() || a.inputs().size() != b.inputs().size()) {
    return false;
  }
  Same same;
  for (size_t i = 0; i < a.inputs().size(); ++i) {
    same[a.inputs()[i]] = b.inputs()[i];
  }
  for (auto x = a.nodes().begin(), y = b.nodes().begin(); x != a.nodes().end(); ++x, ++y) {
    const Node &node = **x, &other = **y;
    if (node.op != other.op || !(node.attributes == other.attributes) ||
        !(node.output()->type == other.output()->type) ||
        node.inputs.size() != other.inputs.size()) {
      return false;
    }
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      if (same.at(node.input(i)) != other.input(i)) {
        return false;
      }
    }
    same[node.output()] = other.output();
  }
  return same.at(a.output(0)) == b.output(0);
}

bool without_views(const Graph &region) {
  return std::all_of(region.nodes().begin(), region.nodes().end(), [](const auto &node) {
    return node->op == Op::Constant || class_of(node->op) == OpClass::Elementwise;
  });
}

bool same_head(const Node &a, const Node &b) {
  if (a.inputs.size() != b.inputs.size() || !same_region(*a.regions[0], *b.regions[0]) ||
      !same_region(*a.regions[1], *b.regions[1])) {
    return false;
  }
  for (size_t i = 0; i < a.inputs.size(); ++i) {
    if (i < 3 ? !(a.input(i)->type == b.input(i)->type) : a.input(i) != b.input(i)) {
      return false;
    }
  }
  return true;
}

// The shape with an axis of one element in front of the last two; as it is where these are all that
// there is: it broadcasts.
Shape with_head_axis(Shape shape, const Dim &heads) {
  if (shape.size() > 2) {
    shape.insert(shape.end() - 2, heads);
  }
  return shape;
}

// [.., L, d] of each head as [.., heads, L, d].
Value *heads_of(Builder &build, const std::vector<Node *> &attentions, size_t operand) {
  std::vector<Value *> parts;
  for (const Node *attention : attentions) {
    parts.push_back(attention->input(operand));
  }
  const Shape &shape = parts.front()->type.shape;
  const int64_t rank = static_cast<int64_t>(shape.size());
  Value *together = build.add(Op::Concat, parts, {{"axis", rank - 1}});
  Shape split = shape;
  split.insert(split.end() - 1, static_cast<int64_t>(parts.size()));
  return build.transpose(build.reshape(together, split), swap_positions_and_heads(rank + 1));
}

// The region over [.., heads, M, N] in place of [.., M, N].
std::unique_ptr<Graph> with_heads(const Graph &region, const Dim &heads,
                                  const std::vector<Value *> &operands, Graph &parent) {
  std::unique_ptr<Graph> result = std::make_unique<Graph>();
  result->name = region.name;
  result->parent = &parent;
  std::map<const Value *, Value *> copies;
  for (size_t i = 0; i < region.inputs().size(); ++i) {
    const Value *input = region.inputs()[i];
    TensorType type = i == 0 ? input->type : operands[i - 1]->type;
    if (i == 0) {
      type.shape.insert(type.shape.end() - 2, heads);
    }
    copies[input] = result->add_input(input->name, type);
  }
  for (const std::unique_ptr<Node> &node : region.nodes()) {
    Attributes attributes = node->attributes;
    if (node->op == Op::Constant) {
      const Tensor &tensor = *constant_of(node->output());
      std::vector<int64_t> shape = tensor.shape();
      if (shape.size() > 2) {
        shape.insert(shape.end() - 2, 1);
      }
      copies[node->output()] = result->add_constant(tensor.reshaped(shape), node->output()->name);
      continue;
    }
    std::vector<Value *> inputs;
    for (const Value *input : node->inputs) {
      inputs.push_back(copies.at(input));
    }
    Node *copy = result->add(node->op, inputs, std::move(attributes), node->sources);
    copy->output()->name = node->output()->name;
    copies[node->output()] = copy->output();
  }
  result->add_output(region.output_name(0), copies.at(region.output(0)));
  return result;
}

// The attentions that a concat along the last axis puts side by side, if they are heads of one.
std::vector<Node *> heads_behind(const Node &concat) {
  std::vector<Node *> heads;
  const int64_t rank = concat.output()->type.rank();
  if (concat.op != Op::Concat || concat.inputs.size() < 2 ||
      normal_axis(concat.attributes.integer("axis"), rank) != rank - 1) {
    return {};
  }
  for (const Value *input : concat.inputs) {
    if (!is_op(input, Op::Attention) || only_user(input) == nullptr) {
      return {};
    }
    heads.push_back(input->producer);
    if (!same_head(*heads.front(), *heads.back()) || !without_views(*heads.back()->regions[0]) ||
        !without_views(*heads.back()->regions[1])) {
      return {};
    }
  }
  // An attention that stands twice is no two heads.
  for (const Node *head : heads) {
    if (head->output()->users.size() != 1) {
      return {};
    }
  }
  const Node &first = *heads.front();
  const bool ranks = std::all_of(first.inputs.begin(), first.inputs.begin() + 3,
                                 [&](const Value *input) { return input->type.rank() == rank; });
  return ranks ? heads : std::vector<Node *>();
}

Value *merge(Builder &build, Value *root) {
  const std::vector<Node *> heads = heads_behind(*root->producer);
  if (heads.empty()) {
    return nullptr;
  }
  const Node &first = *heads.front();
  const Dim count = static_cast<int64_t>(heads.size());
  std::vector<Value *> inputs, operands;
  for (size_t operand = 0; operand < 3; ++operand) {
    inputs.push_back(heads_of(build, heads, operand));
  }
  for (size_t i = 3; i < first.inputs.size(); ++i) {
    operands.push_back(
        build.reshape(first.input(i), with_head_axis(first.input(i)->type.shape, Dim(1))));
  }
  inputs.insert(inputs.end(), operands.begin(), operands.end());
  std::vector<std::unique_ptr<Graph>> regions;
  for (const std::unique_ptr<Graph> &region : first.regions) {
    regions.push_back(with_heads(*region, count, operands, build.graph()));
  }
  Value *attention = build.add_with_regions(Op::Attention, inputs, {}, std::move(regions));
  Value *positions_first =
      build.transpose(attention, swap_positions_and_heads(attention->type.rank()));
  return build.reshape(positions_first, root->type.shape);
}

}  // namespace

bool merge_heads(Graph &graph) {
  static constexpr Rule kRules[] = {merge};
  return rewrite(graph, kRules);
}

}  // namespace sylvite
