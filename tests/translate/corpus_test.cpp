// 1,000 sentences, with SYLVITE_CORPUS. Its translate-en-de has what a plain onnxruntime loop and
// transformers' generate make of them; a sentence where the loop met two scores nearer than 1e-3
// may rightly come out different, and is listed.
#include <gtest/gtest.h>

#include <iostream>
#include <string>
#include <vector>

#include "tests/translate/translators.h"

namespace sylvite::testing {
namespace {

class ThousandSentences : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!corpus()) {
      GTEST_SKIP() << "SYLVITE_CORPUS is not set";
    }
    folder_ = *corpus() / "translate-en-de";
    program_ = compile_translator(folder_.string(), temporary_.path("translate"));
    ASSERT_FALSE(program_.empty());
  }

  std::vector<std::string> lines_in(const std::string &name) const {
    std::vector<std::string> lines = lines_of(read_file_text((folder_ / name).string()));
    EXPECT_EQ(lines.size(), 1000u) << name;
    return lines;
  }

  std::vector<std::string> translate(const std::vector<std::string> &flags) const {
    std::vector<std::string> words = {program_, "--input", (folder_ / "test.en").string()};
    words.insert(words.end(), flags.begin(), flags.end());
    const CommandResult result = run_command(words);
    EXPECT_EQ(result.status, 0) << result.err;
    return lines_of(result.out);
  }

  std::filesystem::path folder_;
  TemporaryFolder temporary_;
  std::string program_;
};

TEST_F(ThousandSentences, AreGreedilyThoseOfAPlainLoop) {
  const std::vector<std::string> expected = lines_in("expected-greedy.txt"),
                                 margins = lines_in("expected-margins.txt");
  std::vector<std::string> first;
  for (const char *const batch : {"1", "8", "32"}) {
    for (const char *const threads : {"1", "2"}) {
      SCOPED_TRACE(std::string("batch ") + batch + ", threads " + threads);
      const std::vector<std::string> got = translate({"--batch", batch, "--threads", threads});
      ASSERT_EQ(got.size(), expected.size());
      if (first.empty()) {
        first = got;
        for (size_t i = 0; i < got.size(); ++i) {
          if (got[i] != expected[i] && std::stod(margins[i]) < 1e-3) {
            std::cout << "line " << i + 1 << ", a close call: " << got[i] << " | " << expected[i]
                      << "\n";
          } else {
            EXPECT_EQ(got[i], expected[i]) << "line " << i + 1 << ", margin " << margins[i];
          }
        }
      }
      EXPECT_EQ(got, first);
    }
  }
}

TEST_F(ThousandSentences, AreWithFourBeamsThoseOfGenerate) {
  const std::vector<std::string> expected = lines_in("expected-beam4.txt"),
                                 scores = lines_in("expected-beam4-scores.txt");
  const std::vector<std::string> got =
      translate({"--beam", "4", "--max-length", "128", "--batch", "32"});
  ASSERT_EQ(got.size(), expected.size());
  size_t same = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    if (got[i] == expected[i]) {
      ++same;
    } else {
      std::cout << "line " << i + 1 << ", scores of the two best " << scores[i] << ": " << got[i]
                << " | " << expected[i] << "\n";
    }
  }
  EXPECT_GE(same, got.size() * 98 / 100);
  EXPECT_EQ(translate({"--beam", "4", "--max-length", "128", "--batch", "8", "--threads", "1"}),
            got);
}

}  // namespace
}  // namespace sylvite::testing
