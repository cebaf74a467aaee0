// Texts with places to fill in.
#pragma once

#include <map>
#include <string>
#include <string_view>

namespace sylvite {

// The text with each @WORD@ replaced by what `words` says of WORD. What is put in is not looked at
// again, so it may hold anything.
std::string fill_template(std::string_view text, const std::map<std::string, std::string> &words);

}  // namespace sylvite
