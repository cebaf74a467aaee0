// PNG and JPEG -> pixels, as Pillow's Image.open(file).convert("RGB") gives them, because that is
// what the exporters' preprocessors are fed.
//
// PNG: every colour type, depth and interlacing, exactly Pillow's values. Alpha and tRNS are
// dropped, not composited. 16 bits: the high byte; but grey of 16 bits is clipped to 255, an oddity
// of Pillow's that is reproduced here.
//
// JPEG: baseline and progressive, grey, YCbCr, RGB and Adobe's CMYK. Decoders round differently: on
// average by 0.1, at most by 3; with chroma halved in width alone (4:2:2) by 0.2, at most by 4, but
// for the last two columns, where stb_image weighs the chroma the wrong way round.
//
// Orientation tags are not applied, gamma and colour profiles are ignored. Files may be hostile:
// sizes are checked before memory is taken.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "runtime/images/image.h"
#include "runtime/io/result.h"

namespace sylvite {

inline constexpr int64_t kMaxImageFileBytes = int64_t{256} << 20;

// A grey file gives one channel, any other three. `where` is for messages.
Result<Image> decode_image(std::span<const std::byte> bytes, const std::string &where);

// Grey to RGB, or RGB to grey by Pillow's weights (ITU-R 601-2); channels: 1 or 3.
Result<Image> convert_channels(Image image, int32_t channels, const std::string &where);

}  // namespace sylvite
