// "Did you mean ...?"
#pragma once

#include <string>
#include <vector>

namespace sylvite {

// The known name with the fewest letters to change, add or remove; empty when there are none.
std::string closest(const std::string &name, const std::vector<std::string> &known);

}  // namespace sylvite
