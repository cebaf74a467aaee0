// ViT-B/16 and BERT-base with seeded weights, from the folder that tools/export wrote:
// SYLVITE_BIG=DIR.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "compiler/driver/compare_tensors.h"
#include "compiler/driver/tensor_npz.h"
#include "tests/models/compiled_variant.h"

namespace sylvite::testing {
namespace {

namespace fs = std::filesystem;

class BigModel : public ::testing::TestWithParam<const char *> {};

// |got - expected| <= 1e-4 max(1, |expected|).
TEST_P(BigModel, IsRight) {
  const char *folder = std::getenv("SYLVITE_BIG");
  const fs::path path = folder == nullptr ? fs::path() : fs::path(folder) / GetParam();
  if (folder == nullptr || !fs::exists(path / "model.onnx")) {
    GTEST_SKIP() << "SYLVITE_BIG is not set or does not hold it";
  }
  const std::unique_ptr<CompiledVariant> variant = compile_variant(path / "model.onnx");
  const Plan &plan = variant->model.plan;
  for (const std::string isa : {"x86-64-v3", ""}) {
    const std::unique_ptr<LoadedModel> loaded = load(*variant, isa);
    ModelContext context(*loaded, 2);
    for (const std::string which : {"A", "B"}) {
      const std::string in = (path / ("inputs-" + which + ".npz")).string();
      const std::string out = (path / ("expected-" + which + ".npz")).string();
      const std::vector<Tensor> found =
          context.run(match_tensors(plan.inputs, read_tensors(in), in));
      const std::vector<Tensor> expected = match_tensors(plan.outputs, read_tensors(out), out);
      for (size_t i = 0; i < found.size(); ++i) {
        // max(1, x) >= (1 + x) / 2: this asks for no less.
        const Comparison comparison = compare_tensors(found[i], expected[i], 0.5e-4, 0.5e-4);
        EXPECT_TRUE(comparison.ok()) << plan.outputs[i].name << " on " << loaded->isa() << ", case "
                                     << which << ": off by " << comparison.largest;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, BigModel, ::testing::Values("vit-b16", "bert-base"),
                         [](const ::testing::TestParamInfo<const char *> &info) {
                           return std::string(info.param) == "vit-b16" ? "vit_b16" : "bert_base";
                         });

}  // namespace
}  // namespace sylvite::testing
