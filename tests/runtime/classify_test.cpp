// The classify task with a compiled model written by hand: what a program prints, and the C and C++
// interfaces.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "runtime/abi.h"
#include "runtime/half.h"
#include "runtime/include/sylvite/classifier.h"
#include "runtime/include/sylvite/classifier.hpp"
#include "runtime/include/sylvite/sylvite.h"
#include "runtime/io/text.h"
#include "runtime/json.h"
#include "runtime/tasks/classify.h"
#include "tests/runtime/golden_images.h"
#include "tests/temporary_folder.h"

namespace sylvite {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

// --- A model: logits = mean of red, mean of green, mean of blue, 0.5 -------------------------

std::vector<int64_t> batches_run;
bool give_nan = false;

template <typename T>
T *host(void *buffer) {
  return reinterpret_cast<T *>(static_cast<syl_halide_buffer *>(buffer)->host);
}

constexpr int64_t kHeight = 6, kWidth = 5, kPlane = kHeight * kWidth, kLabels = 4;

template <typename T, float (*kLoad)(T), T (*kStore)(float)>
int32_t channel_means(void **args) {
  const int32_t *const bounds[] = {static_cast<int32_t *>(args[0]),
                                   static_cast<int32_t *>(args[1])};
  for (int64_t row = *bounds[0]; row < *bounds[1]; ++row) {
    T *const logits = host<T>(args[5]) + row * kLabels;
    for (int64_t c = 0; c < 3; ++c) {
      double sum = 0.0;
      for (int64_t i = 0; i < kPlane; ++i) {
        sum += double{kLoad(host<T>(args[4])[(row * 3 + c) * kPlane + i])};
      }
      logits[c] = kStore(static_cast<float>(sum / static_cast<double>(kPlane)));
    }
    logits[3] = kStore(give_nan ? std::numeric_limits<float>::quiet_NaN() : 0.5f);
  }
  return 0;
}

float same_load(float value) {
  return value;
}
float same_store(float value) {
  return value;
}

const int32_t kBuffers[] = {0, 1};
const sylvite_kernel kFloatKernel[] = {
    {"k0_means",
     "reduce",
     {channel_means<float, same_load, same_store>, channel_means<float, same_load, same_store>},
     0,
     1,
     1,
     {1, 1},
     {4, 4},
     0}};
const sylvite_kernel kHalfKernel[] = {{"k0_means",
                                       "reduce",
                                       {channel_means<uint16_t, float_of_half, half_of_float>,
                                        channel_means<uint16_t, float_of_half, half_of_float>},
                                       0,
                                       1,
                                       1,
                                       {1, 1},
                                       {4, 4},
                                       0}};
const sylvite_call_site kCalls[] = {{0, "mean_1", kBuffers}};
const char *const kInputDims[] = {"batch", "3", "6", "5"};
const char *const kOutputDims[] = {"batch", "4"};
const char *const kFrozenInputDims[] = {"3", "3", "6", "5"};
const char *const kFrozenOutputDims[] = {"3", "4"};
const sylvite_tensor_info kInputs[] = {{"pixel_values", SYL_F32, 4, kInputDims}};
const sylvite_tensor_info kOutputs[] = {{"logits", SYL_F32, 2, kOutputDims}};
const sylvite_tensor_info kHalfInputs[] = {{"pixel_values", SYL_F16, 4, kInputDims}};
const sylvite_tensor_info kHalfOutputs[] = {{"logits", SYL_F16, 2, kOutputDims}};
const sylvite_tensor_info kFrozenInputs[] = {{"pixel_values", SYL_F32, 4, kFrozenInputDims}};
const sylvite_tensor_info kFrozenOutputs[] = {{"logits", SYL_F32, 2, kFrozenOutputDims}};
const sylvite_symbol_info kSymbols[] = {{"batch", 1, 100000}};
const char *const kLabelTexts[] = {"red", "green \"leaf\"", "blue\n", "none"};

int32_t prepare(sylvite_context *, const sylvite_runtime_api *, const int64_t *dims,
                int64_t *symbols, int64_t *, int64_t *output_dims) {
  symbols[0] = dims[0];
  output_dims[0] = dims[0];
  output_dims[1] = kLabels;
  return 0;
}

int32_t run(sylvite_context *context, const sylvite_runtime_api *api, const int64_t *symbols) {
  batches_run.push_back(symbols[0]);
  return api->call(context, 0, nullptr, symbols[0], kLabels, 0, 0);
}

void costs(const int64_t *, int64_t *flops, int64_t *bytes) {
  flops[0] = bytes[0] = 1;
}

struct alignas(64) Weights {
  sylvite_weight_header header{"sylvite weights", sizeof(Weights), 77};
};
const Weights kWeights;

sylvite_classify_task make_task() {
  sylvite_classify_task task{};
  task.label_count = kLabels;
  task.labels = kLabelTexts;
  task.do_resize = 1;
  task.height = kHeight;
  task.width = kWidth;
  task.resample = SYL_BILINEAR;
  task.rescale = 1.0f / 255.0f;
  task.channels = 3;
  std::fill_n(task.std, 4, 1.0f);
  return task;
}

// One model for each test, changed before it is opened.
struct Fake {
  sylvite_classify_task task = make_task();
  sylvite_program program{};
  sylvite_model *model = nullptr;

  Fake() {
    program.abi_version = kSylviteAbiVersion;
    program.model_name = "colours";
    program.model_hash = "00000000000000000000000000000000";
    program.compiler_version = "0";
    program.licences = "";
    program.isa_mask = 3;
    program.input_count = program.output_count = program.symbol_count = 1;
    program.inputs = kInputs;
    program.outputs = kOutputs;
    program.symbols = kSymbols;
    program.kernel_count = program.call_count = 1;
    program.buffer_count = 2;
    program.kernels = kFloatKernel;
    program.calls = kCalls;
    program.weight_bytes = sizeof(Weights);
    program.weight_hash = 77;
    program.prepare = prepare;
    program.run = run;
    program.costs = costs;
    program.classify = &task;
    batches_run.clear();
    give_nan = false;
  }
  ~Fake() { sylvite_model_close(model); }
  Fake(const Fake &) = delete;
  Fake &operator=(const Fake &) = delete;

  const sylvite_model *open() {
    char message[512] = "";
    EXPECT_EQ(sylvite_model_open(&program, &kWeights, &model, message, sizeof message), SYLVITE_OK)
        << message;
    return model;
  }
};

bool machine_is_old(Fake &fake) {
  char message[512] = "";
  const bool old = sylvite_model_open(&fake.program, &kWeights, &fake.model, message,
                                      sizeof message) != SYLVITE_OK;
  sylvite_model_close(fake.model);
  fake.model = nullptr;
  return old;
}

class Classify : public ::testing::Test {
 protected:
  void SetUp() override {
    if (machine_is_old(fake_)) {
      GTEST_SKIP() << "this CPU is below x86-64-v3";
    }
  }

  std::string path(const std::string &name) const { return folder_.path(name); }
  void copy(const std::string &golden, const std::string &name) const {
    std::filesystem::copy_file(golden_path(golden), path(name));
  }

  struct Outcome {
    int code = -1;
    std::string out, err;
    std::vector<nlohmann::json> objects() const {
      std::vector<nlohmann::json> all;
      for (size_t at = 0; at < out.size();) {
        const size_t end = out.find('\n', at);
        all.push_back(nlohmann::json::parse(out.substr(at, end - at)));
        at = end + 1;
      }
      return all;
    }
  };
  Outcome classify(const std::vector<std::string> &paths, const ClassifyOptions &options = {}) {
    std::vector<const char *> arguments;
    for (const std::string &path : paths) {
      arguments.push_back(path.c_str());
    }
    const sylvite_model *const model = fake_.model != nullptr ? fake_.model : fake_.open();
    ::testing::internal::CaptureStdout();
    ::testing::internal::CaptureStderr();
    Outcome outcome;
    outcome.code = classify_main("program", model, options, arguments);
    outcome.out = ::testing::internal::GetCapturedStdout();
    outcome.err = ::testing::internal::GetCapturedStderr();
    return outcome;
  }

  Fake fake_;
  testing::TemporaryFolder folder_;
};

TEST_F(Classify, PrintsALineAFile) {
  copy("rgb-8.png", "a.png");
  copy("grey-8.png", "b.png");
  const Outcome outcome = classify({path("a.png"), path("b.png")}, {.top_k = 2});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.err, "");
  EXPECT_THAT(outcome.out, ::testing::MatchesRegex(".*/a.png: [a-z?\" ]+ 0\\.[0-9]{4}, "
                                                   "[a-z?\" ]+ 0\\.[0-9]{4}\n"
                                                   ".*/b.png: .*\n"));
}

TEST_F(Classify, JsonHasAllLabelsInOrder) {
  copy("rgb-8.png", "a \"b\"\\c.png");
  const Outcome outcome = classify({path("a \"b\"\\c.png")}, {.top_k = 99, .json = true});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  const std::vector<nlohmann::json> objects = outcome.objects();
  ASSERT_EQ(objects.size(), 1u);
  EXPECT_EQ(objects[0]["file"], path("a \"b\"\\c.png"));
  ASSERT_EQ(objects[0]["top"].size(), 4u);
  double sum = 0.0, previous = 1.0;
  std::vector<std::string> labels;
  for (const nlohmann::json &entry : objects[0]["top"]) {
    sum += entry["score"].get<double>();
    EXPECT_LE(entry["score"], previous);
    previous = entry["score"];
    labels.push_back(entry["label"]);
  }
  EXPECT_NEAR(sum, 1.0, 1e-6);
  EXPECT_THAT(labels, ::testing::UnorderedElementsAre("red", "green \"leaf\"", "blue\n", "none"));
}

// A plain colour, whose scores are known.
TEST_F(Classify, ScoresAreTheSoftmax) {
  const std::vector<uint8_t> blue = [] {
    std::vector<uint8_t> pixels;
    for (int i = 0; i < 8 * 9; ++i) {
      pixels.insert(pixels.end(), {0, 51, 255});
    }
    return pixels;
  }();
  Model model;
  ASSERT_TRUE(model.open(&fake_.program, &kWeights).ok());
  Classifier classifier;
  const Status created = classifier.create(model, {.threads = 1});
  ASSERT_TRUE(created.ok()) << created.message();
  EXPECT_EQ(classifier.label_count(), 4);
  std::vector<sylvite_label> labels;
  const Status status = classifier.classify(pixels(blue, 8, 9, 3), 4, labels);
  ASSERT_TRUE(status.ok()) << status.message();
  ASSERT_EQ(labels.size(), 4u);
  const double sum = std::exp(0.0) + std::exp(0.2) + std::exp(1.0) + std::exp(0.5);
  EXPECT_STREQ(labels[0].text, "blue\n");
  EXPECT_EQ(labels[0].index, 2);
  EXPECT_NEAR(labels[0].score, std::exp(1.0) / sum, 1e-6);
  EXPECT_STREQ(labels[1].text, "none");
  EXPECT_NEAR(labels[1].score, std::exp(0.5) / sum, 1e-6);
  EXPECT_EQ(labels[2].index, 1);
  EXPECT_EQ(labels[3].index, 0);
}

TEST_F(Classify, EqualScoresKeepTheOrderOfLabels) {
  const std::vector<uint8_t> black(3 * 3 * 3);
  Model model;
  Classifier classifier;
  std::vector<sylvite_label> labels;
  ASSERT_TRUE(model.open(&fake_.program, &kWeights).ok());
  ASSERT_TRUE(classifier.create(model).ok());
  ASSERT_TRUE(classifier.classify(pixels(black, 3, 3, 3), 4, labels).ok());
  ASSERT_EQ(labels.size(), 4u);
  EXPECT_EQ(labels[0].index, 3);
  EXPECT_EQ(labels[1].index, 0);
  EXPECT_EQ(labels[2].index, 1);
  EXPECT_EQ(labels[3].index, 2);
}

TEST_F(Classify, FoldersAreSortedAndNotDescended) {
  std::filesystem::create_directory(path("set"));
  std::filesystem::create_directory(path("set/deeper"));
  copy("rgb-8.png", "set/b.PNG");
  copy("rgb-444.jpg", "set/c.jpeg");
  copy("grey.jpg", "set/a.jpg");
  copy("grey.jpg", "set/.hidden.jpg");
  copy("rgb-8.png", "set/notes.txt");
  copy("rgb-8.png", "set/deeper/d.png");
  std::filesystem::create_directory(path("set/folder.png"));
  ASSERT_EQ(mkfifo(path("set/pipe.png").c_str(), 0600), 0);
  const Outcome outcome = classify({path("set/")}, {.json = true});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  std::vector<std::string> files;
  for (const nlohmann::json &object : outcome.objects()) {
    files.push_back(object["file"]);
  }
  EXPECT_THAT(files, ElementsAre(path("set/a.jpg"), path("set/b.PNG"), path("set/c.jpeg")));
  std::filesystem::create_directory(path("empty"));
  const Outcome none = classify({path("empty")});
  EXPECT_EQ(none.code, 1);
  EXPECT_EQ(none.err, "program: " + path("empty") + ": has no *.png, *.jpg or *.jpeg files\n");
}

TEST_F(Classify, UnreadableFilesDoNotStopTheOthers) {
  copy("rgb-8.png", "a.png");
  copy("grey-8.png", "c.png");
  std::ofstream(path("b.png")) << "no image";
  const Outcome outcome =
      classify({path("a.png"), path("b.png"), path("missing.png"), path("c.png")}, {.json = true});
  EXPECT_EQ(outcome.code, 1);
  EXPECT_EQ(outcome.objects().size(), 2u);
  EXPECT_EQ(outcome.err, "program: " + path("b.png") + ": is not a PNG or JPEG file\n" +
                             "program: " + path("missing.png") +
                             ": cannot be opened: No such file or directory\n");
}

TEST_F(Classify, ListOnStandardInput) {
  copy("rgb-8.png", "a.png");
  copy("grey-8.png", "b.png");
  std::ofstream(path("list")) << path("a.png") << "\r\n\n" << path("b.png");  // no line end
  ASSERT_NE(std::freopen(path("list").c_str(), "r", stdin), nullptr);
  const Outcome outcome = classify({"-"}, {.json = true});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  const std::vector<nlohmann::json> objects = outcome.objects();
  ASSERT_EQ(objects.size(), 2u);
  EXPECT_EQ(objects[0]["file"], path("a.png"));
  EXPECT_EQ(objects[1]["file"], path("b.png"));
}

TEST_F(Classify, BatchesAreAsLargeAsAsked) {
  std::vector<std::string> paths;
  for (int i = 0; i < 7; ++i) {
    const std::string name = std::to_string(i) + ".png";
    copy(i % 2 == 0 ? "rgb-8.png" : "grey-8.png", name);
    paths.push_back(path(name));
  }
  const Outcome threes = classify(paths, {.json = true, .batch = 3});
  EXPECT_THAT(batches_run, ElementsAre(3, 3, 1));
  const Outcome all = classify(paths, {.json = true, .batch = 100, .threads = 1});
  EXPECT_EQ(batches_run.back(), 7);
  const Outcome ones = classify(paths, {.json = true, .batch = 1, .threads = 2});
  EXPECT_EQ(threes.out, all.out);
  EXPECT_EQ(threes.out, ones.out);
}

TEST_F(Classify, FrozenBatchIsFilledUp) {
  copy("rgb-8.png", "a.png");
  copy("grey-8.png", "b.png");
  std::vector<std::string> paths;
  for (int i = 0; i < 5; ++i) {
    paths.push_back(path(i % 2 == 0 ? "a.png" : "b.png"));
  }
  const Outcome free = classify(paths, {.json = true});
  sylvite_model_close(fake_.model);
  fake_.model = nullptr;
  fake_.program.inputs = kFrozenInputs;
  fake_.program.outputs = kFrozenOutputs;
  batches_run.clear();
  const Outcome frozen = classify(paths, {.json = true});
  EXPECT_EQ(frozen.code, 0) << frozen.err;
  EXPECT_THAT(batches_run, ElementsAre(3, 3));
  EXPECT_EQ(frozen.out, free.out);
}

TEST_F(Classify, HalfPrecisionModel) {
  copy("rgb-8.png", "a.png");
  const double single = classify({path("a.png")}, {.json = true}).objects()[0]["top"][0]["score"];
  sylvite_model_close(fake_.model);
  fake_.model = nullptr;
  fake_.program.inputs = kHalfInputs;
  fake_.program.outputs = kHalfOutputs;
  fake_.program.kernels = kHalfKernel;
  const Outcome half = classify({path("a.png")}, {.json = true});
  EXPECT_EQ(half.code, 0) << half.err;
  EXPECT_NEAR(half.objects()[0]["top"][0]["score"].get<double>(), single, 1e-3);
}

TEST_F(Classify, SizesThatTheModelDoesNotTake) {
  fake_.task.do_resize = 0;
  copy("rgb-8.png", "a.png");
  const Outcome outcome = classify({path("a.png")});
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.err,
              HasSubstr("a.png: has 23 x 19 pixels after preprocessing, the model wants 5 x 6"));
}

TEST_F(Classify, OutputThatIsNotFinite) {
  copy("rgb-8.png", "a.png");
  give_nan = true;
  const Outcome outcome = classify({path("a.png")}, {.json = true});
  EXPECT_EQ(outcome.code, 1);
  EXPECT_EQ(outcome.out, "");
  EXPECT_THAT(outcome.err, HasSubstr("a.png: the model's output is not finite"));
}

TEST_F(Classify, ResultsThatCannotBeWritten) {
  if (access("/dev/full", W_OK) != 0) {
    GTEST_SKIP() << "no /dev/full";
  }
  copy("rgb-8.png", "a.png");
  const sylvite_model *const model = fake_.open();
  const std::string file = path("a.png");
  const char *const paths[] = {file.c_str(), file.c_str()};
  const int kept = dup(STDOUT_FILENO);
  std::fflush(stdout);
  ASSERT_NE(std::freopen("/dev/full", "w", stdout), nullptr);
  ::testing::internal::CaptureStderr();
  const int code = classify_main("program", model, {.batch = 1}, paths);
  const std::string err = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(std::ferror(stdout), 0);  // else the main program would say it again
  dup2(kept, STDOUT_FILENO);
  close(kept);
  EXPECT_EQ(code, 1);
  EXPECT_EQ(err, "program: standard output cannot be written: No space left on device\n");
}

TEST_F(Classify, ModelsOfAnotherForm) {
  const auto message = [&] {
    Model model;
    EXPECT_TRUE(model.open(&fake_.program, &kWeights).ok());
    return Classifier().create(model).message();
  };
  EXPECT_EQ(message(), "");
  EXPECT_TRUE(is_classifier(fake_.open()));
  sylvite_model_close(std::exchange(fake_.model, nullptr));
  fake_.program.classify = nullptr;
  EXPECT_FALSE(is_classifier(fake_.open()));
  sylvite_model_close(std::exchange(fake_.model, nullptr));
  EXPECT_THAT(message(), HasSubstr("was not compiled with --task=classify"));
  fake_.program.classify = &fake_.task;
  fake_.task.label_count = 3;
  EXPECT_EQ(message(), "output 'logits': expected float [batch, 3], found float32 [batch, 4]");
  fake_.task.label_count = 4;
  fake_.task.channels = 1;
  EXPECT_EQ(message(), "input 'pixel_values': has 3 channels, the preprocessor makes 1");
}

TEST_F(Classify, InterfaceChecksItsArguments) {
  Model model;
  Classifier classifier;
  ASSERT_TRUE(model.open(&fake_.program, &kWeights).ok());
  ASSERT_TRUE(classifier.create(model).ok());
  const std::vector<std::byte> file = golden_file("rgb-8.png");
  const std::vector<uint8_t> bytes(100);
  std::vector<sylvite_label> labels;
  EXPECT_TRUE(classifier.classify(file, 1, labels).ok());
  EXPECT_EQ(labels.size(), 1u);
  EXPECT_EQ(classifier.classify(file, 5, labels).message(), "top_k must lie in 1 to 4, not 5");
  EXPECT_EQ(classifier.classify(file, 0, labels).message(), "top_k must lie in 1 to 4, not 0");
  EXPECT_TRUE(labels.empty());
  EXPECT_EQ(classifier.pending(), 0);
  EXPECT_EQ(classifier.classify(std::span(file).first(20), 1, labels).message(),
            "image: is a truncated PNG file");
  EXPECT_EQ(classifier.add(image_file(std::span(file).first(0), "empty.png")).message(),
            "empty.png: is empty");
  EXPECT_EQ(classifier.add(pixels(bytes, 7, 7, 3)).message(),
            "image: 100 bytes are not 7 x 7 pixels of 3 channels");
  EXPECT_FALSE(classifier.add(pixels(bytes, -10, -10, 1)).ok());
  EXPECT_FALSE(classifier.add(pixels(bytes, 25, 2, 2)).ok());
  EXPECT_TRUE(classifier.add(pixels(bytes, 10, 10, 1)).ok());
  EXPECT_EQ(classifier.pending(), 1);
  EXPECT_TRUE(classifier.run(2, labels).ok());
  EXPECT_EQ(labels.size(), 2u);
  EXPECT_TRUE(classifier.run(2, labels).ok());  // nothing waits
  EXPECT_TRUE(labels.empty());
}

// --- Text ------------------------------------------------------------------------------------

TEST(TaskText, JsonStrings) {
  EXPECT_EQ(json_string("plain"), "\"plain\"");
  EXPECT_EQ(json_string("a\"b\\c/"), R"("a\"b\\c/")");
  EXPECT_EQ(json_string(std::string_view("\n\t\0\x7f", 4)), R"("\u000a\u0009\u0000\u007f")");
  EXPECT_EQ(json_string("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80"),
            "\"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80\"");
  const std::string bad = "\xef\xbf\xbd";
  EXPECT_EQ(json_string("\xff"), '"' + bad + '"');
  EXPECT_EQ(json_string("x\xc3"), "\"x" + bad + '"');                             // cut
  EXPECT_EQ(json_string("\xc0\xaf"), '"' + bad + bad + '"');                      // overlong
  EXPECT_EQ(json_string("\xed\xa0\x80"), '"' + bad + bad + bad + '"');            // surrogate
  EXPECT_EQ(json_string("\xf4\x90\x80\x80"), '"' + bad + bad + bad + bad + '"');  // too large
  // Whatever the bytes, a parser accepts it.
  for (int first = 0; first < 256; ++first) {
    for (int second = 0; second < 256; ++second) {
      const char text[] = {static_cast<char>(first), static_cast<char>(second), 'x'};
      EXPECT_TRUE(nlohmann::json::accept(json_string({text, 3})));
    }
  }
}

TEST(TaskText, OneLine) {
  EXPECT_EQ(one_line("a\nb\x1b[0m\xc3\xbc"), "a?b?[0m\xc3\xbc");
}

}  // namespace
}  // namespace sylvite
