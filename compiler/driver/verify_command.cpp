// `sylvite verify`: runs a model in this process and compares its outputs with given ones, or with
// the reference evaluator's.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>

#include "compiler/driver/commands.h"
#include "compiler/driver/compare_tensors.h"
#include "compiler/driver/flags.h"
#include "compiler/driver/loaded_model.h"
#include "compiler/driver/tensor_npz.h"
#include "compiler/driver/work_limits.h"
#include "compiler/ir/error.h"
#include "compiler/ir/evaluate.h"

namespace sylvite {
namespace {

struct VerifyFlags {
  ModelFlags model;
  TargetFlags target;
  std::string inputs, expected;
  std::vector<std::string> sizes;
  bool reference = false, no_limit = false;
  double rtol = 1e-4, atol = 1e-4;
  int threads = 0;
};

constexpr const char *kExamples = R"(Examples:
  sylvite verify bert.onnx --inputs in.npz --expected out.npz
  sylvite verify bert.onnx --reference --size batch=2,length=9
      inputs are made up, the reference evaluator says what is right
  SYLVITE_ISA=x86-64-v3 sylvite verify bert.onnx ...
      with the code for machines without AVX-512

An element is right when |got - expected| <= atol + rtol * |expected|; whole numbers must be equal.
Exit status: 0 all are right, 1 some are not.)";

// One line an output. Returns whether it is right.
bool report(const std::string &name, const Tensor &got, const Tensor &expected,
            const VerifyFlags &flags) {
  const Comparison found = compare_tensors(got, expected, flags.rtol, flags.atol);
  if (!found.same_type) {
    std::printf("%s: WRONG: %s, expected %s\n", name.c_str(), describe_type(got).c_str(),
                describe_type(expected).c_str());
    return false;
  }
  std::printf("%s: %s: %s, largest difference %.3g", name.c_str(), found.ok() ? "right" : "WRONG",
              describe_type(got).c_str(), found.largest);
  if (found.worst_ratio > 0) {
    std::printf(" (%.3g of what is allowed, at %s: %.9g, expected %.9g)", found.worst_ratio,
                coordinates(expected.shape(), found.worst).c_str(), found.worst_got,
                found.worst_expected);
  }
  if (!found.ok()) {
    std::printf("; %lld of %lld elements are off", static_cast<long long>(found.wrong),
                static_cast<long long>(found.count));
  }
  std::printf("\n");
  return found.ok();
}

int output_number(const Plan &plan, const std::string &name, const std::string &file) {
  for (size_t i = 0; i < plan.outputs.size(); ++i) {
    if (plan.outputs[i].name == name) {
      return static_cast<int>(i);
    }
  }
  throw_model_error(file, ": the model has no output '", name, "'");
}

// Made-up inputs, or those of the file.
std::vector<Tensor> inputs_of(const VerifyFlags &flags, const LoweredModel &model,
                              const SymbolSizes &asked) {
  if (!flags.inputs.empty()) {
    std::vector<Tensor> inputs =
        match_tensors(model.plan.inputs, read_tensors(flags.inputs), flags.inputs);
    if (flags.reference && !flags.no_limit) {
      check_reference_limit(model, bind_symbols(*model.source, inputs));
    }
    return inputs;
  }
  const SymbolSizes sizes = sizes_for(model.plan, asked);
  if (!flags.no_limit) {
    check_run_limit(model.plan, sizes);
    check_reference_limit(model, sizes);
  }
  return generate_inputs(model.plan, sizes, 1);
}

int verify(const VerifyFlags &flags) {
  ProgressLine progress(flags.model.model);
  if (flags.inputs.empty() && !flags.reference) {
    throw UsageError("verify wants --inputs and --expected, or --reference");
  }
  if (flags.expected.empty() != flags.reference) {
    throw UsageError(flags.reference ? "--expected and --reference exclude each other"
                                     : "--inputs without --expected or --reference");
  }
  check_tolerances(flags.rtol, flags.atol);
  const CompileOptions options = in_process_options(flags.target, progress);
  const SymbolSizes asked = parse_sizes(flags.sizes);
  LoweredModel model = lower_model(flags.model.model, lower_options(flags.model, progress));
  progress.clear();
  print_warnings(*model.graph);
  const std::vector<Tensor> inputs = inputs_of(flags, model, asked);
  std::vector<NamedTensor> expected;
  if (flags.reference) {
    progress.show("evaluating the reference");
    const std::vector<Tensor> values = evaluate(*model.source, inputs);
    for (size_t i = 0; i < values.size(); ++i) {
      expected.push_back({model.plan.outputs[i].name, values[i]});
    }
  } else {
    expected = read_tensors(flags.expected);
  }

  const CompiledModel compiled = compile_lowered(model, program_info(model), options);
  progress.show("running");
  LoadedModel loaded(compiled);
  ModelContext context(loaded, flags.threads);
  const std::vector<Tensor> outputs = context.run(inputs);
  progress.clear();

  bool right = true;
  for (const NamedTensor &wanted : expected) {
    const int number = output_number(model.plan, wanted.name, flags.expected);
    right &= report(wanted.name, outputs[static_cast<size_t>(number)], wanted.tensor, flags);
  }
  std::printf("%s on %s with %d thread%s\n", right ? "right" : "WRONG", loaded.isa().c_str(),
              sylvite_context_threads(context.handle()),
              sylvite_context_threads(context.handle()) == 1 ? "" : "s");
  if (flags.model.timing) {
    print_times(model.times);
  }
  return right ? 0 : 1;
}

}  // namespace

void add_verify_command(CLI::App &app, ExitCode &exit_code) {
  std::shared_ptr<VerifyFlags> flags = std::make_shared<VerifyFlags>();
  CLI::App *command = app.add_subcommand("verify", "Run a model here and compare its outputs");
  add_model_flags(*command, flags->model);
  command->add_option("--inputs", flags->inputs, "the inputs, an .npz file by input names")
      ->type_name("X.npz");
  command->add_option("--expected", flags->expected, "what is right, an .npz file by output names")
      ->type_name("Y.npz");
  command->add_flag("--reference", flags->reference,
                    "compare with the reference evaluator; without --inputs on made-up inputs");
  command->add_option("--size", flags->sizes, "sizes of made-up inputs")
      ->type_name("SYMBOL=N")
      ->delimiter(',');
  add_limit_flag(*command, flags->no_limit);
  command->add_option("--rtol", flags->rtol, "relative tolerance")->capture_default_str();
  command->add_option("--atol", flags->atol, "absolute tolerance")->capture_default_str();
  command->add_option("--threads", flags->threads, "threads (default: all that we may use)")
      ->check(CLI::Range(1, 4096))
      ->type_name("N");
  add_target_flags(*command, flags->target, "host");
  command->footer(kExamples);
  command->callback([flags, &exit_code] { exit_code.value = verify(*flags); });
}

}  // namespace sylvite
