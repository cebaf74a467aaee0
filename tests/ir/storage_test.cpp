// Tensors that the compiler makes itself do not grow its memory with the model.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "compiler/ir/error.h"
#include "compiler/ir/tensor.h"
#include "tests/temporary_folder.h"

namespace sylvite {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

constexpr int64_t kMebibyte = int64_t{1} << 20;

// What is in memory and in no file.
int64_t anonymous_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("RssAnon:")) {
      return std::stoll(line.substr(8)) * 1024;
    }
  }
  return -1;
}

class Storage : public ::testing::Test {
 protected:
  Storage() { set_folder(folder_.path()); }
  ~Storage() override {
    before_.empty() ? unsetenv("TMPDIR") : setenv("TMPDIR", before_.c_str(), 1);
  }
  static void set_folder(const fs::path &folder) { setenv("TMPDIR", folder.c_str(), 1); }
  static std::string environment(const char *name) {
    const char *value = std::getenv(name);
    return value == nullptr ? "" : value;
  }

  const std::string before_ = environment("TMPDIR");
  const testing::TemporaryFolder folder_;
};

// 150 tensors of 2 MiB, each with its own contents.
std::vector<Tensor> many_tensors() {
  std::vector<Tensor> tensors;
  for (int i = 0; i < 150; ++i) {
    Tensor &tensor = tensors.emplace_back(DType::U8, std::vector<int64_t>{2 * kMebibyte});
    std::byte *const bytes = tensor.mutable_bytes();
    for (int64_t at = 0; at < 2 * kMebibyte; at += 1024) {
      EXPECT_EQ(bytes[at], std::byte{0});
      bytes[at] = static_cast<std::byte>(i + 1);
    }
  }
  return tensors;
}

TEST_F(Storage, LargeTensorsBeyondTheFirstAreNoAnonymousMemory) {
  const int64_t before = anonymous_bytes();
  const std::vector<Tensor> tensors = many_tensors();
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  EXPECT_LT(anonymous_bytes() - before, 140 * kMebibyte);
#endif
  for (size_t i = 0; i < tensors.size(); ++i) {
    for (int64_t at = 0; at < 2 * kMebibyte; at += 1024) {
      ASSERT_EQ(tensors[i].at_int(at), static_cast<int64_t>(i + 1)) << at;
    }
  }
  EXPECT_TRUE(fs::is_empty(folder_.path())) << "their files have names";
}

TEST_F(Storage, TakesTheHeapAgainWhenTensorsAreGone) {
  {
    const std::vector<Tensor> tensors = many_tensors();
  }
  set_folder("/no/such/folder");
  EXPECT_NO_THROW(Tensor(DType::U8, {100 * kMebibyte}));
}

std::string failure_of_many() {
  try {
    many_tensors();
  } catch (const ModelError &error) {
    return error.what();
  }
  return "no error";
}

TEST_F(Storage, SaysWhereThereIsNoFolder) {
  set_folder("/no/such/folder");
  EXPECT_EQ(
      failure_of_many(),
      "cannot keep 2097152 bytes of weights in a temporary file in '/no/such/folder': No such "
      "file or directory; set TMPDIR to a folder with room for as much as the model's "
      "weights");
}

// As on a full disk: an error before anything is written, and no death while it is.
TEST_F(Storage, SaysWhereThereIsNoRoom) {
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit least{1 << 16, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &least), 0);
  const std::string message = failure_of_many();
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, old_handler);
  EXPECT_THAT(message,
              HasSubstr("in '" + folder_.path().string() + "': File too large; set TMPDIR"));
  EXPECT_TRUE(fs::is_empty(folder_.path()));
}

}  // namespace
}  // namespace sylvite
