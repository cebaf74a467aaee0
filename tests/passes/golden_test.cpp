// The text cases beside this file (golden_file.h): one file a pass, named after it.
// SYLVITE_UPDATE=1 rewrites the expectations for review.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "compiler/ir/text.h"
#include "passes/passes.h"
#include "tests/passes/golden_file.h"

namespace sylvite {
namespace {

std::string printed(const Graph &graph) {
  return print(graph, {.max_constant_elements = 64, .sources = false, .types = false});
}

std::string without_blank_lines(const std::string &text) {
  std::istringstream stream(text);
  std::string result;
  for (std::string line; std::getline(stream, line);) {
    if (!line.empty()) {
      result += line + "\n";
    }
  }
  return result;
}

class Golden : public ::testing::TestWithParam<std::string> {};

TEST_P(Golden, Cases) {
  const Pass *pass = find_pass(GetParam());
  ASSERT_NE(pass, nullptr) << "the file is named after no pass";
  const std::filesystem::path path = golden_path(GetParam());
  const GoldenFile file = read_golden(path);
  std::string updated = file.head;
  bool fires = false, declines = false;
  for (const GoldenCase &one : file.cases) {
    SCOPED_TRACE(path.filename().string() + ": " + one.title);
    const std::unique_ptr<Graph> graph = parse_graph(one.input);
    for (const std::string &name : file.prepare) {
      const Pass *before = find_pass(name);
      ASSERT_NE(before, nullptr) << name;
      run_pass(*graph, *before);
    }
    const std::string before = printed(*graph);
    const bool changed = run_pass(*graph, *pass);
    const std::string after = printed(*graph);
    EXPECT_EQ(changed, after != before) << "what the pass returns does not fit what it did";
    (after == before ? declines : fires) = true;
    EXPECT_EQ(one.same, after == before) << after;
    if (!one.same) {
      EXPECT_EQ(after, without_blank_lines(one.expected));
    }
    updated += "== " + one.title + "\n" + without_blank_lines(one.input) +
               (after == before ? "-- expect same\n\n" : "-- expect\n" + after + "\n");
  }
  EXPECT_TRUE(fires) << "no case in which the pass does something";
  EXPECT_TRUE(declines) << "no case in which the pass must do nothing";
  if (std::getenv("SYLVITE_UPDATE") != nullptr) {
    std::ofstream(path) << updated;
  }
}

std::vector<std::string> golden_names() {
  std::vector<std::string> names;
  for (const auto &entry : std::filesystem::directory_iterator(golden_path("").parent_path())) {
    if (entry.path().extension() == ".txt" && entry.path().filename() != "CMakeLists.txt") {
      names.push_back(entry.path().stem().string());
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

INSTANTIATE_TEST_SUITE_P(Passes, Golden, ::testing::ValuesIn(golden_names()),
                         [](const auto &info) { return info.param; });

TEST(GoldenFiles, EveryPassHasOne) {
  const std::vector<std::string> names = golden_names();
  for (const Pass &pass : all_passes()) {
    EXPECT_TRUE(std::find(names.begin(), names.end(), pass.name) != names.end())
        << "tests/passes/" << pass.name << ".txt is missing";
  }
}

}  // namespace
}  // namespace sylvite
