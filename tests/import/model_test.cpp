// What the importer makes of a model as a whole: symbols, names, functions, branches, constants.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "compiler/ir/error.h"
#include "compiler/ir/evaluate.h"
#include "tests/import/onnx_text.h"

namespace sylvite::testing {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string input_types(const ImportedModel &model) {
  std::string text;
  for (const Value *input : model.graph->inputs()) {
    text += (text.empty() ? "" : ", ") + input->name + " " + to_string(input->type);
  }
  return text;
}

onnx::ModelProto with_dimensions(const std::vector<std::string> &dimensions) {
  onnx::ModelProto model = graph("(float[1] x) => (y) { y = Relu(x) }");
  auto *const shape = model.mutable_graph()
                          ->mutable_input(0)
                          ->mutable_type()
                          ->mutable_tensor_type()
                          ->mutable_shape();
  shape->clear_dim();
  for (const std::string &dimension : dimensions) {
    shape->add_dim()->set_dim_param(dimension);
  }
  return model;
}

// ---- symbols ----

TEST(ImportModel, NamedAndUnnamedDimensions) {
  const ImportedModel model = import_model(
      graph("(float[batch, 3, ?] x, float[batch, ?] z) => (y, w) { y = Relu(x)  w = Abs(z) }"));
  EXPECT_EQ(input_types(model), "x f32[batch, 3, x_2], z f32[batch, z_1]");
  EXPECT_EQ(model.graph->symbols.find("batch")->lower, 1);
  EXPECT_EQ(model.graph->symbols.find("batch")->kind, SymbolKind::Input);
}

TEST(ImportModel, DimensionsThatAreExpressions) {
  const ImportedModel model = import_model(with_dimensions({"past", "length", "past + length"}));
  EXPECT_EQ(input_types(model), "x f32[past, length, length + past]");
}

TEST(ImportModel, ExpressionsOverUnknownNamesAreNames) {
  const ImportedModel model =
      import_model(with_dimensions({"a", "a + b", "2*(", "batch size", "9", "max"}));
  EXPECT_EQ(input_types(model), "x f32[a, a___b, size_2__, batch_size, size_9, max_size]");
}

TEST(ImportModel, FixedSizes) {
  const onnx::ModelProto model =
      graph("(float[batch, length] x, float[batch, ?] z) => (y, w) { y = Relu(x)  w = Abs(z) }");
  EXPECT_EQ(input_types(import_model(model, {{{"batch", 4}}})), "x f32[4, length], z f32[4, z_1]");
  EXPECT_EQ(input_types(import_model(model, {{{"z:1", 5}}})),
            "x f32[batch, length], z f32[batch, 5]");
}

TEST(ImportModel, TwoNamesForOneSizeBecomeOne) {
  const ImportedModel model =
      import_model(graph("(float[n, 3] x, float[m, 3] z) => (y) { y = Add(x, z) }"));
  EXPECT_EQ(input_types(model), "x f32[n, 3], z f32[n, 3]");
}

TEST(ImportModel, AFrozenSizeIsSaid) {
  const ImportedModel model = import_model(graph(
      "(float[batch, length, 64] x) => (y) <int64[4] s = {2, -1, 8, 8}, int64[3] t = {2, -1, 64}>"
      " { a = Reshape(x, s)  b = Reshape(a, t)  [residual] y = Add(x, b) }"));
  EXPECT_EQ(input_types(model), "x f32[2, length, 64]");
  EXPECT_EQ(to_string(model.graph->output(0)->type), "f32[2, length, 64]");
  EXPECT_THAT(model.graph->warnings, Contains(HasSubstr("'residual'")));
}

TEST(ImportModel, AFrozenSizeIsSaidOnce) {
  const ImportedModel model =
      import_model(graph("(float[n, d] x) => (y) <float[2] s = {1, 2}, float[2] b = {3, 4}>"
                         "{ [norm] y = LayerNormalization(x, s, b) }"));
  EXPECT_EQ(input_types(model), "x f32[n, 2]");
  ASSERT_EQ(model.graph->warnings.size(), 1U);
  EXPECT_THAT(model.graph->warnings[0], HasSubstr("'norm'"));
}

TEST(ImportModel, RegroupingFreezesNothing) {
  const ImportedModel model = import_model(graph(
      "(float[batch, length] x) => (y) <int64[2] s = {2, -1}> { [pairs] y = Reshape(x, s) }"));
  EXPECT_EQ(input_types(model), "x f32[batch, length]");
  EXPECT_EQ(to_string(model.graph->output(0)->type), "f32[2, floor_div(batch*length, 2)]");
  EXPECT_EQ(model.graph->guards.size(), 1U);
}

TEST(ImportModel, ALengthIsBoundedByItsTable) {
  const ImportedModel model = import_model(graph(
      "(int64[batch, length] ids) => (y) <float[16, 2] table = {0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,"
      "0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0}, int64[1] zero = {0}, int64[1] one = {1}>"
      "{ n = Shape<start = 1, end = 2>(ids)  [cut] y = Slice(table, zero, n) }"));
  EXPECT_EQ(to_string(model.graph->output(0)->type), "f32[length, 2]");
  EXPECT_EQ(model.graph->symbols.find("length")->upper, 16);
  ASSERT_EQ(model.graph->guards.size(), 1U);
  EXPECT_EQ(model.graph->guards[0].reason, "'cut' takes length rows of a table of 16");
  try {
    evaluate(*model.graph, {integers({1, 17}, std::vector<int64_t>(17))});
    FAIL();
  } catch (const ModelError &error) {
    EXPECT_STREQ(error.what(), "input 'ids': size of axis 1 is 17, expected at most 16");
  }
}

TEST(ImportModel, IndicesHaveTheirPositionsInTheData) {
  const ImportedModel model = import_model(
      graph("(float[n, m] x, int64[p, q] i, float[p, q] u) => (y, z)"
            "{ [a] y = GatherElements<axis = 1>(x, i)  [b] z = ScatterElements(x, i, u) }"));
  std::vector<std::string> guards;
  for (const Guard &guard : model.graph->guards) {
    guards.push_back(guard.left.str() + " == " + guard.right.str() + ": " + guard.reason);
  }
  EXPECT_THAT(guards,
              ElementsAre("min(n, p) == p: 'a' has indices for p of n positions on axis 0",
                          "min(m, q) == q: 'b' has indices for q of m positions on axis 1"));
}

TEST(ImportModel, PartsOfASplitFollowAReplacedSymbol) {
  const ImportedModel model =
      import_model(graph("(float[10] x, float[n] t) => (y, z) <int64[1] four = {4}>"
                         "{ s = Shape(t)  parts = Concat<axis = 0>(s, four)"
                         "  y, z = Split(x, parts) }"));
  EXPECT_EQ(to_string(model.graph->output(0)->type), "f32[6]");
  EXPECT_EQ(input_types(model), "x f32[10], t f32[6]");
  verify(*model.graph);
}

// ---- names ----

TEST(ImportModel, NodesKeepTheirNames) {
  const ImportedModel model =
      import_model(graph("(float[3] x) => (out) { [encoder_relu] a = Relu(x)  out = Exp(a) }"));
  const Value *const result = model.graph->output(0);
  EXPECT_EQ(result->name, "out");
  EXPECT_THAT(result->producer->sources, ElementsAre("Exp_1 (output out)"));
  EXPECT_THAT(result->producer->input(0)->producer->sources, ElementsAre("encoder_relu"));
  EXPECT_EQ(result->producer->input(0)->name, "a");
  EXPECT_EQ(model.graph->output_name(0), "out");
}

TEST(ImportModel, AnInputMayBeAnOutput) {
  const ImportedModel model = import_model(graph("(float[3] x) => (x, y) { y = Identity(x) }"));
  EXPECT_EQ(model.graph->output(0), model.graph->inputs()[0]);
  EXPECT_EQ(model.graph->output(1), model.graph->inputs()[0]);
  EXPECT_EQ(model.graph->output_name(1), "y");
}

TEST(ImportModel, NodesInAnyOrder) {
  const std::vector<Tensor> result = run_model(
      graph("(float[1] x) => (y) { y = Neg(a)  a = Exp(b)  b = Abs(x) }"), {floats({1}, {-1})});
  EXPECT_NEAR(result[0].at(0), -2.7182818, 1e-6);
}

TEST(ImportModel, WhatNoOutputNeedsIsNotLookedAt) {
  onnx::ModelProto model =
      graph("(float[2] x) => (y) <float[2] w = {1, 2}> { z = Add(x, w)  y = Relu(x) }");
  model.mutable_graph()->mutable_initializer(0)->set_dims(0, 1 << 30);
  EXPECT_EQ(import_model(model).graph->nodes().size(), 2U);  // max and its 0
}

TEST(ImportModel, InitializersListedAsInputsAreConstants) {
  const ImportedModel model = import_model(
      graph("(float[2] x, float[2] w) => (y) <float[2] w = {1, 2}> { y = Add(x, w) }"));
  EXPECT_EQ(input_types(model), "x f32[2]");
}

TEST(ImportModel, TheHashIsThatOfTheBytes) {
  const ImportedModel a = import_model(graph("(float[2] x) => (y) { y = Relu(x) }"));
  const ImportedModel b = import_model(graph("(float[2] x) => (y) { y = Relu(x) }"));
  const ImportedModel c = import_model(graph("(float[2] x) => (y) { y = Abs(x) }"));
  EXPECT_EQ(a.hash, b.hash);
  EXPECT_NE(a.hash, c.hash);
  EXPECT_EQ(a.opset, 17);
}

// ---- constants ----

TEST(ImportModel, EveryWayToStoreATensor) {
  onnx::ModelProto model = graph("(float[2] x) => (y) { y = Add(x, w) }");
  auto *const tensor = model.mutable_graph()->add_initializer();
  tensor->set_name("w");
  tensor->add_dims(2);
  const std::vector<double> expected = {1.5, -2};
  const auto check = [&] {
    const ImportedModel imported = import_model(model);
    const Tensor *const constant = constant_of(imported.graph->output(0)->producer->input(1));
    ASSERT_NE(constant, nullptr);
    EXPECT_EQ(values_of(*constant), expected);
  };
  tensor->set_data_type(onnx::TensorProto::FLOAT);
  tensor->add_float_data(1.5F);
  tensor->add_float_data(-2);
  check();
  tensor->clear_float_data();
  tensor->set_raw_data(std::string("\x00\x00\xc0\x3f\x00\x00\x00\xc0", 8));
  check();
}

TEST(ImportModel, LongListsAreBorrowedFromTheFile) {
  onnx::ModelProto model = graph("(float[2000] x) => (y) { y = Add(x, w) }");
  auto *const tensor = model.mutable_graph()->add_initializer();
  tensor->set_name("w");
  tensor->add_dims(2000);
  tensor->set_data_type(onnx::TensorProto::FLOAT);
  for (int i = 0; i < 2000; ++i) {
    tensor->add_float_data(static_cast<float>(i));
  }
  const ImportedModel imported = import_model(model);
  const Tensor *const constant = constant_of(imported.graph->output(0)->producer->input(1));
  EXPECT_EQ(constant->at(0), 0);
  EXPECT_EQ(constant->at(1999), 1999);
}

TEST(ImportModel, HalfPrecisionConstantsStayAsTheyAre) {
  onnx::ModelProto model = graph("(float[2] x) => (y) { w = Cast<to = 1>(h)  y = Add(x, w) }");
  auto *const tensor = model.mutable_graph()->add_initializer();
  tensor->set_name("h");
  tensor->add_dims(2);
  tensor->set_data_type(onnx::TensorProto::FLOAT16);
  tensor->add_int32_data(0x3c00);
  tensor->add_int32_data(0xc000);
  const ImportedModel imported = import_model(model);
  const Value *const cast = imported.graph->output(0)->producer->input(1);
  EXPECT_EQ(cast->producer->op, Op::Cast);
  EXPECT_EQ(values_of(*constant_of(cast->producer->input(0))), (std::vector<double>{1, -2}));
}

// ---- functions and branches ----

constexpr const char *kFunction = "<opset_import: [\"\" : 17, \"local\" : 1], domain: \"local\"> ";

TEST(ImportModel, LocalFunctionsAreInlined) {
  // Nested, with attributes handed down, names that occur inside and outside, and an output left
  // out.
  const onnx::ModelProto model = graph(
      std::string("(float[2] x) => (y) { t = Neg(x)  [outer] y = local.twice<slope = 0.5>(t) }") +
      kFunction +
      "twice <slope> (x) => (y, unused) { t = local.leak<alpha = @slope>(x)"
      "  [second] y = local.leak<alpha = @slope>(t)  unused = Exp(t) }" +
      kFunction + "leak <alpha> (x) => (y) { [r] y = LeakyRelu<alpha: float = @alpha>(x) }");
  const std::vector<Tensor> result = run_model(model, {floats({2}, {8, -8})});
  EXPECT_EQ(values_of(result[0]), (std::vector<double>{-2, 8}));
  const ImportedModel imported = import_model(model);
  EXPECT_THAT(imported.graph->output(0)->producer->sources, ElementsAre("outer/second/r"));
}

TEST(ImportModel, OperatorsWithoutARuleAreDecomposed) {
  const onnx::ModelProto model =
      graph("(float[4] x) => (y) { [s] y = Shrink<lambd = 1.0, bias = 0.5>(x) }");
  const std::vector<Tensor> result = run_model(model, {floats({4}, {-2, -0.5, 0.5, 3})});
  EXPECT_EQ(values_of(result[0]), (std::vector<double>{-1.5, 0, 0, 2.5}));
  const ImportedModel imported = import_model(model);
  for (const auto &node : imported.graph->nodes()) {
    if (node->op != Op::Constant) {
      EXPECT_THAT(node->sources, ElementsAre("s"));
    }
  }
}

TEST(ImportModel, BranchesThatShapesDecide) {
  const std::string text =
      "(float[n, 3] x, float[2] z) => (y) <int64 two = {2}> {"
      " shape = Shape(x)  rank = Size(shape)  c = Equal(rank, two)"
      " y = If (c) < then_branch = t () => (float[a, b] p) <float[1] one = {1}> { p = Add(x, one) "
      "},"
      "              else_branch = e () => (float[2] q) { q = Abs(z) }> }";
  const std::vector<Tensor> result =
      run_model(graph(text), {floats({1, 3}, {1, 2, 3}), floats({2}, {0, 0})});
  EXPECT_EQ(values_of(result[0]), (std::vector<double>{2, 3, 4}));
}

TEST(ImportModel, OperatorsNewerThanTheOpset) {
  // onnxruntime's optimisers write LayerNormalization at opset 14.
  const std::vector<Tensor> result = run_model(
      graph("(float[1, 2] x) => (y) <float[2] s = {1, 1}> { y = LayerNormalization(x, s) }", 14),
      {floats({1, 2}, {-1, 1})});
  EXPECT_NEAR(result[0].at(1), 1, 1e-4);
}

TEST(ImportModel, SupportedOpsAreListed) {
  std::map<std::string, std::string> how;
  for (const SupportedOp &op : supported_ops()) {
    how[op.name] = op.how;
  }
  EXPECT_EQ(how["MatMul"], "direct");
  EXPECT_EQ(how["Shrink"], "function body");
  EXPECT_THAT(how["Loop"], HasSubstr("direct"));
  EXPECT_EQ(how.count("Optional"), 0U);
  EXPECT_GT(how.size(), 100U);
}

}  // namespace
}  // namespace sylvite::testing
