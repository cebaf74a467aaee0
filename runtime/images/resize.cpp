// A resize is two passes of weighted sums, one along rows and one along columns, with the result of
// the first rounded to 8 bits. Each output pixel's weights are samples of the filter, stretched by
// the factor of the reduction (so that every source pixel counts: antialiasing; when enlarging it
// is not stretched), normalised to a sum of 1 and rounded to 22 fractional bits. The sums are then
// exact integer arithmetic, so the same weights give the same pixels, whoever computes them.
//
// Rows come first, but columns where that is much less work, as in Pillow since version 13. Because
// of the rounding in between the order shows, by 1 mostly, more where a filter overshoots.
//
// Nearest is apart: it walks the source in steps of the scale, adding in double as Pillow does (a
// product would round differently now and then).
#include "runtime/images/resize.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>
#include <vector>

namespace sylvite {
namespace {

// 8 bits of pixel, 2 bits for overshoot and sign, the rest of 32 for the weights.
constexpr int kPrecisionBits = 32 - 8 - 2;

double box(double x) {
  return x > -0.5 && x <= 0.5 ? 1.0 : 0.0;
}

double bilinear(double x) {
  x = std::fabs(x);
  return x < 1.0 ? 1.0 - x : 0.0;
}

double hamming(double x) {
  x = std::fabs(x);
  if (x == 0.0) {
    return 1.0;
  }
  if (x >= 1.0) {
    return 0.0;
  }
  x *= std::numbers::pi;
  return std::sin(x) / x *
         (double{0.54f} + double{0.46f} * std::cos(x));  // floats, as Pillow has them
}

// Keys' cubic with a = -0.5.
double bicubic(double x) {
  constexpr double a = -0.5;
  x = std::fabs(x);
  if (x < 1.0) {
    return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
  }
  return x < 2.0 ? (((x - 5.0) * x + 8.0) * x - 4.0) * a : 0.0;
}

double sinc(double x) {
  if (x == 0.0) {
    return 1.0;
  }
  x *= std::numbers::pi;
  return std::sin(x) / x;
}

double lanczos(double x) {
  return -3.0 <= x && x < 3.0 ? sinc(x) * sinc(x / 3.0) : 0.0;
}

struct Filter {
  double (*value)(double);
  double support;  // zero beyond
};

Filter filter_of(sylvite_resample resample) {
  switch (resample) {
    case SYL_BOX:
      return {box, 0.5};
    case SYL_BILINEAR:
      return {bilinear, 1.0};
    case SYL_HAMMING:
      return {hamming, 1.0};
    case SYL_BICUBIC:
      return {bicubic, 2.0};
    case SYL_LANCZOS:
      return {lanczos, 3.0};
    case SYL_NEAREST:
      break;
  }
  return {nullptr, 0.0};
}

// The weights of one axis: output i is the sum of inputs first[i] + j times weight[i * most + j], j
// < count[i].
struct Weights {
  int32_t most = 0;
  std::vector<int32_t> first, count, weight;
};

Result<Weights> make_weights(const Filter &filter, int32_t from, int32_t to,
                             const std::string &where) {
  const double scale = static_cast<double>(from) / to, stretch = std::max(scale, 1.0);
  const double support = filter.support * stretch;
  Weights weights;
  weights.most = static_cast<int32_t>(std::ceil(support)) * 2 + 1;
  const auto outputs = static_cast<size_t>(to), most = static_cast<size_t>(weights.most);
  weights.first.resize(outputs);
  weights.count.resize(outputs);
  if (Error error = resize_vector(weights.weight, outputs * most, where); !error.ok()) {
    return error;
  }
  std::vector<double> exact(most);
  for (size_t i = 0; i < outputs; ++i) {
    const double centre = (static_cast<double>(i) + 0.5) * scale;
    // NOLINTBEGIN(bugprone-incorrect-roundings): towards zero, as the preprocessors round
    const int32_t first = std::max(static_cast<int32_t>(centre - support + 0.5), 0);
    const int32_t count = std::min(static_cast<int32_t>(centre + support + 0.5), from) - first;
    // NOLINTEND(bugprone-incorrect-roundings)
    weights.first[i] = first;
    weights.count[i] = count;
    double sum = 0.0;
    for (int32_t j = 0; j < count; ++j) {
      exact[static_cast<size_t>(j)] = filter.value((j + first - centre + 0.5) * (1.0 / stretch));
      sum += exact[static_cast<size_t>(j)];
    }
    for (size_t j = 0; j < static_cast<size_t>(count); ++j) {
      const double weight = (sum != 0.0 ? exact[j] / sum : exact[j]) * (1 << kPrecisionBits);
      weights.weight[i * most + j] =
          static_cast<int32_t>(weight < 0.0 ? weight - 0.5 : weight + 0.5);
    }
  }
  return weights;
}

uint8_t round_to_byte(int32_t sum) {
  return static_cast<uint8_t>(std::clamp(sum >> kPrecisionBits, 0, 255));
}

constexpr int32_t kHalf = 1 << (kPrecisionBits - 1);

template <int kChannels>
void resize_row(const Weights &weights, const uint8_t *from, uint8_t *to) {
  for (size_t i = 0; i < weights.first.size(); ++i) {
    const uint8_t *pixel = from + int64_t{weights.first[i]} * kChannels;
    const int32_t *const weight = &weights.weight[i * static_cast<size_t>(weights.most)];
    int32_t sums[kChannels];
    std::fill_n(sums, kChannels, kHalf);
    for (int32_t j = 0; j < weights.count[i]; ++j, pixel += kChannels) {
      for (int c = 0; c < kChannels; ++c) {
        sums[c] += pixel[c] * weight[j];
      }
    }
    for (int c = 0; c < kChannels; ++c) {
      *to++ = round_to_byte(sums[c]);
    }
  }
}

// One output row from `count` rows of `bytes` bytes.
void blend_rows(const uint8_t *from, size_t bytes, const int32_t *weight, int32_t count,
                std::vector<int32_t> &sums, uint8_t *to) {
  std::fill(sums.begin(), sums.end(), kHalf);
  for (int32_t j = 0; j < count; ++j, from += bytes) {
    for (size_t i = 0; i < bytes; ++i) {
      sums[i] += from[i] * weight[j];
    }
  }
  std::transform(sums.begin(), sums.end(), to, round_to_byte);
}

Result<Image> make_image(int32_t height, int32_t width, int32_t channels,
                         const std::string &where) {
  Image image{width, height, channels, {}};
  const uint64_t bytes = uint64_t{1} * width * height * channels;
  if (Error error = resize_vector(image.pixels, bytes, where); !error.ok()) {
    return error;
  }
  return image;
}

// Rows [begin, end) of the source, made `width` wide.
Result<Image> resize_width(const Image &source, int32_t width, int32_t begin, int32_t end,
                           const Filter &filter, const std::string &where) {
  const Result<Weights> weights = make_weights(filter, source.width, width, where);
  if (!weights.ok()) {
    return weights.error();
  }
  Result<Image> result = make_image(end - begin, width, source.channels, where);
  if (!result.ok()) {
    return result;
  }
  for (int64_t y = 0; y < end - begin; ++y) {
    const uint8_t *const from = &source.pixels[(begin + y) * source.width * source.channels];
    uint8_t *const to = &result.value().pixels[y * width * source.channels];
    if (source.channels == 3) {
      resize_row<3>(weights.value(), from, to);
    } else {
      resize_row<1>(weights.value(), from, to);
    }
  }
  return result;
}

// The source's first row is row `begin` of the image that the weights were made for.
Result<Image> resize_height(const Image &source, const Weights &weights, int32_t begin,
                            const std::string &where) {
  const auto height = static_cast<int32_t>(weights.first.size());
  Result<Image> result = make_image(height, source.width, source.channels, where);
  if (!result.ok()) {
    return result;
  }
  const size_t bytes = size_t{1} * source.width * source.channels;
  std::vector<int32_t> sums(bytes);
  for (size_t y = 0; y < weights.first.size(); ++y) {
    blend_rows(&source.pixels[(weights.first[y] - begin) * bytes], bytes,
               &weights.weight[y * static_cast<size_t>(weights.most)], weights.count[y], sums,
               &result.value().pixels[y * bytes]);
  }
  return result;
}

Result<Image> resize_nearest(const Image &source, int32_t height, int32_t width,
                             const std::string &where) {
  Result<Image> result = make_image(height, width, source.channels, where);
  if (!result.ok()) {
    return result;
  }
  const auto positions = [](int32_t from, int32_t to) {
    std::vector<int32_t> index(static_cast<size_t>(to));
    const double step = static_cast<double>(from) / to;
    double position = step * 0.5;
    for (int32_t &i : index) {
      i = std::min(static_cast<int32_t>(position), from - 1);
      position += step;
    }
    return index;
  };
  const std::vector<int32_t> columns = positions(source.width, width);
  uint8_t *to = result.value().pixels.data();
  for (const int32_t y : positions(source.height, height)) {
    const uint8_t *const row = &source.pixels[int64_t{y} * source.width * source.channels];
    for (const int32_t x : columns) {
      to = std::copy_n(row + int64_t{x} * source.channels, source.channels, to);
    }
  }
  return result;
}

}  // namespace

Result<Image> resize_image(const Image &image, int32_t height, int32_t width,
                           sylvite_resample resample, const std::string &where) {
  if (height < 1 || width < 1 || int64_t{height} * width > kMaxImagePixels) {
    return bad_input(where, ": cannot be resized from ", image.width, " x ", image.height, " to ",
                     width, " x ", height, " pixels, at most ", kMaxImagePixels);
  }
  if (image.height == height && image.width == width) {
    return image;
  }
  if (resample == SYL_NEAREST) {
    return resize_nearest(image, height, width, where);
  }
  const Filter filter = filter_of(resample);
  if (filter.value == nullptr) {
    return {Error{SYLVITE_BAD_INPUT,
                  text_of(where, ": unknown resampling filter ", static_cast<int>(resample))}};
  }
  if (image.height == height) {
    return resize_width(image, width, 0, image.height, filter, where);
  }
  const Result<Weights> rows = make_weights(filter, image.height, height, where);
  if (!rows.ok()) {
    return rows.error();
  }
  if (image.width == width) {
    return resize_height(image, rows.value(), 0, where);
  }
  // Pillow's estimate of the work, found from its results.
  const int64_t fewer_rows = image.height - height, fewer_columns = image.width - width;
  if (fewer_rows > 0 && fewer_rows > 2 * fewer_columns) {
    const Result<Image> low = resize_height(image, rows.value(), 0, where);
    return low.ok() ? resize_width(low.value(), width, 0, height, filter, where) : low;
  }
  // Only the rows that the second pass reads. They are all rows, but for a strong reduction's
  // rounding.
  const int32_t begin = rows.value().first.front();
  const int32_t end = rows.value().first.back() + rows.value().count.back();
  const Result<Image> narrow = resize_width(image, width, begin, end, filter, where);
  return narrow.ok() ? resize_height(narrow.value(), rows.value(), begin, where) : narrow;
}

}  // namespace sylvite
