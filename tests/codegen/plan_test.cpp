// Plans as text: tests/codegen/plans.txt holds graphs of kernels and the plans made from them. What
// belongs to the kernels (how a call is split) is left out of the comparison. SYLVITE_UPDATE=1
// rewrites the file.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <regex>
#include <string>
#include <vector>

#include "compiler/codegen/plan.h"
#include "compiler/codegen/plan_parts.h"
#include "compiler/ir/error.h"
#include "compiler/ir/text.h"

namespace sylvite {
namespace {

struct Case {
  std::string title, graph, expected;
};

std::vector<Case> read_cases(const std::string &path) {
  std::ifstream file(path);
  std::vector<Case> cases;
  std::string *into = nullptr;
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("== ", 0) == 0) {
      cases.push_back({line.substr(3), "", ""});
      into = &cases.back().graph;
    } else if (line == "-- expect") {
      into = &cases.back().expected;
    } else if (into != nullptr) {
      *into += line + "\n";
    }
  }
  return cases;
}

std::string plan_text(const std::string &graph_text) {
  const std::unique_ptr<Graph> graph = parse_graph(graph_text);
  const std::string text = print(make_plan(*graph));
  return std::regex_replace(text, std::regex("( over|, scratch) [^\n]*?(?= at |, scratch|  #|\n)"),
                            "");
}

TEST(Plan, MatchesTheGoldenTexts) {
  const std::string path = SYLVITE_SOURCE_DIR "/tests/codegen/plans.txt";
  std::vector<Case> cases = read_cases(path);
  ASSERT_FALSE(cases.empty());
  const bool update = std::getenv("SYLVITE_UPDATE") != nullptr;
  std::string updated;
  for (const Case &golden : cases) {
    const std::string plan = plan_text(golden.graph);
    if (!update) {
      EXPECT_EQ(plan, golden.expected) << golden.title;
    }
    updated += "== " + golden.title + "\n" + golden.graph + "-- expect\n" + plan;
  }
  if (update) {
    std::ofstream(path) << updated;
  }
}

// A chain of n kernels that each double their input.
std::string chain(int n) {
  std::string text = "graph chain (x: f32[n, 100]) {\n  symbol n in [1, inf)\n";
  for (int i = 0; i < n; ++i) {
    const std::string from = i == 0 ? "x" : "v" + std::to_string(i - 1);
    text += "  v" + std::to_string(i) + " = kernel(" + from +
            ") {root = \"none\"} [graph (a: f32[n, 100]) { b = add(a, a) return b }]\n";
  }
  return text + "  return v" + std::to_string(n - 1) + " as y\n}\n";
}

TEST(Plan, EqualKernelsAreShared) {
  const std::unique_ptr<Graph> graph = parse_graph(chain(6));
  const Plan plan = make_plan(*graph);
  EXPECT_EQ(plan.kernels.size(), 1u);
  EXPECT_EQ(plan.calls.size(), 6u);
  EXPECT_EQ(plan.intermediates.size(), 5u);
}

TEST(Plan, ArenaHoldsWhatLivesAtOnce) {
  const std::unique_ptr<Graph> graph = parse_graph(chain(6));
  const Plan plan = make_plan(*graph);
  // The output and two neighbours at a time, each in whole 64 bytes: 3 * 400 = 1200 -> 1216.
  EXPECT_EQ(arena_bytes(plan, {{"n", 3}}), 3 * 1216);
  EXPECT_EQ(arena_formula(plan), Dim(1200) * Dim::symbol("n"));
}

// A plan whose output is its input makes no call, but has room for the output.
TEST(Plan, ArenaHoldsOutputsWithoutCalls) {
  const std::unique_ptr<Graph> graph =
      parse_graph("graph echo (x: f32[n, 100]) { symbol n in [1, inf) return x as y }");
  const Plan plan = make_plan(*graph);
  EXPECT_EQ(arena_bytes(plan, {{"n", 3}}), 1216);
  EXPECT_EQ(arena_formula(plan), Dim(400) * Dim::symbol("n"));
}

TEST(Plan, RefusesHugeTensors) {
  const std::unique_ptr<Graph> graph = parse_graph(
      "graph g (x: f32[65536, 65536]) { y = kernel(x) {root = \"none\"} "
      "[graph (a: f32[65536, 65536]) { b = neg(a) return b }] return y as y }");
  EXPECT_THROW(make_plan(*graph), ModelError);
}

// Their products do not fit 64 bits.
TEST(Plan, RefusesImmenseTensors) {
  const std::unique_ptr<Graph> graph = parse_graph(
      "graph g (x: f32[4294967296, 4294967296]) { y = kernel(x) {root = none} "
      "[graph (a: f32[4294967296, 4294967296]) { b = neg(a) return b }] return y as y }");
  EXPECT_THROW(make_plan(*graph), ModelError);
}

TEST(Plan, RefusesMoreDimensionsThanTheInterfaceHas) {
  const auto reshaped = [](const std::string &shape) {
    return parse_graph(
        "graph g (x: f32[n]) { y = kernel(x) {root = none} [graph (a: f32[n]) { b = "
        "reshape(a) {shape = " +
        shape + "} return b }] return y as y }");
  };
  EXPECT_NO_THROW(make_plan(*reshaped("[n, 1, 1, 1, 1, 1, 1, 1]")));
  EXPECT_THROW(make_plan(*reshaped("[n, 1, 1, 1, 1, 1, 1, 1, 1]")), ModelError);
  const std::string wide = "f32[n, 1, 1, 1, 1, 1, 1, 1, 1]", indices = "i64" + wide.substr(3);
  const std::unique_ptr<Graph> scatter = parse_graph(
      "graph g (x: f32[n], i: i64[n]) { symbol n in [1, inf)"
      " d = kernel(x) {root = none} [graph (a: f32[n]) { b = reshape(a) {shape = " +
      wide.substr(3) + "} return b }] j = kernel(i) {root = none} [graph (a: i64[n]) { b = " +
      "reshape(a) {shape = " + wide.substr(3) +
      "} return b }] y = kernel(d, j) {root = "
      "scatter_elements} [graph (d: " +
      wide + ", j: " + indices +
      ") { s = scatter_elements(d, j, d)"
      " {axis = 0} return s }] z = kernel(y) {root = none} [graph (a: " +
      wide +
      ") { b = reshape(a)"
      " {shape = [n]} return b }] return z as z }");
  EXPECT_THROW(make_plan(*scatter), ModelError);
}

}  // namespace
}  // namespace sylvite
