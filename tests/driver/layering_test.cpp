// Who may include whom: the arrows of docs/architecture.md, checked from the #include lines.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;

struct Layer {
  std::vector<std::string> ours;    // path prefixes of ours that it may include, besides its own folder
  std::vector<std::string> theirs;  // prefixes of large libraries that it may include
};

// Of each file the longest prefix counts.
const std::map<std::string, Layer> kLayers = {
    {"compiler/ir/", {{}, {}}},
    {"compiler/import/", {{"compiler/ir/"}, {"onnx/", "google/protobuf/"}}},
    {"passes/", {{"compiler/ir/"}, {}}},
    {"compiler/kernels/", {{"compiler/ir/", "generated/version.h"}, {"Halide"}}},
    // arena.h: reports place buffers by the very function that the runtime uses.
    {"compiler/codegen/",
     {{"compiler/ir/", "compiler/kernels/", "runtime/abi.h", "runtime/arena.h", "generated/version.h"},
      {"llvm/"}}},
    {"compiler/link/",
     {{"compiler/ir/", "compiler/codegen/", "runtime/abi.h", "generated/"}, {"lld/", "llvm/"}}},
    {"compiler/driver/",
     {{"compiler/", "passes/", "runtime/abi.h", "runtime/include/", "runtime/io/", "runtime/images/",
       "generated/"},
      {"CLI/", "nlohmann/"}}},
    {"runtime/", {{}, {"stb"}}},
    {"examples/", {{"sylvite/"}, {}}},
};
const std::vector<std::string> kLibraries = {"Halide", "llvm/", "lld/", "onnx/", "google/protobuf/",
                                             "CLI/", "nlohmann/", "stb"};

bool starts_with_any(const std::string &text, const std::vector<std::string> &prefixes) {
  return std::any_of(prefixes.begin(), prefixes.end(),
                     [&](const std::string &prefix) { return text.starts_with(prefix); });
}

std::vector<std::string> includes_of(const fs::path &file) {
  static const std::regex kInclude(R"(^\s*#\s*include\s*[<"]([^">]+)[">])");
  std::vector<std::string> names;
  std::ifstream stream(file);
  std::smatch match;
  for (std::string line; std::getline(stream, line);) {
    if (std::regex_search(line, match, kInclude)) {
      names.push_back(match[1]);
    }
  }
  return names;
}

// A message, or nothing.
std::string complaint(const std::string &folder, const Layer &layer, const std::string &include) {
  const bool library = starts_with_any(include, kLibraries);
  if (library) {
    return starts_with_any(include, layer.theirs) ? "" : "must not see " + include;
  }
  const bool ours = starts_with_any(include, {"compiler/", "passes/", "runtime/", "tests/", "generated/"});
  if (!ours || include.starts_with(folder) || starts_with_any(include, layer.ours)) {
    return "";
  }
  return "must not include " + include;
}

TEST(Layering, IncludesFollowTheArrows) {
  const fs::path root = SYLVITE_SOURCE_DIR;
  std::map<std::string, int> files;
  for (const auto &[folder, layer] : kLayers) {
    if (!fs::exists(root / folder)) {
      continue;
    }
    for (const fs::directory_entry &entry : fs::recursive_directory_iterator(root / folder)) {
      const std::set<std::string> sources = {".cpp", ".h", ".hpp", ".c", ".def"};
      if (sources.count(entry.path().extension().string()) == 0) {
        continue;
      }
      ++files[folder];
      for (const std::string &include : includes_of(entry.path())) {
        const std::string found = complaint(folder, layer, include);
        EXPECT_TRUE(found.empty()) << fs::relative(entry.path(), root).string() << " " << found;
      }
    }
  }
  // The test itself must see something.
  EXPECT_GT(files["compiler/ir/"], 5);
  EXPECT_GT(files["passes/"], 5);
  EXPECT_GT(files["runtime/"], 5);
}

TEST(Layering, TheTestFindsWhatIsWrong) {
  EXPECT_NE(complaint("compiler/ir/", kLayers.at("compiler/ir/"), "passes/passes.h"), "");
  EXPECT_NE(complaint("passes/", kLayers.at("passes/"), "Halide.h"), "");
  EXPECT_NE(complaint("runtime/", kLayers.at("runtime/"), "compiler/ir/dims.h"), "");
  EXPECT_EQ(complaint("passes/", kLayers.at("passes/"), "compiler/ir/graph.h"), "");
}

// Headers of large libraries stay out of what other folders include, so that a pass or a test needs only the IR.
TEST(Layering, InterfacesNeedNoLargeLibrary) {
  const fs::path root = SYLVITE_SOURCE_DIR;
  std::vector<fs::path> interfaces = {
      "compiler/import/import.h", "passes/passes.h",         "compiler/kernels/kernels.h",
      "compiler/codegen/plan.h",  "compiler/codegen/compile.h", "compiler/link/link.h",
      "compiler/driver/compile_model.h"};
  for (const fs::directory_entry &entry : fs::directory_iterator(root / "compiler/ir")) {
    if (entry.path().extension() == ".h") {
      interfaces.push_back(entry.path());
    }
  }
  for (const fs::path &header : interfaces) {
    EXPECT_TRUE(fs::exists(root / header)) << header;
    for (const std::string &include : includes_of(root / header)) {
      EXPECT_FALSE(starts_with_any(include, kLibraries)) << header << " includes " << include;
    }
  }
}

}  // namespace
