#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "tests/kernels/harness.h"
#include "tests/kernels/twins.h"

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
  TestKernel kernel(
      R"(graph (i: i64[b, l], t: f32[50, 32], p: f32[64, 32], g: f32[32], c: f32[32]) {
    e = gather(t, i) {axis = 0}
    q = slice(p) {starts = [0, 0], sizes = [l, 32], steps = (1, 1)}
    s = add(e, q)
    n = layer_norm(s, g, c) {axis = 2, epsilon = 1e-12}
    return n, s
  })");
  expect_matches(kernel, {{"b", 2}, {"l", 7}}, {.integer_limit = 50});
}

// Sum, mean, squares, deviation and result, one rounding each.
TEST(LayerNorm, Twin) {
  TestKernel dynamic(R"(graph (x: f32[m, w], y: f32[m, w], g: f32[w], c: f32[w]) {
    s = add(x, y)
    n = layer_norm(s, g, c) {axis = 1, epsilon = 1e-05}
    return n, s
  })");
  TestKernel fixed(R"(graph (x: f32[m, 100], y: f32[m, 100], g: f32[100], c: f32[100]) {
    s = add(x, y)
    n = layer_norm(s, g, c) {axis = 1, epsilon = 1e-05}
    return n, s
  })");
  for (const int64_t width : {1, 3, 10, 15, 16, 17, 37, 96, 100, 768}) {
    const int64_t rows = 5;
    SymbolValues symbols = {{"m", rows}, {"w", width}};
    const std::vector<Tensor> inputs = dynamic.random_inputs(symbols, 3);
    const auto value = [&](size_t i, int64_t at) { return static_cast<float>(inputs[i].at(at)); };
    Tensor want(DType::F32, {rows, width}), sums(DType::F32, {rows, width});
    for (int64_t row = 0; row < rows; ++row) {
      std::vector<float> x;
      for (int64_t k = 0; k < width; ++k) {
        x.push_back(value(0, row * width + k) + value(1, row * width + k));
        sums.set(row * width + k, x.back());
      }
      const float mean = sum_of(x) / static_cast<float>(width);
      std::vector<float> squares(kSumLanes, 0.0f);
      for (size_t k = 0; k < x.size(); ++k) {
        const float centred = x[k] - mean;
        squares[k % kSumLanes] = std::fma(centred, centred, squares[k % kSumLanes]);
      }
      const float variance =
          tree_of(squares, [](float a, float b) { return a + b; }) / static_cast<float>(width);
      const float factor = 1.0f / std::sqrt(variance + 1e-5f);
      for (int64_t k = 0; k < width; ++k) {
        const float scaled = (x[static_cast<size_t>(k)] - mean) * factor;
        want.set(row * width + k, std::fma(scaled, value(2, k), value(3, k)));
      }
    }
    for (TestKernel *kernel : {&dynamic, &fixed}) {
      if (kernel == &fixed && width != 100) {
        continue;
      }
      for (const Isa isa : machine_isas()) {
        const std::vector<Tensor> got = kernel->run(isa, inputs, symbols, 1);
        EXPECT_TRUE(same_bits(got[0], want)) << width << " " << name_of(isa);
        EXPECT_TRUE(same_bits(got[1], sums)) << width << " " << name_of(isa);
      }
    }
  }
}

// A standard deviation of n - 1 and an epsilon added to it: three more roundings.
TEST(LayerNorm, TwinWithStandardDeviation) {
  TestKernel kernel(R"(graph (x: f32[m, 37], g: f32[37]) {
    n = layer_norm(x, g) {axis = 1, epsilon = 0.0, variance_factor = 1.0277778, outer_epsilon = 1e-06}
    return n
  })");
  const int64_t rows = 6, width = 37;
  const SymbolValues symbols = {{"m", rows}};
  std::vector<Tensor> inputs = kernel.random_inputs(symbols, 4);
  for (int64_t k = 0; k < width; ++k) {
    inputs[0].set(width + k, 3);  // a row without deviation
  }
  Tensor want(DType::F32, {rows, width});
  for (int64_t row = 0; row < rows; ++row) {
    std::vector<float> x, squares(kSumLanes, 0.0f);
    for (int64_t k = 0; k < width; ++k) {
      x.push_back(static_cast<float>(inputs[0].at(row * width + k)));
    }
    const float mean = sum_of(x) / static_cast<float>(width);
    for (size_t k = 0; k < x.size(); ++k) {
      const float centred = x[k] - mean;
      squares[k % kSumLanes] = std::fma(centred, centred, squares[k % kSumLanes]);
    }
    const float mean_square =
        tree_of(squares, [](float a, float b) { return a + b; }) / static_cast<float>(width);
    const float variance = mean_square * 1.0277778f;
    const float deviation = std::sqrt(variance) + 1e-06f;
    const float factor = 1.0f / deviation;
    for (int64_t k = 0; k < width; ++k) {
      const float scaled = (x[static_cast<size_t>(k)] - mean) * factor;
      want.set(row * width + k, scaled * static_cast<float>(inputs[1].at(k)));
    }
  }
  for (const Isa isa : machine_isas()) {
    const std::vector<Tensor> got = kernel.run(isa, inputs, symbols, 1);
    EXPECT_TRUE(same_bits(got[0], want)) << name_of(isa);
  }
}

TEST(LayerNorm, SeveralAxesAndElementTypes) {
  for (const std::string type : {"f32", "f16", "f64"}) {
    TestKernel kernel("graph (x: " + type + "[b, 3, n], g: " + type + R"([3, n]) {
      y = layer_norm(x, g) {axis = 1, epsilon = 1e-05}
      return y })");
    expect_matches(kernel, {{"b", 4}, {"n", 11}}, {.tolerance = type == "f16" ? 1e-2 : 1e-5});
  }
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

TEST(Softmax, OfDoubles) {
  for (const char *axis : {"0", "1"}) {
    TestKernel kernel("graph (x: f64[n, m], s: f64[]) { z = mul(x, s) y = softmax(z) {axis = " +
                      std::string(axis) + "} return y }");
    expect_matches(kernel, {{"n", 5}, {"m", 19}}, {.tolerance = 1e-14});
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
