// Text for standard output, or for a file that appears complete or not at all.
#pragma once

#include <string>

namespace sylvite {

// `file` empty or "-": standard output.
void write_text(const std::string &file, const std::string &text);
std::string read_text(const std::string &file);  // "-": standard input

}  // namespace sylvite
