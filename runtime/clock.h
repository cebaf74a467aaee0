// Time for measuring and for waiting: it only runs forward.
#pragma once

#include <time.h>

#include <cstdint>

namespace sylvite {

inline int64_t now_in_nanoseconds() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

}  // namespace sylvite
