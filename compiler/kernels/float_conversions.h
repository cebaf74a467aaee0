// Conversions between float types on their bits. Halide's own casts carry LLVM's fast-math flags
// even where everything else is strict: the compiler may assume that neither NaN nor infinity is
// converted.
#pragma once

#include <Halide.h>

namespace sylvite {

// Half types are kept as 16-bit integers. To them: to nearest, ties to even; NaN becomes a quiet
// NaN.
Halide::Expr half_to_float(const Halide::Expr &bits);
Halide::Expr float_to_half(const Halide::Expr &value);
Halide::Expr bfloat16_to_float(const Halide::Expr &bits);
Halide::Expr float_to_bfloat16(const Halide::Expr &value);

Halide::Expr float_to_double(const Halide::Expr &value);
Halide::Expr double_to_float(const Halide::Expr &value);

// Without the sign; of a NaN too.
Halide::Expr absolute(const Halide::Expr &value);

}  // namespace sylvite
