#include "runtime/tokens/unicode.h"

namespace sylvite {
namespace {

uint8_t byte_at(std::string_view text, size_t i) {
  return static_cast<uint8_t>(text[i]);
}

bool continues(uint8_t byte) {
  return (byte & 0xc0) == 0x80;
}

// Bytes that a sequence with this first byte has; 0 for no first byte.
size_t announced_length(uint8_t first) {
  return first < 0x80                   ? 1
         : first < 0xc2 || first > 0xf4 ? 0
         : first < 0xe0                 ? 2
         : first < 0xf0                 ? 3
                                        : 4;
}

// Overlong forms, surrogates and what is beyond U+10FFFF show in the second byte.
bool may_follow(uint8_t first, uint8_t second) {
  return continues(second) && !(first == 0xe0 && second < 0xa0) &&
         !(first == 0xed && second > 0x9f) && !(first == 0xf0 && second < 0x90) &&
         !(first == 0xf4 && second > 0x8f);
}

// Bytes that are well-formed so far, of a text that may break off.
size_t well_formed_length(std::string_view text, size_t announced) {
  size_t length = announced > 0 && !text.empty() ? 1 : 0;
  while (length > 0 && length < announced && length < text.size() &&
         (length == 1 ? may_follow(byte_at(text, 0), byte_at(text, 1))
                      : continues(byte_at(text, length)))) {
    ++length;
  }
  return length;
}

}  // namespace

size_t utf8_length(std::string_view text) {
  const size_t announced = text.empty() ? 0 : announced_length(byte_at(text, 0));
  return well_formed_length(text, announced) == announced ? announced : 0;
}

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const size_t length = utf8_length(text);
    if (length == 0) {
      return false;
    }
    text.remove_prefix(length);
  }
  return true;
}

std::string_view replace_bad_utf8(std::string_view text, std::string &storage, int64_t &replaced) {
  if (is_utf8(text)) {
    return text;
  }
  storage.clear();
  while (!text.empty()) {
    size_t length = utf8_length(text);
    if (length > 0) {
      storage += text.substr(0, length);
    } else {
      storage += "\xef\xbf\xbd";
      ++replaced;
      length = well_formed_length(text, announced_length(byte_at(text, 0)));
      length = length > 0 ? length : 1;
    }
    text.remove_prefix(length);
  }
  return storage;
}

size_t space_length(std::string_view text) {
  if (text.empty()) {
    return 0;
  }
  const uint8_t first = byte_at(text, 0);
  if (first < 0x80) {
    return (first >= 0x09 && first <= 0x0d) || (first >= 0x1c && first <= 0x20) ? 1 : 0;
  }
  static constexpr std::string_view kOthers[] = {"\u0085", "\u00a0", "\u1680", "\u2000", "\u2001",
                                                 "\u2002", "\u2003", "\u2004", "\u2005", "\u2006",
                                                 "\u2007", "\u2008", "\u2009", "\u200a", "\u2028",
                                                 "\u2029", "\u202f", "\u205f", "\u3000"};
  for (const std::string_view space : kOthers) {
    if (text.starts_with(space)) {
      return space.size();
    }
  }
  return 0;
}

std::string_view strip_left(std::string_view text) {
  while (const size_t length = space_length(text)) {
    text.remove_prefix(length);
  }
  return text;
}

std::string_view strip_right(std::string_view text) {
  while (!text.empty()) {
    size_t start = text.size() - 1;
    while (start > 0 && continues(byte_at(text, start))) {
      --start;
    }
    if (space_length(text.substr(start)) != text.size() - start) {
      break;
    }
    text.remove_suffix(text.size() - start);
  }
  return text;
}

}  // namespace sylvite
