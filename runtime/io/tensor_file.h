// NumPy's files: .npy (one array) and .npz (a zip archive of .npy entries), as numpy.save, savez
// and savez_compressed write them.
//
// Read: .npy versions 1 to 3, both byte orders, C and Fortran order; zip entries stored or
// deflated, zip64, data descriptors; checksums are verified. Written: version 1 (whose headers hold
// any 8 dimensions), little endian, C order, stored; zip64 where sizes need it; the same tensors
// give the same bytes. Files may be hostile: every length is checked before memory is taken, at
// most kMaxTensorFileBytes in all.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/dtype.h"
#include "runtime/include/sylvite/sylvite.h"
#include "runtime/io/result.h"

namespace sylvite {

inline constexpr int64_t kMaxTensorFileBytes = int64_t{1} << 30;

// A dense row-major tensor in memory; at most 8 dimensions. `bytes` has exactly the size that dtype
// and dims want, bools are 0 or 1.
struct HostTensor {
  std::string name;
  sylvite_dtype dtype = SYLVITE_F32;
  std::vector<int64_t> dims;
  std::vector<std::byte> bytes;
};

// The same, borrowed: what the writers take.
struct ArrayView {
  ArrayView() = default;
  ArrayView(const HostTensor &tensor)  // NOLINT: a tensor is a view of itself
      : name(tensor.name), dtype(tensor.dtype), dims(tensor.dims), bytes(tensor.bytes) {}
  ArrayView(std::string_view name, const sylvite_tensor &tensor);

  std::string_view name;
  sylvite_dtype dtype = SYLVITE_F32;
  std::span<const int64_t> dims;
  std::span<const std::byte> bytes;
};

// 0 where any dimension is, however large the others; INT64_MAX where the product exceeds it.
int64_t element_count(std::span<const int64_t> dims);
// A tensor for sylvite_run over the same bytes.
sylvite_tensor tensor_of(HostTensor &tensor);

// `file` is a path; the tensor's name is empty.
Result<HostTensor> read_npy(const std::string &file);
// In the archive's order, named as the arrays are (without ".npy").
Result<std::vector<HostTensor>> read_npz(const std::string &file);

// The same from memory; `file` is for messages.
Result<HostTensor> parse_npy(std::span<const std::byte> bytes, const std::string &file);
Result<std::vector<HostTensor>> parse_npz(std::span<const std::byte> bytes,
                                          const std::string &file);

// Complete or not at all: written beside `file`, then renamed. bfloat16, which NumPy lacks, is
// written as float32.
Error write_npy(const std::string &file, const ArrayView &tensor);
Error write_npz(const std::string &file, std::span<const ArrayView> tensors);

}  // namespace sylvite
