// From a decoded image to the tensor that a vision model wants, in the order of transformers' image
// processors: resize, centre crop, rescale, normalise.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/abi.h"
#include "runtime/images/image.h"
#include "runtime/io/result.h"

namespace sylvite {

// [channels, height, width]
struct PixelTensor {
  int32_t channels = 0, height = 0, width = 0;
  std::vector<float> values;
};

// `where` is for messages.
Result<PixelTensor> preprocess_image(Image image, const sylvite_classify_task &task,
                                     const std::string &where);

}  // namespace sylvite
