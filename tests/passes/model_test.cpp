// The models of tests/models that this stage must fuse: as many blocks as their architecture has,
// and the same values in front of the pipeline, behind it, and with all fusions off.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "compiler/import/import.h"
#include "compiler/ir/evaluate.h"
#include "passes/passes.h"
#include "tests/passes/random_graphs.h"

namespace sylvite {
namespace {

const std::filesystem::path kModels =
    std::filesystem::path(SYLVITE_SOURCE_DIR) / "tests" / "models";

std::unique_ptr<Graph> imported(const std::string &name) {
  return std::move(import_onnx(kModels / name / "model.onnx").graph);
}

class Model : public ::testing::TestWithParam<const char *> {};

TEST_P(Model, IsFusedAsItsArchitectureSays) {
  const std::unique_ptr<Graph> graph = imported(GetParam());
  run_pipeline(*graph);
  const FusionCounts counts = count_fusions(*graph);
  const nlohmann::json expect =
      nlohmann::json::parse(std::ifstream(kModels / GetParam() / "meta.json")).at("expect");
  EXPECT_EQ(counts.attention, expect.at("attention"));
  EXPECT_EQ(counts.add_norm, expect.at("add_norm"));
  EXPECT_EQ(counts.embed_norm, expect.at("embed_norm"));
  EXPECT_EQ(counts.ffn, expect.at("ffn"));
  EXPECT_EQ(counts.layer_norm, expect.at("layer_norm"));
  EXPECT_TRUE(graph->near_misses.empty());
}

TEST_P(Model, ComputesTheSame) {
  const std::unique_ptr<Graph> original = imported(GetParam());
  const std::unique_ptr<Graph> fused = original->clone(), plain = original->clone();
  run_pipeline(*fused);
  run_pipeline(*plain, {.disabled = {kAllFusions}});
  const std::vector<Tensor> inputs = random_inputs(*original, {}, 5);
  const std::vector<Tensor> expected = evaluate(*original, inputs);
  EXPECT_LE(largest_difference(evaluate(*fused, inputs), expected), 1e-4);
  EXPECT_LE(largest_difference(evaluate(*plain, inputs), expected), 1e-4);
}

INSTANTIATE_TEST_SUITE_P(Spine, Model,
                         ::testing::Values("digits-vit", "digits-mae", "vit-ts17-sdpa",
                                           "vit-dynamo18-eager", "seed-vit-mean-ts14",
                                           "seed-vit-cls-dynamo18", "bert-ts14-eager",
                                           "bert-dynamo18-eager"),
                         [](const auto &info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace sylvite
