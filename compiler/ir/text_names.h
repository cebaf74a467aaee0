// Names and strings of the text form, shared by printer and parser. Internal to compiler/ir.
#pragma once

#include <string>
#include <string_view>

namespace sylvite {

inline bool is_name_start(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

inline bool is_name_character(char c) {
  return is_name_start(c) || (c >= '0' && c <= '9') || c == '.';
}

// Words that begin a statement; a value of such a name is quoted.
inline bool is_keyword(std::string_view word) {
  return word == "graph" || word == "symbol" || word == "guard" || word == "warning" ||
         word == "near_miss" || word == "return" || word == "as";
}

inline std::string quoted_text(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '\n') {
      result += "\\n";
      continue;
    }
    if (c == '"' || c == '\\') {
      result += '\\';
    }
    result += c;
  }
  return result + "\"";
}

// The name as it stands where the grammar allows, else quoted.
inline std::string name_text(std::string_view name) {
  bool plain = !name.empty() && is_name_start(name[0]) && !is_keyword(name);
  for (const char c : name) {
    plain = plain && is_name_character(c);
  }
  return plain ? std::string(name) : quoted_text(name);
}

}  // namespace sylvite
