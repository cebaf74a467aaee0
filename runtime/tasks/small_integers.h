// Tokens and masks in the element type that a model's input has.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "runtime/include/sylvite/sylvite.h"

namespace sylvite {

// Numbers that every type of the model's inputs can hold: tokens (in i32 or i64), 0 and 1.
struct SmallIntegers {
  std::vector<int32_t> values;
  std::vector<std::byte> bytes;  // the same, as pack() left them

  void reserve(size_t count);
  // So many zeroes; takes more than that where it has to grow.
  void clear(size_t count);
  // Makes `values` the data of a tensor, in its type; they stay here.
  void pack(sylvite_tensor *tensor);
};

}  // namespace sylvite
