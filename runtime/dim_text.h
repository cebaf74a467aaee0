// Sizes as text: the dimensions of the descriptor ("batch", "3", "past*2 + 1"), for messages and
// checks.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "runtime/abi.h"

namespace sylvite {

// "[batch, 3]", "[4, 3]"
std::string shape_text(const sylvite_tensor_info &info);
std::string shape_text(std::span<const int64_t> dims);

// The number of the symbol that is called exactly so, or -1.
int32_t find_symbol(const sylvite_program &program, std::string_view name);

// "48" -> 48; 0 for a size that is known at run time only.
int64_t fixed_size(const char *dim);

// Sums, differences and products of numbers and symbols, floor_div(a, b), min(a, b), max(a, b),
// parentheses. Nothing: the text is none of these, or the value is out of range.
std::optional<int64_t> evaluate_dim(const sylvite_program &program, std::string_view text,
                                    const int64_t *symbols);

}  // namespace sylvite
