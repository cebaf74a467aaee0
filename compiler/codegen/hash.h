// XXH3, for cache entries and for finding equal weights.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace sylvite {

uint64_t hash_bytes(const void *data, size_t size);
uint64_t hash_text(std::string_view text);
std::string hash_name(std::string_view text);  // 32 hexadecimal digits (128 bits)

}  // namespace sylvite
