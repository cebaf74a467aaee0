// The kernel cache: damage, concurrency, safety of its folder.
#include "compiler/codegen/cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "compiler/codegen/compile.h"
#include "compiler/ir/error.h"
#include "compiler/link/temporary.h"

namespace sylvite {
namespace {

namespace fs = std::filesystem;

KernelObject sample(int number) {
  KernelObject kernel{"symbol_" + std::to_string(number), {}};
  kernel.object.assign(1000 + static_cast<size_t>(number), static_cast<char>(number));
  return kernel;
}

bool same(const std::optional<KernelObject> &found, const KernelObject &expected) {
  return found && found->symbol == expected.symbol && found->object == expected.object;
}

std::vector<fs::path> files_in(const fs::path &folder) {
  std::vector<fs::path> files;
  for (const fs::directory_entry &file : fs::directory_iterator(folder)) {
    files.push_back(file.path());
  }
  return files;
}

TEST(Cache, KeepsKernels) {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "a" / "b";
  KernelCache(path).store("key", sample(7));
  const KernelCache cache(path);
  EXPECT_TRUE(same(cache.load("key"), sample(7)));
  EXPECT_FALSE(cache.load("other"));
  struct stat status{};
  ASSERT_EQ(stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0700u);
}

TEST(Cache, EveryTruncationAndEveryFlippedByteIsNoticed) {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "cache";
  const KernelCache cache(path);
  KernelObject kernel = sample(1);
  kernel.object.resize(100);
  cache.store("key", kernel);
  const fs::path entry = files_in(path).at(0);
  std::ifstream in(entry, std::ios::binary);
  const std::string good{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  const auto load_bytes = [&](const std::string &bytes) {
    std::ofstream(entry, std::ios::binary | std::ios::trunc) << bytes;
    return cache.load("key");
  };
  for (size_t i = 0; i < good.size(); ++i) {
    EXPECT_FALSE(load_bytes(good.substr(0, i))) << i;
    std::string damaged = good;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x10);
    EXPECT_FALSE(load_bytes(damaged)) << i;
  }
  EXPECT_FALSE(load_bytes(good + "x"));
  EXPECT_FALSE(load_bytes(std::string(48, '\xff')));
  cache.store("key", kernel);
  EXPECT_TRUE(same(cache.load("key"), kernel));
}

TEST(Cache, AnEntryUnderAnotherKeysNameIsNotTaken) {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "cache";
  const KernelCache cache(path);
  cache.store("one", sample(1));
  const fs::path one = files_in(path).at(0);
  cache.store("two", sample(2));
  for (const fs::path &entry : files_in(path)) {
    if (entry != one) {
      fs::copy_file(one, entry, fs::copy_options::overwrite_existing);
    }
  }
  EXPECT_FALSE(cache.load("two"));
}

TEST(Cache, RefusesAFolderThatOthersCanWriteTo) {
  const TemporaryFolder folder;
  ASSERT_EQ(chmod(folder.path().c_str(), 0770), 0);
  EXPECT_THROW(KernelCache(folder.path()), ModelError);
  ASSERT_EQ(chmod(folder.path().c_str(), 0700), 0);
  KernelCache(folder.path()).store("key", sample(1));
  if (geteuid() == 0) {
    ASSERT_EQ(chown(folder.path().c_str(), 65534, 65534), 0);
    EXPECT_THROW(KernelCache(folder.path()), ModelError);
  }
}

TEST(Cache, WithoutAFolderNothingIsKept) {
  const KernelCache none("");
  none.store("key", sample(1));
  EXPECT_FALSE(none.load("key"));
  const KernelCache impossible("/dev/null/cache");
  impossible.store("key", sample(1));
  EXPECT_FALSE(impossible.load("key"));
}

TEST(Cache, OldLeftoversAreRemoved) {
  const TemporaryFolder folder;
  const fs::path old = folder.path() / "x.kernel.1.0.tmp",
                 fresh = folder.path() / "x.kernel.2.0.tmp";
  for (const fs::path &file : {old, fresh}) {
    std::ofstream(file) << "half";
  }
  fs::last_write_time(old, fs::file_time_type::clock::now() - std::chrono::hours(2));
  const KernelCache cache(folder.path());
  EXPECT_FALSE(fs::exists(old));
  EXPECT_TRUE(fs::exists(fresh));
}

// Processes that write and read the same entries, some of them killed meanwhile: a reader finds the
// right kernel or none.
TEST(Cache, ManyProcessesAtOnceAndKills) {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "cache";
  std::vector<pid_t> children;
  for (int child = 0; child < 6; ++child) {
    const pid_t pid = fork();
    ASSERT_GE(pid, 0);
    if (pid == 0) {
      const KernelCache cache(path);
      bool right = true;
      for (int i = 0; i < 400; ++i) {
        const int number = i % 5;
        cache.store("key" + std::to_string(number), sample(number));
        const std::optional<KernelObject> found = cache.load("key" + std::to_string((i + 1) % 5));
        right = right && (!found || same(found, sample((i + 1) % 5)));
      }
      _exit(right ? 0 : 1);
    }
    children.push_back(pid);
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  kill(children[0], SIGKILL);
  kill(children[1], SIGKILL);
  for (size_t child = 0; child < children.size(); ++child) {
    int status = 0;
    waitpid(children[child], &status, 0);
    if (child >= 2) {
      EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
  }
  const KernelCache cache(path);
  for (int number = 0; number < 5; ++number) {
    EXPECT_TRUE(same(cache.load("key" + std::to_string(number)), sample(number)));
  }
}

// Sets an environment variable for a scope.
class ScopedVariable {
 public:
  ScopedVariable(const char *name, const char *value) : name_(name) {
    const char *old = std::getenv(name);
    if (old != nullptr) {
      old_ = old;
    }
    value == nullptr ? unsetenv(name) : setenv(name, value, 1);
  }
  ~ScopedVariable() { old_ ? setenv(name_, old_->c_str(), 1) : unsetenv(name_); }

 private:
  const char *name_;
  std::optional<std::string> old_;
};

TEST(Cache, DefaultFolderFollowsTheEnvironment) {
  const ScopedVariable home("HOME", "/home/user"), xdg("XDG_CACHE_HOME", nullptr);
  const ScopedVariable own("SYLVITE_CACHE_DIR", nullptr);
  EXPECT_EQ(default_cache_dir(), "/home/user/.cache/sylvite");
  {
    const ScopedVariable set("XDG_CACHE_HOME", "/x");
    EXPECT_EQ(default_cache_dir(), "/x/sylvite");
    const ScopedVariable first("SYLVITE_CACHE_DIR", "mine");
    EXPECT_EQ(default_cache_dir(), "mine");
  }
  const ScopedVariable homeless("HOME", nullptr);
  EXPECT_EQ(default_cache_dir(), "");
}

}  // namespace
}  // namespace sylvite
