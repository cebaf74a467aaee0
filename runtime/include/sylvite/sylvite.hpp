// Sylvite's C++ interface: run a compiled model. A thin, header-only form of sylvite.h: C++20, no
// exceptions, nothing but the standard library. The header that `sylvite compile --emit=lib` writes
// for a model says the same in the model's own names and types.
//
//   sylvite::Model model;
//   sylvite::Context context;
//   sylvite::Status status = model.open(&vit_program);
//   if (status.ok()) {
//     status = context.create(model, {.threads = 2});
//   }
//   std::vector<float> pixels(4 * 3 * 224 * 224);
//   const sylvite_tensor inputs[] = {sylvite::tensor(std::span(pixels), {4, 3, 224, 224})};
//   if (status.ok()) {
//     status = context.run(inputs);
//   }
//   if (status.ok()) {
//     std::span<const float> logits = context.output<float>(0);  // valid until the next run
//   }
//
// A model may be shared by threads, a context belongs to one run at a time.
#ifndef SYLVITE_SYLVITE_HPP_
#define SYLVITE_SYLVITE_HPP_

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "sylvite.h"

namespace sylvite {
inline namespace v1 {

// How a call went: fine, or a code and one line for the user.
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(sylvite_result code, std::string message) : code_(code), message_(std::move(message)) {}
  bool ok() const { return code_ == SYLVITE_OK; }
  sylvite_result code() const { return code_; }
  const std::string &message() const { return message_; }

 private:
  sylvite_result code_ = SYLVITE_OK;
  std::string message_;
};

// The element type of T; 16-bit floats have no C++ type here, give their dtype with their bits.
template <typename T>
constexpr sylvite_dtype dtype_of() {
  using U = std::remove_cv_t<T>;
  if constexpr (std::is_same_v<U, float>) {
    return SYLVITE_F32;
  } else if constexpr (std::is_same_v<U, double>) {
    return SYLVITE_F64;
  } else if constexpr (std::is_same_v<U, bool>) {
    return SYLVITE_BOOL;
  } else {
    static_assert(std::is_integral_v<U>, "no element type for this");
    constexpr bool is_signed = std::is_signed_v<U>;
    switch (sizeof(U)) {
      case 1:
        return is_signed ? SYLVITE_I8 : SYLVITE_U8;
      case 2:
        return is_signed ? SYLVITE_I16 : SYLVITE_U16;
      case 4:
        return is_signed ? SYLVITE_I32 : SYLVITE_U32;
      default:
        return is_signed ? SYLVITE_I64 : SYLVITE_U64;
    }
  }
}

// An input over the caller's memory, which must hold the product of `dims` elements.
inline sylvite_tensor tensor(const void *data, sylvite_dtype dtype, std::span<const int64_t> dims) {
  sylvite_tensor result{};
  result.data = const_cast<void *>(data);
  result.dtype = dtype;
  result.rank = static_cast<int32_t>(dims.size());
  for (size_t i = 0; i < dims.size() && i < 8; ++i) {
    result.dims[i] = dims[i];
  }
  return result;
}

template <typename T>
sylvite_tensor tensor(std::span<T> data, std::initializer_list<int64_t> dims) {
  return tensor(data.data(), dtype_of<T>(), std::span<const int64_t>(dims.begin(), dims.size()));
}

inline int64_t element_count(const sylvite_tensor &tensor) {
  int64_t count = 1;
  for (int32_t i = 0; i < tensor.rank; ++i) {
    if (tensor.dims[i] == 0) {
      return 0;
    }
  }
  for (int32_t i = 0; i < tensor.rank; ++i) {
    count *= tensor.dims[i];
  }
  return count;
}

// A dense row-major tensor in somebody else's memory, the caller's for inputs and a context's for
// outputs, with as many elements as the product of `dims`.
template <typename T, size_t kRank>
struct TensorView {
  std::span<T> data;
  std::array<int64_t, kRank> dims{};
};

// An input of a run. An error where the elements are not as many as the sizes say; `name` is for
// the message.
template <typename T, size_t kRank>
Status as_input(const char *name, const TensorView<const T, kRank> &view, sylvite_dtype dtype,
                sylvite_tensor &input) {
  input = tensor(view.data.data(), dtype, view.dims);
  size_t count = 1;  // stays at SIZE_MAX, which no array has, once it is there
  bool negative = false;
  std::string sizes;
  for (const int64_t dim : view.dims) {
    const size_t size = static_cast<size_t>(dim);
    negative = negative || dim < 0;
    count = size > 0 && count > SIZE_MAX / size ? SIZE_MAX : count * size;
    sizes += (sizes.empty() ? "" : ", ") + std::to_string(dim);
  }
  if (!negative && count == view.data.size()) {
    return Status();
  }
  return Status(SYLVITE_BAD_INPUT, std::string(name) + ": " + std::to_string(view.data.size()) +
                                       " elements do not make a tensor of sizes [" + sizes + "]");
}

// An output of a run whose element type and rank are known.
template <typename T, size_t kRank>
TensorView<const T, kRank> as_view(const sylvite_tensor &output) {
  TensorView<const T, kRank> view;
  view.data = {static_cast<const T *>(output.data), static_cast<size_t>(element_count(output))};
  for (size_t i = 0; i < kRank; ++i) {
    view.dims[i] = output.dims[i];
  }
  return view;
}

// An open model. Copies are the same model, which is closed with the last of them; contexts and
// tasks hold one.
class Model {
 public:
  // weights: null for the ones that the model was linked with.
  Status open(const sylvite_program *program, const void *weights = nullptr) {
    char message[512] = "";
    sylvite_model *model = nullptr;
    const sylvite_result code =
        sylvite_model_open(program, weights, &model, message, sizeof message);
    model_.reset(model, sylvite_model_close);
    return Status(code, message);
  }

  const sylvite_model *get() const { return model_.get(); }
  int32_t input_count() const { return sylvite_model_input_count(get()); }
  int32_t output_count() const { return sylvite_model_output_count(get()); }
  sylvite_tensor_info_view input(int32_t i) const { return sylvite_model_input(get(), i); }
  sylvite_tensor_info_view output(int32_t i) const { return sylvite_model_output(get(), i); }
  // The number of the input or output that is called so, or -1.
  int32_t find_input(const char *name) const { return sylvite_model_find_input(get(), name); }
  int32_t find_output(const char *name) const { return sylvite_model_find_output(get(), name); }
  const char *isa() const { return sylvite_model_isa(get()); }

 private:
  std::shared_ptr<sylvite_model> model_;
};

class Context {
 public:
  struct Options {
    int32_t threads = 0;  // 0: what the process may use
    bool profile = false;
  };

  Status create(const Model &model) { return create(model, Options{}); }
  Status create(const Model &model, const Options &options) {
    char message[512] = "";
    const sylvite_context_options raw = {options.threads, options.profile ? 1 : 0};
    sylvite_context *context = nullptr;
    const sylvite_result code =
        sylvite_context_create(model.get(), &raw, &context, message, sizeof message);
    context_ = {context, Destroy{model}};
    outputs_.resize(code == SYLVITE_OK ? static_cast<size_t>(model.output_count()) : 0);
    return Status(code, message);
  }

  // inputs: one for each input of the model, in its order.
  Status run(std::span<const sylvite_tensor> inputs) {
    const sylvite_result code =
        sylvite_run(get(), inputs.data(), static_cast<int32_t>(inputs.size()), outputs_.data(),
                    static_cast<int32_t>(outputs_.size()));
    return code == SYLVITE_OK ? Status() : Status(code, sylvite_context_error(get()));
  }

  // Of the last run that went well; valid until the next one.
  std::span<const sylvite_tensor> outputs() const { return outputs_; }
  // The elements of output i; empty when T is not its element type.
  template <typename T>
  std::span<const T> output(int32_t i) const {
    const sylvite_tensor &tensor = outputs_[static_cast<size_t>(i)];
    if (tensor.dtype != dtype_of<T>()) {
      return {};
    }
    return {static_cast<const T *>(tensor.data), static_cast<size_t>(element_count(tensor))};
  }

  sylvite_context *get() const { return context_.get(); }
  int32_t threads() const { return sylvite_context_threads(get()); }
  int64_t arena_bytes() const { return sylvite_context_arena_bytes(get()); }
  // With Options::profile: one row a call of the plan.
  int32_t profile_row_count() const { return sylvite_profile_row_count(get()); }
  sylvite_profile_row profile_row(int32_t i) const { return sylvite_profile(get(), i); }
  void reset_profile() { sylvite_profile_reset(get()); }

 private:
  struct Destroy {
    Model model;  // open for as long as the context is there
    void operator()(sylvite_context *context) const { sylvite_context_destroy(context); }
  };
  std::unique_ptr<sylvite_context, Destroy> context_;
  std::vector<sylvite_tensor> outputs_;
};

}  // namespace v1
}  // namespace sylvite

#endif
