// All passes: one public function each, declared here from passes.def, run in the order of
// pipeline.cpp.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "compiler/ir/graph.h"

namespace sylvite {

// A pass returns whether it changed the graph.
#define PASS(function, kind, sentence) bool function(Graph &graph);
#include "passes/passes.def"
#undef PASS

enum class PassKind : uint8_t {
  Optional,  // --disable-pass takes its name
  Fusion,    // the same; `--disable-pass all-fusions` means all of these
  Required,  // the stages behind the passes rely on it: it cannot be disabled
};

struct Pass {
  const char *name;
  PassKind kind;
  const char *sentence;
  bool (*run)(Graph &);
};

// Every pass, in alphabetical order (passes.def); the pipeline's order, in which a pass may occur
// twice.
std::span<const Pass> all_passes();
std::span<const Pass> pipeline();
const Pass *find_pass(const std::string &name);

// What --disable-pass calls all passes of kind Fusion.
inline constexpr const char *kAllFusions = "all-fusions";

struct PipelineOptions {
  std::vector<std::string> disabled = {};     // names of passes to skip, or "all-fusions"
  std::vector<std::string> print_after = {};  // names, or "all"
  std::function<void(const std::string &pass, const std::string &text)> print = {};
  std::function<void(const std::string &pass, double seconds)> timed = {};
  // After each pass that changed the graph (RewriteCheck::step, passes/check_rewrites.h).
  std::function<void(const std::string &pass, const Graph &graph)> changed = {};
};
// Verifies after each pass; an InternalError names the guilty one. The bodies of loops and branches
// go through the same passes. Afterwards every node of each graph is a Constant, a Kernel, a Loop
// or an If. Throws std::invalid_argument for an unknown pass name (with the closest one) and for a
// required pass in `disabled`.
void run_pipeline(Graph &graph, const PipelineOptions &options = {});

// Whether run_pipeline leaves the pass out.
bool is_disabled(const Pass &pass, const PipelineOptions &options);

// One pass on its own, verified like a step of the pipeline.
bool run_pass(Graph &graph, const Pass &pass);

// share_panels across two graphs of kernels over one weight image: what `graph` looks up is read
// out of the panels of `owner`'s products.
bool share_panels(Graph &graph, const Graph &owner, const PipelineOptions &options);

// The reference page of the passes (docs/passes.md), generated from passes.def and the pipeline.
std::string passes_page();

// What the plan's kernels compute, counted from their regions as the report defines the kinds.
struct FusionCounts {
  int attention = 0, add_norm = 0, embed_norm = 0, ffn = 0, ffn_gated = 0, layer_norm = 0,
      rms_norm = 0;
  int rope = 0, nonlocal = 0, linear_attention = 0, layer_scale = 0;
};
FusionCounts count_fusions(const Graph &graph_of_kernels);

}  // namespace sylvite
