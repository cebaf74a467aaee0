// Functions of floats as Halide expressions, written so that every ISA gives the same bits: only
// exact operations (explicit fma, and + - * / in strict mode), never a library's or Halide's own
// transcendental. NaN and infinity behave as in C's functions. Largest errors seen over a million
// arguments each: exp 2.7 ulp, erf 5.7, tanh 5.1, log 1; sin and cos 1.5 ulp for |x| <= 8192, after
// which the range reduction loses a bit for each doubling. In double, for models that compute a
// little in it: exp 0.9 ulp, log 2, tanh 5.6.
#pragma once

#include <Halide.h>

namespace sylvite {

// a * b + c with one rounding, of floats or doubles; an LLVM intrinsic, which Halide 21 has no name
// for.
Halide::Expr exact_fma(const Halide::Expr &a, const Halide::Expr &b, const Halide::Expr &c);
// The operation as IEEE 754 has it: neither contracted nor reassociated.
Halide::Expr exact(const Halide::Expr &e);

Halide::Expr exp_f32(const Halide::Expr &x);
Halide::Expr log_f32(const Halide::Expr &x);
Halide::Expr erf_f32(const Halide::Expr &x);
Halide::Expr tanh_f32(const Halide::Expr &x);
Halide::Expr sin_f32(const Halide::Expr &x);
Halide::Expr cos_f32(const Halide::Expr &x);

Halide::Expr exp_f64(const Halide::Expr &x);
Halide::Expr log_f64(const Halide::Expr &x);
Halide::Expr tanh_f64(const Halide::Expr &x);

// Of two floats or two doubles.
Halide::Expr power_of(const Halide::Expr &x, const Halide::Expr &y);

// NaN if either is, as ONNX's Max and Min; Halide's own drop it.
Halide::Expr max_nan(const Halide::Expr &a, const Halide::Expr &b);
Halide::Expr min_nan(const Halide::Expr &a, const Halide::Expr &b);
Halide::Expr is_nan_exact(const Halide::Expr &x);

}  // namespace sylvite
