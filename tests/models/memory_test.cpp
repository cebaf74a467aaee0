// The memory that compiling takes does not grow with a model's weights: they are in files, the
// model's own and those of compiler/ir/storage.cpp. The limit is the system's: a compile that asks
// for more than it may have ends with "out of memory".
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <onnx/onnx_pb.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "compiler/driver/compare_tensors.h"
#include "compiler/driver/tensor_npz.h"
#include "tests/driver/run_command.h"

namespace sylvite::testing {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMebibyte = int64_t{1} << 20;

bool sanitized() {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return true;
#else
  return false;
#endif
}

void add_tensor_type(onnx::ValueInfoProto &value, const char *name, int64_t columns) {
  value.set_name(name);
  onnx::TypeProto_Tensor &type = *value.mutable_type()->mutable_tensor_type();
  type.set_elem_type(onnx::TensorProto::FLOAT);
  type.mutable_shape()->add_dim()->set_dim_param("rows");
  type.mutable_shape()->add_dim()->set_dim_value(columns);
}

void add_node(onnx::GraphProto &graph, const char *op, const std::vector<std::string> &inputs,
              const std::string &output) {
  onnx::NodeProto &node = *graph.add_node();
  node.set_op_type(op);
  node.set_name(output);
  for (const std::string &input : inputs) {
    node.add_input(input);
  }
  node.add_output(output);
}

// matmul, relu, matmul, ... with matrices of 16 MiB in one file of external data; every other one
// is stored turned. The file is one hole but for a number in each.
void write_chain(const fs::path &model, int matrices) {
  constexpr int64_t kWidth = 2048, kBytes = kWidth * kWidth * 4;
  const std::string data = model.filename().string() + ".data";
  std::ofstream stream(model.parent_path() / data, std::ios::binary);
  onnx::ModelProto proto;
  proto.set_ir_version(8);
  proto.add_opset_import()->set_version(17);
  onnx::GraphProto &graph = *proto.mutable_graph();
  graph.set_name("chain");
  add_tensor_type(*graph.add_input(), "x", kWidth);
  std::string value = "x";
  for (int i = 0; i < matrices; ++i) {
    const std::string number = std::to_string(i);
    const float own = static_cast<float>(i + 1);
    stream.seekp(i * kBytes);
    stream.write(reinterpret_cast<const char *>(&own), sizeof own);
    onnx::TensorProto &weights = *graph.add_initializer();
    weights.set_name("w" + number);
    weights.set_data_type(onnx::TensorProto::FLOAT);
    weights.add_dims(kWidth);
    weights.add_dims(kWidth);
    weights.set_data_location(onnx::TensorProto::EXTERNAL);
    for (const auto &[key, text] : std::vector<std::pair<std::string, std::string>>{
             {"location", data}, {"offset", std::to_string(i * kBytes)}}) {
      onnx::StringStringEntryProto &entry = *weights.add_external_data();
      entry.set_key(key);
      entry.set_value(text);
    }
    std::string right = "w" + number;
    if (i % 2 == 1) {
      add_node(graph, "Transpose", {right}, "t" + number);
      right = "t" + number;
    }
    add_node(graph, "MatMul", {value, right}, "m" + number);
    value = i + 1 == matrices ? "y" : "r" + number;
    add_node(graph, "Relu", {"m" + number}, value);
  }
  add_tensor_type(*graph.add_output(), "y", kWidth);
  stream.close();
  fs::resize_file(model.parent_path() / data, static_cast<uint64_t>(matrices * kBytes));
  std::ofstream(model, std::ios::binary) << proto.SerializeAsString();
}

TEST(CompileMemory, DoesNotGrowWithTheWeights) {
  if (sanitized()) {
    GTEST_SKIP() << "sanitizers take memory of their own";
  }
  const TemporaryFolder folder;
  const std::string model = folder.path("chain.onnx");
  write_chain(model, 40);  // 640 MiB
  CommandOptions options;
  options.most_memory = 400 * kMebibyte;
  const CommandResult result = run_sylvite({"compile", model, "--emit=plan"}, options);
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_THAT(result.out, ::testing::HasSubstr("m39"));
}

// What `tools/export bert-base --layers 48 --width 1024 --heads 16 --out DIR/bert-48` wrote:
// SYLVITE_BIG=DIR.
TEST(CompileMemory, OfAModelLargerThanTwoGibibytes) {
  const char *big = std::getenv("SYLVITE_BIG");
  const fs::path from = fs::path(big == nullptr ? "" : big) / "bert-48";
  if (sanitized() || big == nullptr || !fs::exists(from / "model.onnx")) {
    GTEST_SKIP() << "SYLVITE_BIG is not set or does not hold it";
  }
  const TemporaryFolder folder;
  const std::string program = folder.path("program"), outputs = folder.path("out.npz");
  const std::vector<NamedTensor> expected = read_tensors((from / "expected-A.npz").string());
  for (const char *weights : {"inside", "separate"}) {
    CommandOptions options;
    options.most_memory = 600 * kMebibyte + int64_t{30522} * 1024 * 4;  // its largest tensor
    const CommandResult compiled = run_sylvite({"compile", (from / "model.onnx").string(), "-o",
                                                program, "--weights", weights, "--jobs", "2"},
                                               options);
    ASSERT_EQ(compiled.status, 0) << compiled.err;
    const CommandResult ran =
        run_command({program, "--inputs", (from / "inputs-A.npz").string(), "--outputs", outputs});
    ASSERT_EQ(ran.status, 0) << ran.err;
    const std::vector<NamedTensor> found = read_tensors(outputs);
    ASSERT_EQ(found.size(), expected.size());
    for (size_t i = 0; i < found.size(); ++i) {
      EXPECT_EQ(found[i].name, expected[i].name);
      // max(1, x) >= (1 + x) / 2: this asks for no less.
      const Comparison comparison =
          compare_tensors(found[i].tensor, expected[i].tensor, 0.5e-4, 0.5e-4);
      EXPECT_TRUE(comparison.ok()) << found[i].name << ": off by " << comparison.largest;
    }
  }
}

}  // namespace
}  // namespace sylvite::testing
