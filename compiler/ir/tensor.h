// Element types and constant tensors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sylvite {

enum class DType : uint8_t { F32, F64, F16, BF16, I8, U8, I16, U16, I32, U32, I64, U64, Bool };

// "f32", "i64", "bool", ...
const char *name_of(DType dtype);
std::optional<DType> parse_dtype(std::string_view name);
int64_t size_of(DType dtype);  // bytes an element
bool is_float(DType dtype);
bool is_integer(DType dtype);  // Bool is not an integer
bool is_signed(DType dtype);

// A dense row-major tensor whose bytes may be borrowed from a mapped model file. Immutable once
// shared.
class Tensor {
 public:
  Tensor() = default;
  // Owns zeroed bytes.
  Tensor(DType dtype, std::vector<int64_t> shape);
  // Borrows `bytes`, kept alive by `owner`. Bytes need no alignment; read them through at().
  Tensor(DType dtype, std::vector<int64_t> shape, std::span<const std::byte> bytes,
         std::shared_ptr<const void> owner);

  template <typename T>
  static Tensor of(DType dtype, std::vector<int64_t> shape, const std::vector<T> &values);

  DType dtype() const { return dtype_; }
  const std::vector<int64_t> &shape() const { return shape_; }
  int64_t rank() const { return static_cast<int64_t>(shape_.size()); }
  int64_t count() const { return count_; }
  std::span<const std::byte> bytes() const { return bytes_; }
  // Only for tensors that own their bytes.
  std::byte *mutable_bytes();

  // Element i (row-major) as a double; exact for all but 64-bit integers beyond 2^53, for which
  // at_int is.
  double at(int64_t i) const;
  int64_t at_int(int64_t i) const;
  // Rounds to the element type (floats: to nearest even; integers: truncated and wrapped).
  void set(int64_t i, double value);
  void set_int(int64_t i, int64_t value);

  Tensor reshaped(std::vector<int64_t> shape) const;  // shares the bytes
  Tensor converted(DType dtype) const;                // ONNX Cast

 private:
  DType dtype_ = DType::F32;
  std::vector<int64_t> shape_;
  int64_t count_ = 0;
  std::span<const std::byte> bytes_;
  std::shared_ptr<const void> owner_;
  std::byte *owned_ = nullptr;
};

template <typename T>
Tensor Tensor::of(DType dtype, std::vector<int64_t> shape, const std::vector<T> &values) {
  Tensor tensor(dtype, std::move(shape));
  for (int64_t i = 0; i < static_cast<int64_t>(values.size()); ++i) {
    if (is_float(dtype)) {
      tensor.set(i, static_cast<double>(values[static_cast<size_t>(i)]));
    } else {
      tensor.set_int(i, static_cast<int64_t>(values[static_cast<size_t>(i)]));
    }
  }
  return tensor;
}

float half_to_float(uint16_t bits);
uint16_t float_to_half(float value);
float bfloat16_to_float(uint16_t bits);
uint16_t float_to_bfloat16(float value);

}  // namespace sylvite
