// The command line of a standalone program, linked with zig's libraries as `sylvite compile` links:
// what it prints, what it writes, its exit codes.
#include <elf.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "runtime/cpu.h"
#include "runtime/io/tensor_file.h"
#include "tests/temporary_folder.h"

extern char **environ;

namespace sylvite {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::StartsWith;

std::string text_in(const std::filesystem::path &file) {
  std::ifstream stream(file);
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

struct Outcome {
  int code = -1;
  std::string out, error;
};

class Program : public ::testing::Test {
 protected:
  void SetUp() override {
    if (missing_feature(SYL_X86_64_V3) != nullptr) {
      GTEST_SKIP() << "this CPU is below x86-64-v3";
    }
  }

  Outcome run(std::vector<std::string> arguments, const std::string &out = "",
              const std::vector<std::string> &environment = {}) {
    const std::string out_file = out.empty() ? file("stdout") : out, error_file = file("stderr");
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, out_file.c_str(), O_WRONLY | O_CREAT | O_TRUNC,
                                     0644);
    posix_spawn_file_actions_addopen(&actions, 2, error_file.c_str(), O_WRONLY | O_CREAT | O_TRUNC,
                                     0644);
    arguments.insert(arguments.begin(), "a/path/fake");
    std::vector<char *> argv, envp;
    for (std::string &argument : arguments) {
      argv.push_back(argument.data());
    }
    argv.push_back(nullptr);
    std::vector<std::string> variables = environment;
    for (std::string &variable : variables) {
      envp.push_back(variable.data());
    }
    envp.push_back(nullptr);
    pid_t child = 0;
    Outcome outcome;
    EXPECT_EQ(posix_spawn(&child, program_.c_str(), &actions, nullptr, argv.data(), envp.data()),
              0);
    posix_spawn_file_actions_destroy(&actions);
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    outcome.code = WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
    outcome.out = out.empty() ? text_in(out_file) : "";
    outcome.error = text_in(error_file);
    return outcome;
  }

  // One line on standard error, nothing on standard output.
  void expect_error(const std::vector<std::string> &arguments, int code, const std::string &line) {
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.code, code);
    EXPECT_EQ(outcome.error, "fake: " + line + "\n");
    EXPECT_EQ(outcome.out, "");
  }

  std::string file(const std::string &name) const { return folder_.path(name); }

  template <typename T>
  static HostTensor tensor(const std::string &name, sylvite_dtype dtype, std::vector<int64_t> dims,
                           const std::vector<T> &values) {
    HostTensor result{name, dtype, std::move(dims), {}};
    result.bytes.resize(values.size() * sizeof(T));
    std::memcpy(result.bytes.data(), values.data(), result.bytes.size());
    return result;
  }

  static std::vector<HostTensor> good_inputs() {
    return {tensor<float>("x", SYLVITE_F32, {1, 4}, {1, 2, 3, 4}),
            tensor<float>("y", SYLVITE_F32, {1, 4}, {1, 1, 1, 1}),
            tensor<int64_t>("ids", SYLVITE_I64, {1, 2}, {1, -1}),
            tensor<float>("tail", SYLVITE_F32, {3}, {0, 0, 0})};
  }

  std::string write(const std::vector<HostTensor> &tensors) {
    std::vector<ArrayView> views(tensors.begin(), tensors.end());
    const Error error = write_npz(file("in.npz"), views);
    EXPECT_TRUE(error.ok()) << error.message;
    return file("in.npz");
  }

  static std::vector<float> floats(const HostTensor &tensor) {
    std::vector<float> values(tensor.bytes.size() / sizeof(float));
    std::memcpy(values.data(), tensor.bytes.data(), tensor.bytes.size());
    return values;
  }

  std::string program_ = SYLVITE_FAKE_PROGRAM;
  testing::TemporaryFolder folder_;
};

const std::vector<float> kScaled = {20020, 30030, 40040, 50050};

TEST_F(Program, RunsOnAnArchive) {
  const Outcome outcome =
      run({"--inputs", write(good_inputs()), "--outputs", file("out.npz"), "--threads", "2"});
  EXPECT_EQ(outcome.code, 0) << outcome.error;
  EXPECT_EQ(outcome.out, "");
  const Result<std::vector<HostTensor>> outputs = read_npz(file("out.npz"));
  ASSERT_TRUE(outputs.ok()) << outputs.error().message;
  ASSERT_EQ(outputs.value().size(), 2u);
  EXPECT_EQ(outputs.value()[0].name, "scaled");
  EXPECT_EQ(outputs.value()[0].dims, (std::vector<int64_t>{1, 4}));
  EXPECT_EQ(floats(outputs.value()[0]), kScaled);
  EXPECT_EQ(outputs.value()[1].name, "echo");
}

TEST_F(Program, RunsOnSingleArrays) {
  std::vector<std::string> arguments;
  for (const HostTensor &input : good_inputs()) {
    ASSERT_TRUE(write_npy(file(input.name), input).ok());
    arguments.insert(arguments.end(), {"--input", input.name + "=" + file(input.name)});
  }
  arguments.insert(arguments.end(), {"--output", "scaled=" + file("scaled.npy")});
  const Outcome outcome = run(arguments);
  EXPECT_EQ(outcome.code, 0) << outcome.error;
  const Result<HostTensor> output = read_npy(file("scaled.npy"));
  ASSERT_TRUE(output.ok()) << output.error().message;
  EXPECT_EQ(floats(output.value()), kScaled);
}

TEST_F(Program, PrintsASummaryWithoutOutputFiles) {
  const Outcome outcome = run({"--inputs", write(good_inputs())});
  EXPECT_EQ(outcome.out,
            "scaled float32 [1, 4] 20020 30030 40040 50050\necho float32 [1, 4] 1 2 3 4\n");
}

TEST_F(Program, WrongInputsAreOneLine) {
  std::vector<HostTensor> inputs = good_inputs();
  inputs[0].name = "z";
  write(inputs);
  const std::vector<std::string> arguments = {"--inputs", file("in.npz"), "--outputs",
                                              file("out.npz")};
  expect_error(
      arguments, 1,
      file("in.npz") + ": 'z' is no input of the model, which has 'x', 'y', 'ids', 'tail'");
  inputs = good_inputs();
  inputs.pop_back();
  write(inputs);
  expect_error(arguments, 1, "input 'tail' is missing: float32 [length + 1]");
  inputs = good_inputs();
  inputs[0] = tensor<double>("x", SYLVITE_F64, {1, 4}, {1, 2, 3, 4});
  write(inputs);
  expect_error(arguments, 1, file("in.npz") + ": input 'x': expected float32, got float64");
  inputs = good_inputs();
  inputs[1].dims = {4, 1};
  write(inputs);
  expect_error(arguments, 1, file("in.npz") + ": input 'y': expected shape [batch, 4], got [4, 1]");
  ASSERT_TRUE(write_npy(file("tail.npy"), tensor<float>("tail", SYLVITE_F32, {1}, {0})).ok());
  inputs = good_inputs();
  inputs.pop_back();
  write(inputs);
  expect_error({"--inputs", file("in.npz"), "--input", "tail=" + file("tail.npy")}, 1,
               file("tail.npy") + ": input 'tail': dimension 0 is 1, expected length + 1 = 3");
  inputs = good_inputs();
  inputs[2] = tensor<int64_t>("ids", SYLVITE_I64, {1, 2}, {1, 5});
  write(inputs);
  expect_error(arguments, 1,
               file("in.npz") + ": ids: index 5 at [0, 1] is out of range for 'table' (5 rows)");
  EXPECT_FALSE(std::filesystem::exists(file("out.npz")));
  expect_error({"--inputs", write(good_inputs()), "--input", "x=" + file("none.npy")}, 1,
               file("none.npy") + ": cannot be opened: No such file or directory");
  ASSERT_TRUE(write_npy(file("x.npy"), good_inputs()[0]).ok());
  expect_error({"--inputs", file("in.npz"), "--input", "x=" + file("x.npy")}, 1,
               file("x.npy") + ": input 'x' is given twice");
  expect_error({"--inputs", file("in.npz"), "--output", "w=" + file("w.npy")}, 1,
               "--output: 'w' is no output of the model, which has 'scaled', 'echo'");
}

TEST_F(Program, OutputsThatCannotBeWritten) {
  const std::string inputs = write(good_inputs());
  const Outcome outcome = run({"--inputs", inputs, "--outputs", file("none/out.npz")});
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.error, StartsWith("fake: " + file("none/out.npz")));
  const Outcome full = run({"--inputs", inputs, "--outputs", "/dev/full"});
  EXPECT_EQ(full.code, 1);
  EXPECT_THAT(full.error, HasSubstr("No space left"));
  const Outcome summary = run({"--inputs", inputs}, "/dev/full");
  EXPECT_EQ(summary.code, 1);
  EXPECT_EQ(summary.error, "fake: standard output cannot be written: No space left on device\n");
}

TEST_F(Program, MistakesInTheUsage) {
  expect_error({}, 2, "no inputs given; see fake --help");
  expect_error({"--inptus", "x"}, 2, "unknown option '--inptus'; see fake --help");
  expect_error({"-q"}, 2, "unknown option '-q'; see fake --help");
  expect_error({"--inputs"}, 2, "--inputs needs a value; see fake --help");
  expect_error({"--input", "x"}, 2, "--input: expected NAME=FILE.npy, got 'x'; see fake --help");
  expect_error({"--info", "image.png"}, 2, "unexpected argument 'image.png'; see fake --help");
  expect_error({"--threads", "0", "--info"}, 2,
               "--threads: expected a number from 1 to 4096, got '0'; see fake --help");
  expect_error({"--threads", "2x", "--info"}, 2,
               "--threads: expected a number from 1 to 4096, got '2x'; see fake --help");
  expect_error({"--outputs", ""}, 2, "--outputs: expected FILE.npz, got nothing; see fake --help");
  expect_error({"--inputs", "a.npz", "--inputs", "b.npz"}, 2,
               "--inputs is given twice; see fake --help");
  std::filesystem::create_directory_symlink(folder_.path(), file("link"));
  for (const std::string &again :
       {file("out"), file("link/out"), file("../") + folder_.path().filename().string() + "/out"}) {
    expect_error({"--output", "scaled=" + file("out"), "--output", "echo=" + again}, 2,
                 "two outputs would be written to '" + again + "'; see fake --help");
  }
  expect_error({"--outputs", file("out"), "--output", "echo=" + file("out")}, 2,
               "two outputs would be written to '" + file("out") + "'; see fake --help");
  expect_error(
      {"--info", "--size", "width=3"}, 2,
      "--size: expected NAME=NUMBER with a name out of [batch, length], got 'width=3'; see "
      "fake --help");
  expect_error({"--info", "--size", "batch=abc"}, 2,
               "--size: batch is a number from 1 to 100000, got 'abc'; see fake --help");
  expect_error({"--bench", "--size", "batch=0"}, 2,
               "--size: batch is a number from 1 to 100000, got '0'; see fake --help");
  expect_error({"--info", "--bench"}, 2, "--info and --bench exclude each other; see fake --help");
}

TEST_F(Program, Info) {
  const Outcome outcome = run({"--info", "--size", "batch=3,length=5"});
  EXPECT_EQ(outcome.code, 0) << outcome.error;
  EXPECT_THAT(outcome.out, HasSubstr("input ids: int64 [batch, length]\n"));
  EXPECT_THAT(outcome.out, HasSubstr("output scaled: float32 [batch, 4]\n"));
  EXPECT_THAT(outcome.out, HasSubstr("symbol batch: from 1 to 100000\nsymbol length: from 0 on\n"));
  EXPECT_THAT(outcome.out, HasSubstr("arena: 192 bytes at batch=3, length=5\n"));
  const nlohmann::json json =
      nlohmann::json::parse(run({"--info", "--json", "--size=batch=30"}).out);
  EXPECT_EQ(json["inputs"][3]["shape"], nlohmann::json({"length + 1"}));
  EXPECT_EQ(json["outputs"][0]["shape"], nlohmann::json({"batch", 4}));
  EXPECT_EQ(json["symbols"][1]["upper"], nullptr);
  EXPECT_EQ(json["sizes"]["batch"], 30);
  EXPECT_EQ(json["arena_bytes"], 3 * 512);
}

// What nobody would wait for is refused at once.
TEST_F(Program, SizesBeyondMeasure) {
  expect_error(
      {"--bench", "--size", "batch=100000,length=1000000000"}, 1,
      "--size batch=100000, length=1000000000: a run would take 800004008 MB of memory and "
      "400000 GFLOP; beyond 8589 MB or 20000 GFLOP --bench wants --no-limit");
  EXPECT_EQ(run({"--info", "--size", "length=99999999999999999"}).code, 0);
}

TEST_F(Program, Bench) {
  const Outcome outcome =
      run({"--bench", "--json", "--runs", "7", "--size", "batch=100,length=3", "--threads", "1"});
  ASSERT_EQ(outcome.code, 0) << outcome.error;
  const nlohmann::json json = nlohmann::json::parse(outcome.out);
  EXPECT_EQ(json["runs"], 7);
  EXPECT_EQ(json["calls"].size(), 2u);
  EXPECT_EQ(json["calls"][1]["flops"], 1600);
  EXPECT_GT(json["calls"][1]["ns"].get<double>(), 0);
  EXPECT_GT(json["median_ns"].get<double>(), 0);
  EXPECT_EQ(json["times_ns"].size(), json["runs"].get<size_t>());
  EXPECT_GT(json["peak_flops"].get<double>(), 1e9);
  const Outcome table = run({"--bench", "--runs", "3"});
  EXPECT_EQ(table.code, 0);
  EXPECT_THAT(table.out, HasSubstr("x [2, 4]"));  // the self-test's inputs
  EXPECT_THAT(table.out, HasSubstr("gather_2,mul_3"));
}

TEST_F(Program, SelfTest) {
  const Outcome outcome = run({"--selftest"});
  EXPECT_EQ(outcome.code, 0) << outcome.error;
  EXPECT_THAT(outcome.out,
              HasSubstr("scaled: largest error 0, allowed 1e-05 + 1e-05 x |expected|: right\n"));
  EXPECT_THAT(outcome.out, HasSubstr("selftest passed on x86-64-v"));
  const Outcome wrong = run({"--selftest"}, "", {"SYLVITE_FAKE_WRONG=1"});
  EXPECT_EQ(wrong.code, 1);
  EXPECT_EQ(wrong.error, "fake: selftest: 8 elements are beyond the tolerance\n");
}

TEST_F(Program, SaysWhatItIs) {
  const Outcome version = run({"--version"});
  EXPECT_EQ(version.code, 0);
  EXPECT_THAT(version.out, HasSubstr("model:    fake 00000000000000000000000000000000\n"));
  EXPECT_THAT(version.out, HasSubstr("levels:   x86-64-v3, x86-64-v4\n"));
  EXPECT_THAT(run({"--version"}, "", {"SYLVITE_ISA=x86-64-v3"}).out,
              HasSubstr("in use:   x86-64-v3\n"));
  EXPECT_EQ(run({"--licences"}).out, "the licences\n");
  const std::string help = run({"--help"}).out;
  EXPECT_THAT(help, HasSubstr("fake --input x=in.npy --output scaled=out.npy\n"));
  EXPECT_THAT(help, HasSubstr("ids=numpy.zeros((1, 1), \"int64\")"));
  EXPECT_THAT(help, HasSubstr("tail=numpy.zeros((2,), \"float32\")"));
}

TEST_F(Program, ALevelThatIsNotToBeHad) {
  const Outcome outcome = run({"--info"}, "", {"SYLVITE_ISA=x86-64-v2"});
  EXPECT_EQ(outcome.code, 2);
  EXPECT_EQ(outcome.error, "fake: SYLVITE_ISA is 'x86-64-v2': expected x86-64-v3 or x86-64-v4\n");
}

// Nothing but the program: no /proc, no libraries, no shell, no devices.
TEST_F(Program, NeedsNothingButTheKernel) {
  if (geteuid() != 0) {
    GTEST_SKIP() << "only root may change the root folder";
  }
  std::filesystem::copy_file(SYLVITE_FAKE_PROGRAM, file("program"));
  write(good_inputs());
  const pid_t child = fork();
  if (child == 0) {
    if (chroot(folder_.path().c_str()) != 0 || chdir("/") != 0) {
      _exit(99);
    }
    execl("/program", "program", "--inputs", "in.npz", "--outputs", "out.npz", nullptr);
    _exit(98);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 0);
  const Result<std::vector<HostTensor>> outputs = read_npz(file("out.npz"));
  ASSERT_TRUE(outputs.ok()) << outputs.error().message;
  EXPECT_EQ(floats(outputs.value()[0]), kScaled);
}

TEST_F(Program, AFileThatWasCutShort) {
  std::string program = text_in(SYLVITE_FAKE_PROGRAM);
  Elf64_Ehdr header;
  std::memcpy(&header, program.data(), sizeof header);
  Elf64_Phdr last;  // the weights
  std::memcpy(&last, program.data() + header.e_phoff + (header.e_phnum - 1) * sizeof last,
              sizeof last);
  ASSERT_EQ(last.p_type, static_cast<Elf64_Word>(PT_LOAD));
  std::ofstream(file("short")) << program.substr(0, last.p_offset);
  ASSERT_EQ(chmod(file("short").c_str(), 0755), 0);
  program_ = file("short");
  expect_error({"--info"}, 1, "the program's file is incomplete: copy it again");
}

// An old CPU must reach the line that says so: wide registers stand in the peak's own functions
// only.
TEST_F(Program, TheRuntimeIsForTheBaselineCpu) {
  const std::string listing = file("listing");
  const std::string command = std::string("objdump -d --no-show-raw-insn ") +
                              SYLVITE_PROGRAM_ARCHIVE + " > " + listing + " 2>/dev/null";
  if (std::system(command.c_str()) != 0) {
    GTEST_SKIP() << "objdump is not installed";
  }
  std::ifstream lines(listing);
  std::string line, function;
  int64_t functions = 0;
  while (std::getline(lines, line)) {
    if (line.ends_with(">:")) {
      function = line;
      ++functions;
    }
    const bool wide = line.find("%ymm") != std::string::npos ||
                      line.find("%zmm") != std::string::npos ||
                      line.find("\tv") != std::string::npos;
    ASSERT_TRUE(!wide || function.find("multiply_add_v") != std::string::npos) << function << line;
  }
  EXPECT_GT(functions, 100);
}

TEST_F(Program, IsSmall) {
  EXPECT_LT(std::filesystem::file_size(SYLVITE_FAKE_PROGRAM), 600u * 1024);
}

}  // namespace
}  // namespace sylvite
