#include <gtest/gtest.h>

#include "tests/kernels/harness.h"

namespace sylvite {
namespace {

TEST(None, FlatElementwise) {
  TestKernel kernel(R"(graph (x: f32[n, 7], y: f32[n, 7]) {
    symbol n in [0, inf)
    half = constant {value = f32[] (0.5)}
    a = add(x, y)
    b = mul(a, half)
    c = tanh(b)
    return c
  })");
  for (const int64_t n : {0, 1, 2, 3, 5, 9, 40}) {
    expect_matches(kernel, {{"n", n}});
  }
}

TEST(None, BroadcastRows) {
  TestKernel kernel(R"(graph (x: f32[n, m, k], y: f32[k], z: f32[n, 1, 1]) {
    symbol m in [0, inf)
    a = add(x, y)
    b = mul(a, z)
    return b
  })");
  for (const int64_t k : {1, 7, 8, 9, 15, 16, 17, 33}) {
    expect_matches(kernel, {{"n", 3}, {"m", 2}, {"k", k}});
  }
  expect_matches(kernel, {{"n", 3}, {"m", 0}, {"k", 4}});
}

TEST(None, Scalar) {
  TestKernel kernel(R"(graph (x: f32[], y: f32[1]) {
    a = add(x, y)
    return a
  })");
  expect_matches(kernel, {});
}

TEST(None, TransposeAndConcat) {
  TestKernel kernel(R"(graph (x: f32[n, 4, l], c: f32[1, 1, 4]) {
    t = transpose(x) {perm = (0, 2, 1)}
    e = expand(c) {shape = [n, 1, 4]}
    j = concat(e, t) {axis = 1}
    return j
  })");
  expect_matches(kernel, {{"n", 3}, {"l", 5}});
  expect_matches(kernel, {{"n", 1}, {"l", 19}});
}

TEST(None, BoolsAndIntegers) {
  TestKernel kernel(R"(graph (x: i64[n, 5], b: bool[n, 5]) {
    two = constant {value = i64[] (2)}
    l = less(x, two)
    a = and(l, b)
    w = where(a, x, two)
    return w, a
  })");
  for (const int64_t n : {1, 4, 13}) {
    expect_matches(kernel, {{"n", n}}, {.integer_limit = 5});
  }
}

}  // namespace
}  // namespace sylvite
