// What greedy and beam search share.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "runtime/tasks/search.h"
#include "runtime/tasks/vocabulary.h"

namespace sylvite {

// The tokens of all rows as a tree, so that beams share their beginnings and a step adds a few
// numbers only.
class TokenTree {
 public:
  static constexpr int32_t kRoot = -1;
  void reserve(int64_t nodes) { nodes_.reserve(static_cast<size_t>(nodes)); }
  int32_t add(int32_t parent, int32_t token) {
    nodes_.push_back({parent, token});
    return static_cast<int32_t>(nodes_.size()) - 1;
  }
  int32_t token(int32_t node) const { return nodes_[static_cast<size_t>(node)].token; }
  // From the root to `node`.
  std::vector<int32_t> tokens(int32_t node) const;

 private:
  struct Node {
    int32_t parent, token;
  };
  std::vector<Node> nodes_;
};

// The scores of a step as the rules leave them: banned tokens are never taken, the first and the
// last token may be forced.
class TokenRules {
 public:
  TokenRules(const SearchOptions &options, int32_t vocabulary);

  bool is_last(int32_t step) const { return step + 1 >= options_.max_length; }
  // The token that has to be taken in this step; -1: none.
  int32_t forced(int32_t step) const;
  // The best tokens of each row by log probability, best.size() / rows for each, the best first;
  // counts: how many a row has. Overwrites the scores.
  void best_of_rows(StepModel &model, std::span<float> scores, int32_t step,
                    std::span<TokenScore> best, std::span<int32_t> counts) const;

 private:
  int32_t best(std::span<float> row, int32_t step, std::span<TokenScore> best) const;
  void ban(std::span<float> row) const;
  const SearchOptions &options_;
  int32_t vocabulary_;
};

// A sum of log probabilities as the score of a sentence of that many tokens.
float length_score(float sum, int32_t length, float penalty);

Error greedy_search(StepModel &model, int32_t sentences, const SearchOptions &options,
                    const SearchObserver &observer, std::vector<std::vector<Hypothesis>> *results);
Error beam_search(StepModel &model, int32_t sentences, const SearchOptions &options,
                  const SearchObserver &observer, std::vector<std::vector<Hypothesis>> *results);

Error cancelled();
Error no_token(int32_t step);  // every score is minus infinity or NaN

}  // namespace sylvite
