// Measuring a model. Peaks are measured in the same process and run, because the share of the peak
// is what tells a kernel's quality; on a shared machine absolute times do not. Medians of the runs,
// not means.
#include "runtime/bench.h"

#include <stdio.h>
#include <string.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "runtime/clock.h"
#include "runtime/context.h"
#include "runtime/dim_text.h"
#include "runtime/dtype.h"
#include "runtime/half.h"
#include "runtime/io/text.h"
#include "runtime/json.h"
#include "runtime/model.h"

namespace sylvite {
namespace {

constexpr int64_t kWantedNanoseconds = 1'000'000'000;
constexpr int kMinRuns = 5, kMaxRuns = 1000;

double median(std::vector<int64_t> values) {
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? static_cast<double>(values[half])
                                : static_cast<double>(values[half - 1] + values[half]) / 2;
}

// snprintf into a string; for short texts.
template <typename... Values>
std::string format(const char *pattern, Values... values) {
  char text[512];
  const int length = snprintf(text, sizeof text, pattern, values...);
  return std::string(text,
                     static_cast<size_t>(std::clamp(length, 0, static_cast<int>(sizeof text) - 1)));
}

void fill(HostTensor &tensor, int64_t whole) {
  const int64_t size = dtype_size(tensor.dtype);
  uint32_t state = 12345;
  for (size_t at = 0; at < tensor.bytes.size(); at += static_cast<size_t>(size)) {
    state = state * 1664525u + 1013904223u;
    const float value = static_cast<float>(state >> 8) / 8388608.0f - 1.0f;
    const double wide = static_cast<double>(value);
    const uint16_t half =
        tensor.dtype == SYLVITE_F16 ? half_of_float(value) : bfloat16_of_float(value);
    switch (tensor.dtype) {
      case SYLVITE_F32:
        memcpy(&tensor.bytes[at], &value, sizeof value);
        break;
      case SYLVITE_F64:
        memcpy(&tensor.bytes[at], &wide, sizeof wide);
        break;
      case SYLVITE_F16:
      case SYLVITE_BF16:
        memcpy(&tensor.bytes[at], &half, sizeof half);
        break;
      default:
        memcpy(&tensor.bytes[at], &whole, static_cast<size_t>(size));  // little endian
    }
  }
}

struct ContextEnd {
  void operator()(sylvite_context *context) const { sylvite_context_destroy(context); }
};

// Times of the whole run and of each call, a run after another.
struct Samples {
  std::vector<int64_t> runs;
  std::vector<std::vector<int64_t>> calls;
};

Error sample(sylvite_context &context, std::span<const sylvite_tensor> inputs,
             std::vector<sylvite_tensor> &outputs, Samples &samples) {
  sylvite_profile_reset(&context);
  const int64_t begin = now_in_nanoseconds();
  const sylvite_result result =
      sylvite_run(&context, inputs.data(), static_cast<int32_t>(inputs.size()), outputs.data(),
                  static_cast<int32_t>(outputs.size()));
  samples.runs.push_back(now_in_nanoseconds() - begin);
  if (result != SYLVITE_OK) {
    return {result, sylvite_context_error(&context)};
  }
  for (size_t i = 0; i < samples.calls.size(); ++i) {
    samples.calls[i].push_back(sylvite_profile(&context, static_cast<int32_t>(i)).nanoseconds);
  }
  return {};
}

int runs_in_a_second(const std::vector<int64_t> &warm_ups) {
  const int64_t one = std::max<int64_t>(*std::min_element(warm_ups.begin(), warm_ups.end()), 1);
  return static_cast<int>(std::clamp<int64_t>(kWantedNanoseconds / one, kMinRuns, kMaxRuns));
}

}  // namespace

Result<std::vector<int64_t>> parse_sizes(const sylvite_program &program, std::string_view text) {
  std::vector<int64_t> values;
  for (int32_t i = 0; i < program.symbol_count; ++i) {
    values.push_back(std::max<int64_t>(program.symbols[i].lower, 1));
  }
  while (!text.empty()) {
    const std::string_view item = text.substr(0, text.find(','));
    text.remove_prefix(std::min(text.size(), item.size() + 1));
    const size_t equals = item.rfind('=');
    const std::string_view name = item.substr(0, equals);
    const int32_t symbol = find_symbol(program, name);
    if (equals == std::string_view::npos || symbol < 0) {
      std::string known;
      for (int32_t i = 0; i < program.symbol_count; ++i) {
        known += text_of(i > 0 ? ", " : "", program.symbols[i].name);
      }
      return bad_input("--size: expected NAME=NUMBER with a name out of [", known, "], got '",
                       printable(item), "'");
    }
    const std::string_view digits = item.substr(equals + 1);
    const bool is_number = !digits.empty() && digits.size() < 18 &&
                           digits.find_first_not_of("0123456789") == std::string_view::npos;
    const std::optional<int64_t> value =
        is_number ? evaluate_dim(program, digits, values.data()) : std::nullopt;
    const sylvite_symbol_info &info = program.symbols[symbol];
    if (!value || *value < info.lower || *value > info.upper) {
      return bad_input("--size: ", info.name, " is a number from ", info.lower,
                       info.upper == INT64_MAX ? std::string(" on") : text_of(" to ", info.upper),
                       ", got '", printable(digits), "'");
    }
    values[static_cast<size_t>(symbol)] = *value;
  }
  return values;
}

Result<std::vector<HostTensor>> make_inputs(const sylvite_program &program,
                                            std::span<const int64_t> symbols, int64_t whole) {
  std::vector<HostTensor> inputs(static_cast<size_t>(program.input_count));
  for (size_t i = 0; i < inputs.size(); ++i) {
    const sylvite_tensor_info &info = program.inputs[i];
    HostTensor &input = inputs[i];
    input.name = info.name;
    input.dtype = static_cast<sylvite_dtype>(info.dtype);
    int64_t bytes = dtype_size(input.dtype);
    for (int32_t axis = 0; axis < info.rank; ++axis) {
      const std::optional<int64_t> size = evaluate_dim(program, info.dims[axis], symbols.data());
      if (!size || *size < 0 || __builtin_mul_overflow(bytes, *size, &bytes)) {
        return bad_input("input '", info.name, "': dimension ", axis, " (", info.dims[axis],
                         ") is out of range");
      }
      input.dims.push_back(*size);
    }
    if (Error error = resize_vector(input.bytes, static_cast<uint64_t>(bytes), input.name);
        !error.ok()) {
      return error;
    }
    fill(input, whole);
  }
  return inputs;
}

Result<std::vector<HostTensor>> stored_inputs(const sylvite_model &model) {
  const sylvite_program &program = *model.program;
  if (program.self_test == nullptr) {
    return bad_input("the program carries no self-test");
  }
  std::vector<HostTensor> inputs(static_cast<size_t>(program.input_count));
  for (size_t i = 0; i < inputs.size(); ++i) {
    const sylvite_tensor_info &info = program.inputs[i];
    inputs[i].name = info.name;
    inputs[i].dtype = static_cast<sylvite_dtype>(info.dtype);
    inputs[i].dims.assign(program.self_test->shapes[i], program.self_test->shapes[i] + info.rank);
    const std::byte *data = model.weights + program.self_test->offsets[i];
    inputs[i].bytes.assign(data,
                           data + element_count(inputs[i].dims) * dtype_size(inputs[i].dtype));
  }
  return inputs;
}

Result<BenchReport> run_bench(const sylvite_model &model, std::vector<HostTensor> &inputs,
                              const BenchOptions &options) {
  const sylvite_program &program = *model.program;
  char message[512] = "";
  const sylvite_context_options context_options = {options.threads, 1};
  sylvite_context *made = nullptr;
  const sylvite_result result =
      sylvite_context_create(&model, &context_options, &made, message, sizeof message);
  if (result != SYLVITE_OK) {
    return Error{result, message};
  }
  const std::unique_ptr<sylvite_context, ContextEnd> context(made);
  std::vector<sylvite_tensor> tensors, outputs(static_cast<size_t>(program.output_count));
  BenchReport report;
  for (HostTensor &input : inputs) {
    tensors.push_back(tensor_of(input));
    report.inputs.push_back(input.name + " " + shape_text(input.dims));
  }
  Samples samples;
  samples.calls.resize(static_cast<size_t>(program.call_count));
  for (int i = 0; i < 3; ++i) {  // pages are mapped, clocks rise
    if (Error error = sample(*context, tensors, outputs, samples); !error.ok()) {
      return error;
    }
  }
  report.runs = options.runs > 0 ? options.runs : runs_in_a_second(samples.runs);
  samples.runs.clear();
  for (std::vector<int64_t> &call : samples.calls) {
    call.clear();
  }
  report.peak = measure_peak(model.isa, context->pool);
  for (int i = 0; i < report.runs; ++i) {
    if (Error error = sample(*context, tensors, outputs, samples); !error.ok()) {
      return error;
    }
  }
  report.model = program.model_name;
  report.isa = sylvite_model_isa(&model);
  report.threads = sylvite_context_threads(context.get());
  report.arena_bytes = sylvite_context_arena_bytes(context.get());
  report.median_nanoseconds = median(samples.runs);
  report.least_nanoseconds =
      static_cast<double>(*std::min_element(samples.runs.begin(), samples.runs.end()));
  report.run_nanoseconds = std::move(samples.runs);
  for (size_t i = 0; i < samples.calls.size(); ++i) {
    const sylvite_profile_row row = sylvite_profile(context.get(), static_cast<int32_t>(i));
    report.rows.push_back(
        {row.kernel, row.root, row.sources, median(samples.calls[i]), row.flops, row.bytes});
  }
  return report;
}

std::string bench_text(const BenchReport &report) {
  std::string text = format("%s on %s, %d thread%s", report.model.c_str(), report.isa.c_str(),
                            report.threads, report.threads == 1 ? "" : "s");
  for (const std::string &input : report.inputs) {
    text += ", " + input;
  }
  text += format(
      "\npeak of these threads, measured here: %.0f GFLOP/s of multiply-adds, %.1f GB/s from "
      "memory\n",
      report.peak.flops_per_second / 1e9, report.peak.bytes_per_second / 1e9);
  text += format("%d runs: median %.3f ms, least %.3f ms; arena %.1f KiB\n\n", report.runs,
                 report.median_nanoseconds / 1e6, report.least_nanoseconds / 1e6,
                 static_cast<double>(report.arena_bytes) / 1024.0);
  text += "      us   time  GFLOP/s  of peak    GB/s  root          nodes\n";
  int64_t flops = 0;
  double calls = 0;
  for (const BenchRow &row : report.rows) {
    const double time = std::max(row.nanoseconds, 1.0);
    const double speed = static_cast<double>(row.flops) / time;  // GFLOP/s
    std::string sources = row.sources.substr(0, 60);
    if (sources.size() < row.sources.size()) {
      sources += "...";
    }
    text += format("%8.1f %5.1f%% %8.1f %7.1f%% %7.1f  %-13s ", row.nanoseconds / 1e3,
                   100 * row.nanoseconds / report.median_nanoseconds, speed,
                   100e9 * speed / report.peak.flops_per_second,
                   static_cast<double>(row.bytes) / time, row.root.c_str());
    text += sources + "\n";
    flops += row.flops;
    calls += row.nanoseconds;
  }
  const double speed = static_cast<double>(flops) / std::max(report.median_nanoseconds, 1.0);
  text += format("%8.1f %5.1f%% %8.1f %7.1f%%          all\n", calls / 1e3,
                 100 * calls / report.median_nanoseconds, speed,
                 100e9 * speed / report.peak.flops_per_second);
  return text;
}

std::string bench_json(const BenchReport &report) {
  std::string text =
      text_of("{\"model\": ", json_string(report.model), ", \"isa\": ", json_string(report.isa),
              ", \"threads\": ", report.threads, ", \"inputs\": [");
  for (size_t i = 0; i < report.inputs.size(); ++i) {
    text += text_of(i > 0 ? ", " : "", json_string(report.inputs[i]));
  }
  text += format("], \"runs\": %d, \"median_ns\": %.0f, \"least_ns\": %.0f, \"arena_bytes\": %lld",
                 report.runs, report.median_nanoseconds, report.least_nanoseconds,
                 static_cast<long long>(report.arena_bytes));
  text += ", \"times_ns\": [";
  for (size_t i = 0; i < report.run_nanoseconds.size(); ++i) {
    text += text_of(i > 0 ? ", " : "", report.run_nanoseconds[i]);
  }
  text += "]";
  text += format(", \"peak_flops\": %.0f, \"peak_bytes\": %.0f, \"calls\": [",
                 report.peak.flops_per_second, report.peak.bytes_per_second);
  for (size_t i = 0; i < report.rows.size(); ++i) {
    const BenchRow &row = report.rows[i];
    text +=
        text_of(i > 0 ? ", " : "", "{\"kernel\": ", json_string(row.kernel),
                ", \"root\": ", json_string(row.root), ", \"nodes\": ", json_string(row.sources));
    text += format(", \"ns\": %.0f, \"flops\": %lld, \"bytes\": %lld}", row.nanoseconds,
                   static_cast<long long>(row.flops), static_cast<long long>(row.bytes));
  }
  return text + "]}";
}

}  // namespace sylvite
