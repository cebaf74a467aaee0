// Plan -> objects: every kernel for every ISA, on several threads and through the cache, then the
// plan.
//
// A job is one kernel for one ISA. Jobs are taken in order and land in their own place, so the list
// of objects does not depend on which thread was quicker; of several failures the first job's is
// reported.
#include "compiler/codegen/compile.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "compiler/codegen/cache.h"
#include "compiler/codegen/llvm_parts.h"
#include "compiler/ir/error.h"

namespace sylvite {
namespace {

struct Job {
  const PlanKernel *kernel;
  Isa isa;
  KernelObject result;
  std::exception_ptr failure;
};

int usable_cores() {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  return sched_getaffinity(0, sizeof cores, &cores) == 0 ? std::max(1, CPU_COUNT(&cores)) : 1;
}

KernelObject compile_or_load(const Job &job, const CompileOptions &options,
                             const KernelCache &cache) {
  const bool sanitize = options.sanitize_address || options.sanitize_thread;
  std::string key = kernel_key(*job.kernel->node, job.isa, sanitize);
  key += options.sanitize_address ? "+address" : "";
  key += options.sanitize_thread ? "+thread" : "";
  if (std::optional<KernelObject> known = cache.load(key)) {
    return std::move(*known);
  }
  const RunningScope scope("kernel " + job.kernel->name + " for " + name_of(job.isa));
  KernelRequest request;
  request.isa = job.isa;
  request.sanitize_address = options.sanitize_address;
  request.sanitize_thread = options.sanitize_thread;
  KernelObject kernel = compile_kernel(*job.kernel->node, request);
  cache.store(key, kernel);
  return kernel;
}

void run_jobs(std::vector<Job> &jobs, const CompileOptions &options, const KernelCache &cache) {
  std::atomic<size_t> next{0};
  std::mutex progress;
  int done = 0;
  const auto work = [&] {
    for (size_t i = next++; i < jobs.size(); i = next++) {
      try {
        jobs[i].result = compile_or_load(jobs[i], options, cache);
      } catch (...) {
        jobs[i].failure = std::current_exception();
        next = jobs.size();  // the others would be thrown away
      }
      const std::lock_guard lock(progress);
      ++done;
      if (options.progress) {
        options.progress(done, static_cast<int>(jobs.size()), jobs[i].kernel->name);
      }
    }
  };
  // Halide's library is not built with the thread sanitizer: what two of its compilations share,
  // and what memory they pass on, would read as races.
  const int wanted = options.jobs > 0 ? options.jobs : options.sanitize_thread ? 1 : usable_cores();
  const size_t threads = std::min(jobs.size(), static_cast<size_t>(wanted));
  std::vector<std::jthread> others;
  for (size_t i = 1; i < threads; ++i) {
    others.emplace_back(work);
  }
  work();
  others.clear();  // waits
  for (const Job &job : jobs) {
    if (job.failure) {
      std::rethrow_exception(job.failure);
    }
  }
}

}  // namespace

std::vector<std::vector<char>> compile_objects(std::span<const EntryPoint> entries,
                                               const WeightImage &image,
                                               const CompileOptions &options) {
  std::vector<Job> jobs;
  std::set<std::string> known;
  for (const EntryPoint &entry : entries) {
    for (const PlanKernel &kernel : entry.plan->kernels) {
      if (kernel.interface.library_symbol.empty() && known.insert(kernel.key).second) {
        for (const Isa isa : options.isas) {
          jobs.push_back({&kernel, isa, {}, nullptr});
        }
      }
    }
  }
  run_jobs(jobs, options, KernelCache(options.cache_dir));

  std::vector<std::vector<char>> objects;
  std::map<std::pair<std::string, Isa>, std::string> symbols;
  for (Job &job : jobs) {
    symbols[{job.kernel->key, job.isa}] = job.result.symbol;
    objects.push_back(std::move(job.result.object));
  }
  for (size_t i = 0; i < entries.size(); ++i) {
    const RunningScope scope("plan " + entries[i].plan->name);
    Plan plan = *entries[i].plan;
    for (PlanKernel &kernel : plan.kernels) {
      const std::string &library = kernel.interface.library_symbol;
      for (const Isa isa : options.isas) {
        kernel.symbols[static_cast<size_t>(isa)] =
            library.empty() ? symbols.at({kernel.key, isa}) : library;
      }
    }
    const EntryPoint compiled{&plan, entries[i].info};
    objects.push_back(
        plan_object({compiled, i, entries.size(), options.library_prefix, options.separate_weights},
                    image, options.isas));
  }
  return objects;
}

std::vector<std::vector<char>> compile_objects(const Plan &plan, const WeightImage &image,
                                               const ProgramInfo &info,
                                               const CompileOptions &options) {
  const EntryPoint entry{&plan, &info};
  return compile_objects(std::span(&entry, 1), image, options);
}

}  // namespace sylvite
