// Linked programs: their file format, that they run with nothing around them, and outputs that
// fail.
#include "compiler/link/link.h"

#include <elf.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "compiler/ir/error.h"
#include "compiler/link/elf.h"
#include "compiler/link/temporary.h"
#include "tests/codegen/sample_plan.h"

namespace sylvite {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

std::vector<char> bytes_of(const fs::path &path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// One run of the sample plan, worked out by hand.
ProgramInfo info_with_self_test() {
  ProgramInfo info = sample_info();
  info.self_test.emplace();
  std::vector<Tensor> &tensors = info.self_test->tensors;
  tensors.push_back(Tensor::of<int64_t>(DType::I64, {1, 2}, {3, -1}));
  tensors[0].set_int(1, 9);
  tensors.push_back(Tensor::of<float>(DType::F32, {1, 2, 4}, {0, 0, 0, 0, 1, 1, 1, 1}));
  tensors.push_back(Tensor::of<float>(DType::F32, {1, 2, 4}, {24, 26, 28, 30, 73, 75, 77, 79}));
  tensors.push_back(Tensor::of<int64_t>(DType::I64, {1, 2}, {3, 9}));
  return info;
}

class LinkedProgram : public testing::Test {
 protected:
  void link(const fs::path &output) {
    const ProgramInfo info = info_with_self_test();
    Plan plan = sample_plan();
    const WeightImage image = make_weight_image(plan, info);
    link_program(sample_objects(plan, image, info), image, output);
  }

  const TemporaryFolder folder_;
};

// Runs `prepare` and then the program in a child; its output and exit status.
struct Finished {
  int status = -1;
  std::string output;
};
Finished run(
    const char *program, const std::vector<const char *> &arguments,
    const std::function<bool()> &prepare = [] { return true; }) {
  int ends[2];
  if (pipe(ends) != 0) {
    return {};
  }
  const pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], 1);
    dup2(ends[1], 2);
    close(ends[0]);
    close(ends[1]);
    std::vector<char *> argv = {const_cast<char *>(program)};
    for (const char *argument : arguments) {
      argv.push_back(const_cast<char *>(argument));
    }
    argv.push_back(nullptr);
    char *no_environment[] = {nullptr};
    if (prepare()) {
      execve(program, argv.data(), no_environment);
    }
    _exit(126);
  }
  close(ends[1]);
  Finished finished;
  char buffer[4096];
  for (ssize_t size = read(ends[0], buffer, sizeof buffer); size > 0;
       size = read(ends[0], buffer, sizeof buffer)) {
    finished.output.append(buffer, static_cast<size_t>(size));
  }
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  finished.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return finished;
}

TEST_F(LinkedProgram, PassesItsSelfTest) {
  const fs::path program = folder_.path() / "program";
  link(program);
  const Finished finished = run(program.c_str(), {"--selftest"});
  EXPECT_EQ(finished.status, 0) << finished.output;
  const Finished version = run(program.c_str(), {"--version"});
  EXPECT_EQ(version.status, 0);
  EXPECT_THAT(version.output, HasSubstr("0123456789abcdef"));
}

// No /proc, no /lib, no shell.
TEST_F(LinkedProgram, RunsInAnEmptyRoot) {
  if (geteuid() != 0) {
    GTEST_SKIP() << "chroot needs root";
  }
  link(folder_.path() / "program");
  const Finished finished = run("/program", {"--selftest"}, [&] {
    return chdir(folder_.path().c_str()) == 0 && chroot(".") == 0;
  });
  EXPECT_EQ(finished.status, 0) << finished.output;
}

TEST_F(LinkedProgram, HasItsWeightsInTheLastSegment) {
  const fs::path program = folder_.path() / "program";
  link(program);
  const std::vector<char> bytes = bytes_of(program);
  Elf64_Ehdr header;
  ASSERT_GE(bytes.size(), sizeof header);
  std::memcpy(&header, bytes.data(), sizeof header);
  EXPECT_EQ(header.e_type, ET_EXEC);
  EXPECT_EQ(header.e_shnum, 0);
  Elf64_Phdr last{};
  uint64_t end = 0;
  bool stack = false;
  for (int i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr segment;
    std::memcpy(&segment, bytes.data() + header.e_phoff + static_cast<size_t>(i) * sizeof segment,
                sizeof segment);
    EXPECT_NE(segment.p_type, static_cast<uint32_t>(PT_INTERP));
    EXPECT_NE(segment.p_type, static_cast<uint32_t>(PT_DYNAMIC));
    EXPECT_NE(segment.p_flags & (PF_W | PF_X), static_cast<uint32_t>(PF_W | PF_X));
    stack = stack || segment.p_type == PT_GNU_STACK;
    if (segment.p_type == PT_LOAD) {
      EXPECT_GE(segment.p_vaddr, end) << "loadable segments stand in ascending order";
      EXPECT_LE(segment.p_offset + segment.p_filesz, bytes.size());
      EXPECT_EQ(segment.p_vaddr % segment.p_align, segment.p_offset % segment.p_align);
      end = segment.p_vaddr + segment.p_memsz;
      last = segment;
    }
  }
  EXPECT_TRUE(stack);
  EXPECT_EQ(last.p_flags, static_cast<uint32_t>(PF_R));
  EXPECT_EQ(last.p_filesz, last.p_memsz);
  EXPECT_EQ(last.p_offset % 4096, 0u);
  EXPECT_EQ(last.p_offset + last.p_filesz, bytes.size());
  EXPECT_STREQ(bytes.data() + last.p_offset, "sylvite weights");
  struct stat status{};
  ASSERT_EQ(stat(program.c_str(), &status), 0);
  EXPECT_NE(status.st_mode & S_IXUSR, 0u);
}

TEST_F(LinkedProgram, IsTheSameFileEachTime) {
  const TemporaryFolder other;
  link(folder_.path() / "program");
  link(other.path() / "another_name");
  EXPECT_EQ(bytes_of(folder_.path() / "program"), bytes_of(other.path() / "another_name"));
}

TEST_F(LinkedProgram, ReplacesAnOlderOne) {
  const fs::path program = folder_.path() / "program";
  std::ofstream(program) << "old";
  link(program);
  EXPECT_GT(fs::file_size(program), 1000u);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_.path()), {}), 1);
}

// The one line that a failure leaves.
std::string message_of(const std::function<void()> &action) {
  try {
    action();
  } catch (const ModelError &error) {
    return error.what();
  }
  return "no error";
}

void expect_old_file_alone(const fs::path &output) {
  EXPECT_EQ(bytes_of(output), (std::vector<char>{'o', 'l', 'd'}));
  EXPECT_EQ(std::distance(fs::directory_iterator(output.parent_path()), {}), 1)
      << "something is left";
}

TEST(PendingFile, AFileThatMayNotGrowLeavesTheOldOne) {
  const TemporaryFolder folder;
  const fs::path output = folder.path() / "program";
  std::ofstream(output) << "old";
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit least{1 << 16, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &least), 0);
  const std::string message = message_of([&] {
    PendingFile file(output, true);
    const std::vector<char> data(1 << 20);
    EXPECT_FALSE(file.write(data.data(), data.size()));
    file.commit();
  });
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, old_handler);
  EXPECT_EQ(message, "cannot write '" + output.string() + "': File too large");
  expect_old_file_alone(output);
}

TEST(PendingFile, AKilledProcessLeavesNothing) {
  const TemporaryFolder folder;
  const int probe = open(folder.path().c_str(), O_TMPFILE | O_WRONLY, 0600);
  if (probe < 0) {
    GTEST_SKIP() << "no unnamed files on this file system";
  }
  close(probe);
  const pid_t child = fork();
  if (child == 0) {
    PendingFile file(folder.path() / "program", true);
    file.write("half", 4);
    raise(SIGKILL);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_TRUE(fs::is_empty(folder.path()));
}

// Runs `action` with a disk of this size mounted on `folder`, in a thread with mounts of its own
// (after a fork, LLD's threads would be missing). False where that is not allowed.
bool with_small_disk(const fs::path &folder, const char *size,
                     const std::function<void()> &action) {
  bool mounted = false;
  std::thread([&] {
    mounted = unshare(CLONE_FS | CLONE_NEWNS) == 0 &&
              mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
              mount("none", folder.c_str(), "tmpfs", 0, size) == 0;
    if (mounted) {
      action();
      umount(folder.c_str());
    }
  }).join();
  return mounted;
}

TEST_F(LinkedProgram, AFullDiskLeavesNothing) {
  const TemporaryFolder disk;
  const fs::path output = disk.path() / "program";
  const bool mounted = with_small_disk(disk.path(), "size=8k", [&] {
    std::ofstream(output) << "old";
    EXPECT_EQ(message_of([&] { link(output); }),
              "cannot write '" + output.string() + "': No space left on device");
    expect_old_file_alone(output);
  });
  if (!mounted) {
    GTEST_SKIP() << "mounting is not allowed here";
  }
}

// The objects fit, what they are linked to would not: it takes no temporary space.
TEST_F(LinkedProgram, AFullDiskForTemporaryFiles) {
  const TemporaryFolder disk;
  const char *set = std::getenv("TMPDIR");
  const std::string before = set == nullptr ? "" : set;
  setenv("TMPDIR", disk.path().c_str(), 1);
  const fs::path output = folder_.path() / "program";
  bool mounted = with_small_disk(disk.path(), "size=64k", [&] { link(output); });
  mounted = mounted && with_small_disk(disk.path(), "size=8k", [&] {
              EXPECT_THAT(message_of([&] { link(output); }), HasSubstr("No space left on device"));
              EXPECT_TRUE(fs::is_empty(disk.path()));
            });
  set == nullptr ? unsetenv("TMPDIR") : setenv("TMPDIR", before.c_str(), 1);
  if (!mounted) {
    GTEST_SKIP() << "mounting is not allowed here";
  }
  EXPECT_GT(fs::file_size(output), 64u << 10);
}

TEST_F(LinkedProgram, ImpossibleOutputsAreSaidInOneLine) {
  const auto message = [&](const fs::path &output) { return message_of([&] { link(output); }); };
  const std::string folder = folder_.path().string();
  EXPECT_EQ(message(folder), "cannot write '" + folder + "': it is a folder");
  EXPECT_EQ(message("/dev/full"), "cannot write '/dev/full': it is not a regular file");
  EXPECT_EQ(message(folder + "/no/program"),
            "cannot write '" + folder + "/no/program': No such file or directory");
}

// A minimal file of the shape that LLD gives us.
std::vector<char> small_elf(const std::vector<Elf64_Phdr> &segments) {
  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_type = ET_EXEC;
  header.e_phoff = sizeof header;
  header.e_phnum = static_cast<uint16_t>(segments.size());
  std::vector<char> bytes(0x3000);
  std::memcpy(bytes.data(), &header, sizeof header);
  std::memcpy(bytes.data() + sizeof header, segments.data(), segments.size() * sizeof(Elf64_Phdr));
  return bytes;
}

TEST(WeightSegment, MayBeLargerThanAnyNumberOf32Bits) {
  Elf64_Phdr code{}, data{}, stack{}, note{};
  code.p_type = data.p_type = PT_LOAD;
  code.p_vaddr = 0x200000;
  code.p_filesz = code.p_memsz = 0x1234;
  data.p_vaddr = 0x203000;
  data.p_offset = 0x2000;
  data.p_filesz = 0x10;
  data.p_memsz = 0x5000;
  stack.p_type = PT_GNU_STACK;
  note.p_type = PT_NOTE;
  std::vector<char> bytes = small_elf({code, data, stack, note});
  const int64_t size = (int64_t{5} << 30) + 3;
  EXPECT_EQ(add_weight_segment(bytes, size), 0x3000);
  EXPECT_EQ(bytes.size(), 0x2010u);
  std::vector<Elf64_Phdr> segments(4);
  std::memcpy(segments.data(), bytes.data() + sizeof(Elf64_Ehdr), 4 * sizeof(Elf64_Phdr));
  EXPECT_EQ(segments[2].p_type, static_cast<uint32_t>(PT_LOAD));
  EXPECT_EQ(segments[2].p_memsz, static_cast<uint64_t>(size));
  EXPECT_EQ(segments[2].p_vaddr, 0x403000u);
  EXPECT_EQ(segments[3].p_type, static_cast<uint32_t>(PT_GNU_STACK));
}

TEST(WeightSegment, WantsANote) {
  Elf64_Phdr code{};
  code.p_type = PT_LOAD;
  std::vector<char> bytes = small_elf({code});
  EXPECT_THROW(add_weight_segment(bytes, 64), InternalError);
  std::vector<char> nothing(10);
  EXPECT_THROW(add_weight_segment(nothing, 64), InternalError);
}

// Weights far beyond 2 GiB are only read here, not written: one page of zeroes, over and over.
TEST(WeightImage, OffsetsHave64Bits) {
  Plan plan;
  const size_t size = size_t{1} << 31;
  void *const zeroes =
      mmap(nullptr, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  ASSERT_NE(zeroes, MAP_FAILED);
  const std::shared_ptr<const std::byte> shared(
      static_cast<const std::byte *>(zeroes),
      [size](const std::byte *bytes) { munmap(const_cast<std::byte *>(bytes), size); });
  for (int i = 0; i < 3; ++i) {
    plan.weights.push_back(std::make_shared<const Tensor>(
        DType::U8, std::vector<int64_t>{(int64_t{1} << 31) - 1 - i},  // other sizes: never compared
        std::span<const std::byte>(shared.get(), size - 1 - static_cast<size_t>(i)), shared));
  }
  const WeightImage image = make_weight_image(plan, sample_info());
  EXPECT_EQ(image.offsets[2], 64 + 2 * (int64_t{1} << 31));
  EXPECT_EQ(image.bytes, 64 + 3 * (int64_t{1} << 31));
}

// Programs and files of weights find each other by it.
TEST(WeightImage, IsKnownByItsContents) {
  const auto hash_of = [](const std::vector<std::vector<float>> &weights) {
    Plan plan;
    for (const std::vector<float> &numbers : weights) {
      plan.weights.push_back(std::make_shared<const Tensor>(
          Tensor::of(DType::F32, {static_cast<int64_t>(numbers.size())}, numbers)));
    }
    return make_weight_image(plan, sample_info()).content_hash;
  };
  EXPECT_EQ(hash_of({{1, 2}, {3}}), hash_of({{1, 2}, {3}}));
  EXPECT_NE(hash_of({{1, 2}, {3}}), hash_of({{1, 2}, {4}}));
  EXPECT_NE(hash_of({{1, 2}, {3}}), hash_of({{3}, {1, 2}}));
  EXPECT_NE(hash_of({{1, 2}, {3}}), hash_of({{1, 2}}));
}

TEST(WeightImage, StopsWhenWritingFails) {
  const Plan plan = sample_plan();
  const WeightImage image = make_weight_image(plan, sample_info());
  int calls = 0;
  EXPECT_FALSE(image.write_to([&](const void *, size_t) { return ++calls < 2; }));
  EXPECT_EQ(calls, 2);
}

}  // namespace
}  // namespace sylvite
