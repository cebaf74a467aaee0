// The oracle of passes and kernels, against values worked out by hand or by loops that follow the
// op's definition and share nothing with the evaluator.
#include "compiler/ir/evaluate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "compiler/ir/error.h"
#include "compiler/ir/text.h"

namespace sylvite {
namespace {

using testing::HasSubstr;

using Sizes = std::vector<int64_t>;
using Numbers = std::vector<double>;
using Integers = std::vector<int64_t>;

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr int64_t kLeast = std::numeric_limits<int64_t>::min();
constexpr int64_t kMost = std::numeric_limits<int64_t>::max();

Tensor f32(Sizes shape, const Numbers &values) {
  return Tensor::of(DType::F32, std::move(shape), values);
}
Tensor i64(Sizes shape, const Integers &values) {
  return Tensor::of(DType::I64, std::move(shape), values);
}
Tensor booleans(Sizes shape, const Integers &values) {
  return Tensor::of(DType::Bool, std::move(shape), values);
}

// f32, small whole numbers of both signs: their products and sums are exact.
Tensor ramp(Sizes shape, int64_t seed) {
  Tensor tensor(DType::F32, std::move(shape));
  for (int64_t i = 0; i < tensor.count(); ++i) {
    tensor.set(i, static_cast<double>((i * 7 + seed * 5) % 11 - 5));
  }
  return tensor;
}

std::vector<Tensor> run(const std::string &text, const std::vector<Tensor> &inputs) {
  const std::unique_ptr<Graph> graph = parse_graph(text);
  verify(*graph);
  return evaluate(*graph, inputs);
}

// The node "y = <call>" on inputs a, b, c, ...
std::vector<Tensor> results_of(const std::string &results, const std::string &call,
                               const std::vector<Tensor> &inputs) {
  std::string text = "graph (";
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Shape shape(inputs[i].shape().begin(), inputs[i].shape().end());
    text += (i > 0 ? ", " : "") + std::string(1, static_cast<char>('a' + i)) + ": " +
            to_string(TensorType{inputs[i].dtype(), shape});
  }
  return run(text + ") { " + results + " = " + call + " return " + results + " }", inputs);
}
Tensor result_of(const std::string &call, const std::vector<Tensor> &inputs) {
  return results_of("y", call, inputs)[0];
}

Tensor u64(Sizes shape, const std::vector<uint64_t> &values) {
  return Tensor::of(DType::U64, std::move(shape), values);
}

// `tolerance` is relative to the larger of 1 and the expected number.
void expect_numbers(const Tensor &got, const Sizes &shape, const Numbers &expected,
                    double tolerance = 0) {
  EXPECT_EQ(got.shape(), shape);
  ASSERT_EQ(got.count(), static_cast<int64_t>(expected.size()));
  for (int64_t i = 0; i < got.count(); ++i) {
    const double want = expected[static_cast<size_t>(i)], have = got.at(i);
    if (std::isnan(want) || std::isinf(want) || want == 0) {
      EXPECT_TRUE(std::isnan(want) ? std::isnan(have)
                                   : have == want && std::signbit(have) == std::signbit(want))
          << "element " << i << " is " << have << ", expected " << want;
    } else {
      EXPECT_NEAR(have, want, tolerance * std::max(1.0, std::fabs(want))) << "element " << i;
    }
  }
}
void expect_integers(const Tensor &got, const Sizes &shape, const Integers &expected) {
  EXPECT_EQ(got.shape(), shape);
  ASSERT_EQ(got.count(), static_cast<int64_t>(expected.size()));
  for (int64_t i = 0; i < got.count(); ++i) {
    EXPECT_EQ(got.at_int(i), expected[static_cast<size_t>(i)]) << "element " << i;
  }
}

// One operand, a row of f32.
void expect_unary(const std::string &call, const Numbers &values, const Numbers &expected,
                  double tolerance = 0) {
  SCOPED_TRACE(call);
  const int64_t n = static_cast<int64_t>(values.size());
  expect_numbers(result_of(call, {f32({n}, values)}), {n}, expected, tolerance);
}
// Two operands of one type, in pairs.
void expect_binary(const std::string &call, const Numbers &a, const Numbers &b,
                   const Numbers &expected) {
  SCOPED_TRACE(call);
  const int64_t n = static_cast<int64_t>(a.size());
  expect_numbers(result_of(call, {f32({n}, a), f32({n}, b)}), {n}, expected);
}
void expect_integer_pairs(const std::string &call, const Integers &a, const Integers &b,
                          const Integers &expected) {
  SCOPED_TRACE(call);
  const int64_t n = static_cast<int64_t>(a.size());
  expect_integers(result_of(call, {i64({n}, a), i64({n}, b)}), {n}, expected);
}
void expect_truth(const std::string &call, const std::vector<Tensor> &inputs,
                  const Integers &expected) {
  SCOPED_TRACE(call);
  const Tensor got = result_of(call, inputs);
  EXPECT_EQ(got.dtype(), DType::Bool);
  expect_integers(got, {static_cast<int64_t>(expected.size())}, expected);
}

std::string error_of(const std::function<void()> &action) {
  try {
    action();
  } catch (const ModelError &error) {
    return error.what();
  }
  return "no error";
}

// ---- Leaves -------------------------------------------------------------------------------------

TEST(Evaluate, Leaves) {
  const std::string head = "graph (x: f32[n, 2]) { symbol n in [1, inf) ";
  const Tensor x(DType::F32, {3, 2});
  expect_numbers(run(head + "y = constant {value = f32[2] (1.5, -inf)} return y }", {x})[0], {2},
                 {1.5, -kInf});
  expect_integers(run(head + "y = iota {start = [n], step = [-2], count = [n + 1], dtype = i64} "
                             "return y }",
                      {x})[0],
                  {4}, {3, 1, -1, -3});
  expect_numbers(run(head + "y = iota {start = [1], step = [1], count = [2], dtype = f32} return y "
                            "}",
                     {x})[0],
                 {2}, {1, 2});
  expect_integers(run(head + "y = dim_values {values = [n, 2*n + 1], shape = (2, 1), dtype = i32} "
                             "return y }",
                      {x})[0],
                  {2, 1}, {3, 7});
}

// ---- Elementwise --------------------------------------------------------------------------------

TEST(Evaluate, Signs) {
  expect_unary("neg(a)", {1.5, 0.0, -kInf, kNaN}, {-1.5, -0.0, kInf, kNaN});
  expect_unary("abs(a)", {-1.5, -0.0, -kInf, kNaN}, {1.5, 0.0, kInf, kNaN});
  expect_unary("sign(a)", {-3, 0.25, 0, kInf, kNaN}, {-1, 1, 0, 1, kNaN});
  expect_integers(result_of("neg(a)", {i64({2}, {5, kLeast})}), {2}, {-5, kLeast});
  expect_integers(result_of("abs(a)", {i64({3}, {-5, 4, kLeast})}), {3}, {5, 4, kLeast});
  expect_integers(result_of("sign(a)", {i64({3}, {-5, 0, 4})}), {3}, {-1, 0, 1});
}

TEST(Evaluate, Rounding) {
  expect_unary("floor(a)", {1.5, -1.5, 2, -kInf, kNaN}, {1, -2, 2, -kInf, kNaN});
  expect_unary("ceil(a)", {1.5, -1.5, 2, kInf, kNaN}, {2, -1, 2, kInf, kNaN});
  expect_unary("round(a)", {0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 2.4, 2.6, kInf, kNaN},
               {0, 2, 2, -0.0, -2, -2, 2, 3, kInf, kNaN});
}

TEST(Evaluate, Functions) {
  const double close = 1e-7;
  expect_unary("sqrt(a)", {2, 0, -1, kInf}, {1.4142135623730951, 0, kNaN, kInf}, close);
  expect_unary("exp(a)", {1, 0, -kInf, kInf, 1000, kNaN},
               {2.718281828459045, 1, 0, kInf, kInf, kNaN}, close);
  expect_unary("log(a)", {2, 1, 0, -1, kInf}, {0.6931471805599453, 0, -kInf, kNaN, kInf}, close);
  expect_unary("erf(a)", {1, -0.5, kInf, -kInf, kNaN},
               {0.8427007929497149, -0.5204998778130465, 1, -1, kNaN}, close);
  expect_unary("tanh(a)", {1, kInf, -kInf, kNaN}, {0.7615941559557649, 1, -1, kNaN}, close);
  expect_unary("sin(a)", {1, 0, kInf}, {0.8414709848078965, 0, kNaN}, close);
  expect_unary("cos(a)", {1, 0, -kInf}, {0.5403023058681398, 1, kNaN}, close);
}

TEST(Evaluate, Truth) {
  expect_truth("not(a)", {booleans({2}, {0, 1})}, {1, 0});
  const Tensor odd = f32({4}, {kNaN, kInf, -kInf, 1});
  expect_truth("is_nan(a)", {odd}, {1, 0, 0, 0});
  expect_truth("is_inf(a)", {odd}, {0, 1, 1, 0});
  expect_truth("is_inf(a) {negative = 0}", {odd}, {0, 1, 0, 0});
  expect_truth("is_inf(a) {positive = 0}", {odd}, {0, 0, 1, 0});
  const Tensor a = booleans({4}, {0, 0, 1, 1}), b = booleans({4}, {0, 1, 0, 1});
  expect_truth("and(a, b)", {a, b}, {0, 0, 0, 1});
  expect_truth("or(a, b)", {a, b}, {0, 1, 1, 1});
  expect_truth("xor(a, b)", {a, b}, {0, 1, 1, 0});
  expect_truth("equal(a, b)", {a, b}, {1, 0, 0, 1});
}

TEST(Evaluate, Comparisons) {
  const Tensor a = f32({6}, {1, 2, kNaN, 1, kInf, -0.0}), b = f32({6}, {1, 1, 1, kNaN, kInf, 0.0});
  expect_truth("equal(a, b)", {a, b}, {1, 0, 0, 0, 1, 1});
  expect_truth("less(a, b)", {a, b}, {0, 0, 0, 0, 0, 0});
  expect_truth("less(b, a)", {a, b}, {0, 1, 0, 0, 0, 0});
  expect_truth("less_equal(a, b)", {a, b}, {1, 0, 0, 0, 1, 1});
  // Neighbours that one double cannot tell apart.
  const int64_t wide = int64_t{1} << 53;
  const Tensor c = i64({2}, {wide, kLeast}), d = i64({2}, {wide + 1, kMost});
  expect_truth("equal(a, b)", {c, d}, {0, 0});
  expect_truth("less(a, b)", {c, d}, {1, 1});
  expect_truth("less_equal(b, a)", {c, d}, {0, 0});
}

TEST(Evaluate, Cast) {
  const auto cast = [](const Tensor &from, const char *to) {
    return result_of(std::string("cast(a) {to = ") + to + "}", {from});
  };
  expect_integers(cast(f32({4}, {2.9, -2.9, 0.5, -0.5}), "i32"), {4}, {2, -2, 0, 0});
  expect_integers(cast(f32({4}, {0.25, 0, kNaN, -kInf}), "bool"), {4}, {1, 0, 1, 1});
  expect_integers(cast(i64({3}, {300, -1, 127}), "u8"), {3}, {44, 255, 127});
  expect_integers(cast(i64({3}, {300, 128, -129}), "i8"), {3}, {44, -128, 127});
  expect_integers(cast(i64({2}, {(int64_t{1} << 32) + 5, -1}), "i32"), {2}, {5, -1});
  expect_integers(cast(i64({2}, {(int64_t{1} << 53) + 1, kLeast}), "u64"), {2},
                  {(int64_t{1} << 53) + 1, kLeast});
  expect_numbers(cast(booleans({2}, {0, 1}), "f32"), {2}, {0, 1});
  expect_numbers(cast(i64({1}, {16777217}), "f32"), {1}, {16777216});  // 2^24 + 1: half to even
  // Halves have 11 bits, bfloat16 8; halves end at 65504.
  expect_numbers(cast(f32({5}, {2049, 2051, 65519, 65520, 1e-9}), "f16"), {5},
                 {2048, 2052, 65504, kInf, 0});
  expect_numbers(cast(f32({3}, {257, 259, kNaN}), "bf16"), {3}, {256, 260, kNaN});
}

TEST(Evaluate, Sums) {
  expect_binary("add(a, b)", {1, kInf, kInf, kNaN}, {2, 1, -kInf, 1}, {3, kInf, kNaN, kNaN});
  expect_binary("sub(a, b)", {1, kInf, -0.0, 2}, {2, kInf, 0.0, kNaN}, {-1, kNaN, -0.0, kNaN});
  expect_integer_pairs("add(a, b)", {1, kMost}, {-3, 1}, {-2, kLeast});
  expect_integer_pairs("sub(a, b)", {1, kLeast}, {3, 1}, {-2, kMost});
  const Tensor bytes = Tensor::of(DType::I8, {1}, Integers{127});
  expect_integers(result_of("add(a, a)", {bytes}), {1}, {-2});
  // Each result is rounded to its type: 2048 + 1 is no half.
  const Tensor halves = Tensor::of(DType::F16, {2}, Numbers{2048, 3});
  const Tensor ones = Tensor::of(DType::F16, {}, Numbers{1});
  expect_numbers(result_of("add(a, b)", {halves, ones}), {2}, {2048, 4});
  expect_binary("add(a, b)", {16777216}, {1}, {16777216});
}

TEST(Evaluate, Broadcasting) {
  const Tensor column = f32({2, 1}, {10, 20}), row = f32({3}, {1, 2, 3});
  expect_numbers(result_of("add(a, b)", {column, row}), {2, 3}, {11, 12, 13, 21, 22, 23});
  expect_numbers(result_of("sub(b, a)", {column, row}), {2, 3}, {-9, -8, -7, -19, -18, -17});
  expect_numbers(result_of("mul(a, b)", {f32({}, {2}), row}), {3}, {2, 4, 6});
  expect_numbers(result_of("mul(a, b)", {f32({0, 1}, {}), row}), {0, 3}, {});
}

TEST(Evaluate, Products) {
  expect_binary("mul(a, b)", {2, kInf, -0.0, kInf}, {-3, 0, 5, -2}, {-6, kNaN, -0.0, -kInf});
  expect_integer_pairs("mul(a, b)", {-3, int64_t{1} << 62}, {5, 4}, {-15, 0});
  expect_binary("div(a, b)", {1, 1, -1, 0, 7}, {4, 0, 0, 0, kInf}, {0.25, kInf, -kInf, kNaN, 0});
  expect_integer_pairs("div(a, b)", {7, -7, 7, -7, 5, kLeast}, {2, 2, -2, -2, 0, -1},
                       {3, -3, -3, 3, 0, kLeast});
}

TEST(Evaluate, Remainders) {
  const Integers a = {7, -7, 7, -7, 6, 5, kLeast}, b = {3, 3, -3, -3, -3, 0, -1};
  expect_integer_pairs("mod(a, b)", a, b, {1, 2, -2, -1, 0, 0, 0});
  expect_integer_pairs("mod(a, b) {fmod = 1}", a, b, {1, -1, 1, -1, 0, 0, 0});
  const Numbers x = {7.5, -7.5, 7.5, -7.5, 1, kInf, 5, kNaN}, y = {2, 2, -2, -2, 0, 2, kInf, 2};
  expect_binary("mod(a, b)", x, y, {1.5, 0.5, -0.5, -1.5, kNaN, kNaN, 5, kNaN});
  expect_binary("mod(a, b) {fmod = 1}", x, y, {1.5, -1.5, 1.5, -1.5, kNaN, kNaN, 5, kNaN});
  // However large the quotient: 2^k mod 3 is 1 for even k, 2 for odd k; 2^90 mod 7 = (2^3)^30
  // mod 7.
  expect_binary("mod(a, b) {fmod = 1}", {0x1p24, 0x1p61, 0x1p90, -0x1p61}, {3, 3, 7, 3},
                {1, 2, 1, -2});
  expect_binary("mod(a, b)", {0x1p61, -0x1p61}, {3, 3}, {2, 1});
}

TEST(Evaluate, Powers) {
  expect_binary("pow(a, b)", {2, -2, -8, 0, 2, kNaN, 0, 4}, {10, 3, 0.5, 0, -1, 0, -1, 0.5},
                {1024, -8, kNaN, 1, 0.5, 1, kInf, 2});
  expect_integer_pairs("pow(a, b)", {3, -2, 2, -1, 1, 5, 0}, {4, 3, 64, -3, -9, -1, 0},
                       {81, -8, 0, -1, 1, 0, 1});
  // The exponent's type is its own; the result has the base's.
  expect_numbers(result_of("pow(a, b)", {f32({3}, {2.5, 4, -0.5}), i64({3}, {2, -1, 3})}), {3},
                 {6.25, 0.25, -0.125});
  expect_integers(result_of("pow(a, b)", {i64({3}, {9, 2, 3}), f32({3}, {0.5, 0.5, 2})}), {3},
                  {3, 1, 9});
}

TEST(Evaluate, Extremes) {
  const Numbers a = {1, kNaN, 2, kInf}, b = {2, 1, kNaN, -kInf};
  expect_binary("min(a, b)", a, b, {1, kNaN, kNaN, -kInf});
  expect_binary("max(a, b)", a, b, {2, kNaN, kNaN, kInf});
  expect_integer_pairs("min(a, b)", {kLeast, 4}, {kMost, -4}, {kLeast, -4});
  expect_integer_pairs("max(a, b)", {kLeast, 4}, {kMost, -4}, {kMost, 4});
}

TEST(Evaluate, Where) {
  const Tensor condition = booleans({2, 1}, {1, 0});
  expect_numbers(result_of("where(a, b, c)",
                           {condition, f32({2}, {1, kInf}), f32({2, 2}, {kNaN, kNaN, 3, kNaN})}),
                 {2, 2}, {1, kInf, 3, kNaN});
  const int64_t wide = (int64_t{1} << 53) + 1;
  expect_integers(result_of("where(a, b, c)", {condition, i64({}, {wide}), i64({}, {-wide})}),
                  {2, 1}, {wide, -wide});
  expect_truth("where(a, b, c)", {booleans({2}, {1, 0}), booleans({}, {1}), booleans({}, {0})},
               {1, 0});
}

// ---- Views --------------------------------------------------------------------------------------

TEST(Evaluate, Views) {
  const Tensor x = f32({2, 3}, {1, 2, 3, 4, 5, 6});
  expect_numbers(result_of("reshape(a) {shape = [3, 1, 2]}", {x}), {3, 1, 2}, {1, 2, 3, 4, 5, 6});
  expect_numbers(result_of("transpose(a) {perm = (1, 0)}", {x}), {3, 2}, {1, 4, 2, 5, 3, 6});
  // Element [i, j, k] of the result is element [j, k, i] of the operand.
  expect_numbers(result_of("transpose(a) {perm = (2, 0, 1)}",
                           {f32({2, 2, 2}, {0, 1, 10, 11, 100, 101, 110, 111})}),
                 {2, 2, 2}, {0, 10, 100, 110, 1, 11, 101, 111});
  expect_numbers(result_of("expand(a) {shape = [2, 2, 3]}", {f32({2, 1}, {7, 8})}), {2, 2, 3},
                 {7, 7, 7, 8, 8, 8, 7, 7, 7, 8, 8, 8});
  expect_numbers(result_of("concat(a, b, a) {axis = 1}", {x, f32({2, 1}, {9, 8})}), {2, 7},
                 {1, 2, 3, 9, 1, 2, 3, 4, 5, 6, 8, 4, 5, 6});
  expect_integers(result_of("concat(a, b) {axis = 0}", {i64({0, 2}, {}), i64({1, 2}, {kMost, -1})}),
                  {1, 2}, {kMost, -1});
}

TEST(Evaluate, Slice) {
  const Tensor row = f32({6}, {0, 1, 2, 3, 4, 5});
  expect_numbers(result_of("slice(a) {starts = [1], sizes = [2], steps = (3)}", {row}), {2},
                 {1, 4});
  expect_numbers(result_of("slice(a) {starts = [5], sizes = [3], steps = (-2)}", {row}), {3},
                 {5, 3, 1});
  expect_numbers(result_of("slice(a) {starts = [0], sizes = [0], steps = (1)}", {row}), {0}, {});
  expect_numbers(result_of("slice(a) {starts = [1, 2], sizes = [2, 2], steps = (-1, -2)}",
                           {f32({2, 3}, {1, 2, 3, 4, 5, 6})}),
                 {2, 2}, {6, 4, 3, 1});
}

TEST(Evaluate, Pad) {
  const Tensor row = f32({3}, {1, 2, 3}), x = f32({1, 2}, {1, 2});
  expect_numbers(result_of("pad(a) {before = [1], after = [2]}", {row}), {6}, {0, 1, 2, 3, 0, 0});
  expect_numbers(result_of("pad(a, b) {before = [1, 0], after = [0, 1], mode = constant}",
                           {x, f32({}, {kInf})}),
                 {2, 3}, {kInf, kInf, kInf, 1, 2, kInf});
  expect_numbers(result_of("pad(a) {before = [2], after = [2], mode = edge}", {row}), {7},
                 {1, 1, 1, 2, 3, 3, 3});
  expect_numbers(result_of("pad(a) {before = [2], after = [2], mode = reflect}", {row}), {7},
                 {3, 2, 1, 2, 3, 2, 1});
}

// ---- Lookups ------------------------------------------------------------------------------------

TEST(Evaluate, Gather) {
  const Tensor table = f32({3, 2}, {0, 1, 10, 11, 20, 21});
  expect_numbers(result_of("gather(a, b) {axis = 0}", {table, i64({2, 2}, {2, 0, -1, -3})}),
                 {2, 2, 2}, {20, 21, 0, 1, 20, 21, 0, 1});
  expect_numbers(result_of("gather(a, b) {axis = 1}", {table, i64({3}, {1, -1, 0})}), {3, 3},
                 {1, 1, 0, 11, 11, 10, 21, 21, 20});
  expect_numbers(result_of("gather(a, b) {axis = 0}", {table, i64({}, {1})}), {2}, {10, 11});
  for (const int64_t index : {3, -4}) {
    EXPECT_THAT(error_of([&] { result_of("gather(a, b) {axis = 0}", {table, i64({1}, {index})}); }),
                HasSubstr("index " + std::to_string(index) + " is out of range for size 3"));
  }
  EXPECT_EQ(error_of([&] {
              run("graph (t: f32[3, 2], i: i64[1]) { y = gather(t, i) {axis = 0} @ \"/Gather\" "
                  "return y }",
                  {table, i64({1}, {7})});
            }),
            "node '/Gather': index 7 is out of range for size 3");
}

TEST(Evaluate, GatherElements) {
  const Tensor x = f32({2, 3}, {1, 2, 3, 4, 5, 6});
  expect_numbers(result_of("gather_elements(a, b) {axis = 1}", {x, i64({2, 2}, {2, -3, 0, -1})}),
                 {2, 2}, {3, 1, 4, 6});
  expect_numbers(result_of("gather_elements(a, b) {axis = 0}", {x, i64({1, 3}, {1, 0, -1})}),
                 {1, 3}, {4, 2, 6});
  EXPECT_THAT(
      error_of([&] { result_of("gather_elements(a, b) {axis = 0}", {x, i64({1, 1}, {2})}); }),
      HasSubstr("index 2 is out of range for size 2"));
}

TEST(Evaluate, GatherND) {
  const Tensor x = f32({2, 2, 2}, {0, 1, 10, 11, 100, 101, 110, 111});
  expect_numbers(result_of("gather_nd(a, b)", {x, i64({2, 3}, {1, 0, 1, -2, -1, 0})}), {2},
                 {101, 10});
  expect_numbers(result_of("gather_nd(a, b)", {x, i64({2, 1}, {1, 0})}), {2, 2, 2},
                 {100, 101, 110, 111, 0, 1, 10, 11});
  // Batch b picks from x[b].
  expect_numbers(result_of("gather_nd(a, b) {batch_dims = 1}", {x, i64({2, 1}, {1, 0})}), {2, 2},
                 {10, 11, 100, 101});
  expect_numbers(
      result_of("gather_nd(a, b) {batch_dims = 1}", {x, i64({2, 2, 2}, {0, 1, 1, -1, 1, 0, 0, 0})}),
      {2, 2}, {1, 11, 110, 100});
}

// ---- Products -----------------------------------------------------------------------------------

TEST(Evaluate, MatMul) {
  const Tensor a = f32({2, 3}, {1, 2, 3, 4, 5, 6}), b = f32({3, 2}, {1, 0, -1, 2, 3, 1});
  expect_numbers(result_of("matmul(a, b)", {a, b}), {2, 2}, {8, 7, 17, 16});
  expect_numbers(result_of("matmul(a, b) {transpose_b = 1}", {a, a}), {2, 2}, {14, 32, 32, 77});
  expect_numbers(result_of("matmul(a, b)", {f32({2, 0}, {}), f32({0, 1}, {})}), {2, 1}, {0, 0});
  expect_numbers(result_of("matmul(a, b)", {f32({2, 2}, {kInf, 0, kNaN, 1}), f32({2, 1}, {0, 1})}),
                 {2, 1}, {kNaN, kNaN});
  expect_integers(result_of("matmul(a, b)", {i64({1, 2}, {3, -4}), i64({2, 1}, {5, 6})}), {1, 1},
                  {-9});
}

TEST(Evaluate, MatMulBroadcastsBatches) {
  const int64_t p = 2, q = 3, m = 2, k = 4, n = 5;
  const Tensor a = ramp({p, 1, m, k}, 1), b = ramp({q, k, n}, 2), t = ramp({q, n, k}, 3);
  Numbers straight, transposed;
  for (int64_t i = 0; i < p; ++i) {
    for (int64_t j = 0; j < q; ++j) {
      for (int64_t row = 0; row < m; ++row) {
        for (int64_t column = 0; column < n; ++column) {
          double sum = 0, other = 0;
          for (int64_t l = 0; l < k; ++l) {
            const double left = a.at((i * m + row) * k + l);
            sum += left * b.at((j * k + l) * n + column);
            other += left * t.at((j * n + column) * k + l);
          }
          straight.push_back(sum);
          transposed.push_back(other);
        }
      }
    }
  }
  expect_numbers(result_of("matmul(a, b)", {a, b}), {p, q, m, n}, straight);
  expect_numbers(result_of("matmul(a, b) {transpose_b = 1}", {a, t}), {p, q, m, n}, transposed);
}

TEST(Evaluate, MatMulPanels) {
  const int64_t m = 2, k = 3, n = 18, width = 16;
  const Tensor a = ramp({1, m, k}, 1), b = ramp({k, n}, 2);
  Tensor panels(DType::F32, {2, k, width});
  for (int64_t l = 0; l < k; ++l) {
    for (int64_t column = 0; column < n; ++column) {
      panels.set(column / width * k * width + l * width + column % width, b.at(l * n + column));
    }
  }
  Numbers expected;
  for (int64_t row = 0; row < m; ++row) {
    for (int64_t column = 0; column < n; ++column) {
      expected.push_back(a.at(row * k) * b.at(column) + a.at(row * k + 1) * b.at(n + column) +
                         a.at(row * k + 2) * b.at(2 * n + column));
    }
  }
  expect_numbers(result_of("matmul_panels(a, b) {n = 18}", {a, panels}), {1, m, n}, expected);
}

TEST(Evaluate, Conv) {
  expect_numbers(result_of("conv(a, b) {strides = (1), pads = (1, 0), dilations = (1)}",
                           {f32({1, 1, 3}, {1, 2, 3}), f32({1, 1, 2}, {10, 1})}),
                 {1, 1, 3}, {1, 12, 23});
  // Two groups, everything uneven, over a copy with the padding written out.
  const int64_t batch = 2, channels = 4, height = 5, width = 6, filters = 6, group = 2;
  const int64_t top = 1, left = 2, bottom = 0, right = 1, kernel_h = 2, kernel_w = 3;
  const int64_t stride_h = 2, stride_w = 1, dilation_h = 1, dilation_w = 2;
  const Tensor x = ramp({batch, channels, height, width}, 4);
  const Tensor w = ramp({filters, channels / group, kernel_h, kernel_w}, 5);
  const int64_t padded_h = height + top + bottom, padded_w = width + left + right;
  const auto padded = [&](int64_t b, int64_t c, int64_t row, int64_t column) {
    const int64_t i = row - top, j = column - left;
    return i < 0 || j < 0 || i >= height || j >= width
               ? 0.0
               : x.at(((b * channels + c) * height + i) * width + j);
  };
  const int64_t out_h = (padded_h - (kernel_h - 1) * dilation_h - 1) / stride_h + 1;
  const int64_t out_w = (padded_w - (kernel_w - 1) * dilation_w - 1) / stride_w + 1;
  Numbers expected;
  for (int64_t b = 0; b < batch; ++b) {
    for (int64_t f = 0; f < filters; ++f) {
      const int64_t first = f < filters / group ? 0 : channels / group;
      for (int64_t i = 0; i < out_h; ++i) {
        for (int64_t j = 0; j < out_w; ++j) {
          double sum = 0;
          for (int64_t c = 0; c < channels / group; ++c) {
            for (int64_t u = 0; u < kernel_h; ++u) {
              for (int64_t v = 0; v < kernel_w; ++v) {
                sum += padded(b, first + c, i * stride_h + u * dilation_h,
                              j * stride_w + v * dilation_w) *
                       w.at(((f * (channels / group) + c) * kernel_h + u) * kernel_w + v);
              }
            }
          }
          expected.push_back(sum);
        }
      }
    }
  }
  expect_numbers(result_of("conv(a, b) {strides = (2, 1), pads = (1, 2, 0, 1), dilations = (1, 2), "
                           "group = 2}",
                           {x, w}),
                 {batch, filters, out_h, out_w}, expected);
}

TEST(Evaluate, Pool) {
  const Tensor row = f32({1, 1, 4}, {1, -2, 3, 8});
  const std::string form = ", kernel = (3), strides = (2), pads = (1, 1), dilations = (1)";
  expect_numbers(result_of("pool(a) {kind = max" + form + "}", {row}), {1, 1, 2}, {1, 8});
  expect_numbers(result_of("pool(a) {kind = average" + form + "}", {row}), {1, 1, 2}, {-0.5, 3});
  expect_numbers(result_of("pool(a) {kind = average, count_include_pad = 1" + form + "}", {row}),
                 {1, 1, 2}, {-1.0 / 3, 3}, 1e-7);
  // Padding is below everything; NaN wins.
  expect_numbers(
      result_of("pool(a) {kind = max" + form + "}", {f32({1, 1, 4}, {-5, -6, -7, kNaN})}),
      {1, 1, 2}, {-5, kNaN});
  expect_numbers(
      result_of("pool(a) {kind = max, kernel = (2, 2), strides = (1, 1), pads = (0, 0, 0, "
                "0), dilations = (1, 2)}",
                {f32({1, 1, 2, 3}, {1, 9, 2, 4, 9, 3})}),
      {1, 1, 1, 1}, {4});
}

// ---- Reductions ---------------------------------------------------------------------------------

TEST(Evaluate, Reduce) {
  const Tensor x = f32({2, 3}, {1, 2, 3, 4, 5, -6});
  const auto reduce = [](const std::string &rest, const Tensor &of) {
    return result_of("reduce(a) {" + rest + "}", {of});
  };
  expect_numbers(reduce("kind = sum, axes = (1)", x), {2}, {6, 3});
  expect_numbers(reduce("kind = sum, axes = (0), keepdims = 1", x), {1, 3}, {5, 7, -3});
  expect_numbers(reduce("kind = mean, axes = (0, 1)", x), {}, {1.5});
  expect_numbers(reduce("kind = max, axes = (0)", x), {3}, {4, 5, 3});
  expect_numbers(reduce("kind = min, axes = (1)", x), {2}, {1, -6});
  expect_numbers(reduce("kind = prod, axes = (1)", x), {2}, {6, -120});
  expect_numbers(reduce("kind = sum, axes = ()", x), {2, 3}, {1, 2, 3, 4, 5, -6});
  const Tensor odd = f32({2, 2}, {kNaN, 1, kInf, -kInf});
  expect_numbers(reduce("kind = max, axes = (1)", odd), {2}, {kNaN, kInf});
  expect_numbers(reduce("kind = min, axes = (1)", odd), {2}, {kNaN, -kInf});
  expect_numbers(reduce("kind = sum, axes = (1)", odd), {2}, {kNaN, kNaN});
}

TEST(Evaluate, ReduceNothing) {
  const Tensor none(DType::F32, {2, 0});
  const std::map<std::string, double> of_nothing = {
      {"sum", 0}, {"prod", 1}, {"max", -kInf}, {"min", kInf}, {"mean", kNaN}};
  for (const auto &[kind, number] : of_nothing) {
    SCOPED_TRACE(kind);
    expect_numbers(result_of("reduce(a) {kind = " + kind + ", axes = (1)}", {none}), {2},
                   {number, number});
  }
}

TEST(Evaluate, ReduceIntegers) {
  const int64_t wide = int64_t{1} << 53;
  const Tensor x = i64({2, 2}, {wide, 1, -3, -4});
  const auto reduce = [](const std::string &kind, const Tensor &of) {
    return result_of("reduce(a) {kind = " + kind + ", axes = (1)}", {of});
  };
  expect_integers(reduce("sum", x), {2}, {wide + 1, -7});
  expect_integers(reduce("mean", x), {2}, {wide / 2, -3});  // truncates like div
  expect_integers(reduce("max", x), {2}, {wide, -3});
  expect_integers(reduce("min", x), {2}, {1, -4});
  expect_integers(reduce("prod", x), {2}, {wide, 12});
  expect_integers(reduce("sum", i64({1, 2}, {kMost, 1})), {1}, {kLeast});
}

// Numbers of 2^63 and more are not negative.
TEST(Evaluate, UnsignedWords) {
  const uint64_t big = uint64_t{1} << 63;
  const Tensor a = u64({3}, {big, 5, big + 1}), b = u64({3}, {2, big, big});
  const auto same = [&](const std::string &call, const std::vector<uint64_t> &expected) {
    SCOPED_TRACE(call);
    const Tensor got = result_of(call, {a, b});
    Integers bits(expected.begin(), expected.end());
    expect_integers(got, {static_cast<int64_t>(expected.size())}, bits);
  };
  same("max(a, b)", {big, big, big + 1});
  same("min(a, b)", {2, 5, big});
  same("div(a, b)", {big / 2, 0, 1});
  same("mod(a, b)", {0, 5, 1});
  same("pow(b, a)", {0, 0, 0});
  same("abs(a)", {big, 5, big + 1});
  same("sign(a)", {1, 1, 1});
  same("less(a, b)", {0, 1, 0});
  same("less_equal(b, a)", {1, 0, 1});
  same("reduce(a) {kind = max, axes = (0), keepdims = 1}", {big + 1});
  same("reduce(a) {kind = min, axes = (0), keepdims = 1}", {5});
  same("reduce(b) {kind = mean, axes = (0), keepdims = 1}", {0});  // the sum wraps around
  same("arg_reduce(a) {kind = max, axis = 0, keepdims = 1}", {2});
  same("arg_reduce(a) {kind = min, axis = 0, keepdims = 1}", {1});
}

TEST(Evaluate, ArgReduce) {
  const Tensor x = f32({2, 4}, {1, 7, 7, 0, -1, -1, 5, -1});
  const auto arg = [](const std::string &rest, const Tensor &of) {
    return result_of("arg_reduce(a) {" + rest + "}", {of});
  };
  expect_integers(arg("kind = max, axis = 1", x), {2}, {1, 2});
  expect_integers(arg("kind = max, axis = 1, last = 1", x), {2}, {2, 2});
  expect_integers(arg("kind = min, axis = 1, keepdims = 1", x), {2, 1}, {3, 0});
  expect_integers(arg("kind = min, axis = 1, last = 1", x), {2}, {3, 3});
  expect_integers(arg("kind = max, axis = 0", x), {4}, {0, 0, 0, 0});
  const Tensor odd = f32({1, 4}, {3, kNaN, 1, kInf});
  expect_integers(arg("kind = max, axis = 1", odd), {1}, {1});  // NaN counts as the largest
  expect_integers(arg("kind = min, axis = 1", odd), {1}, {2});
  const int64_t wide = int64_t{1} << 53;
  expect_integers(arg("kind = max, axis = 0", i64({2}, {wide, wide + 1})), {}, {1});
}

TEST(Evaluate, CumSum) {
  const Tensor row = f32({4}, {1, 2, 3, 4});
  expect_numbers(result_of("cumsum(a) {axis = 0}", {row}), {4}, {1, 3, 6, 10});
  expect_numbers(result_of("cumsum(a) {axis = 0, exclusive = 1}", {row}), {4}, {0, 1, 3, 6});
  expect_numbers(result_of("cumsum(a) {axis = 0, reverse = 1}", {row}), {4}, {10, 9, 7, 4});
  expect_numbers(result_of("cumsum(a) {axis = 0, exclusive = 1, reverse = 1}", {row}), {4},
                 {9, 7, 4, 0});
  expect_numbers(result_of("cumsum(a) {axis = 0}", {f32({2, 2}, {1, 2, 3, kNaN})}), {2, 2},
                 {1, 2, 4, kNaN});
  expect_integers(result_of("cumsum(a) {axis = 1}", {i64({1, 2}, {kMost, 1})}), {1, 2},
                  {kMost, kLeast});
  expect_numbers(result_of("cumsum(a) {axis = 0, kind = prod}", {row}), {4}, {1, 2, 6, 24});
  expect_integers(result_of("cumsum(a) {axis = 0, kind = prod, exclusive = 1, reverse = 1}",
                            {i64({3}, {2, kMost, 2})}),
                  {3}, {-2, 2, 1});
}

TEST(Evaluate, BitsOfIntegers) {
  const Tensor a = i64({3}, {12, -1, 6}), b = i64({3}, {10, kLeast, 3});
  expect_integers(result_of("and(a, b)", {a, b}), {3}, {8, kLeast, 2});
  expect_integers(result_of("or(a, b)", {a, b}), {3}, {14, -1, 7});
  expect_integers(result_of("xor(a, b)", {a, b}), {3}, {6, kMost, 5});
}

// ---- Norms and attention ------------------------------------------------------------------------

TEST(Evaluate, Softmax) {
  const double close = 1e-7;
  const double e = std::exp(1.0), sum = 1 + e + e * e;
  expect_numbers(result_of("softmax(a) {axis = 1}", {f32({2, 3}, {0, 1, 2, 1000, 1001, 1002})}),
                 {2, 3}, {1 / sum, e / sum, e * e / sum, 1 / sum, e / sum, e * e / sum}, close);
  expect_numbers(result_of("softmax(a) {axis = 0}", {f32({2, 2}, {0, 5, 1, 5})}), {2, 2},
                 {1 / (1 + e), 0.5, e / (1 + e), 0.5}, close);
  expect_numbers(result_of("softmax(a) {axis = 0}", {f32({3}, {-kInf, 2, 2})}), {3}, {0, 0.5, 0.5});
  expect_numbers(
      result_of("softmax(a) {axis = 1}", {f32({3, 2}, {-kInf, -kInf, kNaN, 1, kInf, 1})}), {3, 2},
      {kNaN, kNaN, kNaN, kNaN, kNaN, kNaN});
}

TEST(Evaluate, LayerNorm) {
  const double close = 1e-6;
  // Mean 2.5, variance 1.25.
  const double d = std::sqrt(1.25 + 0.5);
  const Tensor x = f32({1, 4}, {1, 2, 3, 4});
  expect_numbers(result_of("layer_norm(a) {axis = 1, epsilon = 0.5}", {x}), {1, 4},
                 {-1.5 / d, -0.5 / d, 0.5 / d, 1.5 / d}, close);
  expect_numbers(result_of("layer_norm(a, b, c) {axis = 1, epsilon = 0.5}",
                           {x, f32({4}, {1, 2, 3, 4}), f32({4}, {10, 20, 30, 40})}),
                 {1, 4}, {10 - 1.5 / d, 20 - 1 / d, 30 + 1.5 / d, 40 + 6 / d}, close);
  // The same numbers over two axes.
  expect_numbers(result_of("layer_norm(a, b) {axis = 1, epsilon = 0.5}",
                           {f32({2, 2, 2}, {1, 2, 3, 4, 5, 5, 5, 5}), f32({2, 2}, {1, 1, 2, 2})}),
                 {2, 2, 2}, {-1.5 / d, -0.5 / d, 1 / d, 3 / d, 0, 0, 0, 0}, close);
  // Without the mean: the mean square is 7.5.
  const double r = std::sqrt(7.5 + 0.25);
  expect_numbers(result_of("layer_norm(a, b) {axis = 1, epsilon = 0.25, rms = 1}",
                           {x, f32({4}, {1, 1, 1, -1})}),
                 {1, 4}, {1 / r, 2 / r, 3 / r, -4 / r}, close);
  // A standard deviation of n - 1, the epsilon added to it.
  const double s = std::sqrt(5.0 / 3) + 0.5;
  expect_numbers(
      result_of("layer_norm(a) {axis = 1, epsilon = 0.0, variance_factor = 1.3333333333, "
                "outer_epsilon = 0.5}",
                {x}),
      {1, 4}, {-1.5 / s, -0.5 / s, 0.5 / s, 1.5 / s}, close);
}

TEST(Evaluate, Attention) {
  // q [2, 2, m, d], k and v of one head for both: broadcast; the mask allows key j to row i where
  // it is 1, and allows row 1 of batch 1 nothing: its probabilities are NaN, which region 1 makes
  // 0.
  const int64_t batch = 2, heads = 2, m = 2, n = 3, d = 2, dv = 2;
  const double scale = 0.5;
  const Tensor q = ramp({batch, heads, m, d}, 1), k = ramp({batch, 1, n, d}, 2);
  const Tensor v = ramp({batch, 1, n, dv}, 3);
  const Integers allowed = {1, 1, 0, 1, 1, 1, 0, 1, 1, 0, 0, 0};
  Numbers expected;
  for (int64_t b = 0; b < batch; ++b) {
    for (int64_t h = 0; h < heads; ++h) {
      for (int64_t i = 0; i < m; ++i) {
        double sum = 0, weighted[2] = {};
        for (int64_t j = 0; j < n; ++j) {
          double score = 0;
          for (int64_t l = 0; l < d; ++l) {
            score += q.at(((b * heads + h) * m + i) * d + l) * k.at((b * n + j) * d + l);
          }
          const double weight =
              allowed[static_cast<size_t>((b * m + i) * n + j)] != 0 ? std::exp(score * scale) : 0;
          sum += weight;
          for (int64_t l = 0; l < dv; ++l) {
            weighted[l] += weight * v.at((b * n + j) * dv + l);
          }
        }
        for (const double number : weighted) {
          expected.push_back(sum == 0 ? 0 : number / sum);
        }
      }
    }
  }
  const std::string type = "f32[2, 2, 2, 3], m: bool[2, 1, 2, 3], c: f32[]";
  const std::string scores =
      "graph (s: " + type +
      ") { t = mul(s, c) low = constant {value = f32[] (-inf)} u = where(m, t, low) return u }";
  const auto attend = [&](const std::string &probabilities) {
    return result_of("attention(a, b, c, d, e) [ " + scores + ", graph (p: " + type + ") { " +
                         probabilities + " } ]",
                     {q, k, v, booleans({batch, 1, m, n}, allowed), f32({}, {scale})});
  };
  const Tensor zeroed = attend(
      "bad = is_nan(p) zero = constant {value = f32[] (0)} r = where(bad, zero, p) return r");
  expect_numbers(zeroed, {batch, heads, m, dv}, expected, 1e-6);
  const Tensor kept = attend("return p");
  for (int64_t row = 0; row < batch * heads * m; ++row) {
    EXPECT_EQ(std::isnan(kept.at(row * dv)), row == 5 || row == 7) << row;
  }
}

// 1/11 rounded to f16 is too small by 3e-4, and so would be the result.
TEST(Evaluate, AttentionDoesNotRoundProbabilitiesToHalf) {
  const Tensor q = Tensor(DType::F16, {1, 1}), k = Tensor(DType::F16, {11, 1});
  Tensor v(DType::F16, {11, 1});
  for (int64_t i = 0; i < v.count(); ++i) {
    v.set(i, 1023.5);
  }
  const auto attend = [&](const std::string &probabilities) {
    return result_of(
        "attention(a, b, c) [ graph (s: f16[1, 11]) { return s }, "
        "graph (p: f16[1, 11]) { " +
            probabilities + " } ]",
        {q, k, v});
  };
  expect_numbers(attend("return p"), {1, 1}, {1023.5});
  expect_numbers(attend("one = constant {value = f16[] (1)} r = mul(p, one) return r"), {1, 1},
                 {1023});
}

// ---- Library ------------------------------------------------------------------------------------

TEST(Evaluate, TopK) {
  const Tensor x = f32({2, 4}, {3, 5, 5, 1, kNaN, -kInf, 2, 2});
  const auto top = [](const std::string &rest, const Tensor &of) {
    return results_of("y, z", "topk(a) {" + rest + "}", {of});
  };
  // Of equal ones the first comes first; NaN counts as the largest.
  std::vector<Tensor> found = top("axis = 1, k = [3]", x);
  expect_numbers(found[0], {2, 3}, {5, 5, 3, kNaN, 2, 2});
  expect_integers(found[1], {2, 3}, {1, 2, 0, 0, 2, 3});
  found = top("axis = 1, k = [4], largest = 0", x);
  expect_numbers(found[0], {2, 4}, {1, 3, 5, 5, -kInf, 2, 2, kNaN});
  expect_integers(found[1], {2, 4}, {3, 0, 1, 2, 1, 2, 3, 0});
  found = top("axis = 0, k = [1]", i64({2, 2}, {kMost - 1, 4, kMost, 4}));
  expect_integers(found[0], {1, 2}, {kMost, 4});
  expect_integers(found[1], {1, 2}, {1, 0});
}

TEST(Evaluate, ScatterND) {
  const Tensor row = f32({4}, {1, 2, 3, 4}), at = i64({3, 1}, {1, -1, 1});
  const Tensor updates = f32({3}, {10, 20, -5});
  const auto scatter = [&](const std::string &kind) {
    return result_of("scatter_nd(a, b, c) {reduction = " + kind + "}", {row, at, updates});
  };
  expect_numbers(scatter("add"), {4}, {1, 7, 3, 24});
  expect_numbers(scatter("mul"), {4}, {1, -100, 3, 80});
  expect_numbers(scatter("max"), {4}, {1, 10, 3, 20});
  expect_numbers(scatter("min"), {4}, {1, -5, 3, 4});
  // Whole rows, and single elements.
  const Tensor x = i64({2, 2}, {1, 2, 3, 4});
  expect_integers(result_of("scatter_nd(a, b, c)", {x, i64({1, 1}, {-1}), i64({1, 2}, {8, 9})}),
                  {2, 2}, {1, 2, 8, 9});
  expect_integers(
      result_of("scatter_nd(a, b, c)", {x, i64({2, 2}, {0, 1, 1, -2}), i64({2}, {kMost, 9})}),
      {2, 2}, {1, kMost, 9, 4});
  expect_integers(result_of("scatter_nd(a, b, c) {reduction = add}",
                            {x, i64({1, 2}, {0, 0}), i64({1}, {kMost})}),
                  {2, 2}, {kLeast, 2, 3, 4});
  EXPECT_THAT(error_of([&] {
                result_of("scatter_nd(a, b, c)", {x, i64({1, 1}, {2}), i64({1, 2}, {8, 9})});
              }),
              HasSubstr("index 2 is out of range for size 2"));
}

TEST(Evaluate, ScatterElements) {
  const Tensor x = f32({2, 3}, {1, 2, 3, 4, 5, 6});
  const Tensor at = i64({2, 2}, {2, -3, 1, 1}), updates = f32({2, 2}, {10, 20, 30, 40});
  const auto scatter = [&](const std::string &kind) {
    return result_of("scatter_elements(a, b, c) {axis = 1, reduction = " + kind + "}",
                     {x, at, updates});
  };
  expect_numbers(scatter("add"), {2, 3}, {21, 2, 13, 4, 75, 6});
  expect_numbers(scatter("mul"), {2, 3}, {20, 2, 30, 4, 6000, 6});
  expect_numbers(scatter("max"), {2, 3}, {20, 2, 10, 4, 40, 6});
  expect_numbers(scatter("min"), {2, 3}, {1, 2, 3, 4, 5, 6});
  expect_numbers(result_of("scatter_elements(a, b, c) {axis = 0}",
                           {x, i64({1, 2}, {1, 0}), f32({1, 2}, {7, 8})}),
                 {2, 3}, {1, 8, 3, 7, 5, 6});
}

// ---- Graphs -------------------------------------------------------------------------------------

TEST(Evaluate, Kernel) {
  const std::vector<Tensor> found = results_of("y, z",
                                               "kernel(a, b) {root = none} [graph (p: f32[2], q: "
                                               "f32[2]) { r = sub(p, q) s = neg(r) return s, r }]",
                                               {f32({2}, {5, 6}), f32({2}, {1, 9})});
  expect_numbers(found[0], {2}, {-4, 3});
  expect_numbers(found[1], {2}, {4, -3});
}

TEST(Evaluate, GraphsAreWalkedInOrder) {
  const std::unique_ptr<Graph> graph = parse_graph(
      "graph (x: f32[n]) { symbol n in [1, inf) y = add(x, x) z = mul(y, x) return z, x, y }");
  std::vector<Op> seen;
  EvaluateOptions options;
  options.observe = [&](const Node &node, const std::vector<Tensor> &results) {
    seen.push_back(node.op);
    EXPECT_EQ(results.size(), 1u);
  };
  const std::vector<Tensor> found = evaluate(*graph, {f32({2}, {3, 4})}, options);
  EXPECT_EQ(seen, (std::vector<Op>{Op::Add, Op::Mul}));
  expect_numbers(found[0], {2}, {18, 32});
  expect_numbers(found[1], {2}, {3, 4});
  expect_numbers(found[2], {2}, {6, 8});
}

// ---- Symbols ------------------------------------------------------------------------------------

std::map<std::string, int64_t> bound(const std::string &head, const std::vector<Tensor> &inputs) {
  return bind_symbols(*parse_graph(head + " return x }"), inputs);
}
Tensor shaped(Sizes shape) {
  return Tensor(DType::F32, std::move(shape));
}

TEST(BindSymbols, ReadsThemOffShapes) {
  using Values = std::map<std::string, int64_t>;
  EXPECT_EQ(bound("graph (x: f32[n, 2*m + 1]) { symbol n in [1, inf) symbol m in [0, inf)",
                  {shaped({3, 9})}),
            (Values{{"m", 4}, {"n", 3}}));
  // The expression stands before the input that gives its other symbol.
  EXPECT_EQ(
      bound("graph (x: f32[past + n], y: f32[n]) { symbol n in [1, inf) symbol past in [0, inf)",
            {shaped({7}), shaped({2})})
          .at("past"),
      5);
}

TEST(BindSymbols, NamesWhatDoesNotFit) {
  const std::string head =
      "graph (x: f32[n, n, 4], \"mask in\": i64[2*m]) { symbol n in [2, 8] "
      "symbol m in [1, inf) guard n == m \"'Add_3' adds both\"";
  const auto error = [&](const std::vector<Tensor> &inputs) {
    return error_of([&] { bound(head, inputs); });
  };
  const Tensor mask(DType::I64, {6});
  EXPECT_EQ(error({shaped({3, 3, 4}), mask}), "no error");
  EXPECT_EQ(error({shaped({3, 3, 4})}), "expected 2 inputs, got 1");
  EXPECT_EQ(error({shaped({3, 3, 4}), shaped({6})}), "input 'mask in': expected i64, got f32");
  EXPECT_EQ(error({shaped({3, 3}), mask}), "input 'x': expected shape [n, n, 4], got 2 axes");
  EXPECT_EQ(error({shaped({1, 1, 4}), mask}),
            "input 'x': size of axis 0 is 1, expected at least 2");
  EXPECT_EQ(error({shaped({9, 9, 4}), mask}), "input 'x': size of axis 0 is 9, expected at most 8");
  EXPECT_EQ(error({shaped({3, 5, 4}), mask}), "input 'x': size of axis 1 is 5, expected 3 (n)");
  EXPECT_EQ(error({shaped({3, 3, 5}), mask}), "input 'x': size of axis 2 is 5, expected 4");
  EXPECT_EQ(error({shaped({3, 3, 4}), Tensor(DType::I64, {7})}),
            "input 'mask in': size of axis 0 is 7, which does not fit m*2");
  EXPECT_EQ(error({shaped({4, 4, 4}), mask}), "'Add_3' adds both: n (4) and m (3) must be equal");
}

}  // namespace
}  // namespace sylvite
