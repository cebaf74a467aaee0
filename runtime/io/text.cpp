#include "runtime/io/text.h"

namespace sylvite {

std::string one_line(std::string_view text) {
  std::string line(text);
  for (char &c : line) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      c = '?';
    }
  }
  return line;
}

std::string printable(std::string_view name) {
  constexpr size_t kLongest = 200;
  return one_line(name.substr(0, kLongest)) + (name.size() > kLongest ? "..." : "");
}

}  // namespace sylvite
