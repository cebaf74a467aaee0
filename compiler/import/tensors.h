// TensorProto -> Tensor. Internal to the importer: includes ONNX.
#pragma once

#include <onnx/onnx_pb.h>

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "compiler/import/element_types.h"
#include "compiler/import/model_file.h"
#include "compiler/ir/tensor.h"

namespace sylvite {

// Where tensors find the bytes that the skeleton left out.
struct TensorSource {
  // What raw_data indexes (see wire.h); null for tensors that never came from a file, whose
  // raw_data is the data (function bodies of the ONNX library).
  const std::vector<std::span<const std::byte>> *data = nullptr;
  std::shared_ptr<const void> owner;  // keeps `data`'s mapping alive
  ExternalData *external = nullptr;
};

// Checks shape, element type and size against the bytes that are there. Throws ModelError that
// names the tensor, without the file's name.
Tensor read_tensor(const onnx::TensorProto &proto, const TensorSource &source);

}  // namespace sylvite
