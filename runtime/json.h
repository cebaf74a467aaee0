// Text as JSON.
#pragma once

#include <string>
#include <string_view>

namespace sylvite {

// "text", escaped; bytes that are not UTF-8 become U+FFFD, so that the line is always valid JSON.
std::string json_string(std::string_view text);

}  // namespace sylvite
