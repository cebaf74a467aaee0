// What the pipeline finds, counted in the kernels it leaves: every spelling of an encoder layer
// gives the same few kernels.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "compiler/ir/text.h"
#include "passes/kernel_fusion.h"
#include "passes/passes.h"
#include "tests/passes/sample_layers.h"

namespace sylvite {
namespace {

std::unique_ptr<Graph> compiled(const std::string &text, const PipelineOptions &options = {}) {
  std::unique_ptr<Graph> graph = parse_graph(text);
  run_pipeline(*graph, options);
  return graph;
}

LayerSpelling spelling_of(int bits) {
  LayerSpelling spelling;
  spelling.norm_in_parts = (bits & 1) != 0;
  spelling.scale_on_q_and_k = (bits & 2) != 0;
  spelling.packed_qkv = (bits & 4) != 0;
  spelling.post_norm = (bits & 8) != 0;
  spelling.masked = (bits & 16) != 0;
  spelling.nan_guard = (bits & 32) != 0;
  spelling.softmax_in_parts = (bits & 64) != 0;
  spelling.tanh_gelu = (bits & 128) != 0;
  return spelling;
}

TEST(FusionCounts, EverySpellingOfALayer) {
  for (int bits = 0; bits < 256; bits += 3) {
    SCOPED_TRACE(bits);
    const LayerSpelling spelling = spelling_of(bits);
    const std::unique_ptr<Graph> graph = compiled(sample_layer(spelling));
    const FusionCounts counts = count_fusions(*graph);
    EXPECT_EQ(counts.attention, 1);
    EXPECT_EQ(counts.ffn, 1);
    EXPECT_EQ(counts.ffn_gated, 0);
    EXPECT_EQ(counts.add_norm, 2);
    EXPECT_EQ(counts.embed_norm, 0);
    EXPECT_EQ(counts.layer_norm, spelling.post_norm ? 2 : 3);
    // qkv, attention, projection, add and norm, two of the ffn, add and norm; besides, the first
    // norm of a pre-LN layer and the mask, which a whole encoder computes once.
    const size_t kernels = 7 + (spelling.post_norm ? 0 : 1) + (spelling.masked ? 1 : 0);
    EXPECT_EQ(kernels_in_order(*graph).size(), kernels) << print(*graph);
    EXPECT_TRUE(graph->near_misses.empty());
  }
}

TEST(FusionCounts, NothingWithoutFusions) {
  const std::unique_ptr<Graph> graph = compiled(sample_layer({}), {.disabled = {kAllFusions}});
  const FusionCounts counts = count_fusions(*graph);
  EXPECT_EQ(counts.attention + counts.ffn + counts.add_norm, 0);
  for (const Node *kernel : kernels_in_order(*graph)) {
    size_t ops = 0;
    for (const std::unique_ptr<Node> &node : region_of(*kernel).nodes()) {
      ops += node->op != Op::Constant;
    }
    EXPECT_EQ(ops, 1u) << describe(*kernel);
  }
}

TEST(FusionCounts, PatchEmbedding) {
  const std::unique_ptr<Graph> graph = compiled(sample_patch_embedding());
  const FusionCounts counts = count_fusions(*graph);
  EXPECT_EQ(counts.embed_norm, 1);
  EXPECT_EQ(counts.add_norm, 0);
  // The product over patches, the norm over class token, patches and positions, the head; and the
  // reshape of the head's result, for which the plan copies nothing.
  EXPECT_EQ(kernels_in_order(*graph).size(), 4u) << print(*graph);
}

TEST(FusionCounts, TokenEmbedding) {
  const std::unique_ptr<Graph> graph = compiled(sample_token_embedding());
  const FusionCounts counts = count_fusions(*graph);
  EXPECT_EQ(counts.embed_norm, 1);
  EXPECT_EQ(counts.add_norm, 0);
  EXPECT_EQ(kernels_in_order(*graph).size(), 1u) << print(*graph);
}

struct NearMissCase {
  std::string insert, condition;
};

// A layer's attention with one thing in the way.
std::string near_miss(const std::string &between, const std::string &softmax,
                      const std::string &more) {
  return "graph (q: f32[b, 2, l, 4], k: f32[b, 2, 4, l], v: f32[b, 2, l, 4]) {\n"
         "  symbol b in [1, inf)\n  symbol l in [1, inf)\n  s = matmul(q, k)\n" +
         between + softmax + "  y = matmul(p, v)\n" + more + "}\n";
}

TEST(NearMisses, NameTheConditionThatFailed) {
  const auto condition = [](const std::string &text) {
    const std::unique_ptr<Graph> graph = compiled(text);
    EXPECT_EQ(count_fusions(*graph).attention, 0);
    return graph->near_misses.size() == 1 ? graph->near_misses.front().condition
                                          : std::to_string(graph->near_misses.size());
  };
  using ::testing::HasSubstr;
  EXPECT_THAT(condition(near_miss("", "  p = softmax(s) {axis = 2}\n", "  return y\n")),
              HasSubstr("axis 2"));
  EXPECT_THAT(condition(near_miss("", "  p = softmax(s) {axis = 3}\n", "  return y, p\n")),
              HasSubstr("'p' is read elsewhere"));
  EXPECT_THAT(condition(near_miss("", "  p = softmax(s) {axis = 3}\n", "  return y, s\n")),
              HasSubstr("'s' is read elsewhere"));
  EXPECT_THAT(
      condition(near_miss(
          "  f = slice(s) {starts = [0, 0, 0, 0], sizes = [b, 2, l, l], steps = (1, 1, 1, -1)}\n",
          "  p = softmax(f) {axis = 3}\n", "  return y\n")),
      HasSubstr("a view stands between"));
  std::string curves, last = "s";
  for (int i = 0; i < 7; ++i) {
    curves += "  t" + std::to_string(i) + " = tanh(" + last + ")\n";
    last = "t" + std::to_string(i);
  }
  EXPECT_THAT(
      condition(near_miss(curves, "  p = softmax(" + last + ") {axis = 3}\n", "  return y\n")),
      HasSubstr("the scores' formula costs 147"));
}

TEST(NearMisses, AClassifierIsNone) {
  const std::unique_ptr<Graph> graph = compiled(
      "graph (x: f32[n, 4]) { symbol n in [1, inf)\n"
      "  w = constant {value = f32[4, 2] (1, 2, 3, 4, 5, 6, 7, 8)}\n"
      "  l = matmul(x, w)\n  p = softmax(l) {axis = 1}\n  return p }");
  EXPECT_TRUE(graph->near_misses.empty());
}

}  // namespace
}  // namespace sylvite
