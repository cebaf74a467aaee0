// `sylvite bench`: how fast each kernel is, against the machine's ceiling measured in the same run.
//
// The measuring itself is the runtime's, as for `PROGRAM --bench`; here the calls of one kernel are
// shown together, since a model of twelve equal layers has few kernels.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>

#include <elf.h>
#include <unistd.h>

#include "compiler/driver/commands.h"
#include "compiler/driver/flags.h"
#include "compiler/driver/loaded_model.h"
#include "compiler/driver/work_limits.h"
#include "compiler/ir/error.h"
#include "runtime/abi.h"
#include "runtime/bench.h"

namespace sylvite {
namespace {

using Json = nlohmann::ordered_json;

struct BenchFlags {
  ModelFlags model;
  TargetFlags target;
  std::vector<std::string> sizes;
  int threads = 0, runs = 0;
  bool json = false, calls = false, no_limit = false;
};

constexpr const char *kExamples = R"(Examples:
  sylvite bench bert.onnx --size batch=1,length=128 --threads 1
  sylvite bench bert.onnx --calls            a row for each call of the plan, with the model's node names
  SYLVITE_ISA=x86-64-v3 sylvite bench ...    with the code for machines without AVX-512
  sylvite bench ./bert                       a compiled program: its own --bench

peak: the share of this machine's fused multiply-adds per second, measured in the same run.)";

// The calls of one kernel together, in one run of the model.
struct Row {
  std::string name, sources;
  int64_t calls = 0, flops = 0, bytes = 0;
  double seconds = 0;
};

// The slowest first.
std::vector<Row> rows_of(const BenchReport &report, bool every_call) {
  std::vector<Row> rows;
  std::map<std::string, size_t> numbers;
  for (size_t i = 0; i < report.rows.size(); ++i) {
    const BenchRow &call = report.rows[i];
    const auto [place, fresh] =
        numbers.try_emplace(every_call ? std::to_string(i) : call.kernel, rows.size());
    if (fresh) {
      rows.push_back({call.kernel, call.sources, 0, 0, 0, 0});
    }
    Row &row = rows[place->second];
    ++row.calls;
    row.flops += call.flops;
    row.bytes += call.bytes;
    row.seconds += call.nanoseconds / 1e9;
  }
  std::stable_sort(rows.begin(), rows.end(),
                   [](const Row &a, const Row &b) { return a.seconds > b.seconds; });
  return rows;
}

std::vector<HostTensor> host_tensors(const std::vector<Tensor> &tensors) {
  std::vector<HostTensor> hosts;
  for (const Tensor &tensor : tensors) {
    hosts.push_back({"",
                     static_cast<sylvite_dtype>(tensor.dtype()),
                     tensor.shape(),
                     {tensor.bytes().begin(), tensor.bytes().end()}});
  }
  return hosts;
}

BenchReport measure(const LoadedModel &loaded, const std::vector<Tensor> &inputs,
                    const BenchFlags &flags) {
  std::vector<HostTensor> hosts = host_tensors(inputs);
  Result<BenchReport> report = run_bench(*loaded.handle(), hosts, {flags.threads, flags.runs});
  if (!report.ok()) {
    throw ModelError(report.error().message);
  }
  return std::move(report.value());
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

void print_json(const BenchReport &found, const std::vector<Row> &rows, const SymbolSizes &sizes) {
  const double peak = found.peak.flops_per_second / 1e9;
  Json json = {{"cpu", cpu_name()},
               {"isa", found.isa},
               {"threads", found.threads},
               {"sizes", sizes},
               {"runs", found.runs},
               {"arena_bytes", found.arena_bytes},
               {"median_seconds", found.median_nanoseconds / 1e9},
               {"fastest_seconds", found.least_nanoseconds / 1e9},
               {"fma_peak_gflops", peak},
               {"memory_gigabytes_per_second", found.peak.bytes_per_second / 1e9},
               {"kernels", Json::array()}};
  for (const Row &row : rows) {
    json["kernels"].push_back({{"name", row.name},
                               {"sources", row.sources},
                               {"calls", row.calls},
                               {"seconds", row.seconds},
                               {"flops", row.flops},
                               {"bytes", row.bytes},
                               {"gflops_per_second", rate(row.flops, row.seconds)},
                               {"gigabytes_per_second", rate(row.bytes, row.seconds)},
                               {"share_of_peak", rate(row.flops, row.seconds) / peak}});
  }
  std::cout << json.dump(2, ' ', false, Json::error_handler_t::replace) << "\n";
}

void print_table(const BenchReport &found, const std::vector<Row> &rows, const SymbolSizes &sizes,
                 const std::string &model) {
  const double peak = found.peak.flops_per_second / 1e9, run = found.median_nanoseconds / 1e9;
  double calls = 0;
  int64_t flops = 0;
  for (const Row &row : rows) {
    calls += row.seconds;
    flops += row.flops;
  }
  std::printf("%s%s%s: median %.3f ms, fastest %.3f ms of %d runs\n", model.c_str(),
              sizes.empty() ? "" : ", ", to_string(sizes).c_str(), run * 1e3,
              found.least_nanoseconds / 1e6, found.runs);
  std::printf("%s, %s, %d thread%s; peak %.1f GFLOP/s of multiply-adds, %.1f GB/s from memory\n",
              cpu_name().c_str(), found.isa.c_str(), found.threads, found.threads == 1 ? "" : "s",
              peak, found.peak.bytes_per_second / 1e9);
  std::printf("%-32s %6s %10s %6s %9s %8s %6s\n", "kernel", "calls", "us", "time", "GFLOP/s",
              "GB/s", "peak");
  for (const Row &row : rows) {
    const double gflops = rate(row.flops, row.seconds);
    std::printf("%-32s %6lld %10.1f %5.1f%% %9.1f %8.1f %5.1f%%", row.name.c_str(),
                static_cast<long long>(row.calls), row.seconds * 1e6, 100 * row.seconds / run,
                gflops, rate(row.bytes, row.seconds), 100 * gflops / peak);
    std::printf("%s%s\n", row.calls == 1 ? "  " : "", row.calls == 1 ? row.sources.c_str() : "");
  }
  std::printf("%-32s %6zu %10.1f %5.1f%% %9.1f %8s %5.1f%%\n", "all calls", found.rows.size(),
              calls * 1e6, 100 * calls / run, rate(flops, run), "", 100 * rate(flops, run) / peak);
}

template <typename T>
bool read_at(std::ifstream &stream, uint64_t offset, T &value) {
  return offset <= INT64_MAX && stream.seekg(static_cast<std::streamoff>(offset)) &&
         stream.read(reinterpret_cast<char *>(&value), sizeof value);
}

// The note of a program whose weights are a file of their own (compiler/codegen/llvm.cpp).
bool is_our_note(std::ifstream &stream, const Elf64_Phdr &segment) {
  Elf64_Nhdr note{};
  constexpr std::array<char, 8> kOwner = {"Sylvite"};
  std::array<char, kOwner.size()> owner{};
  return segment.p_type == PT_NOTE && read_at(stream, segment.p_offset, note) &&
         note.n_namesz == owner.size() && read_at(stream, segment.p_offset + sizeof note, owner) &&
         owner == kOwner;
}

// Our programs end with the weights (runtime/abi.h) or have our note; only these are started.
bool is_ours(std::ifstream &stream) {
  Elf64_Ehdr header{};
  if (!read_at(stream, 0, header) || header.e_ident[EI_CLASS] != ELFCLASS64) {
    return false;
  }
  Elf64_Phdr last{};
  for (uint64_t i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr segment{};
    if (!read_at(stream, header.e_phoff + i * sizeof segment, segment)) {
      return false;
    }
    if (is_our_note(stream, segment)) {
      return true;
    }
    last = segment.p_type == PT_LOAD && segment.p_vaddr >= last.p_vaddr ? segment : last;
  }
  sylvite_weight_header weights{};
  constexpr char kMagic[sizeof weights.magic] = "sylvite weights";
  return read_at(stream, last.p_offset, weights) &&
         std::equal(std::begin(kMagic), std::end(kMagic), std::begin(weights.magic));
}

bool is_program(const std::string &file) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(file, error)) {
    return false;  // the import says what is wrong with it
  }
  std::array<char, SELFMAG> magic{};
  std::ifstream stream(file, std::ios::binary);
  if (!read_at(stream, 0, magic) || !std::equal(magic.begin(), magic.end(), ELFMAG)) {
    return false;
  }
  if (!is_ours(stream)) {
    throw_model_error(file, ": is a program, but not one that sylvite compiled");
  }
  return true;
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
    words.insert(
        words.end(),
        {"--size",
         std::accumulate(flags.sizes.begin() + 1, flags.sizes.end(), flags.sizes.front(),
                         [](const std::string &a, const std::string &b) { return a + "," + b; })});
  }
  if (flags.json) {
    words.emplace_back("--json");
  }
  if (flags.no_limit) {
    words.emplace_back("--no-limit");
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
  const CompileOptions options = in_process_options(flags.target, progress);
  LoweredModel model = lower_model(flags.model.model, lower_options(flags.model, progress));
  const SymbolSizes sizes = sizes_for(model.plan, asked);
  if (!flags.no_limit) {
    check_run_limit(model.plan, sizes);
  }
  progress.clear();
  print_warnings(*model.graph);
  const CompiledModel compiled = compile_lowered(model, program_info(model), options);
  const LoadedModel loaded(compiled);
  progress.show("measuring");
  const BenchReport found = measure(loaded, generate_inputs(model.plan, sizes, 1), flags);
  progress.clear();
  const std::vector<Row> rows = rows_of(found, flags.calls);
  if (flags.json) {
    print_json(found, rows, sizes);
  } else {
    print_table(found, rows, sizes, flags.model.model);
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
  add_limit_flag(*command, flags->no_limit);
  command->add_option("--threads", flags->threads, "threads (default: all that we may use)")
      ->check(CLI::Range(1, 4096))
      ->type_name("N");
  command->add_option("--runs", flags->runs, "runs of the model (default: about a second)")
      ->check(CLI::Range(1, 1000000))
      ->type_name("N");
  command->add_flag("--calls", flags->calls,
                    "a row for each call of the plan, not for each kernel");
  command->add_flag("--json", flags->json, "print JSON");
  add_target_flags(*command, flags->target, "host");
  command->footer(kExamples);
  command->callback([flags] { bench(*flags); });
}

}  // namespace sylvite
