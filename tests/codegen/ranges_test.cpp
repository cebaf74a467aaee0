// What is known of integers at compile time, and which checks remain.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>

#include "compiler/codegen/plan.h"
#include "compiler/codegen/value_ranges.h"
#include "compiler/ir/error.h"
#include "compiler/ir/text.h"

namespace sylvite {
namespace {

// Whether the graph's first output is proved to lie in [-bound, bound).
bool proved(const std::string &body, const std::string &bound) {
  const std::unique_ptr<Graph> graph = parse_graph(
      "graph g (x: i64[n], b: bool[n], u: u8[n]) {\n  symbol n in [1, 100]\n" + body + "\n}");
  const std::optional<ValueRange> range = range_of(*graph->output(0), {});
  return range && proved_in_range(*range, parse_dim(bound), graph->symbols);
}

TEST(Ranges, OfConstantsShapesAndRanges) {
  EXPECT_TRUE(proved("c = constant {value = i64[3] (2, -5, 4)} return c as c", "5"));
  EXPECT_FALSE(proved("c = constant {value = i64[3] (2, -6, 4)} return c as c", "5"));
  EXPECT_FALSE(proved("c = constant {value = i64[3] (2, -5, 5)} return c as c", "5"));
  const std::string iota = "i = iota {count = [n], dtype = i64, start = [0], step = [1]} ";
  EXPECT_TRUE(proved(iota + "return i as i", "n"));
  EXPECT_TRUE(proved(iota + "return i as i", "100"));
  EXPECT_FALSE(proved(iota + "return i as i", "99"));
  EXPECT_TRUE(
      proved(iota + "s = reshape(i) {shape = [1, n]} c = cast(s) {to = i32} return c as c", "n"));
  EXPECT_TRUE(proved(iota + "c = add(i, i) return c as c", "2*n"));
  EXPECT_FALSE(proved(iota + "c = add(i, i) return c as c", "n"));
  EXPECT_TRUE(proved(iota + "c = sub(i, i) return c as c", "n"));
}

TEST(Ranges, OfData) {
  EXPECT_FALSE(proved("return x as x", "100"));
  EXPECT_TRUE(proved("c = cast(b) {to = i64} return c as c", "2"));
  EXPECT_FALSE(proved("c = cast(b) {to = i64} return c as c", "1"));
  EXPECT_TRUE(proved(
      "c = constant {value = i64[2] (3, 7)} g = gather(c, x) {axis = 0} return g as g", "8"));
  EXPECT_FALSE(proved(
      "c = constant {value = i64[2] (3, 7)} g = concat(c, x) {axis = 0} return g as g", "8"));
  EXPECT_TRUE(proved("c = constant {value = i64[] (7)} g = mod(x, c) return g as g", "7"));
  EXPECT_FALSE(
      proved("c = constant {value = i64[] (7)} g = mod(x, c) {fmod = 1} return g as g", "6"));
}

// Negative numbers that wrap in an unsigned type leave their range.
TEST(Ranges, OfNarrowCasts) {
  EXPECT_TRUE(
      proved("c = constant {value = i64[2] (3, 200)} d = cast(c) {to = u8} return d as d", "201"));
  EXPECT_FALSE(
      proved("c = constant {value = i64[2] (-3, 20)} d = cast(c) {to = u8} return d as d", "21"));
  EXPECT_TRUE(
      proved("c = constant {value = i64[2] (-3, 20)} d = cast(c) {to = u8} return d as d", "256"));
}

// The checks of a kernel that looks up x[n] in t[5] with indices made by `body` from i[m, 2] and
// j[m].
std::string checks(const std::string &body) {
  const std::unique_ptr<Graph> graph = parse_graph(
      "graph g (t: f32[5], s: f32[5, 6], i: i64[m, 2], j: i32[m, 1]) {\n  symbol m in [1, inf)\n"
      "  y = kernel(t, s, i, j) {root = \"none\"} "
      "[graph (t: f32[5], s: f32[5, 6], i: i64[m, 2], j: i32[m, 1]) {" +
      body + " return y }]\n  return y as y\n}");
  std::string text;
  for (const PlanIndexCheck &check : make_plan(*graph).checks) {
    text += "b" + std::to_string(check.buffer) + " " + std::to_string(check.first) + "/" +
            std::to_string(check.step) + " of " + check.count.str() + " below " +
            check.bound.str() + "; ";
  }
  return text;
}

TEST(IndexChecks, SeeThroughViews) {
  EXPECT_EQ(checks("r = transpose(i) {perm = (1, 0)} y = gather(t, r) {axis = 0}"),
            "b2 0/1 of m*2 below 5; ");
  EXPECT_EQ(
      checks("c = cast(j) {to = i64} k = concat(c, i) {axis = 1} y = gather(t, k) {axis = 0}"),
      "b3 0/1 of m below 5; b2 0/1 of m*2 below 5; ");
  EXPECT_EQ(checks("y = gather(s, j) {axis = 1}"), "b3 0/1 of m below 6; ");
}

TEST(IndexChecks, FollowComponents) {
  EXPECT_EQ(checks("y = gather_nd(s, i)"), "b2 0/2 of m*2 below 5; b2 1/2 of m*2 below 6; ");
  EXPECT_EQ(checks("y = gather_nd(t, j)"), "b3 0/1 of m below 5; ");
  // (row from Range, column from data): only the column is checked.
  EXPECT_EQ(checks("c = constant {value = i32[1, 1] (4)} e = expand(c) {shape = [m, 1]} "
                   "k = concat(e, j) {axis = 1} y = gather_nd(s, k)"),
            "b3 0/1 of m below 6; ");
  EXPECT_EQ(checks("r = reshape(i) {shape = [m, 1, 2]} y = gather_nd(s, r)"),
            "b2 0/2 of m*2 below 5; b2 1/2 of m*2 below 6; ");
}

TEST(IndexChecks, MessagesNameInputAndTable) {
  const std::unique_ptr<Graph> graph = parse_graph(
      "graph g (ids: i64[2]) { table = constant {value = f32[3, 1] (1, 2, 3)} "
      "y = kernel(table, ids) {root = \"none\"} [graph (t: f32[3, 1], i: i64[2]) "
      "{ v = transpose(t) {perm = (1, 0)} y = gather(v, i) {axis = 1} return y }] return y as y }");
  const Plan plan = make_plan(*graph);
  ASSERT_EQ(plan.checks.size(), 1u);
  EXPECT_EQ(plan.checks[0].message,
            "ids: index {} at {} is out of range for 'table' (size 3 at axis 1)");
}

TEST(IndexChecks, MessagesNameTheNodeThatReadsComputedIndices) {
  const std::unique_ptr<Graph> graph = parse_graph(
      "graph g (t: f32[3, 1], i: i64[2]) { "
      "j = kernel(i) {root = \"none\"} [graph (i: i64[2]) { j = mul(i, i) return j }] "
      "y = kernel(t, j) {root = \"none\"} [graph (t: f32[3, 1], j: i64[2]) "
      "{ y = gather(t, j) {axis = 0} @ \"/Gather_3\" return y }] return y as y }");
  const Plan plan = make_plan(*graph);
  ASSERT_EQ(plan.checks.size(), 1u);
  EXPECT_EQ(plan.checks[0].message,
            "j, read by node '/Gather_3': index {} at {} is out of range for 't' (3 rows)");
}

TEST(IndexChecks, ComputedIndicesAreOurBug) {
  EXPECT_THROW(checks("c = cast(j) {to = i64} k = mul(i, c) y = gather(t, k) {axis = 0}"),
               InternalError);
  EXPECT_THROW(checks("c = cast(i) {to = u64} y = gather(t, c) {axis = 0}"), InternalError);
}

}  // namespace
}  // namespace sylvite
