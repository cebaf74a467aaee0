// Moves reshapes, transposes and expands behind the elementwise ops that read them, so that a bias,
// scale or activation stands directly behind the product it belongs to, and an expanded mask is
// computed before it is expanded.
//
//   f(view(x), c)        =>  view(f(x, c'))       a constant c seen through the view's inverse
//   f(view(x), view(y))  =>  view(f(x, y))        two equal views
//   f(expand(x), y)      =>  f(x, y)  or  expand(f(x, y))
//   matmul(reshape(x), w) => reshape(matmul(x, w))   where the last axis stays as it is
//   f(x, transpose(y))   =>  transpose(f(transpose(x), y))   x an input of the model, in columns
//   concat(transpose(x), transpose(y))  =>  transpose(concat(x, y))
//   reduce(transpose(x)), softmax, layer_norm  =>  transpose(reduce(x))
//
// Keeps: every element.   Declines: slices (f would work on what is cut off), views of constants,
// and constants that the view cannot be undone for.
#include <algorithm>

#include "passes/passes.h"
#include "passes/rewrite.h"

namespace sylvite {
namespace {

bool is_reorder(const Value *value) {
  return (is_op(value, Op::Reshape) || is_op(value, Op::Transpose)) &&
         constant_of(value->producer->input(0)) == nullptr;
}

std::vector<int64_t> inverse(const std::vector<int64_t> &perm) {
  std::vector<int64_t> result(perm.size());
  for (size_t i = 0; i < perm.size(); ++i) {
    result[static_cast<size_t>(perm[i])] = static_cast<int64_t>(i);
  }
  return result;
}

// The shape that a constant of shape `shape` (of the rank of `to`) needs in front of a reshape from
// `from` to `to`: axes that the reshape leaves alone keep their size, in groups that it splits or
// merges the constant must be the same everywhere (all ones). Nothing where that is not so.
std::optional<Shape> shape_before_reshape(const Shape &shape, const Shape &from, const Shape &to,
                                          const SymbolTable &symbols) {
  Shape result;
  size_t i = 0, j = 0;
  while (i < from.size() || j < to.size()) {
    // The smallest group of axes with equal element counts on both sides.
    size_t i_end = std::min(i + 1, from.size()), j_end = std::min(j + 1, to.size());
    const auto product = [](const Shape &dims, size_t begin, size_t end) {
      return element_count(Shape(dims.begin() + static_cast<std::ptrdiff_t>(begin),
                                 dims.begin() + static_cast<std::ptrdiff_t>(end)));
    };
    while (!prove_equal(product(from, i, i_end), product(to, j, j_end), symbols)) {
      const bool grow_from =
          i_end < from.size() &&
          (j_end == to.size() || prove_le(product(from, i, i_end), product(to, j, j_end), symbols));
      if (grow_from) {
        ++i_end;
      } else if (j_end < to.size()) {
        ++j_end;
      } else {
        return std::nullopt;
      }
    }
    if (i_end - i == 1 && j_end - j == 1) {
      result.push_back(shape[j]);
    } else {
      for (size_t k = j; k < j_end; ++k) {
        if (!shape[k].is(1)) {
          return std::nullopt;
        }
      }
      result.insert(result.end(), i_end - i, Dim(1));
    }
    i = i_end;
    j = j_end;
  }
  return result;
}

// Broadcasting adds the leading axes of one element again.
Tensor without_leading_ones(const Tensor &tensor) {
  const auto first = std::find_if(tensor.shape().begin(), tensor.shape().end(),
                                  [](int64_t size) { return size != 1; });
  return tensor.reshaped({first, tensor.shape().end()});
}

// The operand as `view`'s input sees it: an operand under an equal view, or a constant; null if
// neither.
Value *before_view(Builder &build, Value *operand, const Node &view) {
  const Value *below = view.input(0);
  if (operand->producer == &view ||
      (is_op(operand, view.op) && operand->producer->attributes == view.attributes &&
       (view.op == Op::Transpose ||
        operand->producer->input(0)->type.shape == below->type.shape))) {
    return operand->producer->input(0);
  }
  const Tensor *tensor = constant_of(operand);
  if (tensor == nullptr || tensor->rank() > view.output()->type.rank()) {
    return nullptr;
  }
  if (tensor->count() == 1 && tensor->rank() == 0) {
    return operand;
  }
  std::vector<int64_t> full(static_cast<size_t>(view.output()->type.rank() - tensor->rank()), 1);
  full.insert(full.end(), tensor->shape().begin(), tensor->shape().end());
  // Constants at once, not views of them: what moves next must recognise them.
  if (view.op == Op::Transpose) {
    const Tensor moved =
        permuted(tensor->reshaped(full), inverse(view.attributes.integers("perm")));
    return build.constant(without_leading_ones(moved), operand->name);
  }
  const std::optional<Shape> shape =
      shape_before_reshape(Shape(full.begin(), full.end()), below->type.shape,
                           view.output()->type.shape, build.graph().symbol_table());
  return shape ? build.constant(without_leading_ones(tensor->reshaped(*static_shape(*shape))),
                                operand->name)
               : nullptr;
}

// f(view(x), ...) => view(f(x, ...)) for a reshape or transpose
Value *sink_reorder(Builder &build, Value *root) {
  if (!is_class(root, OpClass::Elementwise)) {
    return nullptr;
  }
  const Node &node = *root->producer;
  const auto found = std::find_if(node.inputs.begin(), node.inputs.end(), [&](const Value *input) {
    return is_reorder(input) && input->type.shape == root->type.shape;
  });
  if (found == node.inputs.end()) {
    return nullptr;
  }
  const Node &view = *(*found)->producer;
  std::vector<Value *> inputs;
  for (Value *operand : node.inputs) {
    inputs.push_back(before_view(build, operand, view));
    if (inputs.back() == nullptr) {
      return nullptr;
    }
  }
  Value *result = build.copy(node, inputs);
  return build.add(view.op, {result}, view.attributes);
}

// f(x, transpose(y)) => transpose(f(transpose(x), y)) for an input x of the model and a transpose
// of the last two axes: the residual stream of a model in columns begins so
Value *sink_past_input(Builder &build, Value *root) {
  if (!is_class(root, OpClass::Elementwise) || root->type.rank() < 2) {
    return nullptr;
  }
  const std::vector<int64_t> perm = swap_last_two(root->type.rank());
  std::vector<Value *> inputs;
  bool found = false;
  for (Value *operand : root->producer->inputs) {
    if (is_op(operand, Op::Transpose) && operand->producer->attributes.integers("perm") == perm &&
        !operand->producer->input(0)->is_graph_input() && operand->type.shape == root->type.shape) {
      inputs.push_back(operand->producer->input(0));
      found = true;
    } else if (operand->type.rank() == root->type.rank() &&
               (operand->is_graph_input() || constant_of(operand) != nullptr)) {
      inputs.push_back(build.transpose(operand, perm));
    } else {
      return nullptr;
    }
  }
  return found ? build.transpose(build.copy(*root->producer, inputs), perm) : nullptr;
}

// The permutation of equal transposes below all operands; empty if they are not that.
std::vector<int64_t> common_permutation(const Node &node) {
  for (const Value *operand : node.inputs) {
    if (!is_op(operand, Op::Transpose) ||
        operand->producer->attributes.integers("perm") !=
            node.input(0)->producer->attributes.integers("perm")) {
      return {};
    }
  }
  return node.inputs.empty() ? std::vector<int64_t>()
                             : node.input(0)->producer->attributes.integers("perm");
}

// concat(transpose(x), transpose(y)) => transpose(concat(x, y))
Value *sink_below_concat(Builder &build, Value *root) {
  if (!is_op(root, Op::Concat)) {
    return nullptr;
  }
  const Node &node = *root->producer;
  const std::vector<int64_t> perm = common_permutation(node);
  if (perm.empty()) {
    return nullptr;
  }
  std::vector<Value *> inputs;
  for (const Value *operand : node.inputs) {
    inputs.push_back(operand->producer->input(0));
  }
  const int64_t axis = normal_axis(node.attributes.integer("axis"), root->type.rank());
  return build.transpose(build.add(Op::Concat, inputs, {{"axis", perm[static_cast<size_t>(axis)]}}),
                         perm);
}

// softmax(transpose(x)) => transpose(softmax(x)) where it then runs over the last axis
Value *sink_below_softmax(Builder &build, Value *root) {
  if (!is_op(root, Op::Softmax) || !is_op(root->producer->input(0), Op::Transpose)) {
    return nullptr;
  }
  const Node &view = *root->producer->input(0)->producer;
  const std::vector<int64_t> &perm = view.attributes.integers("perm");
  const int64_t axis = perm[static_cast<size_t>(
      normal_axis(root->producer->attributes.integer("axis"), root->type.rank()))];
  return axis + 1 == root->type.rank()
             ? build.transpose(build.add(Op::Softmax, {view.input(0)}, {{"axis", axis}}), perm)
             : nullptr;
}

// layer_norm(transpose(x)) => transpose(layer_norm(x)) where its axes stay where they are
Value *sink_below_norm(Builder &build, Value *root) {
  if (!is_op(root, Op::LayerNorm) || !is_op(root->producer->input(0), Op::Transpose)) {
    return nullptr;
  }
  const Node &norm = *root->producer;
  const Node &view = *norm.input(0)->producer;
  const std::vector<int64_t> &perm = view.attributes.integers("perm");
  for (size_t axis = static_cast<size_t>(norm.attributes.integer("axis")); axis < perm.size();
       ++axis) {
    if (perm[axis] != static_cast<int64_t>(axis)) {
      return nullptr;
    }
  }
  std::vector<Value *> inputs = norm.inputs;
  inputs[0] = view.input(0);
  return build.transpose(build.copy(norm, inputs), perm);
}

// reduce(transpose(x)) {keepdims} => transpose(reduce(x)) over the axes as they were
Value *sink_below_reduce(Builder &build, Value *root) {
  if (!is_op(root, Op::Reduce) || !is_op(root->producer->input(0), Op::Transpose) ||
      root->producer->attributes.integer_or("keepdims", 0) == 0) {
    return nullptr;
  }
  const Node &view = *root->producer->input(0)->producer;
  const std::vector<int64_t> &perm = view.attributes.integers("perm");
  Attributes attributes = root->producer->attributes;
  std::vector<int64_t> axes = attributes.integers("axes");
  for (int64_t &axis : axes) {
    axis = perm[static_cast<size_t>(axis)];
  }
  std::sort(axes.begin(), axes.end());
  attributes.set("axes", axes);
  return build.transpose(build.add(Op::Reduce, {view.input(0)}, attributes), perm);
}

// f(expand(x), y) => f(x, y) where y gives the result its shape, expand(f(x, y)) otherwise
Value *sink_expand(Builder &build, Value *root) {
  if (!is_class(root, OpClass::Elementwise)) {
    return nullptr;
  }
  const Node &node = *root->producer;
  std::vector<Value *> inputs = node.inputs;
  bool found = false;
  for (Value *&input : inputs) {
    if (is_op(input, Op::Expand)) {
      input = input->producer->input(0);
      found = true;
    }
  }
  return found ? build.expand(build.copy(node, inputs), root->type.shape) : nullptr;
}

// x's leading axes, with those behind them that make up rows of `depth` elements as one axis; empty
// if there are none such.
Shape rows_of(const Shape &x, const Dim &depth, const SymbolTable &symbols) {
  Dim row = 1;
  for (size_t axis = x.size(); axis-- > 1;) {
    row *= x[axis];
    if (prove_equal(row, depth, symbols)) {
      Shape rows(x.begin(), x.begin() + static_cast<std::ptrdiff_t>(axis));
      rows.push_back(depth);
      return rows;
    }
  }
  return {};
}

// matmul(reshape(x), w) => reshape(matmul(x, w)) for a matrix w, the last axis the same on both
// sides; also where heads are merged and all rows become one axis, as a Gemm wants them: then only
// the heads are
Value *sink_below_matmul(Builder &build, Value *root) {
  if (!is_op(root, Op::MatMul) || !is_op(root->producer->input(0), Op::Reshape)) {
    return nullptr;
  }
  const Node &node = *root->producer;
  Value *x = node.input(0)->producer->input(0);
  const Shape &before = x->type.shape, &after = node.input(0)->type.shape;
  if (constant_of(node.input(1)) == nullptr || node.input(1)->type.rank() != 2 ||
      before.size() < 2 || after.size() < 2 || constant_of(x) != nullptr) {
    return nullptr;
  }
  const SymbolTable &symbols = build.graph().symbol_table();
  if (!prove_equal(before.back(), after.back(), symbols)) {
    const Shape rows = after.size() == 2 ? rows_of(before, after.back(), symbols) : Shape();
    if (rows.size() < 3) {
      return nullptr;
    }
    x = build.reshape(x, rows);
  }
  return build.reshape(build.copy(node, {x, node.input(1)}), root->type.shape);
}

}  // namespace

bool sink_views(Graph &graph) {
  static constexpr Rule kRules[] = {sink_expand,       sink_reorder,      sink_past_input,
                                    sink_below_matmul, sink_below_concat, sink_below_softmax,
                                    sink_below_norm,   sink_below_reduce};
  return rewrite(graph, kRules);
}

}  // namespace sylvite
