#include <gtest/gtest.h>

#include "tests/kernels/harness.h"

namespace sylvite {
namespace {

TEST(MatMulPanels, Bias) {
  TestKernel kernel(R"(graph (x: f32[m, 96], w: f32[6, 96, 16], b: f32[96]) {
    symbol m in [0, inf)
    y = matmul_panels(x, w) {n = 96}
    z = add(y, b)
    return z
  })");
  for (const int64_t m : {0, 1, 2, 3, 5, 8, 13, 64}) {
    expect_matches(kernel, {{"m", m}}, {.tolerance = 1e-4});
  }
}

}  // namespace
}  // namespace sylvite
