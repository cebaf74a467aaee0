// The task's parts come from three places: the model itself (which input, which output, the sizes
// that are fixed), the labels, the preprocessing. Each is read alone, flags are laid over, and what
// they must have in common is compared at the end.
//
// The files may be hostile like any other: bounded in size and depth, every key checked for type
// and range.
#include "compiler/driver/classify_config.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string_view>
#include <system_error>
#include <utility>

#include "compiler/driver/commands.h"
#include "compiler/driver/json_settings.h"
#include "compiler/driver/preprocessor_config.h"
#include "compiler/ir/error.h"
#include "compiler/ir/graph.h"

namespace sylvite {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

constexpr size_t kMostLabels = 1'000'000;

bool stands(const fs::path &file) {
  std::error_code error;
  return fs::exists(file, error);
}

// --- The model's own shape -------------------------------------------------------------------

struct Tensors {
  int32_t input = 0, output = 0;
  std::string input_name, output_name;
  std::optional<int64_t> channels, height, width, labels;  // where they are fixed
};

std::string list_outputs(const Graph &graph) {
  std::string list;
  for (size_t i = 0; i < graph.output_count() && i < 8; ++i) {
    list += (i > 0 ? ", '" : "'") + graph.output_name(i) + "' " + to_string(graph.output(i)->type);
  }
  return list;
}

size_t find_logits(const std::string &model, const Graph &graph, const ClassifyFlags &flags) {
  const std::string wanted = flags.logits.empty() ? "logits" : flags.logits;
  std::vector<size_t> matrices;
  for (size_t i = 0; i < graph.output_count(); ++i) {
    if (graph.output_name(i) == wanted) {
      return i;
    }
    if (graph.output(i)->type.rank() == 2) {
      matrices.push_back(i);
    }
  }
  if (!flags.logits.empty() || matrices.size() != 1) {
    throw_model_error(model, ": no output ", flags.logits.empty() ? "'logits'" : "'" + wanted + "'",
                      " among ", list_outputs(graph),
                      "; name the one with a number for each label with --logits NAME");
  }
  return matrices[0];
}

Tensors find_tensors(const fs::path &file, const Graph &graph, const ClassifyFlags &flags) {
  const std::string model = file.string();
  if (graph.inputs().size() != 1) {
    throw_model_error(model, ": --task=classify wants a model with one input, the pixels; found ",
                      graph.inputs().size());
  }
  const Value &input = *graph.inputs()[0];
  const auto is_float = [](DType dtype) { return dtype == DType::F32 || dtype == DType::F16; };
  if (input.type.rank() != 4 || !is_float(input.type.dtype)) {
    throw_model_error(model, ": input '", input.name,
                      "': expected float pixels [batch, channels, height, width], found ",
                      to_string(input.type));
  }
  Tensors tensors;
  tensors.input_name = input.name;
  tensors.channels = input.type.shape[1].constant();
  tensors.height = input.type.shape[2].constant();
  tensors.width = input.type.shape[3].constant();
  if (tensors.channels && *tensors.channels != 1 && *tensors.channels != 3) {
    throw_model_error(model, ": input '", input.name, "': expected 1 or 3 channels in ",
                      to_string(input.type), " (channels come first)");
  }
  const size_t output = find_logits(model, graph, flags);
  const TensorType &logits = graph.output(output)->type;
  tensors.output = static_cast<int32_t>(output);
  tensors.output_name = graph.output_name(output);
  if (logits.rank() != 2 || !is_float(logits.dtype)) {
    throw_model_error(model, ": output '", tensors.output_name,
                      "': expected floats [batch, labels], found ", to_string(logits));
  }
  tensors.labels = logits.shape[1].constant();
  return tensors;
}

// --- Labels ----------------------------------------------------------------------------------

void check_label(const std::string &file, const std::string &label) {
  if (label.find('\0') != std::string::npos) {
    throw_model_error(file, ": a label holds a zero byte");
  }
}

std::vector<std::string> labels_of_file(const fs::path &file) {
  const std::string text = read_small_file(file);
  std::vector<std::string> labels;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    std::string label = text.substr(at, end - at);
    if (label.ends_with('\r')) {
      label.pop_back();
    }
    check_label(file.string(), label);
    labels.push_back(std::move(label));
    at = end + 1;
  }
  while (!labels.empty() && labels.back().empty()) {
    labels.pop_back();
  }
  if (labels.empty() || labels.size() > kMostLabels) {
    throw_model_error(file.string(), ": expected a label a line, found ", labels.size());
  }
  return labels;
}

// {"0": "cat", "1": "dog"}: in the order of the numbers, which must be 0 to n - 1.
std::vector<std::string> labels_of_config(const JsonSettings &config) {
  const std::string key = "id2label";
  const json *const table = config.find(key);
  if (table == nullptr) {
    return {};
  }
  if (!table->is_object() || table->empty() || table->size() > kMostLabels) {
    config.fail(key, "an object of labels");
  }
  std::vector<std::string> labels(table->size());
  std::vector<bool> seen(labels.size());
  for (const auto &[id, label] : table->items()) {
    size_t index = 0;
    const bool digits =
        !id.empty() && id.size() <= 7 &&
        std::all_of(id.begin(), id.end(), [](char c) { return c >= '0' && c <= '9'; });
    if (digits) {
      index = static_cast<size_t>(std::stoul(id));
    }
    if (!digits || index >= labels.size() || seen[index]) {
      throw_model_error(config.file(), ": key '", key, "': expected ids 0 to ", labels.size() - 1,
                        ", found '", shortened(id), "'");
    }
    if (!label.is_string() && !label.is_number()) {
      throw_model_error(config.file(), ": key '", key, "': label ", index, " is not a string");
    }
    seen[index] = true;
    labels[index] = label.is_string() ? label.get<std::string>() : label.dump();
    check_label(config.file(), labels[index]);
  }
  return labels;
}

std::vector<std::string> read_labels(const fs::path &model, const Tensors &tensors,
                                     const ClassifyFlags &flags) {
  const fs::path config =
      flags.config.empty() ? model.parent_path() / "config.json" : fs::path(flags.config);
  const fs::path list =
      flags.labels.empty() ? model.parent_path() / "labels.txt" : fs::path(flags.labels);
  std::vector<std::string> labels;
  std::string source = list.string();
  if (flags.labels.empty() && (!flags.config.empty() || stands(config))) {
    labels = labels_of_config(JsonSettings(config));
    source = config.string() + ": key 'id2label'";
  }
  if (labels.empty() && (!flags.labels.empty() || stands(list))) {
    labels = labels_of_file(list);
    source = list.string();
  }
  if (labels.empty()) {
    throw_model_error(model.string(),
                      ": no labels: neither config.json with 'id2label' nor labels.txt "
                      "stands beside the model; give --labels FILE, a label a line");
  }
  if (tensors.labels && *tensors.labels != static_cast<int64_t>(labels.size())) {
    throw_model_error(source, ": has ", labels.size(), " labels, the model's output '",
                      tensors.output_name, "' has ", *tensors.labels, " numbers an image");
  }
  return labels;
}

// ViTImageProcessor's defaults, at the size that the model has.
void use_defaults(const Tensors &tensors, sylvite_classify_task &task) {
  set_resize(task, {tensors.height.value_or(224), tensors.width.value_or(224), 0});
  task.resample = SYL_BILINEAR;
  task.rescale = static_cast<float>(1.0 / 255.0);
  std::fill_n(task.mean, task.channels, 0.5f);
  std::fill_n(task.std, task.channels, 0.5f);
}

// "224" or "HxW"
std::optional<ImageSize> parse_size(const std::string &text) {
  const auto side = [](const std::string &digits) -> int64_t {
    const bool ok =
        !digits.empty() && digits.size() <= 5 &&
        std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; });
    const int64_t value = ok ? std::stoll(digits) : 0;
    return value <= kLargestImageSide ? value : 0;
  };
  const size_t cross = text.find('x');
  const ImageSize size = cross == std::string::npos ? ImageSize{side(text), side(text), 0}
                                                    : ImageSize{side(text.substr(0, cross)),
                                                                side(text.substr(cross + 1)), 0};
  return size.height > 0 && size.width > 0 ? std::optional(size) : std::nullopt;
}

[[noreturn]] void fail_flag(const std::string &flag, const std::string &expected,
                            const std::string &found) {
  throw UsageError(flag + ": expected " + expected + ", found '" + found + "'");
}

void apply_channel_flag(const std::string &flag, const std::vector<double> &values,
                        int32_t channels, float *to) {
  if (values.empty()) {
    return;
  }
  if (values.size() != 1 && values.size() != static_cast<size_t>(channels)) {
    throw UsageError(flag + ": expected 1 or " + std::to_string(channels) + " numbers, found " +
                     std::to_string(values.size()));
  }
  for (size_t c = 0; c < static_cast<size_t>(channels); ++c) {
    to[c] = static_cast<float>(values[values.size() == 1 ? 0 : c]);
    if (!std::isfinite(to[c]) || (flag == "--std" && to[c] == 0.0f)) {
      throw UsageError(flag + ": expected finite numbers, no zero among deviations");
    }
  }
}

void apply_flags(const ClassifyFlags &flags, sylvite_classify_task &task) {
  constexpr std::string_view kShortest = "shortest:";
  if (flags.resize == "none") {
    task.do_resize = task.height = task.width = task.shortest_edge = 0;
  } else if (flags.resize) {
    const bool shortest = flags.resize->starts_with(kShortest);
    const std::optional<ImageSize> size =
        parse_size(shortest ? flags.resize->substr(kShortest.size()) : *flags.resize);
    if (!size || (shortest && size->height != size->width)) {
      fail_flag("--resize", "224, HEIGHTxWIDTH, shortest:256 or none", *flags.resize);
    }
    set_resize(task, shortest ? ImageSize{0, 0, size->height} : *size);
  }
  if (flags.crop == "none") {
    task.do_center_crop = task.crop_height = task.crop_width = 0;
  } else if (flags.crop) {
    const std::optional<ImageSize> size = parse_size(*flags.crop);
    if (!size) {
      fail_flag("--crop", "224, HEIGHTxWIDTH or none", *flags.crop);
    }
    set_crop(task, *size);
  }
  if (flags.resample) {
    const std::optional<sylvite_resample> resample = parse_resample(*flags.resample);
    if (!resample) {
      fail_flag("--resample", "nearest, lanczos, bilinear, bicubic, box or hamming",
                *flags.resample);
    }
    task.resample = *resample;
  }
  if (flags.rescale) {
    task.rescale = static_cast<float>(*flags.rescale);
    if (!std::isfinite(task.rescale) || task.rescale == 0.0f) {
      throw UsageError("--rescale: expected a finite number but zero");
    }
  }
  apply_channel_flag("--mean", flags.mean, task.channels, task.mean);
  apply_channel_flag("--std", flags.std, task.channels, task.std);
}

bool any_preprocessing(const ClassifyFlags &flags) {
  return flags.resize || flags.crop || flags.resample || flags.rescale || !flags.mean.empty() ||
         !flags.std.empty();
}

// What comes out must go in. (With shortest_edge alone the size depends on the image: checked at
// run time.)
void check_result(const std::string &source, const Tensors &tensors,
                  const sylvite_classify_task &task) {
  int64_t height = 0, width = 0;
  if (task.do_center_crop != 0) {
    height = task.crop_height;
    width = task.crop_width;
  } else if (task.do_resize != 0 && task.shortest_edge == 0) {
    height = task.height;
    width = task.width;
  }
  if (height > 0 &&
      (tensors.height.value_or(height) != height || tensors.width.value_or(width) != width)) {
    throw_model_error(source, ": the preprocessing makes images of ", height, " x ", width,
                      ", the model's input '", tensors.input_name, "' takes ",
                      tensors.height.value_or(height), " x ", tensors.width.value_or(width));
  }
}

}  // namespace

void add_classify_flags(CLI::App &command, ClassifyFlags &flags) {
  const std::string group = "With --task=classify";
  const auto add = [&](const std::string &name, auto &target, const std::string &help) {
    return command.add_option(name, target, help)->group(group);
  };
  add("--labels", flags.labels,
      "file with a label a line (default: id2label of config.json, labels.txt)")
      ->type_name("FILE");
  add("--config", flags.config, "file instead of config.json beside the model")->type_name("FILE");
  add("--preprocessor", flags.preprocessor,
      "file instead of preprocessor_config.json beside the model")
      ->type_name("FILE");
  add("--resize", flags.resize, "224, HEIGHTxWIDTH, shortest:256 (of both sides) or none")
      ->type_name("SIZE");
  add("--crop", flags.crop, "centre crop after the resize: 224, HEIGHTxWIDTH or none")
      ->type_name("SIZE");
  add("--resample", flags.resample, "nearest, lanczos, bilinear, bicubic, box or hamming")
      ->type_name("FILTER");
  add("--rescale", flags.rescale, "factor for bytes (default 1/255)")->type_name("FACTOR");
  add("--mean", flags.mean, "one number, or one for each channel: R,G,B")
      ->delimiter(',')
      ->type_name("M");
  add("--std", flags.std, "the same for the standard deviation")->delimiter(',')->type_name("S");
  add("--logits", flags.logits, "the output with a number for each label (default: logits)")
      ->type_name("NAME");
}

ClassifyTask read_classify_task(const fs::path &model, const Graph &graph,
                                const ClassifyFlags &flags) {
  const Tensors tensors = find_tensors(model, graph, flags);
  ClassifyTask task;
  task.labels = read_labels(model, tensors, flags);
  sylvite_classify_task &settings = task.settings;
  settings.label_count = static_cast<int32_t>(task.labels.size());
  settings.input = tensors.input;
  settings.output = tensors.output;
  settings.channels = static_cast<int32_t>(tensors.channels.value_or(3));
  std::fill_n(settings.std, 4, 1.0f);

  const fs::path beside = model.parent_path() / "preprocessor_config.json";
  std::string source = model.string();
  if (!flags.preprocessor.empty() || stands(beside)) {
    const JsonSettings file =
        JsonSettings(flags.preprocessor.empty() ? beside : fs::path(flags.preprocessor));
    read_preprocessor(file, settings);
    source = file.file();
  } else if (any_preprocessing(flags)) {
    use_defaults(tensors, settings);
  } else {
    throw_model_error(
        model.string(),
        ": how images are prepared is not known: preprocessor_config.json does "
        "not stand beside the model; give --preprocessor FILE, or --resize, --resample, --mean "
        "and --std");
  }
  apply_flags(flags, settings);
  check_result(source, tensors, settings);
  return task;
}

}  // namespace sylvite
