// How far a result is from what was expected.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "compiler/ir/tensor.h"

namespace sylvite {

struct Comparison {
  bool same_type = true;  // element type and shape agree; the rest is void otherwise
  int64_t count = 0, wrong = 0;
  double largest = 0;      // |got - expected|; infinity where only one of them is a number
  double worst_ratio = 0;  // largest |got - expected| / (atol + rtol * |expected|)
  int64_t worst = 0;       // where that is
  double worst_got = 0, worst_expected = 0;
  bool ok() const { return same_type && wrong == 0; }
};
// |got - expected| <= atol + rtol * |expected|, element by element, floats; equality otherwise. NaN
// equals NaN, an infinity itself.
Comparison compare_tensors(const Tensor &got, const Tensor &expected, double rtol, double atol);

std::string describe_type(const Tensor &tensor);  // "f32[2, 10]"

// "[1, 0, 5]" of a flat position.
std::string coordinates(const std::vector<int64_t> &shape, int64_t position);

}  // namespace sylvite
