// The straight piece of code from model file to objects, with a clock at each step.
//
// The imported graph is kept beside the one that the passes rewrite: self-test and `verify
// --reference` ask the evaluator about the model as the user wrote it, not as we understood it.
// Constants are shared, so the second graph costs little.
#include "compiler/driver/compile_model.h"

#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <string_view>
#include <utility>

#include "compiler/driver/version.h"
#include "compiler/ir/dims.h"
#include "compiler/ir/error.h"
#include "runtime/io/text.h"

namespace sylvite {
namespace {

class Clock {
 public:
  double lap() {
    const std::chrono::steady_clock::time_point now = std::chrono::steady_clock::now();
    return std::chrono::duration<double>(now - std::exchange(last_, now)).count();
  }

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

std::string hexadecimal(uint64_t number) {
  char digits[17];
  std::snprintf(digits, sizeof digits, "%016" PRIx64, number);
  return digits;
}

void report(const LowerOptions &options, const char *stage) {
  if (options.progress) {
    options.progress(stage);
  }
}

// Runs a step; what it finds wrong with the model begins with the model's file.
template <typename Step>
void naming(const std::filesystem::path &file, const Step &step) {
  const std::string path = file.string();
  try {
    step();
  } catch (const ModelError &error) {
    const std::string_view what = error.what();
    throw_model_error(what.substr(0, path.size()) == path ? "" : path + ": ", what);
  } catch (const DimOverflow &error) {
    throw_model_error(path, ": ", error.what());
  }
}

}  // namespace

LoweredModel import_model(const std::filesystem::path &file, const LowerOptions &options) {
  LoweredModel model;
  model.file = file;
  model.name = one_line(file.filename().string());
  Clock clock;
  report(options, "reading the model");
  ImportedModel imported = import_onnx(file, options.import);
  model.model_hash = hexadecimal(imported.hash);
  model.opset = imported.opset;
  model.producer = imported.producer;
  model.graph = std::move(imported.graph);
  model.files = std::move(imported.files);
  model.times.push_back({"import", clock.lap()});
  return model;
}

void lower_graph(LoweredModel &model, const LowerOptions &options) {
  Clock clock;
  model.source = model.graph->clone();
  report(options, "fusing");
  PipelineOptions pipeline = options.pipeline;
  pipeline.timed = [&](const std::string &pass, double seconds) {
    model.times.push_back({"pass " + pass, seconds});
    if (options.pipeline.timed) {
      options.pipeline.timed(pass, seconds);
    }
  };
  naming(model.file, [&] { run_pipeline(*model.graph, pipeline); });
  model.fused = count_fusions(*model.graph);
  clock.lap();  // the passes have reported themselves

  report(options, "planning");
  plan_again(model);
  model.times.push_back({"plan", clock.lap()});
}

void plan_again(LoweredModel &model) {
  naming(model.file, [&] { model.plan = make_plan(*model.graph); });
}

LoweredModel lower_model(const std::filesystem::path &file, const LowerOptions &options) {
  LoweredModel model = import_model(file, options);
  lower_graph(model, options);
  return model;
}

ProgramInfo program_info(const LoweredModel &model) {
  ProgramInfo info;
  info.model_name = model.name;
  info.model_hash = model.model_hash;
  info.compiler_version = compiler_version();
  info.licences = licences();
  return info;
}

CompiledModel compile_entries(std::span<LoweredModel *const> models,
                              std::span<const ProgramInfo> infos, const CompileOptions &options) {
  Clock clock;
  CompiledModel compiled;
  std::vector<EntryPoint> entries;
  for (size_t i = 0; i < models.size(); ++i) {
    entries.push_back({&models[i]->plan, &infos[i]});
  }
  naming(models.front()->file, [&] {
    compiled.image = make_weight_image(entries);
    compiled.objects = compile_objects(entries, compiled.image, options);
  });
  models.front()->times.push_back({"kernels and plan object", clock.lap()});
  return compiled;
}

CompiledModel compile_lowered(LoweredModel &model, const ProgramInfo &info,
                              const CompileOptions &options) {
  LoweredModel *const models[] = {&model};
  return compile_entries(models, std::span(&info, 1), options);
}

}  // namespace sylvite
