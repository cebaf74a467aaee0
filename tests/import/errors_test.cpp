// Wrong and hostile model files: each gives one line that names the place and the mistake, quickly
// and in little memory, and never a crash.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ctime>
#include <fstream>
#include <random>
#include <sstream>

#include "compiler/ir/error.h"
#include "tests/import/onnx_text.h"

namespace sylvite::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

// Sanitizers are several times slower.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int kPatience = 8;
#else
constexpr int kPatience = 1;
#endif

std::string relu_bytes() {
  return graph("(float[n, 3] x) => (float[n, 3] y) { y = Relu(x) }").SerializeAsString();
}

// ---- the file ----

TEST(ImportErrors, MissingFile) {
  EXPECT_EQ(error_of_file("/nonexistent/model.onnx"),
            "cannot read '/nonexistent/model.onnx': No such file or directory");
}

TEST(ImportErrors, Folder) {
  const TemporaryFolder folder;
  EXPECT_EQ(error_of_file(folder.path()),
            "cannot read '" + folder.path().string() + "': it is a folder");
}

TEST(ImportErrors, PipeDoesNotHang) {
  const TemporaryFolder folder;
  const auto pipe = folder.path() / "model.onnx";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_EQ(error_of_file(pipe), "cannot read '" + pipe.string() + "': it is not a regular file");
}

TEST(ImportErrors, NotAModel) {
  EXPECT_EQ(error_of_bytes(""), "the file is empty");
  EXPECT_EQ(error_of_bytes("this is text"), "not an ONNX model: byte 0 starts no field of one");
  EXPECT_EQ(error_of_bytes("\x89PNG\r\n\x1a\n"),
            "not an ONNX model: byte 0 starts no field of one");
  EXPECT_EQ(error_of_bytes(std::string("\x08\x08", 2)), "not an ONNX model: it holds no graph");
}

TEST(ImportErrors, Truncated) {
  const std::string bytes = relu_bytes();
  EXPECT_THAT(error_of_bytes(bytes.substr(0, bytes.size() / 2)),
              StartsWith("truncated: the field at byte 2 needs"));
  for (size_t length = 0; length < bytes.size(); ++length) {
    error_of_bytes(
        bytes.substr(0, length));  // an error or, at a field's end, a model; never a crash
  }
}

TEST(ImportErrors, DamagedModelsNeverCrash) {
  std::ifstream file(
      std::string(SYLVITE_SOURCE_DIR) + "/tests/models/bert-dynamo18-eager/model.onnx",
      std::ios::binary);
  std::stringstream content;
  content << file.rdbuf();
  const std::string bytes = content.str();
  ASSERT_GT(bytes.size(), 1000U);
  std::mt19937 random(7);
  const TemporaryFolder folder;
  for (int round = 0; round < 300; ++round) {
    std::string damaged = bytes;
    for (int change = 0; change < 4; ++change) {
      damaged[random() % damaged.size()] = static_cast<char>(random());
    }
    error_of_file(folder.write("model.onnx", damaged));
  }
}

TEST(ImportErrors, UnboundedMessages) {
  // Two bytes a node: Protobuf would take two hundred for each.
  std::string nodes;
  for (int i = 0; i < 2'000'000; ++i) {
    nodes += std::string("\x0a\x00", 2);
  }
  std::string bytes("\x3a", 1);
  for (size_t size = nodes.size(); size != 0; size >>= 7) {
    bytes += static_cast<char>((size & 0x7f) | (size > 0x7f ? 0x80 : 0));
  }
  EXPECT_EQ(error_of_bytes(bytes + nodes), "holds more than 1500000 nodes, attributes and tensors");
}

TEST(ImportErrors, DeepNesting) {
  onnx::GraphProto inner;
  for (int depth = 0; depth < 300; ++depth) {
    onnx::GraphProto outer;
    auto *const branch = outer.add_node()->add_attribute();
    branch->mutable_g()->Swap(&inner);
    inner.Swap(&outer);
  }
  onnx::ModelProto model;
  model.mutable_graph()->Swap(&inner);
  EXPECT_EQ(error_of(model), "graphs or types are nested more than 33 levels deep");
}

// ---- versions and operators ----

TEST(ImportErrors, Opset) {
  EXPECT_EQ(error_of(graph("(float[3] x) => (y) { y = Relu(x) }", 10)), "");
  EXPECT_EQ(error_of(graph("(float[3] x) => (y) { y = Clip <min = 0.0> (x) }", 10)),
            "operators that are not supported:\n  Clip (node 'Clip_0 (output y)'): is another one "
            "in opset 10; export the model with opset 11 or newer");
  EXPECT_EQ(error_of(graph("(float[3] x) => (y) { y = Relu(x) }", 0)),
            "uses opset 0; export the model again with 11 or newer");
  EXPECT_THAT(
      error_of(graph("(float[3] x) => (y) { y = Relu(x) }", 999)),
      ::testing::MatchesRegex("uses opset 999, but [0-9]+ is the newest that is known; .*"));
  onnx::ModelProto model = graph("(float[3] x) => (y) { y = Relu(x) }");
  model.clear_opset_import();
  EXPECT_EQ(error_of(model), "imports no version of the ONNX operators (opset_import)");
  model.add_opset_import()->set_domain("ai.onnx.ml");
  EXPECT_EQ(error_of(model),
            "imports no version of the ONNX operators (opset_import), only operators of "
            "'ai.onnx.ml', which are not supported");
  model.clear_opset_import();
  for (const char *domain : {"", "ai.onnx"}) {
    auto *const import = model.add_opset_import();
    import->set_domain(domain);
    import->set_version(17);
  }
  EXPECT_EQ(error_of(model), "imports the ONNX operators twice (opset_import)");
}

TEST(ImportErrors, IrVersion) {
  onnx::ModelProto model = graph("(float[3] x) => (y) { y = Relu(x) }");
  model.set_ir_version(999);
  EXPECT_THAT(error_of(model),
              ::testing::MatchesRegex("has IR version 999, but [0-9]+ is the newest that is known; "
                                      "export the model again with an older one"));
}

TEST(ImportErrors, AllUnsupportedOperatorsAtOnce) {
  EXPECT_EQ(
      error_of(graph("(float[3] x) => (y, z) {"
                     " [first] a = Bernoulli(x)"
                     " [second] b = Bernoulli(x)"
                     " c = com.acme.Magic(x)"
                     " y = Det(c)"
                     " z = NoSuchOperator(a, b) }")),
      "operators that are not supported:\n"
      "  Bernoulli (2 nodes: 'first', 'second'): not supported; export the model without it\n"
      "  Det (node 'Det_3 (output y)'): not supported; export the model without it\n"
      "  NoSuchOperator (node 'NoSuchOperator_4 (output z)'): there is no such operator in ONNX "
      "opset 17\n"
      "  com.acme::Magic (node 'Magic_2 (output c)'): operators of the domain 'com.acme' are not "
      "supported; export plain ONNX");
}

// The body that ONNX gives for DynamicQuantizeLinear is one of QuantizeLinear.
TEST(ImportErrors, UnsupportedFunctionBodiesAreListedToo) {
  std::string nodes =
      " [q] a, s, p = DynamicQuantizeLinear(x)  [d0] y0 = DequantizeLinear(a, s, p)";
  for (int i = 1; i < 52; ++i) {
    const std::string number = std::to_string(i);
    nodes += " [d" + number + "] y" + number + " = DequantizeLinear(a, s, p)";
  }
  EXPECT_EQ(error_of(graph("(float[3] x) => (y0) {" + nodes + " }")),
            "operators that are not supported:\n"
            "  DequantizeLinear (52 nodes: 'd0', 'd1', 'd2', 'd3', ...): quantised models are not "
            "supported; export the model in floating point\n"
            "  DynamicQuantizeLinear (node 'q'): quantised models are not supported; export the "
            "model in floating point");
}

TEST(ImportErrors, UnsupportedInsideAFunction) {
  EXPECT_EQ(error_of(graph("(float[3] x) => (y) { [call] y = local.f(x) }"
                           "<opset_import: [\"\" : 17], domain: \"local\"> f (a) => (b) { [inner] "
                           "b = Det(a) }")),
            "operators that are not supported:\n"
            "  Det (node 'call/inner'): not supported; export the model without it");
}

// What onnxruntime's optimisers write is known by name, quantised variants and searches too.
TEST(ImportErrors, UnsupportedOperatorsOfMicrosoft) {
  EXPECT_EQ(
      error_of(graph("(float[3] x) => (y) {"
                     " a = com.microsoft.GroupQueryAttention(x)"
                     " b = com.microsoft.QAttention(a)"
                     " c = com.microsoft.MatMulNBits(b)"
                     " y = com.microsoft.BeamSearch(c) }")),
      "operators that are not supported:\n"
      "  com.microsoft::BeamSearch (node 'BeamSearch_3 (output y)'): searches are not "
      "supported within a model; export the model without it\n"
      "  com.microsoft::GroupQueryAttention (node 'GroupQueryAttention_0 (output a)'): not "
      "supported; export plain ONNX, or optimise the model without this fusion\n"
      "  com.microsoft::MatMulNBits (node 'MatMulNBits_2 (output c)'): quantised models are "
      "not supported; export the model in floating point\n"
      "  com.microsoft::QAttention (node 'QAttention_1 (output b)'): quantised models are not "
      "supported; export the model in floating point");
}

// What import says of one node of com.microsoft, after its place.
std::string microsoft_error(const std::string &inputs, const std::string &node) {
  const std::string text =
      error_of(graph("(" + inputs + ") => (y) { [m] y = com.microsoft." + node + " }"));
  const std::string place = "node 'm' (" + node.substr(0, node.find_first_of("<(")) + "): ";
  EXPECT_EQ(text.rfind(place, 0), 0U) << text;
  return text.substr(std::min(place.size(), text.size()));
}

TEST(ImportErrors, MicrosoftSignatures) {
  EXPECT_EQ(microsoft_error("float[3] x", "Gelu(x, x)"), "expected 1 input, got 2");
  EXPECT_EQ(microsoft_error("float[3] x", "BiasGelu(x)"), "expected 2 inputs, got 1");
  EXPECT_EQ(microsoft_error("float[3] x", "FastGelu(x, x, x)"), "expected 1 or 2 inputs, got 3");
  EXPECT_EQ(microsoft_error("float[3] x", "QuickGelu<beta = 1.0>(x)"),
            "has an unknown attribute 'beta'");
  EXPECT_EQ(microsoft_error("float[3] x", "QuickGelu<alpha = 1>(x)"),
            "attribute 'alpha' is an integer, expected a float");
  EXPECT_EQ(microsoft_error("float[3] x", "BiasGelu(, x)"), "input 0 is missing");
  EXPECT_EQ(microsoft_error("float[1, 2, 4] x, float[4, 12] w", "Attention(x, w)"),
            "attribute 'num_heads' is missing");
  EXPECT_EQ(error_of(graph("(float[3] x) => (y, z) { [m] y, z = com.microsoft.Gelu(x) }")),
            "node 'm' (Gelu): expected 1 output, got 2");
  EXPECT_EQ(error_of(graph("(float[2, 3] x) => (y, mean) {"
                           " [m] y, mean = com.microsoft.SkipLayerNormalization(x, x, x) }")),
            "node 'm' (SkipLayerNormalization): scale or bias of shape [2, 3] does not fit [3]");
  EXPECT_EQ(error_of(graph("(float[2, 3] x, float[3] g) => (y, mean) {"
                           " [m] y, mean = com.microsoft.SkipLayerNormalization(x, x, g) }")),
            "node 'm' (SkipLayerNormalization): its output 1 ('mean') is not supported");
}

TEST(ImportErrors, MicrosoftNorms) {
  EXPECT_EQ(microsoft_error("float x", "SkipLayerNormalization(x, x, x)"),
            "normalises a number, expected at least 1 dimension");
  const std::string embed = "EmbedLayerNormalization(i, i, w, w, w, g, g)";
  EXPECT_EQ(microsoft_error("int32[3] i, float[4, 2] w, float[2] g", embed),
            "has token ids with 1 dimensions, expected 2");
  EXPECT_EQ(microsoft_error("int32[1, 3] i, float[4] w, float[2] g", embed),
            "input 3 has 1 dimensions, expected 2");
}

TEST(ImportErrors, MicrosoftProducts) {
  EXPECT_EQ(microsoft_error("float[3, 3] x", "FusedMatMul<transBatchA = 1>(x, x)"),
            "transBatchA is set for 2 dimensions, expected at least 3");
  EXPECT_EQ(microsoft_error("float[3, 3] x", "FusedGemm<activation = \"Sin\">(x, x)"),
            "ends in the activation 'Sin', which is not supported; optimise the model without this "
            "fusion");
}

TEST(ImportErrors, MicrosoftAttention) {
  const auto error = [](const std::string &more, const std::string &attributes,
                        const std::string &inputs) {
    return microsoft_error("float[2, 3, 4] x, float[4, 12] w" + more,
                           "Attention<num_heads = 2" + attributes + ">(x, w" + inputs + ")");
  };
  EXPECT_EQ(error("", ", do_rotary = 1", ""),
            "do_rotary is set, which is not supported; export the model without it");
  EXPECT_EQ(
      error("", ", past_present_share_buffer = 1", ""),
      "past_present_share_buffer is set, which is not supported; export the model without it");
  EXPECT_EQ(error(", int32[1] n", "", ", , , , , n"),
            "has a past in a buffer that is shared with the present (input 6), which is not "
            "supported; export the model without it");
  EXPECT_EQ(
      error(", float[1, 2, 2, 5, 2] p", "", ", , , p"),
      "has a past of shape [1, 2, 2, 5, 2], expected keys and values in 5 dimensions of which "
      "the first is 2");
  EXPECT_EQ(error(", int32[8] m", "", ", , m"),
            "has a mask of shape [8] (lengths and offsets of packed keys), which is not supported; "
            "optimise the model with raw attention masks");
  EXPECT_EQ(error(", int32[2, 1, 9, 9] m", "", ", , m"),
            "has a mask with 4 dimensions, expected 1 to 3; optimise the model with raw attention "
            "masks");
  EXPECT_EQ(error("", ", qkv_hidden_sizes = [4, 4]", ""),
            "qkv_hidden_sizes are not three sizes of which the first two are equal");
  EXPECT_EQ(error("", ", qkv_hidden_sizes = [4, 4, 6]", ""),
            "qkv_hidden_sizes do not add up to the 12 columns of the weights");
  EXPECT_EQ(microsoft_error("float[2, 3, 4] x, float[4, 11] w", "Attention<num_heads = 2>(x, w)"),
            "cannot split 11 columns into queries, keys and values");
  EXPECT_EQ(microsoft_error("float[2, 3, 4] x, float[4, 12] w", "Attention<num_heads = 3>(x, w)"),
            "num_heads = 3 does not divide 4");
  EXPECT_EQ(microsoft_error("float[3, 4] x, float[4, 12] w", "Attention<num_heads = 2>(x, w)"),
            "multiplies shapes [3, 4] and [4, 12], expected 3 and 2 dimensions");
}

TEST(ImportErrors, MicrosoftMultiHeadAttention) {
  const auto error = [](const std::string &more, const std::string &inputs) {
    return microsoft_error("float[2, 3, 4] x" + more,
                           "MultiHeadAttention<num_heads = 2>(" + inputs + ")");
  };
  EXPECT_EQ(error("", "x"),
            "has queries, keys and values packed in one tensor, which is not supported; optimise "
            "the model with enable_packed_qkv and enable_packed_kv off");
  EXPECT_EQ(error(", float[2, 2, 5, 2] p", "x, x, x, , , , p"),
            "has one of past keys and past values, expected both or none");
  EXPECT_EQ(error(", float[2, 5, 2] p", "x, x, x, , , , p, p"),
            "has a past with 3 dimensions, expected 4");
  EXPECT_EQ(error(", int32[1] n", "x, x, x, , , , , , n"),
            "has a past in a buffer that is shared with the present (input 8), which is not "
            "supported; export the model without it");
  EXPECT_EQ(error(", int32[2, 1, 9] n", "x, x, x, , , , , , , n"),
            "has the table of a beam search (input 9), which is not supported; export the model "
            "without it");
  EXPECT_EQ(
      error(", float[2, 2, 3, 2] k", "x, k, x"),
      "has queries, keys and values of shapes [2, 3, 4], [2, 2, 3, 2] and [2, 3, 4], expected "
      "3 dimensions");
  EXPECT_EQ(error(", float[2, 2, 3, 2] k, float[12] b", "x, k, k, b"),
            "adds a bias of shape [12] to keys of shape [2, 2, 3, 2], expected 1 and 3 dimensions");
  EXPECT_EQ(error(", int32[4] m", "x, x, x, , m"),
            "the numbers of lengths in the mask and of sequences must be equal, but are 4 and 2");
  EXPECT_EQ(microsoft_error("float[2, 3, 4] q, float[2, 5, 4] k",
                            "MultiHeadAttention<num_heads = 2, unidirectional = 1>(q, k, k)"),
            "the lengths of queries and keys of a one-way model must be equal, but are 3 and 5");
  EXPECT_EQ(error(", float[8] b", "x, x, x, b"),
            "adds a bias of 8 numbers to queries, keys and values of 12");
}

TEST(ImportErrors, MicrosoftRotaryEmbedding) {
  const auto error = [](const std::string &attributes, const std::string &type = "[1, 2, 8]",
                        const std::string &positions = "[1, 2]") {
    return microsoft_error(
        "float" + type + " x, int64" + positions + " p, float[9, 2] c, float[9, 2] s",
        "RotaryEmbedding" + attributes + "(x, p, c, s)");
  };
  EXPECT_EQ(error("<is_packed_batching = 1>"),
            "is_packed_batching is set, which is not supported; export the model without it");
  EXPECT_EQ(error("<scale = 0.5>"),
            "has a scale, which is not supported; export the model without it");
  EXPECT_EQ(error("<num_heads = 3>"), "num_heads = 3 does not divide 8");
  EXPECT_EQ(error("<num_heads = 1>"), "turns 8 of 8 places with a table of 2 pairs");
  EXPECT_EQ(error("", "[1, 2, 7]"), "cannot split 7 into heads of 4");
  EXPECT_EQ(error("", "[2, 8]"), "has an input with 2 dimensions, expected 3 or 4");
  EXPECT_EQ(error("", "[1, 2, 8]", "[1, 1, 2]"),
            "has positions with 3 dimensions, expected 1 or 2");
}

// ---- names and order ----

TEST(ImportErrors, DuplicateNames) {
  EXPECT_EQ(error_of(graph("(float[3] x) => (y) { [a] y = Relu(x)  [b] y = Abs(x) }")),
            "node 'b' (Abs): its output 'y' is also an output of node 'a'");
  EXPECT_EQ(error_of(graph("(float[3] x) => (x) { [a] x = Relu(x) }")),
            "nodes wait for each other: 'a' reads from 'a'");
  EXPECT_EQ(error_of(graph("(float[3] x, float[3] y) => (y) { [a] y = Relu(x) }")),
            "node 'a' (Relu): its output 'y' is also the name of an input or initializer");
  EXPECT_EQ(error_of(graph("(float[3] x, float[3] x) => (y) { y = Relu(x) }")),
            "two inputs have the name 'x'");
  EXPECT_EQ(error_of(graph("(float[3] x) => (y, y) { y = Relu(x) }")),
            "two outputs have the name 'y'");
  EXPECT_EQ(
      error_of(graph("(float[1] x) => (y) <float[1] w = {1}, float[1] w = {2}> { y = Add(x, w) }")),
      "two initializers have the name 'w'");
}

TEST(ImportErrors, Cycle) {
  EXPECT_EQ(
      error_of(graph("(float[3] x) => (y) { [a] p = Add(x, r)  [b] q = Relu(p)  [c] r = Abs(q)"
                     " y = Neg(r) }")),
      "nodes wait for each other: 'a' reads from 'c' reads from 'b' reads from 'a'");
}

TEST(ImportErrors, UndefinedNames) {
  EXPECT_EQ(error_of(graph("(float[3] x) => (y) { [a] y = Add(x, nothing) }")),
            "node 'a' (Add): reads 'nothing', which no node, input or initializer defines");
  EXPECT_EQ(error_of(graph("(float[3] x) => (z) { y = Relu(x) }")),
            "output 'z' is computed by no node");
  EXPECT_EQ(error_of(graph("(float[3] x) => () { y = Relu(x) }")), "the graph has no outputs");
}

TEST(ImportErrors, NamesInMessagesStayOnOneLine) {
  onnx::ModelProto model = graph("(float[3] x) => (y) { y = Add(x, x, x) }");
  model.mutable_graph()->mutable_node(0)->set_name("evil\nname\x1b[31m" + std::string(1000, 'a'));
  const std::string error = error_of(model);
  EXPECT_THAT(error, StartsWith("node 'evil?name?[31maaa"));
  EXPECT_LT(error.size(), 300U);
  model = graph("(float[3] x) => (y) <float[3] w = {1, 2, 3}> { [a] y = Add(x, w) }");
  model.mutable_graph()->mutable_initializer(0)->set_name("evil\nname");
  model.mutable_graph()->mutable_initializer(0)->clear_float_data();
  model.mutable_graph()->mutable_node(0)->set_input(1, "evil\nname");
  EXPECT_EQ(error_of(model),
            "node 'a' (Add): tensor 'evil?name': needs 3 elements for its shape, "
            "but holds 0");
}

// ---- inputs ----

TEST(ImportErrors, Inputs) {
  EXPECT_EQ(error_of(graph("(seq(float[3]) x) => (y) { y = Identity(x) }")),
            "input 'x' is not a tensor; sequences, maps and optionals are not supported");
  EXPECT_EQ(error_of(graph("(float x) => (y) { y = Relu(x) }")), "");  // a scalar
  EXPECT_EQ(error_of(graph("(float[] x) => (y) { y = Relu(x) }")),
            "input 'x' has no shape; its number of dimensions must be known");
  EXPECT_EQ(error_of(graph("(string[3] x) => (y) { y = Identity(x) }")),
            "input 'x': element type STRING is not supported");
  onnx::ModelProto model = graph("(float[3] x) => (y) { y = Relu(x) }");
  model.mutable_graph()
      ->mutable_input(0)
      ->mutable_type()
      ->mutable_tensor_type()
      ->mutable_shape()
      ->mutable_dim(0)
      ->set_dim_value(-7);
  EXPECT_EQ(error_of(model), "input 'x' has the negative size -7 on axis 0");
}

// ---- nodes ----

TEST(ImportErrors, NumberOfInputsAndOutputs) {
  EXPECT_EQ(error_of(graph("(float[3] x) => (y) { [a] y = Gemm(x) }")),
            "node 'a' (Gemm): expected 2 or 3 inputs, got 1");
  EXPECT_EQ(error_of(graph("(float[3] x) => (y, z) { [a] y, z = Relu(x) }")),
            "node 'a' (Relu): expected 1 output, got 2");
}

TEST(ImportErrors, ContradictoryShapes) {
  EXPECT_THAT(error_of(graph("(float[2, 3] x, float[4, 5] w) => (y) { [a] y = MatMul(x, w) }")),
              StartsWith("node 'a' (MatMul): "));
  EXPECT_EQ(error_of(graph("(float[2, 3] x, float[4] w) => (y) { [a] y = Add(x, w) }")),
            "node 'a' (Add): shapes [2, 3] and [4] do not broadcast: axis 1 is 3 and 4");
  EXPECT_EQ(
      error_of(graph("(float[2, 3] x) => (y) <int64[2] s = {4, -1}> { [a] y = Reshape(x, s) }")),
      "node 'a' (Reshape): cannot reshape [2, 3] to [4, -1]");
  EXPECT_EQ(
      error_of(graph("(float[2, 3] x) => (y) <int64[2] s = {-1, -1}> { [a] y = Reshape(x, s) }")),
      "node 'a' (Reshape): has two sizes of -1");
  EXPECT_EQ(
      error_of(graph("(float[2, 3] x) => (y) <int64[2] s = {4, 3}> { [a] y = Expand(x, s) }")),
      "node 'a' (Expand): cannot expand a size of 2 to 4");
  EXPECT_EQ(
      error_of(graph("(float[5, 3] x) => (y, z) <int64[2] s = {2, 2}> { [a] y, z = Split(x, s) }")),
      "node 'a' (Split): splits axis 0 of size 5 into parts of 4 in all");
}

TEST(ImportErrors, ElementTypes) {
  EXPECT_THAT(error_of(graph("(float[3] x, int64[3] w) => (y) { [a] y = Add(x, w) }")),
              StartsWith("node 'a' (Add): "));
  EXPECT_THAT(error_of(graph("(float[3] x) => (y) { [a] y = Not(x) }")),
              StartsWith("node 'a' (Not): "));
}

TEST(ImportErrors, AttributesOutOfRange) {
  EXPECT_EQ(error_of(graph("(float[2, 3] x) => (y) { [a] y = Softmax<axis = 2>(x) }")),
            "node 'a' (Softmax): axis 2 is out of range for 2 dimensions");
  EXPECT_EQ(error_of(graph("(float[2, 3] x) => (y) { [a] y = Concat<axis = -3>(x, x) }")),
            "node 'a' (Concat): axis -3 is out of range for 2 dimensions");
  EXPECT_EQ(error_of(graph("(float[2, 3] x) => (y) { [a] y = Transpose<perm = [0, 2]>(x) }")),
            "node 'a' (Transpose): axis 2 is out of range for 2 dimensions");
  EXPECT_EQ(error_of(graph("(float[2, 3] x) => (y) { [a] y = Transpose<perm = [1, 1]>(x) }")),
            "node 'a' (Transpose): axis 1 is given twice");
  EXPECT_EQ(error_of(graph("(float[2, 3] x) => (y) { [a] y = Transpose<perm = [0]>(x) }")),
            "node 'a' (Transpose): perm has 1 entries for 2 dimensions");
  EXPECT_EQ(
      error_of(graph(
          "(float[1, 4, 8, 8] x, float[6, 2, 3, 3] w) => (y) { [a] y = Conv<group = 3>(x, w) }")),
      "node 'a' (Conv): group 3 does not divide 4 input and 6 output channels");
  EXPECT_EQ(
      error_of(graph(
          "(float[1, 4, 8, 8] x, float[6, 4, 3, 3] w) => (y) { [a] y = Conv<group = 0>(x, w) }")),
      "node 'a' (Conv): group 0 does not divide 4 input and 6 output channels");
  EXPECT_EQ(error_of(graph("(float[1, 4, 8, 8] x, float[6, 4, 3, 3] w) => (y)"
                           " { [a] y = Conv<strides = [0, 1]>(x, w) }")),
            "node 'a' (Conv): strides has the entry 0, expected 1 to 1073741824");
  EXPECT_EQ(error_of(graph("(float[1, 4, 8, 8] x, float[6, 4, 3, 3] w) => (y)"
                           " { [a] y = Conv<pads = [0, 0, 4611686018427387904, 0]>(x, w) }")),
            "node 'a' (Conv): pads has the entry 4611686018427387904, expected 0 to 1073741824");
  EXPECT_EQ(error_of(graph("(float[1, 4, 8, 8] x) => (y)"
                           " { [a] y = MaxPool<kernel_shape = [2147483648, 1]>(x) }")),
            "node 'a' (MaxPool): kernel_shape has the entry 2147483648, expected 1 to 1073741824");
  EXPECT_EQ(
      error_of(graph("(float[8] x) => (y) <int64[1] s = {0}, int64[1] e = {8}, int64[1] z = {0}>"
                     " { [a] y = Slice(x, s, e, z, z) }")),
      "node 'a' (Slice): has a step of 0");
}

TEST(ImportErrors, TrainingIsRefused) {
  EXPECT_EQ(error_of(graph("(float[2] x) => (y) <float ratio = {0.1}, bool training = {1}>"
                           " { [a] y = Dropout(x, ratio, training) }")),
            "node 'a' (Dropout): training_mode is set; export the model in evaluation mode");
  EXPECT_EQ(error_of(graph("(float[2, 3] x, float[3] s) => (y) { [a] y ="
                           " BatchNormalization<training_mode = 1>(x, s, s, s, s) }")),
            "node 'a' (BatchNormalization): training_mode is set; export the model in evaluation "
            "mode");
}

TEST(ImportErrors, AttributesWithoutAMeaning) {
  EXPECT_EQ(error_of(graph("(int8[2] x) => (y) { [a] y = BitShift<direction = \"UP\">(x, x) }")),
            "node 'a' (BitShift): direction is 'UP', expected 'LEFT' or 'RIGHT'");
  EXPECT_EQ(error_of(graph("(float[2] x) => (y) { [a] y = LpNormalization<p = 3>(x) }", 22)),
            "node 'a' (LpNormalization): p is 3, expected 1 or 2");
  EXPECT_EQ(error_of(graph("(float[1, 2] x) => (y) { [a] y = LRN<size = 0>(x) }")),
            "node 'a' (LRN): size is 0, expected 1 to 1048576");
  EXPECT_EQ(error_of(graph("(float[2, 2] x, int64[2] k) => (y)"
                           " { [a] y = ReverseSequence<batch_axis = 0>(x, k) }")),
            "node 'a' (ReverseSequence): time_axis and batch_axis are both 0");
  EXPECT_EQ(error_of(graph("(float[2, 2] x, int64 k) => (y) { [a] y = ReverseSequence(x, k) }")),
            "node 'a' (ReverseSequence): sequence_lens has 0 dimensions, expected 1");
  const auto scatter = [](const std::string &attributes, const std::string &starts) {
    return error_of(graph("(float[2, 3] x, float[2, 1] u, int64" + starts +
                              " w) => (y)"
                              " { [a] y = TensorScatter<" +
                              attributes + ">(x, u, w) }",
                          24));
  };
  EXPECT_EQ(scatter("axis = 0", "[2]"),
            "node 'a' (TensorScatter): axis is 0, which is the batch's");
  EXPECT_EQ(scatter("axis = 1, mode = \"up\"", "[2]"),
            "node 'a' (TensorScatter): mode is 'up', expected 'linear' or 'circular'");
  EXPECT_EQ(scatter("axis = 1", "[2, 1]"),
            "node 'a' (TensorScatter): write_indices has 2 dimensions, expected 1");
  EXPECT_EQ(
      error_of(graph("(float[2, 3] x, float[2] u) => (y) { [a] y = TensorScatter<axis = 1>(x, u) }",
                     24)),
      "node 'a' (TensorScatter): updates 2 dimensions with 1");
  EXPECT_EQ(
      error_of(graph(
          "(float[2, 3] x, float[2, 4] u) => (y) { [a] y = TensorScatter<axis = 1>(x, u) }", 24)),
      "node 'a' (TensorScatter): writes 4 rows into a cache of 3");
  const auto compress = [](const std::string &condition) {
    return error_of(graph("(float[2, 3] x) => (y) <bool" + condition +
                          "> { [a] y = Compress<axis = 0>(x, c) }"));
  };
  EXPECT_EQ(compress("[1, 2] c = {0, 1}"),
            "node 'a' (Compress): condition has 2 dimensions, expected 1");
  EXPECT_EQ(compress("[4] c = {0, 1, 1, 0}"), "node 'a' (Compress): chooses element 2 of 2");
  const auto integer_product = [](const std::string &zero) {
    return error_of(graph("(uint8[1, 2] x, uint8[2, 3] w, uint8" + zero +
                          " z) => (y) { [a] y = MatMulInteger(x, w, z) }"));
  };
  EXPECT_EQ(integer_product("[4]"),
            "node 'a' (MatMulInteger): axis 0 of an operand and of its zero point must be equal, "
            "but are 1 and 4");
  EXPECT_EQ(integer_product("[2, 1, 1]"),
            "node 'a' (MatMulInteger): has a zero point of 3 dimensions for an operand of 2");
  EXPECT_EQ(error_of(graph("(double[2] x) => (y) { [a] y = Asin(x) }", 22)),
            "node 'a' (Asin): is not supported in float64: export the model in float32");
}

TEST(ImportErrors, AttributeTypesAndNames) {
  EXPECT_EQ(error_of(graph("(float[2, 3] x) => (y) { [a] y = Softmax<axis = 0.5>(x) }")),
            "node 'a' (Softmax): attribute 'axis' has type FLOAT, expected INT");
  EXPECT_EQ(error_of(graph("(float[2, 3] x) => (y) { [a] y = Softmax<axes = 1>(x) }")),
            "node 'a' (Softmax): has an unknown attribute 'axes'");
  EXPECT_EQ(error_of(graph("(float[2, 3] x) => (y) { [a] y = Concat(x, x) }")),
            "node 'a' (Concat): attribute 'axis' is missing");
}

TEST(ImportErrors, ValuesComputedAtRunTime) {
  EXPECT_EQ(error_of(graph("(float[2, 3] x, float[2] f) => (y) { shape = Cast<to = 7>(f)"
                           " [a] y = Reshape(x, shape) }")),
            "node 'a' (Reshape): takes its shape from 'shape', whose contents are computed at run "
            "time; only those that follow from the sizes of the inputs, or from the contents of "
            "small inputs, are supported");
  EXPECT_EQ(error_of(graph("(float[2, 3] x, int64[n] ids) => (y) { two = ReduceMax(ids)"
                           " [a] y = Expand(x, two) }")),
            "node 'a' (Expand): takes its shape from 'two', whose contents are computed at run "
            "time; only those that follow from the sizes of the inputs, or from the contents of "
            "small inputs, are supported");
  EXPECT_EQ(error_of(graph("(float[2, 3] x) => (y) { [a] y = NonZero(x) }")),
            "node 'a' (NonZero): takes its elements from 'x', which is computed at run time: how "
            "large the result is would be known only then");
  // What follows from constants is computed, unless that takes long.
  EXPECT_EQ(error_of(graph("(float[1] x) => (y) <float[1, 1, 1, 1] c = {1.0}> {"
                           " d = AveragePool<kernel_shape = [65536, 65536],"
                           " pads = [32768, 32768, 32767, 32767], count_include_pad = 1>(c)"
                           " [a] y = NonZero(d) }")),
            "node 'a' (NonZero): takes its elements from 'd', which is computed at run time: how "
            "large the result is would be known only then");
  EXPECT_EQ(error_of(graph("(float[2, 3] x, bool[3] c) => (y) { [a] y = Compress(x, c) }")),
            "node 'a' (Compress): takes its condition from 'c', which is computed at run time: how "
            "large the result is would be known only then");
}

// Nothing is computed from sizes near 2^63 before they are bounded (UBSan).
TEST(ImportErrors, HugeWindows) {
  for (const char *node :
       {"MaxPool<kernel_shape = [3], strides = [2], ceil_mode = 1>",
        "MaxPool<kernel_shape = [3], strides = [2], auto_pad = \"SAME_UPPER\">"}) {
    EXPECT_THAT(error_of(graph("(float[0, 1, 9223372036854775807] x) => (y) { [a] y = " +
                               std::string(node) + "(x) }")),
                HasSubstr("needs sizes of at most 2147483647, got 9223372036854775807"));
  }
}

TEST(ImportErrors, ReflectionNeedsElements) {
  const std::string pads = " <int64[2] p = {0, 3}> { [a] y = Pad<mode = \"reflect\">(x, p) }";
  EXPECT_EQ(error_of(graph("(float[3] x) => (y)" + pads)),
            "node 'a' (Pad): padding on axis 0 is 3, too wide for mode 'reflect' and size 3");
  const onnx::ModelProto model = graph("(float[n] x) => (y)" + pads);
  EXPECT_EQ(values_of(run_model(model, {floats({4}, {1, 2, 3, 4})})[0]),
            (std::vector<double>{1, 2, 3, 4, 3, 2, 1}));
  EXPECT_THROW(run_model(model, {floats({3}, {1, 2, 3})}), ModelError);
}

TEST(ImportErrors, DeclaredOutputs) {
  EXPECT_EQ(error_of(graph("(float[3] x) => (int64[3] y) { y = Relu(x) }")),
            "output 'y' is declared as i64, but computed as f32; correct the declaration or cast "
            "the output");
  EXPECT_EQ(error_of(graph("(float[3] x) => (string[3] y) { y = Relu(x) }")),
            "output 'y': element type STRING is not supported");
  EXPECT_THAT(
      import_model(graph("(float[n, 3] x) => (float[m, 4] y) { y = Relu(x) }")).graph->warnings,
      ::testing::ElementsAre("output 'y' is declared with the shape [m, 4], but has the shape [n, "
                             "3]"));
}

// Kernels count elements in 32 bits.
TEST(ImportErrors, MoreElementsThanKernelsCount) {
  EXPECT_EQ(
      error_of(graph("(float[1] x) => (y) <int64[1] r = {2147483648}> { [a] y = Tile(x, r) }")),
      "node 'a' (Tile): its output has the shape [2147483648], 2^31 elements or more; at "
      "most 2147483647 are supported");
  EXPECT_EQ(error_of(graph("(float[n, 65536] x) => (y) <int64[3] s = {40000, 1, 1}>"
                           " { [a] y = Expand(x, s) }")),
            "node 'a' (Expand): its output has the shape [40000, n, 65536], 2^31 elements or more; "
            "at most 2147483647 are supported");
  EXPECT_EQ(error_of(graph("(float[65536, 65536] x) => (y) { [a] y = Relu(x) }")),
            "input 'x' has the shape [65536, 65536], 2^31 elements or more; at most 2147483647 are "
            "supported");
  for (const char *node : {"ConstantOfShape(s)", "Expand(x, s)", "Pad(x, p)"}) {
    EXPECT_THAT(
        error_of(graph("(float[1, 1] x) => (y) <int64[2] s = {1099511627776, 1099511627776},"
                       " int64[4] p = {0, 0, 1099511627776, 1099511627776}>"
                       " { [a] y = " +
                       std::string(node) + " }")),
        HasSubstr("2^31 elements or more"));
  }
}

TEST(ImportErrors, HugeSizes) {
  EXPECT_THAT(error_of(graph(
                  "(float[n] x) => (y) <int64[3] s = {4611686018427387904, 4611686018427387904, 8}>"
                  " { z = ConstantOfShape(s)  [a] y = Size(z) }")),
              HasSubstr("node "));
  EXPECT_THAT(error_of(graph("(float[1, 65] x) => (y) <int64[70] axes = {" +
                             [] {
                               std::string list = "0";
                               for (int i = 1; i < 70; ++i) {
                                 list += ", " + std::to_string(i);
                               }
                               return list;
                             }() +
                             "}> { [a] y = Unsqueeze(x, axes) }")),
              HasSubstr("72 dimensions; at most 64 are supported"));
}

TEST(ImportErrors, TooManyOutputs) {
  onnx::ModelProto model = graph("(float[n] x) => (y0) { [a] y0 = Split(x) }");
  for (int i = 1; i < 5000; ++i) {
    model.mutable_graph()->mutable_node(0)->add_output("y" + std::to_string(i));
  }
  EXPECT_EQ(error_of(model), "node 'a' (Split): has 5000 outputs; at most 4096 are supported");
}

// ---- tensors ----

onnx::ModelProto model_with_tensor() {
  onnx::ModelProto model = graph("(float[4] x) => (y) { [a] y = Add(x, w) }");
  auto *const tensor = model.mutable_graph()->add_initializer();
  tensor->set_name("w");
  tensor->set_data_type(onnx::TensorProto::FLOAT);
  tensor->add_dims(4);
  return model;
}

onnx::TensorProto &tensor_of(onnx::ModelProto &model) {
  return *model.mutable_graph()->mutable_initializer(0);
}

TEST(ImportErrors, TensorsWithTooFewBytes) {
  onnx::ModelProto model = model_with_tensor();
  tensor_of(model).set_raw_data(std::string(12, '\0'));
  EXPECT_EQ(
      error_of(model),
      "node 'a' (Add): tensor 'w': needs 16 bytes for its shape and element type, but holds 12");
  tensor_of(model).clear_raw_data();
  EXPECT_EQ(error_of(model),
            "node 'a' (Add): tensor 'w': needs 4 elements for its shape, but holds 0");
  tensor_of(model).add_float_data(1);
  EXPECT_EQ(error_of(model),
            "node 'a' (Add): tensor 'w': needs 4 elements for its shape, but holds 1");
  tensor_of(model).set_raw_data(std::string(16, '\0'));
  EXPECT_EQ(error_of(model), "node 'a' (Add): tensor 'w': stores its data twice");
}

TEST(ImportErrors, TensorsWithImpossibleSizes) {
  onnx::ModelProto model = model_with_tensor();
  tensor_of(model).set_raw_data(std::string(16, '\0'));
  tensor_of(model).set_dims(0, -4);
  EXPECT_EQ(error_of(model), "node 'a' (Add): tensor 'w': has the negative size -4");
  tensor_of(model).set_dims(0, int64_t{1} << 40);
  EXPECT_EQ(error_of(model),
            "node 'a' (Add): tensor 'w': needs 4398046511104 bytes for its shape and element type, "
            "but holds 16");
  tensor_of(model).set_dims(0, int64_t{1} << 62);
  tensor_of(model).add_dims(int64_t{1} << 62);
  EXPECT_EQ(error_of(model), "node 'a' (Add): tensor 'w': claims more than 2^63 bytes");
}

TEST(ImportErrors, EmptyTensorsMayHaveAnyOtherSize) {
  onnx::ModelProto model = graph("(float[n, 0] x) => (y) <float[1] w = {1}> { y = Relu(w) }");
  tensor_of(model).clear_float_data();
  tensor_of(model).set_raw_data("");
  tensor_of(model).clear_dims();
  for (const int64_t size : {int64_t{1} << 62, int64_t{1} << 62, int64_t{0}}) {
    tensor_of(model).add_dims(size);
  }
  EXPECT_EQ(error_of(model), "");
}

TEST(ImportErrors, TensorsOfOtherTypes) {
  onnx::ModelProto model = model_with_tensor();
  tensor_of(model).set_data_type(onnx::TensorProto::COMPLEX64);
  EXPECT_EQ(error_of(model), "node 'a' (Add): tensor 'w': element type COMPLEX64 is not supported");
  tensor_of(model).set_data_type(12345);
  EXPECT_EQ(error_of(model),
            "node 'a' (Add): tensor 'w': element type number 12345 is not supported");
}

// ---- external data ----

class ExternalDataTest : public ::testing::Test {
 protected:
  std::string error_with(const std::string &location, const std::string &offset = "0",
                         const std::string &length = "16") {
    onnx::ModelProto model = model_with_tensor();
    auto &tensor = tensor_of(model);
    tensor.set_data_location(onnx::TensorProto::EXTERNAL);
    for (const auto &[key, value] : std::map<std::string, std::string>{
             {"location", location}, {"offset", offset}, {"length", length}}) {
      auto *const entry = tensor.add_external_data();
      entry->set_key(key);
      entry->set_value(value);
    }
    std::filesystem::create_directories(folder_.path() / "model");
    return error_of_file(folder_.write("model/model.onnx", model.SerializeAsString()));
  }

  TemporaryFolder folder_;
};

TEST_F(ExternalDataTest, BesideTheModelIsRead) {
  std::filesystem::create_directories(folder_.path() / "model" / "data");
  folder_.write("model/weights.bin", std::string(24, '\0'));
  folder_.write("model/data/weights.bin", std::string(24, '\0'));
  EXPECT_EQ(error_with("weights.bin"), "");
  EXPECT_EQ(error_with("weights.bin", "8"), "");
  EXPECT_EQ(error_with("data/weights.bin"), "");
}

TEST_F(ExternalDataTest, StaysInTheFolder) {
  folder_.write("secret.bin", std::string(24, '\0'));
  const std::string place = "node 'a' (Add): tensor 'w': external data ";
  EXPECT_EQ(error_with("../secret.bin"),
            place + "'../secret.bin' is not a path inside the model's folder");
  EXPECT_EQ(error_with("x/../../secret.bin"),
            place + "'x/../../secret.bin' is not a path inside the model's folder");
  EXPECT_EQ(error_with("/etc/passwd"),
            place + "'/etc/passwd' is not a path inside the model's folder");
  EXPECT_EQ(error_with(""), place + "'' is not a path inside the model's folder");
  std::filesystem::create_symlink(folder_.path() / "secret.bin",
                                  folder_.path() / "model" / "link.bin");
  EXPECT_EQ(error_with("link.bin"), place + "'link.bin' is a link out of the model's folder");
  std::filesystem::create_directory_symlink(folder_.path(), folder_.path() / "model" / "up");
  EXPECT_EQ(error_with("up/secret.bin"),
            place + "'up/secret.bin' is a link out of the model's folder");
}

TEST_F(ExternalDataTest, MissingOrTooShort) {
  folder_.write("unused", "");
  const std::string place = "node 'a' (Add): tensor 'w': ";
  EXPECT_EQ(error_with("none.bin"),
            place + "cannot read external data 'none.bin': No such file or directory");
  folder_.write("model/weights.bin", std::string(24, '\0'));
  EXPECT_EQ(error_with("weights.bin", "16"),
            place + "needs 16 bytes at offset 16 of 'weights.bin', which has 24");
  EXPECT_EQ(error_with("weights.bin", "18446744073709551615"),
            place + "needs 16 bytes at offset 18446744073709551615 of 'weights.bin', which has 24");
  EXPECT_EQ(error_with("weights.bin", "-1"),
            place + "external data has the offset '-1', which is no number of bytes");
  EXPECT_EQ(error_with("weights.bin", "0", "12"),
            place + "needs 16 bytes for its shape and element type, but its external data has 12");
  ASSERT_EQ(mkfifo((folder_.path() / "model" / "pipe").c_str(), 0600), 0);
  EXPECT_THAT(error_with("pipe"), HasSubstr("it is not a regular file"));
}

// ---- functions ----

TEST(ImportErrors, RecursiveFunctions) {
  EXPECT_EQ(
      error_of(graph("(float[3] x) => (y) { [a] y = local.f(x) }"
                     "<opset_import: [\"\" : 17, \"local\" : 1], domain: \"local\"> f (p) => (q) { "
                     "[b] q = local.g(p) }"
                     "<opset_import: [\"\" : 17, \"local\" : 1], domain: \"local\"> g (p) => (q) { "
                     "[c] q = local.f(p) }")),
      "node 'a/b/c' (f): the function 'f' calls itself; recursive functions are not supported");
}

TEST(ImportErrors, FunctionsThatGrowExponentially) {
  std::string text = "(float[3] x) => (y) { y = local.f0(x) }";
  for (int i = 0; i < 40; ++i) {
    const std::string next = i == 39 ? "Relu" : "local.f" + std::to_string(i + 1);
    text += "<opset_import: [\"\" : 17, \"local\" : 1], domain: \"local\"> f" + std::to_string(i) +
            " (p) => (r) { q = " + next + "(p)  r = " + next + "(q) }";
  }
  const std::clock_t begin = std::clock();
  EXPECT_THAT(error_of(graph(text)),
              HasSubstr("the model grows beyond 100000 nodes when its functions are inlined"));
  EXPECT_LT(std::clock() - begin, kPatience * 2 * CLOCKS_PER_SEC);
}

TEST(ImportErrors, FunctionsNestedTooDeep) {
  std::string text = "(float[3] x) => (y) { y = local.f0(x) }";
  for (int i = 0; i < 2000; ++i) {
    const std::string next = i == 1999 ? "Relu" : "local.f" + std::to_string(i + 1);
    text += "<opset_import: [\"\" : 17, \"local\" : 1], domain: \"local\"> f" + std::to_string(i) +
            " (p) => (q) { q = " + next + "(p) }";
  }
  EXPECT_THAT(error_of(graph(text)),
              HasSubstr("functions call each other more than 64 levels deep"));
}

TEST(ImportErrors, MemoryStaysSmall) {
  // After all of the above in one process (run whole, this is the peak of them all).
  rusage usage{};
  ASSERT_EQ(getrusage(RUSAGE_SELF, &usage), 0);
  EXPECT_LT(usage.ru_maxrss, 1 << 20) << "KiB";
}

TEST(ImportErrors, UnknownFixedSize) {
  const onnx::ModelProto model = graph("(float[batch, 3] x) => (y) { y = Relu(x) }");
  try {
    import_model(model, {{{"bach", 2}}});
    FAIL();
  } catch (const ModelError &error) {
    EXPECT_THAT(error.what(), HasSubstr("no size is called 'bach'; there are: batch"));
  }
}

}  // namespace
}  // namespace sylvite::testing
