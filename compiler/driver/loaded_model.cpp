// Wraps the C interface that users have: what runs here runs in a program in the same way.
#include "compiler/driver/loaded_model.h"

#include <cstring>

#include "compiler/ir/error.h"

namespace sylvite {
namespace {

// SYLVITE_INTERNAL is our bug wherever it comes from.
void throw_result(sylvite_result result, const char *message) {
  if (result == SYLVITE_INTERNAL) {
    throw InternalError(message);
  }
  if (result == SYLVITE_OUT_OF_MEMORY) {
    throw std::bad_alloc();
  }
  throw ModelError(message);
}

}  // namespace

LoadedModel::LoadedModel(const CompiledModel &compiled)
    : program_(compiled.objects, compiled.image) {
  char message[1024] = "";
  const sylvite_result result =
      sylvite_model_open(program_.program(), program_.weights(), &model_, message, sizeof message);
  if (result != SYLVITE_OK) {
    throw_result(result, message);
  }
}

LoadedModel::~LoadedModel() {
  sylvite_model_close(model_);
}

ModelContext::ModelContext(const LoadedModel &model, int threads, bool profile)
    : model_(model.handle()) {
  const sylvite_context_options options = {threads, profile ? 1 : 0};
  char message[1024] = "";
  const sylvite_result result =
      sylvite_context_create(model_, &options, &context_, message, sizeof message);
  if (result != SYLVITE_OK) {
    throw_result(result, message);
  }
  outputs_.resize(static_cast<size_t>(sylvite_model_output_count(model_)));
}

ModelContext::~ModelContext() {
  sylvite_context_destroy(context_);
}

const std::vector<sylvite_tensor> &ModelContext::run(const std::vector<sylvite_tensor> &inputs) {
  const sylvite_result result =
      sylvite_run(context_, inputs.data(), static_cast<int32_t>(inputs.size()), outputs_.data(),
                  static_cast<int32_t>(outputs_.size()));
  if (result != SYLVITE_OK) {
    throw_result(result, sylvite_context_error(context_));
  }
  return outputs_;
}

std::vector<Tensor> ModelContext::run(const std::vector<Tensor> &inputs) {
  std::vector<Tensor> outputs;
  for (const sylvite_tensor &view : run(tensor_views(inputs))) {
    outputs.push_back(to_tensor(view));
  }
  return outputs;
}

std::vector<sylvite_tensor> tensor_views(const std::vector<Tensor> &tensors) {
  std::vector<sylvite_tensor> views;
  for (const Tensor &tensor : tensors) {
    if (tensor.rank() > 8) {
      throw_model_error("a tensor has ", tensor.rank(),
                        " dimensions; a model's inputs have 8 at most");
    }
    sylvite_tensor view{};
    // sylvite_run does not write to inputs.
    view.data = const_cast<std::byte *>(tensor.bytes().data());
    view.dtype = static_cast<sylvite_dtype>(tensor.dtype());
    view.rank = static_cast<int32_t>(tensor.rank());
    for (size_t axis = 0; axis < tensor.shape().size(); ++axis) {
      view.dims[axis] = tensor.shape()[axis];
    }
    views.push_back(view);
  }
  return views;
}

Tensor to_tensor(const sylvite_tensor &view) {
  Tensor tensor(static_cast<DType>(view.dtype),
                std::vector<int64_t>(view.dims, view.dims + view.rank));
  if (tensor.count() > 0) {
    std::memcpy(tensor.mutable_bytes(), view.data, tensor.bytes().size());
  }
  return tensor;
}

}  // namespace sylvite
