#include "compiler/kernels/float_conversions.h"

#include "compiler/kernels/float_math.h"

namespace sylvite {

using Halide::cast;
using Halide::Expr;
using Halide::reinterpret;
using Halide::select;

namespace {

Expr u32(uint32_t value) {
  return Expr(value);
}

Expr u64(uint64_t value) {
  return Expr(value);
}

Expr bits_of(const Expr &value) {
  return reinterpret(Halide::UInt(value.type().bits()), value);
}

}  // namespace

Expr absolute(const Expr &value) {
  const Expr bits = bits_of(value);
  const Expr mask = value.type().bits() == 64 ? u64(0x7fffffffffffffffu) : u32(0x7fffffffu);
  return reinterpret(value.type(), bits & mask);
}

Expr half_to_float(const Expr &bits) {
  const Expr wide = cast<uint32_t>(bits);
  const Expr sign = (wide & u32(0x8000)) << u32(16), magnitude = wide & u32(0x7fff);
  const Expr normal = (magnitude << u32(13)) + u32(112u << 23);
  const Expr special = (magnitude << u32(13)) | u32(0x7f800000);
  // Denormals are whole multiples of 2^-24.
  const Expr denormal = bits_of(exact(cast<float>(cast<int32_t>(magnitude)) * 0x1p-24f));
  const Expr result =
      select(magnitude >= u32(0x7c00), special, magnitude < u32(0x400), denormal, normal);
  return reinterpret<float>(result | sign);
}

Expr float_to_half(const Expr &value) {
  const Expr bits = bits_of(value);
  const Expr sign = bits & u32(0x80000000), magnitude = bits & u32(0x7fffffff);
  const Expr special = select(magnitude > u32(0x7f800000), u32(0x7e00), u32(0x7c00));
  // Adding 0.5 puts the units of a half's denormals into the last place; the sum rounds.
  const Expr denormal = bits_of(exact(reinterpret<float>(magnitude) + 0.5f)) - u32(0x3f000000);
  const Expr odd = (magnitude >> u32(13)) & u32(1);
  const Expr normal = (magnitude - u32(112u << 23) + u32(0xfff) + odd) >> u32(13);
  const Expr result =
      select(magnitude >= u32(0x47800000), special, magnitude < u32(0x38800000), denormal, normal);
  return cast<uint16_t>(result | (sign >> u32(16)));
}

Expr bfloat16_to_float(const Expr &bits) {
  return reinterpret<float>(cast<uint32_t>(bits) << u32(16));
}

Expr float_to_bfloat16(const Expr &value) {
  const Expr bits = bits_of(value);
  const Expr odd = (bits >> u32(16)) & u32(1);
  const Expr nan = (bits & u32(0x7fffffff)) > u32(0x7f800000);
  const Expr rounded = (bits + u32(0x7fff) + odd) >> u32(16);
  return cast<uint16_t>(select(nan, (bits >> u32(16)) | u32(0x40), rounded));
}

Expr float_to_double(const Expr &value) {
  const Expr bits = bits_of(value);
  const Expr finite = (bits & u32(0x7fffffff)) < u32(0x7f800000);
  const Expr usual = cast<double>(select(finite, value, 0.0f));
  const Expr wide = cast<uint64_t>(bits);
  const Expr special =
      reinterpret<double>(((wide & u64(0x80000000)) << u64(32)) | u64(0x7ff0000000000000u) |
                          ((wide & u64(0x7fffff)) << u64(29)));
  return select(finite, usual, special);
}

Expr double_to_float(const Expr &value) {
  // Half a unit beyond the largest float: from here on the result is infinite.
  const Expr limit = Halide::Internal::make_const(Halide::Float(64), 0x1.ffffffp127);
  const Expr finite = exact(absolute(value) < limit);
  const Expr usual =
      cast<float>(select(finite, value, Halide::Internal::make_zero(Halide::Float(64))));
  const Expr sign = cast<uint32_t>(bits_of(value) >> u64(32)) & u32(0x80000000);
  const Expr special = select(is_nan_exact(value), u32(0x7fc00000), u32(0x7f800000));
  return select(finite, usual, reinterpret<float>(special | sign));
}

}  // namespace sylvite
