// Kernels without a root: elementwise ops, views and lookups. Demand driven: each output element is
// its formula.
//
// Where every operand has the output's elements in the same order, one flat loop runs over them
// (axis 0: elements). Otherwise the innermost axis is vectorised and the others are one loop, whose
// position gives the index by division (axis 0: rows, axis 1: elements of a row).
#include "compiler/kernels/region.h"
#include "compiler/kernels/template.h"

namespace sylvite {
namespace {

using Halide::Expr;
using Halide::Func;
using Halide::Var;

Func flat_loop(TemplateInput &input, const Value *result, size_t number) {
  Formula &formula = input.formula;
  Var x("x");
  Func out("out" + std::to_string(number));
  const Expr position = x + input.begin0;
  for (size_t i = 0; i < input.region.inputs().size(); ++i) {
    const Value *operand = input.region.inputs()[i];
    const bool single = element_count(operand->type.shape).is(1);
    formula.bind(operand, [=, &formula](const std::vector<Expr> &) {
      return from_storage(operand->type.dtype, formula.inputs[i](single ? Expr(0) : position));
    });
  }
  const std::vector<Expr> anywhere(result->type.shape.size(), Expr(0));
  out(x) = to_storage(result->type.dtype, formula.at(result, anywhere));
  vectorize_inwards(out, x, input.extent0(), input.lanes);
  set_dimension(out.output_buffer(), 0, input.extent0(), 1);
  return out;
}

Func row_loop(TemplateInput &input, const Value *result, size_t number) {
  Formula &formula = input.formula;
  const Shape &shape = result->type.shape;
  const int64_t inner = inner_axis(shape);
  Var x("x"), row("row");
  Func out("out" + std::to_string(number));
  std::vector<Expr> index(shape.size(), Expr(0));
  Expr inner_size = 1;
  if (inner >= 0) {
    const Shape outer(shape.begin(), shape.begin() + inner);
    const std::vector<Expr> outer_index = formula.index_of(outer, row + input.begin0);
    std::copy(outer_index.begin(), outer_index.end(), index.begin());
    index[static_cast<size_t>(inner)] = x + input.begin1;
    inner_size = formula.size(shape[static_cast<size_t>(inner)]);
  }
  out(x, row) = to_storage(result->type.dtype, formula.at(result, index));
  vectorize_inwards(out, x, input.extent1(), input.lanes);
  set_dimension(out.output_buffer(), 0, input.extent1(), 1);
  set_dimension(out.output_buffer(), 1, input.extent0(), inner_size);
  return out;
}

}  // namespace

KernelBody none_template(TemplateInput &input) {
  KernelBody body;
  const Shape &shape = input.region.output(0)->type.shape;
  const bool flat = is_flat(input.region);
  const int64_t inner = inner_axis(shape);
  for (size_t i = 0; i < input.region.output_count(); ++i) {
    const Value *result = input.region.output(i);
    body.functions.push_back(flat ? flat_loop(input, result, i) : row_loop(input, result, i));
    const Expr inner_size =
        inner < 0 ? Expr(1) : input.formula.size(shape[static_cast<size_t>(inner)]);
    body.offsets.push_back(flat ? Expr(input.begin0) : input.begin0 * inner_size + input.begin1);
  }
  return body;
}

}  // namespace sylvite
