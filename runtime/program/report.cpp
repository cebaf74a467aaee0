// --info, --version, --bench.
#include "runtime/program/report.h"

#include <stdio.h>
#include <stdlib.h>

#include <memory>
#include <span>
#include <vector>

#include "runtime/bench.h"
#include "runtime/context.h"
#include "runtime/cpu.h"
#include "runtime/dim_text.h"
#include "runtime/dtype.h"
#include "runtime/json.h"
#include "runtime/program/arrays.h"

namespace sylvite {
namespace {

// A number where the size is one, else the text of its expression.
std::string json_size(const std::string &dim) {
  return dim.find_first_not_of("0123456789") == std::string::npos ? dim : json_string(dim);
}

std::string json_tensors(const sylvite_tensor_info *infos, int32_t count) {
  std::string text = "[";
  for (int32_t i = 0; i < count; ++i) {
    text += text_of(i > 0 ? ", " : "", "{\"name\": ", json_string(infos[i].name), ", \"dtype\": \"",
                    dtype_name(static_cast<sylvite_dtype>(infos[i].dtype)), "\", \"shape\": [");
    for (int32_t axis = 0; axis < infos[i].rank; ++axis) {
      text += text_of(axis > 0 ? ", " : "", json_size(infos[i].dims[axis]));
    }
    text += "]}";
  }
  return text + "]";
}

std::string plain_tensors(const char *kind, const sylvite_tensor_info *infos, int32_t count) {
  std::string text;
  for (int32_t i = 0; i < count; ++i) {
    text += text_of(kind, " ", infos[i].name, ": ",
                    dtype_name(static_cast<sylvite_dtype>(infos[i].dtype)), " ",
                    shape_text(infos[i]), "\n");
  }
  return text;
}

std::string json_symbols(const sylvite_program &program) {
  std::string text = "[";
  for (int32_t i = 0; i < program.symbol_count; ++i) {
    const sylvite_symbol_info &symbol = program.symbols[i];
    text += text_of(i > 0 ? ", " : "", "{\"name\": ", json_string(symbol.name),
                    ", \"lower\": ", symbol.lower, ", \"upper\": ",
                    symbol.upper == INT64_MAX ? std::string("null") : text_of(symbol.upper), "}");
  }
  return text + "]";
}

std::string plain_symbols(const sylvite_program &program) {
  std::string text;
  for (int32_t i = 0; i < program.symbol_count; ++i) {
    const sylvite_symbol_info &symbol = program.symbols[i];
    text += text_of("symbol ", symbol.name, ": from ", symbol.lower,
                    symbol.upper == INT64_MAX ? std::string(" on") : text_of(" to ", symbol.upper),
                    "\n");
  }
  return text;
}

struct Needs {
  int64_t input_bytes = 0, arena_bytes = 0;
  double operations = 0;
};

// What a run takes at these sizes.
Result<Needs> needs_at(const sylvite_model &model, std::span<const int64_t> symbols) {
  Needs needs;
  sylvite_context *made = nullptr;
  char message[512] = "";
  const sylvite_context_options options = {1, 0};
  const sylvite_result result =
      sylvite_context_create(&model, &options, &made, message, sizeof message);
  if (result != SYLVITE_OK) {
    return Error{result, message};
  }
  const auto destroy = [](sylvite_context *context) { sylvite_context_destroy(context); };
  const std::unique_ptr<sylvite_context, decltype(destroy)> context(made, destroy);
  std::vector<int64_t> dims;
  for (int32_t i = 0; i < model.program->input_count; ++i) {
    const sylvite_tensor_info &info = model.program->inputs[i];
    int64_t bytes = dtype_size(static_cast<sylvite_dtype>(info.dtype));
    for (int32_t axis = 0; axis < info.rank; ++axis) {
      const std::optional<int64_t> size =
          evaluate_dim(*model.program, info.dims[axis], symbols.data());
      if (!size || *size < 0) {
        return bad_input("input '", info.name, "': dimension ", axis, " (", info.dims[axis],
                         ") is out of range");
      }
      dims.push_back(*size);
      if (__builtin_mul_overflow(bytes, *size, &bytes)) {
        return bad_input("input '", info.name, "' would have 2^31 elements or more");
      }
    }
    needs.input_bytes += bytes;
  }
  if (const int32_t status = prepare_shape(*made, dims.data())) {
    return Error{static_cast<sylvite_result>(status), sylvite_context_error(made)};
  }
  needs.arena_bytes = sylvite_context_arena_bytes(made);
  std::vector<int64_t> flops(static_cast<size_t>(model.program->call_count)), bytes = flops;
  model.program->costs(made->current->symbols, flops.data(), bytes.data());
  for (const int64_t count : flops) {
    needs.operations += static_cast<double>(count);
  }
  return needs;
}

// "batch=4, length=9"
std::string sizes_text(const sylvite_program &program, std::span<const int64_t> symbols) {
  std::string text;
  for (int32_t i = 0; i < program.symbol_count; ++i) {
    text +=
        text_of(i > 0 ? ", " : "", program.symbols[i].name, "=", symbols[static_cast<size_t>(i)]);
  }
  return text;
}

Result<Needs> needs_of_sizes(const sylvite_model &model, std::span<const int64_t> symbols) {
  Result<Needs> needs = needs_at(model, symbols);
  if (!needs.ok() && model.program->symbol_count > 0) {
    return Error{needs.error().code, text_of("--size ", sizes_text(*model.program, symbols), ": ",
                                             needs.error().message)};
  }
  return needs;
}

// Made-up inputs may have any size that someone types: far beyond what is measured on purpose, we
// ask.
constexpr int64_t kMaxBenchBytes = int64_t{8} << 30;
constexpr double kMaxBenchOperations = 2e13;  // minutes a run

Error check_bench_sizes(const sylvite_model &model, std::span<const int64_t> symbols) {
  const Result<Needs> needs = needs_of_sizes(model, symbols);
  if (!needs.ok()) {
    return needs.error();
  }
  const int64_t bytes = needs.value().input_bytes + needs.value().arena_bytes;
  const double operations = needs.value().operations;
  if (bytes <= kMaxBenchBytes && operations <= kMaxBenchOperations) {
    return {};
  }
  constexpr int64_t kMega = 1000000;
  return bad_input("--size ", sizes_text(*model.program, symbols), ": a run would take ",
                   bytes / kMega, " MB of memory and ", static_cast<int64_t>(operations / 1e9),
                   " GFLOP; beyond ", kMaxBenchBytes / kMega, " MB or ",
                   static_cast<int64_t>(kMaxBenchOperations / 1e9),
                   " GFLOP --bench wants --no-limit");
}

std::string levels_text(int32_t mask) {
  std::string text;
  for (int i = 0; i < kSylviteIsaCount; ++i) {
    if ((mask >> i & 1) != 0) {
      text += text_of(text.empty() ? "" : ", ", kIsaNames[i]);
    }
  }
  return text;
}

}  // namespace

std::string version_text(const sylvite_program &program) {
  sylvite_isa isa{};
  char message[512] = "";
  const bool runs = choose_isa(program, detect_cpu(), getenv("SYLVITE_ISA"), &isa, message,
                               sizeof message) == SYLVITE_OK;
  return text_of("model:    ", program.model_name, " ", program.model_hash, "\ncompiler: Sylvite ",
                 program.compiler_version, "\nlevels:   ", levels_text(program.isa_mask),
                 "\nin use:   ", runs ? kIsaNames[isa] : message, "\n");
}

Error print_info(const sylvite_model &model, const ProgramOptions &options) {
  const sylvite_program &program = *model.program;
  const Result<std::vector<int64_t>> symbols = parse_sizes(program, options.sizes);
  if (!symbols.ok()) {
    return symbols.error();
  }
  const Result<Needs> needs = needs_of_sizes(model, symbols.value());
  if (!needs.ok() && !options.sizes.empty()) {  // nobody asked for these; the model may not take 1
    return needs.error();
  }
  std::string sizes;
  for (int32_t i = 0; i < program.symbol_count; ++i) {
    const int64_t value = symbols.value()[static_cast<size_t>(i)];
    sizes += options.json
                 ? text_of(i > 0 ? ", " : "", json_string(program.symbols[i].name), ": ", value)
                 : text_of(i > 0 ? ", " : " at ", program.symbols[i].name, "=", value);
  }
  const std::string text =
      options.json ? text_of("{\"model\": ", json_string(program.model_name),
                             ", \"hash\": ", json_string(program.model_hash),
                             ", \"inputs\": ", json_tensors(program.inputs, program.input_count),
                             ", \"outputs\": ", json_tensors(program.outputs, program.output_count),
                             ", \"symbols\": ", json_symbols(program),
                             ", \"weight_bytes\": ", program.weight_bytes,
                             ", \"calls\": ", program.call_count, ", \"sizes\": {", sizes,
                             "}, \"arena_bytes\": ",
                             needs.ok() ? text_of(needs.value().arena_bytes) : "null", "}\n")
                   : text_of("model ", program.model_name, "\n",
                             plain_tensors("input", program.inputs, program.input_count),
                             plain_tensors("output", program.outputs, program.output_count),
                             plain_symbols(program), "weights: ", program.weight_bytes,
                             " bytes\ncalls: ", program.call_count, "\narena: ",
                             needs.ok() ? text_of(needs.value().arena_bytes, " bytes", sizes)
                                        : "with --size; " + needs.error().message,
                             "\n");
  fputs(text.c_str(), stdout);
  return {};
}

Error print_bench(const sylvite_model &model, const ProgramOptions &options) {
  const sylvite_program &program = *model.program;
  const bool given = !options.inputs_file.empty() || !options.inputs.empty();
  const bool stored = !given && options.sizes.empty() && program.self_test != nullptr;
  const Result<std::vector<int64_t>> symbols = parse_sizes(program, options.sizes);
  if (!symbols.ok()) {
    return symbols.error();
  }
  if (!given && !stored && !options.no_limit) {
    if (Error error = check_bench_sizes(model, symbols.value()); !error.ok()) {
      return error;
    }
  }
  Result<std::vector<HostTensor>> inputs = given    ? read_inputs(program, options)
                                           : stored ? stored_inputs(model)
                                                    : make_inputs(program, symbols.value(), 1);
  if (!inputs.ok()) {
    return inputs.error();
  }
  const BenchOptions bench_options = {options.threads, options.runs};
  Result<BenchReport> report = run_bench(model, inputs.value(), bench_options);
  if (!report.ok() && report.error().code == SYLVITE_BAD_INPUT && !given && !stored) {
    // Ones suit masks; a table of a single row takes zeros only.
    inputs = make_inputs(program, symbols.value(), 0);
    report = run_bench(model, inputs.value(), bench_options);
  }
  if (!report.ok()) {
    return report.error();
  }
  const std::string text =
      options.json ? bench_json(report.value()) + "\n" : bench_text(report.value());
  fputs(text.c_str(), stdout);
  return {};
}

}  // namespace sylvite
