// The classifier behind sylvite/classifier.h: a context, the images that wait, and the tensors of a
// run.
//
// Images of one size go through the model together. A model whose batch was frozen by the exporter
// is run as often as needed; what is left over of its batch is filled with zeroes and ignored.
#include "runtime/include/sylvite/classifier.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <new>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/abi.h"
#include "runtime/dim_text.h"
#include "runtime/dtype.h"
#include "runtime/half.h"
#include "runtime/images/decode.h"
#include "runtime/images/preprocess.h"
#include "runtime/io/result.h"
#include "runtime/model.h"

using sylvite::bad_input;
using sylvite::Error;
using sylvite::PixelTensor;
using sylvite::Result;

struct sylvite_classifier {
  const sylvite_program *program = nullptr;
  const sylvite_classify_task *task = nullptr;
  sylvite_context *context = nullptr;
  int64_t fixed_batch = 0;        // 0: any
  int64_t height = 0, width = 0;  // of the model's input; 0: any
  std::vector<PixelTensor> pending;
  std::vector<float> pixels;     // of one run
  std::vector<uint16_t> halves;  // the same for a float16 model
  std::vector<sylvite_tensor> outputs;
  std::string error;

  sylvite_classifier() = default;
  sylvite_classifier(const sylvite_classifier &) = delete;
  sylvite_classifier &operator=(const sylvite_classifier &) = delete;
  ~sylvite_classifier() { sylvite_context_destroy(context); }

  sylvite_result fail(Error reason) {
    error = std::move(reason.message);
    return reason.code;
  }
};

namespace sylvite {
namespace {

bool is_float(int32_t dtype) {
  return dtype == SYL_F32 || dtype == SYL_F16;
}

// Whether the model has the form that its task says. The compiler checks the same with better
// messages.
Error check_model(sylvite_classifier &classifier) {
  const sylvite_program &program = *classifier.program;
  if (program.classify == nullptr) {
    return bad_input("the model was not compiled with --task=classify");
  }
  const sylvite_classify_task &task = *program.classify;
  classifier.task = &task;
  if (task.label_count < 1 || (task.channels != 1 && task.channels != 3)) {
    return {SYLVITE_INTERNAL, "the model's classify task is damaged"};
  }
  if (task.input < 0 || task.input >= program.input_count || task.output < 0 ||
      task.output >= program.output_count || program.input_count != 1) {
    return bad_input("a classifier must have one input, the pixels; the model has ",
                     program.input_count);
  }
  const sylvite_tensor_info &input = program.inputs[task.input];
  const sylvite_tensor_info &output = program.outputs[task.output];
  if (input.rank != 4 || !is_float(input.dtype)) {
    return bad_input("input '", input.name,
                     "': expected float [batch, channels, height, width], found ",
                     dtype_name(static_cast<sylvite_dtype>(input.dtype)), ' ', shape_text(input));
  }
  if (fixed_size(input.dims[1]) != 0 && fixed_size(input.dims[1]) != task.channels) {
    return bad_input("input '", input.name, "': has ", input.dims[1],
                     " channels, the preprocessor makes ", task.channels);
  }
  if (output.rank != 2 || !is_float(output.dtype) ||
      (fixed_size(output.dims[1]) != 0 && fixed_size(output.dims[1]) != task.label_count)) {
    return bad_input("output '", output.name, "': expected float [batch, ", task.label_count,
                     "], found ", dtype_name(static_cast<sylvite_dtype>(output.dtype)), ' ',
                     shape_text(output));
  }
  classifier.fixed_batch = fixed_size(input.dims[0]);
  classifier.height = fixed_size(input.dims[2]);
  classifier.width = fixed_size(input.dims[3]);
  return {};
}

Result<Image> read_pixels(const sylvite_image &image, const std::string &where) {
  if (image.width == 0) {
    return decode_image({static_cast<const std::byte *>(image.data), image.size}, where);
  }
  const int64_t pixels = int64_t{image.width} * image.height;
  if (image.width < 0 || image.height < 1 || (image.channels != 1 && image.channels != 3) ||
      pixels > kMaxImagePixels || image.size != static_cast<uint64_t>(pixels) * image.channels) {
    return bad_input(where, ": ", image.size, " bytes are not ", image.width, " x ", image.height,
                     " pixels of ", image.channels, " channels");
  }
  Image result{image.width, image.height, image.channels, {}};
  if (Error error = resize_vector(result.pixels, image.size, where); !error.ok()) {
    return error;
  }
  std::memcpy(result.pixels.data(), image.data, image.size);
  return result;
}

// One row of the output.
double logit_at(const sylvite_tensor &logits, int64_t index) {
  if (logits.dtype == SYLVITE_F16) {
    return double{float_of_half(static_cast<const uint16_t *>(logits.data)[index])};
  }
  return double{static_cast<const float *>(logits.data)[index]};
}

void pick_best(const sylvite_tensor &logits, int64_t row, const sylvite_classify_task &task,
               int32_t top_k, sylvite_label *labels) {
  std::vector<double> scores(static_cast<size_t>(task.label_count));
  for (int64_t i = 0; i < task.label_count; ++i) {
    scores[static_cast<size_t>(i)] = logit_at(logits, row * task.label_count + i);
  }
  const bool any_nan =
      std::any_of(scores.begin(), scores.end(), [](double score) { return std::isnan(score); });
  const double largest = *std::max_element(scores.begin(), scores.end());
  if (any_nan || std::isinf(largest)) {
    std::fill_n(labels, top_k, sylvite_label{"", -1, 0.0f});
    return;
  }
  double sum = 0.0;
  for (double &score : scores) {
    score = std::exp(score - largest);
    sum += score;
  }
  std::vector<int32_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  // By logit, not by score: small scores round to equal ones.
  const auto better = [&](int32_t a, int32_t b) {
    const double logit_a = logit_at(logits, row * task.label_count + a);
    const double logit_b = logit_at(logits, row * task.label_count + b);
    return logit_a != logit_b ? logit_a > logit_b : a < b;
  };
  std::partial_sort(order.begin(), order.begin() + top_k, order.end(), better);
  for (int32_t k = 0; k < top_k; ++k) {
    const int32_t index = order[static_cast<size_t>(k)];
    labels[k] = {task.labels[index], index,
                 static_cast<float>(scores[static_cast<size_t>(index)] / sum)};
  }
}

// Images of one size, at most fixed_batch.
Error run_batch(sylvite_classifier &classifier, std::span<const PixelTensor> images, int32_t top_k,
                sylvite_label *labels) {
  const sylvite_program &program = *classifier.program;
  const sylvite_classify_task &task = *classifier.task;
  const PixelTensor &first = images.front();
  const auto count = static_cast<int64_t>(images.size());
  const int64_t batch = classifier.fixed_batch > 0 ? classifier.fixed_batch : count;
  const size_t plane = first.values.size();
  classifier.pixels.clear();
  if (Error error = resize_vector(classifier.pixels, static_cast<uint64_t>(batch) * plane, "run");
      !error.ok()) {
    return error;
  }
  for (size_t i = 0; i < images.size(); ++i) {
    std::copy(images[i].values.begin(), images[i].values.end(),
              classifier.pixels.begin() + static_cast<ptrdiff_t>(i * plane));
  }
  sylvite_tensor input{
      classifier.pixels.data(), SYLVITE_F32, 4, {batch, first.channels, first.height, first.width}};
  if (program.inputs[task.input].dtype == SYL_F16) {
    if (Error error = resize_vector(classifier.halves, classifier.pixels.size(), "run");
        !error.ok()) {
      return error;
    }
    std::transform(classifier.pixels.begin(), classifier.pixels.end(), classifier.halves.begin(),
                   half_of_float);
    input.data = classifier.halves.data();
    input.dtype = SYLVITE_F16;
  }
  const sylvite_result result =
      sylvite_run(classifier.context, &input, 1, classifier.outputs.data(),
                  static_cast<int32_t>(classifier.outputs.size()));
  if (result != SYLVITE_OK) {
    return {result, sylvite_context_error(classifier.context)};
  }
  const sylvite_tensor &logits = classifier.outputs[static_cast<size_t>(task.output)];
  if (logits.rank != 2 || logits.dims[0] != batch || logits.dims[1] != task.label_count) {
    return bad_input("output '", program.outputs[task.output].name, "': expected [", batch, ", ",
                     task.label_count, "], found [", logits.dims[0], ", ", logits.dims[1], "]");
  }
  for (int64_t i = 0; i < count; ++i) {
    pick_best(logits, i, task, top_k, labels + i * top_k);
  }
  return {};
}

Error run_pending(sylvite_classifier &classifier, int32_t top_k, sylvite_label *labels) {
  std::span<const PixelTensor> rest = classifier.pending;
  while (!rest.empty()) {
    const size_t most =
        classifier.fixed_batch > 0 ? static_cast<size_t>(classifier.fixed_batch) : rest.size();
    size_t count = 1;
    while (count < std::min(most, rest.size()) && rest[count].height == rest[0].height &&
           rest[count].width == rest[0].width) {
      ++count;
    }
    if (Error error = run_batch(classifier, rest.first(count), top_k, labels); !error.ok()) {
      return error;
    }
    labels += count * static_cast<size_t>(top_k);
    rest = rest.subspan(count);
  }
  return {};
}

}  // namespace
}  // namespace sylvite

extern "C" {

sylvite_result sylvite_classifier_create(const sylvite_model *model,
                                         const sylvite_context_options *options,
                                         sylvite_classifier **classifier, char *message,
                                         size_t size) {
  *classifier = nullptr;
  Error error;
  auto *const made = new (std::nothrow) sylvite_classifier;
  if (made == nullptr) {
    error = {SYLVITE_OUT_OF_MEMORY, "out of memory"};
  } else {
    made->program = model->program;
    error = sylvite::check_model(*made);
  }
  if (!error.ok()) {
    if (message != nullptr && size > 0) {
      std::snprintf(message, size, "%s", error.message.c_str());
    }
    delete made;
    return error.code;
  }
  const sylvite_result result =
      sylvite_context_create(model, options, &made->context, message, size);
  if (result != SYLVITE_OK) {
    delete made;
    return result;
  }
  made->outputs.resize(static_cast<size_t>(made->program->output_count));
  *classifier = made;
  return SYLVITE_OK;
}

void sylvite_classifier_destroy(sylvite_classifier *classifier) {
  delete classifier;
}

const char *sylvite_classifier_error(const sylvite_classifier *classifier) {
  return classifier->error.c_str();
}

int32_t sylvite_classifier_label_count(const sylvite_classifier *classifier) {
  return classifier->task->label_count;
}

sylvite_result sylvite_classifier_add(sylvite_classifier *classifier, const sylvite_image *image) {
  const std::string where = image->name != nullptr ? image->name : "image";
  Result<sylvite::Image> pixels = sylvite::read_pixels(*image, where);
  if (!pixels.ok()) {
    return classifier->fail(pixels.error());
  }
  Result<PixelTensor> tensor =
      sylvite::preprocess_image(std::move(pixels.value()), *classifier->task, where);
  if (!tensor.ok()) {
    return classifier->fail(tensor.error());
  }
  const int64_t height = tensor.value().height, width = tensor.value().width;
  if ((classifier->height != 0 && classifier->height != height) ||
      (classifier->width != 0 && classifier->width != width)) {
    return classifier->fail(bad_input(where, ": has ", width, " x ", height,
                                      " pixels after preprocessing, the model wants ",
                                      classifier->width, " x ", classifier->height));
  }
  classifier->pending.push_back(std::move(tensor.value()));
  return SYLVITE_OK;
}

int32_t sylvite_classifier_pending(const sylvite_classifier *classifier) {
  return static_cast<int32_t>(classifier->pending.size());
}

sylvite_result sylvite_classifier_run(sylvite_classifier *classifier, int32_t top_k,
                                      sylvite_label *labels) {
  Error error =
      top_k >= 1 && top_k <= classifier->task->label_count
          ? sylvite::run_pending(*classifier, top_k, labels)
          : bad_input("top_k must lie in 1 to ", classifier->task->label_count, ", not ", top_k);
  classifier->pending.clear();
  return error.ok() ? SYLVITE_OK : classifier->fail(std::move(error));
}

}  // extern "C"
