// Loop and If: their rules, their text, and what the evaluator makes of them.
#include "compiler/ir/control.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "compiler/ir/error.h"
#include "compiler/ir/evaluate.h"
#include "compiler/ir/text.h"

namespace sylvite {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// Appends the sum of all so far, `steps` times.
constexpr const char *kGrow = R"(graph grow (x: f32[batch, 1], steps: i64[1] = [steps]) {
  symbol batch in [1, inf)
  symbol i in [0, inf) data
  symbol steps in [0, 100]
  y = loop(x) {carried = 1, iteration = i, trip = [steps]} [
    graph (all: f32[batch, i + 1]) {
      sum = reduce(all) {axes = (1), keepdims = 1, kind = sum}  // f32[batch, 1]
      next = concat(all, sum) {axis = 1}  // f32[batch, i + 2]
      return next
    }
  ]  // f32[batch, steps + 1]
  return y
}
)";

std::vector<double> values_of(const Tensor &tensor) {
  std::vector<double> values;
  for (int64_t i = 0; i < tensor.count(); ++i) {
    values.push_back(tensor.at(i));
  }
  return values;
}

Tensor floats(std::vector<int64_t> shape, const std::vector<float> &values) {
  return Tensor::of<float>(DType::F32, std::move(shape), values);
}

TEST(Control, ALoopMakesTheRoundTrip) {
  const auto graph = parse_graph(kGrow);
  verify(*graph);
  EXPECT_EQ(print(*graph), kGrow);
  EXPECT_EQ(graph->inputs()[1]->host, std::vector<Dim>{Dim::symbol("steps")});
  verify(*graph->clone());
}

TEST(Control, ALoopRunsAsOftenAsAnInputSays) {
  const auto graph = parse_graph(kGrow);
  const auto run = [&](int64_t steps) {
    return evaluate(*graph,
                    {floats({2, 1}, {1, 3}), Tensor::of<int64_t>(DType::I64, {1}, {steps})})[0];
  };
  EXPECT_THAT(values_of(run(0)), ElementsAre(1, 3));
  EXPECT_THAT(values_of(run(1)), ElementsAre(1, 1, 3, 3));
  EXPECT_THAT(values_of(run(3)), ElementsAre(1, 1, 2, 4, 3, 3, 6, 12));
  EXPECT_THROW(run(101), ModelError);
  EXPECT_THROW(run(-1), ModelError);
}

TEST(Control, ALoopCollectsAndStops) {
  const auto graph = parse_graph(R"(graph (x: f32[], limit: f32[]) {
    symbol i in [0, 9] data
    symbol made in [0, 10] data
    go = less(x, limit)
    last, seen, doubled = loop(go, x, limit) {carried = 1, iteration = i, trip = [10], made = "made"} [
      graph (now: f32[], most: f32[]) {
        next = add(now, now)
        again = less(next, most)
        return next, now, next as twice, again
      }
    ]
    return last, seen, doubled
  })");
  verify(*graph);
  EXPECT_EQ(to_string(graph->output(1)->type), "f32[made]");
  const std::vector<Tensor> results = evaluate(*graph, {floats({}, {1}), floats({}, {5})});
  EXPECT_THAT(values_of(results[0]), ElementsAre(8));
  EXPECT_THAT(values_of(results[1]), ElementsAre(1, 2, 4));
  EXPECT_THAT(values_of(results[2]), ElementsAre(2, 4, 8));
  EXPECT_EQ(evaluate(*graph, {floats({}, {6}), floats({}, {5})})[1].count(), 0);
}

TEST(Control, AnIfTakesOneBranch) {
  const auto graph = parse_graph(R"(graph (x: f32[n], c: bool[1]) {
    y = if(c, x) [
      graph (a: f32[n]) { b = neg(a) return b },
      graph (a: f32[n]) { return a }
    ]
    return y
  })");
  verify(*graph);
  const auto run = [&](int64_t c) {
    return values_of(
        evaluate(*graph, {floats({2}, {1, 2}), Tensor::of<int64_t>(DType::Bool, {1}, {c})})[0]);
  };
  EXPECT_THAT(run(1), ElementsAre(-1, -2));
  EXPECT_THAT(run(0), ElementsAre(1, 2));
}

std::string error_of(const std::string &nodes) {
  try {
    verify(
        *parse_graph("graph (x: f32[n, 1], c: bool[], k: i64[]) { symbol i in [0, inf) data "
                     "symbol m in [0, inf) data " +
                     nodes + " return y }"));
    return "";
  } catch (const ModelError &error) {
    return error.what();
  }
}

TEST(Control, RulesOfLoops) {
  const auto loop = [](const std::string &operands, const std::string &attributes,
                       const std::string &body) {
    return error_of("y = loop(" + operands + ") {" + attributes + "} [graph " + body + "]");
  };
  const std::string plain = "carried = 1, iteration = i, trip = [3]";
  EXPECT_EQ(loop("x", plain, "(a: f32[n, 1]) { return a }"), "");
  EXPECT_THAT(loop("x", plain, "(a: f32[n, 1 + i]) { return a }"),
              HasSubstr("gives to and takes from the next iteration as input 0 must be equal"));
  EXPECT_THAT(loop("x", plain, "(a: f32[n, 2]) { return a }"),
              HasSubstr("at first as input 0 must be equal, but are 1 and 2"));
  EXPECT_THAT(loop("x", "carried = 2, iteration = i, trip = [3]", "(a: f32[n, 1]) { return a }"),
              HasSubstr("carries 2 values, takes 1"));
  EXPECT_THAT(loop("x", "carried = -1, iteration = i, trip = [3]", "(a: f32[n, 1]) { return a }"),
              HasSubstr("carries -1 values"));
  EXPECT_THAT(loop("x", "carried = 1, iteration = j, trip = [3]", "(a: f32[n, 1]) { return a }"),
              HasSubstr("'j' must be declared as data"));
  EXPECT_THAT(loop("x", "carried = 1, iteration = n, trip = [3]", "(a: f32[n, 1]) { return a }"),
              HasSubstr("'n' must be declared as data"));
  EXPECT_THAT(loop("x", plain, "(a: f32[n, 1], b: f32[n, 1]) { return a }"),
              HasSubstr("its region takes 2 inputs, expected 1"));
  EXPECT_THAT(loop("k, x", plain + ", made = m", "(a: f32[n, 1]) { return a, a }"),
              HasSubstr("its condition must be one bool, is i64[]"));
  EXPECT_THAT(loop("c, x", plain + ", made = m", "(a: f32[n, 1]) { return a, a }"),
              HasSubstr("its region's condition must be one bool"));
  EXPECT_THAT(loop("x", plain,
                   "(a: f32[n, 1]) { b = iota {start = [0], step = [1], count = [i], dtype = i64}"
                   " return a, b }")
                  .substr(0, 200),
              HasSubstr("is stacked, but varies in size"));
}

TEST(Control, RulesOfIfs) {
  EXPECT_THAT(error_of("y = if(x, x) [graph (a: f32[n, 1]) { return a },"
                       " graph (a: f32[n, 1]) { return a }]"),
              HasSubstr("its condition must be one bool"));
  EXPECT_THAT(error_of("y = if(c, x) [graph (a: f32[n, 1]) { return a }]"),
              HasSubstr("expected two regions, got 1"));
  EXPECT_THAT(error_of("y = if(c, x) [graph (a: f32[n, 1]) { return a },"
                       " graph (a: f32[n, 1]) { return a, a }]"),
              HasSubstr("its branches give 1 and 2 outputs"));
  EXPECT_THAT(error_of("y = if(c, x) [graph (a: f32[n, 1]) { return a },"
                       " graph (a: f32[n, 1]) { b = concat(a, a) {axis = 1} return b }]"),
              HasSubstr("give to output 0 must be equal, but are 1 and 2"));
  const auto with_sizes = [](const std::string &sizes) {
    return error_of("y, z = if(c, x) {sizes = [" + sizes +
                    "]} [graph (a: f32[n, 1]) { return a, a }, graph (a: f32[n, 1]) {"
                    " b = concat(a, a) {axis = 1} d = concat(a, b) {axis = 1} return b, d }]");
  };
  EXPECT_THAT(with_sizes("n, i, n, i"), HasSubstr("'i' stands for several sizes"));
  EXPECT_THAT(with_sizes("n, 5, n, i"), HasSubstr("output 0 has the size 5 on axis 1"));
}

TEST(Control, DirectionsOfSizes) {
  SymbolTable symbols;
  symbols.declare("n", {SymbolKind::Input, 1, {}});
  symbols.declare("i", {SymbolKind::Data, 0, {}});
  const auto towards = [&](const char *dim) { return direction(parse_dim(dim), "i", symbols); };
  EXPECT_EQ(towards("n + 3"), 0);
  EXPECT_EQ(towards("n*i + 3"), 1);
  EXPECT_EQ(towards("n - 2*i"), -1);
  EXPECT_EQ(towards("i*i*n + i"), 1);
  EXPECT_EQ(towards("floor_div(i + 1, 2)"), 1);
  EXPECT_EQ(towards("min(n, i)"), 1);
  EXPECT_EQ(towards("max(n, 5 - i)"), -1);
  EXPECT_EQ(towards("i*i - i"), std::nullopt);
  EXPECT_EQ(towards("n*i - i"), std::nullopt);  // although n is at least 1
  EXPECT_EQ(towards("max(i, 5 - i)"), std::nullopt);
  EXPECT_EQ(towards("floor_div(n, i + 1)"), std::nullopt);
  EXPECT_EQ(largest_over(parse_dim("2*i + n"), "i", 0, parse_dim("n - 1"), symbols),
            parse_dim("3*n - 2"));
  EXPECT_EQ(largest_over(parse_dim("n - i"), "i", 0, parse_dim("n - 1"), symbols), parse_dim("n"));
}

}  // namespace
}  // namespace sylvite
