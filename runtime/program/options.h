// The command line of a compiled program.
#pragma once

#include <string>
#include <vector>

#include "runtime/abi.h"
#include "runtime/io/result.h"
#include "runtime/tasks/translate.h"

namespace sylvite {

enum class Action { Run, Classify, Translate, Info, Bench, SelfTest, Version, Licences, Help };

struct NamedFile {
  std::string name, file;
};

struct ProgramOptions {
  Action action = Action::Run;
  std::string inputs_file, outputs_file;   // .npz
  std::vector<NamedFile> inputs, outputs;  // .npy
  std::string sizes;                       // "batch=4,length=128"
  std::string weights;                     // --weights: a file
  bool json = false;
  bool no_limit = false;
  int threads = 0;  // 0: what the process may use
  int runs = 0;     // 0: as many as take a second
  int top_k = 5, batch = 8;
  TranslateOptions translate;
  std::vector<const char *> paths;  // images, or sentences
};

// An error is a mistake in the usage.
Result<ProgramOptions> parse_options(int argc, char **argv, const sylvite_program &program);

// What separate weights add to the help; empty for a program that holds its own.
std::string weights_help(const sylvite_program &program);

std::string help_text(const std::string &program_name, const sylvite_program &program);

}  // namespace sylvite
