// The counting of fused blocks looks at kernels only, never at tags that a pass has left: a region
// that computes a rotation is one, whoever put it together.
#include "passes/block_kinds.h"

#include <algorithm>
#include <memory>

#include "compiler/ir/kernel_traits.h"
#include "compiler/ir/match.h"
#include "passes/kernel_fusion.h"
#include "passes/rewrite.h"

namespace sylvite {
namespace {

const Value *behind_views(const Value *value) {
  while (is_class(value, OpClass::View) && value->producer->inputs.size() == 1) {
    value = value->producer->input(0);
  }
  return value;
}

// x * c + [-x2 x1] * s
bool rotates_halves(Value *value) {
  Value *x = nullptr;
  const Pattern rotated = op(Op::Concat, op(Op::Neg, op(Op::Slice, same(&x))),  //
                             op(Op::Slice, same(&x)));
  return match(value, op(Op::Add, op(Op::Mul, any(&x), any()), op(Op::Mul, rotated, any())));
}

// [x1 * c - x2 * s, x1 * s + x2 * c] of two slices x1, x2; pairs have an axis of their own
bool rotates_parts(Value *value) {
  for (const bool pairs : {false, true}) {
    Value *x = nullptr, *x1 = nullptr, *x2 = nullptr, *c = nullptr, *s = nullptr;
    const auto part = [pairs](const Pattern &pattern) {
      return pairs ? op(Op::Reshape, pattern) : pattern;
    };
    const Pattern first = part(op(Op::Slice, any(&x))).into(&x1);
    const Pattern second = part(op(Op::Slice, same(&x))).into(&x2);
    const Pattern real = op(Op::Sub, op(Op::Mul, first, any(&c)), op(Op::Mul, second, any(&s)));
    const Pattern imaginary =
        op(Op::Add, op(Op::Mul, same(&x1), same(&s)), op(Op::Mul, same(&x2), same(&c)));
    if (match(value, op(Op::Concat, part(real), part(imaginary)))) {
      return true;
    }
  }
  return false;
}

bool is_kernel_of(const Node *kernel, Op root) {
  return kernel != nullptr && kernel->op == Op::Kernel && root_op(*kernel) == root;
}

const Node &root_node(const Node &kernel) {
  return *root_of(region_of(kernel));
}

// The kernel whose result the root's operand is, seen through views; null if it is computed here.
const Node *producer_of_operand(const Node &kernel, size_t operand) {
  const Value *value = behind_views(root_node(kernel).input(operand));
  return value->producer == nullptr ? outside(kernel, value)->producer : nullptr;
}

// Whether the root's first operand is an image [batch, channels, height, width, ..] with a row of
// channels for each pixel.
bool reads_pixels(const Node &kernel) {
  const Value *rows = root_node(kernel).input(0);
  const Value *image = outside(kernel, behind_views(rows));
  const Shape &shape = image->type.shape;
  const int64_t rank = rows->type.rank();
  if (image->producer == rows->producer || shape.size() < 4 || rank < 2) {
    return false;
  }
  const Shape pixels(shape.begin() + 2, shape.end());
  return rows->type.shape.back() == shape[1] &&
         rows->type.shape[static_cast<size_t>(rank) - 2] == element_count(pixels);
}

bool comes_from_pixels(const Node &kernel) {
  if (reads_pixels(kernel)) {
    return true;
  }
  const Node *projection = producer_of_operand(kernel, 0);
  return (is_kernel_of(projection, Op::MatMul) || is_kernel_of(projection, Op::MatMulPanels)) &&
         reads_pixels(*projection);
}

}  // namespace

const Value *outside(const Node &kernel, const Value *value) {
  return value->producer == nullptr ? kernel.input(static_cast<size_t>(value->index)) : value;
}

bool is_product(const Node *kernel) {
  return kernel != nullptr && kernel->op == Op::Kernel &&
         (root_op(*kernel) == Op::MatMul || root_op(*kernel) == Op::MatMulPanels);
}

bool has_nonlinearity(const Graph &region) {
  return std::any_of(region.nodes().begin(), region.nodes().end(), [](const auto &node) {
    switch (node->op) {
      case Op::Erf:
      case Op::Tanh:
      case Op::Exp:
      case Op::Max:
      case Op::Min:
      case Op::Where:
        return true;
      default:
        return false;
    }
  });
}

int rotations_in(const Node &kernel) {
  int count = 0;
  for (const std::unique_ptr<Node> &node : region_of(kernel).nodes()) {
    if (node->outputs.size() == 1) {
      count += rotates_halves(node->output()) || rotates_parts(node->output());
    }
  }
  return count;
}

bool is_nonlocal(const Node &kernel) {
  if (is_kernel_of(&kernel, Op::Attention)) {
    return comes_from_pixels(kernel);
  }
  const Node *scores = is_kernel_of(&kernel, Op::MatMul) ? producer_of_operand(kernel, 0) : nullptr;
  return is_kernel_of(scores, Op::MatMul) && comes_from_pixels(*scores);
}

bool is_linear_attention(const Node &kernel) {
  if (!is_kernel_of(&kernel, Op::MatMul) ||
      !is_kernel_of(producer_of_operand(kernel, 1), Op::MatMul)) {
    return false;
  }
  const Node *features = producer_of_operand(kernel, 0);
  return !is_kernel_of(features, Op::MatMul) && !is_kernel_of(features, Op::Softmax);
}

}  // namespace sylvite
