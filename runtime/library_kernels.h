// Kernels that are plain functions; runtime/abi.h has their arguments.
#pragma once

#include <cstdint>

#include "runtime/abi.h"

namespace sylvite {

// What a library kernel returns for an index out of range, and which it was: the last one of this
// thread (such kernels run in line).
inline constexpr int32_t kLibraryBadIndex = 1;
struct BadIndex {
  int64_t index = 0, position = 0, bound = 0;
};
const BadIndex &last_bad_index();

}  // namespace sylvite
