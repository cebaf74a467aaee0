// The linker, in process. Internal to compiler/link.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace sylvite {

// Runs ld.lld. A full disk is a ModelError; any other failure is ours. One link at a time: callers
// wait.
void run_lld(const std::vector<std::string> &arguments);

// Writes objects as files object0.o, object1.o, ... and returns their paths.
std::vector<std::string> write_objects(const std::vector<std::vector<char>> &objects,
                                       const std::filesystem::path &folder);

}  // namespace sylvite
