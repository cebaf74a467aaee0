// Every other model, of tests/models and of the corpus: it is refused in clear words, or it is
// right. Nothing crashes, and nothing is quietly wrong.
//
// All of them go through importer, passes and plan; the evaluator runs the graph of kernels that
// came out, which is cheap and shows a pass that changed the meaning. Machine code is made for
// spine models, of a corpus that we have not seen.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>

#include "compiler/driver/compare_tensors.h"
#include "compiler/driver/fusion_names.h"
#include "compiler/driver/tensor_npz.h"
#include "compiler/ir/error.h"
#include "compiler/ir/evaluate.h"
#include "tests/models/compiled_variant.h"
#include "tests/models/model_folder.h"

namespace sylvite::testing {
namespace {

namespace fs = std::filesystem;

std::string first_line(const std::string &text) {
  return text.substr(0, text.find('\n'));
}

void expect_right(const std::vector<Tensor> &found, const std::vector<Tensor> &expected,
                  const Plan &plan, const ModelFolder &folder, const std::string &what) {
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i) {
    const Comparison comparison = compare_tensors(found[i], expected[i], folder.rtol, folder.atol);
    EXPECT_TRUE(comparison.ok()) << what << ", " << plan.outputs[i].name << ": "
                                 << describe_type(found[i]) << ", expected "
                                 << describe_type(expected[i]) << ", off by " << comparison.largest;
  }
}

// One line on how far the graph gets.
std::string try_graph(const ModelFolder &folder, const GraphFile &graph) {
  LoweredModel model;
  try {
    model = lower_model(graph.file);
  } catch (const ModelError &error) {
    EXPECT_FALSE(std::string(error.what()).empty());
    return "refused: " + first_line(error.what());
  }
  expect_fused(model, graph);
  std::string text = "right in the evaluator";
  for (const auto &[which, files] : graph.cases) {
    const std::vector<Tensor> inputs =
        match_tensors(model.plan.inputs, read_tensors(files.first), files.first.string());
    const std::vector<Tensor> expected =
        match_tensors(model.plan.outputs, read_tensors(files.second), files.second.string());
    std::vector<Tensor> found;
    try {
      found = evaluate(*model.graph, inputs);
    } catch (const ModelError &error) {
      text += ", but refuses case " + which + ": " + error.what();
      continue;
    }
    expect_right(found, expected, model.plan, folder, "evaluated, case " + which);
  }
  if (folder.stage == "spine") {
    const std::unique_ptr<CompiledVariant> variant = compile_variant(graph.file);
    const std::unique_ptr<LoadedModel> loaded = load(*variant);
    ModelContext context(*loaded, 2);
    for (const auto &[which, files] : graph.cases) {
      const std::vector<Tensor> inputs =
          match_tensors(model.plan.inputs, read_tensors(files.first), files.first.string());
      const std::vector<Tensor> expected =
          match_tensors(model.plan.outputs, read_tensors(files.second), files.second.string());
      expect_right(context.run(inputs), expected, model.plan, folder, "compiled, case " + which);
    }
    text = "compiled and right";
  }
  std::map<std::string, int> counts;
  for (const auto &[kind, count] : fusion_names(model.fused)) {
    counts[kind] = count;
  }
  for (const char *kind : {"attention", "add_norm", "ffn"}) {
    if (graph.expect.count(kind) != 0) {
      text += std::string(", ") + kind + " " + std::to_string(counts[kind]) + " of " +
              std::to_string(graph.expect.at(kind));
    }
  }
  return text;
}

void try_folder(const fs::path &path) {
  const ModelFolder folder = read_model_folder(path);
  for (const GraphFile &graph : folder.graphs) {
    SCOPED_TRACE(graph.file.string());
    const std::string text = try_graph(folder, graph);
    std::printf("%-40s %s\n", (folder.name + "/" + graph.file.filename().string()).c_str(),
                text.c_str());
  }
}

std::vector<std::string> without_working(std::vector<std::string> names) {
  const std::vector<std::string> working = working_models();
  names.erase(std::remove_if(names.begin(), names.end(),
                             [&](const std::string &name) {
                               return std::count(working.begin(), working.end(), name) != 0;
                             }),
              names.end());
  return names;
}

// corpus.txt: what the corpus is known to hold, so that its tests have names, and are counted as
// skipped, where it is not there; and whatever else SYLVITE_CORPUS holds.
std::vector<std::string> corpus_names() {
  std::set<std::string> names;
  std::ifstream stream(bundled_models() / "corpus.txt");
  for (std::string line; std::getline(stream, line);) {
    if (!line.empty() && line[0] != '#') {
      names.insert(line);
    }
  }
  for (const auto &[name, folder] : corpus_folders()) {
    if (!fs::exists(bundled_models() / name)) {
      names.insert(name);
    }
  }
  return without_working({names.begin(), names.end()});
}

class OtherModel : public ::testing::TestWithParam<std::string> {};

TEST_P(OtherModel, IsRefusedOrRight) {
  try_folder(bundled_models() / GetParam());
}

class Corpus : public ::testing::TestWithParam<std::string> {};

TEST_P(Corpus, IsRefusedOrRight) {
  const std::map<std::string, fs::path> folders = corpus_folders();
  if (folders.count(GetParam()) == 0) {
    GTEST_SKIP() << "SYLVITE_CORPUS is not set or does not hold it";
  }
  try_folder(folders.at(GetParam()));
}

INSTANTIATE_TEST_SUITE_P(Models, OtherModel, ::testing::ValuesIn(without_working(bundled_names())),
                         test_name);
INSTANTIATE_TEST_SUITE_P(Models, Corpus, ::testing::ValuesIn(corpus_names()), test_name);

}  // namespace
}  // namespace sylvite::testing
