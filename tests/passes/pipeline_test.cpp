// The pipeline as its users see it: options, errors, printing, and its reference page.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "compiler/ir/error.h"
#include "compiler/ir/text.h"
#include "passes/passes.h"
#include "tests/passes/random_graphs.h"
#include "tests/passes/sample_layers.h"

namespace sylvite {
namespace {

using ::testing::HasSubstr;

std::unique_ptr<Graph> layer() {
  return parse_graph(sample_layer({}));
}

std::string message_of(const PipelineOptions &options) {
  const std::unique_ptr<Graph> graph = layer();
  try {
    run_pipeline(*graph, options);
  } catch (const std::invalid_argument &error) {
    return error.what();
  }
  return "";
}

TEST(Pipeline, LeavesConstantsAndKernels) {
  const std::unique_ptr<Graph> graph = layer();
  run_pipeline(*graph);
  for (const std::unique_ptr<Node> &node : graph->nodes()) {
    EXPECT_TRUE(node->op == Op::Constant || node->op == Op::Kernel) << describe(*node);
  }
}

TEST(Pipeline, RefusesUnknownNamesAndNamesTheClosest) {
  EXPECT_THAT(message_of({.disabled = {"fuse_epilog"}}),
              HasSubstr("did you mean 'fuse_epilogues'"));
  EXPECT_THAT(message_of({.disabled = {"all_fusions"}}), HasSubstr("did you mean 'all-fusions'"));
  EXPECT_THAT(message_of({.print_after = {"raise"}}), HasSubstr("unknown pass 'raise'"));
}

TEST(Pipeline, RefusesToLeaveOutARequiredPass) {
  EXPECT_THAT(message_of({.disabled = {"form_kernels"}}), HasSubstr("cannot be disabled"));
}

TEST(Pipeline, PrintsAndTimesWhatItIsAskedFor) {
  std::vector<std::string> printed, timed;
  PipelineOptions options;
  options.print_after = {"raise_attention"};
  options.print = [&](const std::string &pass, const std::string &text) {
    printed.push_back(pass);
    EXPECT_THAT(text, HasSubstr("attention("));
  };
  options.timed = [&](const std::string &pass, double seconds) {
    timed.push_back(pass);
    EXPECT_GE(seconds, 0);
  };
  run_pipeline(*layer(), options);
  EXPECT_EQ(printed, std::vector<std::string>{"raise_attention"});
  EXPECT_EQ(timed.size(), pipeline().size());
}

// Source names too: their order must not be that of addresses, which differ within one process.
TEST(Pipeline, IsTheSameEveryTime) {
  for (uint32_t seed = 1; seed <= 20; ++seed) {
    const std::unique_ptr<Graph> once = random_graph(seed), again = random_graph(seed);
    run_pipeline(*once);
    run_pipeline(*again);
    EXPECT_EQ(print(*once), print(*again)) << "seed " << seed;
  }
}

TEST(Pipeline, AllowsOutputsThatAreInputsOrConstants) {
  const std::unique_ptr<Graph> graph = parse_graph(
      "graph (x: f32[n]) { symbol n in [0, inf)  c = constant {value = f32[2] (1, 2)}  return x, c "
      "}");
  run_pipeline(*graph);
  EXPECT_TRUE(graph->output(0)->is_graph_input());
  EXPECT_NE(constant_of(graph->output(1)), nullptr);
}

TEST(Pipeline, NamesTheGuiltyPass) {
  const std::unique_ptr<Graph> graph = parse_graph("graph (x: f32[2]) { y = neg(x)  return y }");
  const Pass broken = {"broken_pass", PassKind::Optional, "breaks a type", [](Graph &victim) {
                         victim.output(0)->type.dtype = DType::F64;
                         return true;
                       }};
  try {
    run_pass(*graph, broken);
    FAIL() << "the verifier found nothing";
  } catch (const InternalError &error) {
    EXPECT_THAT(error.what(), HasSubstr("broken_pass"));
  }
}

TEST(Passes, StandInAlphabeticalOrderWithSentences) {
  std::string previous;
  for (const Pass &pass : all_passes()) {
    EXPECT_LT(previous, pass.name);
    previous = pass.name;
    EXPECT_GT(std::string(pass.sentence).size(), 10u) << pass.name;
  }
}

TEST(Passes, AllRunInThePipeline) {
  for (const Pass &pass : all_passes()) {
    EXPECT_TRUE(std::any_of(pipeline().begin(), pipeline().end(), [&](const Pass &step) {
      return step.run == pass.run;
    })) << pass.name;
  }
}

TEST(Passes, ReferencePageIsUpToDate) {
  const std::string path = std::string(SYLVITE_SOURCE_DIR) + "/docs/passes.md";
  if (std::getenv("SYLVITE_UPDATE") != nullptr) {
    std::ofstream(path) << passes_page();
  }
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  EXPECT_EQ(text.str(), passes_page()) << "SYLVITE_UPDATE=1 rewrites docs/passes.md";
}

}  // namespace
}  // namespace sylvite
