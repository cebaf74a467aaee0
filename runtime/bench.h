// Measuring a model: whole runs and the calls in them, against the machine's peak. For `PROGRAM
// --bench` and `sylvite bench`.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/abi.h"
#include "runtime/include/sylvite/sylvite.h"
#include "runtime/io/result.h"
#include "runtime/io/tensor_file.h"
#include "runtime/peak.h"

namespace sylvite {

// One value for each symbol of the program: from "batch=4,length=128", else the least that is above
// zero.
Result<std::vector<int64_t>> parse_sizes(const sylvite_program &program, std::string_view text);

// Inputs of these sizes: floats between -1 and 1, always the same ones; integers and bools all
// `whole`.
Result<std::vector<HostTensor>> make_inputs(const sylvite_program &program,
                                            std::span<const int64_t> symbols, int64_t whole);
// The inputs of the stored self-test; an error when the program has none.
Result<std::vector<HostTensor>> stored_inputs(const sylvite_model &model);

struct BenchOptions {
  int threads = 0;  // 0: what the process may use
  int runs = 0;     // 0: as many as take about a second
};

struct BenchRow {
  std::string kernel, root, sources;
  double nanoseconds = 0;  // median of the runs
  int64_t flops = 0, bytes = 0;
};

struct BenchReport {
  std::string model, isa;
  std::vector<std::string> inputs;  // "pixel_values [4, 3, 48, 48]"
  int threads = 0, runs = 0;
  int64_t arena_bytes = 0;
  std::vector<int64_t> run_nanoseconds;  // of each run
  double median_nanoseconds = 0, least_nanoseconds = 0;
  Peak peak;
  std::vector<BenchRow> rows;
};

Result<BenchReport> run_bench(const sylvite_model &model, std::vector<HostTensor> &inputs,
                              const BenchOptions &options);
std::string bench_text(const BenchReport &report);
std::string bench_json(const BenchReport &report);  // one line

}  // namespace sylvite
