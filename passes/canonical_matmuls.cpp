// One spelling for matrix products: weights as plain matrices [K, N], other right operands with
// their K axis last where they are stored that way (transpose_b instead of a transpose).
//
//   matmul(a, transpose(b) with K last in b)  =>  matmul(a, b) {transpose_b}
//   matmul(a, w) {transpose_b}, w constant    =>  matmul(a, transpose(w))
//   matmul(a, w[1, ..., K, N])                =>  matmul(a, w[K, N])
//   matmul(w, x), w constant                  =>  transpose(matmul(transpose(x), transpose(w)))
//
// The last one brings models that are written in columns into rows: the transposes go behind what
// reads them (sink_views) and meet the next layer's.
//
// Keeps: every product.   Declines: right operands of rank 1.
#include <algorithm>

#include "passes/passes.h"
#include "passes/rewrite.h"

namespace sylvite {
namespace {

Value *matmul_like(Builder &build, Value *a, Value *b, bool transpose_b) {
  return build.add(Op::MatMul, {a, b}, {{"transpose_b", int64_t{transpose_b}}});
}

Value *transpose_as_flag(Builder &build, Value *root) {
  if (!is_op(root, Op::MatMul) || root->producer->attributes.integer_or("transpose_b", 0) != 0) {
    return nullptr;
  }
  const Node &node = *root->producer;
  Value *b = node.input(1);
  if (!is_op(b, Op::Transpose) || constant_of(b->producer->input(0)) != nullptr) {
    return nullptr;
  }
  std::vector<int64_t> perm = b->producer->attributes.integers("perm");
  if (perm.size() < 2 || perm[perm.size() - 2] != static_cast<int64_t>(perm.size()) - 1) {
    return nullptr;
  }
  std::swap(perm[perm.size() - 1], perm[perm.size() - 2]);
  return matmul_like(build, node.input(0), build.transpose(b->producer->input(0), perm), true);
}

Value *plain_weights(Builder &build, Value *root) {
  if (!is_op(root, Op::MatMul) || constant_of(root->producer->input(1)) == nullptr) {
    return nullptr;
  }
  const Node &node = *root->producer;
  Value *b = node.input(1);
  const int64_t rank = b->type.rank();
  const bool transposed = node.attributes.integer_or("transpose_b", 0) != 0;
  if (transposed && rank >= 2) {
    return matmul_like(build, node.input(0), build.transpose(b, swap_last_two(rank)), false);
  }
  const Shape &shape = b->type.shape;
  if (rank > 2 && rank <= node.input(0)->type.rank() &&
      std::all_of(shape.begin(), shape.end() - 2, [](const Dim &dim) { return dim.is(1); })) {
    return matmul_like(build, node.input(0), build.reshape(b, Shape(shape.end() - 2, shape.end())),
                       false);
  }
  return nullptr;
}

Value *swapped(Builder &build, Value *value) {
  return build.transpose(value, swap_last_two(value->type.rank()));
}

Value *weights_on_the_right(Builder &build, Value *root) {
  if (!is_op(root, Op::MatMul)) {
    return nullptr;
  }
  const Node &node = *root->producer;
  Value *w = node.input(0), *x = node.input(1);
  const Shape &shape = w->type.shape;
  if (constant_of(w) == nullptr || constant_of(x) != nullptr || shape.size() < 2 ||
      shape.size() > x->type.shape.size() ||
      !std::all_of(shape.begin(), shape.end() - 2, [](const Dim &dim) { return dim.is(1); })) {
    return nullptr;
  }
  const bool transposed = node.attributes.integer_or("transpose_b", 0) != 0;
  Value *rows = transposed ? x : swapped(build, x);
  Value *matrix = build.reshape(w, Shape(shape.end() - 2, shape.end()));
  return swapped(build, matmul_like(build, rows, swapped(build, matrix), false));
}

}  // namespace

bool canonical_matmuls(Graph &graph) {
  static constexpr Rule kRules[] = {transpose_as_flag, plain_weights, weights_on_the_right};
  return rewrite(graph, kRules);
}

}  // namespace sylvite
