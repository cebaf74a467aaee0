// Tensors by name from .npz files, matched with a model's inputs or outputs.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "compiler/codegen/plan.h"
#include "compiler/ir/tensor.h"

namespace sylvite {

struct NamedTensor {
  std::string name;
  Tensor tensor;
};
std::vector<NamedTensor> read_tensors(const std::filesystem::path &file);

// One tensor for each of `wanted`, in that order. Throws ModelError that names the file, the array
// that is missing, unknown or of another type, and the names that there are.
std::vector<Tensor> match_tensors(const std::vector<PlanTensor> &wanted,
                                  const std::vector<NamedTensor> &found, const std::string &file);

}  // namespace sylvite
