// ONNX's numbers for element types (TensorProto.DataType).
#pragma once

#include "compiler/ir/tensor.h"

namespace sylvite {

// Throws ModelError (without place) for element types that Sylvite does not have.
DType dtype_of_onnx(int64_t element_type);
int onnx_of_dtype(DType dtype);

}  // namespace sylvite
