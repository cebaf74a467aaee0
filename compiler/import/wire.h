// A first walk over a model file in Protobuf's wire format, before Protobuf sees it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace sylvite {

// What is left for Protobuf to parse.
struct ModelSkeleton {
  // The model without tensor data, documentation and training graphs. The raw_data of every tensor
  // is the eight-byte little-endian index of its range in `data`.
  std::string bytes;
  std::vector<std::span<const std::byte>> data;
};

// Throws ModelError (without the file's name) for what is no ONNX model, is truncated, nests too
// deep or would make Protobuf allocate without bounds.
ModelSkeleton read_skeleton(std::span<const std::byte> file);

}  // namespace sylvite
