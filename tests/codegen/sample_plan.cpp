#include "tests/codegen/sample_plan.h"

#include <fstream>
#include <iterator>
#include <memory>
#include <sstream>
#include <utility>

#include "compiler/codegen/plan_parts.h"

namespace sylvite {
namespace {

PlanKernel sample_kernel(const std::string &name, const std::string &symbol) {
  PlanKernel kernel;
  kernel.name = name;
  kernel.interface.root = "none";
  kernel.interface.library_symbol = symbol;
  kernel.interface.grain0[0] = 1;
  kernel.interface.grain0[1] = 4;
  return kernel;
}

template <typename... Parts>
void note(sylvite_context *context, const Parts &...parts) {
  std::ostringstream line;
  (line << ... << parts);
  reinterpret_cast<Recorder *>(context)->lines.push_back(line.str());
}

const sylvite_program *recorded_program = nullptr;  // says how many symbols a call has

int32_t record_call(sylvite_context *context, int32_t site, const int32_t *symbols, int64_t extent0,
                    int64_t extent1, int64_t scratch_bytes, int64_t cost) {
  std::string text;
  const sylvite_call_site &call = recorded_program->calls[site];
  for (int32_t i = 0; i < recorded_program->kernels[call.kernel].symbols; ++i) {
    text += " " + std::to_string(symbols[i]);
  }
  note(context, "call ", site, ":", text, " over ", extent0, " x ", extent1, " scratch ",
       scratch_bytes, " cost ", cost);
  return reinterpret_cast<Recorder *>(context)->fail_at == site ? SYL_INTERNAL : 0;
}

int32_t record_check(sylvite_context *context, int32_t buffer, int32_t dtype, int64_t first,
                     int64_t step, int64_t count, int64_t bound, const char *message) {
  note(context, "check b", buffer, " dtype ", dtype, " from ", first, " step ", step, " of ", count,
       " below ", bound, ": ", message);
  return 0;
}

int32_t record_copy(sylvite_context *context, int32_t to, int32_t from, int64_t bytes) {
  note(context, "copy b", to, " from b", from, " ", bytes, " bytes");
  return 0;
}

int32_t record_fail(sylvite_context *context, int32_t status, const char *message) {
  note(context, message);
  return status;
}

int32_t record_fail_sizes(sylvite_context *context, int32_t status, const char *message, int64_t a,
                          int64_t b) {
  std::string text = message;
  for (const int64_t number : {a, b}) {
    const size_t at = text.find("{}");
    if (at != std::string::npos) {
      text.replace(at, 2, std::to_string(number));
    }
  }
  note(context, text);
  return status;
}

int32_t record_copy_part(sylvite_context *context, int32_t to, int64_t offset, int32_t from,
                         int64_t bytes) {
  note(context, "copy b", to, " + ", offset, " from b", from, " ", bytes, " bytes");
  return 0;
}

int32_t record_is_true(sylvite_context *context, int32_t buffer) {
  note(context, "is b", buffer, " true");
  return reinterpret_cast<Recorder *>(context)->truths-- > 0 ? 1 : 0;
}

int32_t record_set_size(sylvite_context *context, int32_t output, int32_t axis, int64_t size) {
  note(context, "output ", output, " axis ", axis, " is ", size);
  return 0;
}

constexpr sylvite_runtime_api kRecordingApi = {record_call,    record_check,      record_copy,
                                               record_fail,    record_fail_sizes, record_copy_part,
                                               record_is_true, record_set_size};

}  // namespace

const sylvite_runtime_api *Recorder::api() const {
  return &kRecordingApi;
}

Plan sample_plan() {
  const Dim batch = Dim::symbol("batch"), length = Dim::symbol("length");
  Plan plan;
  plan.name = "sample";
  plan.symbols.declare("batch", {SymbolKind::Input, 1, std::nullopt});
  plan.symbols.declare("length", {SymbolKind::Input, 0, 512});
  plan.inputs = {{"ids", {DType::I64, {batch, length}}},
                 {"mask", {DType::F32, {batch, length, 4}}}};
  plan.outputs = {{"doubled", {DType::F32, {batch, length, 4}}},
                  {"copy", {DType::I64, {batch, length}}}};
  plan.intermediates = {{"embedded", {DType::F32, {batch, length, 4}}, 0, 1}};
  Tensor table(DType::F32, {10, 4});
  for (int64_t i = 0; i < table.count(); ++i) {
    table.set(i, static_cast<double>(i));
  }
  plan.weights = {std::make_shared<const Tensor>(std::move(table))};
  plan.weight_names = {"table"};
  plan.kernels = {sample_kernel("k0", "sample_embed"), sample_kernel("k1", "sample_double")};

  PlanCall embed;
  embed.kernel = 0;
  embed.inputs = {0, 5};
  embed.outputs = {4};
  embed.symbols = {4};
  embed.extent0 = batch * length;
  embed.bytes = batch * length * Dim(40);
  embed.sources = "/embeddings/Gather";
  PlanCall twice;
  twice.kernel = 1;
  twice.inputs = {4, 1};
  twice.outputs = {2};
  twice.extent0 = batch * length * Dim(4);
  twice.flops = batch * length * Dim(8);
  twice.sources = "/Mul,/Add";
  plan.calls = {embed, twice};

  plan.checks = {{0, 0, DType::I64, 0, 1, batch * length, 10,
                  "ids: index {} at {} is out of range for 'table' (10 rows)"}};
  plan.copies = {{3, 0}};
  add_bindings(plan);
  return plan;
}

ProgramInfo sample_info() {
  ProgramInfo info;
  info.model_name = "sample";
  info.model_hash = "0123456789abcdef";
  info.compiler_version = "0.0-test";
  info.licences = "none";
  return info;
}

std::vector<std::vector<char>> sample_objects(Plan &plan, const WeightImage &image,
                                              const ProgramInfo &info) {
  return with_sample_kernels(compile_objects(plan, image, info, {}));
}

std::vector<std::vector<char>> with_sample_kernels(std::vector<std::vector<char>> objects) {
  std::ifstream kernels(SAMPLE_KERNELS, std::ios::binary);
  objects.emplace_back(std::istreambuf_iterator<char>(kernels), std::istreambuf_iterator<char>());
  return objects;
}

LoadedPlan::LoadedPlan(Plan plan_in, const ProgramInfo &info)
    : plan(std::move(plan_in)), image(make_weight_image(plan, info)) {
  loaded = std::make_unique<LoadedProgram>(sample_objects(plan, image, info), image);
  recorded_program = loaded->program();
}

Prepared prepare(const sylvite_program &program, const std::vector<int64_t> &dims) {
  Prepared result;
  size_t output_dims = 0;
  for (int32_t i = 0; i < program.output_count; ++i) {
    output_dims += static_cast<size_t>(program.outputs[i].rank);
  }
  result.symbols.assign(static_cast<size_t>(program.symbol_count), -1);
  result.intermediate_bytes.assign(static_cast<size_t>(program.intermediate_count), -1);
  result.output_dims.assign(output_dims, -1);
  Recorder recorder;
  result.status =
      program.prepare(recorder.context(), recorder.api(), dims.data(), result.symbols.data(),
                      result.intermediate_bytes.data(), result.output_dims.data());
  result.message = recorder.lines.empty() ? "" : recorder.lines.front();
  return result;
}

}  // namespace sylvite
