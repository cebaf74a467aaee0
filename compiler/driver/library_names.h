// Names in a model's library: the prefix of its symbols, and C++ names for its tensors.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace sylvite {

// The text with all that a C++ name may not hold made '_', and `fallback` before or instead of what
// cannot start one: "input.1" is input_1, "0" with the fallback "input" is input_0. Never a word
// of C or C++, nor a name that their libraries define as a macro.
std::string identifier_of(std::string_view text, const std::string &fallback);
// One for each text, all different.
std::vector<std::string> identifiers_of(const std::vector<std::string> &texts,
                                        const std::string &fallback);

// What --name-prefix says, checked (UsageError); else made of the name of the model's file, or of
// the folder of a translator.
std::string library_prefix(const std::string &given, const std::filesystem::path &model);

}  // namespace sylvite
