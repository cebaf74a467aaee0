// Each header compiles alone, so that nobody who includes one needs to know what it forgot. Most do
// so in the build already, because the source of the same name includes them first; the project's
// own compiler looks at the others (about half a second of processor time each).
//
// Left out: headers that include Halide or ONNX themselves, which take seconds each.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace sylvite {
namespace {

const std::filesystem::path kRoot = SYLVITE_SOURCE_DIR;

bool is_slow(const std::filesystem::path &header) {
  std::ifstream stream(header);
  const std::string text(std::istreambuf_iterator<char>(stream), {});
  return text.find("#include <onnx/") != std::string::npos ||
         text.find("#include \"Halide.h\"") != std::string::npos ||
         text.find("#include <Halide.h>") != std::string::npos;
}

// What a source includes before anything else, as it is written.
std::string first_include(const std::filesystem::path &source) {
  const std::string begin = "#include \"";
  std::ifstream stream(source);
  for (std::string line; std::getline(stream, line);) {
    if (line.rfind("#include", 0) == 0) {
      return line.rfind(begin, 0) == 0 ? line.substr(begin.size(), line.rfind('"') - begin.size())
                                       : "";
    }
  }
  return "";
}

std::vector<std::filesystem::path> headers() {
  std::vector<std::filesystem::path> found;
  std::set<std::filesystem::path> built;
  for (const char *folder : {"compiler", "passes", "runtime"}) {
    for (const auto &entry : std::filesystem::recursive_directory_iterator(kRoot / folder)) {
      const std::string suffix = entry.path().extension();
      if (suffix == ".cpp") {
        built.insert(kRoot / first_include(entry.path()));
      } else if ((suffix == ".h" || suffix == ".hpp") && !is_slow(entry.path())) {
        found.push_back(entry.path());
      }
    }
  }
  EXPECT_GT(found.size(), 80u);
  std::erase_if(found, [&](const std::filesystem::path &path) { return built.count(path) != 0; });
  std::sort(found.begin(), found.end());
  return found;
}

// What the compiler says; nothing when it is content.
std::string complaint(const std::filesystem::path &header) {
  const std::string command = std::string(SYLVITE_CXX) + " -std=c++20 -fsyntax-only -x c++ -I'" +
                              kRoot.string() + "' -I'" + (kRoot / "runtime/include").string() +
                              "' -isystem '" SYLVITE_STB_INCLUDE "' '" + header.string() + "' 2>&1";
  FILE *const pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) {
    return "the compiler cannot be started";
  }
  std::string text;
  std::array<char, 4096> piece;
  while (const size_t size = std::fread(piece.data(), 1, piece.size(), pipe)) {
    text.append(piece.data(), size);
  }
  const int status = pclose(pipe);
  return status == 0 ? "" : text.empty() ? "the compiler failed" : text;
}

TEST(Headers, CompileAlone) {
  const std::vector<std::filesystem::path> all = headers();
  ASSERT_GT(all.size(), 8u);
  std::atomic<size_t> next = 0;
  std::mutex mutex;
  std::vector<std::string> complaints;
  const auto work = [&] {
    for (size_t i = next++; i < all.size(); i = next++) {
      if (std::string text = complaint(all[i]); !text.empty()) {
        const std::lock_guard lock(mutex);
        complaints.push_back(all[i].string() + ":\n" + text);
      }
    }
  };
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < std::max(1u, std::thread::hardware_concurrency()); ++i) {
    threads.emplace_back(work);
  }
  for (std::thread &thread : threads) {
    thread.join();
  }
  EXPECT_THAT(complaints, ::testing::IsEmpty());
}

}  // namespace
}  // namespace sylvite
