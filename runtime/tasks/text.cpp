#include "runtime/tasks/text.h"

#include <cstdint>

namespace sylvite {

std::string one_line(std::string_view text) {
  std::string line(text);
  for (char &c : line) {
    if (static_cast<uint8_t>(c) < 0x20 || c == 0x7f) {
      c = '?';
    }
  }
  return line;
}

}  // namespace sylvite
