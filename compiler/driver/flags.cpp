// Flags in words that the user knows; everything that can be wrong with them is found before work
// begins.
#include "compiler/driver/flags.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <iostream>

#include "compiler/driver/commands.h"
#include "compiler/ir/error.h"
#include "runtime/io/text.h"

namespace sylvite {
namespace {

std::pair<std::string, int64_t> parse_size(const std::string &text) {
  const size_t equals = text.rfind('=');
  if (equals != std::string::npos && equals > 0 && equals + 1 < text.size()) {
    char *end = nullptr;
    const long long size = std::strtoll(text.c_str() + equals + 1, &end, 10);
    if (*end == '\0' && size >= 0 && size <= INT32_MAX) {
      return {text.substr(0, equals), size};
    }
  }
  throw UsageError("'" + text + "' is not SYMBOL=NUMBER, for example batch=4");
}

// run_pipeline knows the names and suggests the closest one; on an empty graph it finds a wrong
// name before the model is read.
void check_pass_names(const PipelineOptions &options) {
  PipelineOptions names;
  names.disabled = options.disabled;
  names.print_after = options.print_after;
  Graph nothing;
  try {
    run_pipeline(nothing, names);
  } catch (const std::invalid_argument &error) {
    throw UsageError(std::string(error.what()) + "; `sylvite passes --list` prints all");
  }
}

}  // namespace

void add_model_flags(CLI::App &command, ModelFlags &flags) {
  command.add_option("MODEL", flags.model, "the model, an ONNX file")->required();
  command
      .add_option("--fix", flags.fixed,
                  "fix a dynamic size: --fix batch=1 (names: `sylvite inspect MODEL`)")
      ->type_name("SYMBOL=N");
  command
      .add_option("--disable-pass", flags.disabled,
                  "leave a pass out, or all-fusions; may be repeated")
      ->type_name("PASS")
      ->delimiter(',');
  command
      .add_option("--print-after", flags.print_after,
                  "print the graph after this pass on stderr, or after all of them")
      ->type_name("PASS|all")
      ->delimiter(',');
  command.add_flag("--timing", flags.timing, "print how long each step took");
}

LowerOptions lower_options(const ModelFlags &flags, ProgressLine &progress) {
  LowerOptions options;
  options.import.fixed_symbols = parse_sizes(flags.fixed);
  for (const auto &[symbol, size] : options.import.fixed_symbols) {
    if (size == 0) {
      throw UsageError("--fix " + symbol + "=0: a fixed size is at least 1");
    }
  }
  options.pipeline.disabled = flags.disabled;
  options.pipeline.print_after = flags.print_after;
  check_pass_names(options.pipeline);
  options.pipeline.print = [&progress](const std::string &pass, const std::string &text) {
    progress.clear();
    std::cerr << "# after " << pass << "\n" << text << "\n";
  };
  options.progress = [&progress](const std::string &stage) { progress.show(stage); };
  return options;
}

void add_target_flags(CLI::App &command, TargetFlags &flags, const std::string &target) {
  flags.target = target;
  command
      .add_option("--target", flags.target,
                  "machine code for x86-64-v3 (AVX2), x86-64-v4 (AVX-512), all of them, or host")
      ->check(CLI::IsMember({"x86-64-v3", "x86-64-v4", "all", "host"}))
      ->type_name("LEVEL")
      ->capture_default_str();
  command.add_option("--jobs,-j", flags.jobs, "kernels compiled at once (default: one a core)")
      ->check(CLI::Range(1, 1024))
      ->type_name("N");
  command
      .add_option("--cache-dir", flags.cache_dir,
                  "where compiled kernels are kept (default: " + default_cache_dir().string() + ")")
      ->type_name("DIR");
  command.add_flag("--no-cache", flags.no_cache, "neither read nor write kept kernels");
}

CompileOptions compile_options(const TargetFlags &flags, ProgressLine &progress) {
  CompileOptions options;
  if (flags.target == "host") {
    options.isas = {host_isa()};
  } else if (flags.target != "all") {
    options.isas = {flags.target == "x86-64-v3" ? Isa::X86_64_V3 : Isa::X86_64_V4};
  }
  options.jobs = flags.jobs;
  if (!flags.no_cache) {
    options.cache_dir =
        flags.cache_dir.empty() ? default_cache_dir() : std::filesystem::path(flags.cache_dir);
  }
  options.progress = [&progress](int done, int total, const std::string &what) {
    progress.show(done, total, what);
  };
  return options;
}

CompileOptions in_process_options(const TargetFlags &flags, ProgressLine &progress) {
  CompileOptions options = compile_options(flags, progress);
#ifdef SYLVITE_SANITIZE_ADDRESS
  options.sanitize_address = true;
#endif
#ifdef SYLVITE_SANITIZE_THREAD
  options.sanitize_thread = true;
#endif
  return options;
}

Isa host_isa() {
  const char *variable = std::getenv("SYLVITE_ISA");
  const std::string forced = variable == nullptr ? "" : variable;
  if (forced == name_of(Isa::X86_64_V3)) {
    return Isa::X86_64_V3;
  }
  if (!forced.empty() && forced != name_of(Isa::X86_64_V4)) {
    throw UsageError("SYLVITE_ISA is '" + printable(forced) + "': expected " +
                     name_of(Isa::X86_64_V3) + " or " + name_of(Isa::X86_64_V4));
  }
  const bool v4 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512vl");
  return v4 ? Isa::X86_64_V4 : Isa::X86_64_V3;
}

SymbolSizes parse_sizes(const std::vector<std::string> &texts) {
  SymbolSizes sizes;
  for (const std::string &text : texts) {
    const auto [symbol, size] = parse_size(text);
    if (!sizes.emplace(symbol, size).second) {
      throw UsageError("a size is given to '" + symbol + "' twice");
    }
  }
  return sizes;
}

SymbolSizes sizes_for(const Plan &plan, const SymbolSizes &asked) {
  SymbolSizes sizes;
  for (const PlanBinding &binding : plan.bindings) {
    sizes[binding.symbol] = sizes.empty() ? 1 : 128;
  }
  if (asked.empty() && !sizes_fit(plan, sizes)) {
    const std::vector<SymbolSizes> small = small_sizes(plan);
    if (small.empty()) {
      throw_model_error("no sizes are known that this model takes; give some with --size");
    }
    return small.front();
  }
  for (const auto &[symbol, size] : asked) {
    if (sizes.count(symbol) == 0) {
      throw UsageError("the model has no size named '" + symbol + "'; it has " +
                       (sizes.empty() ? "none that varies" : to_string(sizes)));
    }
    sizes[symbol] = size;
  }
  if (!sizes_fit(plan, sizes)) {
    throw_model_error("the model does not take the sizes ", to_string(sizes));
  }
  return sizes;
}

std::string to_string(const SymbolSizes &sizes) {
  std::string text;
  for (const auto &[symbol, size] : sizes) {
    text += (text.empty() ? "" : ", ") + symbol + "=" + std::to_string(size);
  }
  return text;
}

void check_tolerances(double rtol, double atol) {
  for (const auto &[name, value] : {std::pair{"--rtol", rtol}, std::pair{"--atol", atol}}) {
    if (!(value >= 0)) {
      throw UsageError(std::string(name) + " is a number from 0 on, got " + std::to_string(value));
    }
  }
}

void print_times(const std::vector<StepTime> &times) {
  double total = 0;
  for (const StepTime &time : times) {
    std::fprintf(stderr, "%9.3f s  %s\n", time.seconds, time.step.c_str());
    total += time.seconds;
  }
  std::fprintf(stderr, "%9.3f s  in all\n", total);
}

void print_warnings(const Graph &graph) {
  for (const std::string &warning : graph.warnings) {
    std::cerr << "sylvite: warning: " << warning << "\n";
  }
}

}  // namespace sylvite
