// What one entry point looks up and another multiplies with is stored once.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>

#include "compiler/ir/evaluate.h"
#include "compiler/ir/text.h"
#include "passes/passes.h"

namespace sylvite {
namespace {

constexpr int64_t kWords = 21, kWidth = 5;  // no whole number of panels

Tensor table(bool transposed) {
  Tensor result(DType::F32, transposed ? std::vector<int64_t>{kWidth, kWords}
                                       : std::vector<int64_t>{kWords, kWidth});
  for (int64_t word = 0; word < kWords; ++word) {
    for (int64_t k = 0; k < kWidth; ++k) {
      result.set(transposed ? k * kWords + word : word * kWidth + k,
                 static_cast<double>(word) + static_cast<double>(k) / 8);
    }
  }
  return result;
}

// rows = table[ids]
std::unique_ptr<Graph> embedding(const Tensor &words) {
  auto graph = std::make_unique<Graph>();
  graph->symbols.declare("n", {SymbolKind::Input, 1, {}});
  Value *ids = graph->add_input("ids", {DType::I64, {Dim::symbol("n")}});
  Value *rows = graph->add_constant(words);
  graph->add_output("rows", graph->add(Op::Gather, {rows, ids}, {{"axis", int64_t{0}}})->output());
  return graph;
}

// scores = x * weights
std::unique_ptr<Graph> projection(const Tensor &weights) {
  auto graph = std::make_unique<Graph>();
  graph->symbols.declare("n", {SymbolKind::Input, 1, {}});
  Value *x = graph->add_input("x", {DType::F32, {Dim::symbol("n"), Dim(kWidth)}});
  Value *matrix = graph->add_constant(weights);
  graph->add_output("scores", graph->add(Op::MatMul, {x, matrix})->output());
  return graph;
}

int64_t stored_numbers(const Graph &graph) {
  int64_t count = 0;
  for (const std::unique_ptr<Node> &node : graph.nodes()) {
    count += node->op == Op::Constant ? node->attributes.tensor("value")->count() : 0;
  }
  return count;
}

TEST(SharePanels, WorksAcrossEntryPoints) {
  const std::unique_ptr<Graph> lookup = embedding(table(false)), product = projection(table(true));
  run_pipeline(*lookup);
  run_pipeline(*product);
  EXPECT_EQ(stored_numbers(*lookup), kWords * kWidth);
  EXPECT_TRUE(share_panels(*lookup, *product, {}));
  EXPECT_EQ(stored_numbers(*lookup), 32 * kWidth) << print(*lookup);

  Tensor ids(DType::I64, {4});
  for (const auto &[i, id] :
       {std::pair(0, 20), std::pair(1, 0), std::pair(2, 15), std::pair(3, 16)}) {
    ids.set(i, id);
  }
  const std::vector<Tensor> rows = evaluate(*lookup, {ids});
  EXPECT_TRUE(same_tensor(rows.at(0), evaluate(*embedding(table(false)), {ids}).at(0)));
}

TEST(SharePanels, WantsTheSameNumbers) {
  Tensor other = table(true);
  other.set(kWords * kWidth - 1, 7);
  const std::unique_ptr<Graph> lookup = embedding(table(false)), product = projection(other);
  run_pipeline(*lookup);
  run_pipeline(*product);
  EXPECT_FALSE(share_panels(*lookup, *product, {}));
  EXPECT_EQ(stored_numbers(*lookup), kWords * kWidth);
}

TEST(SharePanels, MayBeLeftOut) {
  const std::unique_ptr<Graph> lookup = embedding(table(false)), product = projection(table(true));
  run_pipeline(*lookup);
  run_pipeline(*product);
  EXPECT_FALSE(share_panels(*lookup, *product, {.disabled = {"share_panels"}}));
  EXPECT_FALSE(share_panels(*lookup, *product, {.disabled = {kAllFusions}}));
}

}  // namespace
}  // namespace sylvite
