// Reads with the runtime's own reader, so that verify takes exactly the files that programs take.
#include "compiler/driver/tensor_npz.h"

#include <algorithm>
#include <cstring>

#include "compiler/ir/error.h"
#include "runtime/io/tensor_file.h"

namespace sylvite {
namespace {

std::string names_of(const std::vector<PlanTensor> &tensors) {
  std::string names;
  for (const PlanTensor &tensor : tensors) {
    names += (names.empty() ? "" : ", ") + tensor.name;
  }
  return names;
}

}  // namespace

std::vector<NamedTensor> read_tensors(const std::filesystem::path &file) {
  Result<std::vector<HostTensor>> arrays = read_npz(file.string());
  if (!arrays.ok()) {
    throw ModelError(arrays.error().message);
  }
  std::vector<NamedTensor> tensors;
  for (const HostTensor &array : arrays.value()) {
    Tensor tensor(static_cast<DType>(array.dtype), array.dims);
    if (!array.bytes.empty()) {
      std::memcpy(tensor.mutable_bytes(), array.bytes.data(), array.bytes.size());
    }
    tensors.push_back({array.name, std::move(tensor)});
  }
  return tensors;
}

std::vector<Tensor> match_tensors(const std::vector<PlanTensor> &wanted,
                                  const std::vector<NamedTensor> &found, const std::string &file) {
  for (const NamedTensor &array : found) {
    if (std::none_of(wanted.begin(), wanted.end(),
                     [&](const PlanTensor &tensor) { return tensor.name == array.name; })) {
      throw_model_error(file, ": the model knows no '", array.name, "'; it has ", names_of(wanted));
    }
  }
  std::vector<Tensor> tensors;
  for (const PlanTensor &tensor : wanted) {
    std::vector<NamedTensor>::const_iterator array =
        std::find_if(found.begin(), found.end(),
                     [&](const NamedTensor &candidate) { return candidate.name == tensor.name; });
    if (array == found.end()) {
      throw_model_error(file, ": no array '", tensor.name, "' (", to_string(tensor.type), ")");
    }
    if (array->tensor.dtype() != tensor.type.dtype) {
      throw_model_error(file, ": '", tensor.name, "' is ", name_of(array->tensor.dtype()),
                        ", the model has ", name_of(tensor.type.dtype));
    }
    if (array->tensor.rank() != tensor.type.rank()) {
      throw_model_error(file, ": '", tensor.name, "' has ", array->tensor.rank(),
                        " dimensions, the model has ", tensor.type.rank(), " (",
                        to_string(tensor.type), ")");
    }
    tensors.push_back(array->tensor);
  }
  return tensors;
}

}  // namespace sylvite
