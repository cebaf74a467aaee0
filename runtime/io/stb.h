// Sean Barrett's stb_image.h, as Sylvite uses it: PNG, JPEG, inflate; from memory only; every
// allocation counts against a budget, so that a small file cannot ask for gigabytes.
#pragma once

#include <cstddef>
#include <span>

#define STBI_ONLY_JPEG
#define STBI_ONLY_PNG
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#define STBI_NO_HDR
#define STBI_MAX_DIMENSIONS 65535
#include <stb_image.h>

namespace sylvite {

// What stb_image may hold at once in this thread while the scope lives; without a scope: nothing.
class StbMemory {
 public:
  explicit StbMemory(size_t bytes);
  ~StbMemory();
  StbMemory(const StbMemory &) = delete;
  StbMemory &operator=(const StbMemory &) = delete;
};

// Raw deflate; true when `from` decodes to exactly to.size() bytes. Both at most 2 GiB. `from` ends
// in kInflatePadding bytes that are not data: stb_image looks ahead, and takes the end of a stream
// that has no trailing checksum for a truncation.
inline constexpr size_t kInflatePadding = 8;
bool inflate(std::span<const std::byte> from, std::span<std::byte> to);

}  // namespace sylvite
