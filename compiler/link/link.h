// Objects, weights and the prebuilt runtime -> a static executable, or a library loaded into this
// process. LLD runs in process; nothing is left half-written: files appear under their name when
// they are complete.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "compiler/codegen/compile.h"

namespace sylvite {

// The folder with crt1.o, libc.a, ..., libsylvite_program.a for the target: beside the compiler's
// own binary (../lib/sylvite/x86_64-linux-musl), in the build tree as installed. The environment
// variable SYLVITE_RUNTIME_DIR names another one.
std::filesystem::path runtime_folder();

// Links, appends the weight image as the last, page-aligned, read-only loadable segment, marks
// executable, renames into place. Throws ModelError when the output cannot be written (disk full,
// no right).
void link_program(const std::vector<std::vector<char>> &objects, const WeightImage &image,
                  const std::filesystem::path &output);

// The same objects as a shared library in a temporary file, loaded and deleted; keeps the weights
// in memory, read-only. The program and its weights must not be used after the object's end.
class LoadedProgram {
 public:
  LoadedProgram(const std::vector<std::vector<char>> &objects, const WeightImage &image);
  ~LoadedProgram();
  LoadedProgram(const LoadedProgram &) = delete;
  LoadedProgram &operator=(const LoadedProgram &) = delete;
  const sylvite_program *program() const { return program_; }
  const void *weights() const { return weights_; }

 private:
  void load_weights(const WeightImage &image);
  void release();

  void *handle_ = nullptr;
  const sylvite_program *program_ = nullptr;
  void *weights_ = nullptr;
  size_t weight_bytes_ = 0;
};

}  // namespace sylvite
