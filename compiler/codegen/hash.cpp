// XXH3 from libxxhash's header: fast enough that gigabytes of weights are hashed in passing.
#include "compiler/codegen/hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace sylvite {

uint64_t hash_bytes(const void *data, size_t size) {
  return XXH3_64bits(data, size);
}

uint64_t hash_text(std::string_view text) {
  return XXH3_64bits(text.data(), text.size());
}

std::string hash_name(std::string_view text) {
  const XXH128_hash_t hash = XXH3_128bits(text.data(), text.size());
  std::string name;
  for (const uint64_t half : {hash.high64, hash.low64}) {
    for (int shift = 60; shift >= 0; shift -= 4) {
      name += "0123456789abcdef"[(half >> shift) & 15];
    }
  }
  return name;
}

}  // namespace sylvite
