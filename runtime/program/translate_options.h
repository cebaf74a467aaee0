// The command line of a translator.
#pragma once

#include <string>

#include "runtime/program/options.h"

namespace sylvite {

Result<ProgramOptions> parse_translate_options(int argc, char **argv);
std::string translate_help(const std::string &program_name, const sylvite_program &program);

}  // namespace sylvite
