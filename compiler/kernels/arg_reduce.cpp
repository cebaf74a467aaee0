// Position of the largest or smallest element along an axis (axis 0: results), one result at a
// time. NaN counts as larger than every number; of equals the first is taken, or the last.
#include "compiler/kernels/float_math.h"
#include "compiler/kernels/template.h"

namespace sylvite {

using Halide::cast;
using Halide::Expr;
using Halide::Func;
using Halide::RDom;
using Halide::Tuple;
using Halide::Var;

namespace {

// Whether a goes before b in an order that puts what is wanted first.
Expr goes_before(const Expr &a, const Expr &b, bool largest) {
  if (!a.type().is_float()) {
    return largest ? a > b : a < b;
  }
  const Expr a_nan = is_nan_exact(a), b_nan = is_nan_exact(b);
  return select(a_nan || b_nan, largest ? a_nan && !b_nan : b_nan && !a_nan,
                largest ? exact(a > b) : exact(a < b));
}

}  // namespace

KernelBody arg_reduce_template(TemplateInput &input) {
  const Node &root = *input.root;
  const Shape &shape = root.input(0)->type.shape;
  const size_t axis = static_cast<size_t>(root.attributes.integer("axis"));
  const bool largest = root.attributes.text("kind") == "max";
  const bool last = root.attributes.integer_or("last", 0) != 0;
  Shape kept = shape;
  kept.erase(kept.begin() + static_cast<int64_t>(axis));

  Var u("u");
  Func best("best"), out("out0");
  const std::vector<Expr> position = input.formula.index_of(kept, u + input.begin0);
  const auto element = [&](const Expr &k) {
    std::vector<Expr> index = position;
    index.insert(index.begin() + static_cast<int64_t>(axis), k);
    return input.formula.at(root.input(0), index);
  };
  best(u) = Tuple(element(0), 0);
  RDom r(1, Halide::max(input.formula.size(shape[axis]) - 1, 0), "r");
  const Expr value = element(r);
  const Expr better = goes_before(value, best(u)[0], largest);
  const Expr take = last ? better || !goes_before(best(u)[0], value, largest) : better;
  best(u) = Tuple(select(take, value, best(u)[0]), select(take, r, best(u)[1]));
  std::vector<Expr> index = position;
  if (root.attributes.integer_or("keepdims", 0) != 0) {
    index.insert(index.begin() + static_cast<int64_t>(axis), Expr(0));
  }
  out(u) = stored_epilogue(
      input, [&](const std::vector<Expr> &) { return cast<int64_t>(best(u)[1]); }, index);
  best.compute_at(out, u).store_in(Halide::MemoryType::Stack);
  set_dimension(out.output_buffer(), 0, input.extent0(), 1);
  KernelBody body;
  body.functions = {out};
  body.offsets = {input.begin0};
  return body;
}

}  // namespace sylvite
