// Compiled programs: what `sylvite compile` writes, run as a user runs it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "compiler/driver/compare_tensors.h"
#include "compiler/driver/tensor_npz.h"
#include "tests/driver/run_command.h"
#include "tests/models/compiled_variant.h"
#include "tests/models/model_folder.h"

namespace sylvite::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class Program : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { folder_ = read_model_folder(find_model_folder(GetParam())); }
  std::string compile(const GraphFile &graph, const std::string &name,
                      const std::vector<std::string> &flags = {}) {
    std::vector<std::string> words = {"compile", graph.file.string(), "-o", temporary_.path(name)};
    words.insert(words.end(), flags.begin(), flags.end());
    const CommandResult result = run_sylvite(words);
    EXPECT_EQ(result.status, 0) << result.err;
    return temporary_.path(name);
  }
  std::vector<NamedTensor> run(const std::string &program, const fs::path &inputs,
                               const std::vector<std::string> &flags = {},
                               const CommandOptions &options = {}) {
    const std::string outputs = temporary_.path("out.npz");
    fs::remove(outputs);
    std::vector<std::string> words = {program, "--inputs", inputs.string(), "--outputs", outputs};
    words.insert(words.end(), flags.begin(), flags.end());
    const CommandResult result = run_command(words, options);
    EXPECT_EQ(result.status, 0) << result.err;
    return result.status == 0 ? read_tensors(outputs) : std::vector<NamedTensor>();
  }

  TemporaryFolder temporary_;
  ModelFolder folder_;
};

void expect_right(const std::vector<NamedTensor> &found, const fs::path &expected, double rtol,
                  double atol) {
  const std::vector<NamedTensor> wanted = read_tensors(expected);
  ASSERT_EQ(found.size(), wanted.size());
  for (const NamedTensor &output : wanted) {
    bool present = false;
    for (const NamedTensor &candidate : found) {
      if (candidate.name == output.name) {
        present = true;
        const Comparison comparison = compare_tensors(candidate.tensor, output.tensor, rtol, atol);
        EXPECT_TRUE(comparison.ok()) << output.name << ": off by " << comparison.largest;
      }
    }
    EXPECT_TRUE(present) << output.name;
  }
}

TEST_P(Program, AnswersOnEveryLevelAndThreadCount) {
  for (const GraphFile &graph : folder_.graphs) {
    const std::string program = compile(graph, "program");
    for (const auto &[which, files] : graph.cases) {
      for (const std::string isa : {"", "x86-64-v3"}) {
        CommandOptions options;
        if (!isa.empty()) {
          options.environment["SYLVITE_ISA"] = isa;
        }
        for (const char *threads : {"1", "2"}) {
          expect_right(run(program, files.first, {"--threads", threads}, options), files.second,
                       folder_.rtol, folder_.atol);
        }
      }
    }
    const CommandResult tested = run_command({program, "--selftest"});
    EXPECT_EQ(tested.status, 0) << tested.out << tested.err;
    const CommandResult version = run_command({program, "--version"});
    EXPECT_EQ(version.status, 0);
    EXPECT_THAT(version.out, HasSubstr("x86-64-v3"));
    const CommandResult info = run_command({program, "--info"});
    EXPECT_EQ(info.status, 0);
    EXPECT_THAT(info.out, HasSubstr(read_tensors(graph.cases.begin()->second.first).front().name));
  }
}

// The program needs nothing but the kernel: in a root that holds it and its input alone, without
// /proc, /lib or a shell.
TEST_P(Program, RunsInAnEmptyRoot) {
  const GraphFile &graph = folder_.graphs.front();
  const std::string root = temporary_.path("root");
  fs::create_directory(root);
  fs::rename(compile(graph, "program"), root + "/program");
  fs::copy_file(graph.cases.begin()->second.first, root + "/in.npz");
  CommandOptions options;
  options.root = root;
  const CommandResult result =
      run_command({"/program", "--inputs", "/in.npz", "--outputs", "/out.npz"}, options);
  if (!result.could_start) {
    GTEST_SKIP() << "no right to change the root here";
  }
  ASSERT_EQ(result.status, 0) << result.err;
  expect_right(read_tensors(root + "/out.npz"), graph.cases.begin()->second.second, folder_.rtol,
               folder_.atol);
  EXPECT_EQ(run_command({"/program", "--selftest"}, options).status, 0);
}

// The same model, options and version: the same bytes, from another folder, with one job or two,
// with a warm cache, a cold one or none.
TEST_P(Program, HasTheSameBytesTwice) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "tested without sanitizers";
#endif
  for (const GraphFile &graph : folder_.graphs) {
    const std::string once = read_file_text(compile(graph, "once", {"--jobs", "2"}));
    fs::create_directories(temporary_.path("elsewhere"));
    GraphFile copy = graph;
    copy.file = temporary_.path("elsewhere") + "/" + graph.file.filename().string();
    fs::copy_file(graph.file, copy.file);
    const std::string cache = temporary_.path("cache");
    const std::vector<std::string> cached = {"--jobs", "1", "--cache-dir", cache};
    EXPECT_TRUE(once == read_file_text(compile(copy, "fresh", cached)));
    EXPECT_TRUE(once == read_file_text(compile(graph, "cached", cached)));
    if (GetParam() == working_models().front()) {
      EXPECT_TRUE(once == read_file_text(compile(copy, "again", {"--no-cache"})));
    }
  }
}

TEST_P(Program, RefusesWrongInputs) {
  const GraphFile &graph = folder_.graphs.front();
  const std::string program = compile(graph, "program");
  const auto expect_refused = [&](const std::vector<std::string> &words, int status) {
    std::vector<std::string> all = {program};
    all.insert(all.end(), words.begin(), words.end());
    const CommandResult result = run_command(all);
    EXPECT_EQ(result.status, status) << ::testing::PrintToString(words) << result.err;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    EXPECT_FALSE(fs::exists(temporary_.path("out.npz")));
    EXPECT_LT(result.seconds, 2);
  };
  const std::string out = temporary_.path("out.npz");
  const std::string outputs = graph.cases.begin()->second.second.string();
  expect_refused({"--inputs", outputs, "--outputs", out}, 1);  // other names
  expect_refused({"--inputs", "/no/such.npz", "--outputs", out}, 1);
  expect_refused({"--inputs", program, "--outputs", out}, 1);  // no npz
  expect_refused(
      {"--inputs", graph.cases.begin()->second.first.string(), "--outputs", "/no/such/out.npz"}, 1);
  expect_refused({"--frobnicate"}, 2);
}

INSTANTIATE_TEST_SUITE_P(Models, Program, ::testing::ValuesIn(working_models()), test_name);

}  // namespace
}  // namespace sylvite::testing
