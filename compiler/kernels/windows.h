// Sliding windows, for convolution and pooling: which input position a tap of an output position
// reads, and whether it lies inside.
#pragma once

#include <Halide.h>

#include <vector>

#include "compiler/kernels/template.h"

namespace sylvite {

struct WindowTap {
  std::vector<Halide::Expr> position;  // on the spatial axes, clamped into the input
  Halide::Expr inside;                 // undefined: always
};

// The tap number `tap` (row-major in `kernel`) of the output at `at`; root: a Conv or Pool.
WindowTap window_tap(const Formula &formula, const Node &root, const std::vector<int64_t> &kernel,
                     const std::vector<Halide::Expr> &at, const Halide::Expr &tap);

// The output's loops: last axis, the other spatial axes, batch and channel. Spatial position of the
// output at (x, y).
std::vector<Halide::Expr> window_position(const TemplateInput &input, const Halide::Var &x,
                                          const Halide::Var &y);
KernelBody window_body(TemplateInput &input, const Halide::Func &out);

}  // namespace sylvite
