#include "compiler/ir/tensor.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <utility>

#include "compiler/ir/error.h"
#include "compiler/ir/storage.h"

namespace sylvite {
namespace {

struct DTypeFacts {
  const char *name;
  int64_t size;
  bool is_float, is_integer, is_signed;
};

// In the order of DType.
constexpr DTypeFacts kFacts[] = {
    {"f32", 4, true, false, true},   {"f64", 8, true, false, true},  {"f16", 2, true, false, true},
    {"bf16", 2, true, false, true},  {"i8", 1, false, true, true},   {"u8", 1, false, true, false},
    {"i16", 2, false, true, true},   {"u16", 2, false, true, false}, {"i32", 4, false, true, true},
    {"u32", 4, false, true, false},  {"i64", 8, false, true, true},  {"u64", 8, false, true, false},
    {"bool", 1, false, false, false}};

const DTypeFacts &facts(DType dtype) {
  return kFacts[static_cast<size_t>(dtype)];
}

// A zero anywhere makes a tensor empty, however large the rest.
int64_t count_elements(const std::vector<int64_t> &shape) {
  int64_t count = std::find(shape.begin(), shape.end(), 0) == shape.end() ? 1 : 0;
  for (int64_t dim : shape) {
    SYLVITE_CHECK(dim >= 0 && !__builtin_mul_overflow(count, dim, &count));
  }
  return count;
}

template <typename T>
T load(const std::byte *bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

template <typename T>
void store(std::byte *bytes, T value) {
  std::memcpy(bytes, &value, sizeof value);
}

// A double as an integer: truncated; what does not fit wraps through 64 bits, NaN is the lowest
// number, as x86's conversion gives it.
int64_t to_integer(double value) {
  if (std::isnan(value) || value < -9223372036854775808.0) {
    return INT64_MIN;
  }
  if (value >= 9223372036854775808.0) {
    return value < 18446744073709551616.0 ? static_cast<int64_t>(static_cast<uint64_t>(value))
                                          : INT64_MIN;
  }
  return static_cast<int64_t>(value);
}

}  // namespace

const char *name_of(DType dtype) {
  return facts(dtype).name;
}
int64_t size_of(DType dtype) {
  return facts(dtype).size;
}
bool is_float(DType dtype) {
  return facts(dtype).is_float;
}
bool is_integer(DType dtype) {
  return facts(dtype).is_integer;
}
bool is_signed(DType dtype) {
  return facts(dtype).is_signed;
}

std::optional<DType> parse_dtype(std::string_view name) {
  for (size_t i = 0; i < std::size(kFacts); ++i) {
    if (name == kFacts[i].name) {
      return static_cast<DType>(i);
    }
  }
  return std::nullopt;
}

Tensor::Tensor(DType dtype, std::vector<int64_t> shape)
    : dtype_(dtype), shape_(std::move(shape)), count_(count_elements(shape_)) {
  const size_t size = static_cast<size_t>(count_ * size_of(dtype));
  std::shared_ptr<std::byte[]> storage = allocate_zeroed(size);
  owned_ = storage.get();
  bytes_ = {owned_, size};
  owner_ = std::move(storage);
}

Tensor::Tensor(DType dtype, std::vector<int64_t> shape, std::span<const std::byte> bytes,
               std::shared_ptr<const void> owner)
    : dtype_(dtype),
      shape_(std::move(shape)),
      count_(count_elements(shape_)),
      bytes_(bytes),
      owner_(std::move(owner)) {
  SYLVITE_CHECK(static_cast<int64_t>(bytes.size()) == count_ * size_of(dtype));
}

std::byte *Tensor::mutable_bytes() {
  SYLVITE_CHECK(owned_ != nullptr);
  return owned_;
}

double Tensor::at(int64_t i) const {
  const std::byte *p = bytes_.data() + i * size_of(dtype_);
  switch (dtype_) {
    case DType::F32:
      return load<float>(p);
    case DType::F64:
      return load<double>(p);
    case DType::F16:
      return half_to_float(load<uint16_t>(p));
    case DType::BF16:
      return bfloat16_to_float(load<uint16_t>(p));
    case DType::U64:
      return static_cast<double>(load<uint64_t>(p));
    default:
      return static_cast<double>(at_int(i));
  }
}

int64_t Tensor::at_int(int64_t i) const {
  const std::byte *p = bytes_.data() + i * size_of(dtype_);
  switch (dtype_) {
    case DType::I8:
      return load<int8_t>(p);
    case DType::U8:
      return load<uint8_t>(p);
    case DType::I16:
      return load<int16_t>(p);
    case DType::U16:
      return load<uint16_t>(p);
    case DType::I32:
      return load<int32_t>(p);
    case DType::U32:
      return load<uint32_t>(p);
    case DType::I64:
    case DType::U64:
      return load<int64_t>(p);
    case DType::Bool:
      return load<uint8_t>(p) != 0;
    default:
      return to_integer(at(i));
  }
}

void Tensor::set(int64_t i, double value) {
  std::byte *p = mutable_bytes() + i * size_of(dtype_);
  switch (dtype_) {
    case DType::F32:
      return store(p, static_cast<float>(value));
    case DType::F64:
      return store(p, value);
    case DType::F16:
      return store(p, float_to_half(static_cast<float>(value)));
    case DType::BF16:
      return store(p, float_to_bfloat16(static_cast<float>(value)));
    case DType::Bool:
      return store(p, static_cast<uint8_t>(value != 0));
    default:
      return set_int(i, to_integer(value));
  }
}

void Tensor::set_int(int64_t i, int64_t value) {
  std::byte *p = mutable_bytes() + i * size_of(dtype_);
  switch (dtype_) {
    case DType::I8:
    case DType::U8:
      return store(p, static_cast<uint8_t>(value));
    case DType::I16:
    case DType::U16:
      return store(p, static_cast<uint16_t>(value));
    case DType::I32:
    case DType::U32:
      return store(p, static_cast<uint32_t>(value));
    case DType::I64:
    case DType::U64:
      return store(p, value);
    case DType::Bool:
      return store(p, static_cast<uint8_t>(value != 0));
    default:
      return set(i, static_cast<double>(value));
  }
}

Tensor Tensor::reshaped(std::vector<int64_t> shape) const {
  Tensor result = *this;
  result.shape_ = std::move(shape);
  SYLVITE_CHECK(count_elements(result.shape_) == count_);
  return result;
}

Tensor Tensor::converted(DType dtype) const {
  Tensor result(dtype, shape_);
  const bool through_integer = !is_float(dtype_) && !is_float(dtype);
  for (int64_t i = 0; i < count_; ++i) {
    if (through_integer) {
      result.set_int(i, at_int(i));
    } else {
      result.set(i, at(i));
    }
  }
  return result;
}

float half_to_float(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000) << 16;
  const uint32_t exponent = (bits >> 10) & 31;
  const uint32_t mantissa = bits & 0x3ff;
  if (exponent == 31) {
    return std::bit_cast<float>(sign | 0x7f800000u | (mantissa << 13));
  }
  if (exponent == 0) {
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return sign != 0 ? -magnitude : magnitude;
  }
  return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
}

uint16_t float_to_half(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint16_t sign = static_cast<uint16_t>((bits >> 16) & 0x8000);
  const uint32_t magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) {  // NaN keeps its upper payload, quiet
    return static_cast<uint16_t>(sign | 0x7e00 | ((magnitude >> 13) & 0x3ff));
  }
  if (magnitude >= 0x477ff000) {  // 65520 and more round to infinity
    return static_cast<uint16_t>(sign | 0x7c00);
  }
  if (magnitude < 0x38800000) {  // subnormal halves: let the float adder round
    const float scaled = std::bit_cast<float>(magnitude) + 0.5f;  // ulp of 0.5 is 2^-24
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(scaled) - 0x3f000000u));
  }
  const uint32_t rounded = magnitude + 0xfff + ((magnitude >> 13) & 1);
  return static_cast<uint16_t>(sign | ((rounded - 0x38000000u) >> 13));
}

float bfloat16_to_float(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

uint16_t float_to_bfloat16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffff) > 0x7f800000) {
    return static_cast<uint16_t>((bits >> 16) | 0x40);
  }
  return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

}  // namespace sylvite
