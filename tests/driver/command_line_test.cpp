// The `sylvite` command as a user meets it: help, exit codes, messages, and outputs that appear
// complete or not at all.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

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
  for (const char *word :
       {"compile", "verify", "inspect", "passes", "bench", "Examples:", "Exit status"}) {
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
  EXPECT_THAT(version.out,
              ::testing::MatchesRegex("[0-9]+\\.[0-9]+\\.[0-9]+ \\(build [0-9a-f]+\\)\n"));
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
      {"compile", kModel, "-o", "x", "--fix", "batch=0"},
      {"compile", kModel, "-o", "x", "--fix", "batch=1", "--fix", "batch=2"},
      {"compile", kModel, "-o", "x", "--labels", "labels.txt"},
      {"compile", kModel, "-o", "x", "--rtol", "-1"},
      {"verify", kModel, "--reference", "--atol", "nan"},
      {"compile", kModel, "-o", "x", "--require", "attention"},
      {"compile", kModel, "-o", "x", "--require", "attention=-1"},
      {"compile", kModel, "-o", "x", "--require", "attention=two"},
      {"compile", kModel, "-o", "x", "--require", "atention=2"},
      {"compile", kModel, "-o", "x", "--require", "attention=2,attention=2"},
      {"inspect", kModel, "--size", "batch=many"},
      {"inspect", kModel, "--size", "no_such_size=3"},
      {"inspect", kModel, "--size", "batch=1,batch=2"},
      {"passes", "-", "--pass", "no_such_pass"},
  };
  for (const std::vector<std::string> &words : wrong) {
    const CommandResult result = run_sylvite(words);
    EXPECT_EQ(result.status, 2) << ::testing::PrintToString(words) << result.err;
    EXPECT_THAT(result.out, IsEmpty());
    EXPECT_THAT(result.err, AnyOf(HasSubstr("sylvite: "), HasSubstr("Examples:")));
  }
}

TEST(CommandLine, AnUnknownLevelIsWrongUsage) {
  const CommandResult result =
      run_sylvite({"verify", kModel, "--reference"}, {{{"SYLVITE_ISA", "foo"}}, "", "", ""});
  EXPECT_EQ(result.status, 2);
  EXPECT_EQ(result.err, "sylvite: SYLVITE_ISA is 'foo': expected x86-64-v3 or x86-64-v4\n");
}

TEST(CommandLine, BadModelIsOne) {
  TemporaryFolder folder;
  write_file_text(folder.path("text.onnx"), "this is no model\n");
  for (const std::string &model :
       {std::string("/no/such/model.onnx"), folder.path().string(), folder.path("text.onnx")}) {
    const CommandResult result = run_sylvite({"compile", model, "-o", folder.path("program")});
    EXPECT_EQ(result.status, 1) << model;
    EXPECT_THAT(result.err, StartsWith("sylvite: "));
    EXPECT_THAT(result.err, HasSubstr(model));
    EXPECT_THAT(result.err, Not(HasSubstr("bug")));
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    EXPECT_FALSE(std::filesystem::exists(folder.path("program")));
  }
}

// Found out before kernels are compiled; one line says what was found, what is asked for, and why
// not.
TEST(CommandLine, RequiredFusionsThatAreMissingFailTheBuild) {
  TemporaryFolder folder;
  const std::string program = folder.path("program");
  const CommandResult missing = run_sylvite({"compile", kModel, "-o", program, "--require",
                                             "attention=2,add_norm=4", "--require", "ffn=3"});
  EXPECT_EQ(missing.status, 1);
  EXPECT_THAT(missing.err, HasSubstr(kModel + ": 2 ffn fused, --require asks for 3"));
  EXPECT_EQ(std::count(missing.err.begin(), missing.err.end(), '\n'), 1) << missing.err;
  EXPECT_FALSE(std::filesystem::exists(program));

  const std::string clip = SYLVITE_SOURCE_DIR "/tests/models/clip-ts17/model.onnx";
  const CommandResult near =
      run_sylvite({"compile", clip, "--emit=plan", "--require", "add_norm=99"});
  EXPECT_EQ(near.status, 1);
  EXPECT_THAT(near.err, HasSubstr("add_norm fused, --require asks for 99; nearly at "
                                  "'/model/vision_model/post_layernorm/LayerNormalization': "));

  EXPECT_EQ(run_sylvite({"compile", kModel, "--emit=plan", "-o", program, "--require",
                         "attention=2,add_norm=4,ffn=2,layer_norm=5"})
                .status,
            0);
}

// Cut or changed anywhere, a model is refused in words or still is a model; it is never our bug,
// and never costs more than seconds and a gigabyte.
void expect_harmless(const std::string &file, const std::string &what) {
  const CommandResult result = run_sylvite({"inspect", file});
  EXPECT_THAT(result.status, AnyOf(0, 1)) << what << ": " << result.err;
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  EXPECT_LT(result.peak_bytes, int64_t{1} << 30) << what;
#endif
  EXPECT_LT(result.seconds, 20) << what;  // 2 on an idle machine
  if (result.status == 1) {
    EXPECT_THAT(result.err, StartsWith("sylvite: ")) << what;
    EXPECT_THAT(result.err, HasSubstr(file)) << what;
  }
}

TEST(CommandLine, DamagedModelsAreHarmless) {
  const std::string whole = read_file_text(kModel);
  ASSERT_GT(whole.size(), 100000u);
  TemporaryFolder folder;
  const std::string file = folder.path("damaged.onnx");
  for (const size_t size : {0, 1, 7, 100, 1000, 5000, 20000, 60000, 100000}) {
    write_file_text(file, whole.substr(0, size));
    expect_harmless(file, "cut at " + std::to_string(size));
  }
  // Mostly in the structure, which stands between the weights.
  uint64_t state = 1;
  const auto random = [&state] {
    return state = state * 6364136223846793005u + 1442695040888963407u, state >> 33;
  };
  for (int round = 0; round < 60; ++round) {
    std::string changed = whole;
    std::string what = "changed at";
    for (int i = 0; i < 3; ++i) {
      const size_t place = random() % 30000;
      changed[place] = static_cast<char>(random());
      what += " " + std::to_string(place);
    }
    write_file_text(file, changed);
    expect_harmless(file, what);
  }
}

TEST(CommandLine, UnwritableOutputIsFoundBeforeWork) {
  TemporaryFolder folder;
  const CommandResult nowhere =
      run_sylvite({"compile", kModel, "-o", folder.path("no/such/program")});
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

TEST(CommandLine, HelpToAFullDisk) {
  if (!std::filesystem::exists("/dev/full")) {
    GTEST_SKIP() << "no /dev/full";
  }
  const CommandResult result =
      run_command({"/bin/sh", "-c", sylvite_binary() + " --help > /dev/full"});
  EXPECT_EQ(result.status, 1);
  EXPECT_EQ(result.err, "sylvite: cannot write to standard output\n");
}

TEST(CommandLine, SizesBeyondMeasureAreRefusedAtOnce) {
  for (const char *size : {"batch=1000000", "batch=2147483647"}) {
    for (const std::vector<std::string> &words :
         {std::vector<std::string>{"verify", kModel, "--reference"}, {"bench", kModel}}) {
      std::vector<std::string> all = words;
      all.insert(all.end(), {"--size", size});
      const CommandResult result = run_sylvite(all);
      EXPECT_EQ(result.status, 1) << size;
      EXPECT_THAT(result.err, HasSubstr(std::string("at the sizes ") + size)) << result.err;
      EXPECT_THAT(result.err, HasSubstr("--no-limit"));
      EXPECT_LT(result.seconds, 20);  // 2 on an idle machine
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
      EXPECT_LT(result.peak_bytes, int64_t{1} << 30);
#endif
    }
  }
}

TEST(CommandLine, BenchStartsOurProgramsOnly) {
  const CommandResult result = run_sylvite({"bench", sylvite_binary()});
  EXPECT_EQ(result.status, 1);
  EXPECT_EQ(result.err,
            "sylvite: " + sylvite_binary() + ": is a program, but not one that sylvite compiled\n");
}

TEST(CommandLine, TextsShowEachStep) {
  for (const auto &[kind, word] : std::map<std::string, std::string>{
           {"imported", "graph"}, {"ir", "kernel"}, {"plan", "matmul"}, {"llvm", "define"}}) {
    const CommandResult result = run_sylvite({"compile", kModel, "--emit=" + kind});
    EXPECT_EQ(result.status, 0) << kind << result.err;
    EXPECT_THAT(result.out, HasSubstr(word)) << kind;
  }
}

// Protobuf's encoding, as far as a small model needs it.
std::string varint(uint64_t number) {
  std::string bytes;
  for (; number >= 128; number >>= 7) {
    bytes += static_cast<char>(number % 128 + 128);
  }
  return bytes + static_cast<char>(number);
}
std::string field(int id, const std::string &bytes) {
  return varint(static_cast<uint64_t>(id) * 8 + 2) + varint(bytes.size()) + bytes;
}
std::string field(int id, uint64_t number) {
  return varint(static_cast<uint64_t>(id) * 8) + varint(number);
}

// y = -x for an x of so many dimensions, each of size 1.
std::string negation_of_rank(int rank) {
  std::string shape;
  for (int axis = 0; axis < rank; ++axis) {
    shape += field(1, field(1, uint64_t{1}));
  }
  const std::string type = field(2, field(1, field(1, uint64_t{1}) + field(2, shape)));
  const std::string node = field(1, "x") + field(2, "y") + field(4, "Neg");
  const std::string graph = field(1, node) + field(2, "g") + field(11, field(1, "x") + type) +
                            field(12, field(1, "y") + type);
  return field(1, uint64_t{8}) + field(7, graph) + field(8, field(1, "") + field(2, uint64_t{17}));
}

// y = x + w, with w's bytes in weights.bin.
std::string addition_with_external_data() {
  const std::string shape = field(2, field(1, field(1, uint64_t{1})));
  const std::string type = field(2, field(1, field(1, uint64_t{1}) + shape));
  const std::string weights = field(1, uint64_t{1}) + field(2, uint64_t{1}) + field(8, "w") +
                              field(13, field(1, "location") + field(2, "weights.bin")) +
                              field(14, uint64_t{1});
  const std::string node = field(1, "x") + field(1, "w") + field(2, "y") + field(4, "Add");
  const std::string graph = field(1, node) + field(2, "g") + field(5, weights) +
                            field(11, field(1, "x") + type) + field(12, field(1, "y") + type);
  return field(1, uint64_t{8}) + field(7, graph) + field(8, field(1, "") + field(2, uint64_t{17}));
}

TEST(CommandLine, NeverOverwritesWhatItReads) {
  const TemporaryFolder folder;
  write_file_text(folder.path("model.onnx"), addition_with_external_data());
  write_file_text(folder.path("weights.bin"), "1234");
  ASSERT_EQ(run_sylvite({"inspect", folder.path("model.onnx")}).status, 0);
  std::filesystem::create_symlink("model.onnx", folder.path("link"));
  std::filesystem::create_hard_link(folder.path("model.onnx"), folder.path("second"));
  std::filesystem::create_symlink("weights.bin", folder.path("data"));
  for (const char *output : {"model.onnx", "link", "second", "weights.bin", "data"}) {
    for (const char *kind : {"program", "ir"}) {
      const CommandResult result = run_sylvite(
          {"compile", folder.path("model.onnx"), "--emit", kind, "-o", folder.path(output)});
      EXPECT_EQ(result.status, 2) << output;
      EXPECT_THAT(result.err, HasSubstr("-o " + folder.path(output) + " would overwrite "));
    }
  }
  EXPECT_EQ(read_file_text(folder.path("model.onnx")), addition_with_external_data());
  EXPECT_EQ(read_file_text(folder.path("weights.bin")), "1234");
}

TEST(CommandLine, ErrorsAfterTheImportNameTheFile) {
  const TemporaryFolder folder;
  const std::string file = folder.path("deep.onnx");
  write_file_text(file, negation_of_rank(8));
  EXPECT_EQ(run_sylvite({"inspect", file}).status, 0);
  write_file_text(file, negation_of_rank(9));
  const CommandResult result = run_sylvite({"inspect", file});
  EXPECT_EQ(result.status, 1);
  EXPECT_THAT(result.err, StartsWith("sylvite: " + file + ": "));
  EXPECT_THAT(result.err, HasSubstr("9 dimensions"));
}

TEST(CommandLine, SizesBeyond64BitsAreTheModelsFault) {
  const CommandResult result = run_sylvite(
      {"passes", "-"},
      {{}, "", "", "graph g (x: f32[n*4611686018427387904*4]) {\n  return x as y\n}\n"});
  EXPECT_EQ(result.status, 1) << result.err;
}

TEST(CommandLine, PassesRewriteText) {
  const std::string text =
      "graph g (x: f32[2, 3]) {\n  y = neg(x)\n  unused = exp(x)\n  return y as y\n}\n";
  const CommandResult kept = run_sylvite({"passes", "-"}, {{}, "", "", text});
  EXPECT_EQ(kept.status, 0) << kept.err;
  EXPECT_THAT(kept.out, HasSubstr("exp"));
  const CommandResult removed =
      run_sylvite({"passes", "-", "--pass", "remove_dead"}, {{}, "", "", text});
  EXPECT_EQ(removed.status, 0) << removed.err;
  EXPECT_THAT(removed.out, Not(HasSubstr("exp")));
  const CommandResult again = run_sylvite({"passes", "-"}, {{}, "", "", removed.out});
  EXPECT_EQ(again.out, removed.out);
  const CommandResult broken = run_sylvite({"passes", "-"}, {{}, "", "", "graph g (x: f32[2) {"});
  EXPECT_EQ(broken.status, 1);
  EXPECT_THAT(broken.err, StartsWith("sylvite: standard input: line 1, column "));
  const TemporaryFolder folder;
  write_file_text(folder.path("broken.ir"), "graph g (x: f32[2) {");
  EXPECT_THAT(run_sylvite({"passes", folder.path("broken.ir")}).err,
              StartsWith("sylvite: " + folder.path("broken.ir") + ": line 1, column "));
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

TEST(CommandLine, ChecksEachPass) {
  const CommandResult result = run_sylvite({"compile", kModel, "--emit=plan", "--check"});
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_THAT(result.err,
              ::testing::ContainsRegex("sylvite: check: [0-9]+ passes changed the graph, all agree "
                                       "at batch=1 and batch=2\n"));
  EXPECT_THAT(run_sylvite({"compile", "--help"}).out, HasSubstr("--check"));
}

TEST(CommandLine, ChecksBothGraphsOfATranslator) {
  const CommandResult result =
      run_sylvite({"compile", SYLVITE_SOURCE_DIR "/examples/translate", "--emit=plan", "--check"});
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_THAT(result.err,
              ::testing::ContainsRegex("check of encode: [0-9]+ passes changed the graph"));
  EXPECT_THAT(result.err,
              ::testing::ContainsRegex("check of step: [0-9]+ passes changed the graph"));
}

// spoilt_pass.cpp: this one's fuse_epilogues multiplies where it should add.
TEST(CommandLine, NamesThePassThatGoesWrong) {
  const CommandResult result =
      run_command({SYLVITE_SPOILT, "compile", kModel, "--emit=plan", "--check"});
  EXPECT_EQ(result.status, 70);
  EXPECT_THAT(result.out, IsEmpty());
  EXPECT_THAT(result.err, HasSubstr("sylvite: pass fuse_epilogues changes what node '/"));
  EXPECT_THAT(result.err, HasSubstr("please report it"));
}

TEST(CommandLine, SaysWhatIsTooLargeToCheck) {
  const CommandResult result =
      run_sylvite({"compile", kModel, "--emit=plan", "--check", "--fix", "batch=100000"});
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("sylvite: check: not checked: "));
  EXPECT_THAT(result.err, HasSubstr("GFLOP"));
}

TEST(SupportedOps, PageIsInStep) {
  EXPECT_EQ(read_file_text(SYLVITE_SOURCE_DIR "/docs/supported-ops.md"), supported_ops_table())
      << "run: build/bin/sylvite ops > docs/supported-ops.md";
}

}  // namespace
}  // namespace sylvite::testing
