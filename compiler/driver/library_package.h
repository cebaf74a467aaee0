// `--emit=lib`: the folder that a model's library becomes.
#pragma once

#include <filesystem>
#include <string>

#include "compiler/driver/library_header.h"
#include "compiler/link/link.h"

namespace sylvite {

// Refuses (ModelError) what is no folder, and a folder with other things than libraries of ours.
void check_library_folder(const std::filesystem::path &folder);

// What link_library writes around the objects: headers, CMake's package, notices.
LibraryPackage library_package(const std::filesystem::path &folder,
                               const LibraryInterface &library);

}  // namespace sylvite
