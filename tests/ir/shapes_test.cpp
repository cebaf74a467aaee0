// One line a case: the node, and the type that its rule gives or the message with which it refuses.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "compiler/ir/error.h"
#include "compiler/ir/text.h"

namespace sylvite {
namespace {

using testing::HasSubstr;

constexpr const char *kInputs =
    "graph (s: f32[], x: f32[n, m, 8], y: f32[n, m, 8], row: f32[8], one: f32[n, 1, 8], h: f16[8], "
    "i: i64[n, m], j: i32[4, 2], b: bool[n, m, 8], w: f32[8, 16], wt: f32[16, 8], q: f32[n, 12, m, "
    "64], "
    "k: f32[n, 12, l, 64], panels: f32[2, 8, 16], image: f32[n, 6, 32, v], filter: f32[4, 3, 5, "
    "5], "
    "z: f32[0, 4], a2: i64[8], s2: f32[1], u: f32[4], v2: f32[4, 2], q2: f32[4, 6, 7], w3: f32[8, "
    "6, 7]) { symbol n "
    "in [1, inf) symbol m in [1, 512] symbol l in [1, inf) "
    "symbol v in [8, inf) ";

std::unique_ptr<Graph> build(const std::string &node) {
  return parse_graph(kInputs + ("r = " + node) + " @ \"/layer/Op_7\" return r }");
}

struct Case {
  const char *node;
  const char *expected;
};

void expect_types(const std::vector<Case> &cases) {
  for (const Case &each : cases) {
    try {
      const auto graph = build(each.node);
      verify(*graph);
      EXPECT_EQ(to_string(graph->output(0)->type), each.expected) << each.node;
      EXPECT_TRUE(graph->guards.empty()) << each.node;
      EXPECT_TRUE(graph->warnings.empty()) << each.node;
    } catch (const std::exception &error) {
      ADD_FAILURE() << each.node << ": " << error.what();
    }
  }
}

void expect_errors(const std::vector<Case> &cases) {
  for (const Case &each : cases) {
    try {
      const auto graph = build(each.node);
      ADD_FAILURE() << each.node << " gives " << to_string(graph->output(0)->type);
    } catch (const ModelError &error) {
      EXPECT_THAT(error.what(), HasSubstr(each.expected)) << each.node;
      EXPECT_THAT(error.what(), HasSubstr("'/layer/Op_7'")) << each.node;
    }
  }
}

TEST(Shapes, Leaves) {
  expect_types({
      {"constant {value = f16[2, 3] (1, 2, 3, 4, 5, 6)}", "f16[2, 3]"},
      {"iota {start = [0], step = [1], count = [m + 1], dtype = i32}", "i32[m + 1]"},
      {"dim_values {values = [n, m], shape = (2, 1), dtype = i64}", "i64[2, 1]"},
      {"dim_values {values = [n], shape = (), dtype = i64}", "i64[]"},
  });
  expect_errors({
      {"iota {start = [0], step = [1], count = [m, n], dtype = i32}", "'count' must be one size"},
      {"iota {start = [0], step = [1], count = [-2], dtype = i32}", "negative: -2"},
      {"iota {start = [0], step = [1], count = [2], dtype = bool}", "expected numbers, got bool"},
      {"dim_values {values = [n, m], shape = (3), dtype = i64}",
       "2 values do not fill the shape [3]"},
      {"dim_values {values = [n], shape = (-1, -1), dtype = i64}", "negative: -1"},
      {"dim_values {values = [n], shape = (9999999999, 9999999999), dtype = i64}",
       "exceeds 64 bits"},
      {"constant", "has no attribute 'value'"},
  });
}

TEST(Shapes, OneInput) {
  for (const char *op : {"neg", "abs", "sign", "floor", "ceil", "round", "sqrt", "exp", "log",
                         "erf", "tanh", "sin", "cos"}) {
    expect_types({{(std::string(op) + "(x)").c_str(), "f32[n, m, 8]"}});
    expect_errors({{(std::string(op) + "(b)").c_str(), "got bool"}});
  }
  for (const char *op : {"floor", "ceil", "round", "sqrt", "exp", "log", "erf", "tanh", "sin",
                         "cos", "is_nan", "is_inf"}) {
    expect_errors(
        {{(std::string(op) + "(i)").c_str(), "expected floating-point numbers, got i64"}});
  }
  expect_types({{"neg(i)", "i64[n, m]"},
                {"not(b)", "bool[n, m, 8]"},
                {"is_nan(x)", "bool[n, m, 8]"},
                {"is_inf(h) {negative = 0}", "bool[8]"},
                {"cast(i) {to = f32}", "f32[n, m]"}});
  expect_errors({{"not(x)", "expected bool, got f32"}, {"cast(x)", "has no attribute 'to'"}});
}

TEST(Shapes, TwoInputs) {
  for (const char *op : {"add", "sub", "mul", "div", "mod", "pow", "min", "max"}) {
    const std::string name = op;
    expect_types({{(name + "(x, y)").c_str(), "f32[n, m, 8]"},
                  {(name + "(row, one)").c_str(), "f32[n, 1, 8]"},
                  {(name + "(one, x)").c_str(), "f32[n, m, 8]"},
                  {(name + "(s, x)").c_str(), "f32[n, m, 8]"}});
    expect_errors({{(name + "(b, b)").c_str(), "expected numbers, got bool"},
                   {(name + "(x, w)").c_str(),
                    "shapes [n, m, 8] and [8, 16] do not broadcast: axis 2 is 8 and 16"}});
  }
  for (const char *op :
       {"add", "sub", "mul", "div", "mod", "min", "max", "less", "less_equal", "equal"}) {
    expect_errors({{(std::string(op) + "(row, h)").c_str(), "element types differ: f32 and f16"}});
  }
  for (const char *op : {"less", "less_equal", "equal"}) {
    expect_types({{(std::string(op) + "(x, row)").c_str(), "bool[n, m, 8]"}});
  }
  for (const char *op : {"and", "or", "xor"}) {
    expect_types({{(std::string(op) + "(b, b)").c_str(), "bool[n, m, 8]"},
                  {(std::string(op) + "(i, i)").c_str(), "i64[n, m]"}});
    expect_errors({{(std::string(op) + "(x, b)").c_str(), "expected bool or integers, got f32"},
                   {(std::string(op) + "(b, x)").c_str(), "element types differ: bool and f32"}});
  }
  expect_types(
      {{"pow(row, a2)", "f32[8]"}, {"equal(b, b)", "bool[n, m, 8]"}, {"add(z, s)", "f32[0, 4]"}});
  expect_errors({{"less(b, b)", "expected numbers, got bool"}});
}

TEST(Shapes, Where) {
  expect_types({{"where(b, x, s)", "f32[n, m, 8]"}, {"where(b, s, s)", "f32[n, m, 8]"}});
  expect_errors({{"where(x, x, x)", "expected bool, got f32"},
                 {"where(b, row, h)", "element types differ: f32 and f16"},
                 {"where(b, wt, w)", "do not broadcast"}});
}

TEST(Shapes, Reshape) {
  expect_types({
      {"reshape(x) {shape = [n*m, 8]}", "f32[m*n, 8]"},
      {"reshape(x) {shape = [n, m, 2, 4]}", "f32[n, m, 2, 4]"},
      {"reshape(s) {shape = [1, 1]}", "f32[1, 1]"},
      {"reshape(s) {shape = []}", "f32[]"},
      {"reshape(z) {shape = [4, 0, n]}", "f32[4, 0, n]"},
  });
  expect_errors({
      {"reshape(w) {shape = [9, 16]}", "cannot reshape [8, 16] to [9, 16]"},
      {"reshape(x) {shape = [n, m, 9]}", "cannot reshape [n, m, 8] to [n, m, 9]"},
      {"reshape(w) {shape = [-8, -16]}", "negative: -8"},
      {"reshape(x) {shape = [n*9999999999, m*9999999999]}", "exceeds 64 bits"},
  });
}

TEST(Shapes, Views) {
  expect_types({
      {"transpose(x) {perm = (2, 0, 1)}", "f32[8, n, m]"},
      {"transpose(s) {perm = ()}", "f32[]"},
      {"expand(one) {shape = [n, m, 8]}", "f32[n, m, 8]"},
      {"expand(row) {shape = [n*2, 8]}", "f32[n*2, 8]"},
      {"expand(s) {shape = []}", "f32[]"},
      {"slice(x) {starts = [0, 0, 7], sizes = [n, m - 1, 8], steps = (1, 1, -1)}",
       "f32[n, m - 1, 8]"},
      {"slice(x) {starts = [n - 1, 0, 0], sizes = [1, min(m, 4), 4], steps = (1, 1, 2)}",
       "f32[1, min(4, m), 4]"},
      {"slice(row) {starts = [8], sizes = [0], steps = (1)}", "f32[0]"},
      {"concat(x, y, one) {axis = 1}", "f32[n, m*2 + 1, 8]"},
      {"concat(s2, s2) {axis = 0}", "f32[2]"},
      {"pad(x) {before = [0, 1, 0], after = [0, m, 0]}", "f32[n, m*2 + 1, 8]"},
      {"pad(row, s) {before = [3], after = [0], mode = constant}", "f32[11]"},
      {"pad(row) {before = [7], after = [0], mode = reflect}", "f32[15]"},
      {"pad(row) {before = [70], after = [0], mode = edge}", "f32[78]"},
  });
  expect_errors({
      {"transpose(x) {perm = (0, 1)}", "'perm' has 2 entries for 3 dimensions"},
      {"transpose(x) {perm = (0, 1, 1)}", "axis 1 stands twice"},
      {"transpose(x) {perm = (0, 1, 3)}", "axis 3 is out of range for 3 dimensions"},
      {"transpose(x) {perm = (0, 1, -1)}", "axis -1 is out of range"},
      {"expand(row) {shape = []}", "cannot expand [8] to []"},
      {"expand(row) {shape = [n, 9]}", "must be equal, but are 8 and 9"},
      {"expand(s) {shape = [-1]}", "negative: -1"},
      {"slice(row) {starts = [0], sizes = [9], steps = (1)}",
       "reads position 8 of axis 0, whose size is 8"},
      {"slice(row) {starts = [3], sizes = [5], steps = (-1)}", "reads position -1 of axis 0"},
      {"slice(x) {starts = [0, m, 0], sizes = [n, 1, 8], steps = (1, 1, 1)}",
       "reads position m of axis 1, whose size is m"},
      {"slice(row) {starts = [0], sizes = [2], steps = (0)}", "step on axis 0 is 0"},
      {"slice(row) {starts = [0], sizes = [-2], steps = (1)}", "size on axis 0 is negative: -2"},
      {"slice(row) {starts = [0, 0], sizes = [2], steps = (1)}", "'starts' has 2 entries for 1"},
      {"slice(row) {starts = [0], sizes = [2], steps = (9223372036854775807)}", "reads position"},
      {"slice(row) {starts = [0], sizes = [8], steps = (9223372036854775807)}", "exceeds 64 bits"},
      {"concat(x, row) {axis = 0}", "shapes [n, m, 8] and [8] cannot be joined"},
      {"concat(row, h) {axis = 0}", "element types differ: f32 and f16"},
      {"concat(row, row) {axis = 1}", "axis 1 is out of range for 1 dimensions"},
      {"concat(row, row) {axis = -1}", "axis -1 is out of range"},
      {"concat(w, wt) {axis = 0}", "must be equal, but are 16 and 8"},
      {"concat(s, s) {axis = 0}", "axis 0 is out of range for 0 dimensions"},
      {"pad(row) {before = [-1], after = [0]}", "padding on axis 0 is negative: -1"},
      {"pad(row) {before = [8], after = [0], mode = reflect}",
       "too wide for mode 'reflect' and size 8"},
      {"pad(row) {before = [8], after = [0], mode = wrap}", "unknown mode 'wrap'"},
      {"pad(row, row) {before = [8], after = [0]}", "must be one number, got shape [8]"},
      {"pad(row, s) {before = [1], after = [0], mode = edge}", "takes no value to pad with"},
      {"pad(z) {before = [1, 0], after = [0, 0], mode = edge}", "too wide for mode 'edge'"},
  });
}

TEST(Shapes, Lookups) {
  expect_types({
      {"gather(w, i) {axis = 0}", "f32[n, m, 16]"},
      {"gather(w, j) {axis = 1}", "f32[8, 4, 2]"},
      {"gather_elements(wt, j) {axis = 1}", "f32[4, 2]"},
      {"gather_nd(x, j)", "f32[4, 8]"},
      {"gather_nd(q2, j) {batch_dims = 1}", "f32[4]"},
  });
  expect_errors({
      {"gather(w, x) {axis = 0}", "indices must be integers, got f32"},
      {"gather(w, b) {axis = 0}", "indices must be integers, got bool"},
      {"gather(w, i) {axis = 2}", "axis 2 is out of range for 2 dimensions"},
      {"gather(s, i) {axis = 0}", "axis 0 is out of range for 0 dimensions"},
      {"gather_elements(x, j) {axis = 0}", "must have the same rank"},
      {"gather_elements(z, j) {axis = 1}", "are larger than the data [0, 4] on axis 0"},
      {"gather_nd(w, i)", "the last size of the indices must be known, is m"},
      {"gather_nd(row, j)", "indices name 2 axes of data with 1"},
      {"gather_nd(x, j) {batch_dims = 2}", "batch_dims 2 is out of range"},
      {"gather_nd(w3, j) {batch_dims = 1}", "must be equal, but are 8 and 4"},
  });
}

TEST(Shapes, Contractions) {
  expect_types({
      {"matmul(x, w)", "f32[n, m, 16]"},
      {"matmul(x, wt) {transpose_b = 1}", "f32[n, m, 16]"},
      {"matmul(q, k) {transpose_b = 1}", "f32[n, 12, m, l]"},
      {"matmul_panels(x, panels) {n = 20}", "f32[n, m, 20]"},
      {"matmul_panels(row, panels) {n = 32}", "f32[32]"},
      {"conv(image, filter) {strides = (2, 2), pads = (2, 2, 2, 2), dilations = (1, 1), group = 2}",
       "f32[n, 4, 16, floor_div(v + 1, 2)]"},
      {"conv(image, filter) {strides = (1, 1), pads = (0, 0, 0, 0), dilations = (2, 1), group = 2}",
       "f32[n, 4, 24, v - 4]"},
      {"pool(image) {kind = max, kernel = (2, 2), strides = (2, 2), pads = (0, 0, 0, 0), dilations "
       "= (1, 1)}",
       "f32[n, 6, 16, floor_div(v, 2)]"},
  });
  expect_errors({
      {"matmul(x, row)", "operands must have at least two dimensions, got [n, m, 8] and [8]"},
      {"matmul(x, wt)", "the inner sizes of [n, m, 8] and [16, 8] must be equal, but are 8 and 16"},
      {"matmul(b, b)", "expected numbers, got bool"},
      {"matmul_panels(x, panels) {n = 33}",
       "the panels of n columns must be equal, but are 2 and 3"},
      {"matmul_panels(x, w) {n = 16}", "expected panels [P, K, 16]"},
      {"matmul_panels(x, panels) {n = -1}", "n is -1"},
      {"matmul_panels(wt, x) {n = 16}",
       "the columns of its panels must be equal, but are 8 and 16"},
      {"conv(image, filter) {strides = (1, 1), pads = (0, 0, 0, 0), dilations = (1, 1)}",
       "the channels of its input and its weights must be equal, but are 6 and 3"},
      {"conv(image, filter) {strides = (1, 1), pads = (0, 0, 0, 0), dilations = (1, 1), group = 3}",
       "4 output channels do not divide into 3 groups"},
      {"conv(image, filter) {strides = (1, 1), pads = (0, 0, 0, 0), dilations = (1, 1), group = 0}",
       "group is 0"},
      {"conv(image, filter) {strides = (0, 1), pads = (0, 0, 0, 0), dilations = (1, 1), group = 2}",
       "a kernel size, stride or dilation is 0 on axis 2"},
      {"conv(image, filter) {strides = (1), pads = (0, 0, 0, 0), dilations = (1, 1), group = 2}",
       "attribute 'strides' has 1 entries, expected 2"},
      {"conv(image, filter) {strides = (1, 1), pads = (0, 0), dilations = (1, 1), group = 2}",
       "attribute 'pads' has 2 entries, expected 4"},
      {"conv(image, filter) {strides = (1, 1), pads = (0, 0, -1, 0), dilations = (1, 1), group = "
       "2}",
       "padding is -1 on axis 2"},
      {"conv(image, filter) {strides = (1, 1), pads = (0, 0, 0, 0), dilations = (9, 1), group = 2}",
       "a window of 37 does not fit the padded size 32 on axis 2"},
      {"conv(image, x) {strides = (1, 1), pads = (0, 0, 0, 0), dilations = (1, 1), group = 2}",
       "expected an input [N, C, ...] and weights"},
      {"conv(image, q) {strides = (1, 1), pads = (0, 0, 0, 0), dilations = (1, 1), group = 2}",
       "the sizes of the weights must be known"},
      {"pool(image) {kind = min, kernel = (2, 2), strides = (2, 2), pads = (0, 0, 0, 0), dilations "
       "= (1, 1)}",
       "unknown kind 'min'"},
      {"pool(w) {kind = max, kernel = (), strides = (), pads = (), dilations = ()}",
       "expected an input [N, C, ...], got [8, 16]"},
  });
}

TEST(Shapes, Reductions) {
  expect_types({
      {"reduce(x) {kind = sum, axes = (1)}", "f32[n, 8]"},
      {"reduce(x) {kind = mean, axes = (0, 2), keepdims = 1}", "f32[1, m, 1]"},
      {"reduce(x) {kind = max, axes = ()}", "f32[n, m, 8]"},
      {"arg_reduce(x) {kind = max, axis = 2}", "i64[n, m]"},
      {"arg_reduce(x) {kind = min, axis = 0, keepdims = 1}", "i64[1, m, 8]"},
      {"cumsum(i) {axis = 1, reverse = 1}", "i64[n, m]"},
      {"cumsum(x) {axis = 0, kind = prod}", "f32[n, m, 8]"},
      {"softmax(x) {axis = 1}", "f32[n, m, 8]"},
      {"layer_norm(x) {axis = 2, epsilon = 1e-5}", "f32[n, m, 8]"},
      {"layer_norm(x, row, row) {axis = 2, epsilon = 1e-5, rms = 1}", "f32[n, m, 8]"},
      {"layer_norm(w, w, w) {axis = 0, epsilon = 0.0}", "f32[8, 16]"},
  });
  expect_errors({
      {"reduce(x) {kind = sum, axes = (3)}", "axis 3 is out of range"},
      {"reduce(x) {kind = sum, axes = (1, 1)}", "axis 1 stands twice"},
      {"reduce(x) {kind = median, axes = (1)}", "unknown kind 'median'"},
      {"reduce(b) {kind = sum, axes = (1)}", "expected numbers, got bool"},
      {"arg_reduce(x) {kind = sum, axis = 1}", "unknown kind 'sum'"},
      {"arg_reduce(x) {kind = max, axis = 3}", "axis 3 is out of range"},
      {"arg_reduce(z) {kind = max, axis = 0}", "axis 0 is empty"},
      {"cumsum(x) {axis = 3}", "axis 3 is out of range"},
      {"cumsum(x) {axis = 0, kind = max}", "kind 'max' is neither sum nor prod"},
      {"softmax(i) {axis = 0}", "expected floating-point numbers, got i64"},
      {"softmax(s) {axis = 0}", "axis 0 is out of range for 0 dimensions"},
      {"layer_norm(x, w) {axis = 2, epsilon = 1e-5}", "must be equal, but are [8, 16] and [8]"},
      {"layer_norm(x, h) {axis = 2, epsilon = 1e-5}", "element types differ: f32 and f16"},
      {"layer_norm(x) {axis = 2}", "has no attribute 'epsilon'"},
      {"layer_norm(x) {axis = 2, epsilon = 1}", "attribute 'epsilon' must be a real number"},
  });
}

TEST(Shapes, Attention) {
  const std::string identity =
      "[graph (s: f32[n, 12, m, l]) { return s }, graph (p: f32[n, 12, m, l]) { return p }]";
  const std::string operand =
      "[graph (s: f32[n, 12, m, l], c: f32[]) { t = mul(s, c) return t }, "
      "graph (p: f32[n, 12, m, l], c: f32[]) { return p }]";
  const std::string half =
      "[graph (s: f32[n, 12, m, l]) { t = cast(s) {to = f16} return t }, "
      "graph (p: f16[n, 12, m, l]) { t = cast(p) {to = f32} return t }]";
  const std::string lost =
      "[graph (s: f32[n, 12, m, l]) { t = cast(s) {to = f16} return t }, "
      "graph (p: f16[n, 12, m, l]) { return p }]";
  expect_types({{("attention(q, k, k) " + identity).c_str(), "f32[n, 12, m, 64]"},
                {("attention(q, k, k, s) " + operand).c_str(), "f32[n, 12, m, 64]"},
                {("attention(q, k, k) " + half).c_str(), "f32[n, 12, m, 64]"}});
  expect_errors({
      {"attention(q, k, k)", "expected two regions, got 0"},
      {("attention(q, k, k, s) " + identity).c_str(), "its region takes 1 inputs, expected 2"},
      {("attention(q, k, k, h) " + operand).c_str(), "input 1 of its region is f32, given f16"},
      {("attention(q, k, k) " + lost).c_str(), "its region gives f16, expected f32"},
      {("attention(q, k, k, row) " + operand).c_str(), "input 1 of its region"},
      {("attention(q, k, row) " + identity).c_str(),
       "q, k and v must have at least two dimensions"},
      {("attention(q, w, w) " + identity).c_str(), "the head sizes of q and k must be equal"},
      {("attention(i, i, i) " + identity).c_str(), "expected floating-point numbers, got i64"},
      {"attention(q, k, k) [graph (s: f32[n, 12, m, 9]) { return s }, graph (p: f32[n, 12, m, 9]) "
       "{ "
       "t = reduce(p) {kind = sum, axes = (3)} return t }]",
       "its region's result"},
      {"attention(q, k, k) [graph (s: f32[n, 12, m, l]) { return s }, graph (p: f32[n, 12, m, l]) "
       "{ "
       "t = softmax(p) {axis = 3} return t }]",
       "which is not elementwise"},
      {"attention(q, k, k) [graph (s: f32[n, 12, m, l]) { return s, s }, graph (p: f32[n, 12, m, "
       "l]) "
       "{ return p }]",
       "its region gives 2 outputs, expected 1"},
  });
}

TEST(Shapes, Library) {
  expect_types({
      {"scatter_nd(w, j, u)", "f32[8, 16]"},
      {"scatter_elements(wt, j, v2) {axis = 0}", "f32[16, 8]"},
  });
  const auto graph =
      parse_graph("graph (x: f32[n, 8]) { v, i = topk(x) {axis = 1, k = [3]} return v, i }");
  EXPECT_EQ(to_string(graph->output(0)->type), "f32[n, 3]");
  EXPECT_EQ(to_string(graph->output(1)->type), "i64[n, 3]");
  expect_errors({
      {"topk(x) {axis = 2, k = [9]}", "wants the 9 largest of 8"},
      {"topk(x) {axis = 2, k = [1, 2]}", "'k' must be one size"},
      {"topk(x) {axis = 2, k = [-1]}", "negative: -1"},
      {"scatter_nd(w, j, w)",
       "the shapes of the updates, [8, 16], and of what the indices name, [4],"},
      {"scatter_nd(row, j, u)", "indices name 2 axes of data of shape [8]"},
      {"scatter_nd(w, x, u)", "indices must be integers"},
      {"scatter_nd(w, j, u) {reduction = mean}", "unknown reduction 'mean'"},
      {"scatter_elements(w, i, x) {axis = 0}", "the indices and the updates"},
      {"scatter_elements(z, j, v2) {axis = 1}", "are larger than the data [0, 4] on axis 0"},
      {"scatter_elements(x, j, v2) {axis = 0}", "must have the same rank"},
  });
}

TEST(Shapes, Kernels) {
  expect_types(
      {{"kernel(x, row) {root = none} [graph (p: f32[n, m, 8], c: f32[8]) { t = add(p, c) return t "
        "}]",
        "f32[n, m, 8]"}});
  expect_errors({
      {"kernel(x) {root = none}", "expected one region, got 0"},
      {"kernel(x) {root = magic} [graph (p: f32[n, m, 8]) { return p }]", "unknown root 'magic'"},
      {"kernel(x) {root = none} [graph () { c = constant {value = f32[] (1)} return c }]",
       "its region takes 0 inputs, expected 1"},
      {"kernel(x) {root = none} [graph (p: f16[n, m, 8]) { return p }]",
       "input 0 of its region is f16, given f32"},
      {"kernel(x) {root = none} [graph (p: f32[n, m]) { return p }]", "must be equal"},
      {"kernel(x) {root = none} [graph (p: f32[n, m, 8]) { return }]",
       "its region gives no output"},
  });
}

// ---- sizes that are assumed to be equal ----

TEST(Assumptions, OneSizeWithTwoNamesGetsTheFirst) {
  const auto graph = parse_graph(R"(graph (ids: i64[batch, length], mask: i64[batch_2, length_2]) {
    symbol batch in [0, inf)
    symbol batch_2 in [1, 64]
    before = reshape(mask) {shape = [batch_2, length_2, 1]}
    sum = add(ids, mask)
    return sum, before
  })");
  verify(*graph);
  EXPECT_EQ(to_string(graph->inputs()[1]->type), "i64[batch, length]");
  EXPECT_EQ(to_string(graph->output(1)->type), "i64[batch, length, 1]");
  EXPECT_EQ(graph->symbols.find("length_2"), nullptr);
  // What was known of either is known of the one that stays.
  EXPECT_EQ(graph->symbols.find("batch")->lower, 1);
  EXPECT_EQ(graph->symbols.find("batch")->upper, 64);
  EXPECT_TRUE(graph->guards.empty());  // the binding of the inputs checks it
}

TEST(Assumptions, DeclarationOrderNotOperandOrderDecides) {
  const auto graph =
      parse_graph("graph (ids: i64[z], mask: i64[a]) { sum = add(mask, ids) return sum }");
  EXPECT_EQ(to_string(graph->inputs()[1]->type), "i64[z]");
}

TEST(Assumptions, SumsReplaceTheirTotal) {
  for (const char *order : {"add(cache, mask)", "add(mask, cache)"}) {
    const auto graph =
        parse_graph(std::string("graph (mask: f32[total], past: f32[p], new: f32[l]) { "
                                "cache = concat(past, new) {axis = 0} sum = ") +
                    order + " return sum }");
    verify(*graph);
    EXPECT_EQ(to_string(graph->inputs()[0]->type), "f32[l + p]");
    EXPECT_TRUE(graph->guards.empty());
  }
}

TEST(Assumptions, ReshapeSolvesForASize) {
  const auto graph = parse_graph(
      "graph (x: f32[n, m, 8], y: f32[k, 2]) { r = reshape(x) {shape = [n, k, 8]} return r }");
  verify(*graph);
  EXPECT_EQ(to_string(graph->output(0)->type), "f32[n, m, 8]");
  EXPECT_EQ(to_string(graph->inputs()[1]->type), "f32[m, 2]");
}

TEST(Assumptions, FrozenSizesWarnWithTheNode) {
  const auto graph = parse_graph(
      "graph (x: f32[n, m]) { r = reshape(x) {shape = [n, 197]} @ \"/Reshape_4\" return r }");
  verify(*graph);
  EXPECT_EQ(to_string(graph->inputs()[0]->type), "f32[n, 197]");
  ASSERT_EQ(graph->warnings.size(), 1u);
  EXPECT_THAT(graph->warnings[0], HasSubstr("'/Reshape_4' (reshape) fixes the size 'm' to 197"));
}

TEST(Assumptions, WhatCannotBeSolvedIsGuardedOnce) {
  const auto graph = parse_graph(R"(graph (x: f32[a*a], y: f32[b*b]) {
    sum = add(x, y) @ "/Add_12"
    again = mul(y, x)
    return sum, again
  })");
  verify(*graph);
  ASSERT_EQ(graph->guards.size(), 1u);
  EXPECT_EQ(graph->guards[0].left, parse_dim("a*a"));
  EXPECT_EQ(graph->guards[0].right, parse_dim("b*b"));
  EXPECT_THAT(graph->guards[0].reason,
              HasSubstr("'/Add_12' (add): axis 0 of the shapes [a*a] and [b*b]"));
}

// A causal mask cut out of a table of 64 positions, as GPT-2's exporters do.
TEST(Assumptions, GuardedClampsDoNotSpread) {
  const auto graph =
      parse_graph(R"(graph (scores: f32[n, length, length + past], table: f32[64, 64]) {
    symbol n in [1, inf) symbol length in [1, inf) symbol past in [0, inf)
    m = slice(table) {starts = [min(64, past), 0], sizes = [min(64, length + past) - min(64, past),
                      min(64, length + past)], steps = (1, 1)}
    sum = add(m, scores)
    back = add(scores, m)
    twice = concat(sum, back) {axis = 0}
    return twice
  })");
  verify(*graph);
  EXPECT_EQ(graph->guards.size(), 2u);
  EXPECT_EQ(to_string(graph->output(0)->type), "f32[n*2, length, length + past]");
}

TEST(Assumptions, DataSizesAreGuarded) {
  const auto graph = parse_graph(R"(graph (x: f32[n]) {
    symbol found in [0, 10] data
    i = iota {start = [0], step = [1], count = [found], dtype = f32}
    sum = add(x, i)
    return sum
  })");
  verify(*graph);
  ASSERT_EQ(graph->guards.size(), 1u);
  EXPECT_EQ(to_string(graph->inputs()[0]->type), "f32[n]");
}

TEST(Assumptions, RangesContradict) {
  const auto build = [](const std::string &sum) {
    return parse_graph("graph (x: f32[n], y: f32[3], z: f32[n + 1]) { symbol n in [5, 9] " + sum +
                       " @ \"/Add\" return s }");
  };
  EXPECT_THROW(build("s = add(x, y)"), ModelError);
  EXPECT_THROW(build("s = add(x, z)"), ModelError);
  EXPECT_THROW(build("s = reshape(x) {shape = [4]}"), ModelError);
}

// The node that unifies is itself rewritten: its attributes and the axes it has already seen.
TEST(Assumptions, TheUnifyingNodeAgreesWithItself) {
  const auto graph = parse_graph(R"(graph (x: f32[a, b], y: f32[b, c]) {
    sum = add(x, y)
    return sum
  })");
  verify(*graph);
  EXPECT_EQ(to_string(graph->output(0)->type), "f32[a, a]");
  EXPECT_EQ(to_string(graph->inputs()[1]->type), "f32[a, a]");
}

TEST(Assumptions, InARegionReachTheWholeGraph) {
  const auto graph = parse_graph(R"(graph (x: f32[a], y: f32[b]) {
    k = kernel(x, y) {root = none} [graph (p: f32[a], q: f32[b]) { s = add(p, q) return s }]
    return k
  })");
  verify(*graph);
  EXPECT_EQ(to_string(graph->inputs()[1]->type), "f32[a]");
  const Graph &region = *graph->node_order()[0]->regions[0];
  EXPECT_EQ(to_string(region.inputs()[1]->type), "f32[a]");
}

}  // namespace
}  // namespace sylvite
