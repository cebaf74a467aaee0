// What a search asks of one row of scores, one for each word of the vocabulary. The bits of every
// answer depend on the row alone, not on the CPU.
#pragma once

#include <cstdint>
#include <span>

namespace sylvite {

struct TokenScore {
  float score;
  int32_t token;
};

// Of finite scores: log softmax(scores)[i] = (scores[i] - max) - log_sum.
struct LogSum {
  float max, log_sum;
};
LogSum log_sum_exp(std::span<const float> scores);

// The greatest score; of equal ones that of the lower token. Token -1 where no score is greater
// than minus infinity; NaN is never the greatest.
TokenScore best_token(std::span<const float> scores);

// The best.size() greatest scores in descending order, equal ones in the order of their tokens;
// those that are minus infinity or NaN are left out. Returns how many there are.
int32_t best_tokens(std::span<const float> scores, std::span<TokenScore> best);

}  // namespace sylvite
