// The rules that make a region a kernel, one broken at a time.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "compiler/ir/text.h"
#include "passes/kernel_fusion.h"

namespace sylvite {
namespace {

using ::testing::HasSubstr;

std::string broken(const std::string &body, const std::string &inputs) {
  return broken_kernel_rule(
      *parse_graph("graph (" + inputs + ") { symbol n in [1, inf)  " + body + "}"));
}

const char *const kX = "x: f32[n, 8], w: f32[1, 8, 16], ids: i64[n], t: f32[5, 8], g: f32[8]";

TEST(KernelRules, AllowEpiloguesAndPrologues) {
  EXPECT_EQ(broken("m = matmul_panels(x, w) {n = 8}  y = add(m, g)  z = add(y, x)  return z", kX),
            "");
  EXPECT_EQ(broken("r = gather(t, ids) {axis = 0}  s = add(r, x)  y = layer_norm(s, g, g) {axis = "
                   "1, epsilon = 1e-5}  return y, s",
                   kX),
            "");
  EXPECT_EQ(broken("y = neg(x)  return y", kX), "");
}

TEST(KernelRules, OneRoot) {
  EXPECT_THAT(broken("m = matmul_panels(x, w) {n = 8}  y = softmax(m) {axis = 1}  return y", kX),
              HasSubstr("two roots"));
}

TEST(KernelRules, ProductsReadOperandsThroughViewsOnly) {
  EXPECT_THAT(broken("e = exp(x)  m = matmul_panels(e, w) {n = 8}  return m", kX),
              HasSubstr("operand 0 is computed"));
  EXPECT_EQ(broken("e = slice(x) {starts = [0, 0], sizes = [n, 8], steps = (1, 1)}  "
                   "m = matmul_panels(e, w) {n = 8}  return m",
                   kX),
            "");
}

TEST(KernelRules, ResultsAreNotBroadcast) {
  EXPECT_THAT(
      broken("m = reduce(x) {kind = \"mean\", axes = (1), keepdims = 1}  y = sub(x, m)  return y",
             kX),
      HasSubstr("broadcast"));
}

TEST(KernelRules, IndicesAreInputsOrInRange) {
  EXPECT_THAT(broken("i = abs(ids)  y = gather(t, i) {axis = 0}  return y", kX),
              HasSubstr("indices are computed"));
  EXPECT_EQ(broken("i = reshape(ids) {shape = [1, n]}  y = gather(t, i) {axis = 0}  return y", kX),
            "");
  EXPECT_EQ(broken("i = iota() {start = [0], step = [2], count = [3], dtype = i64}  y = gather(t, "
                   "i) {axis = 0}  return y",
                   kX),
            "");
  EXPECT_THAT(broken("i = iota() {start = [0], step = [2], count = [n], dtype = i64}  y = "
                     "gather(t, i) {axis = 0}  return y",
                     kX),
              HasSubstr("indices are computed"));
}

// A value is computed once for each index at which it is asked, and no more often.
TEST(KernelRules, CostlyFormulas) {
  std::string shared, costly, turned, last = "x";
  for (int i = 0; i < 100; ++i) {
    const std::string t = "t" + std::to_string(i);
    shared += t + " = add(" + last + ", " + last + ")  ";
    last = t;
  }
  EXPECT_EQ(broken(shared + "return " + last, kX), "");
  last = "x";
  for (int i = 0; i < 15; ++i) {
    const std::string t = "e" + std::to_string(i);
    costly += t + " = exp(" + last + ")  ";
    last = t;
  }
  EXPECT_THAT(broken(costly + "return " + last, kX), HasSubstr("formulas cost"));
  last = "x";
  for (int i = 0; i < 6; ++i) {  // each asks for its operand at three indices: 3^6
    const std::string n = std::to_string(i);
    turned += "a" + n + " = slice(" + last +
              ") {starts = [0, 0], sizes = [n, 4], steps = (1, 1)}  " + "b" + n + " = slice(" +
              last + ") {starts = [0, 4], sizes = [n, 4], steps = (1, 1)}  " + "c" + n +
              " = concat(b" + n + ", a" + n + ") {axis = 1}  " + "t" + n + " = add(" + last +
              ", c" + n + ")  ";
    last = "t" + n;
  }
  EXPECT_THAT(broken(turned + "return " + last, kX), HasSubstr("formulas cost"));
}

TEST(KernelRules, TwelveInputs) {
  std::string inputs = "x0: f32[n]", parts = "x0";
  for (int i = 1; i < 13; ++i) {
    inputs += ", x" + std::to_string(i) + ": f32[n]";
    parts += ", x" + std::to_string(i);
  }
  EXPECT_THAT(broken("y = concat(" + parts + ") {axis = 0}  return y", inputs),
              HasSubstr("13 inputs"));
}

TEST(KernelRules, OnlyNormsStoreTheirOperandToo) {
  EXPECT_THAT(broken("s = neg(x)  y = softmax(s) {axis = 1}  return y, s", kX),
              HasSubstr("outputs"));
  EXPECT_THAT(broken("y = layer_norm(x, g, g) {axis = 1, epsilon = 1e-5}  return y, x", kX),
              HasSubstr("outputs"));
}

TEST(KernelRules, LibraryOpsStandAlone) {
  EXPECT_THAT(
      broken("e = neg(x)  v, i = topk(e) {axis = 1, k = [2], largest = 1, sorted = 1}  return v, i",
             kX),
      HasSubstr("stands alone"));
}

}  // namespace
}  // namespace sylvite
