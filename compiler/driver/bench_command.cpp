// `sylvite bench`: how fast each kernel is, against the machine's ceiling measured in the same run.
//
// The ceiling is measured before and after the runs; the larger number counts, so that a share can only look
// worse than it is.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>

#include <unistd.h>

#include "compiler/driver/commands.h"
#include "compiler/driver/flags.h"
#include "compiler/driver/fma_peak.h"
#include "compiler/driver/loaded_model.h"
#include "compiler/ir/error.h"

namespace sylvite {
namespace {

using Json = nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

struct BenchFlags {
  ModelFlags model;
  TargetFlags target;
  std::vector<std::string> sizes;
  int threads = 0, runs = 0;
  double seconds = 2;
  bool json = false, calls = false;
};

constexpr const char *kExamples = R"(Examples:
  sylvite bench bert.onnx --size batch=1,length=128 --threads 1
  sylvite bench bert.onnx --calls            a row for each call of the plan, with the model's node names
  SYLVITE_ISA=x86-64-v3 sylvite bench ...    with the code for machines without AVX-512
  sylvite bench ./bert                       a compiled program: its own --bench

peak: the share of this machine's fused multiply-adds per second, measured in the same run.)";

// Sums over the calls of a kernel, or one call.
struct Row {
  std::string name, sources;
  int64_t calls = 0, flops = 0, bytes = 0;  // of one run of the model
  double seconds = 0;                       // of one run of the model
};

std::vector<Row> rows_of(const ModelContext &context, bool every_call) {
  std::vector<Row> rows;
  std::map<std::string, size_t> numbers;
  for (int32_t i = 0; i < sylvite_profile_row_count(context.handle()); ++i) {
    const sylvite_profile_row call = sylvite_profile(context.handle(), i);
    const std::string key = every_call ? std::to_string(i) : call.kernel;
    const auto [place, fresh] = numbers.try_emplace(key, rows.size());
    if (fresh) {
      rows.push_back({call.kernel, call.sources, 0, 0, 0, 0});
    }
    Row &row = rows[place->second];
    ++row.calls;
    row.flops += call.flops;
    row.bytes += call.bytes;
    row.seconds += static_cast<double>(call.nanoseconds) / 1e9 /
                   static_cast<double>(std::max<int64_t>(call.runs, 1));
  }
  std::stable_sort(rows.begin(), rows.end(),
                   [](const Row &a, const Row &b) { return a.seconds > b.seconds; });
  return rows;
}

struct Measurement {
  std::string isa;
  int threads = 0;
  int64_t runs = 0;
  double median = 0, fastest = 0;  // seconds of a run
  double peak = 0;                 // GFLOP/s
  std::vector<Row> rows;
};

Measurement measure(const LoadedModel &loaded, const std::vector<Tensor> &inputs, const BenchFlags &flags) {
  Measurement result;
  ModelContext context(loaded, flags.threads, true);
  result.isa = loaded.isa();
  result.threads = sylvite_context_threads(context.handle());
  const Isa isa = result.isa == name_of(Isa::X86_64_V4) ? Isa::X86_64_V4 : Isa::X86_64_V3;
  const std::vector<sylvite_tensor> views = tensor_views(inputs);
  context.run(views);  // plans the arena, faults the pages in
  result.peak = measure_fma_peak(isa, result.threads);
  context.run(views);
  sylvite_profile_reset(context.handle());
  std::vector<double> times;
  const Clock::time_point start = Clock::now();
  const auto enough = [&] {
    return flags.runs > 0 ? static_cast<int>(times.size()) >= flags.runs
                          : times.size() >= 3 && Clock::now() - start >
                                std::chrono::duration<double>(flags.seconds);
  };
  while (!enough()) {
    const Clock::time_point begin = Clock::now();
    context.run(views);
    times.push_back(std::chrono::duration<double>(Clock::now() - begin).count());
  }
  result.rows = rows_of(context, flags.calls);
  result.peak = std::max(result.peak, measure_fma_peak(isa, result.threads));
  std::sort(times.begin(), times.end());
  result.runs = static_cast<int64_t>(times.size());
  result.median = times[times.size() / 2];
  result.fastest = times.front();
  return result;
}

// 0 where nothing was measured: JSON knows no infinity.
double rate(int64_t amount, double seconds) {
  return seconds > 0 ? static_cast<double>(amount) / seconds / 1e9 : 0;
}

std::string cpu_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("model name")) {
      return line.substr(std::min(line.size(), line.find(':') + 2));
    }
  }
  return "unknown CPU";
}

void print_json(const Measurement &found, const SymbolSizes &sizes) {
  Json json = {{"cpu", cpu_name()},
               {"isa", found.isa},
               {"threads", found.threads},
               {"sizes", sizes},
               {"runs", found.runs},
               {"median_seconds", found.median},
               {"fastest_seconds", found.fastest},
               {"fma_peak_gflops", found.peak},
               {"kernels", Json::array()}};
  for (const Row &row : found.rows) {
    json["kernels"].push_back({{"name", row.name},
                               {"sources", row.sources},
                               {"calls", row.calls},
                               {"seconds", row.seconds},
                               {"flops", row.flops},
                               {"bytes", row.bytes},
                               {"gflops_per_second", rate(row.flops, row.seconds)},
                               {"gigabytes_per_second", rate(row.bytes, row.seconds)},
                               {"share_of_peak", rate(row.flops, row.seconds) / found.peak}});
  }
  std::cout << json.dump(2, ' ', false, Json::error_handler_t::replace) << "\n";
}

void print_table(const Measurement &found, const SymbolSizes &sizes, const std::string &model) {
  double all = 0;
  int64_t flops = 0;
  for (const Row &row : found.rows) {
    all += row.seconds;
    flops += row.flops;
  }
  std::printf("%s%s%s: median %.3f ms, fastest %.3f ms of %lld runs\n", model.c_str(),
              sizes.empty() ? "" : ", ", to_string(sizes).c_str(), found.median * 1e3,
              found.fastest * 1e3, static_cast<long long>(found.runs));
  std::printf("%s, %s, %d thread%s, FMA peak %.1f GFLOP/s\n", cpu_name().c_str(), found.isa.c_str(),
              found.threads, found.threads == 1 ? "" : "s", found.peak);
  std::printf("%-40s %6s %10s %6s %9s %8s %6s\n", "kernel", "calls", "us", "time", "GFLOP/s", "GB/s",
              "peak");
  for (const Row &row : found.rows) {
    const double gflops = rate(row.flops, row.seconds);
    std::printf("%-40s %6lld %10.1f %5.1f%% %9.1f %8.1f %5.1f%%\n", row.name.c_str(),
                static_cast<long long>(row.calls), row.seconds * 1e6,
                all > 0 ? 100 * row.seconds / all : 0, gflops, rate(row.bytes, row.seconds),
                100 * gflops / found.peak);
    if (row.calls == 1 && !row.sources.empty()) {
      std::printf("    %s\n", row.sources.c_str());
    }
  }
  std::printf("%-40s %6s %10.1f %5.1f%% %9.1f %8s %5.1f%%\n", "all calls", "", all * 1e6, 100.0,
              rate(flops, all), "", 100 * rate(flops, all) / found.peak);
}

bool is_program(const std::string &file) {
  std::array<char, 4> magic{};
  std::ifstream stream(file, std::ios::binary);
  return stream.read(magic.data(), magic.size()) && magic == std::array<char, 4>{'\x7f', 'E', 'L', 'F'};
}

// Replaces this process by the program's own --bench.
[[noreturn]] void run_program(const BenchFlags &flags) {
  std::vector<std::string> words = {flags.model.model, "--bench"};
  if (flags.threads > 0) {
    words.insert(words.end(), {"--threads", std::to_string(flags.threads)});
  }
  if (flags.runs > 0) {
    words.insert(words.end(), {"--runs", std::to_string(flags.runs)});
  }
  if (!flags.sizes.empty()) {
    words.insert(words.end(), {"--size", std::accumulate(flags.sizes.begin() + 1, flags.sizes.end(),
                                                         flags.sizes.front(),
                                                         [](const std::string &a, const std::string &b) {
                                                           return a + "," + b;
                                                         })});
  }
  if (flags.json) {
    words.emplace_back("--json");
  }
  std::vector<char *> pointers;
  for (std::string &word : words) {
    pointers.push_back(word.data());
  }
  pointers.push_back(nullptr);
  execv(pointers.front(), pointers.data());
  throw_model_error(flags.model.model, ": cannot be started");
}

void bench(const BenchFlags &flags) {
  if (is_program(flags.model.model)) {
    run_program(flags);
  }
  ProgressLine progress(flags.model.model);
  const SymbolSizes asked = parse_sizes(flags.sizes);
  LoweredModel model = lower_model(flags.model.model, lower_options(flags.model, progress));
  const SymbolSizes sizes = sizes_for(model.plan, asked);
  const CompiledModel compiled =
      compile_lowered(model, program_info(model), in_process_options(flags.target, progress));
  const LoadedModel loaded(compiled);
  progress.show("measuring");
  const Measurement found = measure(loaded, generate_inputs(model.plan, sizes, 1), flags);
  progress.clear();
  if (flags.json) {
    print_json(found, sizes);
  } else {
    print_table(found, sizes, flags.model.model);
  }
}

}  // namespace

void add_bench_command(CLI::App &app) {
  std::shared_ptr<BenchFlags> flags = std::make_shared<BenchFlags>();
  CLI::App *command = app.add_subcommand("bench", "Measure each kernel of a model, or a program");
  add_model_flags(*command, flags->model);
  command->add_option("--size", flags->sizes, "sizes to run at (default: 1, then 128s)")
      ->type_name("SYMBOL=N")
      ->delimiter(',');
  command->add_option("--threads", flags->threads, "threads (default: all that we may use)")
      ->check(CLI::Range(1, 4096))
      ->type_name("N");
  command->add_option("--runs", flags->runs, "runs of the model (default: for --seconds)")
      ->check(CLI::Range(1, 1000000))
      ->type_name("N");
  command->add_option("--seconds", flags->seconds, "how long to measure")->capture_default_str();
  command->add_flag("--calls", flags->calls, "a row for each call of the plan, not for each kernel");
  command->add_flag("--json", flags->json, "print JSON");
  add_target_flags(*command, flags->target, "host");
  command->footer(kExamples);
  command->callback([flags] { bench(*flags); });
}

}  // namespace sylvite
