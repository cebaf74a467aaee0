// Element by element in double, which holds every element type but huge 64-bit integers: these are
// compared as integers.
#include "compiler/driver/compare_tensors.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace sylvite {
namespace {

// How far, and how far in units of what is allowed; {0, 0} when equal.
struct Distance {
  double absolute = 0, ratio = 0;
};

Distance distance(double got, double expected, double rtol, double atol) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  if (got == expected || (std::isnan(got) && std::isnan(expected))) {
    return {};
  }
  if (!std::isfinite(got) || !std::isfinite(expected)) {
    return {kInfinity, kInfinity};
  }
  const double difference = std::fabs(got - expected);
  const double allowed = atol + rtol * std::fabs(expected);
  return {difference, allowed > 0 ? difference / allowed : kInfinity};
}

}  // namespace

Comparison compare_tensors(const Tensor &got, const Tensor &expected, double rtol, double atol) {
  Comparison result;
  result.count = expected.count();
  result.same_type = got.dtype() == expected.dtype() && got.shape() == expected.shape();
  if (!result.same_type) {
    return result;
  }
  const bool exact = !is_float(expected.dtype());
  for (int64_t i = 0; i < result.count; ++i) {
    if (exact && got.at_int(i) == expected.at_int(i)) {
      continue;
    }
    Distance found = exact ? distance(got.at(i), expected.at(i), 0, 0)
                           : distance(got.at(i), expected.at(i), rtol, atol);
    result.wrong += exact || found.ratio > 1 ? 1 : 0;
    result.largest = std::max(result.largest, found.absolute);
    if (found.ratio > result.worst_ratio) {
      result.worst_ratio = found.ratio;
      result.worst = i;
      result.worst_got = got.at(i);
      result.worst_expected = expected.at(i);
    }
  }
  return result;
}

std::string describe_type(const Tensor &tensor) {
  std::string sizes;
  for (const int64_t size : tensor.shape()) {
    sizes += (sizes.empty() ? "" : ", ") + std::to_string(size);
  }
  return std::string(name_of(tensor.dtype())) + "[" + sizes + "]";
}

std::string coordinates(const std::vector<int64_t> &shape, int64_t position) {
  std::string text;
  for (size_t axis = shape.size(); axis-- > 0;) {
    text.insert(0, std::to_string(position % shape[axis]) + (text.empty() ? "" : ", "));
    position /= shape[axis];
  }
  return "[" + text + "]";
}

}  // namespace sylvite
