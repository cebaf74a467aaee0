// A translator's model as a search sees it: the sources are encoded once, then each step gives the
// scores of the next tokens. Keeps what there is between steps: caches, or the tokens so far.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "runtime/include/sylvite/sylvite.h"
#include "runtime/tasks/cache_blocks.h"
#include "runtime/tasks/linked_sources.h"
#include "runtime/tasks/search.h"
#include "runtime/tasks/small_integers.h"
#include "runtime/tasks/translate_task.h"

namespace sylvite {

class Decoder : public StepModel {
 public:
  // The model must outlive it.
  static Result<std::unique_ptr<Decoder>> create(const sylvite_model &model,
                                                 const sylvite_context_options &options);
  ~Decoder() override;

  const TranslateTask &task() const { return task_; }
  // How many sentences may be searched at once with so many beams; 0: not even one.
  int32_t most_sentences(int32_t beams) const;
  // Whether sources of several lengths may stand in one batch: only a mask or a fixed length makes
  // what a sentence gets independent of the padding.
  bool mixes_lengths() const;

  struct Room {  // what to take at once, for no allocation later; 0: nothing
    int64_t rows = 0, length = 0;
  };
  // Encodes the sources, each at least one token. They become the sentences of the first step.
  Error begin(std::span<const std::span<const int32_t>> sources, const Room &room);

  int32_t vocabulary() const override { return task_.vocabulary; }
  void for_rows(int32_t rows, void (*work)(void *user, int32_t row), void *user) override;
  Result<std::span<float>> step(std::span<const int32_t> parents,
                                std::span<const int32_t> tokens) override;

 private:
  struct ModelEnd {
    void operator()(sylvite_model *model) const { sylvite_model_close(model); }
  };
  struct ContextEnd {
    void operator()(sylvite_context *context) const { sylvite_context_destroy(context); }
  };
  explicit Decoder(TranslateTask task);
  Error open(const sylvite_model &model, const sylvite_context_options &options);
  Error encode(std::span<const std::span<const int32_t>> sources);
  Error reserve(const Room &room);
  Error follow(std::span<const int32_t> parents, std::span<const int32_t> tokens);
  void shape_step(int64_t rows, int64_t past);
  void fill_step(std::span<const int32_t> tokens);
  int64_t step_rows(size_t rows) const;
  std::span<float> last_scores(int64_t rows);

  TranslateTask task_;
  std::unique_ptr<sylvite_model, ModelEnd> step_model_;
  std::unique_ptr<sylvite_context, ContextEnd> encode_context_, step_context_;
  CacheBlocks blocks_;
  LinkedSources linked_;

  std::vector<sylvite_tensor> encode_inputs_, encode_outputs_, step_inputs_, step_outputs_;
  SmallIntegers source_tokens_, source_mask_, step_tokens_, step_mask_;
  int64_t encoded_ = 0;   // rows of what comes from encode
  int64_t past_ = 0;      // steps so far
  int32_t position_ = 0;  // the same, as step's input

  std::vector<int32_t> sources_, next_sources_;    // of each row
  std::vector<int32_t> prefixes_, next_prefixes_;  // without caches: tokens so far, row by row
  std::vector<float> scores_;                      // of the last tokens, where step gives all
};

}  // namespace sylvite
