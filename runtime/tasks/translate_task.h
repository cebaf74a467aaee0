// What a translator's descriptor says, looked up and checked once.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "runtime/abi.h"
#include "runtime/io/result.h"
#include "runtime/tasks/cache_blocks.h"

namespace sylvite {

struct TranslateTask {
  const sylvite_translate_task *task = nullptr;
  const sylvite_program *encode = nullptr, *step = nullptr;
  int32_t vocabulary = 0;
  int64_t encode_batch = 0, step_batch = 0;  // sizes that the exporter froze; 0: any
  std::vector<CacheShape> caches;

  bool has_caches() const { return task->past >= 0; }
  std::span<const sylvite_link> links() const {
    return {task->links, static_cast<size_t>(task->link_count)};
  }
};

// An error that is not the compiler's mistake: the model was not compiled as a translator.
Result<TranslateTask> read_translate_task(const sylvite_program &program);

}  // namespace sylvite
