// A kernel node to an object: template, lowering with our passes, code generation in memory.
//
// The object depends only on the region, the ISA and the request: names that Halide numbers while
// it works are mapped to fixed ones, and the function is named by the kernel's key.
#include <Halide.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>

#include "compiler/ir/error.h"
#include "compiler/ir/kernel_traits.h"
#include "compiler/kernels/float_math.h"
#include "compiler/kernels/kernels.h"
#include "compiler/kernels/lowering.h"
#include "compiler/kernels/region.h"
#include "compiler/kernels/template.h"

namespace sylvite {
namespace {

using Halide::Expr;
using Halide::Target;

Target target_of(const KernelRequest &request) {
  std::vector<Target::Feature> features = {
      Target::NoRuntime, Target::NoAsserts, Target::NoBoundsQuery, Target::SSE41,
      Target::AVX,       Target::AVX2,      Target::FMA,           Target::F16C};
  if (request.isa == Isa::X86_64_V4) {
    features.insert(features.end(), {Target::AVX512, Target::AVX512_Skylake});
  }
  if (request.sanitize_address) {
    features.push_back(Target::ASAN);
  }
  if (request.sanitize_thread) {
    features.push_back(Target::TSAN);
  }
  return Target(Target::Linux, Target::X86, 64, features);
}

// Halide's warnings (slow half types, ...) are not for our users; its errors are ours.
class Reporter : public Halide::CompileTimeErrorReporter {
 public:
  void warning(const char *) override {}
  void error(const char *message) override { check_failed("Halide", __FILE__, __LINE__, message); }
};

void report_through_us() {
  static Reporter reporter;
  static const bool once = [] {
    Halide::set_custom_compile_time_error_reporter(&reporter);
    return true;
  }();
  (void)once;
}

// What the templates rely on: a root's results are stored in their own order, but for attention,
// which may write through strides.
void check_region(const Graph &region, const Node *root) {
  if (root == nullptr) {
    for (size_t i = 1; i < region.output_count(); ++i) {
      SYLVITE_CHECK(region.output(i)->type.shape == region.output(0)->type.shape,
                    "outputs of different shapes in one kernel");
    }
    return;
  }
  SYLVITE_CHECK(epilogue_value(region)->type.shape == root->output()->type.shape,
                "the epilogue changes the shape of its root");
  SYLVITE_CHECK(region.output_count() == 1 || root->op == Op::LayerNorm,
                "several outputs of " + describe(*root));
  const Shape &shape = root->output()->type.shape;
  const std::optional<std::vector<Dim>> strides = output_strides(region);
  SYLVITE_CHECK(strides.has_value(), "the views behind " + describe(*root) + " are no strides");
  Dim stride = 1;
  for (size_t axis = shape.size(); axis-- > 0 && root->op != Op::Attention;) {
    SYLVITE_CHECK(shape[axis].is(1) || (*strides)[axis] == stride,
                  "the views behind " + describe(*root) + " move elements");
    stride *= shape[axis];
  }
}

KernelBody build_body(TemplateInput &input) {
  check_region(input.region, input.root);
  if (input.root == nullptr) {
    return none_template(input);
  }
  switch (input.root->op) {
    case Op::MatMulPanels:
      return matmul_panels_template(input);
    case Op::MatMul:
      return matmul_template(input);
    case Op::Conv:
      return conv_template(input);
    case Op::Pool:
      return pool_template(input);
    case Op::Reduce:
      return reduce_template(input);
    case Op::ArgReduce:
      return arg_reduce_template(input);
    case Op::CumSum:
      return cumsum_template(input);
    case Op::Softmax:
      return softmax_template(input);
    case Op::LayerNorm:
      return norm_template(input);
    case Op::Attention:
      return attention_template(input);
    default:
      break;
  }
  SYLVITE_CHECK(false, "no kernel template for " + describe(*input.root));
}

std::string read_file(const std::filesystem::path &path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string assembly_of(const Halide::Module &module) {
  std::string folder = (std::filesystem::temp_directory_path() / "sylvite-XXXXXX").string();
  if (mkdtemp(folder.data()) == nullptr) {
    throw_model_error("cannot create a temporary folder in ",
                      std::filesystem::temp_directory_path().string());
  }
  const std::filesystem::path path = std::filesystem::path(folder) / "kernel.s";
  module.compile({{Halide::OutputFileType::assembly, path.string()}});
  std::string text = read_file(path);
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
  return text;
}

// The interface's formula for scratch is written by hand beside each template: hold it to what
// lowering asked for, at a few sizes of the symbols, for a part that is the whole.
void check_scratch(const Graph &region, const KernelInterface &interface,
                   const std::vector<Expr> &bytes_in_use) {
  for (const int64_t sample : {0, 1, 2, 3, 7, 16, 17, 100, 385, 1000}) {
    std::map<std::string, int64_t> values;
    std::map<std::string, Expr> replacements;
    int64_t size = sample;
    for (size_t i = 0; i < interface.symbols.size(); ++i, size += i % 3) {
      const Dim &symbol = interface.symbols[i];
      if (const std::optional<std::string> name = symbol.as_symbol()) {
        const SymbolInfo *info = region.symbol_table().find(*name);
        values[*name] = std::max(info == nullptr ? 1 : info->lower, size);
      }
      replacements["s" + std::to_string(i)] = static_cast<int32_t>(evaluate(symbol, values));
    }
    const int64_t extents[] = {evaluate(interface.extent0, values),
                               evaluate(interface.extent1, values)};
    const int64_t scratch = evaluate(interface.scratch_bytes, values);
    if (extents[0] <= 0 || extents[1] <= 0) {
      continue;
    }
    for (size_t axis = 0; axis < 2; ++axis) {
      replacements["begin" + std::to_string(axis)] = 0;
      replacements["end" + std::to_string(axis)] = static_cast<int32_t>(extents[axis]);
    }
    for (const Expr &bytes : bytes_in_use) {
      const Expr value =
          Halide::Internal::simplify(Halide::Internal::substitute(replacements, bytes));
      const std::optional<uint64_t> used = Halide::Internal::as_const_uint(value);
      std::ostringstream text;
      text << value << " bytes of scratch used, " << scratch << " given at sample " << sample;
      SYLVITE_CHECK(used && *used <= static_cast<uint64_t>(scratch), text.str());
    }
  }
}

Halide::Module lower(const Node &kernel, const KernelRequest &request, const std::string &symbol) {
  const KernelInterface interface = kernel_interface(kernel);
  TemplateInput input(kernel, request.isa, interface.symbols);
  const KernelBody body = build_body(input);

  std::optional<Halide::ImageParam> scratch;
  if (!interface.scratch_bytes.is(0)) {
    scratch.emplace(Halide::UInt(8), 1, "scratch");
    scratch->dim(0).set_min(0).set_stride(1);
  }
  ScratchPass scratch_pass(scratch);
  OutputPass output_pass;
  const std::vector<Halide::Func> &functions = body.functions;
  for (size_t i = 0; i < body.offsets.size(); ++i) {
    const bool tuple = functions.size() < body.offsets.size();
    const Halide::Func &function = functions[tuple ? 0 : i];
    const std::string name = function.name() + (tuple ? "." + std::to_string(i) : "");
    output_pass.outputs[name] = {body.offsets[i],
                                 static_cast<int>(size_of(input.region.output(i)->type.dtype))};
    const Halide::OutputImageParam buffer = function.output_buffers()[tuple ? i : 0];
    for (int d = 0; d < buffer.dimensions(); ++d) {
      const Expr stride = buffer.parameter().stride_constraint(d);
      SYLVITE_CHECK(stride.defined(), name);
      output_pass.strides[name + ".stride." + std::to_string(d)] = stride;
    }
  }
  if (!body.step.empty()) {
    output_pass.loop = functions[0].name() + ".s0." + body.step;
    output_pass.loop_variable = body.step;
    output_pass.loop_offset = body.step_offset;
  }

  std::vector<Halide::Argument> arguments = {input.begin0, input.end0, input.begin1, input.end1};
  arguments.insert(arguments.end(), input.formula.symbol_params.begin(),
                   input.formula.symbol_params.end());
  arguments.insert(arguments.end(), input.formula.inputs.begin(), input.formula.inputs.end());
  if (scratch) {
    arguments.emplace_back(*scratch);
  }
  Halide::Pipeline pipeline(functions);
  pipeline.add_custom_lowering_pass(&output_pass, nullptr);
  pipeline.add_custom_lowering_pass(&scratch_pass, nullptr);
  Halide::Module module = pipeline.compile_to_module(arguments, symbol, target_of(request),
                                                     Halide::LinkageType::ExternalPlusArgv);
  check_scratch(input.region, interface, scratch_pass.bytes_in_use);
  for (const Halide::Internal::LoweredFunc &function : module.functions()) {
    for (size_t i = 0; i < function.args.size(); ++i) {
      module.remap_metadata_name(function.args[i].name, "arg" + std::to_string(i));
    }
  }
  return module;
}

}  // namespace

KernelObject compile_kernel(const Node &kernel, const KernelRequest &request, std::string *text) {
  const std::string key =
      kernel_key(kernel, request.isa, request.sanitize_address || request.sanitize_thread);
  const RunningScope scope("kernel " + describe(kernel));
  const std::string function = "sylvite_kernel_" + key;
  report_through_us();
  const Halide::Module module = lower(kernel, request, function);
  if (text != nullptr && request.text == KernelText::Statement) {
    std::ostringstream out;
    out << module;
    *text = out.str();
  } else if (text != nullptr && request.text == KernelText::Assembly) {
    *text = assembly_of(module);
  }
  const Halide::Buffer<uint8_t> object = module.compile_to_buffer();
  return {function + "_argv", {object.begin(), object.end()}};
}

}  // namespace sylvite
