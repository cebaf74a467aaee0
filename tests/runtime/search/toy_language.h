// A language model that is a formula: the twin of scores() in make_goldens.py.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "runtime/tasks/search.h"

namespace sylvite::testing {

inline uint32_t mix(uint32_t state, uint32_t value) {
  state = (state ^ value) * 0x9E3779B1u;
  return state ^ state >> 15;
}

// What the formula knows of a row's past: a hash of source and tokens.
struct ToyPast {
  uint32_t state = 0;
  int32_t length = 0;
};
inline ToyPast toy_begin(uint32_t seed, uint32_t source) {
  return {mix(mix(0, seed), source), 0};
}
inline ToyPast toy_append(ToyPast past, int32_t token) {
  return {mix(past.state, static_cast<uint32_t>(token) + 1), past.length + 1};
}
inline float toy_score(ToyPast past, int32_t token, int32_t end) {
  const uint32_t hash = mix(mix(past.state, static_cast<uint32_t>(token)), 77) & 0xFFFFF;
  const double value = static_cast<double>(hash) / 65536 * 0.5;
  return static_cast<float>(token == end ? value + past.length * 0.25 : value);
}

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
