// `sylvite inspect`: what was understood, fused and planned, without compiling anything.
#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "compiler/driver/commands.h"
#include "compiler/driver/flags.h"
#include "compiler/driver/inspect_report.h"
#include "compiler/ir/error.h"

namespace sylvite {
namespace {

struct InspectFlags {
  ModelFlags model;
  std::vector<std::string> sizes;
  bool json = false;
};

constexpr const char *kExamples = R"(Examples:
  sylvite inspect bert.onnx --size batch=8,length=128
  sylvite inspect bert.onnx --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["fused"])')";

void inspect(const InspectFlags &flags) {
  ProgressLine progress(flags.model.model);
  const SymbolSizes asked = parse_sizes(flags.sizes);
  const LoweredModel model = lower_model(flags.model.model, lower_options(flags.model, progress));
  progress.clear();
  const SymbolSizes sizes = sizes_for(model.plan, asked);
  try {
    std::cout << (flags.json ? inspect_json(model, sizes) : inspect_text(model, sizes));
  } catch (const DimOverflow &error) {
    throw_model_error(flags.model.model, ": at the sizes ", to_string(sizes), ": ", error.what());
  }
  if (flags.model.timing) {
    print_times(model.times);
  }
}

}  // namespace

void add_inspect_command(CLI::App &app) {
  std::shared_ptr<InspectFlags> flags = std::make_shared<InspectFlags>();
  CLI::App *command = app.add_subcommand("inspect", "Show what was understood, fused and planned");
  add_model_flags(*command, flags->model);
  command->add_option("--size", flags->sizes, "sizes at which to count operations and bytes")
      ->type_name("SYMBOL=N")
      ->delimiter(',');
  command->add_flag("--json", flags->json, "print JSON");
  command->footer(kExamples);
  command->callback([flags] { inspect(*flags); });
}

}  // namespace sylvite
