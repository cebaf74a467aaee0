#include <gtest/gtest.h>

#include "tests/kernels/harness.h"

namespace sylvite {
namespace {

TEST(LayerNorm, ResidualWithSecondOutput) {
  for (const char *width : {"768", "37", "10", "3"}) {
    std::string text = R"(graph (x: f32[b, l, W], y: f32[b, l, W], g: f32[W], c: f32[W]) {
      s = add(x, y)
      n = layer_norm(s, g, c) {axis = 2, epsilon = 1e-05}
      return n, s
    })";
    for (size_t at; (at = text.find('W')) != std::string::npos;) {
      text.replace(at, 1, width);
    }
    TestKernel kernel(text);
    for (const int64_t l : {1, 5, 8}) {
      expect_matches(kernel, {{"b", 2}, {"l", l}});
    }
  }
}

TEST(LayerNorm, DynamicWidth) {
  TestKernel kernel(R"(graph (x: f32[m, w], y: f32[m, w], g: f32[w], c: f32[w]) {
    s = add(x, y)
    n = layer_norm(s, g, c) {axis = 1, epsilon = 1e-05}
    return n
  })");
  for (const int64_t w : {1, 5, 7, 8, 9, 15, 16, 17, 33, 100, 768, 5000}) {
    expect_matches(kernel, {{"m", 3}, {"w", w}});
  }
}

TEST(LayerNorm, PlainInputWithoutParameters) {
  TestKernel kernel(R"(graph (x: f32[m, 96]) {
    n = layer_norm(x) {axis = 1, epsilon = 1e-05}
    return n
  })");
  expect_matches(kernel, {{"m", 5}});
}

TEST(LayerNorm, RmsWithEpilogue) {
  TestKernel kernel(R"(graph (x: f32[m, 40], g: f32[40], r: f32[m, 40]) {
    n = layer_norm(x, g) {axis = 1, epsilon = 1e-06, rms = 1}
    y = add(n, r)
    return y
  })");
  expect_matches(kernel, {{"m", 5}});
}

TEST(LayerNorm, EmbeddingGather) {
  TestKernel kernel(R"(graph (i: i64[b, l], t: f32[50, 32], p: f32[64, 32], g: f32[32], c: f32[32]) {
    e = gather(t, i) {axis = 0}
    q = slice(p) {starts = [0, 0], sizes = [l, 32], steps = (1, 1)}
    s = add(e, q)
    n = layer_norm(s, g, c) {axis = 2, epsilon = 1e-12}
    return n, s
  })");
  expect_matches(kernel, {{"b", 2}, {"l", 7}}, {.integer_limit = 50});
}

TEST(Softmax, LastAxis) {
  TestKernel kernel(R"(graph (x: f32[b, l, l], m: f32[b, 1, l]) {
    s = add(x, m)
    y = softmax(s) {axis = 2}
    return y
  })");
  for (const int64_t l : {1, 2, 7, 8, 9, 16, 17, 31, 100}) {
    expect_matches(kernel, {{"b", 2}, {"l", l}});
  }
}

TEST(Softmax, StaticWidthPlain) {
  for (const char *width : {"10", "16", "1000"}) {
    TestKernel kernel("graph (x: f32[b, " + std::string(width) +
                      "]) { y = softmax(x) {axis = 1}\n return y }");
    expect_matches(kernel, {{"b", 3}});
  }
}

TEST(Softmax, OtherAxes) {
  TestKernel kernel(R"(graph (x: f32[b, k, n]) {
    y = softmax(x) {axis = 1}
    return y
  })");
  for (const int64_t n : {1, 2, 7, 8, 9, 17, 40}) {
    expect_matches(kernel, {{"b", 2}, {"k", 5}, {"n", n}});
  }
}

}  // namespace
}  // namespace sylvite
