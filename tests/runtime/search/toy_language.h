// A language model whose scores are those of toy_scores.h.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "runtime/tasks/search.h"
#include "tests/runtime/search/toy_scores.h"

namespace sylvite::testing {

class ToyLanguage : public StepModel {
 public:
  ToyLanguage(uint32_t seed, std::span<const uint32_t> sources, int32_t vocabulary, int32_t end)
      : vocabulary_(vocabulary), end_(end) {
    for (const uint32_t source : sources) {
      rows_.push_back(toy_begin(seed, source));
    }
  }

  int32_t vocabulary() const override { return vocabulary_; }
  Result<std::span<float>> step(std::span<const int32_t> parents,
                                std::span<const int32_t> tokens) override {
    previous_.swap(rows_);
    rows_.clear();
    scores_.clear();
    for (size_t i = 0; i < parents.size(); ++i) {
      rows_.push_back(toy_append(previous_.at(static_cast<size_t>(parents[i])), tokens[i]));
      for (int32_t token = 0; token < vocabulary_; ++token) {
        scores_.push_back(toy_score(rows_.back(), token, end_));
      }
    }
    rows_run.push_back(parents.size());
    return std::span(scores_);
  }

  std::vector<size_t> rows_run;  // in each step

 private:
  int32_t vocabulary_, end_;
  std::vector<ToyPast> rows_, previous_;
  std::vector<float> scores_;
};

}  // namespace sylvite::testing
