// Decoding through every form that a compiled translator may have, over programs written by hand
// (translate/toy_translator.h), against searches over the formula that they compute.
#include "runtime/tasks/decoding.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "runtime/cpu.h"
#include "runtime/tasks/cache_blocks.h"
#include "tests/runtime/allocation_counter.h"
#include "tests/runtime/search/toy_language.h"
#include "tests/runtime/translate/toy_translator.h"

namespace sylvite {
namespace {

using ::testing::HasSubstr;
using testing::kToyEnd;
using testing::kToyPad;
using testing::kToyVocabulary;
using testing::toy_state;
using testing::ToyLanguage;
using testing::ToyOptions;
using testing::ToyTranslator;
using Results = std::vector<std::vector<Hypothesis>>;
using Source = std::vector<int32_t>;

// ---- blocks ----

// What a row should hold is written into its blocks after each step and read back.
TEST(CacheBlocks, RowsKeepTheirOwn) {
  std::mt19937 random(11);
  const CacheShape shapes[] = {{2, 4}, {3, 8}};
  CacheBlocks blocks(shapes);
  for (int round = 0; round < 20; ++round) {
    blocks.clear();
    std::vector<std::vector<uint32_t>> rows, previous;
    const int64_t steps = 1 + random() % 70;
    for (int64_t past = 0; past < steps; ++past) {
      std::vector<int32_t> parents(1 + random() % 7);
      previous.swap(rows);
      rows.clear();
      for (size_t i = 0; i < parents.size(); ++i) {
        parents[i] =
            past == 0 ? static_cast<int32_t>(i) : static_cast<int32_t>(random() % previous.size());
        rows.push_back(past == 0 ? std::vector<uint32_t>()
                                 : previous[static_cast<size_t>(parents[i])]);
        rows.back().push_back(random());
      }
      ASSERT_TRUE(blocks.advance(parents, past).ok());
      ASSERT_EQ(blocks.columns(), past / 16 + 1);
      ASSERT_LE(blocks.used(), static_cast<int64_t>(rows.size()) * blocks.columns());
      const auto cell = [&](size_t pool, size_t row, int64_t t, int64_t head) {
        const size_t entry =
            row * static_cast<size_t>(blocks.columns()) + static_cast<size_t>(t / 16);
        const int64_t block = blocks.table()[entry];
        EXPECT_LT(block, blocks.capacity());
        return blocks.pool(pool) +
               ((block * shapes[pool].heads + head) * 16 + t % 16) * shapes[pool].row_bytes;
      };
      for (size_t row = 0; row < rows.size(); ++row) {
        std::memcpy(cell(0, row, past, 1), &rows[row].back(), 4);
        std::memcpy(cell(1, row, past, 2) + 4, &rows[row].back(), 4);
      }
      for (size_t row = 0; row < rows.size(); ++row) {
        for (int64_t t = 0; t <= past; ++t) {
          ASSERT_EQ(std::memcmp(cell(0, row, t, 1), &rows[row][static_cast<size_t>(t)], 4), 0);
          ASSERT_EQ(std::memcmp(cell(1, row, t, 2) + 4, &rows[row][static_cast<size_t>(t)], 4), 0);
        }
      }
    }
  }
  EXPECT_LE(blocks.capacity(), 128);
  blocks.clear();
  EXPECT_EQ(blocks.used(), 0);
}

TEST(CacheBlocks, BeginningsAreShared) {
  const CacheShape shape{1, 4};
  CacheBlocks blocks({&shape, 1});
  const std::vector<int32_t> one = {0}, eight(8, 0);
  for (int64_t past = 0; past < 40; ++past) {
    ASSERT_TRUE(blocks.advance(one, past).ok());
  }
  EXPECT_EQ(blocks.used(), 3);
  ASSERT_TRUE(blocks.advance(eight, 40).ok());
  EXPECT_EQ(blocks.used(), 2 + 8);  // the unfinished block: a copy each
  ASSERT_TRUE(blocks.advance(one, 41).ok());
  EXPECT_EQ(blocks.used(), 3);
}

TEST(CacheBlocks, MemoryThatIsNotToBeHad) {
  const CacheShape shape{int64_t{1} << 20, int64_t{1} << 30};
  CacheBlocks blocks({&shape, 1});
  const std::vector<int32_t> one = {0};
  EXPECT_EQ(blocks.advance(one, 0).code, SYLVITE_OUT_OF_MEMORY);
  EXPECT_EQ(blocks.reserve(int64_t{1} << 40, int64_t{1} << 40).code, SYLVITE_OUT_OF_MEMORY);
  blocks.clear();
}

// ---- decoding ----

struct ModelEnd {
  void operator()(sylvite_model *model) const { sylvite_model_close(model); }
};

class Decoding : public ::testing::Test {
 protected:
  void SetUp() override {
    if (missing_feature(SYL_X86_64_V3) != nullptr) {
      GTEST_SKIP() << "this CPU is below x86-64-v3";
    }
  }

  Result<std::unique_ptr<Decoder>> make(const ToyTranslator &toy, int32_t threads = 1) {
    char message[512] = "";
    sylvite_model *opened = nullptr;
    EXPECT_EQ(sylvite_model_open(&toy.program(), ToyTranslator::weights(), &opened, message,
                                 sizeof message),
              SYLVITE_OK)
        << message;
    model_.reset(opened);
    return Decoder::create(*opened, {threads, 0});
  }
  std::unique_ptr<Decoder> open(const ToyTranslator &toy, int32_t threads = 1) {
    Result<std::unique_ptr<Decoder>> decoder = make(toy, threads);
    EXPECT_TRUE(decoder.ok()) << decoder.error().message;
    return decoder.ok() ? std::move(decoder.value()) : nullptr;
  }

  static std::vector<Source> sources(size_t count, bool same_length) {
    std::vector<Source> all;
    std::mt19937 random(5);
    for (size_t i = 0; i < count; ++i) {
      Source source;
      const size_t length = same_length ? 4 : 1 + random() % 7;
      for (size_t j = 0; j < length; ++j) {
        source.push_back(static_cast<int32_t>(2 + random() % 20));
      }
      all.push_back(source);
    }
    return all;
  }

  static SearchOptions search_options(int32_t beams, int32_t max_length) {
    SearchOptions options;
    options.beams = options.n_best = beams;
    options.max_length = max_length;
    options.start = kToyPad;
    options.end = kToyEnd;
    return options;
  }

  static Error decode(Decoder &decoder, const std::vector<Source> &sources,
                      const SearchOptions &options, Results *results) {
    const std::vector<std::span<const int32_t>> spans(sources.begin(), sources.end());
    if (Error error = decoder.begin(spans, {}); !error.ok()) {
      return error;
    }
    return search(decoder, static_cast<int32_t>(sources.size()), options, {}, results);
  }

  static Results expected(const std::vector<Source> &sources, const SearchOptions &options) {
    std::vector<uint32_t> hashes;
    for (const Source &source : sources) {
      hashes.push_back(testing::toy_source(source));
    }
    ToyLanguage language(1, hashes, kToyVocabulary, kToyEnd);
    Results results;
    EXPECT_TRUE(search(language, static_cast<int32_t>(sources.size()), options, {}, &results).ok());
    return results;
  }

  static void expect_equal(const Results &found, const Results &wanted, const std::string &what) {
    ASSERT_EQ(found.size(), wanted.size()) << what;
    for (size_t i = 0; i < found.size(); ++i) {
      ASSERT_EQ(found[i].size(), wanted[i].size()) << what;
      for (size_t j = 0; j < found[i].size(); ++j) {
        EXPECT_EQ(found[i][j].tokens, wanted[i][j].tokens) << what << " sentence " << i;
        EXPECT_EQ(found[i][j].score, wanted[i][j].score) << what << " sentence " << i;
      }
    }
  }

  std::unique_ptr<sylvite_model, ModelEnd> model_;
};

struct Form {
  const char *name;
  ToyOptions options;
};

std::vector<Form> forms() {
  std::vector<Form> all = {
      {"caches, rows", {}},
      {"caches, rows, both masks, i32", {.target_mask = true, .tokens = SYL_I32, .mask = SYL_BOOL}},
      {"caches, float masks", {.target_mask = true, .mask = SYL_F32}},
      {"caches, no rows", {.rows = false}},
      {"caches, scores of one position", {.all_scores = true}},
      {"caches, rows, tokens linked", {.link_tokens = true}},
      {"no caches", {.caches = false}},
      {"no caches, no rows", {.caches = false, .rows = false, .target_mask = true}},
      {"no caches, no rows, tokens linked", {.caches = false, .rows = false, .link_tokens = true}},
      {"no caches, all scores", {.caches = false, .all_scores = true}},
      {"no source mask", {.source_mask = false}},
      {"fixed source, no mask", {.source_mask = false, .fixed_source = 9}},
      {"fixed source and target",
       {.caches = false,
        .target_mask = true,
        .all_scores = true,
        .fixed_source = 9,
        .fixed_target = 41}},
      {"fixed target, position",
       {.caches = false, .target_mask = true, .position = true, .fixed_target = 41}},
      {"frozen batch of encode", {.encode_batch = 12}},
      {"frozen batch", {.caches = false, .rows = false, .encode_batch = 12, .step_batch = 40}},
      {"frozen batch, rows", {.caches = false, .encode_batch = 12, .step_batch = 40}},
  };
  return all;
}

TEST_F(Decoding, EveryFormGivesTheFormulasResults) {
  for (const Form &form : forms()) {
    const ToyTranslator toy(form.options);
    const std::unique_ptr<Decoder> decoder = open(toy);
    ASSERT_NE(decoder, nullptr);
    for (const int32_t beams : {1, 4}) {
      for (const size_t count : {1, 3, 10}) {
        const std::vector<Source> all = sources(count, !decoder->mixes_lengths());
        const SearchOptions options = search_options(beams, 40);
        Results results;
        const Error error = decode(*decoder, all, options, &results);
        ASSERT_TRUE(error.ok()) << form.name << ": " << error.message;
        expect_equal(results, expected(all, options), form.name);
      }
    }
  }
}

TEST_F(Decoding, ThreadsChangeNothing) {
  const std::vector<Source> all = sources(9, false);
  const SearchOptions options = search_options(3, 40);
  const ToyTranslator toy;
  const std::unique_ptr<Decoder> decoder = open(toy, 3);
  Results results;
  ASSERT_TRUE(decode(*decoder, all, options, &results).ok());
  expect_equal(results, expected(all, options), "3 threads");
}

TEST_F(Decoding, RowsAreSharedOutAmongThreads) {
  const ToyTranslator toy;
  for (const int32_t threads : {1, 3}) {
    const std::unique_ptr<Decoder> decoder = open(toy, threads);
    for (const int32_t rows : {0, 1, 2, 100, 20001}) {
      std::vector<int32_t> seen(static_cast<size_t>(rows));
      decoder->for_rows(
          rows, [](void *user, int32_t row) { ++static_cast<int32_t *>(user)[row]; }, seen.data());
      EXPECT_EQ(std::count(seen.begin(), seen.end(), 1), rows);
    }
  }
}

TEST_F(Decoding, SourcesAreEncodedOnceAndRowsLeave) {
  const ToyTranslator toy;
  const std::unique_ptr<Decoder> decoder = open(toy);
  Results results;
  ASSERT_TRUE(decode(*decoder, sources(10, false), search_options(1, 40), &results).ok());
  EXPECT_EQ(toy_state().encodes, 1);
  EXPECT_EQ(toy_state().step_rows.front(), 10);
  EXPECT_LT(toy_state().step_rows.back(), 4);
  EXPECT_TRUE(std::is_sorted(toy_state().step_rows.rbegin(), toy_state().step_rows.rend()));
}

TEST_F(Decoding, LimitsOfFrozenBatches) {
  const ToyTranslator free;
  EXPECT_EQ(open(free)->most_sentences(4), INT32_MAX / kToyVocabulary / 4);
  EXPECT_TRUE(open(free)->mixes_lengths());
  const ToyTranslator frozen({.caches = false, .encode_batch = 12, .step_batch = 40});
  EXPECT_EQ(open(frozen)->most_sentences(1), 12);
  EXPECT_EQ(open(frozen)->most_sentences(8), 5);
  EXPECT_EQ(open(frozen)->most_sentences(41), 0);
  const ToyTranslator plain({.source_mask = false});
  EXPECT_FALSE(open(plain)->mixes_lengths());
}

// Counts the steps that allocate, and the allocations of all.
struct StepAllocations {
  int64_t last = 0, all = 0;
  int steps = 0, allocating = 0;
  static bool after_step(void *user, const SearchProgress &) {
    StepAllocations &seen = *static_cast<StepAllocations *>(user);
    const int64_t now = testing::allocation_count();
    if (seen.steps++ > 0) {
      seen.all += now - seen.last;
      seen.allocating += now != seen.last ? 1 : 0;
    }
    seen.last = now;
    return true;
  }
};

StepAllocations count_allocations(Decoder &decoder, int32_t beams, const Decoder::Room &room) {
  SearchOptions options;
  options.beams = beams;
  options.max_length = 400;
  options.start = kToyPad;
  options.reserve = room.rows > 0;
  const Source source = {2, 3, 4};
  const std::vector<std::span<const int32_t>> sources(4, source);
  StepAllocations seen;
  Results results;
  EXPECT_TRUE(decoder.begin(sources, room).ok());
  EXPECT_TRUE(search(decoder, 4, options, {StepAllocations::after_step, &seen}, &results).ok());
  EXPECT_EQ(results[0][0].tokens.size(), 400u);
  return seen;
}

TEST_F(Decoding, FewStepsAllocateAndNoneWithTheLengthReserved) {
  for (const ToyOptions &form : {ToyOptions{}, ToyOptions{.rows = false, .target_mask = true},
                                 ToyOptions{.caches = false}}) {
    for (const int32_t beams : {1, 4}) {
      const ToyTranslator toy(form);
      const std::unique_ptr<Decoder> decoder = open(toy);
      const StepAllocations first = count_allocations(*decoder, beams, {});
      EXPECT_GT(first.allocating, 0);
      EXPECT_LE(first.allocating, 40);  // of 399: what grows doubles
      const StepAllocations reserved = count_allocations(*open(toy), beams, {4 * beams, 400});
      EXPECT_EQ(reserved.all, 0) << beams << " beams, caches " << form.caches;
    }
  }
}

TEST_F(Decoding, ErrorsAreValuesAndTheDecoderGoesOn) {
  const ToyTranslator toy({.fail_at = 3});
  const std::unique_ptr<Decoder> decoder = open(toy);
  const std::vector<Source> all = sources(3, false);
  const SearchOptions options = search_options(2, 40);
  Results results;
  EXPECT_THAT(decode(*decoder, all, options, &results).message, HasSubstr("at position 3"));
  ASSERT_TRUE(decode(*decoder, all, options, &results).ok());
  expect_equal(results, expected(all, options), "after an error");
}

TEST_F(Decoding, DescriptorsAreChecked) {
  const auto message = [&](const ToyTranslator &toy) {
    const Result<std::unique_ptr<Decoder>> decoder = make(toy);
    return decoder.ok() ? "" : decoder.error().message;
  };
  const std::string damaged = "the model's translate task is damaged: ";
  const auto check = [&](auto change, const std::string &expected) {
    ToyTranslator toy;
    change(toy.task);
    EXPECT_EQ(message(toy), expected.empty() ? "" : damaged + expected);
  };
  using Task = sylvite_translate_task;
  check([](Task &) {}, "");
  check([](Task &task) { task.source_tokens = 7; }, "the source's tokens");
  check([](Task &task) { task.source_mask = -1; }, "inputs of encode");
  check([](Task &task) { task.step_tokens = 1; }, "the target's tokens");
  check([](Task &task) { task.rows = -1; }, "inputs of step");
  check([](Task &task) { task.table = -1; }, "the caches");
  check([](Task &task) { task.cache_count = 1; }, "inputs of step");
  check([](Task &task) { task.link_count = 0; }, "inputs of step");
  check([](Task &task) { task.scores = 1; }, "the scores");
  check([](Task &task) { task.start = -1; }, "its defaults");
  check([](Task &task) { task.start = 24; }, "the vocabulary's size");
  const sylvite_link bad_links[] = {{1, 1}, {-3, 1}};
  for (const sylvite_link &link : bad_links) {
    check([&](Task &task) { task.links = &link; }, "a link from encode");
  }
  const ToyTranslator frozen({.step_batch = 2});
  EXPECT_EQ(message(frozen), damaged + "caches with a frozen batch");
  const ToyTranslator padded({.caches = false, .fixed_target = 9});
  EXPECT_EQ(message(padded), damaged + "the scores");
  const ToyTranslator unpadded({.caches = false, .position = true});
  EXPECT_EQ(message(unpadded), damaged + "the position");
}

}  // namespace
}  // namespace sylvite
