// The linker, in process. Internal to compiler/link.
#pragma once

#include <string>
#include <vector>

namespace sylvite {

// Runs ld.lld with these options, then the objects, then the libraries (paths of files); returns
// the linked file. One link at a time: callers wait. A failure to link is ours, one to write the
// objects into temporary files is a ModelError.
std::vector<char> run_lld(const std::vector<std::string> &options,
                          const std::vector<std::vector<char>> &objects,
                          const std::vector<std::string> &libraries);

}  // namespace sylvite
