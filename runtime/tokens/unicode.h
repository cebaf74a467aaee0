// UTF-8, as far as tokenizers need to know it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace sylvite {

// Bytes of the well-formed sequence that the text begins with; 0 when it begins with none.
size_t utf8_length(std::string_view text);
bool is_utf8(std::string_view text);

// The text with U+FFFD in place of what is not UTF-8, in `storage` if there is such; `replaced` is
// raised by their number. As Unicode recommends (and Python's "replace" does), what begins well and
// breaks off counts once.
std::string_view replace_bad_utf8(std::string_view text, std::string &storage, int64_t &replaced);

// White space is what Python's str.split and str.strip take for it. Bytes of the white space that
// the text begins with, a single character; 0 for none.
size_t space_length(std::string_view text);
std::string_view strip_left(std::string_view text);
std::string_view strip_right(std::string_view text);

}  // namespace sylvite
