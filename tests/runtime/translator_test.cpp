// Texts in, texts out through the public interface, over a translator written by hand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <sstream>
#include <string>
#include <vector>

#include "runtime/cpu.h"
#include "runtime/include/sylvite/translator.hpp"
#include "tests/runtime/search/toy_language.h"
#include "tests/runtime/translate/toy_translator.h"

namespace sylvite {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::kToyEnd;
using testing::kToyPad;
using testing::kToyUnknown;
using testing::kToyVocabulary;
using ::testing::SizeIs;
using testing::toy_state;
using testing::ToyOptions;
using testing::ToyTranslator;

const std::vector<std::string_view> kTexts = {"haus",
                                              "",
                                              "der baum ist gross",
                                              "ja da",
                                              "  \t ",
                                              "mein haus und mein baum",
                                              "nacht",
                                              "rot rot rot rot rot rot rot rot",
                                              "sonne und licht"};

class Translate : public ::testing::Test {
 protected:
  void SetUp() override {
    if (missing_feature(SYL_X86_64_V3) != nullptr) {
      GTEST_SKIP() << "this CPU is below x86-64-v3";
    }
  }

  Status open(const ToyTranslator &toy, int32_t threads = 1) {
    const Status opened = model_.open(&toy.program(), ToyTranslator::weights());
    EXPECT_TRUE(opened.ok()) << opened.message();
    return translator_.create(model_, {.threads = threads});
  }

  std::vector<Translation> translate(const std::vector<std::string_view> &texts,
                                     const sylvite_translate_options &options) {
    std::vector<Translation> found;
    const Status status = translator_.translate(texts, options, found);
    EXPECT_TRUE(status.ok()) << status.message();
    return found;
  }

  // By the words of the vocabulary.
  static std::vector<int32_t> tokens_of(std::string_view text) {
    std::istringstream words{std::string(text)};
    std::vector<int32_t> tokens;
    for (std::string word; words >> word;) {
      int32_t found = kToyUnknown;
      for (int32_t id = 0; id < kToyVocabulary; ++id) {
        found = word == testing::toy_word(id) ? id : found;
      }
      tokens.push_back(found);
    }
    return tokens;
  }

  static std::vector<Hypothesis> expected(std::string_view text,
                                          const sylvite_translate_options &options) {
    std::vector<int32_t> tokens = tokens_of(text);
    tokens.push_back(kToyEnd);
    const uint32_t source = testing::toy_source(tokens);
    testing::ToyLanguage language(1, {&source, 1}, kToyVocabulary, kToyEnd);
    SearchOptions search_options;
    search_options.beams = options.beams;
    search_options.n_best = options.n_best;
    search_options.max_length = options.max_length;
    search_options.length_penalty = options.length_penalty;
    search_options.early_stopping = options.early_stopping;
    search_options.start = kToyPad;
    search_options.end = kToyEnd;
    std::vector<std::vector<Hypothesis>> results;
    EXPECT_TRUE(search(language, 1, search_options, {}, &results).ok());
    return results[0];
  }

  static std::string text_of_tokens(const std::vector<int32_t> &tokens) {
    std::string text;
    for (const int32_t token : tokens) {
      if (token != kToyPad) {
        text += (text.empty() ? "" : " ") + std::string(testing::toy_word(token));
      }
    }
    return text;
  }

  Model model_;
  Translator translator_;
};

TEST_F(Translate, GivesWhatTheFormulaSaysInAnyBatch) {
  for (const ToyOptions &form :
       {ToyOptions{}, ToyOptions{.caches = false, .rows = false}, ToyOptions{.source_mask = false},
        ToyOptions{.caches = false, .encode_batch = 4, .step_batch = 16}}) {
    const ToyTranslator toy(form);
    ASSERT_TRUE(open(toy).ok());
    for (const int32_t beams : {1, 4}) {
      for (const int32_t batch : {1, 2, 5, 32}) {
        sylvite_translate_options options = translator_.defaults();
        options.beams = options.n_best = beams;
        options.batch = batch;
        options.scores = 1;
        const std::vector<Translation> found = translate(kTexts, options);
        ASSERT_THAT(found, SizeIs(kTexts.size() * static_cast<size_t>(beams)));
        for (size_t i = 0; i < kTexts.size(); ++i) {
          const Translation *const mine = &found[i * static_cast<size_t>(beams)];
          if (tokens_of(kTexts[i]).empty()) {
            EXPECT_EQ(mine->text, "");
            EXPECT_TRUE(mine->ended);
            continue;
          }
          const std::vector<Hypothesis> wanted = expected(kTexts[i], options);
          for (size_t j = 0; j < wanted.size(); ++j) {
            EXPECT_EQ(mine[j].tokens, wanted[j].tokens) << kTexts[i] << " batch " << batch;
            EXPECT_EQ(mine[j].text, text_of_tokens(wanted[j].tokens));
            EXPECT_EQ(mine[j].score, wanted[j].score);
            EXPECT_EQ(mine[j].ended, wanted[j].ended);
          }
          for (size_t j = wanted.size(); j < static_cast<size_t>(beams); ++j) {
            EXPECT_TRUE(std::isinf(mine[j].score) && mine[j].text.empty());
          }
        }
      }
    }
  }
}

TEST_F(Translate, BatchesHoldLikeLengths) {
  const ToyTranslator toy;
  ASSERT_TRUE(open(toy).ok());
  sylvite_translate_options options = translator_.defaults();
  options.batch = 3;
  translate(kTexts, options);
  // batch, length: the seven texts with words, and the end token
  EXPECT_THAT(toy_state().encode_sizes, ElementsAre(3, 9, 3, 4, 1, 2));
  const ToyTranslator no_mask({.source_mask = false});
  ASSERT_TRUE(open(no_mask).ok());
  translate(kTexts, options);
  EXPECT_THAT(toy_state().encode_sizes, ElementsAre(1, 9, 1, 6, 1, 5, 1, 4, 1, 3, 2, 2));
}

TEST_F(Translate, SaysWhatItMetInATextAndTranslatesTheOthers) {
  ToyTranslator toy;
  toy.task.max_source = 5;
  ASSERT_TRUE(open(toy).ok());
  EXPECT_EQ(sylvite_translator_max_source(translator_.get()), 5);
  const std::string long_text(2 << 20, 'a');
  const std::vector<std::string_view> texts = {"haus und nacht da", "haus und nacht da ja",
                                               "haus xyz abc",      "ja \xff\xfe da",
                                               long_text,           "ja"};
  const std::vector<Translation> found = translate(texts, translator_.defaults());
  EXPECT_EQ(found[0].problem, "");
  EXPECT_EQ(found[0].source_tokens, 5);
  EXPECT_EQ(found[1].problem, "is too long: 6 tokens, and the model takes at most 5");
  EXPECT_EQ(found[1].text, "");
  EXPECT_EQ(found[2].unknown, 2);
  EXPECT_EQ(found[2].problem, "");
  EXPECT_EQ(found[3].unknown, 1);
  EXPECT_THAT(found[4].problem, HasSubstr("a text of 2097152 bytes"));
  EXPECT_EQ(found[5].tokens, expected("ja", translator_.defaults())[0].tokens);
  std::string text;
  EXPECT_EQ(translator_.translate(texts[1], text).message(), found[1].problem);
  EXPECT_TRUE(translator_.translate("ja", text).ok());
  EXPECT_EQ(text, found[5].text);
  const sylvite_text raw[] = {{"ja \xff da", 7}, {nullptr, 0}};
  sylvite_translation raw_found[2];
  ASSERT_EQ(sylvite_translator_run(translator_.get(), raw, 2, nullptr, raw_found), SYLVITE_OK);
  EXPECT_EQ(raw_found[0].bad_utf8, 1);
  EXPECT_EQ(raw_found[0].text[raw_found[0].size], '\0');
  EXPECT_STREQ(raw_found[1].text, "");
}

TEST_F(Translate, DefaultsAreTheModels) {
  ToyTranslator toy;
  toy.task.beams = 3;
  toy.task.max_length = 50;
  toy.task.max_target = 12;
  toy.task.length_penalty = 0.5f;
  toy.task.early_stopping = 2;
  ASSERT_TRUE(open(toy).ok());
  sylvite_translate_options options = translator_.defaults();
  EXPECT_EQ(options.beams, 3);
  EXPECT_EQ(options.max_length, 12);
  EXPECT_EQ(options.length_penalty, 0.5f);
  EXPECT_EQ(options.early_stopping, 2);
  std::string text;
  ASSERT_TRUE(translator_.translate("haus und nacht", text).ok());
  EXPECT_EQ(text, text_of_tokens(expected("haus und nacht", options)[0].tokens));
  options.max_length = 100;  // more than there are positions
  toy.task.end = -1;
  const Translation found = translate({"haus"}, options)[0];
  EXPECT_EQ(found.tokens.size(), 12u);
  EXPECT_FALSE(found.ended);
}

TEST_F(Translate, RulesOfTheTask) {
  const int32_t banned[] = {5, 6, 7, 8, 9, 10, kToyEnd};
  ToyTranslator toy;
  toy.task.banned = banned;
  toy.task.banned_count = 7;
  toy.task.forced_start = 12;
  toy.task.forced_end = kToyEnd;
  toy.task.source_prefix = 4;
  toy.task.source_suffix = -1;
  ASSERT_TRUE(open(toy).ok());
  sylvite_translate_options options = translator_.defaults();
  options.max_length = 4;
  for (const Translation &one : translate(kTexts, options)) {
    if (one.source_tokens > 0) {
      EXPECT_EQ(one.tokens[0], 12);
      EXPECT_TRUE(one.ended);
    }
    for (const int32_t token : one.tokens) {
      EXPECT_TRUE(token < 5 || token > 10);
    }
  }
  EXPECT_EQ(translate({"haus"}, options)[0].source_tokens, 2);
  const sylvite_text word = sylvite_translator_token(translator_.get(), 8);
  EXPECT_EQ(std::string(word.data, word.size), "haus");
  EXPECT_EQ(sylvite_translator_token(translator_.get(), 99).size, 0u);
}

TEST_F(Translate, CanBeWatchedAndCancelled) {
  const ToyTranslator toy;
  ASSERT_TRUE(open(toy).ok());
  sylvite_translate_options options = translator_.defaults();
  options.batch = 2;
  std::vector<Translation> all = translate(kTexts, options), found;
  int32_t calls = 0, finished = 0;
  Status status = translator_.translate(kTexts, options, found, [&](const auto &now) {
    EXPECT_EQ(now.texts, 9);
    EXPECT_GE(now.finished, finished);
    EXPECT_EQ(now.steps, ++calls);
    finished = now.finished;
    return true;
  });
  EXPECT_TRUE(status.ok());
  EXPECT_GT(finished, 5);
  status = translator_.translate(kTexts, options, found,
                                 [&](const auto &now) { return now.finished < 5; });
  EXPECT_EQ(status.code(), SYLVITE_CANCELLED);
  ASSERT_THAT(found, SizeIs(9));
  int32_t done = 0;
  for (size_t i = 0; i < found.size(); ++i) {
    EXPECT_EQ(found[i].text, found[i].problem.empty() ? all[i].text : "");
    EXPECT_TRUE(found[i].problem.empty() || found[i].problem == "cancelled");
    done += found[i].problem.empty() ? 1 : 0;
  }
  EXPECT_GE(done, 5);
  EXPECT_LT(done, 9);
  EXPECT_EQ(translate(kTexts, options)[7].text, all[7].text);  // and goes on
}

TEST_F(Translate, OptionsAreChecked) {
  const ToyTranslator toy;
  ASSERT_TRUE(open(toy).ok());
  const auto message = [&](auto change) {
    sylvite_translate_options options = translator_.defaults();
    change(options);
    std::vector<Translation> found;
    return translator_.translate(kTexts, options, found).message();
  };
  using Options = sylvite_translate_options;
  EXPECT_EQ(message([](Options &o) { o.beams = 0; }), "beams must lie in 1 to 64, not 0");
  EXPECT_EQ(message([](Options &o) { o.beams = 65; }), "beams must lie in 1 to 64, not 65");
  EXPECT_EQ(message([](Options &o) { o.n_best = 2; }), "n_best must lie in 1 to 1, not 2");
  EXPECT_THAT(message([](Options &o) { o.max_length = 0; }), HasSubstr("max_length must lie in 1"));
  EXPECT_THAT(message([](Options &o) { o.batch = 0; }), HasSubstr("batch must lie in 1 to "));
  EXPECT_THAT(message([](Options &o) { o.early_stopping = 3; }), HasSubstr("0 to 2, not 3"));
  EXPECT_EQ(message([](Options &o) { o.length_penalty = NAN; }), "length_penalty must be a number");
  EXPECT_EQ(message([](Options &o) { o.reserve = 1; }), "");
  sylvite_translation one;
  EXPECT_EQ(sylvite_translator_run(translator_.get(), nullptr, -1, nullptr, &one),
            SYLVITE_BAD_INPUT);
  EXPECT_EQ(sylvite_translator_run(translator_.get(), nullptr, 0, nullptr, &one), SYLVITE_OK);
  const ToyTranslator frozen({.caches = false, .step_batch = 3});
  ASSERT_TRUE(open(frozen).ok());
  EXPECT_EQ(message([](Options &o) { o.beams = 4; }),
            "the model was exported for a batch of 3: 4 beams need more");
}

TEST_F(Translate, ModelsThatAreNoTranslators) {
  ToyTranslator toy;
  sylvite_program program = toy.program();
  program.translate = nullptr;
  ASSERT_TRUE(model_.open(&program, ToyTranslator::weights()).ok());
  EXPECT_EQ(translator_.create(model_).message(), "the model was not compiled as a translator");
  program = toy.program();
  program.entry_count = 0;
  ASSERT_TRUE(model_.open(&program, ToyTranslator::weights()).ok());
  EXPECT_EQ(translator_.create(model_).code(), SYLVITE_INTERNAL);
  toy.task.target.words_bytes = 3;
  EXPECT_THAT(open(toy).message(), HasSubstr("the tokenizer in this program is damaged"));
}

TEST_F(Translate, LessMemoryMeansSmallerBatches) {
  const ToyTranslator plenty;
  ASSERT_TRUE(open(plenty).ok());
  sylvite_translate_options options = translator_.defaults();
  options.beams = 2;
  const std::vector<Translation> wanted = translate(kTexts, options);
  const ToyTranslator little({.most_rows = 4});
  ASSERT_TRUE(open(little).ok());
  const std::vector<Translation> found = translate(kTexts, options);
  for (size_t i = 0; i < kTexts.size(); ++i) {
    EXPECT_EQ(found[i].text, wanted[i].text);
    EXPECT_EQ(found[i].problem, "");
  }
  EXPECT_GT(toy_state().encodes, 2);
  const ToyTranslator none({.most_rows = 1});
  ASSERT_TRUE(open(none).ok());
  std::vector<Translation> nothing;
  EXPECT_EQ(translator_.translate(kTexts, options, nothing).code(), SYLVITE_OUT_OF_MEMORY);
}

TEST_F(Translate, SaysThatAPenaltyLeavesNothing) {
  const ToyTranslator toy;
  ASSERT_TRUE(open(toy).ok());
  sylvite_translate_options options = translator_.defaults();
  options.beams = 2;
  options.length_penalty = -1000;  // every score is minus infinity
  const std::vector<Translation> found = translate({"haus und baum"}, options);
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(found[0].problem, "no sentence was finished");
}

TEST_F(Translate, ATextThatTheModelRefusesHasAProblem) {
  const ToyTranslator whole;
  ASSERT_TRUE(open(whole).ok());
  const std::vector<Translation> wanted = translate(kTexts, translator_.defaults());
  const ToyTranslator toy({.most_width = 5});
  ASSERT_TRUE(open(toy).ok());
  const std::vector<Translation> found = translate(kTexts, translator_.defaults());
  for (size_t i = 0; i < kTexts.size(); ++i) {
    const size_t tokens = tokens_of(kTexts[i]).size() + 1;
    EXPECT_EQ(found[i].text, tokens > 5 ? "" : wanted[i].text);
    EXPECT_EQ(found[i].problem,
              tokens > 5 ? "width is " + std::to_string(tokens) + ", at most 5" : "");
  }
}

}  // namespace
}  // namespace sylvite
