// Finds layer normalisation and RMS normalisation in their parts.
//
//   (x - mean(x)) / sqrt(mean((x - mean(x))²) + epsilon)   =>  layer_norm(x)
//   x / sqrt(mean(x²) + epsilon)                           =>  layer_norm(x) {rms}
//   layer_norm(x) * scale, scale over the normalised axes  =>  layer_norm(x, scale)
//   layer_norm(x, scale) + bias                            =>  layer_norm(x, scale, bias)
//
// over the last axes, with division, or with a product by 1 / sqrt, in which the scale may have
// been multiplied into the root first.
//
// Needs: simplify_arithmetic (powers as products and roots).
// Keeps: shapes; rounding differs slightly.
// Declines: other axes, keepdims = 0, an epsilon that is no constant or stands outside the root.
#include <algorithm>

#include "compiler/ir/match.h"
#include "passes/passes.h"
#include "passes/rewrite.h"

namespace sylvite {
namespace {

// The first of the axes that a mean with keepdims runs over, if they are the last ones.
std::optional<int64_t> mean_axis(const Value &value) {
  const Attributes &attributes = value.producer->attributes;
  if (attributes.text("kind") != "mean" || attributes.integer_or("keepdims", 0) == 0) {
    return std::nullopt;
  }
  const int64_t rank = value.producer->input(0)->type.rank();
  std::vector<int64_t> axes = attributes.integers("axes");
  for (int64_t &axis : axes) {
    axis = normal_axis(axis, rank);
  }
  std::sort(axes.begin(), axes.end());
  for (size_t i = 0; i < axes.size(); ++i) {
    if (axes[i] != rank - static_cast<int64_t>(axes.size() - i)) {
      return std::nullopt;
    }
  }
  return axes.empty() ? std::nullopt : std::optional<int64_t>(axes.front());
}

Pattern mean(Pattern operand) {
  return op(Op::Reduce, std::move(operand)).where([](const Value &value) {
    return mean_axis(value).has_value();
  });
}

// sqrt(mean(y * y) + epsilon), the mean's value captured
Pattern root_of_mean_square(Value **y, Value **mean_of_squares, double *epsilon) {
  return op(Op::Sqrt,
            op(Op::Add, mean(op(Op::Mul, any(y), same(y))).into(mean_of_squares), scalar(epsilon)));
}

Value *raise_norm(Builder &build, Value *root) {
  Value *y = nullptr, *divided = nullptr, *squares = nullptr, *scale = nullptr;
  double epsilon = 0;
  const Pattern deviation = root_of_mean_square(&y, &squares, &epsilon);
  const Pattern inverse = op(Op::Div, number(1), deviation);
  // The capture `y` is the deviation's; what is divided must be the same value.
  if (!match(root, op(Op::Div, any(&divided), deviation)) &&
      !match(root, op(Op::Mul, any(&divided), inverse)) &&
      !match(root, op(Op::Mul, any(&divided), op(Op::Mul, inverse, any(&scale))))) {
    return nullptr;
  }
  if (divided != y) {
    return nullptr;
  }
  // Around the mean: y = x - mean(x) over the same axes. Otherwise y itself, without one.
  const int64_t axis = *mean_axis(*squares);
  Value *x = nullptr, *centre = nullptr;
  const bool centred =
      match(y, op(Op::Sub, any(&x), mean(same(&x)).into(&centre))) && *mean_axis(*centre) == axis;
  Value *input = centred ? x : y;
  if (!same_type(input->type, y->type, build.graph().symbol_table()) ||
      !is_computing_float(y->type.dtype)) {
    return nullptr;
  }
  Value *norm =
      build.add(Op::LayerNorm, {input},
                {{"axis", axis}, {"epsilon", epsilon}, {"rms", int64_t{centred ? 0 : 1}}});
  return scale == nullptr ? norm : build.add(Op::Mul, {norm, scale});
}

// A parameter over exactly the normalised axes, reshaped to them; null for anything else.
Value *parameter(Builder &build, Value *value, const Value *norm) {
  const size_t axis = static_cast<size_t>(norm->producer->attributes.integer("axis"));
  const Shape axes(norm->type.shape.begin() + static_cast<std::ptrdiff_t>(axis),
                   norm->type.shape.end());
  const Shape &shape = value->type.shape;
  if (constant_of(value) == nullptr || shape.size() < axes.size()) {
    return nullptr;
  }
  const auto split = shape.end() - static_cast<std::ptrdiff_t>(axes.size());
  if (!std::all_of(shape.begin(), split, [](const Dim &dim) { return dim.is(1); }) ||
      !same_shape(Shape(split, shape.end()), axes, build.graph().symbol_table())) {
    return nullptr;
  }
  return build.reshape(value, axes);
}

Value *absorb_parameter(Builder &build, Value *root) {
  Value *norm = nullptr, *value = nullptr;
  const auto lacks = [](size_t inputs) {
    return [inputs](const Value &candidate) {
      return is_op(&candidate, Op::LayerNorm) && candidate.producer->inputs.size() == inputs;
    };
  };
  // An RMS norm's bias stays outside: no exporter writes one.
  const bool scaled = match(root, op(Op::Mul, any(&norm).where(lacks(1)), constant(&value)));
  const bool shifted = !scaled &&
                       match(root, op(Op::Add, any(&norm).where(lacks(2)), constant(&value))) &&
                       norm->producer->attributes.integer_or("rms", 0) == 0;
  if ((!scaled && !shifted) || only_user(norm) == nullptr ||
      !same_type(root->type, norm->type, build.graph().symbol_table())) {
    return nullptr;
  }
  Value *operand = parameter(build, value, norm);
  if (operand == nullptr) {
    return nullptr;
  }
  std::vector<Value *> inputs = norm->producer->inputs;
  inputs.push_back(operand);
  return build.copy(*norm->producer, inputs);
}

}  // namespace

bool raise_layer_norm(Graph &graph) {
  static constexpr Rule kRules[] = {raise_norm, absorb_parameter};
  return rewrite(graph, kRules);
}

}  // namespace sylvite
