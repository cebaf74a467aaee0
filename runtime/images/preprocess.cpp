// The arithmetic is transformers': bytes times the factor in double, rounded to float, then minus
// mean and by std in float. A byte has 256 values, so each channel is a table.
#include "runtime/images/preprocess.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "runtime/images/decode.h"
#include "runtime/images/resize.h"

namespace sylvite {
namespace {

struct Size {
  int64_t height = 0, width = 0;
};

Size resized_size(const Image &image, const sylvite_classify_task &task) {
  if (task.shortest_edge <= 0) {
    return {task.height, task.width};
  }
  const int64_t edge = task.shortest_edge;
  return image.width <= image.height ? Size{edge * image.height / image.width, edge}
                                     : Size{edge, edge * image.width / image.height};
}

// Where the image is smaller than the crop it is padded with zeroes. Of an odd difference, the
// smaller half is cut off first; padded is the larger half first.
Result<Image> center_crop(const Image &image, int32_t height, int32_t width,
                          const std::string &where) {
  if (height < 1 || width < 1 || int64_t{height} * width > kMaxImagePixels) {
    return bad_input(where, ": cannot be cropped to ", width, " x ", height, " pixels");
  }
  Image crop{width, height, image.channels, {}};
  const size_t bytes = size_t{1} * width * height * image.channels;
  if (Error error = resize_vector(crop.pixels, bytes, where); !error.ok()) {
    return error;
  }
  // Source position of the crop's first pixel; negative: padding.
  const auto start = [](int32_t have, int32_t want) {
    return have >= want ? (have - want) / 2 : -((want - have + 1) / 2);
  };
  const int32_t top = start(image.height, height), left = start(image.width, width);
  const int32_t first = std::max(left, 0), last = std::min(left + width, image.width);
  for (int32_t y = std::max(top, 0); y < std::min(top + height, image.height); ++y) {
    std::memcpy(&crop.pixels[(int64_t{y - top} * width + (first - left)) * image.channels],
                &image.pixels[(int64_t{y} * image.width + first) * image.channels],
                static_cast<size_t>(last - first) * static_cast<size_t>(image.channels));
  }
  return crop;
}

std::array<float, 256> pixel_values(const sylvite_classify_task &task, int32_t channel) {
  // The task holds a float; 1/255, which nearly every model uses, is meant in double.
  const double factor =
      task.rescale == static_cast<float>(1.0 / 255.0) ? 1.0 / 255.0 : double{task.rescale};
  std::array<float, 256> values{};
  for (int byte = 0; byte < 256; ++byte) {
    const float scaled = static_cast<float>(byte * factor);
    values[static_cast<size_t>(byte)] = (scaled - task.mean[channel]) / task.std[channel];
  }
  return values;
}

}  // namespace

Result<PixelTensor> preprocess_image(Image image, const sylvite_classify_task &task,
                                     const std::string &where) {
  Result<Image> current = convert_channels(std::move(image), task.channels, where);
  if (current.ok() && task.do_resize != 0) {
    const Size size = resized_size(current.value(), task);
    if (size.height > INT32_MAX || size.width > INT32_MAX) {
      return bad_input(where, ": its sides are too unequal: ", current.value().width, " x ",
                       current.value().height, " pixels");
    }
    current = resize_image(current.value(), static_cast<int32_t>(size.height),
                           static_cast<int32_t>(size.width),
                           static_cast<sylvite_resample>(task.resample), where);
  }
  if (current.ok() && task.do_center_crop != 0) {
    current = center_crop(current.value(), task.crop_height, task.crop_width, where);
  }
  if (!current.ok()) {
    return current.error();
  }
  const Image &pixels = current.value();
  PixelTensor tensor{task.channels, pixels.height, pixels.width, {}};
  const size_t plane = size_t{1} * pixels.width * pixels.height;
  if (Error error = resize_vector(tensor.values, pixels.pixels.size(), where); !error.ok()) {
    return error;
  }
  for (int32_t c = 0; c < task.channels; ++c) {
    const std::array<float, 256> values = pixel_values(task, c);
    float *const to = &tensor.values[static_cast<size_t>(c) * plane];
    const uint8_t *from = &pixels.pixels[static_cast<size_t>(c)];
    for (size_t i = 0; i < plane; ++i, from += task.channels) {
      to[i] = values[*from];
    }
  }
  return tensor;
}

}  // namespace sylvite
