// The CRC-32 of zip and PNG.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace sylvite {

// Continues `crc` (0 at the start) over `bytes`.
uint32_t crc32(uint32_t crc, std::span<const std::byte> bytes);

}  // namespace sylvite
