// LayerNorm and RMS norm over the last axes (axis 0: rows). One row at a time: its formula (a
// residual sum, an embedding's gathers) is computed once into a row buffer, summed, centred,
// squared, written. The row itself may be the second output.
//
// The variance comes from centred values: E[x^2] - E[x]^2 cancels badly in float.
#include "compiler/ir/error.h"
#include "compiler/ir/kernel_traits.h"
#include "compiler/kernels/float_math.h"
#include "compiler/kernels/region.h"
#include "compiler/kernels/rows.h"
#include "compiler/kernels/template.h"

namespace sylvite {

using Halide::cast;
using Halide::Expr;
using Halide::Func;
using Halide::MemoryType;
using Halide::Var;

KernelBody norm_template(TemplateInput &input) {
  Formula &formula = input.formula;
  const Node &root = *input.root;
  const Value *x = root.input(0);
  const DType dtype = x->type.dtype;
  const Shape &shape = x->type.shape;
  const auto axis = shape.begin() + root.attributes.integer("axis");
  const Shape outer(shape.begin(), axis), inner(axis, shape.end());
  const Dim width_dim = element_count(inner);
  const Expr width = formula.size(width_dim);
  const Halide::Type type = compute_type(dtype);
  const bool rms = root.attributes.integer_or("rms", 0) != 0;
  const bool second_output = input.region.output_count() > 1;

  Var k("k"), row("row");
  const std::vector<Expr> inner_index = formula.index_of(inner, k);
  std::vector<Expr> index = formula.index_of(outer, row + input.begin0);
  index.insert(index.end(), inner_index.begin(), inner_index.end());
  bind_in_order(input, shape, index, (row + input.begin0) * width + k);

  Func values("values"), mean("mean"), scale("inverse_deviation"), out("out0");
  values(k, row) = formula.at(x, index);
  const Expr count = cast(type, width);
  const LaneFold sums =
      fold_lanes("sums", width_dim, width, {row}, Halide::Internal::make_zero(type),
                 [&](const Expr &sum, const Expr &kk) { return exact(sum + values(kk, row)); });
  const auto lane_of = [&](const LaneFold &fold) {
    return [&](int lane) -> Expr { return fold.function(lane, row); };
  };
  mean(row) = exact(sum_tree(lane_of(sums)) / count);
  const auto centred = [&](const Expr &kk) -> Expr {
    return rms ? Expr(values(kk, row)) : exact(values(kk, row) - mean(row));
  };
  const LaneFold squares = fold_lanes(
      "squares", width_dim, width, {row}, Halide::Internal::make_zero(type),
      [&](const Expr &sum, const Expr &kk) { return multiply_add(centred(kk), centred(kk), sum); });
  // A standard deviation of n - 1 degrees of freedom, an epsilon added to it: only where they are.
  const auto constant = [&](double number) { return Halide::Internal::make_const(type, number); };
  const double factor = root.attributes.real_or("variance_factor", 1);
  const double outer_epsilon = root.attributes.real_or("outer_epsilon", 0);
  Expr variance = exact(sum_tree(lane_of(squares)) / count);
  variance = factor == 1 ? variance : exact(variance * constant(factor));
  Expr deviation = Halide::sqrt(exact(variance + constant(root.attributes.real("epsilon"))));
  deviation = outer_epsilon == 0 ? deviation : exact(deviation + constant(outer_epsilon));
  scale(row) = exact(Halide::Internal::make_one(type) / deviation);

  Expr y = exact(centred(k) * scale(row));
  const auto parameter = [&](size_t i) { return formula.at(root.input(i), inner_index); };
  if (root.inputs.size() == 3 && type.bits() == 32) {
    y = exact_fma(y, parameter(1), parameter(2));
  } else {
    y = root.inputs.size() > 1 ? exact(y * parameter(1)) : y;
    y = root.inputs.size() > 2 ? exact(y + parameter(2)) : y;
  }
  const Expr result =
      stored_epilogue(input, [&](const std::vector<Expr> &) { return rounded(dtype, y); }, index);
  if (second_output) {
    SYLVITE_CHECK(input.region.output(1) == x, "the second output is the norm's operand");
    out(k, row) = Halide::Tuple(result, to_storage(dtype, values(k, row)));
  } else {
    out(k, row) = result;
  }

  const std::optional<int64_t> fixed = width_dim.constant();
  const auto vectorize = [&](Func f) {
    if (!fixed) {
      vectorize_inwards(f, k, width, input.lanes);
    } else if (*fixed >= input.lanes) {
      f.vectorize(k, input.lanes, Halide::TailStrategy::ShiftInwards);
    }
  };
  vectorize(out);
  if (plain_input(x) == nullptr) {
    values.compute_at(out, row).store_in(fixed && *fixed <= kStackRow ? MemoryType::Stack
                                                                      : MemoryType::Heap);
    values.bound(k, 0, width);
    vectorize(values);
  }
  if (!rms) {
    schedule_fold(sums, out, row, input.lanes);
    mean.compute_at(out, row).store_in(MemoryType::Stack);
  }
  schedule_fold(squares, out, row, input.lanes);
  scale.compute_at(out, row).store_in(MemoryType::Stack);

  const auto buffers = out.output_buffers();
  set_dimension(buffers[0], 0, width, 1);
  set_dimension(buffers[0], 1, input.extent0(), width);
  if (second_output) {  // mins and extents are those of the first
    Halide::OutputImageParam second = buffers[1];
    second.dim(0).set_stride(1);
    second.dim(1).set_stride(width);
  }
  KernelBody body;
  body.functions = {out};
  body.offsets.assign(buffers.size(), input.begin0 * width);
  return body;
}

// Softmax keeps a row's exponentials too; along another axis than the last it keeps three rows of
// results. Rows of constant width stand on the stack.
Dim row_scratch(const Graph &, const Node &root) {
  if (root.op != Op::LayerNorm && root.op != Op::Softmax) {
    return 0;
  }
  const Value *x = root.input(0);
  const Shape &shape = x->type.shape;
  const size_t axis = static_cast<size_t>(root.attributes.integer("axis"));
  const bool plain = plain_input(x) != nullptr;
  const int64_t bytes = compute_bytes(x->type.dtype);
  if (root.op == Op::Softmax) {
    const Dim inner = product(shape, axis + 1, shape.size());
    if (!inner.is(1)) {
      const Dim row = scratch_of(inner, bytes);
      return row + row + row;
    }
  }
  const Dim width = product(shape, axis, shape.size());
  const std::optional<int64_t> fixed = width.constant();
  if ((fixed && *fixed <= kStackRow) || (plain && root.op == Op::LayerNorm)) {
    return 0;
  }
  const Dim row = scratch_of(width, bytes);
  return root.op == Op::Softmax && !plain ? row + row : row;
}

}  // namespace sylvite
