// The package is found by CMake's find_package and may be moved. Several models can share a folder,
// and models of several folders an application: the first one's package brings the runtime.
#include "compiler/driver/library_package.h"

#include <system_error>

#include "compiler/driver/fill_template.h"
#include "compiler/ir/error.h"
#include "runtime/abi.h"

namespace sylvite {
namespace {

namespace fs = std::filesystem;

constexpr const char *kRuntime = "lib/libsylvite_runtime.a";

// @NAME@ is the prefix, @ABI@ the version of what models and the runtime agree on.
constexpr const char *kConfig = R"(# Written by `sylvite compile --emit=lib`:
#   find_package(@NAME@ REQUIRED)
#   target_link_libraries(application PRIVATE @NAME@::@NAME@)
include(CMakeFindDependencyMacro)
find_dependency(Threads)
get_filename_component(_sylvite_folder "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)

# One runtime for all models of an application.
if(NOT TARGET sylvite::runtime)
  add_library(sylvite::runtime STATIC IMPORTED)
  set_target_properties(sylvite::runtime PROPERTIES
    IMPORTED_LOCATION "${_sylvite_folder}/lib/libsylvite_runtime.a"
    INTERFACE_INCLUDE_DIRECTORIES "${_sylvite_folder}/include"
    INTERFACE_LINK_LIBRARIES "Threads::Threads;m"
    SYLVITE_ABI @ABI@)
endif()
get_target_property(_sylvite_abi sylvite::runtime SYLVITE_ABI)
if(NOT _sylvite_abi EQUAL @ABI@)
  set(@NAME@_FOUND FALSE)
  set(@NAME@_NOT_FOUND_MESSAGE
    "@NAME@ and another model were compiled by versions of Sylvite that do not fit together")
  unset(_sylvite_folder)
  unset(_sylvite_abi)
  return()
endif()

if(NOT TARGET @NAME@::@NAME@)
  add_library(@NAME@::@NAME@ STATIC IMPORTED)
  set_target_properties(@NAME@::@NAME@ PROPERTIES
    IMPORTED_LOCATION "${_sylvite_folder}/lib/lib@NAME@.a"
    INTERFACE_INCLUDE_DIRECTORIES "${_sylvite_folder}/include"
    INTERFACE_LINK_LIBRARIES sylvite::runtime)
  if(CMAKE_CXX_COMPILER_LOADED)
    set_property(TARGET @NAME@::@NAME@ PROPERTY INTERFACE_COMPILE_FEATURES cxx_std_20)
  endif()
endif()
unset(_sylvite_folder)
unset(_sylvite_abi)
)";

}  // namespace

void check_library_folder(const fs::path &folder) {
  std::error_code error;
  if (!fs::exists(folder, error)) {
    return;
  }
  if (!fs::is_directory(folder, error)) {
    throw_model_error(folder.string(), ": this is a file; --emit=lib writes a folder");
  }
  const bool empty = fs::is_empty(folder, error);
  if (error) {
    throw_model_error(folder.string(), ": cannot be read: ", error.message());
  }
  if (!empty && !fs::exists(folder / kRuntime, error)) {
    throw_model_error(folder.string(),
                      ": the folder holds other things; name a new one, an empty one or one that "
                      "--emit=lib wrote");
  }
}

LibraryPackage library_package(const fs::path &folder, const LibraryInterface &library) {
  const std::string &name = library.prefix;
  LibraryPackage package;
  package.folder = folder;
  package.prefix = name;
  const std::string config =
      fill_template(kConfig, {{"NAME", name}, {"ABI", std::to_string(int{kSylviteAbiVersion})}});
  package.texts = {{"include/" + name + "/" + name + ".h", c_header(library)},
                   {"include/" + name + "/" + name + ".hpp", cpp_header(library)},
                   {"share/doc/" + name + "/NOTICE", library.info.licences},
                   {"lib/cmake/" + name + "/" + name + "Config.cmake", config}};
  return package;
}

}  // namespace sylvite
