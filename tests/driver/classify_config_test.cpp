// The classify task from what exporters leave beside a model, from flags, and from files that mean
// harm.
#include "compiler/driver/classify_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <random>
#include <string>

#include "compiler/driver/commands.h"
#include "compiler/ir/error.h"
#include "compiler/ir/graph.h"
#include "tests/temporary_folder.h"

namespace sylvite {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A model with one input and one output of the given types.
std::unique_ptr<Graph> model_of(const TensorType &input, const TensorType &output,
                                const std::string &output_name = "logits") {
  auto graph = std::make_unique<Graph>();
  graph->symbols.declare("batch", {SymbolKind::Input, 1, {}});
  graph->add_input("pixel_values", input);
  // A constant stands for the network: only types matter here.
  Value *const value =
      graph->add_constant(Tensor(output.dtype, {1, output.shape[1].constant().value_or(1)}));
  graph->add_output(output_name, value);
  return graph;
}

class ClassifyConfig : public ::testing::Test {
 protected:
  void SetUp() override {
    write("labels.txt", "cat\ndog\nowl\n");
    use_size(48, 48);
  }

  void use_size(int height, int width, int channels = 3) {
    graph_ = model_of({DType::F32, {Dim::symbol("batch"), channels, height, width}},
                      {DType::F32, {1, 3}});
  }
  void write(const std::string &name, const std::string &text) { folder_.write(name, text); }
  void preprocessor(const std::string &text) { write("preprocessor_config.json", text); }
  std::filesystem::path model() const { return folder_.path("model.onnx"); }

  ClassifyTask read(const ClassifyFlags &flags = {}) {
    return read_classify_task(model(), *graph_, flags);
  }
  std::string error(const ClassifyFlags &flags = {}) {
    try {
      read(flags);
    } catch (const ModelError &failure) {
      const std::string message = failure.what();
      EXPECT_EQ(message.find('\n'), std::string::npos) << message;
      return message;
    } catch (const UsageError &failure) {
      return std::string("usage: ") + failure.what();
    }
    return "";
  }
  std::string error_with(const std::string &preprocessor_text) {
    preprocessor(preprocessor_text);
    return error();
  }

  testing::TemporaryFolder folder_;
  std::unique_ptr<Graph> graph_;
};

TEST_F(ClassifyConfig, WhatExportersWrite) {
  write("config.json", R"({"id2label": {"0": "cat", "2": "owl", "1": "dog"}, "image_size": 48})");
  preprocessor(R"({
    "do_normalize": true, "do_rescale": true, "do_resize": true,
    "image_mean": [0.5, 0.25, 0.125], "image_std": [0.5, 0.25, 0.125],
    "image_processor_type": "ViTImageProcessor", "resample": 3,
    "rescale_factor": 0.00392156862745098, "size": {"height": 48, "width": 48}})");
  const ClassifyTask task = read();
  EXPECT_THAT(task.labels, ElementsAre("cat", "dog", "owl"));
  const sylvite_classify_task &settings = task.settings;
  EXPECT_EQ(settings.label_count, 3);
  EXPECT_EQ(settings.do_resize, 1);
  EXPECT_EQ(settings.height, 48);
  EXPECT_EQ(settings.width, 48);
  EXPECT_EQ(settings.shortest_edge, 0);
  EXPECT_EQ(settings.resample, SYL_BICUBIC);
  EXPECT_EQ(settings.do_center_crop, 0);
  EXPECT_EQ(settings.rescale, 1.0f / 255.0f);
  EXPECT_EQ(settings.channels, 3);
  EXPECT_EQ(settings.input, 0);
  EXPECT_EQ(settings.output, 0);
  for (int c = 0; c < 3; ++c) {
    EXPECT_EQ(settings.mean[c], 0.5f / static_cast<float>(1 << c));
    EXPECT_EQ(settings.std[c], 0.5f / static_cast<float>(1 << c));
  }
}

TEST_F(ClassifyConfig, RepositoryModel) {
  const std::filesystem::path folder = SYLVITE_SOURCE_DIR "/examples/vit";
  if (!std::filesystem::exists(folder / "preprocessor_config.json")) {
    GTEST_SKIP() << "no examples/vit";
  }
  graph_ = model_of({DType::F32, {Dim::symbol("batch"), 3, 48, 48}}, {DType::F32, {1, 10}});
  const ClassifyTask task = read_classify_task(folder / "model.onnx", *graph_);
  EXPECT_THAT(task.labels, ElementsAre("0", "1", "2", "3", "4", "5", "6", "7", "8", "9"));
  EXPECT_EQ(task.settings.resample, SYL_BICUBIC);
}

TEST_F(ClassifyConfig, Sizes) {
  const auto settings = [&](const std::string &text) {
    preprocessor(text);
    return read().settings;
  };
  sylvite_classify_task task = settings(R"({"size": 48})");  // an old ViTFeatureExtractor
  EXPECT_EQ(task.height, 48);
  EXPECT_EQ(task.width, 48);
  EXPECT_EQ(task.resample, SYL_BILINEAR);
  task = settings(R"({"size": [48, 48], "feature_extractor_type": "ViTFeatureExtractor"})");
  EXPECT_EQ(task.height, 48);
  task = settings(
      R"({"size": 56, "crop_size": 48, "feature_extractor_type": "CLIPFeatureExtractor"})");
  EXPECT_EQ(task.shortest_edge, 56);
  EXPECT_EQ(task.crop_height, 48);
  EXPECT_EQ(task.do_center_crop, 1);
  EXPECT_EQ(task.resample, SYL_BICUBIC);
  EXPECT_EQ(task.mean[0], 0.48145466f);
  task = settings(R"({"size": {"shortest_edge": 56}, "do_center_crop": true,
                      "crop_size": {"height": 48, "width": 48}})");
  EXPECT_EQ(task.shortest_edge, 56);
  task = settings(R"({"size": {"shortest_edge": 56, "longest_edge": null}})");
  EXPECT_EQ(task.shortest_edge, 56);
  EXPECT_EQ(task.do_center_crop, 0);
  task = settings(R"({"do_resize": false, "size": {"height": 7, "width": 7}})");
  EXPECT_EQ(task.do_resize, 0);
  // ConvNext cuts out a fraction below 384 and squeezes from there on.
  task =
      settings(R"({"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 48},
                      "crop_pct": 0.875})");
  EXPECT_EQ(task.shortest_edge, 54);
  EXPECT_EQ(task.crop_height, 48);
  use_size(384, 384);
  task = settings(R"({"image_processor_type": "ConvNextImageProcessor", "crop_pct": 0.875})");
  EXPECT_EQ(task.shortest_edge, 0);
  EXPECT_EQ(task.height, 384);
  EXPECT_EQ(task.do_center_crop, 0);
  use_size(224, 224);
  task = settings(R"({"image_processor_type": "DeiTImageProcessor"})");
  EXPECT_EQ(task.height, 256);
  EXPECT_EQ(task.crop_width, 224);
}

TEST_F(ClassifyConfig, StepsThatAreOff) {
  preprocessor(R"({"size": 48, "do_rescale": false, "do_normalize": false, "image_mean": null})");
  const sylvite_classify_task task = read().settings;
  EXPECT_EQ(task.rescale, 1.0f);
  for (int c = 0; c < 4; ++c) {
    EXPECT_EQ(task.mean[c], 0.0f);
    EXPECT_EQ(task.std[c], 1.0f);
  }
}

TEST_F(ClassifyConfig, GreyModel) {
  use_size(48, 48, 1);
  preprocessor(R"({"size": 48, "image_mean": [0.25], "image_std": 0.75})");
  const sylvite_classify_task task = read().settings;
  EXPECT_EQ(task.channels, 1);
  EXPECT_EQ(task.mean[0], 0.25f);
  EXPECT_EQ(task.std[0], 0.75f);
  EXPECT_THAT(error_with(R"({"size": 48, "image_mean": [0.5, 0.5, 0.5]})"),
              HasSubstr("key 'image_mean': expected 1 numbers, as the model has channels"));
}

TEST_F(ClassifyConfig, FlagsWin) {
  preprocessor(R"({"size": 224, "resample": 3})");
  write("other.txt", "a\r\nb\r\nc\r\n\r\n");
  ClassifyFlags flags;
  flags.labels = folder_.path("other.txt");
  flags.resize = "shortest:56";
  flags.crop = "48x48";
  flags.resample = "lanczos";
  flags.rescale = 1.0;
  flags.mean = {127.5};
  flags.std = {1, 2, 4};
  const ClassifyTask task = read(flags);
  EXPECT_THAT(task.labels, ElementsAre("a", "b", "c"));
  EXPECT_EQ(task.settings.shortest_edge, 56);
  EXPECT_EQ(task.settings.crop_height, 48);
  EXPECT_EQ(task.settings.resample, SYL_LANCZOS);
  EXPECT_EQ(task.settings.rescale, 1.0f);
  EXPECT_EQ(task.settings.mean[2], 127.5f);
  EXPECT_EQ(task.settings.std[2], 4.0f);
}

TEST_F(ClassifyConfig, FlagsAlone) {
  EXPECT_EQ(error(),
            model().string() +
                ": how images are prepared is not known: preprocessor_config.json does not stand "
                "beside the model; give --preprocessor FILE, or --resize, --resample, --mean and "
                "--std");
  ClassifyFlags flags;
  flags.resample = "bicubic";
  const sylvite_classify_task task = read(flags).settings;  // the rest is ViTImageProcessor's
  EXPECT_EQ(task.height, 48);
  EXPECT_EQ(task.resample, SYL_BICUBIC);
  EXPECT_EQ(task.mean[1], 0.5f);
  EXPECT_EQ(task.std[1], 0.5f);
  EXPECT_EQ(task.rescale, 1.0f / 255.0f);
}

TEST_F(ClassifyConfig, FlagsOnACommandLine) {
  CLI::App app;
  ClassifyFlags flags;
  add_classify_flags(app, flags);
  app.parse("--labels l.txt --resize 224 --crop none --mean 0.5,0.4,0.3 --std 0.5 --rescale 1",
            false);
  EXPECT_EQ(flags.labels, "l.txt");
  EXPECT_EQ(flags.resize, "224");
  EXPECT_EQ(flags.crop, "none");
  EXPECT_THAT(flags.mean, ElementsAre(0.5, 0.4, 0.3));
  EXPECT_THAT(flags.std, ElementsAre(0.5));
  EXPECT_EQ(flags.rescale, 1.0);
  EXPECT_FALSE(flags.resample.has_value());
}

TEST_F(ClassifyConfig, FlagsThatMeanNothing) {
  preprocessor(R"({"size": 48})");
  const auto with = [&](auto &&change) {
    ClassifyFlags flags;
    change(flags);
    return error(flags);
  };
  for (const char *const text : {"", "x", "48x", "0", "48x48x48", "-1", "99999", "shortest:4x5"}) {
    EXPECT_THAT(with([&](ClassifyFlags &flags) { flags.resize = text; }),
                HasSubstr("usage: --resize: expected"));
  }
  EXPECT_THAT(with([](ClassifyFlags &flags) { flags.crop = "half"; }), HasSubstr("usage: --crop"));
  EXPECT_THAT(with([](ClassifyFlags &flags) { flags.resample = "cubic"; }),
              HasSubstr("usage: --resample: expected nearest, lanczos"));
  EXPECT_THAT(with([](ClassifyFlags &flags) { flags.mean = {1, 2}; }),
              HasSubstr("usage: --mean: expected 1 or 3 numbers, found 2"));
  EXPECT_THAT(with([](ClassifyFlags &flags) { flags.std = {0}; }), HasSubstr("usage: --std"));
  EXPECT_THAT(with([](ClassifyFlags &flags) { flags.rescale = 0; }), HasSubstr("usage: --rescale"));
  EXPECT_THAT(with([](ClassifyFlags &flags) { flags.labels = "/no/such/file"; }),
              HasSubstr("/no/such/file: cannot be opened"));
}

TEST_F(ClassifyConfig, Labels) {
  preprocessor(R"({"size": 48})");
  const auto config_error = [&](const std::string &text) {
    write("config.json", text);
    return error();
  };
  EXPECT_THAT(config_error(R"({"id2label": ["a", "b"]})"),
              HasSubstr("config.json: key 'id2label': expected"));
  EXPECT_THAT(config_error(R"({"id2label": {"0": "a", "2": "b", "3": "c"}})"),
              HasSubstr("key 'id2label': expected ids 0 to 2, found '3'"));
  EXPECT_THAT(config_error(R"({"id2label": {"0": "a", "00": "b", "1": "c"}})"),
              HasSubstr("found '00'"));
  EXPECT_THAT(config_error(R"({"id2label": {"-1": "a"}})"), HasSubstr("found '-1'"));
  EXPECT_THAT(config_error(R"({"id2label": {"0": "a", "1": [], "2": "c"}})"),
              HasSubstr("label 1 is not a string"));
  EXPECT_THAT(config_error(R"({"id2label": {"0": "a\u0000b"}})"), HasSubstr("zero byte"));
  EXPECT_THAT(
      config_error(R"({"id2label": {"0": "a", "1": "b"}})"),
      HasSubstr("config.json: key 'id2label': has 2 labels, the model's output 'logits' has 3"));
  write("config.json", R"({"model_type": "vit"})");  // without labels: labels.txt
  EXPECT_THAT(read().labels, ElementsAre("cat", "dog", "owl"));
  std::filesystem::remove(folder_.path("labels.txt"));
  EXPECT_THAT(
      error(),
      HasSubstr("model.onnx: no labels: neither config.json with 'id2label' nor labels.txt"));
  write("labels.txt", "\n\n");
  EXPECT_THAT(error(), HasSubstr("labels.txt: expected a label a line, found 0"));
}

TEST_F(ClassifyConfig, KeysOfTheWrongKind) {
  struct Row {
    const char *text, *message;
  };
  const Row kRows[] = {
      {R"({"size": "big"})", "key 'size': expected a number, {\"height\", \"width\"}"},
      {R"({"size": 0})", "key 'size': expected whole numbers of 1 to 16384, found 0"},
      {R"({"size": 1e9})", "key 'size': expected whole numbers"},
      {R"({"size": -5})", "key 'size': expected whole numbers"},
      {R"({"size": 99999999999999999999})", "key 'size': expected whole numbers"},
      {R"({"size": {"height": 48}})", "key 'size'"},
      {R"({"size": {"height": 48, "width": "48"}})", "key 'size'"},
      {R"({"size": {"shortest_edge": 48, "longest_edge": 96}})", "key 'size'"},
      {R"({"size": [1, 2, 3]})", "key 'size'"},
      {R"({"size": 48, "resample": 6})", "key 'resample': expected one of Pillow's filters"},
      {R"({"size": 48, "resample": "cubic"})", "key 'resample'"},
      {R"({"size": 48, "do_resize": 1})", "key 'do_resize': expected true or false, found 1"},
      {R"({"size": 48, "do_center_crop": "yes"})", "key 'do_center_crop'"},
      {R"({"size": 48, "do_center_crop": true, "crop_size": {"shortest_edge": 4}})",
       "key 'crop_size'"},
      {R"({"size": 48, "rescale_factor": 0})", "key 'rescale_factor': expected a finite number"},
      {R"({"size": 48, "rescale_factor": 1e300})", "key 'rescale_factor'"},
      {R"({"size": 48, "rescale_factor": "1/255"})", "key 'rescale_factor': expected a number"},
      {R"({"size": 48, "image_mean": [0.5, 0.5]})", "key 'image_mean': expected 3 numbers"},
      {R"({"size": 48, "image_mean": [0.5, 0.5, 1e39]})", "key 'image_mean': expected finite"},
      {R"({"size": 48, "image_mean": [0.5, 0.5, "x"]})", "key 'image_mean'"},
      {R"({"size": 48, "image_mean": {"r": 1}})", "key 'image_mean'"},
      {R"({"size": 48, "image_std": [0.5, 0.0, 0.5]})", "no zero among deviations"},
      {R"({"size": 48, "do_pad": true})",
       "key 'do_pad': expected false: this step is not supported"},
      {R"({"size": 48, "do_flip_channel_order": true})", "key 'do_flip_channel_order'"},
      {R"({"size": 48, "crop_pct": 0.9})", "key 'crop_pct'"},
      {R"({"size": 48, "image_processor_type": "LevitImageProcessor"})",
       "key 'image_processor_type'"},
      {R"({"size": 48, "image_processor_type": 5})",
       "key 'image_processor_type': expected a string"},
      {R"({"image_processor_type": "ConvNextImageProcessor", "size": 48, "crop_pct": 0})",
       "key 'crop_pct'"},
      {R"({"size": 56})",
       "makes images of 56 x 56, the model's input 'pixel_values' takes 48 x 48"},
      {R"({"size": 48, "do_center_crop": true, "crop_size": 40})", "makes images of 40 x 40"},
  };
  for (const Row &row : kRows) {
    EXPECT_THAT(error_with(row.text), HasSubstr(row.message)) << row.text;
    EXPECT_THAT(error(), HasSubstr("preprocessor_config.json: ")) << row.text;
  }
}

TEST_F(ClassifyConfig, FilesThatAreNotJson) {
  EXPECT_THAT(error_with(""), HasSubstr("preprocessor_config.json: is not JSON: parse error"));
  EXPECT_THAT(error_with("{\"size\": 48"), HasSubstr("is not JSON"));
  EXPECT_THAT(error_with("{\"size\": \"\xff\xfe\"}"), HasSubstr("is not JSON"));
  EXPECT_THAT(error_with("{\"size\": 1e999}"), HasSubstr("is not JSON"));
  EXPECT_THAT(error_with("[1, 2]"), HasSubstr("expected a JSON object"));
  EXPECT_THAT(error_with(std::string(100000, '[')), HasSubstr("nested deeper than 32 levels"));
  std::string deep;
  for (int i = 0; i < 100000; ++i) {
    deep += "{\"a\":";
  }
  EXPECT_THAT(error_with(deep), HasSubstr("nested deeper"));
  EXPECT_THAT(error_with(std::string(size_t{9} << 20, ' ')), HasSubstr("is larger than"));
  std::filesystem::remove(folder_.path("preprocessor_config.json"));
  std::filesystem::create_directory(folder_.path("preprocessor_config.json"));
  EXPECT_THAT(error(), HasSubstr("preprocessor_config.json: is a folder"));
}

TEST_F(ClassifyConfig, RandomFlips) {
  const std::string text =
      R"({"size": {"height": 48, "width": 48}, "resample": 3, "image_mean": [0.5, 0.5, 0.5],
    "crop_size": 48, "do_center_crop": true, "image_processor_type": "CLIPImageProcessor"})";
  std::mt19937 random(1);
  for (int round = 0; round < 2000; ++round) {
    std::string damaged = text.substr(0, round % 4 == 0 ? random() % text.size() : text.size());
    for (uint32_t flips = random() % 4; flips > 0 && !damaged.empty(); --flips) {
      damaged[random() % damaged.size()] ^= static_cast<char>(1 << random() % 8);
    }
    error_with(damaged);  // either reads or names the fault: nothing else is thrown
  }
}

TEST_F(ClassifyConfig, ModelsThatClassifyNothing) {
  preprocessor(R"({"size": 48})");
  const Dim batch = Dim::symbol("batch");
  const auto with = [&](const TensorType &input, const TensorType &output,
                        const std::string &name = "logits") {
    graph_ = model_of(input, output, name);
    return error();
  };
  EXPECT_THAT(
      with({DType::I64, {batch, 3, 48, 48}}, {DType::F32, {1, 3}}),
      HasSubstr("input 'pixel_values': expected float pixels [batch, channels, height, width]"));
  EXPECT_THAT(with({DType::F32, {batch, 48, 48}}, {DType::F32, {1, 3}}),
              HasSubstr("expected float pixels"));
  EXPECT_THAT(with({DType::F32, {batch, 48, 48, 3}}, {DType::F32, {1, 3}}),
              HasSubstr("expected 1 or 3 channels"));
  EXPECT_THAT(with({DType::F32, {batch, 3, 48, 48}}, {DType::I64, {1, 3}}),
              HasSubstr("output 'logits': expected floats [batch, labels]"));
  EXPECT_EQ(with({DType::F32, {batch, 3, 48, 48}}, {DType::F32, {1, 3}}, "scores"), "");
  graph_->add_input("mask", {DType::F32, {batch}});
  EXPECT_THAT(error(), HasSubstr("wants a model with one input, the pixels; found 2"));
}

TEST_F(ClassifyConfig, OneOfSeveralOutputs) {
  preprocessor(R"({"size": 48})");
  graph_->clear_outputs();
  graph_->add_output("hidden", graph_->add_constant(Tensor(DType::F32, {1, 5})));
  graph_->add_output("scores", graph_->add_constant(Tensor(DType::F32, {1, 3})));
  EXPECT_THAT(error(),
              HasSubstr("no output 'logits' among 'hidden' f32[1, 5], 'scores' f32[1, 3]; name"));
  ClassifyFlags flags;
  flags.logits = "scores";
  EXPECT_EQ(read(flags).settings.output, 1);
  flags.logits = "other";
  EXPECT_THAT(error(flags), HasSubstr("no output 'other' among"));
}

}  // namespace
}  // namespace sylvite
