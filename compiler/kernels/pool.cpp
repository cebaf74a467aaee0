// Maximum and average over sliding windows (axis 0: batch and channel, axis 1: output rows), a row
// of outputs at a time.
#include <limits>

#include "compiler/kernels/float_math.h"
#include "compiler/kernels/region.h"
#include "compiler/kernels/rows.h"
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

KernelBody pool_template(TemplateInput &input) {
  Formula &formula = input.formula;
  const Node &root = *input.root;
  const DType dtype = root.output()->type.dtype;
  const Halide::Type type = compute_type(dtype);
  const std::vector<int64_t> &kernel = root.attributes.integers("kernel");
  const bool average = root.attributes.text("kind") == "average";
  const bool count_padding = root.attributes.integer_or("count_include_pad", 0) != 0;
  int32_t taps = 1;
  for (const int64_t size : kernel) {
    taps *= static_cast<int32_t>(size);
  }

  Var x("x"), y("y"), u("u");
  const std::vector<Expr> at = window_position(input, x, y);
  const Expr channels = formula.size(root.input(0)->type.shape[1]);
  RDom r(0, taps, "r");
  const WindowTap window = window_tap(formula, root, kernel, at, r);
  std::vector<Expr> from = {(u + input.begin0) / channels, (u + input.begin0) % channels};
  std::vector<Expr> index = from;
  index.insert(index.end(), at.begin(), at.end());
  from.insert(from.end(), window.position.begin(), window.position.end());
  const Expr value = formula.at(root.input(0), from);

  Func fold("fold"), count("count"), out("out0");
  const Expr infinity = std::numeric_limits<float>::infinity();
  fold(x, y, u) = average           ? Halide::Internal::make_zero(type)
                  : type.is_float() ? cast(type, -infinity)
                                    : type.min();
  const Expr before = fold(x, y, u);
  const Expr larger =
      type.is_float() ? exact(value > before) || is_nan_exact(value) : value > before;
  const Expr joined = average ? exact(before + value) : select(larger, value, before);
  fold(x, y, u) = step_over(
      r, window.inside.defined() ? select(window.inside, joined, before) : joined, before);

  std::vector<Func> rows = {fold};
  Expr result = fold(x, y, u);
  if (average && !count_padding && window.inside.defined()) {
    count(x, y, u) = 0;
    count(x, y, u) += select(window.inside, 1, 0);
    rows.push_back(count);
    const Expr none = count(x, y, u) == 0;
    result = select(none, Halide::Internal::make_zero(type),
                    exact(result / cast(type, select(none, 1, count(x, y, u)))));
  } else if (average) {
    result = exact(result / cast(type, taps));
  }
  out(x, y, u) = stored_epilogue(
      input, [&](const std::vector<Expr> &) { return rounded(dtype, result); }, index);

  const Expr width = formula.size(root.output()->type.shape.back());
  vectorize_inwards(out, x, width, input.lanes);
  for (Func f : rows) {
    f.compute_at(out, y).store_in(MemoryType::Heap).bound(x, 0, width);
    f.vectorize(x, input.lanes, TailStrategy::GuardWithIf);
    f.update().reorder(x, r).vectorize(x, input.lanes, TailStrategy::GuardWithIf);
  }
  return window_body(input, out);
}

}  // namespace sylvite
