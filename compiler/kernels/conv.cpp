// Convolution over any number of spatial axes with groups, strides, padding and dilation (axis 0:
// batch and output channel, axis 1: output rows). A direct loop: a row of outputs is accumulated
// over channels and taps, vectorised over the row. The contraction runs over k = (channel, tap) in
// blocks of kContractionBlock as in every product. Patch embeddings do not come here: their windows
// do not overlap, so they are matmuls.
#include "compiler/ir/kernel_traits.h"
#include "compiler/kernels/float_math.h"
#include "compiler/kernels/region.h"
#include "compiler/kernels/template.h"
#include "compiler/kernels/windows.h"

namespace sylvite {

using Halide::cast;
using Halide::Expr;
using Halide::Func;
using Halide::MemoryType;
using Halide::RDom;
using Halide::TailStrategy;
using Halide::Var;

KernelBody conv_template(TemplateInput &input) {
  Formula &formula = input.formula;
  const Node &root = *input.root;
  const DType dtype = root.output()->type.dtype;
  const Halide::Type type = sum_type(dtype);
  std::vector<int64_t> weights;  // constant sizes, says the shape rule
  for (const Dim &size : root.input(1)->type.shape) {
    weights.push_back(*size.constant());
  }
  const std::vector<int64_t> kernel(weights.begin() + 2, weights.end());
  int64_t taps = 1;
  for (const int64_t size : kernel) {
    taps *= size;
  }
  const int64_t group = root.attributes.integer_or("group", 1);
  const int32_t filters_of_group = static_cast<int32_t>(weights[0] / group);
  const int32_t channels = static_cast<int32_t>(weights[1]);
  const int64_t depth = weights[1] * taps, block = kContractionBlock;

  Var x("x"), y("y"), u("u");
  const std::vector<Expr> at = window_position(input, x, y);
  const Expr image = (u + input.begin0) / static_cast<int32_t>(weights[0]);
  const Expr filter = (u + input.begin0) % static_cast<int32_t>(weights[0]);

  const auto plus_tap = [&](const Expr &sum, const Expr &k) {
    const Expr channel = k / static_cast<int32_t>(taps), tap = k % static_cast<int32_t>(taps);
    const WindowTap window = window_tap(formula, root, kernel, at, tap);
    std::vector<Expr> from = {image, filter / filters_of_group * channels + channel};
    from.insert(from.end(), window.position.begin(), window.position.end());
    std::vector<Expr> weight = {filter, channel};
    Expr rest = tap;
    std::vector<Expr> place(kernel.size());
    for (size_t axis = kernel.size(); axis-- > 0;) {
      place[axis] = axis == 0 ? rest : rest % static_cast<int32_t>(kernel[axis]);
      rest = rest / static_cast<int32_t>(kernel[axis]);
    }
    weight.insert(weight.end(), place.begin(), place.end());
    const Expr next = multiply_add(cast(type, formula.at(root.input(0), from)),
                                   cast(type, formula.at(root.input(1), weight)), sum);
    return window.inside.defined() ? select(window.inside, next, sum) : next;
  };

  Func sum("sum"), part("part"), out("out0");
  const int32_t blocks = static_cast<int32_t>((depth + block - 1) / block);
  RDom r(0, static_cast<int32_t>(std::min(depth, block)), "r");
  const Expr zero = Halide::Internal::make_zero(type);
  Var q("q");
  Func total = part;
  if (blocks <= 1) {
    part(x, y, u) = zero;
    part(x, y, u) = plus_tap(part(x, y, u), r);
  } else {
    part(x, y, u, q) = zero;
    r.where(q * static_cast<int32_t>(block) + r < static_cast<int32_t>(depth));
    part(x, y, u, q) = plus_tap(part(x, y, u, q), q * static_cast<int32_t>(block) + r);
    RDom b(0, blocks, "b");
    sum(x, y, u) = zero;
    const Expr next = sum(x, y, u) + part(x, y, u, b);
    sum(x, y, u) = type.is_float() ? exact(next) : next;
    sum.compute_at(out, y)
        .store_in(MemoryType::Heap)
        .vectorize(x, input.lanes, TailStrategy::GuardWithIf);
    sum.update().reorder(x, b).vectorize(x, input.lanes, TailStrategy::GuardWithIf);
    part.compute_at(sum, b);
    total = sum;
  }
  const Expr width = formula.size(root.output()->type.shape.back());
  std::vector<Expr> index = {image, filter};
  index.insert(index.end(), at.begin(), at.end());
  const Expr result = cast(compute_type(dtype), total(x, y, u));
  out(x, y, u) = stored_epilogue(
      input, [&](const std::vector<Expr> &) { return rounded(dtype, result); }, index);

  vectorize_inwards(out, x, width, input.lanes);
  if (blocks <= 1) {
    part.compute_at(out, y);
  } else {
    sum.bound(x, 0, width);
  }
  part.store_in(MemoryType::Heap)
      .bound(x, 0, width)
      .vectorize(x, input.lanes, TailStrategy::GuardWithIf);
  part.update().reorder(x, r).vectorize(x, input.lanes, TailStrategy::GuardWithIf);
  return window_body(input, out);
}

}  // namespace sylvite
