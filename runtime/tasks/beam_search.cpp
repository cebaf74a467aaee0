// Beam search as transformers 4.57 does it (GenerationMixin._beam_search), for each sentence as if
// it stood alone, number for number in float:
//
// A sentence has k running beams; at the start all but the first have the sum -1e9, so the first
// token comes from one of them. In each step the 2k best continuations of all beams are taken, so
// that k are left to run on when the k best end. Those of the first k that end (or all of them, at
// max_length) compete with the finished ones by sum / length ^ penalty, the end token counted. The
// search ends when k sentences are finished and the best running beam, by its sum over the length
// so far (with "never" and a positive penalty: over max_length), is no better than the worst of
// them; with early stopping as soon as k are finished.
//
// -1e9 is added as the original does it: two numbers beside it are equal in float, so ties among
// what is never chosen are broken here by order.
#include <algorithm>
#include <cstddef>
#include <limits>

#include "runtime/tasks/search_state.h"

namespace sylvite {
namespace {

constexpr float kFar = -1e9f;
enum { kStopLate = 0, kStopEarly = 1, kStopNever = 2 };

struct Running {
  float sum;
  int32_t node;
  int32_t row;  // of the step whose scores are looked at
};
struct Finished {
  float score = kFar;
  int32_t node = TokenTree::kRoot;
  bool done = false, ended = false;
  bool copy = false;  // of the first beam's first token, which stands in for a missing beam
};
struct Continuation {
  float sum;
  int32_t beam, token;
  bool stops = false;
};

// The `count` items with the greatest values, in order; of equal ones the first comes first. Few of
// them move, so each is inserted among those that are kept.
template <typename Item, typename Value>
void keep_best(std::vector<Item> *items, size_t count, const Value &value) {
  size_t kept = 0;
  for (const Item item : *items) {
    if (kept == count && !(value((*items)[kept - 1]) < value(item))) {
      continue;
    }
    size_t at = kept < count ? kept++ : kept - 1;
    for (; at > 0 && value((*items)[at - 1]) < value(item); --at) {
      (*items)[at] = (*items)[at - 1];
    }
    (*items)[at] = item;
  }
  items->resize(kept);
}

struct Sentence {
  int32_t number = 0;
  std::vector<Running> running;
  std::vector<Finished> finished;  // k, the best first
};

class BeamSearch {
 public:
  BeamSearch(StepModel &model, const SearchOptions &options)
      : model_(model), options_(options), rules_(options, model.vocabulary()) {}

  Error run(int32_t sentences, const SearchObserver &observer);
  void collect(std::vector<std::vector<Hypothesis>> *results) const;

 private:
  size_t beams() const { return static_cast<size_t>(options_.beams); }
  void begin(int32_t sentences);
  bool advance(Sentence &sentence, int32_t step);
  void list_continuations(const Sentence &sentence, int32_t step);
  void run_on(Sentence &sentence);
  void finish(Sentence &sentence, int32_t length);
  bool may_improve(const Sentence &sentence, int32_t length) const;
  void list_rows();

  StepModel &model_;
  const SearchOptions &options_;
  const TokenRules rules_;
  TokenTree tree_;
  std::vector<Sentence> sentences_;
  std::vector<int32_t> active_;            // those of sentences_ that are not done
  std::vector<int32_t> parents_, tokens_;  // of the next step
  // Of one step: 2k tokens of each row, and how many of them there are.
  std::vector<TokenScore> row_best_;
  std::vector<int32_t> row_counts_;
  // Of one sentence in one step.
  std::vector<Continuation> continuations_, going_on_;
  std::vector<Running> next_;
};

void BeamSearch::begin(int32_t sentences) {
  const size_t k = beams();
  sentences_.resize(static_cast<size_t>(sentences));
  for (int32_t i = 0; i < sentences; ++i) {
    Sentence &sentence = sentences_[static_cast<size_t>(i)];
    sentence.number = i;
    sentence.finished.reserve(3 * k);
    sentence.finished.resize(k);
    for (size_t beam = 0; beam < k; ++beam) {  // all look at one row
      sentence.running.push_back({beam == 0 ? 0 : kFar, TokenTree::kRoot, i});
    }
    active_.push_back(i);
    parents_.push_back(i);
    tokens_.push_back(options_.start);
  }
  const size_t most_rows = sentences_.size() * k;
  parents_.reserve(most_rows);
  tokens_.reserve(most_rows);
  row_best_.resize(most_rows * 2 * k);
  row_counts_.resize(most_rows);
  continuations_.reserve(2 * k * k);
  going_on_.reserve(2 * k);
  next_.reserve(k);
  if (options_.reserve) {
    tree_.reserve(static_cast<int64_t>(most_rows) * 2 * options_.max_length);
  }
}

void BeamSearch::list_continuations(const Sentence &sentence, int32_t step) {
  continuations_.clear();
  for (size_t beam = 0; beam < sentence.running.size(); ++beam) {
    const Running &running = sentence.running[beam];
    const size_t row = static_cast<size_t>(running.row);
    for (size_t i = 0; i < static_cast<size_t>(row_counts_[row]); ++i) {
      const TokenScore &best = row_best_[row * 2 * beams() + i];
      const bool ends = best.token == options_.end && options_.end >= 0;
      continuations_.push_back({best.score + running.sum, static_cast<int32_t>(beam), best.token,
                                ends || rules_.is_last(step)});
    }
  }
  keep_best(&continuations_, 2 * beams(), [](const Continuation &one) { return one.sum; });
}

// The k best that do not stop become the running beams; their rows are parents still.
void BeamSearch::run_on(Sentence &sentence) {
  const auto value = [](const Continuation &one) { return one.sum + (one.stops ? kFar : 0.0f); };
  going_on_ = continuations_;
  keep_best(&going_on_, beams(), value);
  next_.clear();
  for (const Continuation &one : going_on_) {
    const Running &parent = sentence.running[static_cast<size_t>(one.beam)];
    next_.push_back({value(one), tree_.add(parent.node, one.token), parent.row});
  }
}

void BeamSearch::finish(Sentence &sentence, int32_t length) {
  for (size_t i = 0; i < continuations_.size(); ++i) {
    const Continuation &one = continuations_[i];
    if (!one.stops || i >= beams()) {
      continue;  // the original keeps these too, with -1e9 added
    }
    const bool ended = one.token == options_.end && options_.end >= 0;
    const int32_t node = sentence.running[static_cast<size_t>(one.beam)].node;
    sentence.finished.push_back({length_score(one.sum, length, options_.length_penalty),
                                 ended ? node : tree_.add(node, one.token), true, ended,
                                 one.sum < kFar / 2});
  }
  keep_best(&sentence.finished, beams(), [](const Finished &one) { return one.score; });
}

bool BeamSearch::may_improve(const Sentence &sentence, int32_t length) const {
  const bool at_most = options_.early_stopping == kStopNever && options_.length_penalty > 0;
  const float best = length_score(sentence.running[0].sum, at_most ? options_.max_length : length,
                                  options_.length_penalty);
  float worst = std::numeric_limits<float>::infinity();
  for (const Finished &one : sentence.finished) {
    worst = std::min(worst, one.score);
  }
  return std::any_of(sentence.finished.begin(), sentence.finished.end(),
                     [&](const Finished &one) { return best > (one.done ? worst : kFar); });
}

// One step of a sentence; false: it is done.
bool BeamSearch::advance(Sentence &sentence, int32_t step) {
  run_on(sentence);
  finish(sentence, step + 1);
  sentence.running.swap(next_);
  const bool full = std::all_of(sentence.finished.begin(), sentence.finished.end(),
                                [](const Finished &one) { return one.done; });
  const bool all_stop = std::all_of(continuations_.begin(), continuations_.end(),
                                    [](const Continuation &one) { return one.stops; });
  return may_improve(sentence, step + 1) && !(full && options_.early_stopping == kStopEarly) &&
         !all_stop;
}

// The running beams of the active sentences become the rows of the next step.
void BeamSearch::list_rows() {
  parents_.clear();
  tokens_.clear();
  for (const int32_t number : active_) {
    for (Running &running : sentences_[static_cast<size_t>(number)].running) {
      parents_.push_back(running.row);
      tokens_.push_back(tree_.token(running.node));
      running.row = static_cast<int32_t>(parents_.size()) - 1;
    }
  }
}

Error BeamSearch::run(int32_t sentences, const SearchObserver &observer) {
  begin(sentences);
  for (int32_t step = 0; !active_.empty(); ++step) {
    const Result<std::span<float>> scores = model_.step(parents_, tokens_);
    if (!scores.ok()) {
      return scores.error();
    }
    const int32_t rows = static_cast<int32_t>(parents_.size());
    const size_t row_count = parents_.size();
    rules_.best_of_rows(model_, scores.value(), step,
                        std::span(row_best_).first(row_count * 2 * beams()),
                        std::span(row_counts_).first(row_count));
    size_t kept = 0;
    for (size_t i = 0; i < active_.size(); ++i) {
      Sentence &sentence = sentences_[static_cast<size_t>(active_[i])];
      list_continuations(sentence, step);
      if (continuations_.empty()) {
        active_.erase(active_.begin() + static_cast<ptrdiff_t>(kept),
                      active_.begin() + static_cast<ptrdiff_t>(i));
        return no_token(step);
      }
      if (advance(sentence, step)) {
        active_[kept++] = active_[i];
      }
    }
    active_.resize(kept);
    const SearchProgress progress{step, rows, sentences, sentences - static_cast<int32_t>(kept)};
    if (observer.after_step != nullptr && !active_.empty() &&
        !observer.after_step(observer.user, progress)) {
      return cancelled();
    }
    list_rows();
  }
  return {};
}

void BeamSearch::collect(std::vector<std::vector<Hypothesis>> *results) const {
  for (const Sentence &sentence : sentences_) {
    if (std::find(active_.begin(), active_.end(), sentence.number) != active_.end()) {
      continue;
    }
    std::vector<Hypothesis> &result = (*results)[static_cast<size_t>(sentence.number)];
    for (const Finished &one : sentence.finished) {
      if (one.done && !one.copy && static_cast<int32_t>(result.size()) < options_.n_best) {
        result.push_back({tree_.tokens(one.node), one.score, one.ended});
      }
    }
  }
}

}  // namespace

Error beam_search(StepModel &model, int32_t sentences, const SearchOptions &options,
                  const SearchObserver &observer, std::vector<std::vector<Hypothesis>> *results) {
  BeamSearch search(model, options);
  Error error = search.run(sentences, observer);
  search.collect(results);
  return error;
}

}  // namespace sylvite
