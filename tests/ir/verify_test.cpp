#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "compiler/ir/error.h"
#include "compiler/ir/text.h"

namespace sylvite {
namespace {

using testing::HasSubstr;

std::unique_ptr<Graph> sample() {
  return parse_graph(R"(graph (x: f32[n, 4], w: f32[4, 3]) {
    y = matmul(x, w) @ "/layer/MatMul"
    z = neg(y)
    k = kernel(z) {root = none} [graph (p: f32[n, 3]) { q = abs(p) return q }]
    return k
  })");
}

Node *node_at(const Graph &graph, size_t i) {
  return graph.node_order()[i];
}

void expect_broken(const Graph &graph, const std::string &message) {
  try {
    const RunningScope running("pass break_things");
    verify(graph);
    ADD_FAILURE() << "not found: " << message;
  } catch (const InternalError &error) {
    EXPECT_THAT(error.what(), HasSubstr(message));
    EXPECT_THAT(error.what(), HasSubstr("while running pass break_things"));
  }
}

TEST(Verify, SoundGraphsPass) {
  verify(*sample());
}

TEST(Verify, Order) {
  const auto graph = sample();
  graph->replace_input(node_at(*graph, 0), 0, node_at(*graph, 1)->output());
  expect_broken(*graph, "'/layer/MatMul' (matmul) reads a value that no earlier node");
}

TEST(Verify, UseLists) {
  const auto graph = sample();
  graph->inputs()[0]->users.clear();
  expect_broken(*graph, "the list of uses of 'x' is wrong");
  const auto other = sample();
  other->inputs()[0]->users.push_back(node_at(*other, 1));
  expect_broken(*other, "the list of uses of 'x' is wrong");
}

TEST(Verify, ForeignValues) {
  const auto graph = sample();
  const auto other = sample();
  node_at(*graph, 1)->inputs[0] = other->inputs()[0];
  expect_broken(*graph, "reads a value that no earlier node of its graph makes");
}

TEST(Verify, Types) {
  const auto graph = sample();
  node_at(*graph, 1)->output()->type.shape[1] = 5;
  expect_broken(*graph, "has type f32[n, 5], its rule gives f32[n, 3]");
  const auto other = sample();
  node_at(*other, 1)->output()->type.dtype = DType::F16;
  expect_broken(*other, "has type f16[n, 3], its rule gives f32[n, 3]");
}

TEST(Verify, RulesAgain) {
  const auto graph = sample();
  node_at(*graph, 0)->attributes.set("transpose_b", int64_t{1});
  expect_broken(*graph, "the inner sizes of [n, 4] and [4, 3] must be equal, but are 4 and 3");
  const auto other = sample();
  node_at(*other, 1)->attributes.set("speed", int64_t{1});
  expect_broken(*other, "has no such attribute: 'speed'");
}

// The verifier assumes nothing on its own.
TEST(Verify, GuardsMustStand) {
  const auto graph = parse_graph("graph (x: f32[a*a], y: f32[b*b]) { z = add(x, y) return z }");
  ASSERT_EQ(graph->guards.size(), 1u);
  verify(*graph);
  graph->guards.clear();
  expect_broken(*graph, "no guard says that they are equal");
}

TEST(Verify, Symbols) {
  const auto graph = sample();
  graph->symbols.erase("n");
  expect_broken(*graph, "input 'x': size 'n' is not declared");
}

TEST(Verify, Regions) {
  const auto graph = sample();
  Graph &region = *node_at(*graph, 2)->regions[0];
  node_at(region, 0)->output()->type.shape[0] = 9;
  expect_broken(*graph, "has type f32[9, 3]");
  const auto other = sample();
  node_at(*other, 2)->regions[0]->parent = nullptr;
  expect_broken(*other, "its region has another parent");
}

TEST(Verify, Outputs) {
  const auto graph = sample();
  const auto other = sample();
  graph->set_output(0, other->inputs()[0]);
  expect_broken(*graph, "output 'k' is no value of the graph");
}

TEST(Verify, HostElements) {
  const auto graph = sample();
  node_at(*graph, 1)->output()->host = std::vector<Dim>{1};
  expect_broken(*graph, "host elements of a float tensor");
}

TEST(Errors, ScopesNest) {
  const RunningScope outer("pass outer");
  {
    const RunningScope inner("pass inner");
  }
  try {
    SYLVITE_CHECK(1 == 2, "detail");
  } catch (const InternalError &error) {
    EXPECT_THAT(error.what(), HasSubstr("1 == 2: detail (while running pass outer)"));
  }
}

}  // namespace
}  // namespace sylvite
