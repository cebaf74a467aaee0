// The arrows between folders, checked from the #include lines: who may include whom, and which
// folder may see the headers of Halide, LLVM, LLD, ONNX and Protobuf. The table is
// docs/architecture.md's.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;

struct Layer {
  const char *folder;
  std::vector<std::string> may_include;  // prefixes of our own headers
  std::vector<std::string> libraries;    // of kLibraries
};

const std::vector<Layer> &layers() {
  static const std::vector<Layer> table = {
      {"compiler/ir", {"compiler/ir/"}, {}},
      {"compiler/import", {"compiler/import/", "compiler/ir/"}, {"onnx"}},
      {"passes", {"passes/", "compiler/ir/"}, {}},
      {"compiler/kernels", {"compiler/kernels/", "compiler/ir/"}, {"halide"}},
      // The plan calls the runtime through abi.h and places buffers with the runtime's own
      // function.
      {"compiler/codegen",
       {"compiler/codegen/", "compiler/kernels/kernels.h", "compiler/ir/", "runtime/abi.h",
        "runtime/arena.h"},
       {"llvm"}},
      {"compiler/link",
       {"compiler/link/", "compiler/codegen/", "compiler/ir/", "runtime/abi.h", "runtime/include/"},
       {"lld"}},
      // SentencePiece converts models here; programs have its lite runtime in the runtime.
      {"compiler/driver",
       {"compiler/", "passes/", "runtime/include/", "runtime/io/", "runtime/tokens/",
        "runtime/images/", "runtime/tasks/", "runtime/abi.h", "runtime/bench.h"},
       {"sentencepiece"}},
      {"runtime", {"runtime/"}, {"sentencepiece"}},
      {"examples", {"runtime/include/", "sylvite/", "examples/"}, {}},
  };
  return table;
}

// A library and how its headers begin. LLD's interface speaks in LLVM's streams; what a linker does
// not do to a symbol is objcopy's.
const std::vector<std::pair<std::string, std::vector<std::string>>> kLibraries = {
    {"halide", {"Halide.h", "HalideBuffer.h", "HalideRuntime"}},
    {"llvm", {"llvm/", "llvm-c/"}},
    {"lld",
     {"lld/", "llvm/Support/raw_ostream.h", "llvm/ObjCopy/", "llvm/Object/ObjectFile.h",
      "llvm/Support/MemoryBuffer.h"}},
    {"onnx", {"onnx/", "google/protobuf/"}},
    {"sentencepiece", {"sentencepiece_", "flatbuffers/", "darts.h"}},
};

bool starts_with_any(const std::string &text, const std::vector<std::string> &prefixes) {
  return std::any_of(prefixes.begin(), prefixes.end(),
                     [&](const std::string &prefix) { return text.rfind(prefix, 0) == 0; });
}

bool is_source(const fs::path &path) {
  static const std::set<std::string> kExtensions = {".h", ".hpp", ".c", ".cpp", ".cc", ".def"};
  return kExtensions.count(path.extension().string()) != 0;
}

// The paths that a file includes, quoted or in angle brackets.
std::vector<std::string> includes_of(const fs::path &path) {
  std::vector<std::string> result;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const size_t hash = line.find_first_not_of(" \t");
    if (hash == std::string::npos || line[hash] != '#') {
      continue;
    }
    const size_t word = line.find_first_not_of(" \t", hash + 1);
    if (word == std::string::npos || line.compare(word, 7, "include") != 0) {
      continue;
    }
    const size_t open = line.find_first_of("\"<", word);
    const size_t close = open == std::string::npos ? open : line.find_first_of("\">", open + 1);
    if (close != std::string::npos) {
      result.push_back(line.substr(open + 1, close - open - 1));
    }
  }
  return result;
}

// What is wrong with this include in this layer; empty if nothing.
std::string complaint(const Layer &layer, const std::string &include) {
  const bool allowed_library =
      std::any_of(kLibraries.begin(), kLibraries.end(), [&](const auto &library) {
        return starts_with_any(include, library.second) &&
               std::find(layer.libraries.begin(), layer.libraries.end(), library.first) !=
                   layer.libraries.end();
      });
  for (const auto &[name, prefixes] : kLibraries) {
    if (starts_with_any(include, prefixes) && !allowed_library) {
      return "a header of " + name + ": " + include;
    }
  }
  static const std::vector<std::string> kOurs = {"compiler/", "passes/", "runtime/", "examples/",
                                                 "sylvite/",  "tests/",  "tools/"};
  if (starts_with_any(include, kOurs) && !starts_with_any(include, layer.may_include)) {
    return "another layer: " + include;
  }
  return "";
}

// The runtime's public headers include each other as their users do.
bool is_public_runtime(const std::string &file, const std::string &include) {
  return file.rfind("runtime/", 0) == 0 && include.rfind("sylvite/", 0) == 0;
}

TEST(Layering, IncludesFollowTheArrows) {
  const fs::path root = SYLVITE_SOURCE_DIR;
  size_t files = 0;
  for (const Layer &layer : layers()) {
    if (!fs::exists(root / layer.folder)) {
      continue;
    }
    for (const fs::directory_entry &entry : fs::recursive_directory_iterator(root / layer.folder)) {
      if (!entry.is_regular_file() || !is_source(entry.path())) {
        continue;
      }
      ++files;
      const std::string name = fs::relative(entry.path(), root).string();
      for (const std::string &include : includes_of(entry.path())) {
        const std::string wrong = complaint(layer, include);
        EXPECT_TRUE(wrong.empty() || is_public_runtime(name, include))
            << name << " includes " << wrong;
      }
    }
  }
  EXPECT_GT(files, 20u) << "the source folders were not found";
}

// Every folder with sources stands in the table.
TEST(Layering, EveryFolderHasALayer) {
  const fs::path root = SYLVITE_SOURCE_DIR;
  for (const fs::directory_entry &entry : fs::directory_iterator(root / "compiler")) {
    if (!entry.is_directory()) {
      continue;
    }
    const std::string folder = "compiler/" + entry.path().filename().string();
    EXPECT_TRUE(std::any_of(layers().begin(), layers().end(), [&](const Layer &layer) {
      return layer.folder == folder;
    })) << folder;
  }
}

TEST(Layering, FindsWrongIncludes) {
  const auto layer = [](const std::string &folder) {
    return *std::find_if(layers().begin(), layers().end(),
                         [&](const Layer &each) { return each.folder == folder; });
  };
  EXPECT_NE(complaint(layer("compiler/ir"), "passes/passes.h"), "");
  EXPECT_NE(complaint(layer("compiler/ir"), "onnx/onnx_pb.h"), "");
  EXPECT_NE(complaint(layer("passes"), "Halide.h"), "");
  EXPECT_NE(complaint(layer("compiler/codegen"), "compiler/kernels/float_math.h"), "");
  EXPECT_NE(complaint(layer("compiler/codegen"), "lld/Common/Driver.h"), "");
  EXPECT_NE(complaint(layer("compiler/link"), "llvm/IR/Module.h"), "");
  EXPECT_NE(complaint(layer("compiler/driver"), "llvm/IR/Module.h"), "");
  EXPECT_NE(complaint(layer("runtime"), "compiler/ir/graph.h"), "");
  EXPECT_NE(complaint(layer("compiler/import"), "sentencepiece_model.pb.h"), "");
  EXPECT_NE(complaint(layer("examples"), "runtime/threads.h"), "");
  EXPECT_EQ(complaint(layer("compiler/link"), "llvm/Support/raw_ostream.h"), "");
  EXPECT_EQ(complaint(layer("compiler/codegen"), "llvm/Support/raw_ostream.h"), "");
  EXPECT_EQ(complaint(layer("compiler/kernels"), "Halide.h"), "");
  EXPECT_EQ(complaint(layer("runtime"), "sentencepiece_lite.h"), "");
  EXPECT_EQ(complaint(layer("passes"), "vector"), "");
}

}  // namespace
