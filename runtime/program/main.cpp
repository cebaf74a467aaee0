// The main program of every compiled model: the plan object brings the descriptor, the file itself
// the weights.
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "runtime/abi.h"
#include "runtime/cpu.h"
#include "runtime/io/result.h"
#include "runtime/io/text.h"
#include "runtime/program/arrays.h"
#include "runtime/program/options.h"
#include "runtime/program/report.h"
#include "runtime/program/weights_file.h"
#include "runtime/tasks/classify.h"
#include "runtime/tasks/translate.h"

namespace sylvite {
namespace {

constexpr int kExitBadInput = 1, kExitUsage = 2, kExitBug = 70;

struct ModelEnd {
  void operator()(sylvite_model *model) const { sylvite_model_close(model); }
};

std::string base_name(const char *path) {
  const char *slash = path != nullptr ? strrchr(path, '/') : nullptr;
  const char *name = slash != nullptr ? slash + 1 : path;
  return name != nullptr && *name != 0 ? printable(name) : "program";
}

int exit_code(const std::string &name, const Error &error) {
  if (error.ok()) {
    return 0;
  }
  const bool bug = error.code == SYLVITE_INTERNAL;
  fflush(stdout);
  fprintf(stderr, "%s: %s%s\n", name.c_str(), bug ? "internal error: " : "", error.message.c_str());
  return bug ? kExitBug : kExitBadInput;
}

char g_incomplete[512];  // what a handler of signals may print

// The weights are read from their file, page by page: one that was cut short faults there.
void report_incomplete_file(int) {
  const ssize_t written = write(STDERR_FILENO, g_incomplete, strlen(g_incomplete));
  _exit(written < 0 ? kExitBug : kExitBadInput);
}

void catch_incomplete_file(const std::string &name, const std::string &file) {
  snprintf(g_incomplete, sizeof g_incomplete, "%s: %s is incomplete: copy it again\n", name.c_str(),
           file.c_str());
  struct sigaction action = {};
  action.sa_handler = report_incomplete_file;
  sigaction(SIGBUS, &action, nullptr);
}

// What goes to standard output may be a file on a full disk.
int finish(const std::string &name, int code) {
  if (fflush(stdout) != 0 || ferror(stdout) != 0) {
    fprintf(stderr, "%s: standard output cannot be written: %s\n", name.c_str(), strerror(errno));
    return code != 0 ? code : kExitBadInput;
  }
  return code;
}

int classify(const std::string &name, const sylvite_model &model, const ProgramOptions &options) {
  const ClassifyOptions classify_options = {.top_k = options.top_k,
                                            .json = options.json,
                                            .batch = options.batch,
                                            .threads = options.threads};
  return classify_main(name.c_str(), &model, classify_options, options.paths);
}

std::string isa_names() {
  std::string text;
  for (const char *isa : kIsaNames) {
    text += text_of(text.empty() ? "" : " or ", isa);
  }
  return text;
}

int act(const std::string &name, const sylvite_program &program, const ProgramOptions &options) {
  if (options.action == Action::Help || options.action == Action::Version ||
      options.action == Action::Licences) {  // on any CPU
    const std::string text = options.action == Action::Help      ? help_text(name, program)
                             : options.action == Action::Version ? version_text(program)
                                                                 : std::string(program.licences);
    fputs(text.c_str(), stdout);
    return 0;
  }
  if (const char *isa = getenv("SYLVITE_ISA"); isa != nullptr && *isa != 0 && !parse_isa(isa)) {
    fprintf(stderr, "%s: SYLVITE_ISA is '%s': expected %s\n", name.c_str(), printable(isa).c_str(),
            isa_names().c_str());
    return kExitUsage;
  }
  WeightsFile weights;
  if (program.separate_weights != 0) {
    Result<WeightsFile> mapped = map_weights_file(program, options.weights);
    if (!mapped.ok()) {
      return exit_code(name, mapped.error());
    }
    weights = mapped.value();
    catch_incomplete_file(name, text_of("'", printable(weights.path), "'"));
  }
  sylvite_model *opened = nullptr;
  char message[512] = "";
  const sylvite_result result =
      sylvite_model_open(&program, weights.image, &opened, message, sizeof message);
  if (result != SYLVITE_OK) {
    return exit_code(name, {result, message});
  }
  const std::unique_ptr<sylvite_model, ModelEnd> model(opened);
  switch (options.action) {
    case Action::Classify:
      return classify(name, *model, options);
    case Action::Translate:
      return translate_main(name.c_str(), model.get(), options.translate, options.paths);
    case Action::Info:
      return exit_code(name, print_info(*model, options));
    case Action::Bench:
      return exit_code(name, print_bench(*model, options));
    case Action::SelfTest:
      return exit_code(name, run_self_test(*model, options));
    default:
      return exit_code(name, run_arrays(*model, options));
  }
}

}  // namespace
}  // namespace sylvite

int main(int argc, char **argv) {
  using namespace sylvite;
  const std::string name = base_name(argc > 0 ? argv[0] : nullptr);
  catch_incomplete_file(name, "the program's file");
  const sylvite_program &program = sylvite_program_descriptor;
  const Result<ProgramOptions> options = parse_options(argc, argv, program);
  if (!options.ok()) {
    fprintf(stderr, "%s: %s; see %s --help\n", name.c_str(), options.error().message.c_str(),
            name.c_str());
    return kExitUsage;
  }
  return finish(name, act(name, program, options.value()));
}
