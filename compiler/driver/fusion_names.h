// The kinds of fusion by the names that reports use.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "passes/passes.h"

namespace sylvite {

std::vector<std::pair<std::string, int>> fusion_names(const FusionCounts &counts);
std::string describe(const FusionCounts &counts);  // "4 attention, 8 add_norm"; "nothing"

}  // namespace sylvite
