// transformers writes an image processor's every setting into preprocessor_config.json, under names
// that changed over the years; where a key is missing, the processor's class has a default. What is
// understood here are the processors that resize, crop, rescale and normalise, which is what all
// ViT-like classifiers use. A file that asks for anything else (padding, swapped channels, ...) is
// refused: a program that silently prepares its images otherwise than in training answers wrongly
// and nobody knows why.
#include "compiler/driver/preprocessor_config.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <iterator>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "compiler/ir/error.h"

namespace sylvite {
namespace {

using nlohmann::json;

constexpr std::pair<const char *, sylvite_resample> kResamples[] = {
    {"nearest", SYL_NEAREST}, {"lanczos", SYL_LANCZOS}, {"bilinear", SYL_BILINEAR},
    {"bicubic", SYL_BICUBIC}, {"box", SYL_BOX},         {"hamming", SYL_HAMMING}};

// What a processor's class takes where its file says nothing.
struct ProcessorDefaults {
  const char *type;  // the class's name starts so
  bool square;       // "size": 224 means 224 x 224, not the shortest edge
  bool center_crop;
  ImageSize size;
  sylvite_resample resample;
  std::array<double, 3> mean, std;
};
constexpr std::array<double, 3> kHalf = {0.5, 0.5, 0.5};
constexpr std::array<double, 3> kClipMean = {0.48145466, 0.4578275, 0.40821073},
                                kClipStd = {0.26862954, 0.26130258, 0.27577711};
constexpr ProcessorDefaults kProcessors[] = {
    {"CLIP", false, true, {0, 0, 224}, SYL_BICUBIC, kClipMean, kClipStd},
    {"ChineseCLIP", false, true, {0, 0, 224}, SYL_BICUBIC, kClipMean, kClipStd},
    {"Bit", false, true, {0, 0, 224}, SYL_BICUBIC, kClipMean, kClipStd},
    {"ConvNext", false, false, {0, 0, 384}, SYL_BILINEAR, kHalf, kHalf},
    {"DeiT", true, true, {256, 256, 0}, SYL_BICUBIC, kHalf, kHalf},
    {"Beit", true, true, {256, 256, 0}, SYL_BICUBIC, kHalf, kHalf},
    {"MobileNetV", false, true, {0, 0, 256}, SYL_BILINEAR, kHalf, kHalf},
    {"", true, false, {224, 224, 0}, SYL_BILINEAR, kHalf, kHalf},  // ViT and all others
};

const ProcessorDefaults &defaults_of(const std::string &type) {
  return *std::find_if(std::begin(kProcessors), std::end(kProcessors),
                       [&](const ProcessorDefaults &row) { return type.starts_with(row.type); });
}

int64_t read_side(const JsonSettings &settings, const std::string &key, const json &value) {
  const bool fits = value.is_number_integer() && value >= 1 && value <= kLargestImageSide;
  if (!fits) {
    settings.fail(key, "whole numbers of 1 to " + std::to_string(kLargestImageSide));
  }
  return value.get<int64_t>();
}

ImageSize read_size(const JsonSettings &settings, const std::string &key, bool square,
                    const ImageSize &fallback) {
  const json *const value = settings.find(key);
  if (value == nullptr) {
    return fallback;
  }
  if (value->is_number()) {
    const int64_t side = read_side(settings, key, *value);
    return square ? ImageSize{side, side, 0} : ImageSize{0, 0, side};
  }
  if (value->is_array() && value->size() == 2) {
    return {read_side(settings, key, (*value)[0]), read_side(settings, key, (*value)[1]), 0};
  }
  // Keys that are null do not count: transformers writes them for classes with several ways.
  std::map<std::string, int64_t> sides;
  if (value->is_object()) {
    for (const auto &[name, side] : value->items()) {
      if (!side.is_null()) {
        sides[name] = read_side(settings, key, side);
      }
    }
  }
  if (sides.size() == 2 && sides.contains("height") && sides.contains("width")) {
    return {sides["height"], sides["width"], 0};
  }
  if (sides.size() == 1 && sides.contains("shortest_edge")) {
    return {0, 0, sides["shortest_edge"]};
  }
  settings.fail(key, "a number, {\"height\", \"width\"} or {\"shortest_edge\"}");
}

sylvite_resample read_resample(const JsonSettings &settings, sylvite_resample fallback) {
  const std::string key = "resample";
  const json *const value = settings.find(key);
  if (value == nullptr) {
    return fallback;
  }
  std::optional<sylvite_resample> resample;
  if (value->is_number_integer() && *value >= 0 && *value <= 5) {
    resample = static_cast<sylvite_resample>(value->get<int>());
  } else if (value->is_string()) {
    resample = parse_resample(value->get<std::string>());
  }
  if (!resample) {
    settings.fail(key, "one of Pillow's filters, 0 to 5");
  }
  return *resample;
}

// A number for all channels, or one for each.
void read_channel_values(const JsonSettings &settings, const std::string &key, int32_t channels,
                         const std::array<double, 3> &fallback, float *to) {
  const json *const value = settings.find(key);
  std::vector<double> values(fallback.begin(), fallback.end());
  if (value != nullptr && value->is_number()) {
    values.assign(3, value->get<double>());
  } else if (value != nullptr) {
    values.clear();
    for (const json &entry : value->is_array() ? *value : json::array()) {
      if (!entry.is_number() || values.size() == 4) {
        settings.fail(key, "a list of numbers");
      }
      values.push_back(entry.get<double>());
    }
    if (values.size() != static_cast<size_t>(channels)) {
      settings.fail(key, std::to_string(channels) + " numbers, as the model has channels");
    }
  }
  for (size_t c = 0; c < static_cast<size_t>(channels); ++c) {
    to[c] = static_cast<float>(values[c]);
    if (!std::isfinite(to[c]) || (key == "image_std" && to[c] == 0.0f)) {
      settings.fail(key, "finite numbers, no zero among deviations");
    }
  }
}

// Steps that change the image and that the runtime does not have.
void refuse_other_steps(const JsonSettings &settings) {
  for (const char *const key :
       {"do_pad", "do_flip_channel_order", "do_color_quantize", "do_thumbnail",
        "do_align_long_axis", "do_image_splitting", "rescale_offset", "include_top"}) {
    const json *const value = settings.find(key);
    if (value != nullptr && *value != false) {
      settings.fail(key, "false: this step is not supported");
    }
  }
}

// ConvNext's way: below 384, the shortest edge becomes size / crop_pct, and the centre is cut out;
// from 384 on, the image is squeezed into the square.
void apply_crop_fraction(const JsonSettings &settings, sylvite_classify_task &task) {
  const double fraction = settings.number("crop_pct", 224.0 / 256.0);
  if (!(fraction > 0.01 && fraction <= 1.0)) {
    settings.fail("crop_pct", "a fraction of 1");
  }
  if (task.shortest_edge <= 0) {
    settings.fail("size", "{\"shortest_edge\"}");
  }
  const int64_t edge = task.shortest_edge;
  if (edge >= 384) {
    set_resize(task, {edge, edge, 0});
  } else {
    set_resize(task, {0, 0, static_cast<int64_t>(static_cast<double>(edge) / fraction)});
    set_crop(task, {edge, edge, 0});
  }
}

}  // namespace

std::optional<sylvite_resample> parse_resample(std::string_view name) {
  for (const auto &[known, resample] : kResamples) {
    if (name == known) {
      return resample;
    }
  }
  return std::nullopt;
}

void set_resize(sylvite_classify_task &task, const ImageSize &size) {
  task.do_resize = 1;
  task.height = static_cast<int32_t>(size.height);
  task.width = static_cast<int32_t>(size.width);
  task.shortest_edge = static_cast<int32_t>(size.shortest_edge);
}

void set_crop(sylvite_classify_task &task, const ImageSize &size) {
  task.do_center_crop = 1;
  task.crop_height = static_cast<int32_t>(size.height);
  task.crop_width = static_cast<int32_t>(size.width);
}

void read_preprocessor(const JsonSettings &settings, sylvite_classify_task &task) {
  std::string type = settings.text("image_processor_type");
  if (type.empty()) {
    type = settings.text("feature_extractor_type");  // the old name
  }
  const ProcessorDefaults &defaults = defaults_of(type);
  refuse_other_steps(settings);
  if (settings.boolean("do_resize", true)) {
    set_resize(task, read_size(settings, "size", defaults.square, defaults.size));
  }
  task.resample = read_resample(settings, defaults.resample);
  if (settings.boolean("do_center_crop", defaults.center_crop)) {
    const ImageSize crop = read_size(settings, "crop_size", true, {224, 224, 0});
    if (crop.shortest_edge > 0) {
      settings.fail("crop_size", "a number or {\"height\", \"width\"}");
    }
    set_crop(task, crop);
  }
  if (task.do_resize != 0 && type.starts_with("ConvNext")) {
    apply_crop_fraction(settings, task);
  } else if (settings.find("crop_pct") != nullptr) {
    settings.fail("crop_pct", "nothing: only ConvNext's way of cropping a fraction is supported");
  } else if (type.starts_with("Levit")) {  // enlarges the size that its file names
    settings.fail("image_processor_type", "one that resizes to the size it names");
  }
  task.rescale = 1.0f;
  if (settings.boolean("do_rescale", true)) {
    task.rescale = static_cast<float>(settings.number("rescale_factor", 1.0 / 255.0));
    if (!std::isfinite(task.rescale) || task.rescale == 0.0f) {
      settings.fail("rescale_factor", "a finite number but zero");
    }
  }
  if (settings.boolean("do_normalize", true)) {
    read_channel_values(settings, "image_mean", task.channels, defaults.mean, task.mean);
    read_channel_values(settings, "image_std", task.channels, defaults.std, task.std);
  }
}

}  // namespace sylvite
