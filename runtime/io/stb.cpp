// The one place where stb_image.h is compiled. Its allocations carry their size in front, so that
// the budget is given back exactly, and are zeroed: version 2.27 reads tables that a damaged file
// uses but never defines.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace sylvite {
namespace {

constexpr size_t kHeader = alignof(std::max_align_t);
thread_local size_t stb_budget = 0;

void *stb_allocate(size_t size) {
  if (size > stb_budget || stb_budget - size < kHeader) {
    return nullptr;
  }
  auto *const block = static_cast<std::byte *>(std::calloc(1, size + kHeader));
  if (block == nullptr) {
    return nullptr;
  }
  std::memcpy(block, &size, sizeof size);
  stb_budget -= size + kHeader;
  return block + kHeader;
}

void stb_release(void *memory) {
  if (memory == nullptr) {
    return;
  }
  std::byte *const block = static_cast<std::byte *>(memory) - kHeader;
  size_t size = 0;
  std::memcpy(&size, block, sizeof size);
  stb_budget += size + kHeader;
  std::free(block);
}

void *stb_resize(void *memory, size_t old_size, size_t size) {
  void *const larger = stb_allocate(size);
  if (larger != nullptr && memory != nullptr) {
    std::memcpy(larger, memory, old_size < size ? old_size : size);
    stb_release(memory);
  }
  return larger;
}

}  // namespace
}  // namespace sylvite

#define STBI_MALLOC(size) sylvite::stb_allocate(size)
#define STBI_FREE(memory) sylvite::stb_release(memory)
#define STBI_REALLOC_SIZED(memory, old_size, size) sylvite::stb_resize(memory, old_size, size)
#define STBI_ASSERT(condition) ((void)0)
#define STB_IMAGE_IMPLEMENTATION
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#include "runtime/io/stb.h"
#pragma GCC diagnostic pop

namespace sylvite {

StbMemory::StbMemory(size_t bytes) {
  stb_budget = bytes;
}
StbMemory::~StbMemory() {
  stb_budget = 0;
}

bool inflate(std::span<const std::byte> from, std::span<std::byte> to) {
  if (from.size() > INT32_MAX || to.size() > INT32_MAX) {
    return false;
  }
  const int made = stbi_zlib_decode_noheader_buffer(
      reinterpret_cast<char *>(to.data()), static_cast<int>(to.size()),
      reinterpret_cast<const char *>(from.data()), static_cast<int>(from.size()));
  return made >= 0 && static_cast<size_t>(made) == to.size();
}

}  // namespace sylvite
