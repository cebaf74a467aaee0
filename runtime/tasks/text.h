// Text from files and models, made safe to print; for JSON see runtime/json.h.
#pragma once

#include <string>
#include <string_view>

namespace sylvite {

// Control characters, line ends among them, become '?'.
std::string one_line(std::string_view text);

}  // namespace sylvite
