// Real exports: every encoder and vision model of tests/models (and, with SYLVITE_CORPUS, of that
// folder) imports, satisfies the verifier, and gives the exporter's own results in the reference
// evaluator.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "compiler/import/import.h"
#include "compiler/ir/evaluate.h"
#include "compiler/ir/text.h"
#include "runtime/io/tensor_file.h"

namespace sylvite {
namespace {

namespace fs = std::filesystem;

struct Case {
  fs::path model, inputs, expected;
};

std::map<std::string, Tensor> read_tensors(const fs::path &file) {
  auto read = read_npz(file.string());
  EXPECT_TRUE(read.ok()) << read.error().message;
  std::map<std::string, Tensor> tensors;
  for (const HostTensor &host : read.value()) {
    Tensor tensor(static_cast<DType>(host.dtype),
                  host.dims);  // both enumerations are in the same order
    if (!host.bytes.empty()) {
      std::memcpy(tensor.mutable_bytes(), host.bytes.data(), host.bytes.size());
    }
    tensors[host.name] = tensor;
  }
  return tensors;
}

// "encoder-inputs-A.npz" belongs to encoder.onnx, "inputs-A.npz" to model.onnx.
std::vector<Case> cases_of(const fs::path &folder) {
  std::vector<Case> cases;
  for (const auto &entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    const size_t at = name.find("inputs-");
    if (at == std::string::npos || entry.path().extension() != ".npz") {
      continue;
    }
    const std::string graph = at == 0 ? "model" : name.substr(0, at - 1);
    std::string expected = name;
    expected.replace(at, 6, "expected");
    cases.push_back({folder / (graph + ".onnx"), entry.path(), folder / expected});
  }
  return cases;
}

void check_case(const Case &test, double rtol, double atol) {
  SCOPED_TRACE(test.inputs.string());
  const ImportedModel model = import_onnx(test.model);
  ASSERT_NO_THROW(verify(*model.graph));
  const std::map<std::string, Tensor> given = read_tensors(test.inputs);
  std::vector<Tensor> inputs;
  for (const Value *input : model.graph->inputs()) {
    ASSERT_EQ(given.count(input->name), 1U) << input->name;
    inputs.push_back(given.at(input->name));
  }
  const std::vector<Tensor> results = evaluate(*model.graph, inputs);
  const std::map<std::string, Tensor> expected = read_tensors(test.expected);
  for (size_t i = 0; i < results.size(); ++i) {
    const std::string &name = model.graph->output_name(i);
    ASSERT_EQ(expected.count(name), 1U) << name;
    const Tensor &wanted = expected.at(name);
    ASSERT_EQ(results[i].shape(), wanted.shape()) << name;
    ASSERT_EQ(results[i].dtype(), wanted.dtype()) << name;
    for (int64_t k = 0; k < wanted.count(); ++k) {
      ASSERT_NEAR(results[i].at(k), wanted.at(k), atol + rtol * std::fabs(wanted.at(k)))
          << name << ", element " << k;
    }
  }
}

int check_folder(const fs::path &folder) {
  std::ifstream file(folder / "meta.json");
  if (!file) {
    return 0;
  }
  const auto meta = nlohmann::json::parse(file);
  if (meta.value("stage", "") != "spine") {
    return 0;
  }
  const std::vector<Case> cases = cases_of(folder);
  EXPECT_FALSE(cases.empty()) << folder;
  for (const Case &test : cases) {
    check_case(test, meta.value("rtol", 1e-4), meta.value("atol", 1e-4));
  }
  return 1;
}

int check_folders(const fs::path &parent) {
  int checked = 0;
  for (const auto &entry : fs::directory_iterator(parent)) {
    checked += entry.is_directory() ? check_folder(entry.path()) : 0;
  }
  return checked;
}

TEST(Corpus, BundledModelsGiveTheExpectedValues) {
  EXPECT_GT(check_folders(fs::path(SYLVITE_SOURCE_DIR) / "tests" / "models"), 5);
}

TEST(Corpus, SpineModelsGiveTheExpectedValues) {
  const char *const corpus = std::getenv("SYLVITE_CORPUS");
  if (corpus == nullptr) {
    GTEST_SKIP() << "SYLVITE_CORPUS is not set";
  }
  EXPECT_GT(check_folders(corpus) + check_folders(fs::path(corpus) / "corpus"), 5);
}

}  // namespace
}  // namespace sylvite
