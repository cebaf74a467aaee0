// Models of many exporters as translators from words to words: one graph or several, caches or
// none, merged branches, frozen sizes. word-lists.json holds the tokens of a plain loop over
// onnxruntime (make_word_goldens.py).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <memory>
#include <string>
#include <vector>

#include "tests/translate/translators.h"

namespace sylvite::testing {
namespace {

using nlohmann::json;

// Ids by line, without the end.
std::vector<std::vector<int>> tokens_of(const std::string &json_lines, int end) {
  std::vector<std::vector<int>> all;
  for (const std::string &line : lines_of(json_lines)) {
    std::vector<int> ids = json::parse(line).at("ids").get<std::vector<int>>();
    if (!ids.empty() && ids.back() == end) {
      ids.pop_back();
    }
    all.push_back(std::move(ids));
  }
  return all;
}

class WordLists : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    const std::optional<std::filesystem::path> model = model_called(GetParam());
    if (!model) {
      GTEST_SKIP() << "SYLVITE_CORPUS is not set or does not hold " << GetParam();
    }
    case_ = word_list_case(GetParam());
    folder_ = std::make_unique<FolderOfLinks>(*model);
    add_word_list(*folder_, case_);
    end_ = std::stoi(case_.at("manifest").at("tokens").at("end").get<std::string>().substr(1));
  }

  CommandResult run(const std::string &program, const std::vector<std::string> &flags,
                    const std::string &isa = "") {
    CommandOptions options;
    options.input = lines_of_words(case_.at("sources"));
    if (!isa.empty()) {
      options.environment["SYLVITE_ISA"] = isa;
    }
    std::vector<std::string> words = {program};
    words.insert(words.end(), flags.begin(), flags.end());
    CommandResult result = run_command(words, options);
    EXPECT_EQ(result.status, 0) << result.err;
    return result;
  }

  void expect_targets(const std::string &program) {
    const auto targets = case_.at("targets").get<std::vector<std::vector<int>>>();
    EXPECT_EQ(tokens_of(run(program, {"--json", "--batch", "1", "--threads", "1"}).out, end_),
              targets);
    EXPECT_EQ(tokens_of(run(program, {"--json", "--batch", "8", "--threads", "2"}).out, end_),
              targets);
    EXPECT_EQ(tokens_of(run(program, {"--json", "--batch", "32"}, "x86-64-v3").out, end_), targets);
  }

  json case_;
  std::unique_ptr<FolderOfLinks> folder_;
  int end_ = -1;
};

TEST_P(WordLists, GivesTheTokensOfAPlainLoop) {
  const std::string program = compile_translator(folder_->path(), folder_->path("translate"));
  ASSERT_FALSE(program.empty());
  expect_targets(program);
  const CommandResult tested = run_command({program, "--selftest"});
  EXPECT_EQ(tested.status, 0) << tested.out << tested.err;
  EXPECT_THAT(tested.out, ::testing::Not(::testing::HasSubstr("carries no self-test")));
}

TEST_P(WordLists, GivesTheSameBeamsInEveryBatch) {
  const std::string program = compile_translator(folder_->path(), folder_->path("translate"));
  ASSERT_FALSE(program.empty());
  const std::string alone = run(program, {"--json", "--beam", "2", "--batch", "1"}).out;
  EXPECT_EQ(run(program, {"--json", "--beam", "2", "--batch", "8", "--threads", "2"}).out, alone);
  EXPECT_EQ(run(program, {"--json", "--beam", "2", "--batch", "3"}, "x86-64-v3").out, alone);
}

// The first decoder alone computes all tokens again at each step. (That of a merged one takes
// pasts.)
struct WithoutCaches : WordLists {};
TEST_P(WithoutCaches, GiveTheSameTokens) {
  json manifest = case_.at("manifest");
  ASSERT_EQ(manifest.erase("decoder_with_past"), 1U);
  folder_->write("sylvite.json", manifest);
  const std::string program = compile_translator(folder_->path(), folder_->path("translate"));
  ASSERT_FALSE(program.empty());
  expect_targets(program);
}

std::vector<std::string> models(bool with_past_decoder) {
  const json all =
      read_json(std::filesystem::path(SYLVITE_SOURCE_DIR) / "tests/translate/word-lists.json");
  std::vector<std::string> names;
  for (const auto &[name, content] : all.items()) {
    const json &manifest = content.at("manifest");
    if (!with_past_decoder ||
        (manifest.contains("decoder_with_past") && !manifest.at("decoder").contains("branches"))) {
      names.push_back(name);
    }
  }
  return names;
}

std::string test_name(const ::testing::TestParamInfo<std::string> &info) {
  std::string name = info.param;
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Models, WordLists, ::testing::ValuesIn(models(false)), test_name);
INSTANTIATE_TEST_SUITE_P(Models, WithoutCaches, ::testing::ValuesIn(models(true)), test_name);

}  // namespace
}  // namespace sylvite::testing
