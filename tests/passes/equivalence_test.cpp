// No pass changes what a graph computes: graphs are evaluated in front of the pipeline and behind
// each of its passes, and behind the whole of it with each pass left out.
#include <gtest/gtest.h>

#include "compiler/ir/evaluate.h"
#include "compiler/ir/text.h"
#include "passes/passes.h"
#include "tests/passes/random_graphs.h"
#include "tests/passes/sample_layers.h"

namespace sylvite {
namespace {

// Constants are re-associated and norms rounded differently; a wrong rewrite is off by far more.
constexpr double kTolerance = 2e-5;

struct Sample {
  std::string name;
  std::unique_ptr<Graph> graph;
};

std::vector<Sample> samples(uint32_t random_graphs, int every_layer) {
  std::vector<Sample> result;
  for (uint32_t seed = 1; seed <= random_graphs; ++seed) {
    result.push_back({"random graph " + std::to_string(seed), random_graph(seed)});
  }
  for (int bits = 0; bits < 256; bits += every_layer) {
    LayerSpelling spelling;
    spelling.norm_in_parts = (bits & 1) != 0;
    spelling.scale_on_q_and_k = (bits & 2) != 0;
    spelling.packed_qkv = (bits & 4) != 0;
    spelling.post_norm = (bits & 8) != 0;
    spelling.masked = (bits & 16) != 0;
    spelling.nan_guard = (bits & 32) != 0;
    spelling.softmax_in_parts = (bits & 64) != 0;
    spelling.tanh_gelu = (bits & 128) != 0;
    result.push_back({"layer " + std::to_string(bits), parse_graph(sample_layer(spelling))});
  }
  result.push_back({"patch embedding", parse_graph(sample_patch_embedding())});
  result.push_back({"token embedding", parse_graph(sample_token_embedding())});
  return result;
}

TEST(Equivalence, EachStepOfThePipeline) {
  for (const Sample &sample : samples(60, 5)) {
    SCOPED_TRACE(sample.name);
    const std::vector<Tensor> inputs = random_inputs(*sample.graph, {{"batch", 2}}, 7);
    const std::vector<Tensor> expected = evaluate(*sample.graph, inputs);
    const std::unique_ptr<Graph> graph = sample.graph->clone();
    for (const Pass &pass : pipeline()) {
      const std::string before = print(*graph);
      run_pass(*graph, pass);
      const double difference = largest_difference(evaluate(*graph, inputs), expected);
      ASSERT_LE(difference, kTolerance) << "behind " << pass.name << "\nbefore:\n"
                                        << before << "\nafter:\n"
                                        << print(*graph);
    }
  }
}

TEST(Equivalence, AnyPassMayBeLeftOut) {
  const std::vector<Sample> all = samples(20, 23);
  std::vector<std::string> names = {kAllFusions};
  for (const Pass &pass : all_passes()) {
    if (pass.kind != PassKind::Required) {
      names.push_back(pass.name);
    }
  }
  for (const Sample &sample : all) {
    const std::vector<Tensor> inputs = random_inputs(*sample.graph, {{"length", 2}}, 8);
    const std::vector<Tensor> expected = evaluate(*sample.graph, inputs);
    for (const std::string &name : names) {
      SCOPED_TRACE(sample.name + " without " + name);
      const std::unique_ptr<Graph> graph = sample.graph->clone();
      run_pipeline(*graph, {.disabled = {name}});
      ASSERT_LE(largest_difference(evaluate(*graph, inputs), expected), kTolerance)
          << print(*graph);
    }
  }
}

// The shapes of the second run differ from the first one's: nothing was frozen.
TEST(Equivalence, AtSeveralSizes) {
  for (const Sample &sample : samples(40, 7)) {
    SCOPED_TRACE(sample.name);
    const std::unique_ptr<Graph> graph = sample.graph->clone();
    run_pipeline(*graph);
    for (const int64_t size : {1, 2, 5}) {
      const std::vector<Tensor> inputs =
          random_inputs(*sample.graph, {{"batch", 6 - size}, {"length", size}}, 9);
      ASSERT_LE(largest_difference(evaluate(*graph, inputs), evaluate(*sample.graph, inputs)),
                kTolerance);
    }
  }
}

}  // namespace
}  // namespace sylvite
