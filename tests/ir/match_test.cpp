#include "compiler/ir/match.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "compiler/ir/text.h"

namespace sylvite {
namespace {

Value *output_of(const std::unique_ptr<Graph> &graph) {
  return graph->output(0);
}

TEST(Match, CapturesOperands) {
  const auto graph = parse_graph(R"(graph (x: f32[2, 3], w: f32[3, 4]) {
    b = constant {value = f32[4] (1, 2, 3, 4)}
    p = matmul(x, w)
    y = add(b, p)
    return y
  })");
  Value *x = nullptr, *w = nullptr, *b = nullptr, *product = nullptr;
  // Written the other way round than the graph: addition commutes.
  ASSERT_TRUE(
      match(output_of(graph),
            op(Op::Add, op(Op::MatMul, any(&x), any(&w)).one_use().into(&product), constant(&b))));
  EXPECT_EQ(x->name, "x");
  EXPECT_EQ(w->name, "w");
  EXPECT_EQ(b->name, "b");
  EXPECT_EQ(product->name, "p");
}

TEST(Match, CapturesNothingUnlessAllMatches) {
  const auto graph = parse_graph("graph (x: f32[2]) { y = neg(x) z = add(y, x) return z }");
  Value *x = nullptr, *other = nullptr;
  EXPECT_FALSE(match(output_of(graph), op(Op::Add, op(Op::Neg, any(&x)), constant(&other))));
  EXPECT_EQ(x, nullptr);
  EXPECT_EQ(other, nullptr);
}

TEST(Match, SubtractionDoesNotCommute) {
  const auto graph = parse_graph("graph (x: f32[2]) { y = neg(x) z = sub(y, x) return z }");
  EXPECT_TRUE(match(output_of(graph), op(Op::Sub, op(Op::Neg, any()), any())));
  EXPECT_FALSE(match(output_of(graph), op(Op::Sub, any(), op(Op::Neg, any()))));
}

TEST(Match, SameBacktracksOverCommutativeOps) {
  // x * tanh(x) in both orders, the capture once before and once behind.
  const auto graph = parse_graph("graph (x: f32[2]) { t = tanh(x) y = mul(x, t) return y }");
  Value *x = nullptr;
  EXPECT_TRUE(match(output_of(graph), op(Op::Mul, any(&x), op(Op::Tanh, same(&x)))));
  EXPECT_EQ(x->name, "x");
  x = nullptr;
  EXPECT_TRUE(match(output_of(graph), op(Op::Mul, op(Op::Tanh, any(&x)), same(&x))));
  const auto other =
      parse_graph("graph (x: f32[2], z: f32[2]) { t = tanh(z) y = mul(x, t) return y }");
  x = nullptr;
  EXPECT_FALSE(match(output_of(other), op(Op::Mul, any(&x), op(Op::Tanh, same(&x)))));
}

TEST(Match, BacktracksIntoEarlierOperands) {
  // (a + b) * a: which operand of the sum is the same as the factor is only known later.
  const auto graph =
      parse_graph("graph (a: f32[2], b: f32[2]) { s = add(b, a) y = sub(s, a) return y }");
  Value *a = nullptr, *b = nullptr;
  ASSERT_TRUE(match(output_of(graph), op(Op::Sub, op(Op::Add, any(&a), any(&b)), same(&a))));
  EXPECT_EQ(a->name, "a");
  EXPECT_EQ(b->name, "b");
}

TEST(Match, OneUse) {
  const auto graph = parse_graph(
      "graph (x: f32[2]) { y = neg(x) z = abs(y) w = exp(y) v = exp(w) return v, z, w }");
  EXPECT_TRUE(match(output_of(graph), op(Op::Exp, any())));
  EXPECT_FALSE(match(output_of(graph), op(Op::Exp, any().one_use())));  // w is an output
  EXPECT_FALSE(
      match(graph->output(1), op(Op::Abs, op(Op::Neg, any()).one_use())));  // y is read twice
  EXPECT_TRUE(match(graph->output(1), op(Op::Abs, op(Op::Neg, any().one_use()))));
}

TEST(Match, NumbersAndScalars) {
  const auto graph = parse_graph(R"(graph (x: f32[2]) {
    h = constant {value = f32[2] (0.1, 0.1)}
    i = constant {value = f32[] (-inf)}
    m = constant {value = f32[2] (1, 2)}
    a = mul(x, h)
    b = add(x, i)
    c = mul(x, m)
    return a, b, c
  })");
  double value = 0;
  EXPECT_TRUE(match(graph->output(0), op(Op::Mul, any(), scalar(&value))));
  EXPECT_FLOAT_EQ(static_cast<float>(value), 0.1f);
  EXPECT_FALSE(match(graph->output(0), op(Op::Mul, any(), number(0.1))));  // 0.1f is not 0.1
  EXPECT_TRUE(match(graph->output(0), op(Op::Mul, any(), number(0.1, 1e-6))));
  const double infinity = std::numeric_limits<double>::infinity();
  EXPECT_TRUE(match(graph->output(1), op(Op::Add, any(), number(-infinity))));
  EXPECT_FALSE(match(graph->output(1), op(Op::Add, any(), number(infinity, 1e-3))));
  EXPECT_FALSE(match(graph->output(0), op(Op::Mul, any(), number(infinity, 1e-3))));
  EXPECT_FALSE(match(graph->output(2), op(Op::Mul, any(), scalar(&value))));
}

TEST(Match, Where) {
  const auto graph = parse_graph("graph (x: f32[2, 4]) { y = softmax(x) {axis = 1} return y }");
  const auto on_axis = [](int64_t axis) {
    return op(Op::Softmax, any()).where([=](const Value &value) {
      return value.producer->attributes.integer("axis") == axis;
    });
  };
  EXPECT_TRUE(match(output_of(graph), on_axis(1)));
  EXPECT_FALSE(match(output_of(graph), on_axis(0)));
}

}  // namespace
}  // namespace sylvite
