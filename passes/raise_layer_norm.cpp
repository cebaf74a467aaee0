// Finds layer normalisation and RMS normalisation in their parts.
//
//   (x - mean(x)) / sqrt(mean((x - mean(x))²) + epsilon)   =>  layer_norm(x)
//   (x - mean(x)) / (sqrt(variance) + epsilon)             =>  layer_norm(x) {outer_epsilon}
//   x / sqrt(mean(x²) + epsilon)                           =>  layer_norm(x) {rms}
//   x * i + (bias - mean(x) * i), i = scale / sqrt(..)     =>  (x - mean(x)) * i + bias, the same
//   layer_norm(x) * scale, scale over the normalised axes  =>  layer_norm(x, scale)
//   layer_norm(x, scale) + bias                            =>  layer_norm(x, scale, bias)
//
// over the last axes, with division, or with a product by 1 / deviation; what is divided, or the
// reciprocal, may have been scaled first. A variance times a constant is that of n - 1 degrees of
// freedom: {variance_factor}.
//
// Needs: simplify_arithmetic (powers as products and roots, means with keepdims).
// Keeps: shapes; rounding differs slightly.
// Declines: other axes, an epsilon that is no constant, a deviation that is limited in another way
// (a maximum), anything but the centred values above it. Each such near miss is recorded.
#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "compiler/ir/match.h"
#include "passes/passes.h"
#include "passes/rewrite.h"

namespace sylvite {
namespace {

Pattern reduced(const char *kind, Pattern operand) {
  return op(Op::Reduce, std::move(operand)).where([kind](const Value &value) {
    const Attributes &attributes = value.producer->attributes;
    return attributes.text("kind") == kind && attributes.integer_or("keepdims", 0) != 0;
  });
}

Pattern mean(Pattern operand) {
  return reduced("mean", std::move(operand));
}

std::vector<int64_t> axes_of(const Value &reduction) {
  std::vector<int64_t> axes = reduction.producer->attributes.integers("axes");
  std::sort(axes.begin(), axes.end());
  return axes;
}

// Whether a reduction runs over the last axes.
bool over_last_axes(const Value &reduction) {
  const std::vector<int64_t> axes = axes_of(reduction);
  const int64_t rank = reduction.producer->input(0)->type.rank();
  for (size_t i = 0; i < axes.size(); ++i) {
    if (axes[i] != rank - static_cast<int64_t>(axes.size() - i)) {
      return false;
    }
  }
  return !axes.empty();
}

// sqrt(factor * mean(y * y) + epsilon) + outer_epsilon
struct Deviation {
  Value *y = nullptr, *mean_of_squares = nullptr;
  double factor = 1, epsilon = 0, outer_epsilon = 0;
};

bool match_deviation(Value *value, Deviation &deviation) {
  Value *root = value, *variance = nullptr;
  match(value, op(Op::Add, any(&root), scalar(&deviation.outer_epsilon)));
  if (!match(root, op(Op::Sqrt, any(&variance)))) {
    return false;
  }
  match(variance, op(Op::Add, any(&variance), scalar(&deviation.epsilon)));
  match(variance, op(Op::Mul, any(&variance), scalar(&deviation.factor)));
  return match(
      variance,
      mean(op(Op::Mul, any(&deviation.y), same(&deviation.y))).into(&deviation.mean_of_squares));
}

// The mean of squares that a denominator is computed from by a few elementwise ops; null if there
// is none.
const Value *mean_of_squares_behind(Value *denominator) {
  constexpr size_t kFarthest = 8;
  std::vector<Value *> reached = {denominator};
  for (size_t next = 0; next < reached.size() && next < kFarthest; ++next) {
    Value *value = reached[next], *y = nullptr;
    if (match(value, mean(op(Op::Mul, any(&y), same(&y))))) {
      return value;
    }
    if (is_class(value, OpClass::Elementwise)) {
      reached.insert(reached.end(), value->producer->inputs.begin(), value->producer->inputs.end());
    }
  }
  return nullptr;
}

enum class Outcome : uint8_t { NoNorm, NearMiss, Norm };

struct Norm {
  Value *input = nullptr, *scale = nullptr;  // scale: multiplied afterwards, or null
  Deviation deviation;
  bool centred = false;
  std::string condition;  // of a near miss: the one that failed
};

Outcome near_miss(Norm &norm, std::string condition) {
  norm.condition = std::move(condition);
  return Outcome::NearMiss;
}

std::string quoted(const Value &value) {
  return "'" + (value.name.empty() ? "?" : value.name) + "'";
}

Outcome find_norm(Value *root, const SymbolTable &symbols, Norm &norm) {
  Value *divided = nullptr, *denominator = nullptr;
  const Pattern inverse = op(Op::Div, number(1), any(&denominator));
  if (!match(root, op(Op::Mul, any(&divided), inverse)) &&
      !match(root, op(Op::Mul, any(&divided), op(Op::Mul, inverse, any(&norm.scale)))) &&
      !match(root, op(Op::Div, any(&divided), any(&denominator)))) {
    return Outcome::NoNorm;
  }
  const Value *squares = mean_of_squares_behind(denominator);
  if (squares == nullptr || !is_computing_float(root->type.dtype) ||
      constant_of(divided) != nullptr) {
    return Outcome::NoNorm;
  }
  Deviation &deviation = norm.deviation;
  if (!match_deviation(denominator, deviation)) {
    return near_miss(norm, quoted(*denominator) +
                               " is not the root of a mean of squares with a constant epsilon");
  }
  const bool scaled_first =
      norm.scale == nullptr && match(divided, op(Op::Mul, same(&deviation.y), any(&norm.scale)));
  if (divided != deviation.y && !scaled_first) {
    return near_miss(norm,
                     quoted(*divided) + " is divided by the deviation of " + quoted(*deviation.y));
  }
  if (!over_last_axes(*squares)) {
    return near_miss(
        norm, "the variance of " + quoted(*deviation.y) + " runs over other axes than the last");
  }
  // Around the mean: y = x - mean(x) over the same axes. Otherwise y itself, without one.
  Value *x = nullptr, *centre = nullptr;
  norm.centred = match(deviation.y, op(Op::Sub, any(&x), mean(same(&x)).into(&centre)));
  if (norm.centred && axes_of(*centre) != axes_of(*squares)) {
    return near_miss(norm, "the mean of " + quoted(*x) + " runs over other axes than its variance");
  }
  norm.input = norm.centred ? x : deviation.y;
  return same_type(norm.input->type, deviation.y->type, symbols) ? Outcome::Norm : Outcome::NoNorm;
}

Value *raise_norm(Builder &build, Value *root) {
  Norm norm;
  if (find_norm(root, build.graph().symbol_table(), norm) != Outcome::Norm) {
    return nullptr;
  }
  const Deviation &deviation = norm.deviation;
  Attributes attributes = {{"axis", axes_of(*deviation.mean_of_squares).front()},
                           {"epsilon", deviation.epsilon},
                           {"rms", int64_t{norm.centred ? 0 : 1}}};
  if (deviation.factor != 1) {
    attributes.set("variance_factor", deviation.factor);
  }
  if (deviation.outer_epsilon != 0) {
    attributes.set("outer_epsilon", deviation.outer_epsilon);
  }
  Value *result = build.add(Op::LayerNorm, {norm.input}, std::move(attributes));
  return norm.scale == nullptr ? result : build.add(Op::Mul, {result, norm.scale});
}

// x * i + (b - mean * i) => (x - mean) * i + b where x - mean is computed anyway, for the variance
Value *shift_apart(Builder &build, Value *root) {
  Value *x = nullptr, *i = nullptr, *b = nullptr, *centre = nullptr;
  if (!match(root, op(Op::Add, op(Op::Mul, any(&x), any(&i)),
                      op(Op::Sub, any(&b), op(Op::Mul, any(&centre), same(&i))))) ||
      !is_computing_float(root->type.dtype) || !match(centre, mean(same(&x)))) {
    return nullptr;
  }
  // Of the same x - mean: it stands in front of i, which reads it.
  const Value *squares = mean_of_squares_behind(i);
  Value *centred = nullptr;
  return squares != nullptr &&
                 match(squares->producer->input(0),
                       op(Op::Mul, op(Op::Sub, same(&x), same(&centre)).into(&centred),
                          same(&centred)))
             ? build.add(Op::Add, {build.add(Op::Mul, {centred, i}), b})
             : nullptr;
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

bool record_near_misses(Graph &graph) {
  const size_t before = outermost(graph).near_misses.size();
  for (const std::unique_ptr<Node> &node : graph.nodes()) {
    Norm norm;
    if (node->outputs.size() == 1 &&
        find_norm(node->output(), graph.symbol_table(), norm) == Outcome::NearMiss) {
      outermost(graph).near_misses.push_back({"layer_norm", user_name(*node), norm.condition});
    }
  }
  return outermost(graph).near_misses.size() != before;
}

}  // namespace

bool raise_layer_norm(Graph &graph) {
  static constexpr Rule kRules[] = {shift_apart, raise_norm, absorb_parameter};
  const bool changed = rewrite(graph, kRules);
  return record_near_misses(graph) || changed;
}

}  // namespace sylvite
