#include "compiler/driver/fill_template.h"

#include "compiler/ir/error.h"

namespace sylvite {

std::string fill_template(std::string_view text, const std::map<std::string, std::string> &words) {
  std::string filled;
  for (;;) {
    const size_t begin = text.find('@');
    filled += text.substr(0, begin);
    if (begin == std::string_view::npos) {
      return filled;
    }
    const size_t end = text.find('@', begin + 1);
    SYLVITE_CHECK(end != std::string_view::npos);
    const std::string word(text.substr(begin + 1, end - begin - 1));
    const auto found = words.find(word);
    SYLVITE_CHECK(found != words.end(), word);
    filled += found->second;
    text.remove_prefix(end + 1);
  }
}

}  // namespace sylvite
