// What a program says about itself.
#pragma once

#include <string>

#include "runtime/io/result.h"
#include "runtime/model.h"
#include "runtime/program/options.h"

namespace sylvite {

std::string version_text(const sylvite_program &program);

// --info: inputs, outputs, symbols with their ranges; with --size the memory that a run takes.
Error print_info(const sylvite_model &model, const ProgramOptions &options);

Error print_bench(const sylvite_model &model, const ProgramOptions &options);

}  // namespace sylvite
