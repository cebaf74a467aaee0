// Reductions, products, windows: each root in its variants and element types.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/kernels/harness.h"

namespace sylvite {
namespace {

std::string replaced(std::string text, const std::string &what, const std::string &by) {
  for (size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += by.size()) {
    text.replace(at, what.size(), by);
  }
  return text;
}

TEST(Reduce, AxesAndKinds) {
  for (const char *kind : {"sum", "mean", "max", "min", "prod"}) {
    for (const char *axes : {"(2)", "(1)", "(0, 2)", "(0, 1)", "(0, 1, 2)"}) {
      const std::string text = replaced(replaced(R"(graph (x: f32[b, l, d]) {
        y = reduce(x) {kind = KIND, axes = AXES, keepdims = 0}
        return y
      })",
                                                 "KIND", kind),
                                        "AXES", axes);
      TestKernel kernel(text);
      expect_matches(kernel, {{"b", 2}, {"l", 3}, {"d", 17}});
      expect_matches(kernel, {{"b", 1}, {"l", 2}, {"d", 5}});
    }
  }
}

TEST(Reduce, NotANumberAndInfinity) {
  for (const char *kind : {"sum", "max", "min"}) {
    for (const char *axes : {"(0)", "(1)"}) {
      TestKernel kernel(replaced(replaced(R"(graph (x: f32[m, n]) {
        y = reduce(x) {kind = KIND, axes = AXES, keepdims = 1}
        return y
      })",
                                          "KIND", kind),
                                 "AXES", axes));
      Comparison how;
      how.adjust = [](std::vector<Tensor> &inputs, std::mt19937 &random) {
        for (int i = 0; i < 3; ++i) {
          inputs[0].set(static_cast<int64_t>(random() % 5), NAN);
          inputs[0].set(inputs[0].count() - 1 - i, i == 0 ? INFINITY : -INFINITY);
        }
      };
      expect_matches(kernel, {{"m", 6}, {"n", 40}}, how);
    }
  }
}

TEST(Reduce, ElementTypes) {
  for (const char *type : {"f64", "f16", "bf16", "i32", "i64", "u8", "i8"}) {
    for (const char *kind : {"sum", "max", "mean"}) {
      for (const char *axes : {"(0)", "(1)"}) {
        TestKernel kernel(replaced(replaced(replaced(R"(graph (x: TYPE[m, n]) {
          y = reduce(x) {kind = KIND, axes = AXES, keepdims = 0}
          return y
        })",
                                                     "TYPE", type),
                                            "KIND", kind),
                                   "AXES", axes));
        expect_matches(kernel, {{"m", 3}, {"n", 21}}, {.tolerance = 1e-2, .integer_limit = 6});
      }
    }
  }
}

TEST(Reduce, PrologueAndEpilogue) {
  TestKernel kernel(R"(graph (x: f32[b, l, d], m: f32[b, l, 1]) {
    w = mul(x, m)
    s = reduce(w) {kind = sum, axes = (1), keepdims = 0}
    e = constant {value = f32[] (1e-09)}
    y = add(s, e)
    return y
  })");
  expect_matches(kernel, {{"b", 2}, {"l", 7}, {"d", 33}});
}

// Nothing in the operand names the positions that are reduced.
TEST(Reduce, BroadcastOperands) {
  for (const char *axes : {"(2)", "(1, 2)", "(0, 1, 2)"}) {
    TestKernel kernel(replaced(R"(graph (x: f32[n, 1, 1]) {
      e = expand(x) {shape = [n, 20, 37]}
      y = reduce(e) {kind = sum, axes = AXES}
      return y
    })",
                               "AXES", axes));
    expect_matches(kernel, {{"n", 3}}, {.tolerance = 1e-4});
  }
  TestKernel across(R"(graph (x: f32[n, 1, m]) {
    e = expand(x) {shape = [n, 20, m]}
    y = reduce(e) {kind = sum, axes = (1)}
    return y
  })");
  expect_matches(across, {{"n", 3}, {"m", 37}}, {.tolerance = 1e-4});
}

TEST(ArgReduce, KindsAndAxes) {
  for (const char *kind : {"max", "min"}) {
    for (const char *axis : {"0", "1"}) {
      for (const char *last : {"0", "1"}) {
        const std::string text = replaced(replaced(replaced(R"(graph (x: TYPE[m, n]) {
          y = arg_reduce(x) {kind = KIND, axis = AXIS, keepdims = 0, last = LAST}
          return y
        })",
                                                            "KIND", kind),
                                                   "AXIS", axis),
                                          "LAST", last);
        TestKernel floats(replaced(text, "TYPE", "f32"));
        Comparison how;
        how.adjust = [](std::vector<Tensor> &inputs, std::mt19937 &) {
          inputs[0].set(7, NAN);
          inputs[0].set(11, NAN);
        };
        expect_matches(floats, {{"m", 5}, {"n", 9}}, how);
        TestKernel integers(replaced(text, "TYPE", "i64"));
        expect_matches(integers, {{"m", 5}, {"n", 9}}, {.integer_limit = 3});
      }
    }
  }
}

TEST(CumSum, Variants) {
  for (const char *type : {"f32", "i64", "i32", "f16"}) {
    for (const char *axis : {"0", "1", "2"}) {
      for (const char *flags : {"exclusive = 0, reverse = 0", "exclusive = 1, reverse = 1"}) {
        TestKernel kernel(replaced(replaced(replaced(R"(graph (x: TYPE[a, b, c]) {
          y = cumsum(x) {axis = AXIS, FLAGS}
          return y
        })",
                                                     "TYPE", type),
                                            "AXIS", axis),
                                   "FLAGS", flags));
        expect_matches(kernel, {{"a", 3}, {"b", 5}, {"c", 19}},
                       {.tolerance = 1e-2, .integer_limit = 9});
      }
    }
  }
}

TEST(CumSum, Products) {
  for (const char *type : {"f32", "f64", "i32"}) {
    for (const char *flags : {"exclusive = 0, reverse = 1", "exclusive = 1, reverse = 0"}) {
      TestKernel kernel(replaced(replaced(R"(graph (x: TYPE[a, b]) {
        y = cumsum(x) {axis = 1, kind = prod, FLAGS}
        return y
      })",
                                          "TYPE", type),
                                 "FLAGS", flags));
      expect_matches(kernel, {{"a", 3}, {"b", 19}}, {.integer_limit = 9});
    }
  }
}

TEST(MatMul, BatchedAndBroadcast) {
  TestKernel kernel(R"(graph (a: f32[b, 1, m, k], c: f32[3, k, n]) {
    y = matmul(a, c)
    return y
  })");
  for (const auto &[m, k, n] : std::vector<std::array<int64_t, 3>>{
           {1, 1, 1}, {5, 7, 3}, {8, 16, 48}, {9, 400, 50}, {20, 384, 16}, {3, 800, 100}}) {
    expect_matches(kernel, {{"b", 2}, {"m", m}, {"k", k}, {"n", n}}, {.tolerance = 1e-4});
  }
}

TEST(Empty, EveryRoot) {
  for (const char *text : {
           "y = matmul(x, w)",
           "y = softmax(x) {axis = 1}",
           "y = softmax(x) {axis = 0}",
           "y = layer_norm(x) {axis = 1, epsilon = 1e-05}",
           "y = reduce(x) {kind = sum, axes = (1), keepdims = 0}",
           "y = reduce(x) {kind = max, axes = (0), keepdims = 1}",
           "y = reduce(x) {kind = prod, axes = (0, 1), keepdims = 0}",
           "y = cumsum(x) {axis = 0, exclusive = 0, reverse = 0}",
           "y = cumsum(x) {axis = 1, exclusive = 1, reverse = 1}",
           "y = transpose(x) {perm = (1, 0)}",
           "y = concat(x, x) {axis = 0}",
       }) {
    TestKernel kernel(
        "graph (x: f32[m, k], w: f32[k, n]) {\n symbol m in [0, inf)\n symbol k in [0, "
        "inf)\n symbol n in [0, inf)\n" +
        std::string(text) + "\n return y }");
    for (const int64_t m : {0, 3}) {
      for (const int64_t k : {0, 5}) {
        for (const int64_t n : {0, 2}) {
          expect_matches(kernel, {{"m", m}, {"k", k}, {"n", n}});
        }
      }
    }
  }
}

// Sizes that are products and quotients of symbols, as of an image's positions.
TEST(MatMul, WorkedOutSizes) {
  TestKernel positions(
      R"(graph (image: f32[h, w], a: f32[b, m, floor_div(h + 1, 2)*floor_div(w + 1, 2)],
                                 c: f32[b, floor_div(h + 1, 2)*floor_div(w + 1, 2), 8]) {
    y = matmul(a, c)
    return y
  })");
  for (const auto &[h, w] :
       std::vector<std::array<int64_t, 2>>{{1, 1}, {5, 8}, {40, 41}, {80, 9}}) {
    expect_matches(positions, {{"b", 2}, {"m", 9}, {"h", h}, {"w", w}}, {.tolerance = 1e-4});
  }
  TestKernel products(R"(graph (image: f32[h, w], a: f32[h*w, h*w], c: f32[h*w, min(h, w)]) {
    y = matmul(a, c)
    return y
  })");
  for (const auto &[h, w] : std::vector<std::array<int64_t, 2>>{{1, 1}, {3, 5}, {20, 20}}) {
    expect_matches(products, {{"h", h}, {"w", w}}, {.tolerance = 1e-4});
  }
}

TEST(MatMul, TransposedViewsAndEpilogue) {
  TestKernel kernel(R"(graph (a: f32[b, m, h, 20], c: f32[b, n, h, 20], s: f32[b, 1, 1, n]) {
    q = transpose(a) {perm = (0, 2, 1, 3)}
    k = transpose(c) {perm = (0, 2, 1, 3)}
    p = matmul(q, k) {transpose_b = 1}
    y = add(p, s)
    return y
  })");
  expect_matches(kernel, {{"b", 2}, {"h", 3}, {"m", 11}, {"n", 21}}, {.tolerance = 1e-4});
}

TEST(MatMul, ElementTypes) {
  for (const char *type : {"f64", "f16", "i32", "i64", "u8"}) {
    TestKernel kernel(replaced(R"(graph (a: TYPE[m, k], c: TYPE[k, n]) {
      y = matmul(a, c)
      return y
    })",
                               "TYPE", type));
    expect_matches(kernel, {{"m", 7}, {"k", 10}, {"n", 18}},
                   {.tolerance = 1e-2, .integer_limit = 5});
  }
}

TEST(Conv, TwoDimensions) {
  for (const char *attributes :
       {"strides = (1, 1), pads = (0, 0, 0, 0), dilations = (1, 1), group = 1",
        "strides = (2, 1), pads = (1, 1, 1, 1), dilations = (1, 1), group = 1",
        "strides = (1, 2), pads = (0, 2, 1, 0), dilations = (2, 1), group = 1"}) {
    TestKernel kernel(replaced(R"(graph (x: f32[b, 3, h, w], f: f32[5, 3, 3, 2], c: f32[5, 1, 1]) {
      symbol h in [8, inf)
      symbol w in [8, inf)
      y = conv(x, f) {ATTRIBUTES}
      z = add(y, c)
      return z
    })",
                               "ATTRIBUTES", attributes));
    expect_matches(kernel, {{"b", 2}, {"h", 8}, {"w", 21}}, {.tolerance = 1e-4});
    expect_matches(kernel, {{"b", 1}, {"h", 11}, {"w", 9}}, {.tolerance = 1e-4});
  }
}

TEST(Conv, GroupsOneAndThreeDimensions) {
  TestKernel depthwise(R"(graph (x: f32[b, 6, l], f: f32[6, 1, 3]) {
    symbol l in [3, inf)
    y = conv(x, f) {strides = (1), pads = (1, 1), dilations = (1), group = 6}
    return y
  })");
  expect_matches(depthwise, {{"b", 2}, {"l", 19}}, {.tolerance = 1e-4});
  TestKernel deep(R"(graph (x: f32[b, 64, 4, 5, l], f: f32[4, 32, 2, 2, 3]) {
    symbol l in [3, inf)
    y = conv(x, f) {strides = (1, 1, 1), pads = (0, 0, 0, 0, 0, 0), dilations = (1, 1, 1), group = 2}
    return y
  })");
  expect_matches(deep, {{"b", 1}, {"l", 13}}, {.tolerance = 1e-4});
}

TEST(Pool, KindsAndPadding) {
  for (const char *kind : {"max", "average"}) {
    for (const char *count : {"0", "1"}) {
      TestKernel kernel(replaced(replaced(R"(graph (x: f32[b, 3, h, w]) {
        symbol h in [4, inf)
        symbol w in [4, inf)
        y = pool(x) {kind = KIND, kernel = (3, 2), strides = (2, 1), pads = (1, 0, 1, 1), dilations = (1, 1), count_include_pad = COUNT}
        return y
      })",
                                          "KIND", kind),
                                 "COUNT", count));
      expect_matches(kernel, {{"b", 2}, {"h", 7}, {"w", 20}});
      expect_matches(kernel, {{"b", 1}, {"h", 4}, {"w", 4}});
    }
  }
}

TEST(Pool, BroadcastOperand) {
  TestKernel kernel(R"(graph (x: f32[b, 2, 1]) {
    e = expand(x) {shape = [b, 2, 9]}
    y = pool(e) {kind = average, kernel = (3), strides = (1), pads = (0, 0), dilations = (1)}
    return y
  })");
  expect_matches(kernel, {{"b", 2}});
}

}  // namespace
}  // namespace sylvite
