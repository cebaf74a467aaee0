// Two contexts over one weight image: encode runs once for a batch of sources, and its outputs stay
// where they are while step reads them; step runs once for each token.
//
// The batch of step is whatever rows the search has left. With the input `rows` they pick their
// source by number, so nothing moves when sentences finish or beams change; without it the rows of
// what comes from encode are copied whenever the rows' sources change. Where the exporter froze the
// batch, the rows that are too many repeat the first one.
#include "runtime/tasks/decoding.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <numeric>
#include <utility>

#include "runtime/context.h"
#include "runtime/dim_text.h"
#include "runtime/dtype.h"
#include "runtime/model.h"

namespace sylvite {
namespace {

alignas(64) std::byte g_never_read[64];  // the data of `past`, whose size alone counts

}  // namespace

Decoder::Decoder(TranslateTask task)
    : task_(std::move(task)), blocks_(task_.caches), linked_(task_) {}
Decoder::~Decoder() = default;

Result<std::unique_ptr<Decoder>> Decoder::create(const sylvite_model &model,
                                                 const sylvite_context_options &options) {
  Result<TranslateTask> task = read_translate_task(*model.program);
  if (!task.ok()) {
    return task.error();
  }
  std::unique_ptr<Decoder> decoder(new (std::nothrow) Decoder(std::move(task.value())));
  if (decoder == nullptr) {
    return Error{SYLVITE_OUT_OF_MEMORY, "out of memory"};
  }
  if (Error error = decoder->open(model, options); !error.ok()) {
    return error;
  }
  return decoder;
}

Error Decoder::open(const sylvite_model &model, const sylvite_context_options &options) {
  char message[512] = "";
  sylvite_model *opened = nullptr;
  sylvite_result result =
      sylvite_model_open(task_.step, model.weights, &opened, message, sizeof message);
  step_model_.reset(opened);
  for (const auto &[of, context] :
       {std::pair(&model, &encode_context_),
        std::pair(const_cast<const sylvite_model *>(opened), &step_context_)}) {
    sylvite_context *made = nullptr;
    if (result == SYLVITE_OK) {
      result = sylvite_context_create(of, &options, &made, message, sizeof message);
      context->reset(made);
    }
  }
  if (result != SYLVITE_OK) {
    return {result, message};
  }
  step_context_->growing = true;
  const auto prepare = [](const sylvite_tensor_info *infos, int32_t count,
                          std::vector<sylvite_tensor> *tensors) {
    tensors->resize(static_cast<size_t>(count));
    for (int32_t i = 0; infos != nullptr && i < count; ++i) {
      sylvite_tensor &tensor = (*tensors)[static_cast<size_t>(i)];
      tensor.dtype = static_cast<sylvite_dtype>(infos[i].dtype);
      tensor.rank = infos[i].rank;
    }
  };
  prepare(task_.encode->inputs, task_.encode->input_count, &encode_inputs_);
  prepare(nullptr, task_.encode->output_count, &encode_outputs_);
  prepare(task_.step->inputs, task_.step->input_count, &step_inputs_);
  prepare(nullptr, task_.step->output_count, &step_outputs_);
  return {};
}

int32_t Decoder::most_sentences(int32_t beams) const {
  // Of no tensor there may be 2^31 elements or more.
  int64_t most = std::max<int64_t>(INT32_MAX / task_.vocabulary / beams, 1);
  if (task_.encode_batch > 0) {
    most = std::min(most, task_.encode_batch);
  }
  if (task_.step_batch > 0) {
    most = std::min(most, task_.step_batch / beams);
  }
  return static_cast<int32_t>(most);
}

bool Decoder::mixes_lengths() const {
  return task_.task->source_mask >= 0 || task_.task->fixed_source > 0;
}

// ---- encode ----

Error Decoder::encode(std::span<const std::span<const int32_t>> sources) {
  const sylvite_translate_task &task = *task_.task;
  size_t length = static_cast<size_t>(task.fixed_source);
  for (const std::span<const int32_t> source : sources) {
    length = std::max(length, source.size());
  }
  encoded_ = task_.encode_batch > 0 ? task_.encode_batch : static_cast<int64_t>(sources.size());
  source_tokens_.values.clear();
  source_mask_.values.clear();
  for (size_t row = 0; row < static_cast<size_t>(encoded_); ++row) {
    const std::span<const int32_t> source = sources[row < sources.size() ? row : 0];
    const auto append = [&](std::vector<int32_t> *values, auto begin, auto end, int32_t rest) {
      values->insert(values->end(), begin, end);
      values->resize((row + 1) * length, rest);
    };
    append(&source_tokens_.values, source.begin(), source.end(), std::max(task.pad, 0));
    source_mask_.values.insert(source_mask_.values.end(), source.size(), 1);
    source_mask_.values.resize((row + 1) * length, 0);
  }
  const auto set = [&](int32_t input, SmallIntegers &values) {
    if (input >= 0) {
      sylvite_tensor &tensor = encode_inputs_[static_cast<size_t>(input)];
      tensor.dims[0] = encoded_;
      tensor.dims[1] = static_cast<int64_t>(length);
      values.pack(&tensor);
    }
  };
  set(task.source_tokens, source_tokens_);
  set(task.source_mask, source_mask_);
  if (encode_outputs_.empty()) {
    return {};  // a model that could not be split: step reads the source's tokens
  }
  const sylvite_result result = sylvite_run(
      encode_context_.get(), encode_inputs_.data(), static_cast<int32_t>(encode_inputs_.size()),
      encode_outputs_.data(), static_cast<int32_t>(encode_outputs_.size()));
  return result == SYLVITE_OK ? Error{}
                              : Error{result, sylvite_context_error(encode_context_.get())};
}

Error Decoder::begin(std::span<const std::span<const int32_t>> sources, const Room &room) {
  blocks_.clear();
  past_ = 0;
  prefixes_.clear();
  sources_.resize(sources.size());
  std::iota(sources_.begin(), sources_.end(), 0);
  if (Error error = encode(sources); !error.ok()) {
    return error;
  }
  linked_.begin(encode_inputs_, encode_outputs_, encoded_);
  return room.rows > 0 ? reserve(room) : Error{};
}

Error Decoder::reserve(const Room &room) {
  const size_t rows = static_cast<size_t>(step_rows(static_cast<size_t>(room.rows)));
  const size_t tokens = rows * static_cast<size_t>(room.length);
  for (std::vector<int32_t> *values : {&sources_, &next_sources_}) {
    values->reserve(rows);
  }
  if (task_.has_caches()) {
    if (Error error = blocks_.reserve(room.rows, room.length); !error.ok()) {
      return error;
    }
  } else {
    prefixes_.reserve(tokens);
    next_prefixes_.reserve(tokens);
  }
  step_tokens_.reserve(task_.has_caches() ? rows : tokens);
  step_mask_.reserve(task_.task->step_mask >= 0 ? tokens : 0);
  shape_step(static_cast<int64_t>(rows), room.length - 1);
  if (Error error = linked_.reserve(static_cast<int64_t>(rows)); !error.ok()) {
    return error;
  }
  std::vector<int64_t> dims;
  for (const sylvite_tensor &tensor : step_inputs_) {
    dims.insert(dims.end(), tensor.dims, tensor.dims + tensor.rank);
  }
  // What else may be wrong with such sizes is said when there is a sentence that needs them.
  const int32_t status = reserve_shape(*step_context_, dims.data());
  return status == SYL_OUT_OF_MEMORY
             ? Error{SYLVITE_OUT_OF_MEMORY, sylvite_context_error(step_context_.get())}
             : Error{};
}

// ---- step ----

int64_t Decoder::step_rows(size_t rows) const {
  return std::max(task_.step_batch, static_cast<int64_t>(rows));
}

// The rows go on as their parents did.
Error Decoder::follow(std::span<const int32_t> parents, std::span<const int32_t> tokens) {
  next_sources_.clear();
  for (const int32_t parent : parents) {
    next_sources_.push_back(sources_[static_cast<size_t>(parent)]);
  }
  sources_.swap(next_sources_);
  if (task_.has_caches()) {
    return blocks_.advance(parents, past_);
  }
  next_prefixes_.clear();
  for (size_t row = 0; row < parents.size(); ++row) {
    const auto from = prefixes_.begin() + parents[row] * past_;
    next_prefixes_.insert(next_prefixes_.end(), from, from + past_);
    next_prefixes_.push_back(tokens[row]);
  }
  prefixes_.swap(next_prefixes_);
  return {};
}

// The sizes of step's inputs; `past`: tokens before the ones that go in.
void Decoder::shape_step(int64_t rows, int64_t past) {
  const sylvite_translate_task &task = *task_.task;
  const auto set = [&](int32_t input, std::initializer_list<int64_t> dims) {
    if (input >= 0) {
      std::copy(dims.begin(), dims.end(), step_inputs_[static_cast<size_t>(input)].dims);
    }
  };
  const int64_t length = task.fixed_target > 0 ? task.fixed_target : past + 1;
  set(task.step_tokens, {rows, task_.has_caches() ? 1 : length});
  set(task.step_mask, {rows, length});
  set(task.rows, {rows});
  set(task.past, {past});
  set(task.table, {rows, past / kSylviteCacheBlock + 1});
  set(task.position, {1});
  for (int32_t i = 0; i < task.cache_count; ++i) {
    const sylvite_tensor_info &info = task_.step->inputs[task.caches[i]];
    set(task.caches[i], {blocks_.capacity(), fixed_size(info.dims[1]), kSylviteCacheBlock,
                         fixed_size(info.dims[3])});
  }
  linked_.shape(rows, &step_inputs_);
}

void Decoder::fill_step(std::span<const int32_t> tokens) {
  const sylvite_translate_task &task = *task_.task;
  sylvite_tensor &input = step_inputs_[static_cast<size_t>(task.step_tokens)];
  const size_t rows = static_cast<size_t>(input.dims[0]);
  const size_t filled = static_cast<size_t>(past_) + 1;
  const auto pad_rows = [&](std::vector<int32_t> *values, size_t width) {
    for (size_t i = values->size(); i < rows * width; ++i) {
      values->push_back((*values)[i - (i / width) * width]);
    }
  };
  std::vector<int32_t> &values = step_tokens_.values;
  const size_t width = static_cast<size_t>(input.dims[1]);
  values.clear();
  for (size_t row = 0; row < tokens.size(); ++row) {
    if (task_.has_caches()) {
      values.push_back(tokens[row]);
      continue;
    }
    const auto prefix = prefixes_.begin() + static_cast<ptrdiff_t>(row * filled);
    values.insert(values.end(), prefix, prefix + static_cast<ptrdiff_t>(filled));
    values.resize((row + 1) * width, std::max(task.pad, 0));
  }
  pad_rows(&values, width);
  step_tokens_.pack(&input);
  if (task.step_mask >= 0) {
    sylvite_tensor &mask = step_inputs_[static_cast<size_t>(task.step_mask)];
    const size_t mask_width = static_cast<size_t>(mask.dims[1]);
    step_mask_.clear(rows * mask_width);
    for (size_t row = 0; row < rows; ++row) {
      std::fill_n(step_mask_.values.begin() + static_cast<ptrdiff_t>(row * mask_width), filled, 1);
    }
    step_mask_.pack(&mask);
  }
  if (task.rows >= 0) {
    pad_rows(&sources_, 1);
    step_inputs_[static_cast<size_t>(task.rows)].data = sources_.data();
  }
  if (task.position >= 0) {
    position_ = static_cast<int32_t>(past_);
    step_inputs_[static_cast<size_t>(task.position)].data = &position_;
  }
  if (task_.has_caches()) {
    step_inputs_[static_cast<size_t>(task.past)].data = g_never_read;
    step_inputs_[static_cast<size_t>(task.table)].data =
        const_cast<int32_t *>(blocks_.table().data());
    for (int32_t i = 0; i < task.cache_count; ++i) {
      step_inputs_[static_cast<size_t>(task.caches[i])].data = blocks_.pool(static_cast<size_t>(i));
    }
  }
}

std::span<float> Decoder::last_scores(int64_t rows) {
  const sylvite_tensor &scores = step_outputs_[static_cast<size_t>(task_.task->scores)];
  const size_t vocabulary = static_cast<size_t>(task_.vocabulary);
  float *const data = static_cast<float *>(scores.data);
  const size_t count = static_cast<size_t>(rows) * vocabulary;
  if (scores.rank == 2 || scores.dims[1] == 1) {
    return {data, count};
  }
  scores_.resize(count);
  for (size_t row = 0; row < static_cast<size_t>(rows); ++row) {
    const size_t last = row * static_cast<size_t>(scores.dims[1]) + static_cast<size_t>(past_);
    std::copy_n(data + last * vocabulary, vocabulary, scores_.data() + row * vocabulary);
  }
  return scores_;
}

void Decoder::for_rows(int32_t rows, void (*work)(void *user, int32_t row), void *user) {
  constexpr int64_t kWorthwhile = 1 << 17;  // scores: about 50 us
  struct Part {
    void (*work)(void *, int32_t);
    void *user;
    int32_t rows, parts;
  };
  const bool split = int64_t{rows} * task_.vocabulary >= kWorthwhile;
  Part all{work, user, rows, split ? std::min(rows, step_context_->pool.threads()) : 1};
  const auto run = [](void *argument, int part, int) {
    const Part &all = *static_cast<const Part *>(argument);
    const auto begin = [&](int64_t i) { return static_cast<int32_t>(i * all.rows / all.parts); };
    for (int32_t row = begin(part); row < begin(part + 1); ++row) {
      all.work(all.user, row);
    }
  };
  if (all.parts <= 1) {
    run(&all, 0, 0);
  } else {
    step_context_->pool.run(all.parts, run, &all);
  }
}

Result<std::span<float>> Decoder::step(std::span<const int32_t> parents,
                                       std::span<const int32_t> tokens) {
  const int64_t rows = step_rows(parents.size());
  if (Error error = follow(parents, tokens); !error.ok()) {
    return error;
  }
  shape_step(rows, past_);
  fill_step(tokens);
  if (Error error = linked_.fill(rows, sources_, &step_inputs_); !error.ok()) {
    return error;
  }
  const sylvite_result result = sylvite_run(
      step_context_.get(), step_inputs_.data(), static_cast<int32_t>(step_inputs_.size()),
      step_outputs_.data(), static_cast<int32_t>(step_outputs_.size()));
  if (result != SYLVITE_OK) {
    return Error{result, sylvite_context_error(step_context_.get())};
  }
  const sylvite_tensor &scores = step_outputs_[static_cast<size_t>(task_.task->scores)];
  if (scores.dims[0] != rows ||
      (scores.rank == 3 && !(scores.dims[1] == 1 || scores.dims[1] > past_))) {
    return Error{SYLVITE_INTERNAL, "the scores do not have a row for each sentence"};
  }
  const std::span<float> found = last_scores(static_cast<int64_t>(parents.size()));
  ++past_;
  return found;
}

}  // namespace sylvite
