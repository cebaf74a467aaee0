// Flags that several subcommands share, and what they mean to the compiler.
#pragma once

#include <string>
#include <vector>

#include "compiler/driver/compile_model.h"
#include "compiler/driver/progress.h"
#include "compiler/driver/self_test.h"

namespace CLI {
class App;
}

namespace sylvite {

struct ModelFlags {
  std::string model;
  std::vector<std::string> fixed;  // SYMBOL=N
  std::vector<std::string> disabled, print_after;
  bool timing = false;
};
void add_model_flags(CLI::App &command, ModelFlags &flags);
LowerOptions lower_options(const ModelFlags &flags, ProgressLine &progress);

struct TargetFlags {
  std::string target = "all";
  int jobs = 0;
  std::string cache_dir;
  bool no_cache = false;
};
// `target`: what --target is when it is not given: "all", or "host" where the code runs here and
// now.
void add_target_flags(CLI::App &command, TargetFlags &flags, const std::string &target);
CompileOptions compile_options(const TargetFlags &flags, ProgressLine &progress);
// The same for code that this process loads: with the sanitizers that it is itself built with.
CompileOptions in_process_options(const TargetFlags &flags, ProgressLine &progress);

// The highest level of this machine, or what SYLVITE_ISA forces: UsageError where that is no level.
// Whether the machine has it is checked where the model is opened.
Isa host_isa();

// "batch=2", "length=5" -> sizes; UsageError otherwise, and for a size that is given twice.
SymbolSizes parse_sizes(const std::vector<std::string> &texts);
// The plan's symbols at what is asked for; 1 for the first and 128 for the others where nothing is,
// else the first of small_sizes that fits. UsageError for an unknown symbol, ModelError for sizes
// that do not fit.
SymbolSizes sizes_for(const Plan &plan, const SymbolSizes &asked);
std::string to_string(const SymbolSizes &sizes);  // "batch=2, length=5"

// UsageError for tolerances that are none.
void check_tolerances(double rtol, double atol);

// --timing: a line a step, on stderr.
void print_times(const std::vector<StepTime> &times);

// Warnings for the user, each on a line of its own, on stderr.
void print_warnings(const Graph &graph);

}  // namespace sylvite
