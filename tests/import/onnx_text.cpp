#include "tests/import/onnx_text.h"

#include <gtest/gtest.h>
#include <onnx/defs/parser.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "compiler/ir/error.h"
#include "compiler/ir/evaluate.h"

namespace sylvite::testing {

onnx::ModelProto graph(const std::string &text, int opset) {
  const std::string head =
      "<ir_version: 8, opset_import: [\"\" : " + std::to_string(opset) + ", \"local\" : 1]>\n";
  onnx::ModelProto model;
  const auto status = onnx::OnnxParser::Parse(model, head + "test " + text);
  EXPECT_TRUE(status.IsOK()) << status.ErrorMessage();
  return model;
}

ImportedModel import_model(const onnx::ModelProto &model, const ImportOptions &options) {
  const TemporaryFolder folder;
  return import_onnx(folder.write("model.onnx", model.SerializeAsString()), options);
}

std::vector<Tensor> run_model(const onnx::ModelProto &model, const std::vector<Tensor> &inputs) {
  const ImportedModel imported = import_model(model);
  verify(*imported.graph);
  return evaluate(*imported.graph, inputs);
}

std::string error_of_file(const std::filesystem::path &file) {
  try {
    import_onnx(file);
    return "";
  } catch (const ModelError &error) {
    const std::string text = error.what();
    const std::string place = file.string() + ": ";
    EXPECT_EQ(text.rfind(place, 0), 0U) << text;
    return text.substr(std::min(place.size(), text.size()));
  }
}

std::string error_of_bytes(const std::string &bytes) {
  const TemporaryFolder folder;
  return error_of_file(folder.write("model.onnx", bytes));
}

std::string error_of(const onnx::ModelProto &model) {
  return error_of_bytes(model.SerializeAsString());
}

Tensor floats(std::vector<int64_t> shape, const std::vector<double> &values) {
  return Tensor::of(DType::F32, std::move(shape), values);
}

Tensor integers(std::vector<int64_t> shape, const std::vector<int64_t> &values) {
  return Tensor::of(DType::I64, std::move(shape), values);
}

Tensor bools(std::vector<int64_t> shape, const std::vector<int64_t> &values) {
  return Tensor::of(DType::Bool, std::move(shape), values);
}

std::vector<double> values_of(const Tensor &tensor) {
  std::vector<double> values;
  for (int64_t i = 0; i < tensor.count(); ++i) {
    values.push_back(tensor.at(i));
  }
  return values;
}

}  // namespace sylvite::testing
