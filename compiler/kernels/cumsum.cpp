// Running sums or products along an axis (axis 0: what lies before it, axis 1: what lies behind
// it), vectorised over what lies behind.
#include "compiler/kernels/float_math.h"
#include "compiler/kernels/region.h"
#include "compiler/kernels/template.h"

namespace sylvite {

using Halide::cast;
using Halide::Expr;
using Halide::Func;
using Halide::MemoryType;
using Halide::RDom;
using Halide::TailStrategy;
using Halide::Var;

KernelBody cumsum_template(TemplateInput &input) {
  Formula &formula = input.formula;
  const Node &root = *input.root;
  const Shape &shape = root.input(0)->type.shape;
  const auto axis = shape.begin() + root.attributes.integer("axis");
  const Shape outer(shape.begin(), axis), inner(axis + 1, shape.end());
  const Expr size = formula.size(*axis), step = formula.size(element_count(inner));
  const bool reverse = root.attributes.integer_or("reverse", 0) != 0;
  const bool exclusive = root.attributes.integer_or("exclusive", 0) != 0;
  const bool products = root.attributes.text_or("kind", "sum") == "prod";
  const DType dtype = root.output()->type.dtype;
  const Halide::Type type = sum_type(dtype);

  Var x("x"), k("k"), u("u");
  const auto index_at = [&](const Expr &kk) {
    std::vector<Expr> index = formula.index_of(outer, u + input.begin0);
    index.push_back(kk);
    const std::vector<Expr> behind = formula.index_of(inner, x + input.begin1);
    index.insert(index.end(), behind.begin(), behind.end());
    return index;
  };
  const auto turned = [&](const Expr &kk) { return reverse ? size - 1 - kk : kk; };
  // sums(x, i, u): of the first i elements.
  Func sums("sums"), out("out0");
  RDom r(0, size, "r");
  sums(x, k, u) = products ? Halide::Internal::make_one(type) : Halide::Internal::make_zero(type);
  const Expr next = cast(type, formula.at(root.input(0), index_at(turned(r))));
  const Expr sum = products ? sums(x, r, u) * next : sums(x, r, u) + next;
  sums(x, r + 1, u) = type.is_float() ? exact(sum) : sum;
  const Expr count = turned(k) + (exclusive ? 0 : 1);
  const Expr result = cast(compute_type(dtype), sums(x, count, u));
  out(x, k, u) = stored_epilogue(
      input, [&](const std::vector<Expr> &) { return rounded(dtype, result); }, index_at(k));

  out.reorder(x, k, u);
  vectorize_inwards(out, x, input.extent1(), input.lanes);
  sums.compute_at(out, u)
      .store_in(MemoryType::Heap)
      .bound(x, 0, input.extent1())
      .bound(k, 0, size + 1)
      .vectorize(x, input.lanes, TailStrategy::GuardWithIf);
  sums.update().reorder(x, r).vectorize(x, input.lanes, TailStrategy::GuardWithIf);
  set_dimension(out.output_buffer(), 0, input.extent1(), 1);
  set_dimension(out.output_buffer(), 1, size, step);
  set_dimension(out.output_buffer(), 2, input.extent0(), size * step);
  KernelBody body;
  body.functions = {out};
  body.offsets = {input.begin0 * size * step + input.begin1};
  return body;
}

// The sums of one outer position, and before them a row of what they begin with.
Dim cumsum_scratch(const Graph &, const Node &root) {
  const Shape &shape = root.input(0)->type.shape;
  const size_t axis = static_cast<size_t>(root.attributes.integer("axis"));
  return scratch_of((shape[axis] + Dim(1)) * product(shape, axis + 1, shape.size()), 8);
}

}  // namespace sylvite
