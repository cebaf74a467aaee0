// Merges chains of views: one reshape, one transpose, one slice, one expand, one concat where there
// were several, and a slice of a concat reads the part that it takes. Two transposes that undo one
// another go, though an elementwise op stands between them.
//
// Keeps: every element.   Declines: pairs whose merger cannot be proved for all sizes.
#include <algorithm>

#include "passes/passes.h"
#include "passes/rewrite.h"

namespace sylvite {
namespace {

// The view under a view of the same kind, or null.
const Node *same_view_below(const Value *root, Op op) {
  if (!is_op(root, op) || !is_op(root->producer->input(0), op)) {
    return nullptr;
  }
  return root->producer->input(0)->producer;
}

// reshape(reshape(x)) => reshape(x)
Value *reshape_of_reshape(Builder &build, Value *root) {
  const Node *inner = same_view_below(root, Op::Reshape);
  return inner == nullptr
             ? nullptr
             : build.add(Op::Reshape, {inner->input(0)}, {{"shape", root->type.shape}});
}

// transpose(transpose(x, p), q) => transpose(x, p[q])
Value *transpose_of_transpose(Builder &build, Value *root) {
  const Node *inner = same_view_below(root, Op::Transpose);
  if (inner == nullptr) {
    return nullptr;
  }
  const std::vector<int64_t> &first = inner->attributes.integers("perm");
  std::vector<int64_t> perm;
  for (const int64_t axis : root->producer->attributes.integers("perm")) {
    perm.push_back(first[static_cast<size_t>(axis)]);
  }
  return build.transpose(inner->input(0), perm);
}

// Whether the second transpose undoes the first.
bool undoes(const std::vector<int64_t> &second, const std::vector<int64_t> &first) {
  for (size_t axis = 0; axis < second.size(); ++axis) {
    if (first[static_cast<size_t>(second[axis])] != static_cast<int64_t>(axis)) {
      return false;
    }
  }
  return true;
}

// transpose(f(transpose(x, p), y), q) => f(x, transpose(y, q)) where q undoes p
Value *transposes_around_elementwise(Builder &build, Value *root) {
  if (!is_op(root, Op::Transpose)) {
    return nullptr;
  }
  const Value *inner = root->producer->input(0);
  if (!is_class(inner, OpClass::Elementwise) || only_user(inner) == nullptr) {
    return nullptr;
  }
  const std::vector<int64_t> &perm = root->producer->attributes.integers("perm");
  std::vector<Value *> inputs;
  int undone = 0, added = 0;
  for (Value *operand : inner->producer->inputs) {
    if (is_op(operand, Op::Transpose) && operand->type.rank() == inner->type.rank() &&
        undoes(perm, operand->producer->attributes.integers("perm"))) {
      inputs.push_back(operand->producer->input(0));
      ++undone;
    } else if (operand->type.rank() == 0) {
      inputs.push_back(operand);
    } else if (operand->type.rank() == inner->type.rank()) {
      inputs.push_back(build.transpose(operand, perm));
      added += constant_of(operand) == nullptr;
    } else {
      return nullptr;
    }
  }
  return undone >= std::max(1, added) ? build.copy(*inner->producer, inputs) : nullptr;
}

// transpose(x) that moves only axes of one element => reshape(x)
Value *transpose_of_ones(Builder &build, Value *root) {
  if (!is_op(root, Op::Transpose)) {
    return nullptr;
  }
  const Value *x = root->producer->input(0);
  int64_t last = -1;
  for (const int64_t axis : root->producer->attributes.integers("perm")) {
    if (x->type.shape[static_cast<size_t>(axis)].is(1)) {
      continue;
    }
    if (axis < last) {
      return nullptr;
    }
    last = axis;
  }
  return build.add(Op::Reshape, {root->producer->input(0)}, {{"shape", root->type.shape}});
}

// slice(slice(x)) => slice(x), both with steps of 1
Value *slice_of_slice(Builder &build, Value *root) {
  const Node *inner = same_view_below(root, Op::Slice);
  if (inner == nullptr) {
    return nullptr;
  }
  const Attributes &outer = root->producer->attributes;
  for (const Attributes *attributes : {&inner->attributes, &outer}) {
    for (const int64_t step : attributes->integers("steps")) {
      if (step != 1) {
        return nullptr;
      }
    }
  }
  std::vector<Dim> starts = inner->attributes.dims("starts");
  for (size_t axis = 0; axis < starts.size(); ++axis) {
    starts[axis] += outer.dims("starts")[axis];
  }
  return build.add(
      Op::Slice, {inner->input(0)},
      {{"starts", starts}, {"sizes", outer.dims("sizes")}, {"steps", outer.integers("steps")}});
}

// expand(expand(x)) => expand(x)
Value *expand_of_expand(Builder &build, Value *root) {
  const Node *inner = same_view_below(root, Op::Expand);
  return inner == nullptr ? nullptr
                          : build.add(Op::Expand, {inner->input(0)}, {{"shape", root->type.shape}});
}

// expand(x) that only adds axes of one element => reshape(x)
Value *expand_by_ones(Builder &build, Value *root) {
  if (!is_op(root, Op::Expand)) {
    return nullptr;
  }
  Value *x = root->producer->input(0);
  const size_t added = root->type.shape.size() - x->type.shape.size();
  const Shape tail(root->type.shape.begin() + static_cast<std::ptrdiff_t>(added),
                   root->type.shape.end());
  const bool ones = std::all_of(root->type.shape.begin(),
                                root->type.shape.begin() + static_cast<std::ptrdiff_t>(added),
                                [](const Dim &dim) { return dim.is(1); });
  if (added == 0 || !ones || !same_shape(tail, x->type.shape, build.graph().symbol_table())) {
    return nullptr;
  }
  return build.add(Op::Reshape, {x}, {{"shape", root->type.shape}});
}

// concat(concat(a, b), c) => concat(a, b, c) along one axis
Value *concat_of_concat(Builder &build, Value *root) {
  constexpr size_t kWidest = 8;  // more operands would fill a kernel's inputs
  if (!is_op(root, Op::Concat)) {
    return nullptr;
  }
  const Node &node = *root->producer;
  const int64_t axis = node.attributes.integer("axis");
  std::vector<Value *> parts;
  for (Value *input : node.inputs) {
    if (is_op(input, Op::Concat) && only_user(input) != nullptr &&
        input->producer->attributes.integer("axis") == axis) {
      parts.insert(parts.end(), input->producer->inputs.begin(), input->producer->inputs.end());
    } else {
      parts.push_back(input);
    }
  }
  if (parts.size() == node.inputs.size() || parts.size() > kWidest) {
    return nullptr;
  }
  return build.add(Op::Concat, parts, {{"axis", axis}});
}

// slice(concat(a, b, ...)) => slice(a), where the slice provably lies within a
Value *slice_of_concat(Builder &build, Value *root) {
  if (!is_op(root, Op::Slice) || !is_op(root->producer->input(0), Op::Concat)) {
    return nullptr;
  }
  const Attributes &attributes = root->producer->attributes;
  const Node &concat = *root->producer->input(0)->producer;
  const size_t axis =
      static_cast<size_t>(normal_axis(concat.attributes.integer("axis"), root->type.rank()));
  if (attributes.integers("steps")[axis] != 1) {
    return nullptr;
  }
  const SymbolTable &symbols = build.graph().symbol_table();
  const Dim start = attributes.dims("starts")[axis];
  const Dim end = start + attributes.dims("sizes")[axis];
  Dim begin = 0;
  for (Value *part : concat.inputs) {
    const Dim next = begin + part->type.shape[axis];
    if (prove_le(begin, start, symbols) && prove_le(end, next, symbols)) {
      std::vector<Dim> starts = attributes.dims("starts");
      starts[axis] = start - begin;
      return build.add(Op::Slice, {part},
                       {{"starts", starts},
                        {"sizes", attributes.dims("sizes")},
                        {"steps", attributes.integers("steps")}});
    }
    begin = next;
  }
  return nullptr;
}

// The axis along which the slices follow one another, equally wide and otherwise alike; nothing if
// they do not.
std::optional<size_t> axis_of_neighbours(const Node &concat) {
  std::optional<size_t> axis;
  for (size_t i = 0; i < concat.inputs.size(); ++i) {
    const Value *input = concat.input(i);
    const Node *first = concat.input(0)->producer;
    if (!is_op(input, Op::Slice) || input->producer->input(0) != first->input(0)) {
      return std::nullopt;
    }
    const Attributes &own = input->producer->attributes, &base = first->attributes;
    const std::vector<int64_t> &steps = own.integers("steps");
    if (own.dims("sizes") != base.dims("sizes") ||
        std::any_of(steps.begin(), steps.end(), [](int64_t step) { return step != 1; })) {
      return std::nullopt;
    }
    for (size_t k = 0; k < steps.size() && i > 0; ++k) {
      const Dim &start = own.dims("starts")[k], &begin = base.dims("starts")[k];
      if (start == begin) {
        continue;
      }
      if (axis.value_or(k) != k ||
          start != begin + base.dims("sizes")[k] * Dim(static_cast<int64_t>(i))) {
        return std::nullopt;
      }
      axis = k;
    }
  }
  return axis;
}

// concat(slice(x), slice(x), ...) of neighbours => one slice of x, regrouped: heads that were moved
// to the batch axis and back
Value *concat_of_neighbours(Builder &build, Value *root) {
  if (!is_op(root, Op::Concat) || root->producer->inputs.size() < 2 ||
      !is_op(root->producer->input(0), Op::Slice)) {
    return nullptr;
  }
  const Node &concat = *root->producer;
  const std::optional<size_t> found = axis_of_neighbours(concat);
  if (!found) {
    return nullptr;
  }
  const size_t from = *found;
  const size_t to =
      static_cast<size_t>(normal_axis(concat.attributes.integer("axis"), root->type.rank()));
  const Node &first = *concat.input(0)->producer;
  const Dim count = static_cast<int64_t>(concat.inputs.size());
  Attributes attributes = first.attributes;
  std::vector<Dim> sizes = attributes.dims("sizes");
  Shape split = sizes;  // with the slices' number as an axis of its own
  split.insert(split.begin() + static_cast<std::ptrdiff_t>(from), count);
  sizes[from] = sizes[from] * count;
  attributes.set("sizes", sizes);
  std::vector<int64_t> perm;
  for (size_t axis = 0; axis < sizes.size(); ++axis) {
    if (axis == to) {
      perm.push_back(static_cast<int64_t>(from));
    }
    perm.push_back(static_cast<int64_t>(axis < from ? axis : axis + 1));
  }
  Value *slices = build.add(Op::Slice, {first.input(0)}, attributes);
  return build.reshape(build.transpose(build.reshape(slices, split), perm), root->type.shape);
}

}  // namespace

bool merge_views(Graph &graph) {
  static constexpr Rule kRules[] = {
      reshape_of_reshape,  transpose_of_transpose, transposes_around_elementwise,
      transpose_of_ones,   slice_of_slice,         expand_of_expand,
      expand_by_ones,      concat_of_concat,       slice_of_concat,
      concat_of_neighbours};
  return rewrite(graph, kRules);
}

}  // namespace sylvite
