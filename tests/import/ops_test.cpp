// Each operator on small inputs, computed by the reference evaluator from the imported graph;
// expected values are worked out by hand or with the plain definition beside the test.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "compiler/ir/evaluate.h"
#include "tests/import/onnx_text.h"

namespace sylvite::testing {
namespace {

using Numbers = std::vector<double>;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

void expect_values(const Tensor &tensor, const std::vector<int64_t> &shape, const Numbers &values,
                   double tolerance = 1e-5) {
  EXPECT_EQ(tensor.shape(), shape);
  ASSERT_EQ(tensor.count(), static_cast<int64_t>(values.size()));
  for (int64_t i = 0; i < tensor.count(); ++i) {
    const double expected = values[static_cast<size_t>(i)];
    if (std::isnan(expected) || std::isinf(expected)) {
      EXPECT_TRUE(tensor.at(i) == expected || (std::isnan(expected) && std::isnan(tensor.at(i))))
          << i;
    } else {
      EXPECT_NEAR(tensor.at(i), expected, tolerance * std::max(1.0, std::fabs(expected))) << i;
    }
  }
}

Numbers counting(int64_t count, double start = 0) {
  Numbers values;
  for (int64_t i = 0; i < count; ++i) {
    values.push_back(start + static_cast<double>(i));
  }
  return values;
}

// y = Op(x) for one float input of six values.
void expect_unary(const std::string &node, const std::function<double(double)> &definition,
                  int opset = 20) {
  SCOPED_TRACE(node);
  const Numbers x = {-30, -2.5, -0.5, 0, 0.75, 3};
  Numbers expected;
  for (const double value : x) {
    expected.push_back(definition(value));
  }
  const auto model = graph("(float[n] x) => (y) { y = " + node + "(x) }", opset);
  expect_values(run_model(model, {floats({6}, x)})[0], {6}, expected);
}

TEST(ImportOps, Unary) {
  expect_unary("Abs", [](double x) { return std::fabs(x); });
  expect_unary("Neg", [](double x) { return -x; });
  expect_unary("Ceil", [](double x) { return std::ceil(x); });
  expect_unary("Floor", [](double x) { return std::floor(x); });
  expect_unary("Round", [](double x) { return std::nearbyint(x); });
  expect_unary("Exp", [](double x) { return std::exp(x); });
  expect_unary("Erf", [](double x) { return std::erf(x); });
  expect_unary("Tanh", [](double x) { return std::tanh(x); });
  expect_unary("Sin", [](double x) { return std::sin(x); });
  expect_unary("Cos", [](double x) { return std::cos(x); });
  expect_unary("Tan", [](double x) { return std::tan(x); });
  expect_unary("Sign", [](double x) { return x > 0 ? 1.0 : x < 0 ? -1.0 : 0.0; });
  expect_unary("Reciprocal", [](double x) { return 1 / x; });
  expect_unary("Identity", [](double x) { return x; });
}

// y = Op(x) against the C library, also where a careless spelling loses digits or overflows.
void expect_function(const std::string &op, double (*definition)(double), const Numbers &x,
                     DType dtype = DType::F32) {
  SCOPED_TRACE(op);
  const int64_t count = static_cast<int64_t>(x.size());
  const Tensor input = floats({count}, x).converted(dtype);
  Numbers expected;
  for (int64_t i = 0; i < count; ++i) {
    expected.push_back(definition(input.at(i)));
  }
  const std::string type = dtype == DType::F64   ? "double"
                           : dtype == DType::F16 ? "float16"
                                                 : "float";
  const Tensor y =
      run_model(graph("(" + type + "[n] x) => (y) { y = " + op + "(x) }", 22), {input})[0];
  EXPECT_EQ(y.dtype(), dtype);
  const double epsilon = dtype == DType::F64 ? 1e-14 : dtype == DType::F16 ? 1e-3 : 1e-6;
  for (int64_t i = 0; i < count; ++i) {
    const double wanted = expected[static_cast<size_t>(i)];
    if (std::isfinite(wanted)) {
      EXPECT_NEAR(y.at(i), wanted, epsilon * std::fabs(wanted)) << input.at(i);
      EXPECT_EQ(std::signbit(y.at(i)), std::signbit(wanted)) << input.at(i);
    } else {
      EXPECT_TRUE(y.at(i) == wanted || (std::isnan(y.at(i)) && std::isnan(wanted))) << input.at(i);
    }
  }
}

TEST(ImportOps, TrigonometricFunctions) {
  const Numbers any = {0,    -0.0, 1e-30, -1e-8, 1e-4, -0.3, 0.4142, 0.415,     -0.9,       1,
                       -1.5, 2.41, 2.42,  -7,    60,   88.9, -89.2,  kInfinity, -kInfinity, NAN};
  for (const DType dtype : {DType::F32, DType::F64}) {
    expect_function("Sinh", std::sinh, any, dtype);
    expect_function("Cosh", std::cosh, any, dtype);
    expect_function("Asinh", std::asinh, any, dtype);
    expect_function("Asinh", std::asinh, {1e12, -1e30, 3e38}, dtype);
    expect_function("Acosh", std::acosh,
                    {1, 1.0001, 1.5, 30, 1e12, 3e38, kInfinity, 0.5, -1, -1e20, NAN}, dtype);
    expect_function("Atanh", std::atanh,
                    {0, -0.0, 1e-20, -1e-4, 0.2, -0.5, 0.75, 0.9999, 1, -1, 1.5, -1e20, NAN},
                    dtype);
  }
  const Numbers unit = {0,      -0.0,    1e-20, -1e-4, 0.3, -0.5,      0.8,
                        0.9999, -0.9999, 1,     -1,    1.5, -kInfinity};
  expect_function("Atan", std::atan, any);
  expect_function("Asin", std::asin, unit);
  expect_function("Acos", std::acos, unit);
  // In half precision the steps are computed in float.
  expect_function("Atan", std::atan, {0.1, -1, 300}, DType::F16);
  expect_function("Sinh", std::sinh, {0.01, -1, 11}, DType::F16);
}

TEST(ImportOps, Activations) {
  const auto sigmoid = [](double x) { return 1 / (1 + std::exp(-x)); };
  const auto softplus = [](double x) { return std::log1p(std::exp(x)); };
  expect_unary("Relu", [](double x) { return std::max(x, 0.0); });
  expect_unary("LeakyRelu<alpha = 0.1>", [](double x) { return x < 0 ? 0.1 * x : x; });
  expect_unary("Elu<alpha = 2.0>", [](double x) { return x < 0 ? 2 * std::expm1(x) : x; });
  expect_unary("Celu<alpha = 2.0>",
               [](double x) { return std::max(x, 0.0) + std::min(0.0, 2 * std::expm1(x / 2)); });
  expect_unary("Selu", [](double x) {
    return 1.05070102214813232421875 * (x < 0 ? 1.67326319217681884765625 * std::expm1(x) : x);
  });
  expect_unary("Sigmoid", sigmoid);
  expect_unary("HardSigmoid", [](double x) { return std::clamp(0.2 * x + 0.5, 0.0, 1.0); });
  expect_unary("HardSwish", [](double x) { return x * std::clamp(x / 6 + 0.5, 0.0, 1.0); });
  expect_unary("Softplus", softplus);
  expect_unary("Softsign", [](double x) { return x / (1 + std::fabs(x)); });
  expect_unary("Mish", [&](double x) { return x * std::tanh(softplus(x)); });
  expect_unary("Swish<alpha = 1.5>", [&](double x) { return x * sigmoid(1.5 * x); }, 24);
  expect_unary("Gelu", [](double x) { return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0))); });
  expect_unary("Gelu<approximate = \"tanh\">", [](double x) {
    return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
  });
}

TEST(ImportOps, ActivationsOfLargeInputsStayFinite) {
  for (const char *op : {"Sigmoid", "Softplus", "Mish", "Elu", "Selu", "Gelu"}) {
    const auto model = graph(std::string("(float[2] x) => (y) { y = ") + op + "(x) }", 20);
    const Tensor y = run_model(model, {floats({2}, {-500, 500})})[0];
    EXPECT_TRUE(std::isfinite(y.at(0)) && std::isfinite(y.at(1))) << op;
  }
}

void expect_binary(const std::string &op, const Numbers &expected) {
  SCOPED_TRACE(op);
  const auto model = graph("(float[2, 1] a, float[3] b) => (y) { y = " + op + "(a, b) }");
  expect_values(run_model(model, {floats({2, 1}, {2, -3}), floats({3}, {1, 2, -3})})[0], {2, 3},
                expected);
}

TEST(ImportOps, Binary) {
  expect_binary("Add", {3, 4, -1, -2, -1, -6});
  expect_binary("Sub", {1, 0, 5, -4, -5, 0});
  expect_binary("Mul", {2, 4, -6, -3, -6, 9});
  expect_binary("Div", {2, 1, -2.0 / 3, -3, -1.5, 1});
  expect_binary("Pow", {2, 4, 0.125, -3, 9, -1.0 / 27});
  expect_binary("Mod<fmod = 1>", {0, 0, 2, 0, -1, 0});
  expect_binary("Max", {2, 2, 2, 1, 2, -3});
  expect_binary("Min", {1, 2, -3, -3, -3, -3});
  expect_binary("Mean", {1.5, 2, -0.5, -1, -0.5, -3});
  expect_binary("Sum", {3, 4, -1, -2, -1, -6});
  expect_binary("Equal", {0, 1, 0, 0, 0, 1});
  expect_binary("Less", {0, 0, 0, 1, 1, 0});
  expect_binary("LessOrEqual", {0, 1, 0, 1, 1, 1});
  expect_binary("Greater", {1, 0, 1, 0, 0, 0});
  expect_binary("GreaterOrEqual", {1, 1, 1, 0, 0, 1});
  expect_binary("PRelu", {2, 2, 2, -3, -6, 9});
}

TEST(ImportOps, LogicAndSelection) {
  const auto model = graph(
      "(bool[4] a, bool[4] b, float[4] x) => (p, q, r, s, t) <float zero = {0}>"
      " { p = And(a, b)  q = Or(a, b)  r = Xor(a, b)  s = Not(a)  t = Where(a, x, zero) }");
  const auto results = run_model(
      model, {bools({4}, {0, 0, 1, 1}), bools({4}, {0, 1, 0, 1}), floats({4}, {1, 2, 3, 4})});
  expect_values(results[0], {4}, {0, 0, 0, 1});
  expect_values(results[1], {4}, {0, 1, 1, 1});
  expect_values(results[2], {4}, {0, 1, 1, 0});
  expect_values(results[3], {4}, {1, 1, 0, 0});
  expect_values(results[4], {4}, {0, 0, 3, 4});
}

TEST(ImportOps, Bits) {
  const auto model = graph(
      "(int8[4] a, int8[4] b) => (p, q, r, s) { p = BitwiseAnd(a, b)  q = BitwiseOr(a, b)"
      " r = BitwiseXor(a, b)  s = BitwiseNot(a) }",
      18);
  const auto bytes = [](const std::vector<int64_t> &values, DType dtype) {
    return integers({static_cast<int64_t>(values.size())}, values).converted(dtype);
  };
  const auto results =
      run_model(model, {bytes({12, -1, -128, 5}, DType::I8), bytes({10, 7, 127, 5}, DType::I8)});
  expect_values(results[0], {4}, {8, 7, 0, 5});
  expect_values(results[1], {4}, {14, -1, -1, 5});
  expect_values(results[2], {4}, {6, -8, -1, 0});
  expect_values(results[3], {4}, {-13, 0, 127, -6});

  const auto shifted = [&](const std::string &type, DType dtype, const std::string &direction,
                           const std::vector<int64_t> &x, const std::vector<int64_t> &amount) {
    return run_model(
        graph("(" + type + "[n] x, " + type + "[n] k) => (y) { y = BitShift<direction = \"" +
              direction + "\">(x, k) }"),
        {bytes(x, dtype), bytes(amount, dtype)})[0];
  };
  expect_values(shifted("int8", DType::I8, "LEFT", {1, 3, -1, 1, 1, 1, 5}, {0, 1, 3, 7, 8, -1, 6}),
                {7}, {1, 6, -8, -128, 0, 0, 64});
  expect_values(
      shifted("int8", DType::I8, "RIGHT", {127, -7, -128, -1, 100, -3}, {3, 1, 7, 100, 8, -1}), {6},
      {15, -4, -1, -1, 0, -1});
  expect_values(shifted("uint16", DType::U16, "RIGHT", {65535, 256, 9}, {15, 4, 16}), {3},
                {1, 16, 0});
  expect_values(shifted("int64", DType::I64, "LEFT", {3, 1}, {40, 62}), {2},
                {3.0 * (int64_t{1} << 40), 4611686018427387904.0});
}

TEST(ImportOps, PowersOfWholeNumbers) {
  const auto model = graph("(uint8[4] x, int32[4] k) => (y) { y = Pow(x, k) }");
  const auto y = run_model(model, {integers({4}, {2, 1, 3, 0}).converted(DType::U8),
                                   integers({4}, {7, 300, 5, 0}).converted(DType::I32)});
  expect_values(y[0], {4}, {128, 1, 243, 1});
}

TEST(ImportOps, NotANumberAndInfinity) {
  const auto model = graph(
      "(float[4] x) => (a, b, c) { a = IsNaN(x)  b = IsInf(x)"
      " c = IsInf<detect_negative = 0>(x) }");
  const auto results = run_model(model, {floats({4}, {NAN, kInfinity, -kInfinity, 0})});
  expect_values(results[0], {4}, {1, 0, 0, 0});
  expect_values(results[1], {4}, {0, 1, 1, 0});
  expect_values(results[2], {4}, {0, 1, 0, 0});
}

TEST(ImportOps, ClipWithAndWithoutBounds) {
  const auto model = graph(
      "(float[4] x) => (a, b, c) <float low = {-1}, float high = {2}>"
      " { a = Clip(x, low, high)  b = Clip(x, , high)  c = Clip(x) }");
  const auto results = run_model(model, {floats({4}, {-5, 0, 1, 7})});
  expect_values(results[0], {4}, {-1, 0, 1, 2});
  expect_values(results[1], {4}, {-5, 0, 1, 2});
  expect_values(results[2], {4}, {-5, 0, 1, 7});
}

TEST(ImportOps, CastsAndPowersOfIntegers) {
  const auto model = graph(
      "(int64[3] x) => (a, b, c) <float half = {0.5}>"
      " { a = Cast<to = 1>(x)  b = CastLike(x, half)  c = Pow(x, half) }");
  const auto results = run_model(model, {integers({3}, {4, 9, 16})});
  EXPECT_EQ(results[0].dtype(), DType::F32);
  EXPECT_EQ(results[1].dtype(), DType::F32);
  EXPECT_EQ(results[2].dtype(), DType::I64);
  expect_values(results[2], {3}, {2, 3, 4});
}

TEST(ImportOps, DropoutIsTheIdentity) {
  const auto results =
      run_model(graph("(float[n] x) => (y, mask) { y, mask = Dropout(x) }"), {floats({2}, {1, 2})});
  expect_values(results[0], {2}, {1, 2});
  expect_values(results[1], {2}, {1, 1});
  const auto training = graph(
      "(float[n] x) => (y, mask) <float ratio = {0}, bool training = {1}>"
      " { y, mask = Dropout(x, ratio, training) }");
  const auto kept = run_model(training, {floats({2}, {1, 2})});
  expect_values(kept[0], {2}, {1, 2});
  expect_values(kept[1], {2}, {1, 1});
}

// ---- views ----

Tensor run_view(const std::string &node, const std::string &constants,
                const std::vector<int64_t> &shape, const std::string &input_shape, int opset = 18) {
  int64_t count = 1;
  for (const int64_t size : shape) {
    count *= size;
  }
  const auto model = graph(
      "(float[" + input_shape + "] x) => (y) <" + constants + "> { y = " + node + " }", opset);
  return run_model(model, {floats(shape, counting(count))})[0];
}

TEST(ImportOps, Reshapes) {
  expect_values(run_view("Reshape(x, s)", "int64[2] s = {0, -1}", {2, 3, 2}, "n, 3, 2"), {2, 6},
                counting(12));
  expect_values(run_view("Reshape(x, s)", "int64[3] s = {-1, 2, 3}", {2, 6}, "n, 6"), {2, 2, 3},
                counting(12));
  expect_values(run_view("Flatten<axis = -1>(x)", "float u = {0}", {2, 3, 2}, "2, n, 2"), {6, 2},
                counting(12));
  expect_values(run_view("Flatten<axis = 0>(x)", "float u = {0}", {2, 3}, "2, n"), {1, 6},
                counting(6));
  expect_values(run_view("Squeeze(x)", "float u = {0}", {1, 3, 1}, "1, 3, 1"), {3}, counting(3));
  expect_values(run_view("Squeeze(x, a)", "int64[1] a = {-1}", {1, 3, 1}, "1, n, 1"), {1, 3},
                counting(3));
  expect_values(run_view("Squeeze<axes = [0]>(x)", "float u = {0}", {1, 3, 1}, "1, n, 1", 11),
                {3, 1}, counting(3));
  expect_values(run_view("Unsqueeze(x, a)", "int64[2] a = {0, -1}", {3}, "n"), {1, 3, 1},
                counting(3));
  expect_values(run_view("Transpose(x)", "float u = {0}", {2, 3}, "n, 3"), {3, 2},
                {0, 3, 1, 4, 2, 5});
  expect_values(run_view("Transpose<perm = [0, 2, 1]>(x)", "float u = {0}", {1, 2, 3}, "n, 2, 3"),
                {1, 3, 2}, {0, 3, 1, 4, 2, 5});
}

TEST(ImportOps, Slices) {
  const auto slice = [](const std::string &starts, const std::string &ends,
                        const std::string &steps) {
    return run_view("Slice(x, s, e, a, t)",
                    "int64[1] s = {" + starts + "}, int64[1] e = {" + ends +
                        "}, int64[1] a = {-1}, int64[1] t = {" + steps + "}",
                    {1, 6}, "1, n");
  };
  expect_values(slice("0", "9223372036854775807", "1"), {1, 6}, counting(6));
  expect_values(slice("1", "3", "1"), {1, 2}, {1, 2});
  expect_values(slice("-2", "9223372036854775807", "1"), {1, 2}, {4, 5});
  expect_values(slice("0", "-1", "2"), {1, 3}, {0, 2, 4});
  expect_values(slice("2", "100", "1"), {1, 4}, {2, 3, 4, 5});
  expect_values(slice("-9223372036854775808", "2", "1"), {1, 2}, {0, 1});
  expect_values(slice("-1", "-9223372036854775808", "-1"), {1, 6}, {5, 4, 3, 2, 1, 0});
  expect_values(slice("9223372036854775807", "0", "-2"), {1, 3}, {5, 3, 1});
  expect_values(slice("4", "2", "1"), {1, 0}, {});
}

TEST(ImportOps, ExpandTileConcatSplit) {
  expect_values(run_view("Expand(x, s)", "int64[3] s = {2, 1, 2}", {3, 1}, "n, 1"), {2, 3, 2},
                {0, 0, 1, 1, 2, 2, 0, 0, 1, 1, 2, 2});
  expect_values(run_view("Tile(x, r)", "int64[2] r = {2, 3}", {1, 2}, "n, 2"), {2, 6},
                {0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1});
  expect_values(run_view("Concat<axis = -1>(x, w, x)", "float[2, 1] w = {8, 9}", {2, 2}, "2, 2"),
                {2, 5}, {0, 1, 8, 0, 1, 2, 3, 9, 2, 3});
  const auto split =
      graph("(float[n, 5] x) => (a, b) { a, b = Split<axis = 1, num_outputs = 2>(x) }", 18);
  const auto parts = run_model(split, {floats({1, 5}, counting(5))});
  expect_values(parts[0], {1, 3}, {0, 1, 2});
  expect_values(parts[1], {1, 2}, {3, 4});
  const auto old =
      graph("(float[n, 5] x) => (a, b) { a, b = Split<axis = 1, split = [1, 4]>(x) }", 11);
  expect_values(run_model(old, {floats({1, 5}, counting(5))})[1], {1, 4}, {1, 2, 3, 4});
}

TEST(ImportOps, Pads) {
  const auto pad = [](const std::string &mode, const std::string &pads) {
    return run_view("Pad<mode = \"" + mode + "\">(x, p, c)",
                    "int64[4] p = {" + pads + "}, float c = {7}", {1, 3}, "1, 3");
  };
  expect_values(pad("constant", "0, 1, 1, 2"), {2, 6}, {7, 0, 1, 2, 7, 7, 7, 7, 7, 7, 7, 7});
  expect_values(pad("edge", "0, 1, 0, 2"), {1, 6}, {0, 0, 1, 2, 2, 2});
  expect_values(pad("reflect", "0, 2, 0, 1"), {1, 6}, {2, 1, 0, 1, 2, 1});
  expect_values(pad("constant", "0, -1, 0, 1"), {1, 3}, {1, 2, 7});
  expect_values(
      run_view("Pad<mode = \"wrap\">(x, p)", "int64[4] p = {0, 1, 0, 2}", {1, 3}, "1, 3", 19),
      {1, 6}, {2, 0, 1, 2, 0, 1});
}

TEST(ImportOps, DepthAndSpace) {
  expect_values(
      run_view("DepthToSpace<blocksize = 2>(x)", "float u = {0}", {1, 4, 1, 2}, "n, 4, h, w"),
      {1, 1, 2, 4}, {0, 2, 1, 3, 4, 6, 5, 7});
  expect_values(
      run_view("SpaceToDepth<blocksize = 2>(x)", "float u = {0}", {1, 1, 2, 4}, "n, 1, 2, 4"),
      {1, 4, 1, 2}, {0, 2, 1, 3, 4, 6, 5, 7});
}

// ---- shapes ----

TEST(ImportOps, ShapesAndRanges) {
  const auto model = graph(
      "(float[n, 3, m] x) => (a, b, c, d, e) <int64 zero = {0}, int64 one = {1}, int64 two = {2}, "
      "float f0 = {1},"
      " float f1 = {2}, float f2 = {0.25}> {"
      " a = Shape(x)  b = Shape<start = -2>(x)  c = Size(x)"
      " n = Gather(a, zero)  d = Range(n, zero, two)  e = Range(f0, f1, f2) }");
  const auto results = run_model(model, {floats({2, 3, 1}, counting(6))});
  expect_values(results[0], {3}, {2, 3, 1});
  expect_values(results[1], {2}, {3, 1});
  expect_values(results[2], {}, {6});
  expect_values(results[3], {0}, {});
  expect_values(results[4], {4}, {1, 1.25, 1.5, 1.75});
}

TEST(ImportOps, ReshapeToAComputedShape) {
  // What torch writes for x.view(x.size(0), -1, 2).
  const auto model = graph(
      "(float[n, m, 4] x) => (y) <int64 zero = {0}, int64[1] axis = {0}, int64[1] rest = {-1}, "
      "int64[1] two = {2}> {"
      " s = Shape(x)  n = Gather(s, zero)  n1 = Unsqueeze(n, axis)  t = Concat<axis = 0>(n1, rest, "
      "two)"
      " y = Reshape(x, t) }");
  const ImportedModel imported = import_model(model);
  EXPECT_EQ(to_string(imported.graph->output(0)->type), "f32[n, m*2, 2]");
  EXPECT_EQ(imported.graph->nodes().size(), 1U);  // the arithmetic on shapes is gone
}

// Exporters compute bounds in float; where all is known, so is the result.
TEST(ImportOps, SizesComputedFromConstants) {
  const auto model = graph(
      "(float[n] x) => (a, b) <float two = {2.0}, float s = {1.5}, float zero = {0}> {"
      " w = Mul(two, two)  a = Range(zero, w, s)"
      " h = Floor(w)  k = Cast<to = 7>(h)  z = Constant<value_ints = [0]>()"
      " u = Unsqueeze(k, z)  b = Expand(zero, u) }");
  const auto results = run_model(model, {floats({1}, {0})});
  expect_values(results[0], {3}, {0, 1.5, 3});
  expect_values(results[1], {4}, {0, 0, 0, 0});
}

TEST(ImportOps, FilledTensors) {
  const auto model = graph(
      "(float[n, 3] x) => (a, b, c) {"
      " s = Shape(x)  a = ConstantOfShape<value = int64[1] {5}>(s)  b = ConstantOfShape(s)"
      " c = EyeLike<k = 1>(x) }");
  const auto results = run_model(model, {floats({2, 3}, counting(6))});
  EXPECT_EQ(results[0].dtype(), DType::I64);
  expect_values(results[0], {2, 3}, {5, 5, 5, 5, 5, 5});
  expect_values(results[1], {2, 3}, {0, 0, 0, 0, 0, 0});
  expect_values(results[2], {2, 3}, {0, 1, 0, 0, 0, 1});
}

TEST(ImportOps, Trilu) {
  const auto model = graph(
      "(float[2, 3] x) => (a, b, c) <int64 one = {1}>"
      " { a = Trilu(x)  b = Trilu<upper = 0>(x)  c = Trilu(x, one) }");
  const auto results = run_model(model, {floats({2, 3}, counting(6, 1))});
  expect_values(results[0], {2, 3}, {1, 2, 3, 0, 5, 6});
  expect_values(results[1], {2, 3}, {1, 0, 0, 4, 5, 0});
  expect_values(results[2], {2, 3}, {0, 2, 3, 0, 0, 6});
}

TEST(ImportOps, OneHot) {
  const auto model = graph(
      "(int64[n] i) => (a, b) <int64 depth = {3}, float[2] v = {-1, 1}>"
      " { a = OneHot(i, depth, v)  b = OneHot<axis = 0>(i, depth, v) }");
  const auto results = run_model(model, {integers({2}, {1, -1})});
  expect_values(results[0], {2, 3}, {-1, 1, -1, -1, -1, 1});
  expect_values(results[1], {3, 2}, {-1, -1, 1, -1, -1, 1});
}

// ---- lookups ----

TEST(ImportOps, Gathers) {
  const auto model = graph(
      "(float[3, 2] x, int64[2] i, int64[1, 2] j, int64[2, 2] k) => (a, b, c, d) <int64 last = "
      "{-1}>"
      " { a = Gather(x, i)  b = Gather<axis = 1>(x, last)  c = GatherElements(x, j)  d = "
      "GatherND(x, k) }");
  const auto results = run_model(model, {floats({3, 2}, counting(6)), integers({2}, {2, -3}),
                                         integers({1, 2}, {2, 0}), integers({2, 2}, {0, 1, 2, 0})});
  expect_values(results[0], {2, 2}, {4, 5, 0, 1});
  expect_values(results[1], {3}, {1, 3, 5});
  expect_values(results[2], {1, 2}, {4, 1});
  expect_values(results[3], {2}, {1, 4});
}

TEST(ImportOps, Scatters) {
  const auto model = graph(
      "(float[3] x, int64[2] i, int64[2, 1] j, float[2] u) => (a, b)"
      " { a = ScatterElements<reduction = \"add\">(x, i, u)  b = ScatterND(x, j, u) }");
  const auto results = run_model(model, {floats({3}, {1, 2, 3}), integers({2}, {0, -1}),
                                         integers({2, 1}, {1, 0}), floats({2}, {10, 20})});
  expect_values(results[0], {3}, {11, 2, 23});
  expect_values(results[1], {3}, {20, 10, 3});
}

TEST(ImportOps, ScatterByItsOldName) {
  const auto model =
      graph("(float[3] x, int64[1] i, float[1] u) => (y) { y = Scatter(x, i, u) }", 10);
  expect_values(run_model(model, {floats({3}, {1, 2, 3}), integers({1}, {1}), floats({1}, {7})})[0],
                {3}, {1, 7, 3});
}

TEST(ImportOps, CompressByAKnownCondition) {
  const auto model = graph(
      "(float[2, 3] x) => (a, b) <bool[3] c = {0, 1, 1}> {"
      " a = Compress<axis = -1>(x, c)  b = Compress(x, c) }");
  const auto results = run_model(model, {floats({2, 3}, counting(6))});
  expect_values(results[0], {2, 2}, {1, 2, 4, 5});
  expect_values(results[1], {2}, {1, 2});
}

TEST(ImportOps, NonZeroOfWhatIsKnown) {
  const auto known = graph("(float[1] x) => (y) <int64[2, 2] c = {0, 3, 1, 0}> { y = NonZero(c) }");
  expect_values(run_model(known, {floats({1}, {0})})[0], {2, 2}, {0, 1, 1, 0});
  // The positions of a tensor, as older exporters write them.
  const auto ones = graph(
      "(float[n, m] x) => (y) { s = Shape(x) c = ConstantOfShape<value = float[1] {1.0}>(s)"
      " y = NonZero(c) }");
  expect_values(run_model(ones, {floats({2, 3}, counting(6))})[0], {2, 6},
                {0, 0, 0, 1, 1, 1, 0, 1, 2, 0, 1, 2});
}

TEST(ImportOps, ReverseSequence) {
  const auto time_first = graph("(float[3, n] x, int64[n] k) => (y) { y = ReverseSequence(x, k) }");
  expect_values(run_model(time_first, {floats({3, 2}, counting(6)), integers({2}, {3, 1})})[0],
                {3, 2}, {4, 1, 2, 3, 0, 5});
  const auto batch_first = graph(
      "(float[n, 3, 2] x, int64[n] k) => (y)"
      " { y = ReverseSequence<batch_axis = 0, time_axis = 1>(x, k) }");
  expect_values(run_model(batch_first, {floats({1, 3, 2}, counting(6)), integers({1}, {2})})[0],
                {1, 3, 2}, {2, 3, 0, 1, 4, 5});
}

TEST(ImportOps, TensorScatter) {
  const auto scattered = [](const std::string &attributes, const std::string &inputs,
                            const std::vector<int64_t> &starts) {
    const auto model = graph(
        "(float[n, 4] past, float[n, 2] u, int64[n] w) => (y)"
        " { y = TensorScatter<axis = 1" +
            attributes + ">(" + inputs + ") }",
        24);
    return run_model(model, {floats({2, 4}, counting(8)), floats({2, 2}, {10, 11, 20, 21}),
                             integers({2}, starts)})[0];
  };
  expect_values(scattered("", "past, u, w", {1, 2}), {2, 4}, {0, 10, 11, 3, 4, 5, 20, 21});
  expect_values(scattered("", "past, u", {1, 2}), {2, 4}, {10, 11, 2, 3, 20, 21, 6, 7});
  expect_values(scattered(", mode = \"circular\"", "past, u, w", {3, 5}), {2, 4},
                {11, 1, 2, 10, 4, 20, 21, 7});
  const auto nothing = graph(
      "(float[n, 4] past, float[n, 0] u, int64[n] w) => (y)"
      " { y = TensorScatter<axis = 1>(past, u, w) }",
      24);
  expect_values(
      run_model(nothing, {floats({1, 4}, counting(4)), floats({1, 0}, {}), integers({1}, {2})})[0],
      {1, 4}, {0, 1, 2, 3});
  // [batch, heads, length, size], as caches are.
  const auto cache = graph(
      "(float[n, 2, 3, 1] past, float[n, 2, 1, 1] u, int64[n] w) => (y)"
      " { y = TensorScatter(past, u, w) }",
      24);
  expect_values(run_model(cache, {floats({1, 2, 3, 1}, counting(6)), floats({1, 2, 1, 1}, {10, 20}),
                                  integers({1}, {2})})[0],
                {1, 2, 3, 1}, {0, 1, 10, 3, 4, 20});
}

TEST(ImportOps, TopK) {
  const auto model =
      graph("(float[n, 4] x) => (v, i) <int64[1] k = {2}> { v, i = TopK<largest = 0>(x, k) }");
  const auto results = run_model(model, {floats({1, 4}, {3, 1, 2, 1})});
  expect_values(results[0], {1, 2}, {1, 1});
  expect_values(results[1], {1, 2}, {1, 3});
}

// ---- products ----

TEST(ImportOps, MatMulOfVectors) {
  const auto model = graph(
      "(float[3] v, float[3, 2] m, float[2] w) => (a, b, c)"
      " { a = MatMul(v, m)  b = MatMul(m, w)  c = MatMul(v, v) }");
  const auto results =
      run_model(model, {floats({3}, {1, 2, 3}), floats({3, 2}, counting(6)), floats({2}, {1, -1})});
  expect_values(results[0], {2}, {16, 22});
  expect_values(results[1], {3}, {-1, -1, -1});
  expect_values(results[2], {}, {14});
}

TEST(ImportOps, MatMulInteger) {
  const auto model = graph(
      "(uint8[2, 2] a, int8[2, 1] b, uint8[2] row, int8[1] zero) => (p, q)"
      " { p = MatMulInteger(a, b)  q = MatMulInteger(a, b, row, zero) }");
  const auto results = run_model(model, {integers({2, 2}, {1, 2, 255, 4}).converted(DType::U8),
                                         integers({2, 1}, {-1, 10}).converted(DType::I8),
                                         integers({2}, {1, 200}).converted(DType::U8),
                                         integers({1}, {2}).converted(DType::I8)});
  EXPECT_EQ(results[0].dtype(), DType::I32);
  expect_values(results[0], {2, 1}, {19, -215});
  expect_values(results[1], {2, 1}, {8, -1733});
}

TEST(ImportOps, Gemm) {
  const auto model = graph(
      "(float[n, 2] a, float[3, 2] b, float[3] c) => (y)"
      " { y = Gemm<transB = 1, alpha = 2.0, beta = 0.5>(a, b, c) }");
  const auto results = run_model(
      model, {floats({1, 2}, {1, 2}), floats({3, 2}, counting(6)), floats({3}, {2, 4, 6})});
  expect_values(results[0], {1, 3}, {5, 18, 31});
  const auto transposed =
      graph("(float[2, n] a, float[2, 1] b) => (y) { y = Gemm<transA = 1>(a, b) }");
  expect_values(run_model(transposed, {floats({2, 2}, {1, 2, 3, 4}), floats({2, 1}, {1, 1})})[0],
                {2, 1}, {4, 6});
}

// An einsum by its definition: loops over all labels.
Tensor naive_einsum(const std::vector<std::string> &terms, const std::string &output,
                    const std::vector<Tensor> &inputs) {
  std::map<char, int64_t> sizes;
  for (size_t i = 0; i < terms.size(); ++i) {
    for (size_t k = 0; k < terms[i].size(); ++k) {
      sizes[terms[i][k]] = inputs[i].shape()[k];
    }
  }
  std::vector<int64_t> shape;
  for (const char label : output) {
    shape.push_back(sizes[label]);
  }
  Tensor result(DType::F32, shape);
  std::map<char, int64_t> at;
  const auto offset = [&](const std::string &term) {
    int64_t position = 0;
    for (const char label : term) {
      position = position * sizes[label] + at[label];
    }
    return position;
  };
  const std::function<void(std::map<char, int64_t>::iterator)> loop = [&](auto label) {
    if (label == sizes.end()) {
      double product = 1;
      for (size_t i = 0; i < terms.size(); ++i) {
        product *= inputs[i].at(offset(terms[i]));
      }
      result.set(offset(output), result.at(offset(output)) + product);
      return;
    }
    for (at[label->first] = 0; at[label->first] < label->second; ++at[label->first]) {
      loop(std::next(label));
    }
  };
  loop(sizes.begin());
  return result;
}

void expect_einsum(const std::vector<std::string> &terms, const std::string &output,
                   const std::vector<std::vector<int64_t>> &shapes) {
  std::string equation, inputs, names;
  std::vector<Tensor> tensors;
  for (size_t i = 0; i < terms.size(); ++i) {
    const std::string name = "x" + std::to_string(i);
    equation += (i == 0 ? "" : ",") + terms[i];
    names += (i == 0 ? "" : ", ") + name;
    inputs += i == 0 ? "" : ", ";
    inputs += "float[";
    int64_t count = 1;
    for (size_t k = 0; k < shapes[i].size(); ++k) {
      inputs += (k == 0 ? "" : ", ") + std::to_string(shapes[i][k]);
      count *= shapes[i][k];
    }
    inputs += "] " + name;
    tensors.push_back(floats(shapes[i], counting(count, static_cast<double>(i) - 2)));
  }
  SCOPED_TRACE(equation + "->" + output);
  const auto model = graph("(" + inputs + ") => (y) { y = Einsum<equation = \"" + equation + "->" +
                           output + "\">(" + names + ") }");
  const Tensor expected = naive_einsum(terms, output, tensors);
  expect_values(run_model(model, tensors)[0], expected.shape(), values_of(expected));
}

TEST(ImportOps, Einsum) {
  expect_einsum({"ij", "jk"}, "ik", {{2, 3}, {3, 4}});
  expect_einsum({"ij", "kj"}, "ki", {{2, 3}, {4, 3}});
  expect_einsum({"bhid", "bhjd"}, "bhij", {{2, 2, 3, 4}, {2, 2, 2, 4}});
  expect_einsum({"bhij", "bjhd"}, "bihd", {{2, 2, 3, 4}, {2, 4, 2, 3}});
  expect_einsum({"bid", "hdk"}, "bhik", {{2, 3, 4}, {2, 4, 5}});
  expect_einsum({"i", "j"}, "ij", {{3}, {2}});
  expect_einsum({"ij", "ij"}, "", {{2, 3}, {2, 3}});
  expect_einsum({"ijk"}, "ki", {{2, 3, 4}});
  expect_einsum({"iij"}, "ji", {{3, 3, 2}});
  expect_einsum({"ab", "bc", "cd"}, "da", {{2, 3}, {3, 2}, {2, 4}});
  expect_einsum({"abx", "bcy", "ac"}, "cb", {{2, 3, 2}, {3, 2, 4}, {2, 2}});
}

TEST(ImportOps, EinsumWithEllipsisAndWithoutOutput) {
  const auto model = graph(
      "(float[2, 1, 2, 3] x, float[4, 3, 2] z, float[4, 3, 1] w) => (a, b) {"
      " a = Einsum<equation = \"... i j, ...jk -> ...ik\">(x, z)"
      " b = Einsum<equation = \"aibj,cji\">(x, w) }");
  const auto results =
      run_model(model, {floats({2, 1, 2, 3}, counting(12)), floats({4, 3, 2}, counting(24)),
                        floats({4, 3, 1}, counting(12))});
  EXPECT_EQ(results[0].shape(), (std::vector<int64_t>{2, 4, 2, 2}));
  EXPECT_EQ(results[0].at(0), 0 * 0 + 1 * 2 + 2 * 4);
  EXPECT_EQ(results[1].shape(), (std::vector<int64_t>{2, 2, 4}));
}

// ---- convolutions ----

TEST(ImportOps, Convolutions) {
  const auto model = graph(
      "(float[n, 1, 3, 3] x) => (a, b, c) <float[1, 1, 2, 2] w = {1, 0, 0, 1}, float[1] bias = "
      "{0.5}> {"
      " a = Conv(x, w, bias)  b = Conv<pads = [1, 1, 0, 0], strides = [2, 2]>(x, w)"
      " c = Conv<auto_pad = \"SAME_UPPER\">(x, w) }");
  const auto results = run_model(model, {floats({1, 1, 3, 3}, counting(9))});
  expect_values(results[0], {1, 1, 2, 2}, {4.5, 6.5, 10.5, 12.5});
  expect_values(results[1], {1, 1, 2, 2}, {0, 2, 6, 12});
  expect_values(results[2], {1, 1, 3, 3}, {4, 6, 2, 10, 12, 5, 6, 7, 8});
}

TEST(ImportOps, Pools) {
  const auto model = graph(
      "(float[1, 1, 3, 3] x) => (a, b, c, d, e) {"
      " a = MaxPool<kernel_shape = [2, 2]>(x)  b = AveragePool<kernel_shape = [2, 2], strides = "
      "[2, 2]>(x)"
      " c = MaxPool<kernel_shape = [2, 2], strides = [2, 2], ceil_mode = 1>(x)"
      " d = GlobalAveragePool(x)  e = GlobalMaxPool(x) }");
  const auto results = run_model(model, {floats({1, 1, 3, 3}, counting(9))});
  expect_values(results[0], {1, 1, 2, 2}, {4, 5, 7, 8});
  expect_values(results[1], {1, 1, 1, 1}, {2});
  expect_values(results[2], {1, 1, 2, 2}, {4, 5, 7, 8});
  expect_values(results[3], {1, 1, 1, 1}, {4});
  expect_values(results[4], {1, 1, 1, 1}, {8});
}

// ---- reductions ----

TEST(ImportOps, Reductions) {
  const auto reduce = [](const std::string &op) {
    const auto model =
        graph("(float[n, 2] x) => (y) <int64[1] a = {-1}> { y = " + op + "(x, a) }", 18);
    return run_model(model, {floats({2, 2}, {1, -2, 3, 4})})[0];
  };
  expect_values(reduce("ReduceSum"), {2, 1}, {-1, 7});
  expect_values(reduce("ReduceMean<keepdims = 0>"), {2}, {-0.5, 3.5});
  expect_values(reduce("ReduceMax"), {2, 1}, {1, 4});
  expect_values(reduce("ReduceMin"), {2, 1}, {-2, 3});
  expect_values(reduce("ReduceProd"), {2, 1}, {-2, 12});
  expect_values(reduce("ReduceL1"), {2, 1}, {3, 7});
  expect_values(reduce("ReduceL2"), {2, 1}, {std::sqrt(5.0), 5});
  expect_values(reduce("ReduceSumSquare"), {2, 1}, {5, 25});
  expect_values(
      reduce("ReduceLogSumExp<keepdims = 0>"), {2},
      {std::log(std::exp(1.0) + std::exp(-2.0)), std::log(std::exp(3.0) + std::exp(4.0))});
}

TEST(ImportOps, ReductionAxes) {
  const auto all = graph(
      "(float[n, 2] x) => (a, b, c) <int64[0] none = {}> {"
      " a = ReduceSum(x)  b = ReduceSum<noop_with_empty_axes = 1>(x, none)"
      " c = ReduceSum<keepdims = 0>(x) }");
  const auto results = run_model(all, {floats({1, 2}, {1, 2})});
  expect_values(results[0], {1, 1}, {3});
  expect_values(results[1], {1, 2}, {1, 2});
  expect_values(results[2], {}, {3});
  const auto old =
      graph("(float[n, 2] x) => (y) { y = ReduceMean<axes = [0], keepdims = 0>(x) }", 13);
  expect_values(run_model(old, {floats({2, 2}, {1, 2, 3, 4})})[0], {2}, {2, 3});
}

TEST(ImportOps, ArgumentsAndCumulativeSums) {
  const auto model = graph(
      "(float[n, 3] x) => (a, b, c, d) <int64 axis = {1}> {"
      " a = ArgMax<axis = 1>(x)  b = ArgMax<axis = -1, keepdims = 0, select_last_index = 1>(x)"
      " c = ArgMin<axis = 1, keepdims = 0>(x)  d = CumSum<exclusive = 1, reverse = 1>(x, axis) }");
  const auto results = run_model(model, {floats({2, 3}, {5, 1, 5, 2, 3, 2})});
  expect_values(results[0], {2, 1}, {0, 1});
  expect_values(results[1], {2}, {2, 1});
  expect_values(results[2], {2}, {1, 0});
  expect_values(results[3], {2, 3}, {6, 5, 0, 5, 2, 0});
}

TEST(ImportOps, CumulativeProducts) {
  const auto model = graph(
      "(float[2, 3] x) => (a, b) <int64 last = {-1}, int64 first = {0}> {"
      " a = CumProd<exclusive = 1, reverse = 1>(x, last)  b = CumProd(x, first) }",
      26);
  const auto results = run_model(model, {floats({2, 3}, {2, 3, 4, 5, 6, 7})});
  expect_values(results[0], {2, 3}, {12, 4, 1, 42, 7, 1});
  expect_values(results[1], {2, 3}, {2, 3, 4, 10, 18, 28});
}

TEST(ImportOps, SumsOfIntegersWrapAround) {
  const auto model = graph(
      "(int64[2] x, int64[1] i, int64[1] u) => (a, b, c) <int64 axis = {0}> {"
      " a = CumSum(x, axis)  b = ScatterElements<reduction = \"add\">(x, i, u)"
      " c = ScatterElements<reduction = \"mul\">(x, i, u) }");
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  const auto results =
      run_model(model, {integers({2}, {kMost, 2}), integers({1}, {0}), integers({1}, {2})});
  EXPECT_EQ(results[0].at_int(1), std::numeric_limits<int64_t>::min() + 1);
  EXPECT_EQ(results[1].at_int(0), std::numeric_limits<int64_t>::min() + 1);
  EXPECT_EQ(results[2].at_int(0), -2);
}

// ---- softmax and norms ----

TEST(ImportOps, Softmax) {
  const double e = std::exp(1.0);
  const Numbers rows = {1 / (1 + e), e / (1 + e), 0.5, 0.5};
  const auto x = floats({2, 2}, {0, 1, 3, 3});
  expect_values(run_model(graph("(float[n, 2] x) => (y) { y = Softmax(x) }"), {x})[0], {2, 2},
                rows);
  expect_values(run_model(graph("(float[n, 2] x) => (y) { y = LogSoftmax(x) }"), {x})[0], {2, 2},
                {std::log(rows[0]), std::log(rows[1]), std::log(0.5), std::log(0.5)});
  // Up to opset 12 everything behind the axis is one row.
  const auto old = graph("(float[n, 2, 2] x) => (y) { y = Softmax(x) }", 11);
  expect_values(run_model(old, {floats({1, 2, 2}, {0, 0, 0, 0})})[0], {1, 2, 2},
                {0.25, 0.25, 0.25, 0.25});
}

TEST(ImportOps, Hardmax) {
  const auto model =
      graph("(float[n, 3] x) => (a, b) { a = Hardmax(x)  b = Hardmax<axis = 0>(x) }");
  const auto results = run_model(model, {floats({2, 3}, {1, 4, 4, 2, -1, 9})});
  expect_values(results[0], {2, 3}, {0, 1, 0, 0, 0, 1});
  expect_values(results[1], {2, 3}, {0, 1, 0, 1, 0, 1});
  // Up to opset 12 everything behind the axis is one row.
  const auto old = graph("(float[n, 2, 2] x) => (y) { y = Hardmax(x) }", 11);
  expect_values(run_model(old, {floats({1, 2, 2}, {0, 3, 7, 1})})[0], {1, 2, 2}, {0, 0, 1, 0});
}

TEST(ImportOps, LayerNormalization) {
  const auto model = graph(
      "(float[n, 2] x) => (y, mean, inverse) <float[2] s = {2, 3}, float[2] b = {1, 0}>"
      " { y, mean, inverse = LayerNormalization<epsilon = 0.0>(x, s, b) }");
  const auto results = run_model(model, {floats({1, 2}, {1, 5})});
  expect_values(results[0], {1, 2}, {-1, 3});
  expect_values(results[1], {1, 1}, {3});
  expect_values(results[2], {1, 1}, {0.5});
}

TEST(ImportOps, OtherNorms) {
  const auto rms = graph(
      "(float[n, 2] x) => (y) <float[2] s = {1, 2}> { y = RMSNormalization<epsilon = 0.0>(x, s) }",
      23);
  expect_values(run_model(rms, {floats({1, 2}, {1, 7})})[0], {1, 2}, {0.2, 2.8});
  const auto batch = graph(
      "(float[n, 2, 1] x) => (y) <float[2] s = {1, 2}, float[2] b = {0, 1}, float[2] m = {1, 2}, "
      "float[2] v = {4, 1}>"
      " { y = BatchNormalization<epsilon = 0.0>(x, s, b, m, v) }");
  expect_values(run_model(batch, {floats({1, 2, 1}, {3, 4})})[0], {1, 2, 1}, {1, 5});
  const auto instance = graph(
      "(float[n, 1, 2] x) => (y) <float[1] s = {2}, float[1] b = {1}>"
      " { y = InstanceNormalization<epsilon = 0.0>(x, s, b) }");
  expect_values(run_model(instance, {floats({1, 1, 2}, {0, 4})})[0], {1, 1, 2}, {-1, 3});
  const auto group = graph(
      "(float[n, 4, 1] x) => (y) <float[4] s = {1, 1, 2, 2}, float[4] b = {0, 0, 1, 1}>"
      " { y = GroupNormalization<epsilon = 0.0, num_groups = 2>(x, s, b) }",
      21);
  expect_values(run_model(group, {floats({1, 4, 1}, {0, 2, 5, 7})})[0], {1, 4, 1}, {-1, 1, -1, 3});
}

// ---- attention ----

TEST(ImportOps, NormsOverAnAxis) {
  const auto x = floats({2, 2}, {3, 4, 0, 0});
  const auto lp = graph(
      "(float[n, 2] x) => (a, b) { a = LpNormalization(x)  b = LpNormalization<p = 1, axis = 0>(x) "
      "}",
      22);
  const auto results = run_model(lp, {x});
  expect_values(results[0], {2, 2}, {0.6, 0.8, 0, 0});
  expect_values(results[1], {2, 2}, {1, 1, 0, 0});
  // The window of 2 reaches to the next channel; beyond the last one it is empty.
  const auto local = graph(
      "(float[n, 3, 1] x) => (y) { y = LRN<size = 2, alpha = 2.0, beta = 1.0, bias = 1.0>(x) }");
  expect_values(run_model(local, {floats({1, 3, 1}, {1, 2, 3})})[0], {1, 3, 1},
                {1.0 / 6, 2.0 / 14, 3.0 / 10});
}

TEST(ImportOps, AttentionWithMasks) {
  // One head of size 1 and zero queries: the mean of the values that are kept.
  const auto attention = [](const std::string &attributes, const std::string &mask,
                            const Tensor &keep) {
    const auto model =
        graph("(float[n, 1, l, 1] q, float[n, 1, l, 1] k, float[n, 1, l, 1] v, " + mask +
                  " m) => (y) { y = Attention<" + attributes + ">(q, k, v, m) }",
              23);
    const Tensor zero = floats({1, 1, 3, 1}, {0, 0, 0});
    return run_model(model, {zero, zero, floats({1, 1, 3, 1}, {3, 6, 9}), keep})[0];
  };
  expect_values(
      attention("is_causal = 0", "bool[l, l]", bools({3, 3}, {1, 1, 1, 1, 0, 1, 0, 0, 0})),
      {1, 1, 3, 1}, {6, 6, 0});
  expect_values(
      attention("is_causal = 1", "bool[l, l]", bools({3, 3}, {1, 1, 1, 1, 1, 1, 0, 1, 1})),
      {1, 1, 3, 1}, {3, 4.5, 7.5});
  expect_values(attention("is_causal = 0", "float[l, l]",
                          floats({3, 3}, {0, 0, 0, -kInfinity, 0, 0, 0, -kInfinity, -kInfinity})),
                {1, 1, 3, 1}, {6, 7.5, 3});
}

TEST(ImportOps, AttentionWithHeadsInTheLastAxisAndGroups) {
  const auto model = graph(
      "(float[n, l, 4] q, float[n, l, 2] k, float[n, l, 2] v) => (y)"
      " { y = Attention<q_num_heads = 4, kv_num_heads = 2>(q, k, v) }",
      23);
  const auto results =
      run_model(model, {floats({1, 2, 4}, Numbers(8, 0)), floats({1, 2, 2}, {1, 2, 3, 4}),
                        floats({1, 2, 2}, {1, 10, 3, 30})});
  expect_values(results[0], {1, 2, 4}, {2, 2, 20, 20, 2, 2, 20, 20});
}

TEST(ImportOps, AttentionWithThePast) {
  const auto model = graph(
      "(float[n, 1, l, 1] q, float[n, 1, l, 1] k, float[n, 1, l, 1] v, float[n, 1, p, 1] pk, "
      "float[n, 1, p, 1] pv)"
      " => (y, present) { y, present = Attention<is_causal = 1>(q, k, v, , pk, pv) }",
      23);
  const Tensor zero = floats({1, 1, 2, 1}, {0, 0});
  const auto results = run_model(model, {zero, zero, floats({1, 1, 2, 1}, {3, 6}),
                                         floats({1, 1, 1, 1}, {5}), floats({1, 1, 1, 1}, {9})});
  expect_values(results[0], {1, 1, 2, 1}, {6, 6});
  expect_values(results[1], {1, 1, 3, 1}, {5, 0, 0});
}

// Of ONNX's preview domain, by the body that the library gives; the scores' formula is a graph.
TEST(ImportOps, FlexAttention) {
  const auto model = graph(
      "(float[1, 1, 1, 1] q, float[1, 1, 2, 1] k, float[1, 1, 2, 1] v) => (a, b) {"
      " a = ai.onnx.preview.FlexAttention(q, k, v)"
      " b = ai.onnx.preview.FlexAttention<score_mod = twice (float[1, 1, 1, 2] s) =>"
      " (float[1, 1, 1, 2] t) { t = Add(s, s) }>(q, k, v) }",
      26);
  const auto results = run_model(model, {floats({1, 1, 1, 1}, {1}), floats({1, 1, 2, 1}, {0, 1}),
                                         floats({1, 1, 2, 1}, {0, 1})});
  expect_values(results[0], {1, 1, 1, 1}, {1 / (1 + std::exp(-1.0))});
  expect_values(results[1], {1, 1, 1, 1}, {1 / (1 + std::exp(-2.0))});
}

TEST(ImportOps, RotaryEmbedding) {
  const auto model = graph(
      "(float[1, 1, 1, 2] x, int64[1, 1] p) => (y) <float[2, 1] c = {1, 0}, float[2, 1] s = {0, 1}>"
      " { y = RotaryEmbedding(x, c, s, p) }",
      23);
  expect_values(run_model(model, {floats({1, 1, 1, 2}, {3, 4}), integers({1, 1}, {1})})[0],
                {1, 1, 1, 2}, {-4, 3});
}

// ---- com.microsoft ----

// The results of a node of that domain without attributes' defaults in the way.
std::vector<Tensor> run_microsoft(const std::string &inputs, const std::string &outputs,
                                  const std::string &node, const std::vector<Tensor> &values) {
  SCOPED_TRACE(node);
  return run_model(graph("(" + inputs + ") => (" + outputs + ") { " + outputs +
                         " = com.microsoft." + node + " }"),
                   values);
}

TEST(ImportOps, MicrosoftGelus) {
  const Numbers x = {-30, -2.5, -0.5, 0, 0.75, 3};
  const auto values = [&](const std::function<double(double)> &definition, double bias) {
    Numbers y;
    for (const double value : x) {
      y.push_back(definition(value + bias));
    }
    return y;
  };
  const auto exact = [](double v) { return v / 2 * (1 + std::erf(v / std::sqrt(2.0))); };
  const auto tanh = [](double v) {
    return v / 2 * (1 + std::tanh(0.7978845608028654 * (v + 0.044715 * v * v * v)));
  };
  const auto expect = [&](const std::string &node, const Numbers &expected) {
    const std::vector<Tensor> given{floats({6}, x), floats({1}, {0.25})};
    expect_values(run_microsoft("float[6] x, float[1] b", "y", node, given)[0], {6}, expected);
  };
  expect("Gelu(x)", values(exact, 0));
  expect("BiasGelu(x, b)", values(exact, 0.25));
  expect("FastGelu(x)", values(tanh, 0));
  expect("FastGelu(x, b)", values(tanh, 0.25));
  expect("QuickGelu(x)", values([](double v) { return v / (1 + std::exp(-1.702 * v)); }, 0));
  expect("QuickGelu<alpha = 0.5>(x)",
         values([](double v) { return v / (1 + std::exp(-v / 2)); }, 0));
}

TEST(ImportOps, MicrosoftBiasAdd) {
  const auto y =
      run_microsoft("float[1, 2, 2] x, float[2] b, float[1, 2, 2] s", "y", "BiasAdd(x, b, s)",
                    {floats({1, 2, 2}, {1, 2, 3, 4}), floats({2}, {10, 20}),
                     floats({1, 2, 2}, {100, 200, 300, 400})});
  expect_values(y[0], {1, 2, 2}, {111, 222, 313, 424});
}

// The sum of 1 4, 1 0 and 0 2 is 2 6: the mean is 4, the variance 4.
TEST(ImportOps, MicrosoftSkipLayerNormalization) {
  const std::string inputs =
      "float[1, n, 2] x, float[1, n, 2] s, float[2] g, float[2] b, float[2] c";
  const std::vector<Tensor> values{floats({1, 1, 2}, {1, 4}), floats({1, 1, 2}, {0, 2}),
                                   floats({2}, {3, 6}), floats({2}, {1, 0}), floats({2}, {1, 0})};
  const auto all =
      run_model(graph("(" + inputs +
                      ") => (y, sum) { y, , , sum = "
                      "com.microsoft.SkipLayerNormalization<epsilon = 5.0>(x, s, g, b, c) }"),
                values);
  expect_values(all[0], {1, 1, 2}, {-1, 4});
  expect_values(all[1], {1, 1, 2}, {2, 6});
  // 1 6 without the bias: 3.5 and 2.5 squared; the default epsilon is next to nothing.
  expect_values(run_microsoft(inputs, "y", "SkipLayerNormalization(x, s, g)", values)[0], {1, 1, 2},
                {-3, 6});
  // What is left of 1e-6 beside it.
  const std::vector<Tensor> small{floats({1, 1, 2}, {1e-6, -1e-6}), floats({1, 1, 2}, {0, 0}),
                                  floats({2}, {1, 1}), floats({2}, {0, 0}), floats({2}, {0, 0})};
  expect_values(run_microsoft(inputs, "y", "SkipLayerNormalization(x, s, g, b)", small)[0],
                {1, 1, 2}, {std::sqrt(0.5), -std::sqrt(0.5)});
}

// 3 4: the mean of the squares is 12.5.
TEST(ImportOps, SimplifiedLayerNormalization) {
  const Tensor gamma = floats({2}, {5, 10});
  const std::string inputs = "float[1, n, 2] x, float[1, n, 2] s, float[2] g, float[2] c";
  const auto both = run_model(
      graph("(" + inputs +
            ") => (y, sum) { y, , , sum = "
            "com.microsoft.SkipSimplifiedLayerNormalization<epsilon = 12.5>(x, s, g, c) }"),
      {floats({1, 1, 2}, {1, 1}), floats({1, 1, 2}, {2, 1}), gamma, floats({2}, {0, 2})});
  expect_values(both[0], {1, 1, 2}, {3, 8});
  expect_values(both[1], {1, 1, 2}, {3, 4});
  // In the standard domain, as the optimisers write it.
  const auto model = graph(
      "(float[2] x, float[2] g) => (y) {"
      " y = SimplifiedLayerNormalization<axis = -1, epsilon = 12.5, stash_type = 1>(x, g) }");
  expect_values(run_model(model, {floats({2}, {3, 4}), gamma})[0], {2}, {3, 8});
}

TEST(ImportOps, MicrosoftEmbedLayerNormalization) {
  const std::string constants =
      "<float[3, 2] words = {0, 0, 1, 5, 2, 0}, float[4, 2] places = {10, 20, 30, 40, 50, 60, 70, "
      "80},"
      " float[2, 2] parts = {0, 100, 300, 0}, float[2] g = {1, 2}, float[2] b = {0, 1}>";
  const std::string inputs =
      "(int32[batch, n] ids, int32[batch, n] seg, int32[batch, n] mask, int32[1, n] at)";
  const auto run = [&](const std::string &node) {
    return run_model(graph(inputs + " => (y, kept, sum) " + constants +
                           " { y, kept, sum = com.microsoft.EmbedLayerNormalization" + node + " }"),
                     {Tensor::of(DType::I32, {2, 2}, std::vector<int64_t>{1, 2, 0, 1}),
                      Tensor::of(DType::I32, {2, 2}, std::vector<int64_t>{0, 1, 0, 0}),
                      Tensor::of(DType::I32, {2, 2}, std::vector<int64_t>{1, 0, 1, 1}),
                      Tensor::of(DType::I32, {1, 2}, std::vector<int64_t>{3, 0})});
  };
  auto results = run("(ids, seg, words, places, parts, g, b, mask)");
  expect_values(results[2], {2, 2, 2}, {11, 125, 332, 40, 10, 120, 31, 145});
  expect_values(results[0], {2, 2, 2}, {-1, 3, 1, -1, -1, 3, -1, 3});
  expect_values(results[1], {2}, {1, 2});
  EXPECT_EQ(results[1].dtype(), DType::I32);
  results = run("(ids, , words, places, , g, b, , at)");
  expect_values(results[2], {2, 2, 2}, {71, 85, 12, 20, 70, 80, 11, 25});
  expect_values(results[1], {2}, {0, 0});
}

TEST(ImportOps, MicrosoftProducts) {
  const Tensor a = floats({1, 2, 1}, {2, 3});
  const Tensor b = floats({2, 1, 1}, {5, 7});
  const std::string inputs = "float[1, 2, 1] a, float[2, 1, 1] b";
  // The rows of a stand in front of the batch.
  expect_values(
      run_microsoft(inputs, "y", "FusedMatMul<transBatchA = 1, alpha = 0.5>(a, b)", {a, b})[0],
      {2, 1, 1}, {5, 10.5});
  // Each column of a, as a row, times the batches of b.
  expect_values(run_microsoft(inputs, "y", "FusedMatMul<transA = 1, transB = 1>(b, a)", {a, b})[0],
                {2, 1, 2}, {10, 15, 14, 21});
  expect_values(
      run_microsoft("float[2] a, float[1, 2] b", "y", "FusedMatMul<transA = 1, transB = 1>(a, b)",
                    {floats({2}, {2, 3}), floats({1, 2}, {5, 7})})[0],
      {1}, {31});
  const std::string matrices = "float[1, 2] a, float[2, 1] b, float[1] c";
  const std::vector<Tensor> values{floats({1, 2}, {2, 3}), floats({2, 1}, {5, -7}),
                                   floats({1}, {1})};
  expect_values(run_microsoft(matrices, "y",
                              "FusedGemm<alpha = 2.0, beta = 3.0, activation = \"LeakyRelu\","
                              " activation_alpha = 0.5>(a, b, c)",
                              values)[0],
                {1, 1}, {-9.5});
  expect_values(
      run_microsoft(matrices, "y", "FusedGemm<activation = \"Relu\">(a, b, c)", values)[0], {1, 1},
      {0});
  expect_values(run_microsoft(matrices, "y",
                              "FusedGemm<activation = \"HardSigmoid\", activation_alpha = 0.01,"
                              " activation_beta = 0.75>(a, b)",
                              values)[0],
                {1, 1}, {0.64});
  expect_values(run_microsoft(matrices, "y", "FusedGemm(a, b)", values)[0], {1, 1}, {-11});
}

// With the first weights queries and keys are nothing, so every key that is seen counts the same,
// and values are the inputs: 3, 6, 9 and 1, 2, 6.
constexpr const char *kAttended = "float[batch, n, 1] x, float[1, 3] w";
const std::vector<Tensor> &attended() {
  static const std::vector<Tensor> values{floats({2, 3, 1}, {3, 6, 9, 1, 2, 6}),
                                          floats({1, 3}, {0, 0, 1})};
  return values;
}

void expect_attention(const std::string &attributes, const std::string &mask_type,
                      const Tensor &mask, const Numbers &expected) {
  SCOPED_TRACE(mask_type);
  std::vector<Tensor> values = attended();
  values.push_back(mask);
  const auto result =
      run_microsoft(std::string(kAttended) + ", " + mask_type + " mask", "y",
                    "Attention<num_heads = 1" + attributes + ">(x, w, , mask)", values);
  expect_values(result[0], {2, 3, 1}, expected);
}

TEST(ImportOps, MicrosoftAttentionMasks) {
  const auto mask = [](std::vector<int64_t> shape, const std::vector<int64_t> &values) {
    return Tensor::of(DType::I32, std::move(shape), values);
  };
  // The second sequence is all padding, and sees everything.
  expect_attention("", "int32[batch]", mask({2}, {2, 0}), {4.5, 4.5, 4.5, 3, 3, 3});
  expect_attention("", "int32[2]", mask({2}, {1, 7}), {3, 3, 3, 3, 3, 3});
  expect_attention("", "int32[batch, n]", mask({2, 3}, {0, 1, 1, 1, 0, 0}),
                   {7.5, 7.5, 7.5, 1, 1, 1});
  expect_attention("", "int32[batch, n, n]",
                   mask({2, 3, 3}, {1, 0, 0, 0, 1, 0, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0, 0, 0}),
                   {3, 6, 6, 1.5, 6, 3});
  expect_attention("", "int32[batch, 1]", mask({2, 1}, {0, 1}), {6, 6, 6, 3, 3, 3});
  // A key that is hidden counts a half.
  expect_attention(", mask_filter_value = -0.6931472", "int32[batch, n]",
                   mask({2, 3}, {1, 1, 0, 0, 0, 0}), {5.4, 5.4, 5.4, 3, 3, 3});
  expect_attention(", unidirectional = 1", "int32[batch, n]", mask({2, 3}, {1, 0, 1, 0, 0, 0}),
                   {3, 3, 6, 1, 1.5, 3});
  // Ends, then begins.
  const auto model = graph(
      "(float[2, n, 1] x, float[1, 3] w, int32[4] mask) => (y) {"
      " y = com.microsoft.Attention<num_heads = 1>(x, w, , mask) }");
  std::vector<Tensor> values = attended();
  values.push_back(mask({4}, {2, 3, 1, 2}));
  expect_values(run_model(model, values)[0], {2, 3, 1}, {6, 6, 6, 6, 6, 6});
}

TEST(ImportOps, MicrosoftAttention) {
  const auto run = [](const std::string &inputs, const std::string &node,
                      std::vector<Tensor> more) {
    std::vector<Tensor> values = attended();
    values.insert(values.end(), more.begin(), more.end());
    return run_microsoft(kAttended + inputs, "y", node, values)[0];
  };
  expect_values(run(", float[3] b", "Attention<num_heads = 1>(x, w, b)", {floats({3}, {1, 0, 10})}),
                {2, 3, 1}, {16, 16, 16, 13, 13, 13});
  // The first key counts twice.
  const double two = std::log(2.0);
  expect_values(run(", float[1, 1, n, n] b", "Attention<num_heads = 1>(x, w, , , , b)",
                    {floats({1, 1, 3, 3}, {two, 0, 0, two, 0, 0, two, 0, 0})}),
                {2, 3, 1}, {5.25, 5.25, 5.25, 2.5, 2.5, 2.5});
  // Queries, keys and values are 0, 1; two heads, whose scale is 1 unless it is given.
  const Tensor x = floats({1, 2, 1}, {0, 1});
  const Tensor ones = floats({1, 6}, {1, 1, 1, 1, 1, 1});
  const auto sigmoid = [](double v) { return 1 / (1 + std::exp(-v)); };
  const std::string inputs = "float[1, 2, 1] x, float[1, 6] w";
  expect_values(run_microsoft(inputs, "y", "Attention<num_heads = 2>(x, w)", {x, ones})[0],
                {1, 2, 2}, {0.5, 0.5, sigmoid(1), sigmoid(1)});
  expect_values(
      run_microsoft(inputs, "y", "Attention<num_heads = 2, scale = 3.0>(x, w)", {x, ones})[0],
      {1, 2, 2}, {0.5, 0.5, sigmoid(3), sigmoid(3)});
  // A head of two: q k is 2, over the root of 2.
  expect_values(run_microsoft(inputs, "y", "Attention<num_heads = 1>(x, w)", {x, ones})[0],
                {1, 2, 2}, {0.5, 0.5, sigmoid(std::sqrt(2.0)), sigmoid(std::sqrt(2.0))});
  // Values may be wider than keys.
  expect_values(run_microsoft("float[1, 2, 1] x, float[1, 8] w", "y",
                              "Attention<num_heads = 2, qkv_hidden_sizes = [2, 2, 4]>(x, w)",
                              {x, floats({1, 8}, {0, 0, 0, 0, 1, 2, 3, 4})})[0],
                {1, 2, 4}, {0.5, 1, 1.5, 2, 0.5, 1, 1.5, 2});
}

TEST(ImportOps, MicrosoftAttentionPast) {
  const auto run = [](const std::string &attributes) {
    return run_microsoft(
        "float[1, n, 1] x, float[1, 3] w, float[2, 1, 1, p, 1] past", "y, present",
        "Attention<num_heads = 1" + attributes + ">(x, w, , , past)",
        {floats({1, 2, 1}, {3, 6}), floats({1, 3}, {0, 0, 1}), floats({2, 1, 1, 1, 1}, {5, 12})});
  };
  auto results = run("");
  expect_values(results[0], {1, 2, 1}, {7, 7});
  expect_values(results[1], {2, 1, 1, 3, 1}, {5, 0, 0, 12, 3, 6});
  results = run(", unidirectional = 1");
  expect_values(results[0], {1, 2, 1}, {7.5, 7});
}

TEST(ImportOps, MicrosoftMultiHeadAttention) {
  // Two heads of one; the keys of the first are nothing.
  const std::string inputs = "float[1, n, 2] q, float[1, m, 2] k, float[1, m, 2] v";
  const std::vector<Tensor> values{floats({1, 1, 2}, {1, 1}), floats({1, 2, 2}, {0, 0, 0, 1}),
                                   floats({1, 2, 2}, {2, 0, 4, 1})};
  const auto run = [&](const std::string &more, const std::string &node,
                       const std::vector<Tensor> &given) {
    std::vector<Tensor> all = values;
    all.insert(all.end(), given.begin(), given.end());
    return run_microsoft(inputs + more, "y", "MultiHeadAttention" + node, all)[0];
  };
  const auto sigmoid = [](double v) { return 1 / (1 + std::exp(-v)); };
  expect_values(run("", "<num_heads = 2>(q, k, v)", {}), {1, 1, 2}, {3, sigmoid(1)});
  expect_values(run("", "<num_heads = 2, scale = 2.0>(q, k, v)", {}), {1, 1, 2}, {3, sigmoid(2)});
  // Queries 1 3, keys and values moved by 2 and 10.
  expect_values(
      run(", float[6] b", "<num_heads = 2>(q, k, v, b)", {floats({6}, {0, 2, 0, 2, 10, 10})}),
      {1, 1, 2}, {13, 10 + sigmoid(3)});
  expect_values(run(", int32[1, m] mask", "<num_heads = 2>(q, k, v, , mask)",
                    {Tensor::of(DType::I32, {1, 2}, std::vector<int64_t>{0, 1})}),
                {1, 1, 2}, {4, 1});
  expect_values(run(", int32[1] mask", "<num_heads = 2>(q, k, v, , mask)",
                    {Tensor::of(DType::I32, {1}, std::vector<int64_t>{1})}),
                {1, 1, 2}, {2, 0});
  expect_values(run(", float[1, 1, n, m] s", "<num_heads = 2>(q, k, v, , , s)",
                    {floats({1, 1, 1, 2}, {std::log(3.0), 0})}),
                {1, 1, 2}, {2.5, 1 / (1 + 3 / std::exp(1.0))});
  // Keys and values that have heads already.
  expect_values(run_microsoft("float[1, n, 2] q, float[1, 2, m, 1] k, float[1, 2, m, 1] v", "y",
                              "MultiHeadAttention<num_heads = 2>(q, k, v)",
                              {values[0], floats({1, 2, 2, 1}, {0, 0, 0, 1}),
                               floats({1, 2, 2, 1}, {2, 4, 0, 1})})[0],
                {1, 1, 2}, {3, sigmoid(1)});
}

TEST(ImportOps, MicrosoftMultiHeadAttentionPast) {
  const auto results = run_microsoft(
      "float[1, n, 1] q, float[1, n, 1] k, float[1, n, 1] v, float[1, 1, p, 1] pk,"
      " float[1, 1, p, 1] pv",
      "y, keys, values",
      "MultiHeadAttention<num_heads = 1, unidirectional = 1>(q, k, v, , , , pk, pv)",
      {floats({1, 2, 1}, {0, 0}), floats({1, 2, 1}, {1, 2}), floats({1, 2, 1}, {3, 6}),
       floats({1, 1, 1, 1}, {5}), floats({1, 1, 1, 1}, {12})});
  expect_values(results[0], {1, 2, 1}, {7.5, 7});
  expect_values(results[1], {1, 1, 3, 1}, {5, 1, 2});
  expect_values(results[2], {1, 1, 3, 1}, {12, 3, 6});
}

// Position 1 is a quarter turn: (a, b) becomes (-b, a).
TEST(ImportOps, MicrosoftRotaryEmbedding) {
  const std::string tables = " <float[2, 2] c = {1, 1, 0, 0}, float[2, 2] s = {0, 0, 1, 1}>";
  const auto run = [&](const std::string &type, const std::string &attributes, const Tensor &x,
                       const std::string &positions, const Tensor &p) {
    return run_model(graph("(float" + type + " x, int64" + positions + " p) => (y)" + tables +
                           " { y = com.microsoft.RotaryEmbedding" + attributes + "(x, p, c, s) }"),
                     {x, p})[0];
  };
  const Tensor heads = floats({1, 1, 1, 4}, {1, 2, 3, 4});
  const Tensor one = integers({1, 1}, {1});
  expect_values(run("[1, 1, n, 4]", "", heads, "[1, n]", one), {1, 1, 1, 4}, {-3, -4, 1, 2});
  expect_values(run("[1, 1, n, 4]", "<interleaved = 1>", heads, "[1, n]", one), {1, 1, 1, 4},
                {-2, 1, -4, 3});
  // Two heads in one axis; the first of two tokens stays.
  const Tensor flat = floats({1, 2, 8}, counting(16));
  const Numbers turned = {0, 1, 2, 3, 4, 5, 6, 7, -10, -11, 8, 9, -14, -15, 12, 13};
  expect_values(run("[1, n, 8]", "", flat, "[1, n]", integers({1, 2}, {0, 1})), {1, 2, 8}, turned);
  // The position of the first token.
  expect_values(run("[1, n, 8]", "<num_heads = 2>", flat, "[1]", integers({1}, {0})), {1, 2, 8},
                turned);
  // A place behind those that are turned.
  expect_values(run("[1, 1, n, 5]", "<rotary_embedding_dim = 4, num_heads = 1>",
                    floats({1, 1, 1, 5}, {1, 2, 3, 4, 5}), "[1, n]", one),
                {1, 1, 1, 5}, {-3, -4, 1, 2, 5});
}

}  // namespace
}  // namespace sylvite::testing
