// JSON strings. Names of models, labels and files may hold any bytes; what is printed must still be
// JSON.
#include "runtime/json.h"

#include <stdint.h>

#include <cstddef>

namespace sylvite {
namespace {

// The length of the UTF-8 sequence that starts here; 0 when it is none.
size_t sequence_length(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t first = byte(0);
  const size_t length = first < 0x80   ? 1
                        : first < 0xc2 ? 0
                        : first < 0xe0 ? 2
                        : first < 0xf0 ? 3
                                       : 4;
  if (length == 0 || first > 0xf4 || length > text.size()) {
    return 0;
  }
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) {
      return 0;
    }
  }
  // Overlong forms, surrogates, and what is beyond U+10FFFF.
  if ((first == 0xe0 && byte(1) < 0xa0) || (first == 0xed && byte(1) > 0x9f) ||
      (first == 0xf0 && byte(1) < 0x90) || (first == 0xf4 && byte(1) > 0x8f)) {
    return 0;
  }
  return length;
}

}  // namespace

std::string json_string(std::string_view text) {
  constexpr char kHex[] = "0123456789abcdef";
  std::string line = "\"";
  while (!text.empty()) {
    const size_t length = sequence_length(text);
    const char c = text[0];
    if (length == 0) {
      line += "\xef\xbf\xbd";
    } else if (c == '"' || c == '\\') {
      line += '\\';
      line += c;
    } else if (static_cast<uint8_t>(c) < 0x20 || c == 0x7f) {
      line += "\\u00";
      line += kHex[static_cast<uint8_t>(c) >> 4];
      line += kHex[static_cast<uint8_t>(c) & 15];
    } else {
      line += text.substr(0, length);
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return line + '"';
}

}  // namespace sylvite
