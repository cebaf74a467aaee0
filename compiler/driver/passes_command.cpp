// `sylvite passes`: IR text, named passes, IR text; for looking at one pass, and for writing its
// tests.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "compiler/driver/commands.h"
#include "compiler/driver/text_file.h"
#include "compiler/ir/dims.h"
#include "compiler/ir/error.h"
#include "compiler/ir/text.h"
#include "passes/passes.h"

namespace sylvite {
namespace {

struct PassesFlags {
  std::string file, output;
  std::vector<std::string> passes;
  bool all = false, list = false;
};

constexpr const char *kExamples = R"(Examples:
  sylvite compile vit.onnx --emit=imported > vit.ir
  sylvite passes vit.ir --pass fold_constants,remove_dead
  sylvite passes - --pipeline < vit.ir
  sylvite passes --list)";

void list_passes() {
  for (const Pass &pass : all_passes()) {
    std::printf("%-28s %s\n", pass.name, pass.sentence);
  }
  std::printf("\nThe pipeline:");
  for (const Pass &pass : pipeline()) {
    std::printf(" %s", pass.name);
  }
  std::printf("\n");
}

std::unique_ptr<Graph> read_graph(const std::string &file) {
  const std::string text = read_text(file);
  const std::string place = file == "-" ? "standard input" : file;
  try {
    std::unique_ptr<Graph> graph = parse_graph(text);
    verify(*graph);
    return graph;
  } catch (const ModelError &error) {
    throw_model_error(place, ": ", error.what());
  } catch (const DimOverflow &error) {
    throw_model_error(place, ": ", error.what());
  }
}

void run_passes(const PassesFlags &flags) {
  if (flags.list) {
    list_passes();
    return;
  }
  if (flags.file.empty()) {
    throw UsageError("passes wants a FILE of IR text, or -; see `sylvite passes --help`");
  }
  std::vector<const Pass *> chosen;
  for (const std::string &name : flags.passes) {
    chosen.push_back(find_pass(name));
    if (chosen.back() == nullptr) {
      throw UsageError("there is no pass '" + name + "'; `sylvite passes --list` prints all");
    }
  }
  std::unique_ptr<Graph> graph = read_graph(flags.file);
  for (const Pass *pass : chosen) {
    run_pass(*graph, *pass);
  }
  if (flags.all) {
    run_pipeline(*graph);
  }
  write_text(flags.output, print(*graph));
}

}  // namespace

void add_passes_command(CLI::App &app) {
  std::shared_ptr<PassesFlags> flags = std::make_shared<PassesFlags>();
  CLI::App *command = app.add_subcommand("passes", "Run passes over IR text and print the result");
  command->add_option("FILE", flags->file, "IR text (docs/ir.md), or - for standard input");
  command->add_option("--pass", flags->passes, "the passes to run, in order")
      ->type_name("A,B")
      ->delimiter(',');
  command->add_flag("--pipeline", flags->all, "then the whole pipeline");
  command->add_option("-o,--output", flags->output, "write there instead of standard output")
      ->type_name("FILE");
  command->add_flag("--list", flags->list, "print all passes and the pipeline's order");
  command->footer(kExamples);
  command->callback([flags] { run_passes(*flags); });
}

}  // namespace sylvite
