// Greedy and beam search against what transformers finds with the same scores
// (search/make_goldens.py), and the passes over the vocabulary against plain loops in double.
#include "runtime/tasks/search.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <limits>
#include <map>
#include <numeric>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "runtime/tasks/search_state.h"
#include "runtime/tasks/vocabulary.h"
#include "tests/runtime/search/toy_language.h"

namespace sylvite {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::ToyLanguage;
using Results = std::vector<std::vector<Hypothesis>>;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// ---- passes over the vocabulary ----

std::vector<float> random_scores(size_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, 4);
  std::vector<float> scores(count);
  for (float &score : scores) {
    score = normal(random);
  }
  return scores;
}

TEST(Vocabulary, LogSumIsThatOfDoubles) {
  for (const size_t count : {1, 2, 15, 16, 17, 100, 1023, 1024, 1025, 8000, 100003}) {
    const std::vector<float> scores = random_scores(count, static_cast<uint32_t>(count));
    double max = -1e30, sum = 0;
    for (const float score : scores) {
      max = std::max(max, double{score});
    }
    for (const float score : scores) {
      sum += std::exp(double{score} - max);
    }
    const LogSum found = log_sum_exp(scores);
    EXPECT_EQ(found.max, static_cast<float>(max));
    EXPECT_NEAR(found.log_sum, std::log(sum), 1e-6 * std::max(1.0, std::log(sum))) << count;
  }
  const std::vector<float> far = {0, -200, -kInfinity, 0};
  EXPECT_FLOAT_EQ(log_sum_exp(far).log_sum, std::log(2.0f));
}

// The bits that every build must give: a fixed row, computed once.
TEST(Vocabulary, LogSumHasFixedBits) {
  std::vector<float> scores;
  for (uint32_t i = 0; i < 3001; ++i) {
    scores.push_back(static_cast<float>(testing::mix(7, i) & 0xFFFF) / 4096.0f);
  }
  const float found = log_sum_exp(scores).log_sum;
  uint32_t bits = 0;
  std::memcpy(&bits, &found, sizeof bits);
  EXPECT_EQ(bits, 0x40a121aau) << std::hex << bits;
}

TEST(Vocabulary, BestTokensAreThoseOfASort) {
  std::mt19937 random(3);
  for (int round = 0; round < 300; ++round) {
    const size_t count = 1 + random() % 200, wanted = 1 + random() % 20;
    std::vector<float> scores = random_scores(count, random());
    for (float &score : scores) {
      switch (random() % 8) {
        case 0:
          score = std::floor(score);  // equal ones
          break;
        case 1:
          score = random() % 2 == 0 ? -kInfinity : std::nanf("");
          break;
        default:
          break;
      }
    }
    std::vector<int32_t> order;
    for (size_t i = 0; i < count; ++i) {
      if (scores[i] > -kInfinity) {
        order.push_back(static_cast<int32_t>(i));
      }
    }
    const auto score_of = [&](int32_t token) { return scores[static_cast<size_t>(token)]; };
    std::stable_sort(order.begin(), order.end(),
                     [&](int32_t a, int32_t b) { return score_of(a) > score_of(b); });
    std::vector<TokenScore> best(wanted);
    const int32_t found = best_tokens(scores, best);
    ASSERT_EQ(static_cast<size_t>(found), std::min(wanted, order.size()));
    for (size_t i = 0; i < static_cast<size_t>(found); ++i) {
      EXPECT_EQ(best[i].token, order[i]);
      EXPECT_EQ(best[i].score, score_of(order[i]));
    }
    EXPECT_EQ(best_token(scores).token, order.empty() ? -1 : order[0]);
  }
}

// ---- against transformers ----

struct GoldenHypothesis {
  uint32_t source;
  float score;
  bool ended;
  std::vector<int32_t> tokens;
};
struct Golden {
  std::string line;
  uint32_t seed = 0;
  int32_t vocabulary = 0;
  std::vector<int32_t> banned;
  SearchOptions options;
  std::vector<GoldenHypothesis> expected;

  // Of one source, in order.
  std::vector<GoldenHypothesis> of(uint32_t source) const {
    std::vector<GoldenHypothesis> found;
    std::copy_if(expected.begin(), expected.end(), std::back_inserter(found),
                 [&](const GoldenHypothesis &one) { return one.source == source; });
    return found;
  }
};

void read_case(const std::string &line, Golden *golden) {
  golden->line = line;
  std::istringstream words(line);
  std::map<std::string, std::string> fields;
  for (std::string word; words >> word;) {
    const size_t equals = word.find('=');
    fields[word.substr(0, equals)] = word.substr(equals + 1);
  }
  const auto number = [&](const char *name) { return std::stoi(fields.at(name)); };
  golden->seed = static_cast<uint32_t>(number("seed"));
  golden->vocabulary = number("vocabulary");
  SearchOptions &options = golden->options;
  options.beams = number("beams");
  options.n_best = number("n_best");
  options.max_length = number("max_length");
  options.length_penalty = std::stof(fields.at("length_penalty"));
  options.early_stopping = number("early_stopping");
  options.start = number("start");
  options.end = number("end");
  options.forced_start = number("forced_start");
  options.forced_end = number("forced_end");
  std::istringstream banned(fields.at("banned"));
  for (std::string word; std::getline(banned, word, ',');) {
    golden->banned.push_back(std::stoi(word));
  }
}

std::vector<Golden> read_goldens() {
  std::ifstream file(SYLVITE_SOURCE_DIR "/tests/runtime/search/goldens.txt");
  std::vector<Golden> goldens;
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(' ')) {
      read_case(line, &goldens.emplace_back());
      continue;
    }
    std::istringstream words(line);
    GoldenHypothesis one{};
    words >> one.source >> one.score >> one.ended;
    for (int32_t token = 0; words >> token;) {
      one.tokens.push_back(token);
    }
    goldens.back().expected.push_back(one);
  }
  for (Golden &golden : goldens) {
    golden.options.banned = golden.banned;
  }
  return goldens;
}

Results run(const Golden &golden, const std::vector<uint32_t> &sources,
            const SearchOptions &options) {
  ToyLanguage model(golden.seed, sources, golden.vocabulary, options.end);
  Results results;
  const Error error = search(model, static_cast<int32_t>(sources.size()), options, {}, &results);
  EXPECT_TRUE(error.ok()) << error.message;
  return results;
}

void expect_equal(const Golden &golden, uint32_t source, const std::vector<Hypothesis> &found) {
  const std::vector<GoldenHypothesis> expected = golden.of(source);
  ASSERT_EQ(found.size(), expected.size()) << golden.line;
  for (size_t i = 0; i < found.size(); ++i) {
    EXPECT_EQ(found[i].tokens, expected[i].tokens) << golden.line << " source " << source;
    EXPECT_EQ(found[i].ended, expected[i].ended) << golden.line;
    EXPECT_NEAR(found[i].score, expected[i].score, 2e-6 * std::abs(expected[i].score) + 1e-7)
        << golden.line;
  }
}

TEST(Search, FindsWhatTransformersFinds) {
  const std::vector<Golden> goldens = read_goldens();
  ASSERT_GT(goldens.size(), 100u);
  for (const Golden &golden : goldens) {
    for (uint32_t source = 1; source <= 3; ++source) {
      expect_equal(golden, source, run(golden, {source}, golden.options)[0]);
    }
  }
}

bool same_bits(const std::vector<Hypothesis> &a, const std::vector<Hypothesis> &b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const Hypothesis &x, const Hypothesis &y) {
                      return x.tokens == y.tokens && x.ended == y.ended &&
                             std::bit_cast<uint32_t>(x.score) == std::bit_cast<uint32_t>(y.score);
                    });
}

TEST(Search, ASentenceDoesNotDependOnItsCompany) {
  const std::vector<uint32_t> sources = {3, 1, 2, 3, 9, 17, 2, 40};
  for (const Golden &golden : read_goldens()) {
    const Results together = run(golden, sources, golden.options);
    for (size_t i = 0; i < sources.size(); ++i) {
      EXPECT_TRUE(same_bits(together[i], run(golden, {sources[i]}, golden.options)[0]))
          << golden.line << " sentence " << i;
    }
  }
}

TEST(Search, OneBeamWithEarlyStoppingIsGreedy) {
  for (const Golden &golden : read_goldens()) {
    SearchOptions options = golden.options;
    options.beams = options.n_best = 1;
    options.early_stopping = 1;
    const std::vector<uint32_t> sources = {1, 2, 3};
    const Results greedy = run(golden, sources, options);
    ToyLanguage model(golden.seed, sources, golden.vocabulary, options.end);
    Results beam(sources.size());
    ASSERT_TRUE(beam_search(model, 3, options, {}, &beam).ok());
    for (size_t i = 0; i < sources.size(); ++i) {
      EXPECT_TRUE(same_bits(greedy[i], beam[i])) << golden.line;
    }
    options.scores = false;
    const Results plain = run(golden, sources, options);
    for (size_t i = 0; i < sources.size(); ++i) {
      EXPECT_EQ(plain[i][0].tokens, greedy[i][0].tokens) << golden.line;
    }
  }
}

// ---- batches, kinds of scores, what models may do wrong ----

// The same rows of scores whatever came before.
class Table : public StepModel {
 public:
  explicit Table(std::vector<std::vector<float>> steps) : steps_(std::move(steps)) {}
  int32_t vocabulary() const override { return static_cast<int32_t>(steps_[0].size()); }
  Result<std::span<float>> step(std::span<const int32_t> parents,
                                std::span<const int32_t> tokens) override {
    if (number_ >= steps_.size()) {
      return bad_input("no step ", number_);
    }
    scores_.clear();
    for (size_t i = 0; i < parents.size(); ++i) {
      scores_.insert(scores_.end(), steps_[number_].begin(), steps_[number_].end());
    }
    ++number_;
    last_tokens.assign(tokens.begin(), tokens.end());
    return std::span(scores_);
  }
  std::vector<int32_t> last_tokens;

 private:
  std::vector<std::vector<float>> steps_;
  std::vector<float> scores_;
  size_t number_ = 0;
};

TEST(Search, FinishedSentencesLeaveTheBatch) {
  const std::vector<uint32_t> sources = {1, 2, 3, 4, 5, 6, 7, 8};
  for (const int32_t beams : {1, 3}) {
    ToyLanguage model(5, sources, 20, 0);
    SearchOptions options;
    options.beams = beams;
    options.end = 0;
    options.max_length = 40;
    Results results;
    ASSERT_TRUE(search(model, 8, options, {}, &results).ok());
    EXPECT_EQ(model.rows_run[0], 8u);
    size_t longest = 0, shortest = 99, rows = 0;
    for (const std::vector<Hypothesis> &result : results) {
      longest = std::max(longest, result[0].tokens.size());
      shortest = std::min(shortest, result[0].tokens.size());
      rows += result[0].tokens.size() + 1;
    }
    ASSERT_LT(shortest + 3, longest);
    if (beams == 1) {
      EXPECT_EQ(model.rows_run.size(), longest + 1);
      EXPECT_EQ(std::accumulate(model.rows_run.begin(), model.rows_run.end(), size_t{0}), rows);
    }
    EXPECT_LE(model.rows_run.back(), static_cast<size_t>(beams) * 2);
  }
}

TEST(Search, KindsOfScoresAgree) {
  const std::vector<std::vector<float>> probabilities = {
      {0.5f, 0.25f, 0.125f, 0.125f}, {0.125f, 0.5f, 0.25f, 0.125f}, {0.25f, 0.25f, 0.5f, 0}};
  std::vector<std::vector<float>> logs = probabilities, logits = probabilities;
  for (size_t i = 0; i < logs.size(); ++i) {
    for (size_t j = 0; j < logs[i].size(); ++j) {
      logs[i][j] = std::log(probabilities[i][j]);
      logits[i][j] = logs[i][j] + 3;
    }
  }
  for (const int32_t beams : {1, 2}) {
    Results found[3];
    for (int32_t kind = 0; kind < 3; ++kind) {
      Table model(kind == SYL_LOGITS ? logits : kind == SYL_PROBABILITIES ? probabilities : logs);
      SearchOptions options;
      options.beams = beams;
      options.max_length = 3;
      options.score_kind = kind;
      ASSERT_TRUE(search(model, 1, options, {}, &found[kind]).ok());
      EXPECT_THAT(found[kind][0][0].tokens, ElementsAre(0, 1, 2));
      EXPECT_NEAR(found[kind][0][0].score, std::log(0.5), 1e-6);
    }
  }
}

TEST(Search, ScoresThatAreNoNumbers) {
  const float nan = std::nanf("");
  for (const int32_t beams : {1, 2}) {
    for (const bool scores : {false, true}) {
      SearchOptions options;
      options.beams = beams;
      options.scores = scores;
      options.max_length = 2;
      options.score_kind = SYL_LOG_PROBABILITIES;
      Results results;
      Table some({{nan, -1, -2, -kInfinity}, {-3, nan, nan, nan}});
      EXPECT_TRUE(search(some, 1, options, {}, &results).ok());
      EXPECT_THAT(results[0][0].tokens, ElementsAre(1, 0));
      Table none({{-1, -2, -3, -4}, {nan, nan, -kInfinity, nan}});
      EXPECT_EQ(search(none, 2, options, {}, &results).message,
                "the model gives no token a finite score at position 1");
      EXPECT_THAT(results, ElementsAre(IsEmpty(), IsEmpty()));
      const std::vector<int32_t> banned = {0, 1, 2, 3, 4, -1};
      options.banned = banned;
      Table all({{-1, -2, -3, -4}});
      EXPECT_THAT(search(all, 1, options, {}, &results).message, HasSubstr("no token"));
      options.end = 2;  // which cannot be banned
      Table end({{-1, -2, -3, -4}, {-1, -2, -3, -4}});
      EXPECT_TRUE(search(end, 1, options, {}, &results).ok());
      EXPECT_THAT(results[0][0].tokens, IsEmpty());
      EXPECT_TRUE(results[0][0].ended);
      options.score_kind = SYL_LOGITS;
      options.banned = {};
      Table infinite({{kInfinity, 1, 2, 3}});
      EXPECT_THAT(search(infinite, 1, options, {}, &results).message, HasSubstr("no token"));
    }
  }
}

TEST(Search, ErrorsOfTheModelEndIt) {
  for (const int32_t beams : {1, 2}) {
    Table model({{1, 2, 3, 4}});
    SearchOptions options;
    options.beams = beams;
    Results results;
    EXPECT_EQ(search(model, 1, options, {}, &results).message, "no step 1");
  }
}

TEST(Search, CanBeCancelledAndKeepsWhatIsDone) {
  const std::vector<uint32_t> sources = {1, 2, 3, 4, 5, 6, 7, 8};
  for (const int32_t beams : {1, 3}) {
    ToyLanguage model(5, sources, 20, 0);
    SearchOptions options;
    options.beams = beams;
    options.end = 0;
    options.max_length = 40;
    struct State {
      int32_t step = -1, finished = 0;
    } state;
    const SearchObserver observer{[](void *user, const SearchProgress &progress) {
                                    State &seen = *static_cast<State *>(user);
                                    EXPECT_EQ(progress.step, seen.step + 1);
                                    seen = {progress.step, progress.finished};
                                    return progress.finished < 3;
                                  },
                                  &state};
    Results results;
    const Error error = search(model, 8, options, observer, &results);
    EXPECT_EQ(error.code, SYLVITE_CANCELLED);
    EXPECT_EQ(std::count_if(results.begin(), results.end(),
                            [](const auto &result) { return !result.empty(); }),
              state.finished);
  }
}

TEST(Search, NothingToDo) {
  Table model({{1, 2}});
  Results results(3);
  EXPECT_TRUE(search(model, 0, {}, {}, &results).ok());
  EXPECT_THAT(results, IsEmpty());
}

}  // namespace
}  // namespace sylvite
