// Objects, weights and the prebuilt runtime -> a static executable, a static library for an
// application, or a library loaded into this process. LLD runs in process; nothing is left
// half-written: files appear under their name when they are complete.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "compiler/codegen/compile.h"

namespace sylvite {

// The folder with crt1.o, libc.a, ..., libsylvite_program.a for the target: beside the compiler's
// own binary (../lib/sylvite/x86_64-linux-musl), in the build tree as installed. The environment
// variable SYLVITE_RUNTIME_DIR names another one.
std::filesystem::path runtime_folder();
// The folder with libsylvite_runtime.a and the public headers, for libraries: that one's neighbour.
std::filesystem::path library_runtime_folder();

// Links, appends the weight image as the last, page-aligned, read-only loadable segment, marks
// executable, renames into place. Throws ModelError when the output cannot be written (disk full,
// no right).
void link_program(const std::vector<std::vector<char>> &objects, const WeightImage &image,
                  const std::filesystem::path &output);
// The same with the image in a file of its own, for objects that were compiled with
// CompileOptions::separate_weights. Both files are written, or neither.
void link_program_beside_weights(const std::vector<std::vector<char>> &objects,
                                 const WeightImage &image, const std::filesystem::path &output);
// That file: PROGRAM.weights.
std::filesystem::path weights_beside(const std::filesystem::path &program);

// A folder as `make install` would leave one: lib/libPREFIX.a, the runtime and its headers, and
// texts (path in the folder, content; CMake's last). Folders that are missing are made; what else
// the folder holds stays. The objects are compiled with CompileOptions::library_prefix. Throws
// ModelError as link_program does.
struct LibraryPackage {
  std::filesystem::path folder;
  std::string prefix;
  std::vector<std::pair<std::filesystem::path, std::string>> texts;
};
void link_library(const std::vector<std::vector<char>> &objects, const WeightImage &image,
                  const LibraryPackage &package);

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
