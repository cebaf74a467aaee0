// Computes only what is read: where a slice is all that is ever read of a result, the operands are
// sliced instead. A classifier that reads the class token of the last layer needs the feed-forward
// part of that layer for one token, not for 197.
//
//   slice(f(x, y))             =>  f(slice(x), slice(y))          f elementwise
//   slice(layer_norm(x))       =>  layer_norm(slice(x))           over other axes
//   slice(softmax(x))          =>  softmax(slice(x))              over other axes
//   slice(matmul(x, w[K, N]))  =>  matmul(slice(x), w)            of rows
//   slice(reshape(x))          =>  reshape(slice(x))              over axes that stay as they are
//   slice(transpose(x))        =>  transpose(slice(x))
//
// Needs: simplify_lookups (a class token is a slice), raise_layer_norm.
// Keeps: each number: rows do not depend on one another.
// Declines: results with other readers; slices that keep more than half; attention, whose three
// projections are worth more as one product; steps other than 1.
#include <algorithm>

#include "passes/passes.h"
#include "passes/rewrite.h"

namespace sylvite {
namespace {

// What a slice with steps of 1 takes.
struct Part {
  std::vector<Dim> starts, sizes;
};

bool is_whole(const Part &part, const Shape &shape, size_t axis) {
  return part.starts[axis].is(0) && part.sizes[axis] == shape[axis];
}

// At most half of what there is, or a few of an unknown number.
bool is_small(const Part &part, const Shape &shape, const SymbolTable &symbols) {
  for (size_t axis = 0; axis < shape.size(); ++axis) {
    if (!is_whole(part, shape, axis) &&
        (prove_le(part.sizes[axis] * 2, shape[axis], symbols) ||
         (part.sizes[axis].is_constant() && !shape[axis].is_constant()))) {
      return true;
    }
  }
  return false;
}

bool touches(const Part &part, const Shape &shape, size_t first_axis, size_t last_axis) {
  for (size_t axis = first_axis; axis <= last_axis; ++axis) {
    if (!is_whole(part, shape, axis)) {
      return true;
    }
  }
  return false;
}

Value *take(Builder &build, Value *value, const Part &part) {
  return build.add(Op::Slice, {value},
                   {{"starts", part.starts},
                    {"sizes", part.sizes},
                    {"steps", std::vector<int64_t>(part.starts.size(), 1)}});
}

// The part of an operand that is broadcast to `shape`.
Value *take_broadcast(Builder &build, Value *operand, const Part &part, const Shape &shape) {
  const Shape &own = operand->type.shape;
  const size_t missing = shape.size() - own.size();
  Part inner;
  bool whole = true;
  for (size_t axis = 0; axis < own.size(); ++axis) {
    const bool repeated = own[axis].is(1) && !shape[axis + missing].is(1);
    inner.starts.push_back(repeated ? Dim(0) : part.starts[axis + missing]);
    inner.sizes.push_back(repeated ? Dim(1) : part.sizes[axis + missing]);
    whole &= is_whole(inner, own, axis);
  }
  return whole ? operand : take(build, operand, inner);
}

// The part in front of a reshape, if every axis that it cuts is one axis on both sides with equally
// many elements before it.
std::optional<Part> before_reshape(const Part &part, const Shape &from, const Shape &to) {
  Part inner{std::vector<Dim>(from.size(), Dim(0)), from};
  for (size_t axis = 0; axis < to.size(); ++axis) {
    if (is_whole(part, to, axis)) {
      continue;
    }
    const Dim before =
        element_count(Shape(to.begin(), to.begin() + static_cast<std::ptrdiff_t>(axis)));
    Dim count = 1;
    size_t match = 0;
    while (match < from.size() && !(count == before && from[match] == to[axis])) {
      count *= from[match++];
    }
    if (match == from.size()) {
      return std::nullopt;
    }
    inner.starts[match] = part.starts[axis];
    inner.sizes[match] = part.sizes[axis];
  }
  return inner;
}

Part before_transpose(const Part &part, const std::vector<int64_t> &perm) {
  Part inner = part;
  for (size_t axis = 0; axis < perm.size(); ++axis) {
    inner.starts[static_cast<size_t>(perm[axis])] = part.starts[axis];
    inner.sizes[static_cast<size_t>(perm[axis])] = part.sizes[axis];
  }
  return inner;
}

Value *hoist_above(Builder &build, const Value *value, const Part &part, const Shape &result) {
  const Node &node = *value->producer;
  const Shape &shape = value->type.shape;
  if (class_of(node.op) == OpClass::Elementwise) {
    std::vector<Value *> inputs;
    for (Value *input : node.inputs) {
      inputs.push_back(take_broadcast(build, input, part, shape));
    }
    return build.copy(node, inputs);
  }
  std::vector<Value *> inputs = node.inputs;
  const size_t last = shape.size() - 1;
  switch (node.op) {
    case Op::LayerNorm:
    case Op::Softmax: {
      const size_t axis =
          static_cast<size_t>(normal_axis(node.attributes.integer("axis"), value->type.rank()));
      if (touches(part, shape, axis, node.op == Op::Softmax ? axis : last)) {
        return nullptr;
      }
      inputs[0] = take(build, inputs[0], part);
      return build.copy(node, inputs);
    }
    case Op::MatMul: {
      if (constant_of(inputs[1]) == nullptr || inputs[1]->type.rank() != 2 ||
          touches(part, shape, last, last)) {
        return nullptr;
      }
      Part rows = part;
      rows.sizes.back() = inputs[0]->type.shape.back();
      inputs[0] = take(build, inputs[0], rows);
      return build.copy(node, inputs);
    }
    case Op::Transpose:
      inputs[0] = take(build, inputs[0], before_transpose(part, node.attributes.integers("perm")));
      return build.copy(node, inputs);
    case Op::Reshape: {
      const std::optional<Part> inner = before_reshape(part, inputs[0]->type.shape, shape);
      return inner ? build.add(Op::Reshape, {take(build, inputs[0], *inner)}, {{"shape", result}})
                   : nullptr;
    }
    default:
      return nullptr;
  }
}

Value *hoist(Builder &build, Value *root) {
  if (!is_op(root, Op::Slice)) {
    return nullptr;
  }
  const Node &slice = *root->producer;
  const Value *value = slice.input(0);
  const std::vector<int64_t> &steps = slice.attributes.integers("steps");
  const Part part{slice.attributes.dims("starts"), slice.attributes.dims("sizes")};
  const bool plain =
      std::all_of(steps.begin(), steps.end(), [](int64_t step) { return step == 1; });
  if (!plain || value->producer == nullptr || only_user(value) == nullptr ||
      value->producer->outputs.size() != 1 || value->type.shape.empty() ||
      !is_small(part, value->type.shape, build.graph().symbol_table())) {
    return nullptr;
  }
  return hoist_above(build, value, part, root->type.shape);
}

}  // namespace

bool hoist_slices(Graph &graph) {
  static constexpr Rule kRules[] = {hoist};
  bool changed = false;
  // A residual is sliced from two sides; what the two slices have in common can move on as one.
  while (rewrite(graph, kRules)) {
    changed = true;
    common_subexpressions(graph);
  }
  return changed;
}

}  // namespace sylvite
