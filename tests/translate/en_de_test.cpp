// The bundled model, from a folder as Hugging Face's exporter writes it to text. en-de.json holds
// what transformers' generate makes of the same sentences over the same graphs
// (make_text_goldens.py).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/translate/translators.h"

namespace sylvite::testing {
namespace {

using ::testing::HasSubstr;

class EnDe : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const nlohmann::json &row :
         read_json(std::filesystem::path(SYLVITE_SOURCE_DIR) / "tests/translate/en-de.json")) {
      english_.push_back(row.at("en"));
      greedy_.push_back(row.at("greedy"));
      beam4_.push_back(row.at("beam4"));
    }
    program_ = compile_translator(example_folder().string(), temporary_.path("translate"));
    ASSERT_FALSE(program_.empty());
  }

  // What comes out for these lines on standard input.
  std::string translate(const std::vector<std::string> &lines,
                        const std::vector<std::string> &flags, const std::string &isa = "") {
    CommandOptions options;
    options.input = joined(lines);
    if (!isa.empty()) {
      options.environment["SYLVITE_ISA"] = isa;
    }
    std::vector<std::string> words = {program_};
    words.insert(words.end(), flags.begin(), flags.end());
    const CommandResult result = run_command(words, options);
    EXPECT_EQ(result.status, 0) << result.err;
    return result.out;
  }

  TemporaryFolder temporary_;
  std::string program_;
  std::vector<std::string> english_, greedy_, beam4_;
};

TEST_F(EnDe, TranslatesAsTransformersDoes) {
  ASSERT_GE(english_.size(), 12u);
  EXPECT_EQ(translate(english_, {}), joined(greedy_));
  EXPECT_EQ(translate(english_, {"--beam", "4"}), joined(beam4_));
  EXPECT_NE(greedy_, beam4_);

  std::vector<std::string> words = {program_};
  words.insert(words.end(), english_.begin(), english_.end());
  const CommandResult arguments = run_command(words);
  EXPECT_EQ(arguments.status, 0) << arguments.err;
  EXPECT_EQ(arguments.out, joined(greedy_));
}

// Not the text alone: the scores' bits too.
TEST_F(EnDe, GivesTheSameBytesInEveryCompany) {
  std::vector<std::string> reversed = english_;
  std::reverse(reversed.begin(), reversed.end());
  for (const char *const beams : {"1", "4"}) {
    const auto texts_and_scores = [&](const std::string &json_lines) {
      std::vector<std::string> all;
      for (const std::string &line : lines_of(json_lines)) {
        nlohmann::json object = nlohmann::json::parse(line);
        object.erase("line");  // where it stood
        all.push_back(object.dump());
      }
      return all;
    };
    const std::vector<std::string> alone = texts_and_scores(
        translate(english_, {"--json", "--beam", beams, "--batch", "1", "--threads", "1"}));
    ASSERT_EQ(alone.size(), english_.size());
    EXPECT_THAT(alone.front(), HasSubstr("score"));
    for (const char *const batch : {"1", "3", "32"}) {
      for (const char *const threads : {"1", "2"}) {
        for (const char *const isa : {"", "x86-64-v3"}) {
          SCOPED_TRACE(std::string("beams ") + beams + ", batch " + batch + ", threads " + threads +
                       ", isa " + isa);
          const std::vector<std::string> flags = {"--json", "--beam",    beams,  "--batch",
                                                  batch,    "--threads", threads};
          EXPECT_EQ(texts_and_scores(translate(english_, flags, isa)), alone);
          std::vector<std::string> back = texts_and_scores(translate(reversed, flags, isa));
          std::reverse(back.begin(), back.end());
          EXPECT_EQ(back, alone);
        }
      }
    }
  }
}

// Whoever starts it may have closed the standard streams: nothing of its own takes their places.
TEST_F(EnDe, ClosedStreamsAreNoOthers) {
  const auto run = [&](const std::string &rest) {
    return run_command({"/bin/sh", "-c", "timeout 20 '" + program_ + "' " + rest});
  };
  const CommandResult no_input = run("<&-");
  EXPECT_EQ(no_input.status, 1) << no_input.err;
  EXPECT_THAT(no_input.err, HasSubstr("standard input"));
  const CommandResult no_output = run("Hello <&- >&-");
  EXPECT_EQ(no_output.status, 1) << no_output.err;
  EXPECT_THAT(no_output.err, HasSubstr("standard output cannot be written"));
}

TEST_F(EnDe, TestsEncoderAndDecoderItself) {
  for (const char *const isa : {"", "x86-64-v3"}) {
    CommandOptions options;
    if (*isa != 0) {
      options.environment["SYLVITE_ISA"] = isa;
    }
    const CommandResult result = run_command({program_, "--selftest"}, options);
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_THAT(result.out, HasSubstr("encode, encoder_model.onnx:\n"));
    EXPECT_THAT(result.out, HasSubstr("step, decoder_with_past_model.onnx:\nlogits: "));
    EXPECT_THAT(result.out, HasSubstr("selftest passed on "));
  }
}

}  // namespace
}  // namespace sylvite::testing
