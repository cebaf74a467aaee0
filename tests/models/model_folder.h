// A folder of tests/models or of a corpus: the graph, its cases, and what meta.json says about it.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "compiler/codegen/plan.h"
#include "compiler/ir/tensor.h"

namespace sylvite::testing {

struct GraphFile {
  std::filesystem::path file;
  // "A" -> inputs, expected.
  std::map<std::string, std::pair<std::filesystem::path, std::filesystem::path>> cases;
  std::map<std::string, int> expect;                          // "attention" -> 4
  std::map<std::string, std::map<int, std::string>> dynamic;  // input, axis -> "batch"
};

struct ModelFolder {
  std::string name, stage;
  double rtol = 1e-4, atol = 1e-4;
  std::vector<GraphFile> graphs;
};
ModelFolder read_model_folder(const std::filesystem::path &folder);

std::filesystem::path bundled_models();  // tests/models
// Those of working.txt that are there, in tests/models or in the corpus.
std::vector<std::string> working_models();
std::vector<std::string> bundled_names();  // every folder of tests/models
// Folders of $SYLVITE_CORPUS and of its corpus/ by name; empty where the variable is not set.
std::map<std::string, std::filesystem::path> corpus_folders();
// The model's folder, in tests/models or in the corpus; empty where it is in neither.
std::filesystem::path find_model_folder(const std::string &name);

// Sizes by the names that meta.json gives ("batch" -> 7) as sizes of the plan's symbols. A size
// that the exporter froze stays as it is.
std::map<std::string, int64_t> plan_sizes(const Plan &plan, const GraphFile &graph,
                                          const std::map<std::string, int64_t> &sizes);

// For INSTANTIATE_TEST_SUITE_P over names of models.
std::string test_name(const ::testing::TestParamInfo<std::string> &info);

}  // namespace sylvite::testing
