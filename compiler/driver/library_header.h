// The headers of a model's library: what the model takes and gives, in its own names.
#pragma once

#include <string>
#include <vector>

#include "compiler/codegen/compile.h"

namespace sylvite {

struct LibraryInterface {
  std::string prefix;
  const Plan &plan;         // of the root
  const ProgramInfo &info;  // with its task, if it has one
  std::vector<Isa> isas;
};

std::string c_header(const LibraryInterface &library);    // PREFIX.h
std::string cpp_header(const LibraryInterface &library);  // PREFIX.hpp

}  // namespace sylvite
