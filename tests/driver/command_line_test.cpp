// The `sylvite` command as a user meets it: help, exit codes, messages, and outputs that appear complete or
// not at all.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "compiler/driver/supported_ops_table.h"
#include "tests/driver/run_command.h"

namespace sylvite::testing {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

const std::string kModel = SYLVITE_SOURCE_DIR "/tests/models/vit-ts17-sdpa/model.onnx";

TEST(CommandLine, HelpTeaches) {
  const CommandResult help = run_sylvite({"--help"});
  EXPECT_EQ(help.status, 0);
  for (const char *word : {"compile", "verify", "inspect", "passes", "bench", "Examples:", "Exit status"}) {
    EXPECT_THAT(help.out, HasSubstr(word));
  }
  for (const char *command : {"compile", "verify", "inspect", "passes", "bench"}) {
    const CommandResult own = run_sylvite({command, "--help"});
    EXPECT_EQ(own.status, 0) << command;
    EXPECT_THAT(own.out, HasSubstr("Examples:")) << command;
  }
}

TEST(CommandLine, NamesItsVersion) {
  const CommandResult version = run_sylvite({"--version"});
  EXPECT_EQ(version.status, 0);
  EXPECT_THAT(version.out, ::testing::MatchesRegex("[0-9]+\\.[0-9]+\\.[0-9]+ \\(build [0-9a-f]+\\)\n"));
}

TEST(CommandLine, WrongUsageIsTwo) {
  const std::vector<std::vector<std::string>> wrong = {
      {},
      {"frobnicate"},
      {"compile"},
      {"compile", kModel},
      {"compile", kModel, "-o", "x", "--target", "pdp-11"},
      {"compile", kModel, "-o", "x", "--jobs", "0"},
      {"compile", kModel, "-o", "x", "--emit", "poetry"},
      {"compile", kModel, "-o", "x", "--disable-pass", "fuse_everything"},
      {"compile", kModel, "-o", "x", "--fix", "batch"},
      {"compile", kModel, "-o", "x", "--fix", "batch=-1"},
      {"compile", kModel, "-o", "x", "--inputs", "in.npz"},
      {"verify", kModel},
      {"verify", kModel, "--inputs", "in.npz"},
      {"inspect", kModel, "--size", "batch=many"},
      {"passes", "-", "--pass", "no_such_pass"},
  };
  for (const std::vector<std::string> &words : wrong) {
    const CommandResult result = run_sylvite(words);
    EXPECT_EQ(result.status, 2) << ::testing::PrintToString(words) << result.err;
    EXPECT_THAT(result.out, IsEmpty());
    EXPECT_THAT(result.err, AnyOf(HasSubstr("sylvite: "), HasSubstr("Examples:")));
  }
}

TEST(CommandLine, BadModelIsOne) {
  TemporaryFolder folder;
  write_file_text(folder.path("text.onnx"), "this is no model\n");
  for (const std::string &model : {std::string("/no/such/model.onnx"), folder.path(), folder.path("text.onnx")}) {
    const CommandResult result = run_sylvite({"compile", model, "-o", folder.path("program")});
    EXPECT_EQ(result.status, 1) << model;
    EXPECT_THAT(result.err, StartsWith("sylvite: "));
    EXPECT_THAT(result.err, HasSubstr(model));
    EXPECT_THAT(result.err, Not(HasSubstr("bug")));
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    EXPECT_FALSE(std::filesystem::exists(folder.path("program")));
  }
}

TEST(CommandLine, UnwritableOutputIsFoundBeforeWork) {
  TemporaryFolder folder;
  const CommandResult nowhere = run_sylvite({"compile", kModel, "-o", folder.path("no/such/program")});
  EXPECT_EQ(nowhere.status, 1);
  EXPECT_THAT(nowhere.err, HasSubstr("no/such"));
  EXPECT_LT(nowhere.seconds, 2);
  const CommandResult over = run_sylvite({"compile", kModel, "-o", folder.path()});
  EXPECT_EQ(over.status, 1);
  EXPECT_THAT(over.err, HasSubstr("folder"));
}

TEST(CommandLine, FullDiskLeavesNothing) {
  if (!std::filesystem::exists("/dev/full")) {
    GTEST_SKIP() << "no /dev/full";
  }
  const CommandResult result = run_sylvite({"compile", kModel, "--emit=ir", "-o", "/dev/full"});
  EXPECT_EQ(result.status, 1) << result.err;
  EXPECT_THAT(result.err, StartsWith("sylvite: "));
}

TEST(CommandLine, TextsShowEachStep) {
  for (const auto &[kind, word] : std::map<std::string, std::string>{
           {"imported", "graph"}, {"ir", "kernel"}, {"plan", "matmul"}, {"llvm", "define"}}) {
    const CommandResult result = run_sylvite({"compile", kModel, "--emit=" + kind});
    EXPECT_EQ(result.status, 0) << kind << result.err;
    EXPECT_THAT(result.out, HasSubstr(word)) << kind;
  }
}

TEST(CommandLine, PassesRewriteText) {
  const std::string text =
      "graph g (x: f32[2, 3]) {\n  y = neg(x)\n  unused = exp(x)\n  return y as y\n}\n";
  const CommandResult kept = run_sylvite({"passes", "-"}, {{}, "", "", text});
  EXPECT_EQ(kept.status, 0) << kept.err;
  EXPECT_THAT(kept.out, HasSubstr("exp"));
  const CommandResult removed = run_sylvite({"passes", "-", "--pass", "remove_dead"}, {{}, "", "", text});
  EXPECT_EQ(removed.status, 0) << removed.err;
  EXPECT_THAT(removed.out, Not(HasSubstr("exp")));
  const CommandResult again = run_sylvite({"passes", "-"}, {{}, "", "", removed.out});
  EXPECT_EQ(again.out, removed.out);
  const CommandResult broken = run_sylvite({"passes", "-"}, {{}, "", "", "graph g (x: f32[2) {"});
  EXPECT_EQ(broken.status, 1);
  EXPECT_THAT(broken.err, StartsWith("sylvite: "));
  const CommandResult list = run_sylvite({"passes", "--list"});
  EXPECT_THAT(list.out, HasSubstr("remove_dead"));
}

TEST(CommandLine, DisabledAndPrintedPasses) {
  const CommandResult result =
      run_sylvite({"inspect", kModel, "--print-after", "remove_dead", "--timing"});
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("# after remove_dead"));
  EXPECT_THAT(result.err, HasSubstr("import"));
}

TEST(SupportedOps, PageIsInStep) {
  EXPECT_EQ(read_file_text(SYLVITE_SOURCE_DIR "/docs/supported-ops.md"), supported_ops_table())
      << "run: build/bin/sylvite ops > docs/supported-ops.md";
}

}  // namespace
}  // namespace sylvite::testing
