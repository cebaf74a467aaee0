// The headers of a library compile, whatever the model's tensors are called.
#include "compiler/driver/library_header.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "tests/driver/run_command.h"

namespace sylvite::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

LibraryInterface interface_of(const Plan &plan, const ProgramInfo &info) {
  return {"odd", plan, info, {Isa::X86_64_V3}};
}

// Writes the headers, and expects a source of one line to compile as C and as C++.
void expect_compiles(const Plan &plan, const ProgramInfo &info,
                     const std::string &cpp_source = "") {
  TemporaryFolder folder;
  std::filesystem::create_directory(folder.path("odd"));
  write_file_text(folder.path("odd/odd.h"), c_header(interface_of(plan, info)));
  write_file_text(folder.path("odd/odd.hpp"), cpp_header(interface_of(plan, info)));
  write_file_text(folder.path("source.c"),
                  "#include <odd/odd.h>\nint x = sizeof(sylvite_tensor);\n");
  write_file_text(folder.path("source.cpp"), "#include <odd/odd.hpp>\n" + cpp_source + "\n");
  const std::string include = std::string("-I") + SYLVITE_SOURCE_DIR "/runtime/include";
  for (const std::vector<std::string> &form :
       {std::vector<std::string>{"-std=c11", "-x", "c", folder.path("source.c")},
        {"-std=c++20", folder.path("source.cpp")},
        {"-std=gnu++20", folder.path("source.cpp")}}) {
    std::vector<std::string> words = {SYLVITE_CXX, "-fsyntax-only", "-Wall",
                                      "-Wextra",   "-Wpedantic",    "-Wshadow",
                                      "-Werror",   include,         "-I" + folder.path().string()};
    words.insert(words.end(), form.begin(), form.end());
    const CommandResult result = run_command(words);
    EXPECT_EQ(result.status, 0) << result.err << read_file_text(folder.path("odd/odd.h"))
                                << read_file_text(folder.path("odd/odd.hpp"));
  }
}

ProgramInfo info_of(const std::string &model) {
  ProgramInfo info;
  info.model_name = model;
  info.model_hash = "0123456789abcdef";
  info.compiler_version = "1.2.3 (build 4)";
  return info;
}

TEST(LibraryHeader, SurvivesAnyName) {
  Plan plan;
  for (const char *name : {"*/ #error */",
                           "line\n#error\n",
                           "ends in \\",
                           "quote\" \\n",
                           "?\?/",
                           "linux",
                           "class",
                           "Inputs",
                           "inputs",
                           "results",
                           "outputs",
                           "sylvite",
                           "std",
                           "data",
                           "größe",
                           "a.b",
                           "a/b",
                           "0",
                           "",
                           "//",
                           "tensors",
                           "status",
                           "Context",
                           "\x01\x7f"}) {
    plan.inputs.push_back({name, {DType::F32, {Dim::symbol("batch"), 3}}});
    plan.outputs.push_back({name, {DType::F32, {}}});
  }
  expect_compiles(plan, info_of("*/ #error\n#error \\"));
}

TEST(LibraryHeader, KnowsEveryElementType) {
  Plan plan;
  for (const DType dtype :
       {DType::F32, DType::F64, DType::F16, DType::BF16, DType::I8, DType::U8, DType::I16,
        DType::U16, DType::I32, DType::U32, DType::I64, DType::U64, DType::Bool}) {
    plan.inputs.push_back({std::string("x_") + name_of(dtype), {dtype, {2, 3}}});
    plan.outputs.push_back({std::string("x_") + name_of(dtype), {dtype, {2, 3}}});
  }
  expect_compiles(plan, info_of("all.onnx"),
                  "#include <type_traits>\n"
                  "static_assert(sizeof(odd::Inputs) == 13 * (16 + 2 * 8));\n"
                  "static_assert(std::is_same_v<decltype(odd::Inputs::x_bool.data), "
                  "std::span<const bool>>);\n"
                  "static_assert(odd_input_x_bool == 12);");
}

TEST(LibraryHeader, SaysWhatTheModelTakes) {
  Plan plan;
  plan.inputs.push_back({"ids.1", {DType::I64, {Dim::symbol("batch"), Dim::symbol("length")}}});
  plan.outputs.push_back({"scores", {DType::F32, {Dim::symbol("batch"), 10}}});
  plan.bindings = {{"batch", 0, 0, 1, 0}, {"length", 0, 1, 1, 0}};
  plan.symbols.declare("batch", {SymbolKind::Input, 1, {}});
  plan.symbols.declare("length", {SymbolKind::Input, 0, 512});
  const ProgramInfo info = info_of("m.onnx");
  for (const std::string &header :
       {c_header(interface_of(plan, info)), cpp_header(interface_of(plan, info))}) {
    EXPECT_THAT(header, HasSubstr("m.onnx (0123456789abcdef), compiled by Sylvite 1.2.3"));
    EXPECT_THAT(header, HasSubstr("ids.1: i64[batch, length]\n"));
    EXPECT_THAT(header, HasSubstr("f32[batch, 10]\n"));
    EXPECT_THAT(header, HasSubstr("  batch: 1 or more\n"));
    EXPECT_THAT(header, HasSubstr("  length: 0 to 512\n"));
  }
  EXPECT_THAT(cpp_header(interface_of(plan, info)),
              HasSubstr("sylvite::TensorView<const std::int64_t, 2> ids_1;"));
  expect_compiles(plan, info);
}

TEST(LibraryHeader, AModelWithoutInputs) {
  Plan plan;
  plan.outputs.push_back({"constant", {DType::F32, {}}});
  expect_compiles(plan, info_of("constant.onnx"));
}

TEST(LibraryHeader, TasksHaveTheirClasses) {
  Plan plan;
  plan.inputs.push_back({"pixels", {DType::F32, {Dim::symbol("batch"), 3, 8, 8}}});
  plan.outputs.push_back({"logits", {DType::F32, {Dim::symbol("batch"), 2}}});
  ProgramInfo info = info_of("m.onnx");
  info.classify = ClassifyTask{{"cat", "dog"}, {}};
  EXPECT_THAT(cpp_header(interface_of(plan, info)), HasSubstr("2 labels"));
  expect_compiles(plan, info,
                  "int f(odd::Classifier &c) { return c.create({.threads = 2}).ok() && "
                  "odd::Context().create().ok() ? 1 : 0; }");
  info.classify.reset();
  info.translate.emplace();
  const std::string header = cpp_header(interface_of(plan, info));
  EXPECT_THAT(header, Not(HasSubstr("Inputs")));  // those of the encoder are nobody's business
  expect_compiles(plan, info,
                  "int f(odd::Translator &t) { sylvite::Model m; return t.create().ok() && "
                  "t.create(m).ok() ? 1 : 0; }");
}

}  // namespace
}  // namespace sylvite::testing
