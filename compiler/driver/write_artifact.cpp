#include "compiler/driver/write_artifact.h"

#include <cstdint>
#include <cstdio>

namespace sylvite {
namespace {

namespace fs = std::filesystem;

std::string megabytes(int64_t bytes) {
  char text[40];
  std::snprintf(text, sizeof text, "%.2f MB", static_cast<double>(bytes) / 1e6);
  return text;
}

// "NAME: 2.10 MB"
std::string size_of_file(const fs::path &file) {
  return file.string() + ": " + megabytes(static_cast<int64_t>(fs::file_size(file)));
}

// "NAME: 2.10 MB, of which 1.60 MB are weights"
std::string sizes(const fs::path &file, int64_t image_bytes, const std::string &held) {
  return size_of_file(file) + ", of which " + megabytes(image_bytes) + " are " + held;
}

}  // namespace

std::string write_program(const CompiledModel &compiled, const fs::path &program, bool separate,
                          const std::string &held) {
  if (separate) {
    link_program_beside_weights(compiled.objects, compiled.image, program);
    return "  program     " + size_of_file(program) + "\n  beside it   " +
           size_of_file(weights_beside(program)) + " of " + held + "; keep them together";
  }
  link_program(compiled.objects, compiled.image, program);
  return "  program     " + sizes(program, compiled.image.bytes, held);
}

std::string write_library(const CompiledModel &compiled, const LibraryPackage &package,
                          const std::string &held) {
  link_library(compiled.objects, compiled.image, package);
  const std::string &name = package.prefix;
  return "  library     " +
         sizes(package.folder / "lib" / ("lib" + name + ".a"), compiled.image.bytes, held) +
         "\n  headers     <" + name + "/" + name + ".hpp>, for C <" + name + "/" + name +
         ".h>\n  CMake       find_package(" + name + ") with " + package.folder.string() +
         " in CMAKE_PREFIX_PATH; " + name + "::" + name;
}

}  // namespace sylvite
