// What greedy and beam search share, and greedy search: the best token each time; sentences that
// are done leave the batch at once.
//
// The rules follow the logits processors of transformers 4.57, in its order: bad words, forced
// first token, forced last token. A forced token's log probability counts as 0.
#include "runtime/tasks/search.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

#include "runtime/tasks/search_state.h"

namespace sylvite {
namespace {

float log_probability(float score, int32_t kind, const LogSum &log_sum) {
  switch (kind) {
    case SYL_LOGITS:
      return (score - log_sum.max) - log_sum.log_sum;
    case SYL_PROBABILITIES:
      return std::log(score);
    default:
      return score;
  }
}

}  // namespace

std::vector<int32_t> TokenTree::tokens(int32_t node) const {
  std::vector<int32_t> reversed;
  for (; node != kRoot; node = nodes_[static_cast<size_t>(node)].parent) {
    reversed.push_back(nodes_[static_cast<size_t>(node)].token);
  }
  return {reversed.rbegin(), reversed.rend()};
}

TokenRules::TokenRules(const SearchOptions &options, int32_t vocabulary)
    : options_(options), vocabulary_(vocabulary) {}

int32_t TokenRules::forced(int32_t step) const {
  const int32_t token = is_last(step) && options_.forced_end >= 0 ? options_.forced_end
                        : step == 0                               ? options_.forced_start
                                                                  : -1;
  return token < vocabulary_ ? token : -1;
}

void TokenRules::ban(std::span<float> row) const {
  for (const int32_t token : options_.banned) {
    if (token >= 0 && token < vocabulary_ && token != options_.end) {
      row[static_cast<size_t>(token)] = -std::numeric_limits<float>::infinity();
    }
  }
}

int32_t TokenRules::best(std::span<float> row, int32_t step, std::span<TokenScore> best) const {
  if (const int32_t token = forced(step); token >= 0) {
    best[0] = {0, token};
    return 1;
  }
  if (best.size() == 1 && !options_.scores) {
    ban(row);
    best[0] = {0, best_token(row).token};
    return best[0].token >= 0 && std::isfinite(row[static_cast<size_t>(best[0].token)]) ? 1 : 0;
  }
  const LogSum log_sum = options_.score_kind == SYL_LOGITS ? log_sum_exp(row) : LogSum{};
  ban(row);
  const int32_t found = best_tokens(row, best);
  int32_t count = 0;
  for (int32_t i = 0; i < found; ++i) {
    const TokenScore &one = best[static_cast<size_t>(i)];
    const float log = log_probability(one.score, options_.score_kind, log_sum);
    if (std::isfinite(log)) {
      best[static_cast<size_t>(count++)] = {log, one.token};
    }
  }
  return count;
}

void TokenRules::best_of_rows(StepModel &model, std::span<float> scores, int32_t step,
                              std::span<TokenScore> best, std::span<int32_t> counts) const {
  struct Work {
    const TokenRules &rules;
    std::span<float> scores;
    int32_t step;
    std::span<TokenScore> best;
    std::span<int32_t> counts;
  } work{*this, scores, step, best, counts};
  model.for_rows(
      static_cast<int32_t>(counts.size()),
      [](void *user, int32_t number) {
        const Work &all = *static_cast<const Work *>(user);
        const size_t row = static_cast<size_t>(number);
        const size_t words = static_cast<size_t>(all.rules.vocabulary_);
        const size_t most = all.best.size() / all.counts.size();
        all.counts[row] = all.rules.best(all.scores.subspan(row * words, words), all.step,
                                         all.best.subspan(row * most, most));
      },
      &work);
}

float length_score(float sum, int32_t length, float penalty) {
  return sum / static_cast<float>(std::pow(static_cast<double>(length), double{penalty}));
}

Error cancelled() {
  return {SYLVITE_CANCELLED, "cancelled"};
}

Error no_token(int32_t step) {
  return bad_input("the model gives no token a finite score at position ", step);
}

Error greedy_search(StepModel &model, int32_t sentences, const SearchOptions &options,
                    const SearchObserver &observer, std::vector<std::vector<Hypothesis>> *results) {
  struct Row {
    int32_t sentence, node;
    float sum;
  };
  struct End {
    int32_t node = TokenTree::kRoot, length = 0;  // length 0: not done
    float sum = 0;
    bool ended = false;
  };
  const TokenRules rules(options, model.vocabulary());
  TokenTree tree;
  std::vector<End> ends(static_cast<size_t>(sentences));
  std::vector<Row> rows;
  std::vector<int32_t> parents, tokens, counts(ends.size());
  std::vector<TokenScore> bests(ends.size());
  for (int32_t i = 0; i < sentences; ++i) {
    rows.push_back({i, TokenTree::kRoot, 0});
    parents.push_back(i);
    tokens.push_back(options.start);
  }
  if (options.reserve) {
    tree.reserve(int64_t{sentences} * options.max_length);
  }
  Error error;
  for (int32_t step = 0; !rows.empty() && error.ok(); ++step) {
    const Result<std::span<float>> scores = model.step(parents, tokens);
    if (!scores.ok()) {
      error = scores.error();
      break;
    }
    rules.best_of_rows(model, scores.value(), step, std::span(bests).first(rows.size()),
                       std::span(counts).first(rows.size()));
    size_t kept = 0;
    for (size_t i = 0; i < rows.size(); ++i) {
      Row row = rows[i];
      const TokenScore best = bests[i];
      const bool ended = best.token == options.end && options.end >= 0;
      row.sum += best.score;
      if (counts[i] == 0) {
        error = no_token(step);
        break;
      }
      if (!ended) {
        row.node = tree.add(row.node, best.token);
      }
      if (ended || rules.is_last(step)) {
        ends[static_cast<size_t>(row.sentence)] = {row.node, step + 1, row.sum, ended};
      } else {
        rows[kept] = row;
        parents[kept] = static_cast<int32_t>(i);
        tokens[kept++] = best.token;
      }
    }
    const int32_t run = static_cast<int32_t>(rows.size());
    rows.resize(kept);
    parents.resize(kept);
    tokens.resize(kept);
    const SearchProgress progress{step, run, sentences, sentences - static_cast<int32_t>(kept)};
    if (error.ok() && observer.after_step != nullptr && !rows.empty() &&
        !observer.after_step(observer.user, progress)) {
      error = cancelled();
    }
  }
  for (size_t i = 0; i < ends.size(); ++i) {
    if (ends[i].length > 0) {
      (*results)[i].push_back({tree.tokens(ends[i].node),
                               length_score(ends[i].sum, ends[i].length, options.length_penalty),
                               ends[i].ended});
    }
  }
  return error;
}

Error search(StepModel &model, int32_t sentences, const SearchOptions &options,
             const SearchObserver &observer, std::vector<std::vector<Hypothesis>> *results) {
  results->assign(static_cast<size_t>(sentences), {});
  if (sentences == 0) {
    return {};
  }
  return options.beams > 1 ? beam_search(model, sentences, options, observer, results)
                           : greedy_search(model, sentences, options, observer, results);
}

}  // namespace sylvite
