// The weights of a program that was compiled with --weights=separate: a file of their own beside
// it, PROGRAM.weights.
#pragma once

#include <string>

#include "runtime/abi.h"
#include "runtime/io/result.h"

namespace sylvite {

struct WeightsFile {
  std::string path;
  const void *image = nullptr;  // read-only, until the process ends
};

// Maps `given`, else what the environment variable SYLVITE_WEIGHTS names, else the file beside the
// program. Checks size and header; reads nothing else.
Result<WeightsFile> map_weights_file(const sylvite_program &program, const std::string &given);

}  // namespace sylvite
