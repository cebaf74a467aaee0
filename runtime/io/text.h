// Text from files, models and command lines, made safe to print; for JSON see runtime/json.h.
#pragma once

#include <string>
#include <string_view>

namespace sylvite {

// Control characters, line ends among them, become '?'.
std::string one_line(std::string_view text);

// A name inside a message: one line, and cut where it is very long.
std::string printable(std::string_view name);

}  // namespace sylvite
