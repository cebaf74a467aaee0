// `sylvite compile`: an ONNX model becomes a standalone program, a library for an application, or
// one of the texts on the way to them.
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <map>
#include <memory>
#include <string>

#include "compiler/driver/check_passes.h"
#include "compiler/driver/classify_config.h"
#include "compiler/driver/commands.h"
#include "compiler/driver/compile_translator.h"
#include "compiler/driver/flags.h"
#include "compiler/driver/fusion_names.h"
#include "compiler/driver/library_names.h"
#include "compiler/driver/library_package.h"
#include "compiler/driver/require_fusions.h"
#include "compiler/driver/tensor_npz.h"
#include "compiler/driver/text_file.h"
#include "compiler/driver/write_artifact.h"
#include "compiler/ir/error.h"
#include "compiler/ir/text.h"

namespace sylvite {
namespace {

struct CompileFlags {
  ModelFlags model;
  TargetFlags target;
  std::string output, emit = "program", weights = "inside", name_prefix, task;
  std::string inputs, expected;
  ClassifyFlags classify;
  RequireFlags require;
  double rtol = 1e-4, atol = 1e-4;
  bool no_self_test = false;
  bool check = false;
  bool separate_weights() const { return weights == "separate"; }
};

constexpr const char *kExamples = R"(Examples:
  sylvite compile bert.onnx -o bert
      then: ./bert --inputs in.npz --outputs out.npz     ./bert --help
  sylvite compile vit.onnx -o classify --task=classify
      labels and preprocessing come from config.json and preprocessor_config.json beside the model
      then: ./classify photo.png pictures/ --top-k 3
  sylvite compile bert.onnx -o bert --target x86-64-v3 --fix batch=1
      smaller: code for AVX2 alone, and for one sentence at a time
  sylvite compile bert.onnx -o bert --weights=separate
      the weights go into a file of their own, bert.weights: several programs on one machine, or
      several versions of one, may share or exchange what is large
  sylvite compile vit.onnx --emit=lib -o vit-lib --task=classify
      for an application in C++ or C: libraries, headers and a CMake package in the folder vit-lib
      then: find_package(vit) with CMAKE_PREFIX_PATH=vit-lib, and #include <vit/vit.hpp>
  sylvite compile bert.onnx -o bert --check
      for a model that nobody has compiled yet: each rewrite is checked, which takes seconds to minutes
  sylvite compile bert.onnx --emit=plan
      what is called in which order, as text; --emit=ir shows what each call computes)";

// Also where an output is another name of one of them.
void refuse_overwriting(const CompileFlags &flags,
                        const std::vector<std::filesystem::path> &inputs) {
  if (flags.output.empty() || flags.output == "-") {
    return;
  }
  for (const std::filesystem::path &input : inputs) {
    std::error_code error;
    if (std::filesystem::equivalent(flags.output, input, error) ||
        (flags.separate_weights() &&
         std::filesystem::equivalent(weights_beside(flags.output), input, error))) {
      throw UsageError("-o " + flags.output + " would overwrite " + input.string());
    }
  }
}

void check_flags(const CompileFlags &flags) {
  const bool library = flags.emit == "lib";
  if (flags.emit == "program" && flags.output.empty()) {
    throw UsageError("compile wants -o PROGRAM (or --emit for a text)");
  }
  if (library && (flags.output.empty() || flags.output == "-")) {
    throw UsageError("--emit=lib wants -o FOLDER");
  }
  if (!library && !flags.name_prefix.empty()) {
    throw UsageError("--name-prefix belongs to --emit=lib");
  }
  if (flags.separate_weights() && flags.emit != "program") {
    throw UsageError(library ? "--weights=separate is for programs: an application links a library "
                               "with its weights"
                             : "--weights belongs to --emit=program");
  }
  if (flags.inputs.empty() != flags.expected.empty()) {
    throw UsageError("--inputs and --expected belong together");
  }
  if (library && !flags.inputs.empty()) {
    throw UsageError("--inputs and --expected are for programs: a library has no --selftest");
  }
  check_tolerances(flags.rtol, flags.atol);
  const std::filesystem::path folder = std::filesystem::path(flags.model.model).parent_path();
  refuse_overwriting(flags, {flags.model.model, flags.inputs, flags.expected, flags.classify.labels,
                             flags.classify.config, flags.classify.preprocessor,
                             folder / "config.json", folder / "preprocessor_config.json"});
  // Found before minutes of compiling, not after.
  if (!flags.output.empty() && flags.output != "-") {
    const std::filesystem::path folder = std::filesystem::absolute(flags.output).parent_path();
    std::error_code error;
    if (!std::filesystem::is_directory(folder, error)) {
      throw_model_error(flags.output, ": the folder ", folder.string(), " does not exist");
    }
    if (library) {
      check_library_folder(flags.output);
    } else if (std::filesystem::is_directory(flags.output, error)) {
      throw_model_error(flags.output, ": this is a folder; name the program to write");
    } else if (flags.separate_weights() &&
               std::filesystem::is_directory(weights_beside(flags.output), error)) {
      throw_model_error(weights_beside(flags.output).string(),
                        ": this is a folder; the weights would have this name");
    }
  }
}

SelfTest given_self_test(const LoweredModel &model, const CompileFlags &flags) {
  SelfTest test;
  test.rtol = static_cast<float>(flags.rtol);
  test.atol = static_cast<float>(flags.atol);
  test.tensors = match_tensors(model.plan.inputs, read_tensors(flags.inputs), flags.inputs);
  const std::vector<Tensor> expected =
      match_tensors(model.plan.outputs, read_tensors(flags.expected), flags.expected);
  test.tensors.insert(test.tensors.end(), expected.begin(), expected.end());
  return test;
}

// Fills in the self-test; returns what the summary says about it.
std::string add_self_test(const LoweredModel &model, const CompileFlags &flags, ProgramInfo &info) {
  if (flags.no_self_test) {
    return "left out";
  }
  if (!flags.inputs.empty()) {
    info.self_test = given_self_test(model, flags);
    return "from " + flags.inputs;
  }
  GeneratedSelfTest generated = generate_self_test(model);
  info.self_test = std::move(generated.test);
  return info.self_test ? "inputs made up, answers from the reference evaluator"
                        : "none: " + generated.note;
}

std::string kernel_texts(const Plan &plan, const CompileOptions &options, KernelText kind,
                         ProgressLine &progress) {
  std::string all;
  int done = 0;
  const int total = static_cast<int>(plan.kernels.size() * options.isas.size());
  for (const PlanKernel &kernel : plan.kernels) {
    for (const Isa isa : options.isas) {
      progress.show(done++, total, kernel.name);
      if (kernel.node == nullptr || !kernel.interface.library_symbol.empty()) {
        continue;
      }
      RunningScope running("kernel " + kernel.name);
      std::string text;
      compile_kernel(*kernel.node, {isa, options.sanitize_address, options.sanitize_thread, kind},
                     &text);
      all += (kind == KernelText::Assembly ? "# " : "// ") + kernel.name + ", " + name_of(isa) +
             "\n" + text + "\n";
    }
  }
  return all;
}

// The texts that show a step of the road.
std::string emitted_text(const CompileFlags &flags, LoweredModel &model, ProgressLine &progress) {
  const CompileOptions options = compile_options(flags.target, progress);
  if (flags.emit == "imported") {
    return print(*model.source);
  }
  if (flags.emit == "ir") {
    return print(*model.graph);
  }
  if (flags.emit == "plan") {
    return print(model.plan);
  }
  if (flags.emit == "llvm") {
    const ProgramInfo info = program_info(model);
    return plan_llvm_ir(model.plan, make_weight_image(model.plan, info), info);
  }
  return kernel_texts(model.plan, options,
                      flags.emit == "asm" ? KernelText::Assembly : KernelText::Statement, progress);
}

// `artifact`: the lines about what was written.
void print_summary(const CompileFlags &flags, const LoweredModel &model,
                   const CompileOptions &options, const std::string &self_test,
                   const std::string &artifact, double seconds) {
  std::string levels;
  for (const Isa isa : options.isas) {
    levels += (levels.empty() ? "" : " and ") + std::string(name_of(isa));
  }
  std::printf("%s: opset %lld%s%s, %zu operations\n", flags.model.model.c_str(),
              static_cast<long long>(model.opset), model.producer.empty() ? "" : ", by ",
              model.producer.c_str(), model.source->nodes().size());
  std::printf("  fused       %s\n", describe(model.fused).c_str());
  const LoweredModel *const models[] = {&model};
  if (const std::string misses = describe_near_misses(models); !misses.empty()) {
    std::printf("  nearly      %s\n", misses.c_str());
  }
  std::printf("  kernels     %zu, called %zu times, for %s\n", model.plan.kernels.size(),
              model.plan.calls.size(), levels.c_str());
  if (!flags.task.empty()) {
    std::printf("  task        %s\n", flags.task.c_str());
  }
  if (!self_test.empty()) {
    std::printf("  self-test   %s\n", self_test.c_str());
  }
  std::printf("%s\n", artifact.c_str());
  std::printf("  took        %.1f s\n", seconds);
}

void compile(const CompileFlags &flags) {
  const std::chrono::steady_clock::time_point start = std::chrono::steady_clock::now();
  check_flags(flags);
  const std::map<std::string, int> required = required_fusions(flags.require);
  if (is_translator(flags.model.model)) {
    if (!flags.task.empty() || !flags.inputs.empty()) {
      throw UsageError(std::string(flags.task.empty() ? "--inputs" : "--task") +
                       " is for a single model; a folder or a manifest becomes a translator");
    }
    compile_translator({flags.model, flags.target, flags.output, flags.emit, flags.name_prefix,
                        required, flags.no_self_test, flags.check, flags.separate_weights()});
    return;
  }
  const bool library = flags.emit == "lib";
  ProgressLine progress(flags.model.model);
  const LowerOptions lowering = lower_options(flags.model, progress);
  CompileOptions options = compile_options(flags.target, progress);
  options.separate_weights = flags.separate_weights();
  if (library) {
    options.library_prefix = library_prefix(flags.name_prefix, flags.model.model);
  }
  LoweredModel model = lower_model(flags.model.model, lowering);
  refuse_overwriting(flags, model.files);
  const LoweredModel *const models[] = {&model};
  check_required_fusions(flags.model.model, required, models);
  if (flags.check) {
    report_check(model, lowering.pipeline, progress);
  }
  if (flags.emit != "program" && !library) {
    const std::string text = emitted_text(flags, model, progress);
    progress.clear();
    print_warnings(*model.graph);
    write_text(flags.output, text);
    return;
  }
  ProgramInfo info = program_info(model);
  if (flags.task == "classify") {
    info.classify = read_classify_task(flags.model.model, *model.source, flags.classify);
  }
  std::string self_test;
  if (!library) {
    progress.show("making the self-test");
    self_test = add_self_test(model, flags, info);
  }
  const CompiledModel compiled = compile_lowered(model, info, options);
  progress.show("linking");
  const std::chrono::steady_clock::time_point linking = std::chrono::steady_clock::now();
  const std::string artifact =
      library ? write_library(compiled,
                              library_package(flags.output, {options.library_prefix, model.plan,
                                                             info, options.isas}),
                              "weights")
              : write_program(compiled, flags.output, flags.separate_weights(), "weights");
  const std::chrono::steady_clock::time_point end = std::chrono::steady_clock::now();
  model.times.push_back({"link", std::chrono::duration<double>(end - linking).count()});
  progress.clear();
  print_warnings(*model.graph);
  print_summary(flags, model, options, self_test, artifact,
                std::chrono::duration<double>(end - start).count());
  if (flags.model.timing) {
    print_times(model.times);
  }
}

}  // namespace

void add_compile_command(CLI::App &app) {
  std::shared_ptr<CompileFlags> flags = std::make_shared<CompileFlags>();
  CLI::App *command =
      app.add_subcommand("compile", "Compile a model to a standalone program or a library");
  add_model_flags(*command, flags->model);
  command->add_option("-o,--output", flags->output, "the program, library folder or text to write")
      ->type_name("FILE");
  command
      ->add_option("--emit", flags->emit,
                   "program; lib (a static library with headers and a CMake package); or a text: "
                   "imported (the graph as read), ir (after all passes), plan, stmt (Halide's "
                   "statements), asm, llvm (the plan's module)")
      ->check(CLI::IsMember({"program", "lib", "imported", "ir", "plan", "stmt", "asm", "llvm"}))
      ->type_name("KIND")
      ->capture_default_str();
  command
      ->add_option("--weights", flags->weights,
                   "inside (the program is one file) or separate (they lie beside it, in "
                   "FILE.weights)")
      ->check(CLI::IsMember({"inside", "separate"}))
      ->type_name("PLACE")
      ->capture_default_str();
  command
      ->add_option("--name-prefix", flags->name_prefix,
                   "with --emit=lib: the library's name, with which its symbols and its namespace "
                   "begin; if not given, made of the model's file's name")
      ->type_name("NAME");
  add_target_flags(*command, flags->target, "all");
  add_require_flag(*command, flags->require);
  command->add_option("--inputs", flags->inputs, "inputs of the program's --selftest")
      ->type_name("X.npz");
  command->add_option("--expected", flags->expected, "expected outputs of its --selftest")
      ->type_name("Y.npz");
  command->add_option("--rtol", flags->rtol, "relative tolerance of these")->capture_default_str();
  command->add_option("--atol", flags->atol, "absolute tolerance of these")->capture_default_str();
  command->add_flag("--no-selftest", flags->no_self_test, "store no self-test");
  command->add_flag("--check", flags->check,
                    "evaluate the graph behind each pass, at two small sizes: a pass that changes "
                    "what the model computes is named, with the node (exit status 70)");
  CLI::Option *task = command
                          ->add_option("--task", flags->task,
                                       "classify: the program takes images and prints labels")
                          ->check(CLI::IsMember({"classify"}))
                          ->type_name("TASK");
  add_classify_flags(*command, flags->classify);
  for (CLI::Option *option : command->get_options()) {
    if (option->get_group() == "With --task=classify") {
      option->needs(task);
    }
  }
  command->footer(kExamples);
  command->callback([flags] { compile(*flags); });
}

}  // namespace sylvite
