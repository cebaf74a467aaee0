// How often memory was asked for, by anything that is linked into the test: the linker's --wrap
// leads these calls through counters (CMakeLists.txt lists them).
#pragma once

#include <cstdint>

namespace sylvite::testing {

int64_t allocation_count();

}  // namespace sylvite::testing
