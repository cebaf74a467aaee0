// Tensors of a model file are read lazily, when a node needs them, and borrow the mapping: the
// weights of a model pass through the compiler without a copy. Nothing that the file says of a
// tensor is believed before it agrees with the bytes that are there.
#include "compiler/import/tensors.h"

#include <charconv>
#include <cstring>
#include <optional>

#include "compiler/import/importer.h"
#include "compiler/ir/error.h"

namespace sylvite {
namespace {

using onnx::TensorProto;

struct ElementType {
  int onnx;
  DType dtype;
};
constexpr ElementType kElementTypes[] = {
    {TensorProto::FLOAT, DType::F32},   {TensorProto::DOUBLE, DType::F64},
    {TensorProto::FLOAT16, DType::F16}, {TensorProto::BFLOAT16, DType::BF16},
    {TensorProto::INT8, DType::I8},     {TensorProto::UINT8, DType::U8},
    {TensorProto::INT16, DType::I16},   {TensorProto::UINT16, DType::U16},
    {TensorProto::INT32, DType::I32},   {TensorProto::UINT32, DType::U32},
    {TensorProto::INT64, DType::I64},   {TensorProto::UINT64, DType::U64},
    {TensorProto::BOOL, DType::Bool},
};

std::string name_of_element_type(int64_t type) {
  const int number = static_cast<int>(type);
  return number == type && TensorProto::DataType_IsValid(number)
             ? TensorProto::DataType_Name(static_cast<TensorProto::DataType>(number))
             : "number " + std::to_string(type);
}

template <typename... Parts>
[[noreturn]] void fail(const TensorProto &proto, const Parts &...parts) {
  throw_model_error("tensor '", printable(proto.name()), "': ", parts...);
}

std::vector<int64_t> checked_shape(const TensorProto &proto, int64_t element_size) {
  int64_t bytes = element_size;
  std::vector<int64_t> shape(proto.dims().begin(), proto.dims().end());
  bool empty = false;
  for (const int64_t size : shape) {
    if (size < 0) {
      fail(proto, "has the negative size ", size);
    }
    empty = empty || size == 0;
  }
  for (const int64_t size : shape) {
    if (!empty && __builtin_mul_overflow(bytes, size, &bytes)) {
      fail(proto, "claims more than 2^63 bytes");
    }
  }
  return shape;
}

int64_t count_of(const std::vector<int64_t> &shape) {
  for (const int64_t size : shape) {
    if (size == 0) {
      return 0;
    }
  }
  int64_t count = 1;
  for (const int64_t size : shape) {
    count *= size;
  }
  return count;
}

uint64_t external_number(const TensorProto &proto, const std::string &key,
                         const std::string &text) {
  uint64_t value = 0;
  const char *const end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, value);
  if (result.ec != std::errc() || result.ptr != end) {
    fail(proto, "external data has the ", key, " '", printable(text),
         "', which is no number of bytes");
  }
  return value;
}

Tensor read_external(const TensorProto &proto, DType dtype, std::vector<int64_t> shape,
                     const TensorSource &source) {
  std::string location;
  uint64_t offset = 0;
  std::optional<uint64_t> length;
  for (const auto &entry : proto.external_data()) {
    if (entry.key() == "location") {
      location = entry.value();
    } else if (entry.key() == "offset") {
      offset = external_number(proto, "offset", entry.value());
    } else if (entry.key() == "length") {
      length = external_number(proto, "length", entry.value());
    }
  }
  if (source.external == nullptr) {
    fail(proto, "external data is not allowed here");
  }
  std::shared_ptr<const MappedFile> file;
  try {
    file = source.external->open(location);
  } catch (const ModelError &error) {
    fail(proto, error.what());
  }
  const uint64_t wanted = static_cast<uint64_t>(count_of(shape) * size_of(dtype));
  if (length && *length != wanted) {
    fail(proto, "needs ", wanted,
         " bytes for its shape and element type, but its external data has ", *length);
  }
  const uint64_t size = file->bytes().size();
  if (offset > size || wanted > size - offset) {
    fail(proto, "needs ", wanted, " bytes at offset ", offset, " of '", printable(location),
         "', which has ", size);
  }
  const auto bytes =
      file->bytes().subspan(static_cast<size_t>(offset), static_cast<size_t>(wanted));
  return Tensor(dtype, std::move(shape), bytes, file);
}

Tensor read_raw(const TensorProto &proto, DType dtype, std::vector<int64_t> shape,
                const TensorSource &source) {
  const std::string &raw = proto.raw_data();
  std::span<const std::byte> bytes{reinterpret_cast<const std::byte *>(raw.data()), raw.size()};
  if (source.data != nullptr) {
    uint64_t index = 0;
    SYLVITE_CHECK(raw.size() == 8);
    std::memcpy(&index, raw.data(), 8);
    SYLVITE_CHECK(index < source.data->size());
    bytes = (*source.data)[static_cast<size_t>(index)];
  }
  const size_t wanted = static_cast<size_t>(count_of(shape) * size_of(dtype));
  if (bytes.size() != wanted) {
    fail(proto, "needs ", wanted, " bytes for its shape and element type, but holds ",
         bytes.size());
  }
  if (source.data != nullptr) {
    return Tensor(dtype, std::move(shape), bytes, source.owner);
  }
  Tensor tensor(dtype, std::move(shape));
  if (wanted != 0) {
    std::memcpy(tensor.mutable_bytes(), bytes.data(), wanted);
  }
  return tensor;
}

// int32_data holds half precision as bit patterns.
void set_from_int32(Tensor &tensor, int64_t i, int32_t value) {
  if (tensor.dtype() == DType::F16 || tensor.dtype() == DType::BF16) {
    const auto bits = static_cast<uint16_t>(value);
    std::memcpy(tensor.mutable_bytes() + 2 * i, &bits, 2);
  } else {
    tensor.set_int(i, value);
  }
}

template <typename Values, typename Set>
Tensor read_list(const TensorProto &proto, DType dtype, std::vector<int64_t> shape,
                 const Values &values, Set set) {
  if (values.size() != count_of(shape)) {
    fail(proto, "needs ", count_of(shape), " elements for its shape, but holds ", values.size());
  }
  Tensor tensor(dtype, std::move(shape));
  for (int i = 0; i < values.size(); ++i) {
    set(tensor, i, values[i]);
  }
  return tensor;
}

constexpr auto kSetReal = [](Tensor &tensor, int64_t i, double value) { tensor.set(i, value); };
constexpr auto kSetInteger = [](Tensor &tensor, int64_t i, auto value) {
  tensor.set_int(i, static_cast<int64_t>(value));
};

}  // namespace

DType dtype_of_onnx(int64_t element_type) {
  for (const ElementType &type : kElementTypes) {
    if (type.onnx == element_type) {
      return type.dtype;
    }
  }
  throw_model_error("element type ", name_of_element_type(element_type), " is not supported");
}

int onnx_of_dtype(DType dtype) {
  for (const ElementType &type : kElementTypes) {
    if (type.dtype == dtype) {
      return type.onnx;
    }
  }
  SYLVITE_CHECK(false, "element type without an ONNX number");
  return 0;
}

Tensor read_tensor(const TensorProto &proto, const TensorSource &source) {
  DType dtype = DType::F32;
  try {
    dtype = dtype_of_onnx(proto.data_type());
  } catch (const ModelError &error) {
    fail(proto, error.what());
  }
  std::vector<int64_t> shape = checked_shape(proto, size_of(dtype));
  if (proto.has_segment()) {
    fail(proto, "is stored in segments, which is not supported");
  }
  if (proto.data_location() == TensorProto::EXTERNAL) {
    return read_external(proto, dtype, std::move(shape), source);
  }
  const int lists = (proto.float_data_size() > 0) + (proto.int32_data_size() > 0) +
                    (proto.int64_data_size() > 0) + (proto.double_data_size() > 0) +
                    (proto.uint64_data_size() > 0);
  if (lists + (proto.has_raw_data() ? 1 : 0) > 1) {
    fail(proto, "stores its data twice");
  }
  if (proto.has_raw_data()) {
    return read_raw(proto, dtype, std::move(shape), source);
  }
  switch (dtype) {
    case DType::F32:
      return read_list(proto, dtype, std::move(shape), proto.float_data(), kSetReal);
    case DType::F64:
      return read_list(proto, dtype, std::move(shape), proto.double_data(), kSetReal);
    case DType::I64:
      return read_list(proto, dtype, std::move(shape), proto.int64_data(), kSetInteger);
    case DType::U32:
    case DType::U64:
      return read_list(proto, dtype, std::move(shape), proto.uint64_data(), kSetInteger);
    default:
      return read_list(proto, dtype, std::move(shape), proto.int32_data(), set_from_int32);
  }
}

}  // namespace sylvite
