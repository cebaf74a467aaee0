// The ONNX package's own node tests: each case is compiled as users' models are, run, and compared.
//
// What fails stands in expected_failures.txt with its reason. A case that fails and is not there is
// a failure, and so is one that is there and passes, or fails for another reason: the list may only
// shrink. SYLVITE_UPDATE=1 takes out what passes, puts in today's reasons and writes the table
// (docs/onnx-node-tests.md) anew; where a case fails that is not in the list it writes nothing.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "compiler/driver/compare_tensors.h"
#include "compiler/driver/tensor_npz.h"
#include "compiler/ir/error.h"
#include "tests/models/compiled_variant.h"

namespace sylvite::testing {
namespace {

namespace fs = std::filesystem;

constexpr int kShards = 16;  // ctest runs them side by side

struct Case {
  std::string name, op;
  double rtol = 0, atol = 0;
  std::string why_not;  // there are no arrays
};

const fs::path &case_folder() {
  static const fs::path folder = SYLVITE_NODE_CASES;
  return folder;
}
fs::path list_file() {
  return fs::path(SYLVITE_SOURCE_DIR) / "tests/onnx_nodes/expected_failures.txt";
}
fs::path table_file() {
  return fs::path(SYLVITE_SOURCE_DIR) / "docs/onnx-node-tests.md";
}
bool updating() {
  return std::getenv("SYLVITE_UPDATE") != nullptr;
}

std::vector<std::string> fields_of(const std::string &line) {
  std::vector<std::string> fields;
  std::istringstream text(line);
  for (std::string field; std::getline(text, field, '\t');) {
    fields.push_back(field);
  }
  return fields;
}

const std::vector<Case> &cases() {
  static const std::vector<Case> all = [] {
    std::vector<Case> result;
    std::ifstream file(case_folder() / "cases.txt");
    for (std::string line; std::getline(file, line);) {
      std::vector<std::string> fields = fields_of(line);
      fields.resize(5);
      result.push_back(
          {fields[0], fields[1], std::stod(fields[2]), std::stod(fields[3]), fields[4]});
    }
    return result;
  }();
  return all;
}

std::map<std::string, std::string> expected_failures() {
  std::map<std::string, std::string> reasons;
  std::ifstream file(list_file());
  for (std::string line; std::getline(file, line);) {
    const std::vector<std::string> fields = fields_of(line);
    if (fields.size() == 2 && line[0] != '#') {
      reasons[fields[0]] = fields[1];
    }
  }
  return reasons;
}

// What an error says, in one line and without the file's place on this machine.
std::string reason_of(const std::string &text, const fs::path &file) {
  const std::string place = file.string() + ": ";
  const size_t begin = text.compare(0, place.size(), place) == 0 ? place.size() : 0;
  std::string line;
  for (size_t i = begin; i < text.size(); ++i) {
    const char letter = text[i] == '\n' || text[i] == '\t' ? ' ' : text[i];
    if (letter != ' ' || line.empty() || line.back() != ' ') {
      line.push_back(letter);
    }
  }
  constexpr size_t kMost = 160;
  if (line.size() > kMost) {
    line.resize(kMost);
    line += "...";
  }
  return line;
}

// .npy files have no bfloat16: its bits come as u16.
std::vector<Tensor> read_arrays(const std::string &file, const std::vector<PlanTensor> &wanted) {
  std::vector<NamedTensor> arrays = read_tensors(file);
  for (NamedTensor &array : arrays) {
    const bool bits = std::any_of(wanted.begin(), wanted.end(), [&](const PlanTensor &tensor) {
      return tensor.name == array.name && tensor.type.dtype == DType::BF16;
    });
    if (bits && array.tensor.dtype() == DType::U16) {
      const auto owner = std::make_shared<const Tensor>(array.tensor);
      array.tensor = Tensor(DType::BF16, owner->shape(), owner->bytes(), owner);
    }
  }
  return match_tensors(wanted, arrays, file);
}

// The package's own test runner allows two units in bfloat16's last place.
double relative_tolerance(const Case &one, const Tensor &expected) {
  return expected.dtype() == DType::BF16 ? std::max(one.rtol, 0x1p-6) : one.rtol;
}

// Why a case does not pass; empty if it does.
std::string failure_of(const Case &one) {
  const fs::path stem = case_folder() / one.name;
  const fs::path file = stem.string() + ".onnx";
  try {
    const std::unique_ptr<CompiledVariant> variant = compile_variant(file);
    if (!one.why_not.empty()) {
      return one.why_not;
    }
    const Plan &plan = variant->model.plan;
    const std::vector<Tensor> inputs = read_arrays(stem.string() + ".in.npz", plan.inputs);
    const std::vector<Tensor> expected = read_arrays(stem.string() + ".out.npz", plan.outputs);
    const std::unique_ptr<LoadedModel> loaded = load(*variant);
    const std::vector<Tensor> got = ModelContext(*loaded, 1).run(inputs);
    for (size_t i = 0; i < expected.size(); ++i) {
      const Comparison found =
          compare_tensors(got[i], expected[i], relative_tolerance(one, expected[i]), one.atol);
      if (!found.ok()) {
        std::ostringstream text;
        text << "output '" << plan.outputs[i].name << "' is " << describe_type(got[i])
             << ", expected " << describe_type(expected[i]);
        if (found.same_type) {
          text << "; " << found.wrong << " of " << found.count << " differ, the worst is "
               << found.worst_got << " instead of " << found.worst_expected;
        }
        return text.str();
      }
    }
    return "";
  } catch (const ModelError &error) {
    return reason_of(error.what(), file);
  }
}

// ---- What SYLVITE_UPDATE=1 writes ----

std::map<std::string, std::string> g_found;  // of the cases that ran in this process

std::string list_text(const std::map<std::string, std::string> &reasons) {
  std::string text =
      "# Node tests of the ONNX package that do not pass, and why: name, tab, reason.\n"
      "# node_cases_test.cpp reads it; a line may go, none may come without a good reason.\n";
  for (const auto &[name, reason] : reasons) {
    text += name + "\t" + reason + "\n";
  }
  return text;
}

std::string table_text(const std::map<std::string, std::string> &reasons) {
  std::map<std::string, std::pair<int, int>> operators;  // passed, of how many
  int passed = 0;
  for (const Case &one : cases()) {
    const bool passes = reasons.count(one.name) == 0;
    operators[one.op].first += passes ? 1 : 0;
    ++operators[one.op].second;
    passed += passes ? 1 : 0;
  }
  std::ostringstream text;
  text << "# The ONNX package's node tests\n\n"
          "Written by `test_onnx_nodes` (`SYLVITE_UPDATE=1`), which runs the node cases that the "
          "`onnx` 1.23.2 package generates:\neach is compiled, run, and compared with the values "
          "that the package expects, by its tolerances. Inputs that shape a\nresult (axes, pads, "
          "sizes) are constants, as exporters write them. What fails, and why, stands in\n"
          "`tests/onnx_nodes/expected_failures.txt`.\n\n"
       << passed << " of " << cases().size()
       << " cases pass.\n\n| operator | pass | of |\n|---|---|---|\n";
  for (const auto &[op, counts] : operators) {
    text << "| " << op << " | " << counts.first << " | " << counts.second << " |\n";
  }
  return text.str();
}

class Update : public ::testing::Environment {
 public:
  void TearDown() override {
    if (!updating() || g_found.size() != cases().size()) {
      return;  // not all of them ran
    }
    const std::map<std::string, std::string> listed = expected_failures();
    std::map<std::string, std::string> reasons;
    for (const auto &[name, reason] : g_found) {
      if (reason.empty()) {
        continue;
      }
      if (listed.count(name) == 0) {
        return;  // the test has failed
      }
      reasons[name] = reason;
    }
    std::ofstream(list_file()) << list_text(reasons);
    std::ofstream(table_file()) << table_text(reasons);
  }
};
const ::testing::Environment *const g_update = ::testing::AddGlobalTestEnvironment(new Update);

// ---- The tests ----

class NodeCases : public ::testing::TestWithParam<int> {};

TEST_P(NodeCases, AreRightOrListed) {
  ASSERT_GT(cases().size(), 1000U) << case_folder();
  const std::map<std::string, std::string> listed = expected_failures();
  for (size_t i = static_cast<size_t>(GetParam()); i < cases().size(); i += kShards) {
    const Case &one = cases()[i];
    const std::string failure = g_found[one.name] = failure_of(one);
    const auto known = listed.find(one.name);
    EXPECT_TRUE(failure.empty() || known != listed.end()) << one.name << ": " << failure;
    if (updating()) {
      continue;
    }
    EXPECT_TRUE(!failure.empty() || known == listed.end())
        << one.name << " passes: take it out of expected_failures.txt";
    if (!failure.empty() && known != listed.end()) {
      EXPECT_EQ(failure, known->second) << one.name << " fails for another reason than listed";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Onnx, NodeCases, ::testing::Range(0, kShards));

TEST(NodeCaseList, NamesCasesThatThereAre) {
  std::set<std::string> known;
  for (const Case &one : cases()) {
    known.insert(one.name);
  }
  for (const auto &[name, reason] : expected_failures()) {
    EXPECT_EQ(known.count(name), 1U) << name;
    EXPECT_FALSE(reason.empty()) << name;
  }
}

TEST(NodeCaseList, IsWhatTheTableSays) {
  std::ifstream file(table_file());
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  EXPECT_EQ(text, table_text(expected_failures())) << "SYLVITE_UPDATE=1 writes it anew";
}

}  // namespace
}  // namespace sylvite::testing
