#include "runtime/tasks/small_integers.h"

#include <cstring>
#include <span>

#include "runtime/dtype.h"
#include "runtime/half.h"

namespace sylvite {
namespace {

template <typename T>
void convert(std::span<const int32_t> values, std::byte *to) {
  for (size_t i = 0; i < values.size(); ++i) {
    const T value = static_cast<T>(values[i]);
    std::memcpy(to + i * sizeof value, &value, sizeof value);
  }
}

template <uint16_t (*Round)(float)>
void convert_halves(std::span<const int32_t> values, std::byte *to) {
  for (size_t i = 0; i < values.size(); ++i) {
    const uint16_t value = Round(static_cast<float>(values[i]));
    std::memcpy(to + i * sizeof value, &value, sizeof value);
  }
}

void convert_to(sylvite_dtype dtype, std::span<const int32_t> values, std::byte *to) {
  switch (dtype) {
    case SYLVITE_F32:
      return convert<float>(values, to);
    case SYLVITE_F64:
      return convert<double>(values, to);
    case SYLVITE_F16:
      return convert_halves<half_of_float>(values, to);
    case SYLVITE_BF16:
      return convert_halves<bfloat16_of_float>(values, to);
    case SYLVITE_I64:
    case SYLVITE_U64:
      return convert<int64_t>(values, to);
    case SYLVITE_I32:
    case SYLVITE_U32:
      return convert<int32_t>(values, to);
    case SYLVITE_I16:
    case SYLVITE_U16:
      return convert<int16_t>(values, to);
    default:
      return convert<int8_t>(values, to);
  }
}

}  // namespace

void SmallIntegers::reserve(size_t count) {
  values.reserve(count);
  bytes.reserve(count * sizeof(int64_t));
}

void SmallIntegers::clear(size_t count) {
  if (count > values.capacity()) {
    values.reserve(2 * count);
  }
  values.assign(count, 0);
}

void SmallIntegers::pack(sylvite_tensor *tensor) {
  bytes.resize(values.size() * static_cast<size_t>(dtype_size(tensor->dtype)));
  convert_to(tensor->dtype, values, bytes.data());
  tensor->data = bytes.data();
}

}  // namespace sylvite
