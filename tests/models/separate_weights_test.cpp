// Programs whose weights are a file of their own: `sylvite compile --weights=separate`.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/driver/run_command.h"
#include "tests/models/model_folder.h"

namespace sylvite::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Matcher;
using ::testing::Not;

const std::string kFlag = "--weights=separate";

std::vector<std::string> names_in(const std::string &folder) {
  std::vector<std::string> names;
  for (const fs::directory_entry &entry : fs::directory_iterator(folder)) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

class SeparateWeights : public ::testing::Test {
 protected:
  SeparateWeights()
      : graph_(read_model_folder(bundled_models() / "vit-ts17-sdpa").graphs.front()),
        inputs_(graph_.cases.begin()->second.first.string()) {}

  void SetUp() override { compile(path("model"), {kFlag}); }

  std::string path(const std::string &name = "") const { return temporary_.path(name); }

  CommandResult compile(const std::string &program, std::vector<std::string> flags,
                        const std::string &model = "") const {
    flags.insert(flags.begin(),
                 {"compile", model.empty() ? graph_.file.string() : model, "-o", program});
    CommandResult result = run_sylvite(flags);
    EXPECT_EQ(result.status, 0) << result.err;
    return result;
  }

  // The bytes of its outputs.
  std::string outputs_of(const std::string &program, const std::vector<std::string> &flags = {},
                         const CommandOptions &options = {}) const {
    std::vector<std::string> words = {program, "--inputs", inputs_, "--outputs", path("out.npz")};
    words.insert(words.end(), flags.begin(), flags.end());
    const CommandResult result = run_command(words, options);
    EXPECT_EQ(result.status, 0) << result.err;
    const std::string bytes = result.status == 0 ? read_file_text(path("out.npz")) : "";
    fs::remove(path("out.npz"));
    return bytes;
  }

  void expect_refused(const Matcher<std::string> &message,
                      const std::vector<std::string> &flags = {},
                      const CommandOptions &options = {}) const {
    std::vector<std::string> words = {path("model"), "--selftest"};
    words.insert(words.end(), flags.begin(), flags.end());
    const CommandResult result = run_command(words, options);
    EXPECT_EQ(result.status, 1);
    EXPECT_EQ(result.out, "");
    EXPECT_THAT(result.err, message);
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  }

  TemporaryFolder temporary_;
  const GraphFile graph_;
  const std::string inputs_;
};

TEST_F(SeparateWeights, AreTheSameBytesAndGiveTheSameResults) {
  const CommandResult summary = compile(path("again"), {kFlag, "--jobs", "1"});
  EXPECT_THAT(summary.out, HasSubstr("again.weights"));
  compile(path("whole"), {"--weights", "inside"});
  const std::string weights = read_file_text(path("model.weights"));
  EXPECT_TRUE(weights == read_file_text(path("again.weights")));
  EXPECT_TRUE(read_file_text(path("model")) == read_file_text(path("again")));
  EXPECT_TRUE(read_file_text(path("whole")).ends_with(weights));
  EXPECT_LT(fs::file_size(path("model")) + weights.size(), fs::file_size(path("whole")) + 8192);
  EXPECT_THAT(names_in(path()),
              ElementsAre("again", "again.weights", "model", "model.weights", "whole"));
  EXPECT_TRUE(outputs_of(path("model")) == outputs_of(path("whole")));
  for (const char *action : {"--selftest", "--info", "--bench"}) {
    const CommandResult result = run_command({path("model"), action});
    EXPECT_EQ(result.status, 0) << result.err;
  }
  const CommandResult bench = run_sylvite({"bench", path("model")});
  EXPECT_EQ(bench.status, 0) << bench.err;
}

TEST_F(SeparateWeights, AreFoundBesideTheProgram) {
  const std::string expected = outputs_of(path("model"));
  CommandOptions inside;
  inside.folder = path();
  EXPECT_TRUE(outputs_of("./model", {}, inside) == expected);

  fs::create_directories(path("links"));
  fs::create_symlink("../model", path("links/other-name"));
  EXPECT_TRUE(outputs_of(path("links/other-name")) == expected);

  fs::create_directory(path("moved"));
  fs::rename(path("model"), path("moved/renamed"));
  fs::rename(path("model.weights"), path("moved/renamed.weights"));
  EXPECT_TRUE(outputs_of(path("moved/renamed")) == expected);
}

TEST_F(SeparateWeights, MayLieElsewhere) {
  const std::string expected = outputs_of(path("model"));
  fs::rename(path("model.weights"), path("elsewhere"));
  EXPECT_TRUE(outputs_of(path("model"), {"--weights", path("elsewhere")}) == expected);
  CommandOptions named;
  named.environment["SYLVITE_WEIGHTS"] = path("elsewhere");
  EXPECT_TRUE(outputs_of(path("model"), {}, named) == expected);
  named.environment["SYLVITE_WEIGHTS"] = "/no/such/file";  // the option has the last word
  EXPECT_TRUE(outputs_of(path("model"), {"--weights", path("elsewhere")}, named) == expected);
}

// Without /proc.
TEST_F(SeparateWeights, AreFoundInAnEmptyRoot) {
  const std::string root = path("root");
  fs::create_directory(root);
  fs::rename(path("model"), root + "/model");
  fs::rename(path("model.weights"), root + "/model.weights");
  CommandOptions options;
  options.root = root;
  const CommandResult result = run_command({"/model", "--selftest"}, options);
  if (!result.could_start) {
    GTEST_SKIP() << "no right to change the root here";
  }
  EXPECT_EQ(result.status, 0) << result.err;
  fs::remove(root + "/model.weights");
  EXPECT_THAT(run_command({"/model", "--selftest"}, options).err, HasSubstr("'/model.weights'"));
}

TEST_F(SeparateWeights, ThatDoNotFitAreRefused) {
  const std::string file = path("model.weights");
  const std::string good = read_file_text(file);
  const Matcher<std::string> names_it = HasSubstr("'" + file + "'");
  const auto write = [&](const std::string &bytes) { write_file_text(file, bytes); };
  const std::string size = std::to_string(good.size());

  write("");
  expect_refused(AllOf(names_it, HasSubstr("have 0 bytes instead of " + size)));
  write(good.substr(0, 100));
  expect_refused(AllOf(names_it, HasSubstr("have 100 bytes instead of " + size)));
  write(good.substr(0, good.size() - 1));
  expect_refused(AllOf(names_it, EndsWith(": copy the file again\n")));
  write(good + "x");
  expect_refused(names_it);
  write(std::string(good.size(), 'x'));
  expect_refused(AllOf(names_it, HasSubstr("is no file of weights")));
  // The same model without self-test: other contents.
  compile(path("other"), {kFlag, "--no-selftest"});
  fs::copy_file(path("other.weights"), file, fs::copy_options::overwrite_existing);
  expect_refused(AllOf(names_it, HasSubstr("of another compilation; take the file that was")));
  fs::remove(file);
  expect_refused(AllOf(names_it, HasSubstr("No such file or directory; it belongs beside"),
                       HasSubstr("--weights FILE or SYLVITE_WEIGHTS")));
  expect_refused(HasSubstr("'/no/such'"), {"--weights", "/no/such"});
  fs::create_directory(file);
  expect_refused(AllOf(names_it, HasSubstr("no regular file")));
  fs::remove(file);
  ASSERT_EQ(mkfifo(file.c_str(), 0600), 0);
  expect_refused(AllOf(names_it, HasSubstr("no regular file")));
  for (const char *action : {"--help", "--version", "--licences"}) {
    EXPECT_EQ(run_command({path("model"), action}).status, 0) << action;
  }
}

TEST_F(SeparateWeights, BelongToProgramsThatHaveThem) {
  EXPECT_THAT(run_command({path("model"), "--help"}).out, HasSubstr("--weights FILE"));
  compile(path("whole"), {});
  EXPECT_THAT(run_command({path("whole"), "--help"}).out, Not(HasSubstr("--weights")));
  const CommandResult asked =
      run_command({path("whole"), "--selftest", "--weights", path("model.weights")});
  EXPECT_EQ(asked.status, 2);
  EXPECT_THAT(asked.err, HasSubstr("holds its weights itself"));

  const std::string model = graph_.file.string();
  for (const char *emit : {"--emit=lib", "--emit=plan"}) {
    const CommandResult result = run_sylvite({"compile", model, "-o", path("x"), emit, kFlag});
    EXPECT_EQ(result.status, 2) << emit << result.err;
  }
  EXPECT_EQ(run_sylvite({"compile", model, "-o", path("x"), "--weights=nowhere"}).status, 2);
  EXPECT_FALSE(fs::exists(path("x")));
}

TEST_F(SeparateWeights, AreWrittenWithTheirProgramOrNotAtAll) {
  fs::create_directories(path("out/taken.weights"));
  const std::string model = graph_.file.string();
  const CommandResult taken = run_sylvite({"compile", model, "-o", path("out/taken"), kFlag});
  EXPECT_EQ(taken.status, 1);
  EXPECT_THAT(taken.err, HasSubstr("taken.weights: this is a folder"));
  EXPECT_THAT(names_in(path("out")), ElementsAre("taken.weights"));

  // The model's own file has the name that its weights would get.
  const std::string input = path("m.weights");
  fs::copy_file(model, input);
  const CommandResult over = run_sylvite({"compile", input, "-o", path("m"), kFlag});
  EXPECT_EQ(over.status, 2);
  EXPECT_THAT(over.err, HasSubstr("would overwrite " + input));
  EXPECT_EQ(fs::file_size(input), fs::file_size(model));
}

// One place opens the weights of every program: encoder and decoder share them.
TEST(SeparateWeightsOfATranslator, GiveTheSameTranslations) {
  const TemporaryFolder temporary;
  const std::string model = SYLVITE_SOURCE_DIR "/examples/translate";
  for (const std::string place : {"inside", "separate"}) {
    const CommandResult result =
        run_sylvite({"compile", model, "-o", temporary.path(place), "--weights", place});
    ASSERT_EQ(result.status, 0) << result.err;
  }
  const CommandResult inside = run_command({temporary.path("inside"), "It rains."});
  const CommandResult separate = run_command({temporary.path("separate"), "It rains."});
  EXPECT_EQ(separate.status, 0) << separate.err;
  EXPECT_EQ(separate.out, inside.out);
  EXPECT_EQ(run_command({temporary.path("separate"), "--selftest"}).status, 0);
  fs::rename(temporary.path("separate.weights"), temporary.path("w"));
  EXPECT_EQ(run_command({temporary.path("separate"), "It rains."}).status, 1);
  EXPECT_EQ(
      run_command({temporary.path("separate"), "--weights", temporary.path("w"), "It rains."}).out,
      inside.out);
}

}  // namespace
}  // namespace sylvite::testing
