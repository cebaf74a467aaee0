// Models for tests, written in ONNX's own text form:
//
//   graph("(float[n, 3] x) => (y) { y = Relu(x) }")
//
// and the ways to import and run them. Each test has a folder of its own.
#pragma once

#include <onnx/onnx_pb.h>

#include <filesystem>
#include <string>
#include <vector>

#include "compiler/import/import.h"
#include "compiler/ir/tensor.h"
#include "tests/temporary_folder.h"

namespace sylvite::testing {

// The graph's text after its name; functions may follow.
onnx::ModelProto graph(const std::string &text, int opset = 17);

ImportedModel import_model(const onnx::ModelProto &model, const ImportOptions &options = {});
// Imports, verifies, evaluates.
std::vector<Tensor> run_model(const onnx::ModelProto &model, const std::vector<Tensor> &inputs);
// What import says of the model after the file's name; "" when it succeeds.
std::string error_of(const onnx::ModelProto &model);
std::string error_of_bytes(const std::string &bytes);
std::string error_of_file(const std::filesystem::path &file);

Tensor floats(std::vector<int64_t> shape, const std::vector<double> &values);
Tensor integers(std::vector<int64_t> shape, const std::vector<int64_t> &values);
Tensor bools(std::vector<int64_t> shape, const std::vector<int64_t> &values);
std::vector<double> values_of(const Tensor &tensor);

}  // namespace sylvite::testing
