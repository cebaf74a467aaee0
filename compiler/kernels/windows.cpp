#include "compiler/kernels/windows.h"

#include "compiler/kernels/region.h"

namespace sylvite {

using Halide::Expr;
using Halide::Func;
using Halide::Var;

WindowTap window_tap(const Formula &formula, const Node &root, const std::vector<int64_t> &kernel,
                     const std::vector<Expr> &at, const Expr &tap) {
  const std::vector<int64_t> &strides = root.attributes.integers("strides");
  const std::vector<int64_t> &pads = root.attributes.integers("pads");
  const std::vector<int64_t> &dilations = root.attributes.integers("dilations");
  WindowTap result;
  result.position.resize(kernel.size());
  Expr rest = tap;
  for (size_t axis = kernel.size(); axis-- > 0;) {
    const auto number = [](int64_t value) { return static_cast<int32_t>(value); };
    const Expr step = axis == 0 ? rest : rest % number(kernel[axis]);
    rest = rest / number(kernel[axis]);
    const Expr from =
        at[axis] * number(strides[axis]) + step * number(dilations[axis]) - number(pads[axis]);
    if (pads[axis] == 0 && pads[axis + kernel.size()] == 0) {
      result.position[axis] = from;
      continue;
    }
    const Expr size = formula.size(root.input(0)->type.shape[axis + 2]);
    const Expr here = from >= 0 && from < size;
    result.inside = result.inside.defined() ? result.inside && here : here;
    result.position[axis] = Halide::max(0, Halide::min(from, size - 1));
  }
  return result;
}

std::vector<Expr> window_position(const TemplateInput &input, const Var &x, const Var &y) {
  const Shape &shape = input.root->output()->type.shape;
  std::vector<Expr> position =
      input.formula.index_of(Shape(shape.begin() + 2, shape.end() - 1), y + input.begin1);
  position.push_back(x);
  return position;
}

KernelBody window_body(TemplateInput &input, const Func &out) {
  const Shape &shape = input.root->output()->type.shape;
  const Expr width = input.formula.size(shape.back());
  const Expr plane = input.formula.size(product(shape, 2, shape.size()));
  set_dimension(out.output_buffer(), 0, width, 1);
  set_dimension(out.output_buffer(), 1, input.extent1(), width);
  set_dimension(out.output_buffer(), 2, input.extent0(), plane);
  KernelBody body;
  body.functions = {out};
  body.offsets = {input.begin0 * plane + input.begin1 * width};
  return body;
}

// Two rows of the output's last axis.
Dim window_scratch(const Graph &, const Node &root) {
  const Dim row = scratch_of(root.output()->type.shape.back(), 8);
  return row + row;
}

}  // namespace sylvite
