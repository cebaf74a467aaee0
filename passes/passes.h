// All passes: one public function each, declared here from passes.def, run in the order of pipeline.cpp.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "compiler/ir/graph.h"

namespace sylvite {

// A pass returns whether it changed the graph.
#define PASS(function, sentence) bool function(Graph &graph);
#include "passes/passes.def"
#undef PASS

struct Pass {
  const char *name;
  const char *sentence;
  bool (*run)(Graph &);
};

// Every pass, in alphabetical order (passes.def); the pipeline's order, in which a pass may occur twice.
std::span<const Pass> all_passes();
std::span<const Pass> pipeline();
const Pass *find_pass(const std::string &name);

struct PipelineOptions {
  std::vector<std::string> disabled;     // names of passes to skip
  std::vector<std::string> print_after;  // names, or "all"
  std::function<void(const std::string &pass, const std::string &text)> print;
  std::function<void(const std::string &pass, double seconds)> timed;
};
// Verifies after each pass; an InternalError names the guilty one. Afterwards every node of the graph is a
// Constant or a Kernel. Throws std::invalid_argument for an unknown pass name (with the closest one).
void run_pipeline(Graph &graph, const PipelineOptions &options = {});

// What the plan's kernels compute, counted from their regions as the report defines the kinds.
struct FusionCounts {
  int attention = 0, add_norm = 0, embed_norm = 0, ffn = 0, ffn_gated = 0, layer_norm = 0, rms_norm = 0;
  int rope = 0, nonlocal = 0, linear_attention = 0;
};
FusionCounts count_fusions(const Graph &graph_of_kernels);

}  // namespace sylvite
