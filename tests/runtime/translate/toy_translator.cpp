#include "tests/runtime/translate/toy_translator.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "tests/runtime/search/toy_scores.h"
#include "tests/runtime/translate/toy_image.h"

namespace sylvite::testing {
namespace {

const ToyOptions *g_options = nullptr;

// ---- kernels ----

template <typename T>
T *host(void *buffer) {
  return reinterpret_cast<T *>(static_cast<syl_halide_buffer *>(buffer)->host);
}
int64_t number(void *argument) {
  return *static_cast<int32_t *>(argument);
}

int64_t element(void *buffer, int32_t dtype, int64_t i) {
  switch (dtype) {
    case SYL_I64:
      return host<int64_t>(buffer)[i];
    case SYL_I32:
      return host<int32_t>(buffer)[i];
    case SYL_F32:
      return static_cast<int64_t>(host<float>(buffer)[i]);
    default:
      return host<uint8_t>(buffer)[i];
  }
}

uint32_t add_source_token(uint32_t hash, int64_t token) {
  return mix(hash, static_cast<uint32_t>(token) + 1) & 0xFFFFFF;
}
constexpr uint32_t kFirstHash = 17;

// batch, length; tokens, mask; state [2, batch, 3]
int32_t encode_kernel(void **args) {
  const int64_t batch = number(args[4]), length = number(args[5]);
  for (int64_t row = number(args[0]); row < number(args[1]); ++row) {
    uint32_t hash = kFirstHash;
    for (int64_t i = row * length; i < (row + 1) * length; ++i) {
      const int64_t token = element(args[6], g_options->tokens, i);
      const bool real = g_options->source_mask ? element(args[7], g_options->mask, i) == 1
                                               : g_options->fixed_source == 0 || token != kToyPad;
      hash = real ? add_source_token(hash, token) : hash;
    }
    for (int64_t i = 0; i < 6; ++i) {
      host<int32_t>(args[8])[(i / 3 * batch + row) * 3 + i % 3] = static_cast<int32_t>(hash + i);
    }
  }
  return 0;
}

struct StepArguments {
  int64_t batch, width, past, columns, sources, source_length;
  void *tokens, *mask, *link, *rows, *table, *pools[2], *position;
};

// False: what stands there is not what encode made.
bool read_source(const StepArguments &in, int64_t source, uint32_t *hash) {
  if (source < 0 || source >= in.sources) {
    return false;
  }
  if (!g_options->link_tokens) {
    const int32_t *const state = host<int32_t>(in.link);
    *hash = static_cast<uint32_t>(state[source * 3]);
    return state[(in.sources + source) * 3 + 2] == state[source * 3] + 5;
  }
  *hash = kFirstHash;
  for (int64_t i = 0; i < in.source_length; ++i) {
    const int64_t token = element(in.link, g_options->tokens, source * in.source_length + i);
    *hash = token == kToyPad ? *hash : add_source_token(*hash, token);
  }
  return true;
}

float cached(int64_t token, int64_t head, int64_t k) {
  return static_cast<float>(token + 100 * head + 1000 * k);
}
float *cell(const StepArguments &in, int pool, int64_t row, int64_t position, int64_t head) {
  const int64_t block = host<int32_t>(in.table)[row * in.columns + position / kSylviteCacheBlock];
  return host<float>(in.pools[pool]) +
         ((block * 2 + head) * kSylviteCacheBlock + position % kSylviteCacheBlock) * 3;
}

void append_to_caches(const StepArguments &in, int64_t row) {
  const int64_t last = element(in.tokens, g_options->tokens, row);
  for (int i = 0; i < 12; ++i) {
    cell(in, i % 2, row, in.past, i / 2 % 2)[i / 4] = cached(last, i / 2 % 2, i / 4);
  }
}

// The row's token at a position; *good becomes false where the caches disagree.
int64_t token_at(const StepArguments &in, int64_t row, int64_t position, bool *good) {
  if (!g_options->caches) {
    return element(in.tokens, g_options->tokens, row * in.width + position);
  }
  const int64_t token = static_cast<int64_t>(cell(in, 0, row, position, 0)[0]);
  for (int i = 0; i < 12; ++i) {
    *good = *good &&
            cell(in, i % 2, row, position, i / 2 % 2)[i / 4] == cached(token, i / 2 % 2, i / 4);
  }
  return token;
}

bool mask_is_right(const StepArguments &in, int64_t row) {
  const int64_t width = g_options->caches ? in.past + 1 : in.width;
  bool padding = false;
  for (int64_t i = row * width; i < (row + 1) * width && g_options->target_mask; ++i) {
    const bool real = element(in.mask, g_options->mask, i) == 1;
    if (real ? padding : g_options->fixed_target == 0) {
      return false;  // a token behind padding, or padding where there is none
    }
    padding = !real;
  }
  return true;
}

void write_scores(ToyPast past, bool good, float *scores) {
  for (int32_t token = 0; token < kToyVocabulary; ++token) {
    scores[token] = good ? toy_score(past, token, kToyEnd) : std::nanf("");
  }
}

int32_t step_kernel(void **args) {
  StepArguments in{number(args[4]), number(args[5]), number(args[6]), number(args[7]),
                   number(args[8]), number(args[9]), args[10],        args[11],
                   args[12],        args[13],        args[14],        {args[15], args[16]},
                   args[17]};
  host<uint8_t>(args[18])[0] = 1;  // scratch
  float *const scores = host<float>(args[19]);
  host<int32_t>(args[20])[0] = 1;  // an intermediate
  for (int64_t row = number(args[0]); row < number(args[1]); ++row) {
    uint32_t hash = 0;
    const int64_t source = g_options->rows ? host<int32_t>(in.rows)[row] : row;
    bool good = read_source(in, source, &hash) && mask_is_right(in, row) &&
                toy_state().steps != g_options->fail_at;
    if (g_options->caches) {
      append_to_caches(in, row);
    }
    const int64_t length = g_options->caches     ? in.past + 1
                           : g_options->position ? host<int32_t>(in.position)[0] + 1
                                                 : in.width;
    const bool all_scores = g_options->all_scores && !g_options->caches;
    ToyPast past = toy_begin(g_options->seed, hash);
    for (int64_t t = 0; t < length; ++t) {
      past = toy_append(past, static_cast<int32_t>(token_at(in, row, t, &good)));
      if (all_scores || t + 1 == length) {
        write_scores(past, good, scores + (all_scores ? row * length + t : row) * kToyVocabulary);
      }
    }
  }
  return 0;
}

const sylvite_kernel kEncodeKernel = {
    "k0_hash", "none", {encode_kernel, encode_kernel}, 2, 2, 1, {1, 1}, {1, 1}, 0};
const sylvite_kernel kStepKernel = {"k0_score", "none", {step_kernel, step_kernel}, 6, 8, 2, {1, 1},
                                    {1, 1},     1};
const sylvite_buffer_info kIntermediate = {0, 0};

// ---- plans ----

int32_t prepare_encode(sylvite_context *context, const sylvite_runtime_api *api,
                       const int64_t *dims, int64_t *symbols, int64_t *, int64_t *output_dims) {
  if (dims[1] > g_options->most_width) {
    return api->fail_sizes(context, SYL_BAD_INPUT, "width is {}, at most {}", dims[1],
                           g_options->most_width);
  }
  symbols[0] = dims[0];
  symbols[1] = dims[1];
  output_dims[0] = 2;
  output_dims[1] = dims[0];
  output_dims[2] = 3;
  return 0;
}

int32_t run_encode(sylvite_context *context, const sylvite_runtime_api *api,
                   const int64_t *symbols) {
  const int32_t values[] = {static_cast<int32_t>(symbols[0]), static_cast<int32_t>(symbols[1])};
  ++toy_state().encodes;
  toy_state().encode_sizes.insert(toy_state().encode_sizes.end(), {symbols[0], symbols[1]});
  return api->call(context, 0, values, symbols[0], 1, 0, 1000);
}

// symbols: batch, width, past, columns, sources, source_length
int32_t prepare_step(sylvite_context *, const sylvite_runtime_api *, const int64_t *dims,
                     int64_t *symbols, int64_t *intermediate_bytes, int64_t *output_dims) {
  symbols[0] = dims[0];
  symbols[1] = dims[1];
  dims += 2;
  symbols[2] = symbols[3] = 0;
  dims += g_options->target_mask ? 2 : 0;
  symbols[4] = g_options->link_tokens ? dims[0] : dims[1];
  symbols[5] = g_options->link_tokens ? dims[1] : 0;
  dims += g_options->link_tokens ? 2 : 3;
  dims += g_options->rows ? 1 : 0;
  if (g_options->caches) {
    symbols[2] = dims[0];
    symbols[3] = dims[2];
    if (dims[1] != symbols[0] || dims[2] != dims[0] / kSylviteCacheBlock + 1) {
      return SYL_INTERNAL;
    }
  }
  intermediate_bytes[0] = symbols[0] * (symbols[1] + symbols[2] + 1) * 64;
  *output_dims++ = symbols[0];
  if (g_options->all_scores) {
    *output_dims++ = symbols[1];
  }
  *output_dims = kToyVocabulary;
  return 0;
}

int32_t run_step(sylvite_context *context, const sylvite_runtime_api *api, const int64_t *symbols) {
  int32_t values[6];
  std::copy(symbols, symbols + 6, values);
  toy_state().step_rows.push_back(symbols[0]);
  if (symbols[0] > g_options->most_rows && symbols[2] > 1) {
    return api->fail(context, SYL_OUT_OF_MEMORY, "out of memory: too many rows");
  }
  const int32_t status = api->call(context, 0, values, symbols[0], 1, (symbols[2] + 1) * 512, 1000);
  ++toy_state().steps;
  return status;
}

void costs(const int64_t *, int64_t *flops, int64_t *bytes) {
  flops[0] = bytes[0] = 1;
}

const sylvite_symbol_info kSymbols[] = {{"batch", 1, 100000},   {"width", 1, 100000},
                                        {"past", 0, 100000},    {"columns", 0, 100000},
                                        {"sources", 1, 100000}, {"source_length", 0, 100000}};

sylvite_program make_program() {
  sylvite_program program{};
  program.abi_version = kSylviteAbiVersion;
  program.model_name = "toy";
  program.model_hash = "00000000000000000000000000000000";
  program.compiler_version = "0";
  program.licences = "the licences\n";
  program.isa_mask = 3;
  program.kernel_count = program.call_count = 1;
  program.weight_bytes = sizeof(ToyImage);
  program.weight_hash = 99;
  program.symbols = kSymbols;
  program.costs = costs;
  return program;
}

}  // namespace

ToyState &toy_state() {
  static ToyState state;
  return state;
}

uint32_t toy_source(const std::vector<int32_t> &tokens) {
  uint32_t hash = kFirstHash;
  for (const int32_t token : tokens) {
    hash = add_source_token(hash, token);
  }
  return hash;
}

const char *toy_word(int32_t id) {
  return kToyWords[id];
}

const std::byte *ToyTranslator::weights() {
  return reinterpret_cast<const std::byte *>(&kToyImage);
}

void ToyTranslator::add_step_input(const char *name, int32_t dtype, std::vector<const char *> dims,
                                   int32_t *number) {
  dims_.push_back(std::move(dims));
  *number = static_cast<int32_t>(step_inputs_.size());
  step_inputs_.push_back(
      {name, dtype, static_cast<int32_t>(dims_.back().size()), dims_.back().data()});
}

void ToyTranslator::make_encode() {
  const char *const batch = options_.encode_batch > 0 ? numbers_[0].c_str() : "batch";
  const char *const length = options_.fixed_source > 0 ? numbers_[1].c_str() : "width";
  dims_.push_back({batch, length});
  encode_inputs_.push_back({"tokens", options_.tokens, 2, dims_.back().data()});
  if (options_.source_mask) {
    encode_inputs_.push_back({"mask", options_.mask, 2, dims_.back().data()});
  }
  dims_.push_back({"2", batch, "3"});
  encode_output_ = {"state", SYL_I32, 3, dims_.back().data()};
  encode_ = make_program();
  encode_.input_count = static_cast<int32_t>(encode_inputs_.size());
  encode_.inputs = encode_inputs_.data();
  encode_.output_count = options_.link_tokens ? 0 : 1;
  encode_.outputs = &encode_output_;
  encode_.symbol_count = 2;
  encode_buffers_ = {0, options_.source_mask ? 1 : 0, encode_.input_count};
  encode_call_ = {0, "hash", encode_buffers_.data()};
  encode_.calls = &encode_call_;
  encode_.kernels = &kEncodeKernel;
  encode_.buffer_count = encode_.input_count + encode_.output_count;
  encode_.prepare = prepare_encode;
  encode_.run = run_encode;
  encode_.translate = &task;
  encode_.entry_count = 1;
  encode_.entries = entries_;
}

void ToyTranslator::make_step() {
  const char *const batch = options_.step_batch > 0 ? numbers_[2].c_str() : "batch";
  const char *const width = options_.caches             ? "1"
                            : options_.fixed_target > 0 ? numbers_[3].c_str()
                                                        : "width";
  add_step_input("tokens", options_.tokens, {batch, width}, &task.step_tokens);
  if (options_.target_mask) {
    add_step_input("mask", options_.mask, {batch, options_.caches ? "past + 1" : width},
                   &task.step_mask);
  }
  const char *const sources = options_.rows ? "sources" : batch;
  link_.output = options_.link_tokens ? -1 : 0;
  options_.link_tokens
      ? add_step_input("source", options_.tokens, {sources, "source_length"}, &link_.input)
      : add_step_input("state", SYL_I32, {"2", sources, "3"}, &link_.input);
  if (options_.rows) {
    add_step_input("rows", SYL_I32, {batch}, &task.rows);
  }
  if (options_.position) {
    add_step_input("position", SYL_I32, {"1"}, &task.position);
  }
  if (options_.caches) {
    add_step_input("past", SYL_BOOL, {"past"}, &task.past);
    add_step_input("table", SYL_I32, {batch, "columns"}, &task.table);
    for (int32_t &cache : caches_) {
      add_step_input("cache", SYL_F32, {"blocks", "2", "16", "3"}, &cache);
    }
    task.cache_count = 2;
    task.caches = caches_;
  }
  dims_.push_back(options_.all_scores ? std::vector<const char *>{batch, width, "24"}
                                      : std::vector<const char *>{batch, "24"});
  step_output_ = {"scores", SYL_F32, static_cast<int32_t>(dims_.back().size()),
                  dims_.back().data()};
  step_ = make_program();
  step_.input_count = static_cast<int32_t>(step_inputs_.size());
  step_.inputs = step_inputs_.data();
  step_.output_count = 1;
  step_.outputs = &step_output_;
  step_.symbol_count = 6;
  const auto buffer = [](int32_t input) { return std::max(input, 0); };
  step_buffers_ = {task.step_tokens,     buffer(task.step_mask), link_.input,
                   buffer(task.rows),    buffer(task.table),     caches_[0],
                   caches_[1],           buffer(task.position),  step_.input_count,
                   step_.input_count + 1};
  step_call_ = {0, "score", step_buffers_.data()};
  step_.calls = &step_call_;
  step_.kernels = &kStepKernel;
  step_.intermediate_count = 1;
  step_.intermediates = &kIntermediate;
  step_.buffer_count = step_.input_count + 2;
  step_.prepare = prepare_step;
  step_.run = run_step;
}

ToyTranslator::ToyTranslator(const ToyOptions &options) : options_(options) {
  g_options = &options_;
  toy_state() = {};
  toy_state().step_rows.reserve(4096);
  dims_.reserve(32);
  numbers_[0] = std::to_string(options.encode_batch);
  numbers_[1] = std::to_string(options.fixed_source);
  numbers_[2] = std::to_string(options.step_batch);
  numbers_[3] = std::to_string(options.fixed_target);
  sylvite_tokenizer &tokenizer = task.source;
  tokenizer.kind = SYL_WORDS;
  tokenizer.size = kToyVocabulary;
  tokenizer.data = offsetof(ToyImage, tokenizer);
  tokenizer.data_bytes = offsetof(ToyImage, words) - offsetof(ToyImage, tokenizer);
  tokenizer.words = offsetof(ToyImage, words);
  tokenizer.words_bytes = sizeof kToyImage.words;
  tokenizer.unknown = kToyUnknown;
  task.target = task.source;
  task.source_prefix = -1;
  task.source_suffix = kToyEnd;
  task.start = task.pad = kToyPad;
  task.end = kToyEnd;
  task.forced_start = task.forced_end = -1;
  task.beams = 1;
  task.max_length = 40;
  task.length_penalty = 1;
  task.fixed_source = options.fixed_source;
  task.fixed_target = options.fixed_target;
  task.source_tokens = 0;
  task.source_mask = options.source_mask ? 1 : -1;
  task.step_mask = task.rows = task.past = task.table = task.position = -1;
  task.link_count = 1;
  task.links = &link_;
  make_encode();
  make_step();
}

}  // namespace sylvite::testing
