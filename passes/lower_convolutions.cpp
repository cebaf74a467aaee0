// Turns the convolutions that are matrix products into matrix products: 1x1 ones and those whose
// kernel is as large as its stride (patch embeddings). Every element of the image is read once, so
// the patches are a view:
//
//   conv(x[B, C, H, W], w[O, C, h, w]), strides (h, w)
//     =>  reshape to [B, C, H/h, h, W/w, w], transpose and reshape to [B, H/h * W/w, C*h*w],
//         matmul with w as [C*h*w, O], transpose to [B, O, H/h * W/w], reshape to the result's
//         shape
//
// for any number of spatial axes.
//
// Keeps: the products; they are added in another order.
// Declines: padding, dilation, groups, overlapping or skipped pixels, weights that are not
// constant, sizes that the kernel does not provably divide.
#include <algorithm>

#include "passes/passes.h"
#include "passes/rewrite.h"

namespace sylvite {
namespace {

bool all_equal_to(const std::vector<int64_t> &numbers, int64_t number) {
  return std::all_of(numbers.begin(), numbers.end(), [&](int64_t n) { return n == number; });
}

// How often the kernel fits each spatial axis; nothing where the pattern's conditions do not hold.
std::optional<Shape> patch_counts(const Node &node) {
  const Tensor *weights = constant_of(node.input(1));
  if (weights == nullptr || weights->rank() < 3 || weights->count() == 0 ||
      node.attributes.integer_or("group", 1) != 1 ||
      !all_equal_to(node.attributes.integers("pads"), 0) ||
      !all_equal_to(node.attributes.integers("dilations"), 1)) {
    return std::nullopt;
  }
  const std::vector<int64_t> kernel(weights->shape().begin() + 2, weights->shape().end());
  if (kernel != node.attributes.integers("strides")) {
    return std::nullopt;
  }
  Shape counts;
  for (size_t axis = 0; axis < kernel.size(); ++axis) {
    const std::optional<Dim> count =
        exact_div(node.input(0)->type.shape[axis + 2], Dim(kernel[axis]));
    if (!count) {
      return std::nullopt;
    }
    counts.push_back(*count);
  }
  return counts;
}

// x[B, C, n0 * k0, n1 * k1, ...] as rows of patches [B, n0 * n1 * ..., C * k0 * k1 * ...].
Value *rows_of_patches(Builder &build, Value *x, const Shape &counts,
                       const std::vector<int64_t> &weights) {
  const Dim batch = x->type.shape[0], channels = x->type.shape[1];
  const Dim positions = element_count(counts);
  if (std::all_of(weights.begin() + 2, weights.end(), [](int64_t size) { return size == 1; })) {
    return build.transpose(build.reshape(x, {batch, channels, positions}), {0, 2, 1});
  }
  // [B, C, n0, k0, n1, k1, ...]  ->  [B, n0, n1, ..., C, k0, k1, ...]
  const int64_t axes = static_cast<int64_t>(counts.size());
  Shape split = {batch, channels};
  std::vector<int64_t> perm = {0};
  Dim depth = channels;
  for (int64_t axis = 0; axis < axes; ++axis) {
    const Dim kernel = weights[static_cast<size_t>(axis) + 2];
    split.push_back(counts[static_cast<size_t>(axis)]);
    split.push_back(kernel);
    perm.push_back(2 + 2 * axis);
    depth *= kernel;
  }
  perm.push_back(1);
  for (int64_t axis = 0; axis < axes; ++axis) {
    perm.push_back(3 + 2 * axis);
  }
  return build.reshape(build.transpose(build.reshape(x, split), perm), {batch, positions, depth});
}

Value *patches(Builder &build, Value *root) {
  if (!is_op(root, Op::Conv)) {
    return nullptr;
  }
  const Node &node = *root->producer;
  const std::optional<Shape> counts = patch_counts(node);
  if (!counts) {
    return nullptr;
  }
  const Tensor &weights = *constant_of(node.input(1));
  const int64_t filters = weights.shape()[0];
  Value *rows = rows_of_patches(build, node.input(0), *counts, weights.shape());
  Value *matrix = build.transpose(
      build.reshape(node.input(1), {Dim(filters), Dim(weights.count() / filters)}), {1, 0});
  Value *product = build.add(Op::MatMul, {rows, matrix});
  return build.reshape(build.transpose(product, {0, 2, 1}), root->type.shape);
}

}  // namespace

bool lower_convolutions(Graph &graph) {
  static constexpr Rule kRules[] = {patches};
  return rewrite(graph, kRules);
}

}  // namespace sylvite
