// `sylvite compile --emit=lib` as a team meets it that links a model into its own application: what
// the folder holds, and applications that CMake, g++ and clang build from it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "compiler/driver/library_names.h"
#include "compiler/driver/tensor_npz.h"
#include "tests/driver/run_command.h"

namespace sylvite::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

const fs::path kSource = SYLVITE_SOURCE_DIR;
const std::string kDigits = kSource / "examples/vit/model.onnx";
const fs::path kBert = kSource / "tests/models/bert-optimum-ts14";
const std::string kSmall = kSource / "tests/models/vit-ts17-sdpa/model.onnx";
const std::string kRuntimeFolder = SYLVITE_LIBRARY_FOLDER;

void compile(std::vector<std::string> words) {
  words.insert(words.begin(), "compile");
  const CommandResult result = run_sylvite(words);
  ASSERT_EQ(result.status, 0) << result.err;
}

// All files of a folder, by their paths in it.
std::map<std::string, std::string> contents(const fs::path &folder) {
  std::map<std::string, std::string> files;
  for (const fs::directory_entry &entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) {
      files[fs::relative(entry.path(), folder).string()] = read_file_text(entry.path().string());
    }
  }
  return files;
}

// The compilers of the machine: g++, and the clang that comes with clang-tidy.
std::vector<std::string> cpp_compilers() {
  std::vector<std::string> found = {SYLVITE_CXX};
  for (const char *clang : {"/usr/bin/clang++", "/usr/bin/clang++-19"}) {
    if (fs::exists(clang)) {
      found.push_back(clang);
      break;
    }
  }
  return found;
}

// Configures a project of `folder` against packages in `packages` (CMake's list).
CommandResult configure(const fs::path &folder, const std::string &into,
                        const std::string &packages, const std::string &compiler) {
  return run_command({SYLVITE_CMAKE, "-S", folder.string(), "-B", into, "-G", SYLVITE_GENERATOR,
                      std::string("-DCMAKE_MAKE_PROGRAM=") + SYLVITE_MAKE_PROGRAM,
                      "-DCMAKE_PREFIX_PATH=" + packages, "-DCMAKE_CXX_COMPILER=" + compiler,
                      "-DCMAKE_BUILD_TYPE=Release",
                      "-DCMAKE_NO_SYSTEM_FROM_IMPORTED=ON",  // our headers' warnings count
                      "-DCMAKE_CXX_FLAGS=-Wall -Wextra -Wpedantic -Wshadow -Werror",
                      "-DCMAKE_C_FLAGS=-Wall -Wextra -Wpedantic -Werror"});
}

void build(const fs::path &folder, const std::string &into, const std::string &packages,
           const std::string &compiler) {
  const CommandResult configured = configure(folder, into, packages, compiler);
  ASSERT_EQ(configured.status, 0) << configured.out << configured.err;
  const CommandResult built = run_command({SYLVITE_CMAKE, "--build", into});
  ASSERT_EQ(built.status, 0) << built.out << built.err;
}

// The symbols that an object, archive or library shows (`kind`: what nm is asked for).
std::set<std::string> symbols(const std::string &file, const std::vector<std::string> &kind) {
  std::vector<std::string> words = {SYLVITE_NM, "--format=posix"};
  words.insert(words.end(), kind.begin(), kind.end());
  words.push_back(file);
  const CommandResult result = run_command(words);
  EXPECT_EQ(result.status, 0) << result.err;
  std::set<std::string> names;
  for (const std::string &line : lines_of(result.out)) {
    const size_t end = line.find(' ');
    if (end != std::string::npos) {
      names.insert(line.substr(0, end));
    }
  }
  return names;
}
const std::vector<std::string> kDefined = {"--defined-only", "--extern-only"};
const std::vector<std::string> kUndefined = {"--undefined-only"};

void write_raw(const std::string &file, const Tensor &tensor) {
  write_file_text(file, std::string(reinterpret_cast<const char *>(tensor.bytes().data()),
                                    tensor.bytes().size()));
}

TEST(Library, AnApplicationOfTwoModelsDoesWhatTheProgramsDo) {
  TemporaryFolder folder;
  // Each model with a runtime of its own; the application takes one.
  compile({kDigits, "--emit=lib", "-o", folder.path("a"), "--task=classify", "--name-prefix",
           "digits"});
  compile({(kBert / "model.onnx").string(), "--emit=lib", "-o", folder.path("b"), "--name-prefix",
           "bert"});
  compile({kDigits, "-o", folder.path("read-digits"), "--task=classify", "--no-selftest"});
  compile({(kBert / "model.onnx").string(), "-o", folder.path("bert"), "--no-selftest"});

  const std::string inputs = (kBert / "inputs-A.npz").string();
  const CommandResult program = run_command(
      {folder.path("bert"), "--inputs", inputs, "--outputs", folder.path("expected.npz")});
  ASSERT_EQ(program.status, 0) << program.err;
  const std::vector<NamedTensor> expected = read_tensors(folder.path("expected.npz"));
  ASSERT_EQ(expected.size(), 1u);
  write_raw(folder.path("expected"), expected[0].tensor);
  for (const NamedTensor &input : read_tensors(inputs)) {
    write_raw(folder.path(input.name), input.tensor);
  }
  const std::string image = kSource / "examples/vit/samples/digit-0003-label-3.png";
  const CommandResult reader = run_command({folder.path("read-digits"), image, "--json"});
  ASSERT_EQ(reader.status, 0) << reader.err;

  for (const std::string &compiler : cpp_compilers()) {
    SCOPED_TRACE(compiler);
    const std::string built = folder.path("build-" + fs::path(compiler).filename().string());
    build(kSource / "tests/driver/library", built, folder.path("a") + ";" + folder.path("b"),
          compiler);
    for (const std::string isa : {"", "x86-64-v3"}) {
      CommandOptions options;
      if (!isa.empty()) {
        options.environment["SYLVITE_ISA"] = isa;
      }
      const CommandResult result = run_command(
          {built + "/two-models", "3", "7", folder.path("input_ids"), folder.path("attention_mask"),
           folder.path("token_type_ids"), folder.path("found"), image},
          options);
      ASSERT_EQ(result.status, 0) << result.err;
      const std::string once = read_file_text(folder.path("expected"));
      EXPECT_FALSE(once.empty());
      EXPECT_TRUE(read_file_text(folder.path("found")) == once + once) << "other bits";
      const std::vector<std::string> lines = lines_of(result.out);
      ASSERT_EQ(lines.size(), 3u) << result.out;
      EXPECT_EQ(lines[0], "[3, 7, 32]");
      EXPECT_EQ(lines[1], "input_ids: 21 elements do not make a tensor of sizes [4, 7]");
      std::smatch label;
      ASSERT_TRUE(std::regex_match(lines[2], label, std::regex("(\\S+) (0\\.\\d+)"))) << lines[2];
      EXPECT_EQ(label[1], "3");
      EXPECT_THAT(reader.out, HasSubstr("\"label\": \"3\", \"score\": " + label[2].str()));
    }
    // Hidden: a shared library that holds models passes nothing of them on.
    const std::set<std::string> exported =
        symbols(built + "/libplugin.so", {"-D", "--defined-only"});
    EXPECT_EQ(exported.count("plugin_opens_its_models"), 1u);
    for (const std::string &name : exported) {
      EXPECT_THAT(name, AllOf(Not(HasSubstr("bert_")), Not(HasSubstr("digits_")),
                              Not(StartsWith("sylvite_"))));
    }
  }
  // A project in C alone: the C++ inside is the library's own affair.
  build(kSource / "tests/driver/library/c", folder.path("c"), folder.path("b"), SYLVITE_CXX);
  const CommandResult plain = run_command({folder.path("c/plain-c")});
  EXPECT_EQ(plain.status, 0) << plain.err;
  EXPECT_EQ(plain.out, "[1, 2, 32]\n");

  // A model that another version of Sylvite compiled cannot share the runtime.
  const std::string config = folder.path("b/lib/cmake/bert/bertConfig.cmake");
  write_file_text(config, std::regex_replace(read_file_text(config),
                                             std::regex("(SYLVITE_ABI|EQUAL) \\d+"), "$1 1"));
  const CommandResult other = configure(kSource / "tests/driver/library", folder.path("other"),
                                        folder.path("a") + ";" + folder.path("b"), SYLVITE_CXX);
  EXPECT_NE(other.status, 0);
  EXPECT_THAT(other.err, HasSubstr("bert and another model were compiled by versions of Sylvite"));
}

TEST(Library, TheClassifierExample) {
  TemporaryFolder folder;
  compile({kDigits, "--emit=lib", "-o", folder.path("lib"), "--task=classify", "--name-prefix",
           "digits"});
  // The package may be moved.
  fs::rename(folder.path("lib"), folder.path("moved"));
  build(kSource / "examples/vit", folder.path("build"), folder.path("moved"), SYLVITE_CXX);
  std::vector<std::string> words = {folder.path("build/read-digits")};
  for (const fs::directory_entry &sample :
       fs::directory_iterator(kSource / "examples/vit/samples")) {
    words.push_back(sample.path().string());
  }
  const CommandResult result = run_command(words);
  ASSERT_EQ(result.status, 0) << result.err;
  EXPECT_EQ(lines_of(result.out).size(), words.size() - 1);
  for (const std::string &line : lines_of(result.out)) {
    std::smatch answer;
    ASSERT_TRUE(std::regex_search(line, answer, std::regex("label-(\\d).*: (\\d) \\("))) << line;
    EXPECT_EQ(answer[1], answer[2]) << line;
  }
  const CommandResult bad = run_command({folder.path("build/read-digits"), kDigits});
  EXPECT_EQ(bad.status, 1);
  EXPECT_THAT(bad.err, AllOf(StartsWith("read-digits: "), HasSubstr("model.onnx")));
}

TEST(Library, TheTranslatorExample) {
  TemporaryFolder folder;
  const std::string model = kSource / "examples/translate";
  compile({model, "--emit=lib", "-o", folder.path("lib"), "--name-prefix", "en_de"});
  compile({model, "-o", folder.path("translate")});
  build(model, folder.path("build"), folder.path("lib"), SYLVITE_CXX);
  CommandOptions options;
  options.input = read_file_text(model + "/sentences.txt");
  const CommandResult application = run_command({folder.path("build/translate-lines")}, options);
  const CommandResult program = run_command({folder.path("translate")}, options);
  ASSERT_EQ(application.status, 0) << application.err;
  EXPECT_FALSE(application.out.empty());
  EXPECT_EQ(application.out, program.out);
  EXPECT_THAT(application.err, HasSubstr("of " + std::to_string(lines_of(options.input).size())));
}

TEST(Library, ShowsOnlyItsOwnNames) {
  TemporaryFolder folder;
  compile({kSmall, "--emit=lib", "-o", folder.path("lib"), "--name-prefix", "small"});
  const std::string library = folder.path("lib/lib/libsmall.a");
  EXPECT_THAT(symbols(library, kDefined), ElementsAre("small_program", "small_weights"));
  const std::set<std::string> from_others = {"memcpy", "memmove", "memset"};
  for (const std::string &name : symbols(library, kUndefined)) {
    EXPECT_TRUE(name == "small_weights" || from_others.count(name) != 0 ||
                name.rfind("sylvite_library_", 0) == 0)
        << name;
  }
  // No executable stack, no writable weights.
  const CommandResult sections = run_command({SYLVITE_READELF, "-SW", library});
  EXPECT_THAT(sections.out, ::testing::ContainsRegex("\\.lrodata +PROGBITS.* Al .* 4096\n"));
  EXPECT_THAT(sections.out, HasSubstr(".note.GNU-stack"));
  // The mark of a program, which `sylvite bench` would start.
  EXPECT_THAT(sections.out, Not(HasSubstr(".note.sylvite")));
  EXPECT_THAT(sections.out, Not(HasSubstr(".rela.lrodata")));
}

// What library_symbols.txt says is what the headers declare, and what the archive shows; the rest
// is the C library's.
TEST(Library, TheRuntimeShowsTheInterfaceAlone) {
  std::set<std::string> declared;
  for (const char *header : {"include/sylvite/sylvite.h", "include/sylvite/classifier.h",
                             "include/sylvite/translator.h", "abi.h"}) {
    const std::string text = read_file_text((kSource / "runtime" / header).string());
    const std::regex name("\\b(sylvite_[a-z_0-9]+)\\(");
    for (std::sregex_iterator at(text.begin(), text.end(), name), end; at != end; ++at) {
      declared.insert((*at)[1]);
    }
  }
  EXPECT_GT(declared.size(), 30u);
  const std::string archive = kRuntimeFolder + "/libsylvite_runtime.a";
  EXPECT_EQ(symbols(archive, kDefined), declared);
  for (const std::string &name : symbols(archive, kUndefined)) {
    EXPECT_THAT(name,
                AllOf(Not(StartsWith("_Z")), Not(StartsWith("__cxa")), Not(StartsWith("_Unwind")),
                      Not(StartsWith("halide_")), Not(StartsWith("sylvite"))));
  }
}

TEST(Library, IsTheSameEachTime) {
  TemporaryFolder folder;
  compile({kSmall, "--emit=lib", "-o", folder.path("first")});
  compile({kSmall, "--emit=lib", "-o", folder.path("second"), "--jobs", "1"});
  const std::map<std::string, std::string> first = contents(folder.path("first"));
  EXPECT_EQ(first.count("lib/libmodel.a"), 1u);  // its file's name
  EXPECT_EQ(first.count("lib/libsylvite_runtime.a"), 1u);
  EXPECT_EQ(first.count("include/model/model.h"), 1u);
  EXPECT_EQ(first.count("include/model/model.hpp"), 1u);
  EXPECT_EQ(first.count("include/sylvite/sylvite.hpp"), 1u);
  EXPECT_EQ(first.count("lib/cmake/model/modelConfig.cmake"), 1u);
  EXPECT_EQ(first.size(), 12u);
  EXPECT_TRUE(first == contents(folder.path("second")));
  for (const auto &[name, text] : first) {
    EXPECT_THAT(text, Not(HasSubstr(folder.path().string()))) << name;
  }
  // Another model beside it, and the same one again.
  compile({kSmall, "--emit=lib", "-o", folder.path("first"), "--name-prefix", "other"});
  compile({kSmall, "--emit=lib", "-o", folder.path("first")});
  std::map<std::string, std::string> both = contents(folder.path("first"));
  EXPECT_EQ(both.count("lib/libother.a"), 1u);
  EXPECT_EQ(both.size(), 17u);
  for (const auto &[name, text] : first) {
    EXPECT_TRUE(both[name] == text) << name;
  }
}

TEST(Library, BadUsageIsSaidInALine) {
  TemporaryFolder folder;
  write_file_text(folder.path("file"), "mine");
  fs::create_directory(folder.path("full"));
  write_file_text(folder.path("full/notes.txt"), "mine");
  struct Case {
    std::vector<std::string> words;
    int status;
    std::string message;
  };
  const std::vector<Case> cases = {
      {{"--emit=lib"}, 2, "--emit=lib wants -o FOLDER"},
      {{"--emit=lib", "-o", "-"}, 2, "--emit=lib wants -o FOLDER"},
      {{"-o", folder.path("x"), "--name-prefix", "vit"}, 2, "--name-prefix belongs to --emit=lib"},
      {{"--emit=lib", "-o", folder.path("x"), "--name-prefix", "7up"},
       2,
       "--name-prefix 7up: expected a letter, then letters, digits and underscores, 100 characters "
       "at most"},
      {{"--emit=lib", "-o", folder.path("x"), "--name-prefix", "a/b"}, 2, "--name-prefix a/b: "},
      {{"--emit=lib", "-o", folder.path("x"), "--name-prefix", "class"},
       2,
       "--name-prefix class: this name means something else in C or C++"},
      {{"--emit=lib", "-o", folder.path("x"), "--name-prefix", "sylvite"}, 2, "sylvite: this name"},
      {{"--emit=lib", "-o", folder.path("x"), "--inputs", "a.npz", "--expected", "b.npz"},
       2,
       "a library has no --selftest"},
      {{"--emit=lib", "-o", folder.path("file")},
       1,
       folder.path("file") + ": this is a file; --emit=lib writes a folder"},
      {{"--emit=lib", "-o", folder.path("full")},
       1,
       folder.path("full") + ": the folder holds other things"},
      {{"--emit=lib", "-o", folder.path("no/such/folder")}, 1, "does not exist"},
  };
  for (const Case &each : cases) {
    std::vector<std::string> words = {"compile", kSmall};
    words.insert(words.end(), each.words.begin(), each.words.end());
    const CommandResult result = run_sylvite(words);
    EXPECT_EQ(result.status, each.status) << result.err;
    EXPECT_THAT(result.err, HasSubstr(each.message));
    EXPECT_EQ(lines_of(result.err).size(), 1u) << result.err;
    EXPECT_FALSE(fs::exists(folder.path("x")));
  }
  EXPECT_EQ(contents(folder.path()).size(), 2u);
}

// Files may not become larger than 512 kB here: the runtime cannot be written.
TEST(Library, WhatCannotBeWrittenLeavesNothing) {
  TemporaryFolder folder;
  const CommandResult result =
      run_command({"/bin/sh", "-c",
                   "trap '' XFSZ; ulimit -f 1000; exec " + sylvite_binary() + " compile '" +
                       kSmall + "' --emit=lib -o '" + folder.path("lib") + "'"});
  EXPECT_EQ(result.status, 1);
  EXPECT_EQ(result.err, "sylvite: cannot write '" + folder.path("lib/lib/libsylvite_runtime.a") +
                            "': File too large\n");
  EXPECT_TRUE(fs::is_empty(folder.path()));
}

TEST(Library, NamesBecomeIdentifiers) {
  EXPECT_EQ(identifier_of("input_ids", "input"), "input_ids");
  EXPECT_EQ(identifier_of("input.1", "input"), "input_1");
  EXPECT_EQ(identifier_of("/encoder/layer.0::out/", "output"), "encoder_layer_0_out");
  EXPECT_EQ(identifier_of("0", "input"), "input_0");
  EXPECT_EQ(identifier_of("class", "input"), "input_class");
  EXPECT_EQ(identifier_of("errno", "input"), "input_errno");
  EXPECT_EQ(identifier_of("__x__y", "input"), "x_y");
  EXPECT_EQ(identifier_of("größe", "input"), "gr_e");
  EXPECT_EQ(identifier_of("", "input"), "input");
  EXPECT_EQ(identifier_of("///", "input"), "input");
  EXPECT_THAT(identifiers_of({"a.b", "a/b", "a_b", "a_b_2"}, "input"),
              ElementsAre("a_b", "a_b_2", "a_b_3", "a_b_2_2"));
  EXPECT_EQ(library_prefix("", "models/bert-base.onnx"), "bert_base");
  EXPECT_EQ(library_prefix("", "models/sylvite.onnx"), "model_sylvite");
  EXPECT_EQ(library_prefix("", kSource / "examples/translate/"), "translate");
  EXPECT_EQ(library_prefix("", kSource / "examples/translate/sylvite.json"), "translate");
}

}  // namespace
}  // namespace sylvite::testing
