// The objects of a program as a shared library of this process: what `verify`, `bench` and the
// tests run.
//
// Same objects, same bits as the program. What they leave undefined (memcpy, library kernels, a
// sanitizer's functions) comes from this process, whose executable has to export it (CMake:
// ENABLE_EXPORTS).
#include <dlfcn.h>
#include <sys/mman.h>

#include <cstring>
#include <string>
#include <vector>

#include "compiler/ir/error.h"
#include "compiler/link/link.h"
#include "compiler/link/lld.h"
#include "compiler/link/temporary.h"

namespace sylvite {

LoadedProgram::LoadedProgram(const std::vector<std::vector<char>> &objects,
                             const WeightImage &image) {
  const std::vector<char> linked =
      run_lld({"-m", "elf_x86_64", "-shared", "-Bsymbolic", "--gc-sections", "--build-id=none"},
              objects, {});
  const TemporaryFolder folder;  // the loader keeps its mapping when the file goes
  const std::string library = (folder.path() / "program.so").string();
  PendingFile file(library, true);
  file.write(linked.data(), linked.size());
  file.commit();
  handle_ = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle_ == nullptr) {
    const char *reason = dlerror();
    check_failed("dlopen", __FILE__, __LINE__, reason == nullptr ? "" : reason);
  }
  program_ = static_cast<const sylvite_program *>(dlsym(handle_, "sylvite_program_descriptor"));
  load_weights(image);
  if (program_ == nullptr || weights_ == nullptr) {
    release();
    if (program_ == nullptr) {
      check_failed("sylvite_program_descriptor", __FILE__, __LINE__, "not in the library");
    }
    throw_model_error("out of memory: the weights take ", image.bytes, " bytes");
  }
}

LoadedProgram::~LoadedProgram() {
  release();
}

// Pages of their own, read-only afterwards, as in a program.
void LoadedProgram::load_weights(const WeightImage &image) {
  const size_t size = static_cast<size_t>(image.bytes);
  void *pages = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) {
    return;
  }
  char *next = static_cast<char *>(pages);
  image.write_to([&](const void *data, size_t bytes) {
    std::memcpy(next, data, bytes);
    next += bytes;
    return true;
  });
  mprotect(pages, size, PROT_READ);
  weights_ = pages;
  weight_bytes_ = size;
}

void LoadedProgram::release() {
  if (weights_ != nullptr) {
    munmap(weights_, weight_bytes_);
  }
  if (handle_ != nullptr) {
    dlclose(handle_);
  }
}

}  // namespace sylvite
