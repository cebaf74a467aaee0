// Pillow's Image.resize, to the bit, for 8-bit grey and RGB.
#pragma once

#include <cstdint>
#include <string>

#include "runtime/abi.h"
#include "runtime/images/image.h"
#include "runtime/io/result.h"

namespace sylvite {

// At most kMaxImagePixels pixels; `where` is for messages.
Result<Image> resize_image(const Image &image, int32_t height, int32_t width,
                           sylvite_resample resample, const std::string &where);

}  // namespace sylvite
