// The translator behind sylvite/translator.h: texts to tokens, tokens in batches through the
// search, tokens to texts.
//
// A batch holds texts of like length, the longest first, whatever their order in the call: padding
// is computed too. What a text gets does not depend on its company: the kernels give a row the same
// bits in any batch, and the search treats each sentence alone. So a batch for which there is no
// memory, or which the model refuses (a text of more tokens than it has positions), is simply tried
// again in halves; a text that is refused alone has a problem of its own. Where a model has no mask
// for the source, padding would be read as words; then only texts of one length share a batch.
#include "runtime/include/sylvite/translator.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <limits>
#include <memory>
#include <new>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/io/result.h"
#include "runtime/model.h"
#include "runtime/tasks/decoding.h"
#include "runtime/tasks/search.h"
#include "runtime/tokens/tokenizer.h"

namespace sylvite {
namespace {

constexpr int32_t kMostBeams = 64;
constexpr int32_t kMostTexts = 1 << 24;

struct Output {
  std::string text;
  std::vector<int32_t> tokens;
  float score = -std::numeric_limits<float>::infinity();
  bool ended = false;
};

// A text of the call.
struct Item {
  std::vector<int32_t> tokens;  // as encode wants them; empty: nothing to translate
  int64_t unknown = 0, bad_utf8 = 0;
  std::string problem;
  std::vector<Output> outputs;
};

int32_t saturated(int64_t value) {
  return static_cast<int32_t>(std::min<int64_t>(value, INT32_MAX));
}

}  // namespace
}  // namespace sylvite

struct sylvite_translator {
  std::unique_ptr<sylvite::Decoder> decoder;
  std::optional<sylvite::Tokenizer> source, target;
  std::vector<sylvite::Item> items;  // of the last run
  std::string error;
  // Of the run that is going on.
  const sylvite_translate_options *options = nullptr;
  sylvite_translate_progress progress{};
  int32_t finished_before = 0;  // in earlier batches

  const sylvite_translate_task &task() const { return *decoder->task().task; }
  sylvite_result fail(sylvite::Error reason) {
    error = std::move(reason.message);
    return reason.code;
  }
};

namespace sylvite {
namespace {

Error open_tokenizer(const sylvite_tokenizer &settings, const sylvite_model &model,
                     std::optional<Tokenizer> *tokenizer) {
  const std::span<const std::byte> image(model.weights,
                                         static_cast<size_t>(model.program->weight_bytes));
  Result<Tokenizer> opened = Tokenizer::open(settings, image);
  if (!opened.ok()) {
    return opened.error();
  }
  tokenizer->emplace(std::move(opened.value()));
  return {};
}

Error open(const sylvite_model &model, const sylvite_context_options *options,
           sylvite_translator *translator) {
  Result<std::unique_ptr<Decoder>> decoder =
      Decoder::create(model, options != nullptr ? *options : sylvite_context_options{});
  if (!decoder.ok()) {
    return decoder.error();
  }
  translator->decoder = std::move(decoder.value());
  if (Error error = open_tokenizer(translator->task().source, model, &translator->source);
      !error.ok()) {
    return error;
  }
  return open_tokenizer(translator->task().target, model, &translator->target);
}

Error check_number(const char *name, int32_t value, int32_t least, int32_t most) {
  return value >= least && value <= most
             ? Error{}
             : bad_input(name, " must lie in ", least, " to ", most, ", not ", value);
}

Error check_options(const sylvite_translate_options &options, int32_t count) {
  for (Error error : {check_number("the number of texts", count, 0, kMostTexts),
                      check_number("beams", options.beams, 1, kMostBeams),
                      check_number("n_best", options.n_best, 1, std::max(options.beams, 1)),
                      check_number("max_length", options.max_length, 1, INT32_MAX),
                      check_number("early_stopping", options.early_stopping, 0, 2),
                      check_number("batch", options.batch, 1, kMostTexts)}) {
    if (!error.ok()) {
      return error;
    }
  }
  return std::isfinite(options.length_penalty) ? Error{}
                                               : bad_input("length_penalty must be a number");
}

int32_t max_source(const sylvite_translate_task &task) {
  return task.fixed_source > 0 && (task.max_source == 0 || task.fixed_source < task.max_source)
             ? task.fixed_source
             : task.max_source;
}

int32_t max_length(const sylvite_translate_task &task, int32_t wanted) {
  int32_t most = wanted;
  for (const int32_t limit : {task.max_target, task.fixed_target}) {
    most = limit > 0 ? std::min(most, limit) : most;
  }
  return most;
}

void encode_text(const sylvite_translator &translator, const sylvite_text &text, Item *item) {
  const sylvite_translate_task &task = translator.task();
  Result<Tokens> tokens = translator.source->encode(
      text.size > 0 ? std::string_view(text.data, text.size) : std::string_view());
  if (!tokens.ok()) {
    item->problem = tokens.error().message;
    return;
  }
  item->unknown = tokens.value().unknown;
  item->bad_utf8 = tokens.value().bad_utf8;
  if (tokens.value().ids.empty()) {
    return;
  }
  item->tokens = std::move(tokens.value().ids);
  if (task.source_prefix >= 0) {
    item->tokens.insert(item->tokens.begin(), task.source_prefix);
  }
  if (task.source_suffix >= 0) {
    item->tokens.push_back(task.source_suffix);
  }
  const size_t most = static_cast<size_t>(max_source(task));
  if (most > 0 && item->tokens.size() > most) {
    item->problem = text_of("is too long: ", item->tokens.size(),
                            " tokens, and the model takes at most ", most);
  }
}

bool after_step(void *user, const SearchProgress &now) {
  sylvite_translator &translator = *static_cast<sylvite_translator *>(user);
  ++translator.progress.steps;
  translator.progress.finished = translator.finished_before + now.finished;
  return translator.options->progress == nullptr ||
         translator.options->progress(translator.options->user, &translator.progress) == 0;
}

Error run_batch(sylvite_translator &translator, std::span<Item *const> batch) {
  const sylvite_translate_task &task = translator.task();
  const sylvite_translate_options &given = *translator.options;
  SearchOptions options;
  options.beams = given.beams;
  options.n_best = given.n_best;
  options.max_length = max_length(task, given.max_length);
  options.length_penalty = given.length_penalty;
  options.early_stopping = given.early_stopping;
  options.start = task.start;
  options.end = task.end;
  options.forced_start = task.forced_start;
  options.forced_end = task.forced_end;
  options.banned = {task.banned, static_cast<size_t>(task.banned_count)};
  options.score_kind = task.score_kind;
  options.scores = given.scores != 0;
  options.reserve = given.reserve != 0;
  std::vector<std::span<const int32_t>> sources;
  for (const Item *item : batch) {
    sources.emplace_back(item->tokens);
  }
  Decoder::Room room;
  if (options.reserve) {
    room = {static_cast<int64_t>(batch.size()) * options.beams, options.max_length};
  }
  if (Error error = translator.decoder->begin(sources, room); !error.ok()) {
    return error;
  }
  std::vector<std::vector<Hypothesis>> found;
  Error error = search(*translator.decoder, static_cast<int32_t>(batch.size()), options,
                       {after_step, &translator}, &found);
  for (size_t i = 0; i < found.size(); ++i) {
    for (Hypothesis &one : found[i]) {
      batch[i]->outputs.push_back(
          {translator.target->decode(one.tokens), std::move(one.tokens), one.score, one.ended});
    }
    if (found[i].empty()) {
      // Penalties that put every finished sentence below -1e9 leave none, as in transformers.
      batch[i]->problem = error.ok() ? "no sentence was finished" : "cancelled";
    }
  }
  return error;
}

// The items that go through the model, in the order in which they do.
std::vector<Item *> list_work(std::vector<Item> &items) {
  std::vector<Item *> work;
  for (Item &item : items) {
    if (item.problem.empty() && !item.tokens.empty()) {
      work.push_back(&item);
    } else if (item.problem.empty()) {
      item.outputs.push_back({"", {}, 0, true});  // no words: an empty translation
    }
  }
  std::sort(work.begin(), work.end(), [](const Item *a, const Item *b) {
    return a->tokens.size() != b->tokens.size() ? a->tokens.size() > b->tokens.size() : a < b;
  });
  return work;
}

Error run_all(sylvite_translator &translator, std::span<const sylvite_text> texts) {
  const sylvite_translate_options &options = *translator.options;
  const int32_t most = std::min(options.batch, translator.decoder->most_sentences(options.beams));
  if (most == 0) {
    return bad_input("the model was exported for a batch of ",
                     translator.decoder->task().step_batch, ": ", options.beams,
                     " beams need more");
  }
  translator.items.resize(texts.size());
  for (size_t i = 0; i < texts.size(); ++i) {
    encode_text(translator, texts[i], &translator.items[i]);
  }
  const std::vector<Item *> work = list_work(translator.items);
  translator.finished_before = saturated(static_cast<int64_t>(texts.size() - work.size()));
  std::span<Item *const> rest = work;
  size_t room = static_cast<size_t>(most), next = room;
  Error error;
  while (!rest.empty() && error.ok()) {
    size_t count = 1;
    while (count < std::min(rest.size(), next) &&
           (translator.decoder->mixes_lengths() ||
            rest[count]->tokens.size() == rest[0]->tokens.size())) {
      ++count;
    }
    error = run_batch(translator, rest.first(count));
    const bool no_memory = error.code == SYLVITE_OUT_OF_MEMORY;
    if (count > 1 && (no_memory || error.code == SYLVITE_BAD_INPUT)) {
      for (Item *item : rest.first(count)) {
        item->outputs.clear();
        item->problem.clear();
      }
      next = count / 2;
      room = no_memory ? next : room;
      error = {};
      continue;
    }
    if (error.code == SYLVITE_BAD_INPUT) {
      rest[0]->problem = std::exchange(error, {}).message;
    } else {
      next = std::min(2 * next, room);
    }
    translator.finished_before += static_cast<int32_t>(count);
    rest = rest.subspan(count);
  }
  for (Item *item : rest) {
    item->problem = "cancelled";
  }
  return error;
}

void hand_out(const Item &item, std::span<sylvite_translation> translations) {
  static const Output kNone;
  for (size_t i = 0; i < translations.size(); ++i) {
    const Output &output = i < item.outputs.size() ? item.outputs[i] : kNone;
    translations[i] = {output.text.c_str(),
                       output.text.size(),
                       output.tokens.data(),
                       static_cast<int32_t>(output.tokens.size()),
                       output.score,
                       output.ended ? 1 : 0,
                       saturated(static_cast<int64_t>(item.tokens.size())),
                       saturated(item.unknown),
                       saturated(item.bad_utf8),
                       item.problem.empty() ? nullptr : item.problem.c_str()};
  }
}

}  // namespace
}  // namespace sylvite

extern "C" {

sylvite_result sylvite_translator_create(const sylvite_model *model,
                                         const sylvite_context_options *options,
                                         sylvite_translator **translator, char *message,
                                         size_t size) {
  *translator = nullptr;
  std::unique_ptr<sylvite_translator> made(new (std::nothrow) sylvite_translator);
  const sylvite::Error error = made == nullptr
                                   ? sylvite::Error{SYLVITE_OUT_OF_MEMORY, "out of memory"}
                                   : sylvite::open(*model, options, made.get());
  if (!error.ok()) {
    if (message != nullptr && size > 0) {
      std::snprintf(message, size, "%s", error.message.c_str());
    }
    return error.code;
  }
  *translator = made.release();
  return SYLVITE_OK;
}

void sylvite_translator_destroy(sylvite_translator *translator) {
  delete translator;
}

const char *sylvite_translator_error(const sylvite_translator *translator) {
  return translator->error.c_str();
}

void sylvite_translator_defaults(const sylvite_translator *translator,
                                 sylvite_translate_options *options) {
  const sylvite_translate_task &task = translator->task();
  *options = {};
  options->beams = std::min(task.beams, sylvite::kMostBeams);
  options->n_best = 1;
  options->max_length = sylvite::max_length(task, task.max_length);
  options->length_penalty = task.length_penalty;
  options->early_stopping = task.early_stopping;
  options->batch = 32;
}

sylvite_result sylvite_translator_run(sylvite_translator *translator, const sylvite_text *texts,
                                      int32_t count, const sylvite_translate_options *options,
                                      sylvite_translation *translations) {
  sylvite_translate_options used;
  sylvite_translator_defaults(translator, &used);
  used = options != nullptr ? *options : used;
  translator->error.clear();
  translator->items.clear();
  if (sylvite::Error error = sylvite::check_options(used, count); !error.ok()) {
    return translator->fail(std::move(error));
  }
  translator->options = &used;
  translator->progress = {count, 0, 0};
  sylvite::Error error =
      sylvite::run_all(*translator, std::span(texts, static_cast<size_t>(count)));
  translator->options = nullptr;
  if (!error.ok() && error.code != SYLVITE_CANCELLED) {
    translator->items.clear();
    return translator->fail(std::move(error));
  }
  const size_t n_best = static_cast<size_t>(used.n_best);
  for (size_t i = 0; i < translator->items.size(); ++i) {
    sylvite::hand_out(translator->items[i], {translations + i * n_best, n_best});
  }
  return error.ok() ? SYLVITE_OK : translator->fail(std::move(error));
}

sylvite_text sylvite_translator_token(const sylvite_translator *translator, int32_t token) {
  const std::string_view text = translator->target->token(token);
  return {text.data(), text.size()};
}

int32_t sylvite_translator_max_source(const sylvite_translator *translator) {
  return sylvite::max_source(translator->task());
}

}  // extern "C"
