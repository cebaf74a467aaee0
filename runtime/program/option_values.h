// Values of options, checked. An error is a mistake in the usage.
#pragma once

#include <string>

#include "runtime/io/result.h"

namespace sylvite {

inline constexpr int kMaxThreads = 4096;

Error usage(std::string message);
Error parse_count(const char *option_name, const char *text, int max, int *value);
// `kind` is what the file is called in the complaint: "FILE.npz", "a file".
Error parse_file(const char *option_name, const char *text, const char *kind, std::string *file);
Error parse_real(const char *option_name, const char *text, float *value);

}  // namespace sylvite
