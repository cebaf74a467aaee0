// The thread pool: every part runs once; parts cover the extents; the control word and signals are
// as promised.
#include "runtime/threads.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
#include <xmmintrin.h>

#include <algorithm>
#include <atomic>
#include <climits>
#include <filesystem>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "runtime/cpu.h"
#include "tests/temporary_folder.h"

namespace sylvite {
namespace {

struct Counts {
  std::vector<std::atomic<int>> runs;
  std::atomic<int> wrong_slots{0};
  int threads = 0;
  explicit Counts(size_t parts) : runs(parts) {}
};

void count_part(void *argument, int part, int slot) {
  Counts &counts = *static_cast<Counts *>(argument);
  ++counts.runs[static_cast<size_t>(part)];
  counts.wrong_slots += slot < 0 || slot >= counts.threads ? 1 : 0;
}

void expect_each_part_once(ThreadPool &pool, int parts) {
  Counts counts(static_cast<size_t>(parts));
  counts.threads = pool.threads();
  pool.run(parts, count_part, &counts);
  EXPECT_EQ(counts.wrong_slots, 0);
  EXPECT_TRUE(
      std::all_of(counts.runs.begin(), counts.runs.end(), [](const auto &n) { return n == 1; }));
}

TEST(ThreadPool, RunsEachPartOnce) {
  for (const int threads : {1, 2, 3, 8}) {
    ThreadPool pool;
    ASSERT_TRUE(pool.start(threads));
    EXPECT_EQ(pool.threads(), threads);
    for (const int parts : {0, 1, 2, 3, 7, 8, 100, 5000}) {
      expect_each_part_once(pool, parts);
    }
  }
}

TEST(ThreadPool, ManySmallJobsInARow) {
  ThreadPool pool;
  ASSERT_TRUE(pool.start(4));
  for (int i = 0; i < 20000; ++i) {
    std::atomic<int> sum{0};
    pool.run(
        4,
        [](void *argument, int part, int) {
          *static_cast<std::atomic<int> *>(argument) += part + 1;
        },
        &sum);
    ASSERT_EQ(sum, 10);
  }
}

TEST(ThreadPool, WakesWorkersThatSleep) {
  ThreadPool pool;
  ASSERT_TRUE(pool.start(3));
  for (int i = 0; i < 20; ++i) {
    usleep(2000);  // far beyond the time that workers spin
    expect_each_part_once(pool, 3);
  }
}

TEST(ThreadPool, PoolsOfTwoThreadsDoNotMeet) {
  const auto work = [] {
    ThreadPool pool;
    ASSERT_TRUE(pool.start(2));
    for (int i = 0; i < 500; ++i) {
      expect_each_part_once(pool, 5);
    }
  };
  std::thread other(work);
  work();
  other.join();
}

constexpr unsigned kFlushToZero = 0x8040;  // FTZ and DAZ

TEST(ThreadPool, WorkersKeepSubnormalsWhateverTheCallerSet) {
  const unsigned before = _mm_getcsr();
  _mm_setcsr(before | kFlushToZero);
  ThreadPool pool;
  ASSERT_TRUE(pool.start(2));
  struct Seen {
    std::atomic<int> arrived{0};
    std::atomic<unsigned> control[2]{};
    std::atomic<bool> signals_masked{false};
  } seen;
  // Each part waits for the other, so that both threads take one.
  const auto task = [](void *argument, int, int slot) {
    Seen &s = *static_cast<Seen *>(argument);
    ++s.arrived;
    while (s.arrived < 2) {
      sched_yield();
    }
    s.control[slot] = _mm_getcsr();
    if (slot == 1) {
      sigset_t mask;
      pthread_sigmask(SIG_SETMASK, nullptr, &mask);
      s.signals_masked = sigismember(&mask, SIGINT) == 1 && sigismember(&mask, SIGTERM) == 1;
    }
  };
  {
    const DefaultFloatControl control;  // as sylvite_run does
    pool.run(2, task, &seen);
  }
  EXPECT_EQ(seen.control[0] & kFlushToZero, 0u);
  EXPECT_EQ(seen.control[1] & kFlushToZero, 0u);
  EXPECT_TRUE(seen.signals_masked);
  EXPECT_EQ(_mm_getcsr() & kFlushToZero, kFlushToZero);  // the caller's again
  _mm_setcsr(before);
}

TEST(ThreadCount, FollowsTheAffinityMask) {
  cpu_set_t before;
  ASSERT_EQ(sched_getaffinity(0, sizeof before, &before), 0);
  EXPECT_LE(default_thread_count(), CPU_COUNT(&before));
  EXPECT_GE(default_thread_count(), 1);
  int first = 0;
  while (!CPU_ISSET(first, &before)) {
    ++first;
  }
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(first, &one);
  ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
  EXPECT_EQ(default_thread_count(), 1);
  ASSERT_EQ(sched_setaffinity(0, sizeof before, &before), 0);
}

// A system's files of control groups, made up.
class Quota : public ::testing::Test {
 protected:
  void write(const std::string &path, const std::string &text) {
    const std::filesystem::path file = root_.path().string() + path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  int count() const { return quota_thread_count(root_.path().c_str()); }

  testing::TemporaryFolder root_;
};

TEST_F(Quota, NoFilesNoLimit) {
  EXPECT_EQ(count(), INT_MAX);
}

TEST_F(Quota, Version2TakesTheLeastOnTheWayUp) {
  write("/proc/self/cgroup", "0::/a/b\n");
  write("/sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
  EXPECT_EQ(count(), INT_MAX);
  write("/sys/fs/cgroup/a/cpu.max", "250000 100000\n");
  EXPECT_EQ(count(), 3);
  write("/sys/fs/cgroup/a/b/cpu.max", "150000 100000\n");
  EXPECT_EQ(count(), 2);
  write("/sys/fs/cgroup/a/b/cpu.max", "1000 100000\n");
  EXPECT_EQ(count(), 1);
}

TEST_F(Quota, InAContainerThePathMayBeOutOfSight) {
  write("/proc/self/cgroup", "0::/docker/1a2b\n");
  write("/sys/fs/cgroup/cpu.max", "200000 100000\n");
  EXPECT_EQ(count(), 2);
  std::filesystem::remove_all(root_.path().string() + "/proc");
  EXPECT_EQ(count(), 2);
}

TEST_F(Quota, Version1) {
  write("/proc/self/cgroup", "5:memory:/x\n4:cpu,cpuacct:/x/y\n0::/\n");
  write("/sys/fs/cgroup/cpu,cpuacct/x/y/cpu.cfs_quota_us", "-1\n");
  write("/sys/fs/cgroup/cpu,cpuacct/x/y/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(count(), INT_MAX);
  write("/sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_quota_us", "400000\n");
  write("/sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(count(), 4);
}

TEST_F(Quota, NonsenseIsNoLimit) {
  write("/proc/self/cgroup", "\n:\n::\n0\n4:cpu\n0::" + std::string(20000, '/') + "\n");
  write("/sys/fs/cgroup/cpu.max", "0 0\n");
  EXPECT_EQ(count(), INT_MAX);
}

TEST(Split, PartsCoverTheExtentsOnceAtGrains) {
  std::mt19937 random(3);
  for (int round = 0; round < 2000; ++round) {
    const int64_t extent0 = 1 + random() % 300, extent1 = 1 + random() % 60;
    const int64_t grain0 = 1 + random() % 20, grain1 = 1 + random() % 20;
    const int threads = static_cast<int>(1 + random() % 16);
    const Split split =
        split_work(extent0, extent1, grain0, grain1, int64_t{1} << (random() % 40), threads);
    ASSERT_LE(split.parts(), threads);
    std::vector<int> covered(static_cast<size_t>(extent0 * extent1));
    for (int part = 0; part < split.parts(); ++part) {
      int32_t b[4];
      part_bounds(split, part, b);
      EXPECT_EQ(b[0] % grain0, 0);
      EXPECT_EQ(b[2] % grain1, 0);
      EXPECT_LT(b[0], b[1]);
      EXPECT_LT(b[2], b[3]);
      for (int64_t i = b[0]; i < b[1]; ++i) {
        for (int64_t j = b[2]; j < b[3]; ++j) {
          ++covered[static_cast<size_t>(i * extent1 + j)];
        }
      }
    }
    ASSERT_TRUE(std::all_of(covered.begin(), covered.end(), [](int n) { return n == 1; }));
  }
}

TEST(Split, SmallCallsStayInLine) {
  EXPECT_EQ(split_work(1000, 1000, 1, 1, 1000, 8).parts(), 1);
}

TEST(Split, AxisZeroFirst) {
  const Split split = split_work(512, 48, 8, 1, int64_t{1} << 40, 4);
  EXPECT_EQ(split.parts0, 4);
  EXPECT_EQ(split.parts1, 1);
}

TEST(Split, AxisOneWhereRowsDoNotSuffice) {
  const Split one_row = split_work(1, 48, 8, 1, int64_t{1} << 40, 4);
  EXPECT_EQ(one_row.parts0, 1);
  EXPECT_EQ(one_row.parts1, 4);
  // Three blocks of rows on two threads would be two against one.
  const Split three_blocks = split_work(24, 48, 8, 1, int64_t{1} << 40, 2);
  EXPECT_EQ(three_blocks.parts0, 1);
  EXPECT_EQ(three_blocks.parts1, 2);
}

}  // namespace
}  // namespace sylvite
