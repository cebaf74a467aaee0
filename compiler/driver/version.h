// What --version prints and artifacts remember.
#pragma once

#include <string>

namespace sylvite {

// "0.1.0 (build 4c2eb833bc729faa)"
std::string compiler_version();

// The notice of what a compiled program carries, for its --licences: the project's NOTICE.
const char *licences();

}  // namespace sylvite
