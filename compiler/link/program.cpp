// Objects + prebuilt runtime + weights -> one static executable.
//
// Static and at a fixed address: the program needs nothing but the kernel, and the weights' place
// is known without relocation. LLD links in a temporary folder; the result is read back, given the
// weights' segment (elf.h) and written with the weights behind it, beside the output, which is
// replaced by one rename. Weights in a file of their own are the same bytes, and the program has
// LLD's layout.
#include <errno.h>

#include <cstdlib>
#include <string>
#include <system_error>
#include <vector>

#include "compiler/ir/error.h"
#include "compiler/link/elf.h"
#include "compiler/link/link.h"
#include "compiler/link/lld.h"
#include "compiler/link/temporary.h"

namespace sylvite {
namespace {

namespace fs = std::filesystem;

// What zig links a static musl program with, in its order: the first definition of a symbol wins.
// The start file and the first archive are ours to demand; an archive that a release of zig does
// not have is left out.
constexpr const char *kStart = "crt1.o";
constexpr const char *kProgram = "libsylvite_program.a";
constexpr const char *kLibraries[] = {"libc++.a", "libc++abi.a", "libunwind.a",
                                      "libc.a",   "libzigc.a",   "libcompiler_rt.a"};

std::vector<std::string> runtime_files(const fs::path &folder) {
  std::vector<std::string> files;
  for (const char *name : {kStart, kProgram, "libc.a"}) {
    if (!fs::exists(folder / name)) {
      throw_model_error("'", (folder / name).string(),
                        "' is missing: Sylvite's installation is not complete");
    }
  }
  files.push_back((folder / kProgram).string());
  for (const char *name : kLibraries) {
    if (fs::exists(folder / name)) {
      files.push_back((folder / name).string());
    }
  }
  return files;
}

std::vector<char> link_static(const std::vector<std::vector<char>> &objects) {
  const fs::path runtime = runtime_folder();
  const std::vector<std::string> libraries = runtime_files(runtime);
  return run_lld({"-m", "elf_x86_64", "-static", "--no-pie", "--gc-sections", "-O2", "--strip-all",
                  "--build-id=none", "--eh-frame-hdr", "-z", "relro", (runtime / kStart).string()},
                 objects, libraries);
}

// This program's own path. /proc may be missing; then the name that the kernel was given has to do.
fs::path own_path() {
  std::error_code error;
  fs::path path = fs::read_symlink("/proc/self/exe", error);
  if (error) {
    path = fs::canonical(program_invocation_name, error);
  }
  return path;
}

}  // namespace

fs::path runtime_folder() {
  const char *forced = std::getenv("SYLVITE_RUNTIME_DIR");
  if (forced != nullptr && *forced != '\0') {
    return forced;
  }
  return own_path().parent_path().parent_path() / "lib" / "sylvite" / "x86_64-linux-musl";
}

fs::path library_runtime_folder() {
  return runtime_folder() / ".." / "x86_64-linux-gnu";
}

void link_program(const std::vector<std::vector<char>> &objects, const WeightImage &image,
                  const fs::path &output) {
  PendingFile file(output, true);  // first: an output that cannot be written is said at once
  std::vector<char> program = link_static(objects);
  const int64_t weights = add_weight_segment(program, image.bytes);
  file.write(program.data(), program.size());
  file.skip_to(weights);
  image.write_to([&](const void *data, size_t size) { return file.write(data, size); });
  file.commit();
}

fs::path weights_beside(const fs::path &program) {
  return program.string() + ".weights";
}

void link_program_beside_weights(const std::vector<std::vector<char>> &objects,
                                 const WeightImage &image, const fs::path &output) {
  PendingFile file(output, true), weights(weights_beside(output), false);
  const std::vector<char> program = link_static(objects);
  file.write(program.data(), program.size());
  image.write_to([&](const void *data, size_t size) { return weights.write(data, size); });
  weights.complete();
  file.complete();
  // A program without its weights says so; weights without their program would only take space.
  weights.move_into_place();
  try {
    file.move_into_place();
  } catch (...) {
    std::error_code ignored;
    fs::remove(weights_beside(output), ignored);
    throw;
  }
}

}  // namespace sylvite
