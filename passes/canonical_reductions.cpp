// One spelling for reductions, so that norms and softmax are found whoever wrote them.
//
//   reshape(reduce(x)) that adds the axes again  =>  reduce(x) {keepdims}
//   reduce(x) {sum} * c                          =>  reduce(x) {mean} * (c * n),  n elements of x
//   each (mean(x) - x) * (mean(x) - x)                =>  (x - mean(x)) * (x - mean(x))
//
// Needs: simplify_arithmetic (divisions by constants as products).
// Keeps: values to the last bit or two, shapes.
// Declines: integers and half precision; sums of a number of elements that is not known.
#include <algorithm>
#include <cmath>

#include "compiler/ir/match.h"
#include "passes/passes.h"
#include "passes/rewrite.h"

namespace sylvite {
namespace {

bool keeps_axes(const Node &reduce) {
  return reduce.attributes.integer_or("keepdims", 0) != 0;
}

// reshape(reduce(x)) => reduce(x) {keepdims}
Value *axes_added_again(Builder &build, Value *root) {
  if (!is_op(root, Op::Reshape) || !is_op(root->producer->input(0), Op::Reduce) ||
      only_user(root->producer->input(0)) == nullptr) {
    return nullptr;
  }
  const Node &reduce = *root->producer->input(0)->producer;
  Shape kept = reduce.input(0)->type.shape;
  if (keeps_axes(reduce) || reduce.attributes.integers("axes").empty()) {
    return nullptr;
  }
  for (const int64_t axis : reduce.attributes.integers("axes")) {
    kept[static_cast<size_t>(normal_axis(axis, static_cast<int64_t>(kept.size())))] = 1;
  }
  if (!same_shape(kept, root->type.shape, build.graph().symbol_table())) {
    return nullptr;
  }
  Attributes attributes = reduce.attributes;
  attributes.set("keepdims", int64_t{1});
  return build.add(Op::Reduce, {reduce.input(0)}, attributes);
}

// reduce(x) {sum} * c => reduce(x) {mean} * (c * n)
Value *sum_as_mean(Builder &build, Value *root) {
  constexpr double kRounding = 1e-6;  // of 1 / n in single precision
  Value *sum = nullptr;
  double factor = 0;
  if (!is_computing_float(root->type.dtype) ||
      !match(root, op(Op::Mul, any(&sum).where([](const Value &value) {
               return is_op(&value, Op::Reduce) && value.producer->attributes.text("kind") == "sum";
             }),
                      scalar(&factor))) ||
      only_user(sum) == nullptr || root->type.rank() != sum->type.rank()) {
    return nullptr;
  }
  const Node &reduce = *sum->producer;
  const Shape &shape = reduce.input(0)->type.shape;
  Dim count = 1;
  for (const int64_t axis : reduce.attributes.integers("axes")) {
    count *= shape[static_cast<size_t>(normal_axis(axis, static_cast<int64_t>(shape.size())))];
  }
  if (!count.constant() || *count.constant() <= 0 || reduce.attributes.integers("axes").empty()) {
    return nullptr;
  }
  Attributes attributes = reduce.attributes;
  attributes.set("kind", std::string("mean"));
  Value *mean = build.add(Op::Reduce, {reduce.input(0)}, attributes);
  const double rest = factor * static_cast<double>(*count.constant());
  return std::abs(rest - 1) < kRounding
             ? mean
             : build.add(Op::Mul, {mean, build.scalar(rest, root->type.dtype)});
}

// (mean(x) - x)² => (x - mean(x))²
Value *square_of_difference(Builder &build, Value *root) {
  Value *difference = nullptr, *x = nullptr, *mean = nullptr;
  if (!match(root, op(Op::Mul, any(&difference), same(&difference))) ||
      !match(difference, op(Op::Sub, op(Op::Reduce, any(&x)).into(&mean), same(&x)))) {
    return nullptr;
  }
  Value *turned = build.add(Op::Sub, {x, mean});
  return build.add(Op::Mul, {turned, turned});
}

}  // namespace

bool canonical_reductions(Graph &graph) {
  static constexpr Rule kRules[] = {axes_added_again, sum_as_mean, square_of_difference};
  return rewrite(graph, kRules);
}

}  // namespace sylvite
