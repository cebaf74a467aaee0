// Model file -> graph of kernels and plan -> objects: the road that every subcommand takes, in two
// halves, since `inspect` and `--emit=plan` need no machine code.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "compiler/codegen/compile.h"
#include "compiler/codegen/plan.h"
#include "compiler/import/import.h"
#include "compiler/ir/graph.h"
#include "passes/passes.h"

namespace sylvite {

struct StepTime {
  std::string step;  // "import", "pass fuse_attention", "kernels"
  double seconds = 0;
};

struct LowerOptions {
  ImportOptions import;
  PipelineOptions pipeline;  // `timed` is called too
  std::function<void(const std::string &stage)> progress;
};

// A model up to its plan. The plan points into `graph`.
struct LoweredModel {
  std::filesystem::path file;
  std::vector<std::filesystem::path> files;  // that one and those of its external data
  std::string name;                          // the file's name, without its folder
  std::string model_hash;                    // 16 hexadecimal digits
  std::string producer;
  int64_t opset = 0;
  std::unique_ptr<Graph> source;  // as imported, before any pass; the evaluator's subject
  std::unique_ptr<Graph> graph;   // of kernels
  Plan plan;
  FusionCounts fused;
  std::vector<StepTime> times;
};
LoweredModel lower_model(const std::filesystem::path &file, const LowerOptions &options = {});
// Its two halves: up to the graph as imported (`source` and `plan` are empty), and the rest, from
// whatever the graph has become in between.
LoweredModel import_model(const std::filesystem::path &file, const LowerOptions &options);
void lower_graph(LoweredModel &model, const LowerOptions &options);
// The plan of a graph of kernels that was changed since.
void plan_again(LoweredModel &model);

// All that a program is linked from.
struct CompiledModel {
  WeightImage image;
  std::vector<std::vector<char>> objects;
};
// Name, hash, version and notice; task and self-test are the caller's.
ProgramInfo program_info(const LoweredModel &model);
CompiledModel compile_lowered(LoweredModel &model, const ProgramInfo &info,
                              const CompileOptions &options);
// The same for several entry points; the first is the root.
CompiledModel compile_entries(std::span<LoweredModel *const> models,
                              std::span<const ProgramInfo> infos, const CompileOptions &options);

}  // namespace sylvite
