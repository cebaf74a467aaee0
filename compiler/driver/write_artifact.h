// What a compile ends with: the program or the library on disk.
#pragma once

#include <filesystem>
#include <string>

#include "compiler/driver/compile_model.h"
#include "compiler/link/link.h"

namespace sylvite {

// Each links, writes and returns a summary's lines about it. `held`: what the image is, for these:
// "weights". `separate`: in a file of their own, as CompileOptions::separate_weights said.
std::string write_program(const CompiledModel &compiled, const std::filesystem::path &program,
                          bool separate, const std::string &held);
std::string write_library(const CompiledModel &compiled, const LibraryPackage &package,
                          const std::string &held);

}  // namespace sylvite
