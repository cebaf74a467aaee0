// What this machine can do at most, for putting measured speeds in relation.
#pragma once

#include "runtime/abi.h"
#include "runtime/threads.h"

namespace sylvite {

struct Peak {
  double flops_per_second = 0;  // 32-bit fused multiply-adds in registers, all threads of the pool
  double bytes_per_second =
      0;  // reading memory beyond the caches; 0 when there is no room to measure
};

// Takes some 0.2 s. The CPU must have the level.
Peak measure_peak(sylvite_isa isa, ThreadPool &pool);

}  // namespace sylvite
