// Where buffers stand in one block of memory, from their sizes and lifetimes. Free of dependencies
// and of allocation: the runtime calls it at a new shape, the compiler's reports call it with sizes
// of their own.
#pragma once

#include <cstdint>
#include <span>

namespace sylvite {

inline constexpr int64_t kArenaAlignment = 64;

struct ArenaBuffer {
  int64_t bytes = 0;
  int32_t first = 0, last = 0;  // the calls that use it, both included
};

// Writes each buffer's offset, a multiple of kArenaAlignment; buffers that live at the same time
// never overlap. Returns the bytes of the whole, or -1 when they cannot be counted. `order` is
// working space; all three have one length. The same arguments give the same places.
int64_t place_buffers(std::span<const ArenaBuffer> buffers, std::span<int64_t> offsets,
                      std::span<int32_t> order);

}  // namespace sylvite
