#include "compiler/ir/closest.h"

#include <algorithm>
#include <numeric>

namespace sylvite {
namespace {

size_t edit_distance(const std::string &a, const std::string &b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0]++;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t change = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, change});
    }
  }
  return row.back();
}

}  // namespace

std::string closest(const std::string &name, const std::vector<std::string> &known) {
  // Names from files may be long; what is far longer than all that is known is no typing mistake.
  constexpr size_t kLongest = 200;
  const auto distance = [&](const std::string &candidate) {
    return edit_distance(name.substr(0, kLongest), candidate.substr(0, kLongest));
  };
  const auto best = std::min_element(
      known.begin(), known.end(),
      [&](const std::string &a, const std::string &b) { return distance(a) < distance(b); });
  return best == known.end() ? "" : *best;
}

}  // namespace sylvite
