// Threads. A call of the plan takes from one microsecond to milliseconds, and a run makes hundreds
// of them, so a worker that has nothing to do first spins (the next call is mostly near), then
// parks in a futex (a waiting program uses no CPU). Parts are claimed one by one: a worker that is
// late, asleep or without a CPU just claims none, and nobody waits for it.
//
// The caller's thread works too. It only ever waits for parts that another thread has begun.
#include "runtime/threads.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "runtime/clock.h"
#include "runtime/cpu.h"

namespace sylvite {
namespace {

constexpr size_t kStackBytes = size_t{8} << 20;  // address space; memory only where it is touched
constexpr int64_t kSpinNanoseconds = 40'000;
constexpr int64_t kCostOfPart = 500'000;  // 5 us: waking a spinning worker takes about one

void pause_briefly() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// True when `ready` came true within `nanoseconds`.
template <typename Ready>
bool spin_until(int64_t nanoseconds, const Ready &ready) {
  if (ready()) {
    return true;
  }
  if (nanoseconds <= 0) {
    return false;
  }
  const int64_t end = now_in_nanoseconds() + nanoseconds;
  do {
    for (int i = 0; i < 64; ++i) {
      if (ready()) {
        return true;
      }
      pause_briefly();
    }
  } while (now_in_nanoseconds() < end);
  return ready();
}

void futex_wait(std::atomic<uint32_t> &word, uint32_t expected) {
  syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, expected, nullptr, nullptr, 0);
}

void futex_wake(std::atomic<uint32_t> &word, int count) {
  syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, count, nullptr, nullptr, 0);
}
static_assert(sizeof(std::atomic<uint32_t>) == 4, "a futex is four bytes");

// ---- how many threads ----

int affinity_count() {
  // The kernel refuses a mask that is shorter than its own; 64 Ki CPUs is beyond any.
  alignas(8) unsigned char mask[8192] = {};
  if (sched_getaffinity(0, sizeof mask, reinterpret_cast<cpu_set_t *>(mask)) != 0) {
    return 1;
  }
  int count = 0;
  for (const unsigned char byte : mask) {
    count += __builtin_popcount(byte);
  }
  return std::max(count, 1);
}

// A small file's text; false when there is none (no /proc or /sys is fine).
bool read_small_file(const char *path, char *text, size_t size) {
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) {
    return false;
  }
  size_t length = 0;
  while (length + 1 < size) {
    const ssize_t got = read(file, text + length, size - 1 - length);
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got <= 0) {
      break;
    }
    length += static_cast<size_t>(got);
  }
  close(file);
  text[length] = 0;
  return length > 0;
}

int cpus_of_quota(int64_t quota, int64_t period) {
  if (quota <= 0 || period <= 0) {
    return INT_MAX;
  }
  return static_cast<int>(std::clamp<int64_t>((quota + period - 1) / period, 1, INT_MAX));
}

int quota_in_v2(const char *folder) {
  char path[PATH_MAX], text[128];
  snprintf(path, sizeof path, "%s/cpu.max", folder);
  long long quota = 0, period = 0;
  if (!read_small_file(path, text, sizeof text) ||
      sscanf(text, "%lld %lld", &quota, &period) != 2) {
    return INT_MAX;  // "max 100000" has no number
  }
  return cpus_of_quota(quota, period);
}

int quota_in_v1(const char *folder) {
  char path[PATH_MAX], text[128];
  snprintf(path, sizeof path, "%s/cpu.cfs_quota_us", folder);
  if (!read_small_file(path, text, sizeof text)) {
    return INT_MAX;
  }
  const int64_t quota = atoll(text);
  snprintf(path, sizeof path, "%s/cpu.cfs_period_us", folder);
  return read_small_file(path, text, sizeof text) ? cpus_of_quota(quota, atoll(text)) : INT_MAX;
}

// The least of a group's quota and of those above it. `path` is the group's, from the mount's root;
// inside a container it may name a folder that is not to be seen, and only the root counts.
int least_quota(const char *mount, const char *path, int (*quota_in)(const char *)) {
  char folder[PATH_MAX];
  const int length = snprintf(folder, sizeof folder, "%s%s", mount, path);
  if (length < 0 || length >= static_cast<int>(sizeof folder)) {
    return quota_in(mount);
  }
  int least = INT_MAX;
  const size_t root = strlen(mount);
  for (size_t end = static_cast<size_t>(length);; folder[end] = 0) {
    least = std::min(least, quota_in(folder));
    while (end > root && folder[end - 1] != '/') {
      --end;
    }
    if (end <= root) {
      break;
    }
    --end;
  }
  return std::min(least, quota_in(mount));
}

bool lists_cpu(const char *controllers) {
  for (const char *at = controllers; at != nullptr; at = strchr(at, ',')) {
    at += *at == ',' ? 1 : 0;
    if (strncmp(at, "cpu", 3) == 0 && (at[3] == ',' || at[3] == 0)) {
      return true;
    }
  }
  return false;
}

struct Path {
  char text[PATH_MAX];
};

}  // namespace

int quota_thread_count(const char *root) {
  const auto below = [root](const char *path) {
    Path whole;
    snprintf(whole.text, sizeof whole.text, "%s%s", root, path);
    return whole;
  };
  const Path v2 = below("/sys/fs/cgroup"), v1 = below("/sys/fs/cgroup/cpu"),
             v1_pair = below("/sys/fs/cgroup/cpu,cpuacct");
  char text[8192];
  if (!read_small_file(below("/proc/self/cgroup").text, text, sizeof text)) {
    return std::min(quota_in_v2(v2.text), quota_in_v1(v1.text));
  }
  int least = INT_MAX;
  char *rest = text;
  while (char *line = strsep(&rest, "\n")) {  // "0::/user.slice" or "4:cpu,cpuacct:/docker/1a2b"
    strsep(&line, ":");
    const char *controllers = strsep(&line, ":");
    if (controllers == nullptr || line == nullptr) {
      continue;
    }
    if (*controllers == 0) {
      least = std::min(least, least_quota(v2.text, line, quota_in_v2));
    } else if (lists_cpu(controllers)) {
      least = std::min(least, least_quota(v1.text, line, quota_in_v1));
      least = std::min(least, least_quota(v1_pair.text, line, quota_in_v1));
    }
  }
  return least;
}

int default_thread_count() {
  return std::max(1, std::min(affinity_count(), quota_thread_count("")));
}

bool ThreadPool::start(int threads) {
  threads = std::clamp(threads, 1, kMaxParts);
  if (!workers_.allocate(threads - 1)) {
    return false;
  }
  // With more threads than CPUs, who spins keeps another from working.
  spin_nanoseconds_ = threads <= affinity_count() ? kSpinNanoseconds : 0;
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, kStackBytes);
  // Workers take no signals, which are for the threads that the caller knows of; but faults stay
  // with the thread that makes them.
  sigset_t all, before;
  sigfillset(&all);
  for (const int fault : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP}) {
    sigdelset(&all, fault);
  }
  pthread_sigmask(SIG_SETMASK, &all, &before);
  for (int i = 0; i < threads - 1; ++i) {
    Worker &worker = workers_[i];
    worker.pool = this;
    worker.slot = i + 1;
    if (pthread_create(&worker.thread, &attributes, worker_main, &worker) != 0) {
      break;  // a limit of the system: what there is must do
    }
    ++workers_started_;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_attr_destroy(&attributes);
  return true;
}

ThreadPool::~ThreadPool() {
  stop_.store(true);
  generation_.fetch_add(1);
  futex_wake(generation_, INT_MAX);
  for (int i = 0; i < workers_started_; ++i) {
    pthread_join(workers_[i].thread, nullptr);
  }
}

void *ThreadPool::worker_main(void *argument) {
  Worker &worker = *static_cast<Worker *>(argument);
  ThreadPool &pool = *worker.pool;
  const DefaultFloatControl control;
  uint32_t seen = 0;
  while (true) {
    seen = pool.wait_for_job(seen);
    if (pool.stop_.load()) {
      return nullptr;
    }
    pool.work(worker.slot);
  }
}

uint32_t ThreadPool::wait_for_job(uint32_t seen) {
  const auto changed = [&] { return generation_.load(std::memory_order_acquire) != seen; };
  if (!spin_until(spin_nanoseconds_, changed)) {
    parked_.fetch_add(1);
    while (!changed()) {
      futex_wait(generation_, seen);
    }
    parked_.fetch_sub(1);
  }
  return generation_.load(std::memory_order_acquire);
}

void ThreadPool::work(int slot) {
  uint32_t next = next_.load(std::memory_order_acquire);
  while ((next & 0xffffu) < next >> 16) {
    if (!next_.compare_exchange_weak(next, next + 1, std::memory_order_acq_rel,
                                     std::memory_order_acquire)) {
      continue;
    }
    const uint32_t parts = next >> 16;
    task_(argument_, static_cast<int>(next & 0xffffu), slot);
    // From the last part's count on, the job may be replaced by the next one.
    if (done_.fetch_add(1) + 1 == parts && caller_parked_.load() != 0) {
      futex_wake(done_, 1);
    }
    next = next_.load(std::memory_order_acquire);
  }
}

void ThreadPool::wait_for_parts(int parts) {
  const uint32_t all = static_cast<uint32_t>(parts);
  if (spin_until(spin_nanoseconds_, [&] { return done_.load(std::memory_order_acquire) == all; })) {
    return;
  }
  caller_parked_.store(1);
  for (uint32_t done = done_.load(); done != all; done = done_.load()) {
    futex_wait(done_, done);
  }
  caller_parked_.store(0);
}

void ThreadPool::run(int parts, Task task, void *argument) {
  if (parts <= 1 || workers_started_ == 0) {
    for (int part = 0; part < parts; ++part) {
      task(argument, part, 0);
    }
    return;
  }
  // Nobody has an unfinished claim, so nobody reads these.
  task_ = task;
  argument_ = argument;
  done_.store(0, std::memory_order_relaxed);
  next_.store(static_cast<uint32_t>(parts) << 16, std::memory_order_release);
  generation_.fetch_add(1);
  if (parked_.load() != 0) {
    futex_wake(generation_, parts - 1);
  }
  work(0);
  wait_for_parts(parts);
}

// ---- how a call is divided ----

Split split_work(int64_t extent0, int64_t extent1, int64_t grain0, int64_t grain1, int64_t cost,
                 int threads) {
  Split split{.extent0 = extent0, .extent1 = extent1};
  split.grain0 = std::max<int64_t>(grain0, 1);
  split.grain1 = std::max<int64_t>(grain1, 1);
  const int64_t units0 = (extent0 + split.grain0 - 1) / split.grain0;
  const int64_t units1 = (extent1 + split.grain1 - 1) / split.grain1;
  const int64_t wanted = std::min<int64_t>(threads, cost / kCostOfPart);
  if (wanted <= 1 || units0 <= 0 || units1 <= 0) {
    return split;
  }
  // The share of the largest part, in units of the whole call; parts along axis 1 must be worth 5%.
  double least = 1.0;
  for (int64_t parts1 = 1; parts1 <= std::min(wanted, units1); ++parts1) {
    const int64_t parts0 = std::min(units0, wanted / parts1);
    const int64_t most0 = (units0 + parts0 - 1) / parts0, most1 = (units1 + parts1 - 1) / parts1;
    const double share = static_cast<double>(most0) / static_cast<double>(units0) *
                         static_cast<double>(most1) / static_cast<double>(units1);
    if (share < (parts1 == 1 ? 1.0 : 0.95) * least) {
      least = share;
      split.parts0 = static_cast<int32_t>(parts0);
      split.parts1 = static_cast<int32_t>(parts1);
    }
  }
  return split;
}

namespace {

// Part i of `parts` nearly equal ones.
void axis_bounds(int64_t extent, int64_t grain, int64_t parts, int64_t i, int32_t *begin,
                 int32_t *end) {
  const int64_t units = (extent + grain - 1) / grain;
  *begin = static_cast<int32_t>(std::min(extent, units * i / parts * grain));
  *end = static_cast<int32_t>(std::min(extent, units * (i + 1) / parts * grain));
}

}  // namespace

void part_bounds(const Split &split, int part, int32_t bounds[4]) {
  axis_bounds(split.extent0, split.grain0, split.parts0, part / split.parts1, &bounds[0],
              &bounds[1]);
  axis_bounds(split.extent1, split.grain1, split.parts1, part % split.parts1, &bounds[2],
              &bounds[3]);
}

}  // namespace sylvite
