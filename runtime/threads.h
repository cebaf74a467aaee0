// The thread pool of a context, and how a call's extents are divided among its threads.
#pragma once

#include <pthread.h>

#include <atomic>
#include <cstdint>

#include "runtime/memory.h"

namespace sylvite {

// The CPUs of this process' affinity mask, at most what its cgroup's quota pays for; at least 1.
int default_thread_count();
// The quota alone, in whole CPUs, read below `root` ("" for the system's own files); INT_MAX
// without one.
int quota_thread_count(const char *root);

class ThreadPool {
 public:
  // Runs part `part` of the work; `slot` is the running thread's number, below threads().
  using Task = void (*)(void *argument, int part, int slot);
  static constexpr int kMaxParts = 65535;

  ThreadPool() = default;
  ThreadPool(const ThreadPool &) = delete;
  ThreadPool &operator=(const ThreadPool &) = delete;
  ~ThreadPool();

  // Starts threads - 1 workers, fewer when the system has no more; the thread that calls run() is
  // slot 0. False: no memory.
  [[nodiscard]] bool start(int threads);
  int threads() const { return workers_started_ + 1; }

  // Runs parts [0, parts), each once, on any of the threads; returns when all are done. One caller
  // at a time.
  void run(int parts, Task task, void *argument);

 private:
  struct Worker {
    ThreadPool *pool = nullptr;
    int slot = 0;
    pthread_t thread{};
  };
  static void *worker_main(void *worker);
  void work(int slot);
  void wait_for_parts(int parts);
  uint32_t wait_for_job(uint32_t seen);

  Array<Worker> workers_;
  int workers_started_ = 0;
  int64_t spin_nanoseconds_ = 0;

  // The job. `next_` is the next part in its low half, the number of parts in its high half: a part
  // is claimed by a compare-and-swap of both, and until every claimed part is done the job does not
  // change.
  Task task_ = nullptr;
  void *argument_ = nullptr;
  alignas(64) std::atomic<uint32_t> next_{0};
  alignas(64) std::atomic<uint32_t> done_{0};
  alignas(64) std::atomic<uint32_t> generation_{0};  // counts jobs; workers wait for it to change
  std::atomic<uint32_t> parked_{0};                  // workers asleep
  std::atomic<uint32_t> caller_parked_{0};
  std::atomic<bool> stop_{false};
};

// Parts of extent0 x extent1: rows0 x rows1 blocks of whole grains, the last of each axis cut at
// the extent.
struct Split {
  int64_t extent0 = 0, extent1 = 0;
  int64_t grain0 = 1, grain1 = 1;
  int32_t parts0 = 1, parts1 = 1;
  int parts() const { return parts0 * parts1; }
};

// At most one part a thread, so that parts share as much of what they read as can be; fewer when
// the parts would take less time than handing them out. Axis 0 first; axis 1 too where that makes
// parts more equal. cost: see sylvite_runtime_api.call.
Split split_work(int64_t extent0, int64_t extent1, int64_t grain0, int64_t grain1, int64_t cost,
                 int threads);

// begin0, end0, begin1, end1 of a part.
void part_bounds(const Split &split, int part, int32_t bounds[4]);

}  // namespace sylvite
