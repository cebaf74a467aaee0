// A compiled model in this process: what verify, bench and the tests run.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "compiler/driver/compile_model.h"
#include "compiler/ir/tensor.h"
#include "compiler/link/link.h"
#include "runtime/include/sylvite/sylvite.h"

namespace sylvite {

// The machine code, loaded; immutable, for any number of contexts in any number of threads.
class LoadedModel {
 public:
  explicit LoadedModel(const CompiledModel &compiled);
  ~LoadedModel();
  LoadedModel(const LoadedModel &) = delete;
  LoadedModel &operator=(const LoadedModel &) = delete;

  const sylvite_model *handle() const { return model_; }
  std::string isa() const { return sylvite_model_isa(model_); }

 private:
  LoadedProgram program_;
  sylvite_model *model_ = nullptr;
};

// One run at a time.
class ModelContext {
 public:
  // threads: 0 for the runtime's default.
  ModelContext(const LoadedModel &model, int threads, bool profile = false);
  ~ModelContext();
  ModelContext(const ModelContext &) = delete;
  ModelContext &operator=(const ModelContext &) = delete;

  // Inputs in the model's order; a copy of the outputs. Throws ModelError with the runtime's line.
  std::vector<Tensor> run(const std::vector<Tensor> &inputs);
  // The same without any copy: the outputs belong to the context.
  const std::vector<sylvite_tensor> &run(const std::vector<sylvite_tensor> &inputs);
  sylvite_context *handle() const { return context_; }

 private:
  const sylvite_model *model_;
  sylvite_context *context_ = nullptr;
  std::vector<sylvite_tensor> outputs_;
};

// Views of tensors for sylvite_run; they borrow the bytes.
std::vector<sylvite_tensor> tensor_views(const std::vector<Tensor> &tensors);
Tensor to_tensor(const sylvite_tensor &view);

}  // namespace sylvite
