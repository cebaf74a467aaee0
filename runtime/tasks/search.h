// Decoding: from the scores of the next token to sentences, by taking the best token each time or
// by beam search. Knows nothing of models and text.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "runtime/abi.h"
#include "runtime/io/result.h"

namespace sylvite {

// What is asked for the next token's scores. Before the first step there is one row for each
// sentence, numbered from 0. In each step row i continues row parents[i] of the step before (of the
// sentences, in the first one) with the token tokens[i]; rows that are nobody's parent are over.
class StepModel {
 public:
  virtual ~StepModel() = default;
  virtual int32_t vocabulary() const = 0;
  // Calls work(user, row) for each row, on any of the model's threads.
  virtual void for_rows(int32_t rows, void (*work)(void *user, int32_t row), void *user) {
    for (int32_t row = 0; row < rows; ++row) {
      work(user, row);
    }
  }
  // [rows, vocabulary], which the caller may overwrite; valid until the next step.
  virtual Result<std::span<float>> step(std::span<const int32_t> parents,
                                        std::span<const int32_t> tokens) = 0;
};

struct SearchOptions {
  int32_t beams = 1;           // 1: the best token each time
  int32_t n_best = 1;          // hypotheses for each sentence, at most `beams`
  int32_t max_length = 128;    // generated tokens, the end token among them
  float length_penalty = 1;    // score = sum of log probabilities / length ^ penalty
  int32_t early_stopping = 0;  // as in sylvite_translate_task
  int32_t start = 0;
  int32_t end = -1, forced_start = -1, forced_end = -1;  // -1: none
  std::span<const int32_t> banned;                       // never generated, but for the end token
  int32_t score_kind = SYL_LOGITS;                       // enum sylvite_score_kind
  bool scores = true;    // false: without beams, scores may stay 0, which is a little faster
  bool reserve = false;  // take the memory for max_length at once
};

struct Hypothesis {
  std::vector<int32_t> tokens;  // without start and end
  float score = 0;
  bool ended = false;  // false: cut at max_length
};

// After each step. `finished`: sentences that are done. False ends the search.
struct SearchProgress {
  int32_t step, rows, sentences, finished;
};
struct SearchObserver {
  bool (*after_step)(void *user, const SearchProgress &progress) = nullptr;
  void *user = nullptr;
};

// The hypotheses of each sentence, the best first. There may be fewer than n_best: with beams,
// those that the search ended without. On an error, and with SYLVITE_CANCELLED when the observer
// ended it, those that were not done have none. What a sentence gets does not depend on the others.
Error search(StepModel &model, int32_t sentences, const SearchOptions &options,
             const SearchObserver &observer, std::vector<std::vector<Hypothesis>> *results);

}  // namespace sylvite
