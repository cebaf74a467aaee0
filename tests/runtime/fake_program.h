// A compiled model written by hand: two kernels, a lookup, a copy, every kind of size. What the
// compiler makes has the same form, so that the runtime can be tested alone.
//
//   inputs   x f32[batch, 4]   y f32[batch, 4]   ids i64[batch, length]   tail f32[length + 1]
//   outputs  scaled f32[batch, 4] = (x + y) * (sum over ids of table[id])   echo f32[batch, 4] = x
#pragma once

#include <atomic>
#include <cstddef>
#include <vector>

#include "runtime/abi.h"

namespace sylvite::testing {

struct FakeState {
  std::atomic<int> prepares{0};
  std::atomic<int> parts{0};
  std::atomic<int> flushing_parts{0};  // that ran with subnormals flushed to zero
  int64_t cost = 0;                    // that the plan tells for its calls
  int64_t scratch_bytes = 256;
  float factor = 1;           // that the second kernel multiplies with as well
  int32_t kernel_result = 0;  // what the second kernel returns
};
FakeState &fake_state();

const sylvite_program &fake_program();
// The image of its weights: table = 1, 10, 100, 1000, 10000.
const std::byte *fake_weights();

}  // namespace sylvite::testing
