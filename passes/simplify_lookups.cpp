// Turns lookups at positions that are known at compile time into views: no table is read, no index
// checked.
//
//   gather(x, 0)                                  =>  slice and reshape          (a class token)
//   gather(x, range)                              =>  slice                      (positions)
//   gather(flatten(m[B, L]), i * L + j)           =>  reshape(m)                 (masks by index
//   arithmetic) gather_nd(m[B, L], [i, j] for all i and j)    =>  reshape(m)
//
// One idea covers them: the index is an affine function of the element's coordinates, and if it
// counts through the elements in order, with one step, then the lookup is a slice.
//
// Needs: fold_host_values.   Keeps: every element.
// Declines: positions that are not provably in range: those the plan checks at run time.
#include <algorithm>

#include "passes/passes.h"
#include "passes/rewrite.h"

namespace sylvite {
namespace {

// base + sum of coefficient * coordinate, a coefficient an axis; 0 on axes of one element.
struct Affine {
  Dim base = 0;
  std::vector<Dim> coefficients;
};

using Found = std::optional<Affine>;

Found affine_of(const Value *value, int depth);

Affine uniform(const Dim &number, size_t rank) {
  return {number, std::vector<Dim>(rank, Dim(0))};
}

// A constant with at most one axis of several elements, which count up or down evenly.
Found affine_constant(const Tensor &tensor) {
  if (is_float(tensor.dtype()) || tensor.count() == 0) {
    return std::nullopt;
  }
  const size_t rank = tensor.shape().size();
  Affine affine = uniform(tensor.at_int(0), rank);
  if (tensor.count() == 1) {
    return affine;
  }
  const auto axis = std::find(tensor.shape().begin(), tensor.shape().end(), tensor.count());
  if (axis == tensor.shape().end()) {
    return std::nullopt;
  }
  const int64_t step = tensor.at_int(1) - tensor.at_int(0);
  for (int64_t i = 2; i < tensor.count(); ++i) {
    if (tensor.at_int(i) - tensor.at_int(i - 1) != step) {
      return std::nullopt;
    }
  }
  affine.coefficients[static_cast<size_t>(axis - tensor.shape().begin())] = step;
  return affine;
}

// Axes of one element come and go; the others keep their order.
Found affine_reshape(const Affine &inner, const Shape &from, const Shape &to) {
  Affine affine = uniform(inner.base, to.size());
  size_t i = 0;
  for (size_t j = 0; j < to.size(); ++j) {
    if (to[j].is(1)) {
      continue;
    }
    while (i < from.size() && from[i].is(1)) {
      ++i;
    }
    if (i == from.size() || from[i] != to[j]) {
      return std::nullopt;
    }
    affine.coefficients[j] = inner.coefficients[i++];
  }
  return affine;
}

// The operand as an axis of `rank` dimensions sees it: missing leading axes count as one element.
std::vector<Dim> aligned(const Affine &affine, size_t rank) {
  std::vector<Dim> result(rank - affine.coefficients.size(), Dim(0));
  result.insert(result.end(), affine.coefficients.begin(), affine.coefficients.end());
  return result;
}

Found affine_sum(const Affine &a, const Affine &b, int64_t sign, size_t rank) {
  Affine sum{a.base + Dim(sign) * b.base, aligned(a, rank)};
  const std::vector<Dim> other = aligned(b, rank);
  for (size_t axis = 0; axis < rank; ++axis) {
    sum.coefficients[axis] += Dim(sign) * other[axis];
  }
  return sum;
}

bool is_uniform(const Affine &affine) {
  return std::all_of(affine.coefficients.begin(), affine.coefficients.end(),
                     [](const Dim &dim) { return dim.is(0); });
}

Found affine_product(const Affine &a, const Affine &b, size_t rank) {
  if (!is_uniform(a) && !is_uniform(b)) {
    return std::nullopt;
  }
  const Affine &varying = is_uniform(b) ? a : b;
  const Dim &factor = is_uniform(b) ? b.base : a.base;
  Affine product{varying.base * factor, aligned(varying, rank)};
  for (Dim &coefficient : product.coefficients) {
    coefficient *= factor;
  }
  return product;
}

Found affine_view(const Node &node, const Affine &inner) {
  const Shape &from = node.input(0)->type.shape, &to = node.output()->type.shape;
  switch (node.op) {
    case Op::Reshape:
      return affine_reshape(inner, from, to);
    case Op::Expand:
      return Affine{inner.base, aligned(inner, to.size())};
    case Op::Transpose: {
      Affine affine = inner;
      const std::vector<int64_t> &perm = node.attributes.integers("perm");
      for (size_t axis = 0; axis < perm.size(); ++axis) {
        affine.coefficients[axis] = inner.coefficients[static_cast<size_t>(perm[axis])];
      }
      return affine;
    }
    case Op::Slice: {
      Affine affine = inner;
      for (size_t axis = 0; axis < to.size(); ++axis) {
        affine.base += inner.coefficients[axis] * node.attributes.dims("starts")[axis];
        affine.coefficients[axis] *= Dim(node.attributes.integers("steps")[axis]);
      }
      return affine;
    }
    default:
      return std::nullopt;
  }
}

Found affine_of(const Value *value, int depth) {
  constexpr int kDeepest = 24;
  if (depth > kDeepest || !is_integer(value->type.dtype)) {
    return std::nullopt;
  }
  const size_t rank = value->type.shape.size();
  if (value->host && value->host->size() == 1) {
    return uniform(value->host->front(), rank);
  }
  if (value->producer == nullptr) {
    return std::nullopt;
  }
  const Node &node = *value->producer;
  if (node.op == Op::Constant) {
    return affine_constant(*constant_of(value));
  }
  if (node.op == Op::Iota) {
    return Affine{node.attributes.dims("start").front(), node.attributes.dims("step")};
  }
  if (node.inputs.empty()) {
    return std::nullopt;
  }
  const Found a = affine_of(node.input(0), depth + 1);
  if (!a) {
    return std::nullopt;
  }
  if (node.op == Op::Cast) {
    return is_integer(node.input(0)->type.dtype) ? a : std::nullopt;
  }
  if (class_of(node.op) == OpClass::View) {
    return affine_view(node, *a);
  }
  const Found b = node.inputs.size() == 2 ? affine_of(node.input(1), depth + 1) : std::nullopt;
  if (!b) {
    return std::nullopt;
  }
  switch (node.op) {
    case Op::Add:
      return affine_sum(*a, *b, 1, rank);
    case Op::Sub:
      return affine_sum(*a, *b, -1, rank);
    case Op::Mul:
      return affine_product(*a, *b, rank);
    default:
      return std::nullopt;
  }
}

// Whether all values lie in [0, bound), as far as it can be proved.
bool within(const Affine &affine, const Shape &shape, const Dim &bound,
            const SymbolTable &symbols) {
  Dim low = affine.base, high = affine.base;
  for (size_t axis = 0; axis < shape.size(); ++axis) {
    const Dim &coefficient = affine.coefficients[axis];
    if (shape[axis].is(1) || coefficient.is(0)) {
      continue;
    }
    if (!prove_le(0, coefficient, symbols) && !prove_le(coefficient, 0, symbols)) {
      return false;
    }
    (prove_le(0, coefficient, symbols) ? high : low) += coefficient * (shape[axis] - 1);
  }
  return prove_le(0, low, symbols) && prove_le(high + 1, bound, symbols);
}

// The step with which the values follow each other in row-major order; nothing if not evenly.
std::optional<int64_t> common_step(const Affine &affine, const Shape &shape,
                                   const SymbolTable &symbols) {
  std::optional<int64_t> step;
  Dim count = 1;
  for (size_t axis = shape.size(); axis-- > 0;) {
    if (shape[axis].is(1)) {
      continue;
    }
    if (!step) {
      step = affine.coefficients[axis].constant();
      if (!step || *step == 0) {
        return std::nullopt;
      }
    } else if (!prove_equal(affine.coefficients[axis], Dim(*step) * count, symbols)) {
      return std::nullopt;
    }
    count *= shape[axis];
  }
  return step.value_or(1);
}

// x along `axis` from the affine's base on, reshaped to `shape`.
Value *sliced(Builder &build, Value *x, int64_t axis, const Affine &affine, const Shape &indices,
              int64_t step, const Shape &shape) {
  const size_t rank = x->type.shape.size();
  std::vector<Dim> starts(rank, Dim(0)), sizes = x->type.shape;
  std::vector<int64_t> steps(rank, 1);
  starts[static_cast<size_t>(axis)] = affine.base;
  sizes[static_cast<size_t>(axis)] = element_count(indices);
  steps[static_cast<size_t>(axis)] = step;
  Value *slice =
      build.add(Op::Slice, {x}, {{"starts", starts}, {"sizes", sizes}, {"steps", steps}});
  return build.reshape(slice, shape);
}

Value *known_gather(Builder &build, Value *root) {
  if (!is_op(root, Op::Gather)) {
    return nullptr;
  }
  const Node &node = *root->producer;
  Value *x = node.input(0);
  const Shape &indices = node.input(1)->type.shape;
  const SymbolTable &symbols = build.graph().symbol_table();
  const int64_t axis = normal_axis(node.attributes.integer_or("axis", 0), x->type.rank());
  const Dim bound = x->type.shape[static_cast<size_t>(axis)];
  Found affine = affine_of(node.input(1), 0);
  if (!affine) {
    return nullptr;
  }
  if (is_uniform(*affine) && affine->base.constant().value_or(0) < 0) {
    affine->base += bound;  // one position from the end
  }
  const std::optional<int64_t> step = common_step(*affine, indices, symbols);
  if (!step || !within(*affine, indices, bound, symbols)) {
    return nullptr;
  }
  return sliced(build, x, axis, *affine, indices, *step, root->type.shape);
}

Value *known_gather_nd(Builder &build, Value *root) {
  if (!is_op(root, Op::GatherND) || root->producer->attributes.integer_or("batch_dims", 0) != 0 ||
      !is_op(root->producer->input(1), Op::Concat)) {
    return nullptr;
  }
  Value *x = root->producer->input(0);
  const Node &tuples = *root->producer->input(1)->producer;
  const SymbolTable &symbols = build.graph().symbol_table();
  const size_t depth = tuples.inputs.size();
  const Shape &tuple_shape = tuples.output()->type.shape;
  if (normal_axis(tuples.attributes.integer("axis"), tuples.output()->type.rank()) !=
          tuples.output()->type.rank() - 1 ||
      !tuple_shape.back().is(static_cast<int64_t>(depth))) {
    return nullptr;
  }
  Shape indices = tuple_shape;
  indices.back() = 1;
  // One index into the axes that the tuples name, taken together.
  Affine combined = uniform(0, indices.size());
  Dim stride = 1;
  for (size_t i = depth; i-- > 0;) {
    const Found affine = affine_of(tuples.input(i), 0);
    if (!affine || !within(*affine, indices, x->type.shape[i], symbols)) {
      return nullptr;
    }
    const Affine scaled = *affine_product(*affine, uniform(stride, 0), indices.size());
    combined = *affine_sum(combined, scaled, 1, indices.size());
    stride *= x->type.shape[i];
  }
  const std::optional<int64_t> step = common_step(combined, indices, symbols);
  if (!step || !within(combined, indices, stride, symbols)) {
    return nullptr;
  }
  Shape flat = {stride};
  flat.insert(flat.end(), x->type.shape.begin() + static_cast<std::ptrdiff_t>(depth),
              x->type.shape.end());
  return sliced(build, build.reshape(x, flat), 0, combined, indices, *step, root->type.shape);
}

}  // namespace

bool simplify_lookups(Graph &graph) {
  static constexpr Rule kRules[] = {known_gather, known_gather_nd};
  return rewrite(graph, kRules);
}

}  // namespace sylvite
