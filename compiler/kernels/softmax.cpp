// Softmax. Along the last axis one row at a time, as norms (axis 0: rows); along another one
// vectorised over what lies behind it, the exponentials computed twice (axis 0: outer positions,
// axis 1: inner ones).
//
// The maximum drops NaN; NaN comes back through the exponentials' sum. A row of -inf gives NaN.
#include <limits>

#include "compiler/ir/kernel_traits.h"
#include "compiler/kernels/float_math.h"
#include "compiler/kernels/region.h"
#include "compiler/kernels/rows.h"
#include "compiler/kernels/template.h"

namespace sylvite {
namespace {

using Halide::Expr;
using Halide::Func;
using Halide::MemoryType;
using Halide::RDom;
using Halide::Var;

Expr larger(const Expr &a, const Expr &b) {
  return select(exact(a < b), b, a);
}

Expr lowest(const Halide::Type &type) {
  return Halide::Internal::FloatImm::make(type, -std::numeric_limits<double>::infinity());
}

Expr power_of_e(const Expr &x) {
  return x.type().bits() == 64 ? exp_f64(x) : exp_of_nonpositive(x);
}

KernelBody softmax_of_rows(TemplateInput &input, const Shape &outer, const Dim &width_dim) {
  Formula &formula = input.formula;
  const Node &root = *input.root;
  const Value *x = root.input(0);
  const Shape &shape = x->type.shape;
  const DType dtype = x->type.dtype;
  const Halide::Type type = compute_type(dtype);
  const Expr zero = Halide::Internal::make_zero(type), one = Halide::Internal::make_one(type);
  const Expr width = formula.size(width_dim);

  Var k("k"), row("row");
  std::vector<Expr> index = formula.index_of(outer, row + input.begin0);
  index.push_back(k);
  index.resize(shape.size(), Expr(0));
  bind_in_order(input, shape, index, (row + input.begin0) * width + k);

  Func values("values"), largest("largest"), powers("powers"), factor("factor"), out("out0");
  values(k, row) = formula.at(x, index);
  const LaneFold maxima =
      fold_lanes("maxima", width_dim, width, {row}, lowest(type),
                 [&](const Expr &best, const Expr &kk) { return larger(best, values(kk, row)); });
  largest(row) = lane_tree([&](int lane) -> Expr { return maxima.function(lane, row); }, larger);
  powers(k, row) = power_of_e(exact(values(k, row) - largest(row)));
  const LaneFold sums =
      fold_lanes("sums", width_dim, width, {row}, zero,
                 [&](const Expr &sum, const Expr &kk) { return exact(sum + powers(kk, row)); });
  factor(row) = exact(one / sum_tree([&](int lane) -> Expr { return sums.function(lane, row); }));
  const Expr y = exact(powers(k, row) * factor(row));
  out(k, row) =
      stored_epilogue(input, [&](const std::vector<Expr> &) { return rounded(dtype, y); }, index);

  const std::optional<int64_t> fixed = width_dim.constant();
  const MemoryType memory = fixed && *fixed <= kStackRow ? MemoryType::Stack : MemoryType::Heap;
  const auto vectorize = [&](Func f) {
    if (!fixed) {
      vectorize_inwards(f, k, width, input.lanes);
    } else if (*fixed >= input.lanes) {
      f.vectorize(k, input.lanes, Halide::TailStrategy::ShiftInwards);
    }
  };
  vectorize(out);
  std::vector<Func> rows = {powers};
  if (plain_input(x) == nullptr) {
    rows.push_back(values);
  }
  for (Func f : rows) {
    f.compute_at(out, row).store_in(memory).bound(k, 0, width);
    vectorize(f);
  }
  schedule_fold(maxima, out, row, input.lanes);
  schedule_fold(sums, out, row, input.lanes);
  largest.compute_at(out, row).store_in(MemoryType::Stack);
  factor.compute_at(out, row).store_in(MemoryType::Stack);
  set_dimension(out.output_buffer(), 0, width, 1);
  set_dimension(out.output_buffer(), 1, input.extent0(), width);
  KernelBody body;
  body.functions = {out};
  body.offsets = {input.begin0 * width};
  return body;
}

KernelBody softmax_of_columns(TemplateInput &input, const Shape &outer, const Dim &width_dim,
                              const Shape &inner) {
  Formula &formula = input.formula;
  const Node &root = *input.root;
  const Value *operand = root.input(0);
  const DType dtype = operand->type.dtype;
  const Halide::Type type = compute_type(dtype);
  const Expr zero = Halide::Internal::make_zero(type), one = Halide::Internal::make_one(type);
  const Expr width = formula.size(width_dim), step = formula.size(element_count(inner));

  Var x("x"), k("k"), u("u");
  const auto index_at = [&](const Expr &kk) {
    std::vector<Expr> index = formula.index_of(outer, u + input.begin0);
    index.push_back(kk);
    const std::vector<Expr> behind = formula.index_of(inner, x + input.begin1);
    index.insert(index.end(), behind.begin(), behind.end());
    return index;
  };
  Func values("values"), largest("largest"), sum("sum"), factor("factor"), out("out0");
  values(x, k, u) = formula.at(operand, index_at(k));
  RDom all(0, width, "all"), again(0, width, "again");
  largest(x, u) = lowest(type);
  largest(x, u) = larger(largest(x, u), values(x, all, u));
  const auto power = [&](const Expr &kk) {
    return power_of_e(exact(values(x, kk, u) - largest(x, u)));
  };
  sum(x, u) = zero;
  sum(x, u) = exact(sum(x, u) + power(again));
  factor(x, u) = exact(one / sum(x, u));
  const Expr y = exact(power(k) * factor(x, u));
  out(x, k, u) = stored_epilogue(
      input, [&](const std::vector<Expr> &) { return rounded(dtype, y); }, index_at(k));

  out.reorder(x, k, u);
  vectorize_inwards(out, x, input.extent1(), input.lanes);
  for (Func f : {largest, sum, factor}) {
    f.compute_at(out, u).store_in(MemoryType::Heap).bound(x, 0, input.extent1());
    f.vectorize(x, input.lanes, Halide::TailStrategy::GuardWithIf);
    if (f.num_update_definitions() > 0) {
      f.update().reorder(x, f.rvars(0)[0]);
      f.update().vectorize(x, input.lanes, Halide::TailStrategy::GuardWithIf);
    }
  }
  set_dimension(out.output_buffer(), 0, input.extent1(), 1);
  set_dimension(out.output_buffer(), 1, width, step);
  set_dimension(out.output_buffer(), 2, input.extent0(), step * width);
  KernelBody body;
  body.functions = {out};
  body.offsets = {input.begin0 * step * width + input.begin1};
  return body;
}

}  // namespace

KernelBody softmax_template(TemplateInput &input) {
  const Node &root = *input.root;
  const Shape &shape = root.input(0)->type.shape;
  const auto axis = shape.begin() + root.attributes.integer("axis");
  const Shape outer(shape.begin(), axis), inner(axis + 1, shape.end());
  return element_count(inner).is(1) ? softmax_of_rows(input, outer, *axis)
                                    : softmax_of_columns(input, outer, *axis, inner);
}

}  // namespace sylvite
