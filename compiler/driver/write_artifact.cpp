#include "compiler/driver/write_artifact.h"

#include <cstdint>
#include <cstdio>

namespace sylvite {
namespace {

namespace fs = std::filesystem;

// "NAME: 2.10 MB, of which 1.60 MB are weights"
std::string sizes(const fs::path &file, int64_t image_bytes, const std::string &held) {
  char text[80];
  std::snprintf(text, sizeof text, "%.2f MB, of which %.2f MB are ",
                static_cast<double>(fs::file_size(file)) / 1e6,
                static_cast<double>(image_bytes) / 1e6);
  return file.string() + ": " + text + held;
}

}  // namespace

std::string write_program(const CompiledModel &compiled, const fs::path &program,
                          const std::string &held) {
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
