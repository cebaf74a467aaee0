// Pixels in memory: what the decoder makes, the resizer transforms and the preprocessor reads.
#pragma once

#include <cstdint>
#include <vector>

namespace sylvite {

// Rows of width x channels bytes, top to bottom. Grey has one channel, RGB three.
struct Image {
  int32_t width = 0, height = 0, channels = 0;
  std::vector<uint8_t> pixels;
};

// The largest image that is decoded or made, in pixels; decoding takes up to a dozen bytes for
// each.
inline constexpr int64_t kMaxImagePixels = int64_t{1} << 26;

}  // namespace sylvite
