// The header of a .npy array, and its bytes: what npy.cpp and npz.cpp share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "runtime/io/result.h"
#include "runtime/io/tensor_file.h"

namespace sylvite {

inline constexpr size_t kNpyPreludeBytes =
    12;  // enough to know the header's length; version 1 has ten

struct NpyHeader {
  sylvite_dtype dtype = SYLVITE_F32;
  bool swapped = false;  // big endian
  bool fortran = false;
  std::vector<int64_t> dims;
  uint64_t bytes = 0;  // of the array that follows
};

// The bytes from the file's start to the array, from the first bytes (as many as there are, at most
// kNpyPreludeBytes).
Result<uint64_t> npy_header_bytes(std::span<const std::byte> prelude, const std::string &where);
// `header`: all of them.
Result<NpyHeader> parse_npy_header(std::span<const std::byte> header, const std::string &where);
// Native byte order, C order, bools 0 or 1.
Error normalise_array(const NpyHeader &header, std::vector<std::byte> &bytes,
                      const std::string &where);

// The header to write for a tensor.
std::string format_npy_header(const ArrayView &tensor);
// The array as it is written: the tensor's own bytes, or `converted` for a type that NumPy lacks.
std::span<const std::byte> npy_array(const ArrayView &tensor, std::vector<std::byte> &converted);

}  // namespace sylvite
