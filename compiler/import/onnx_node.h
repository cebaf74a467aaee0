// One ONNX node, as the rules that translate it see it (no ONNX header needed), and the steps that
// many rules share. Everything that a rule finds wrong goes through fail(), which the importer
// completes with the file, the node and its operator.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "compiler/ir/error.h"
#include "compiler/ir/graph.h"

namespace sylvite {

// What an ONNX attribute holds; nested graphs are handled by the importer itself.
using OnnxAttribute = std::variant<int64_t, double, std::string, Tensor, std::vector<int64_t>,
                                   std::vector<double>, std::vector<std::string>>;

// A rule wants the elements of a tensor whose contents are only known at run time. What it depends
// on may be contents of small inputs, which the importer can then give symbols.
struct ContentsWanted {
  const Value *value;
  std::string message;  // if they cannot be had
};

// Bounds what a hostile model makes the shape rules do; real models stay below 10.
inline constexpr int64_t kMaxRank = 64;

class OnnxNode {
 public:
  // Attributes are looked up lazily, because those of function bodies may refer to their caller's.
  using AttributeLookup = std::function<std::optional<OnnxAttribute>(const std::string &)>;

  OnnxNode(Graph &graph, std::string op_type, int64_t opset, std::vector<std::string> sources,
           std::vector<Value *> inputs, std::vector<std::string> output_names,
           AttributeLookup attributes);

  const std::string &op_type() const { return op_type_; }
  int64_t opset() const { return opset_; }

  // Inputs. Optional ones that are left out, within or at the end, are null.
  size_t input_count() const { return inputs_.size(); }
  bool has_input(size_t i) const { return i < inputs_.size() && inputs_[i] != nullptr; }
  Value *input(size_t i) const;
  Value *input_or_null(size_t i) const { return has_input(i) ? inputs_[i] : nullptr; }
  // The elements of a small integer input as expressions; `role` ("shape") is for the message that
  // says that it is only known at run time.
  std::vector<Dim> dims(size_t i, const char *role) const;
  Dim dim(size_t i, const char *role) const;  // of one element
  std::vector<int64_t> numbers(size_t i, const char *role) const;
  int64_t number(size_t i, const char *role) const;

  // Outputs: how many the node names, whether the i-th is wanted, its value.
  size_t output_count() const { return outputs_.size(); }
  bool has_output(size_t i) const { return i < outputs_.size() && !output_names_[i].empty(); }
  void set_output(size_t i, Value *value);
  const std::vector<Value *> &outputs() const { return outputs_; }
  const std::string &output_name(size_t i) const { return output_names_[i]; }

  // Attributes.
  bool has(const std::string &name) const { return attributes_(name).has_value(); }
  int64_t integer(const std::string &name, std::optional<int64_t> fallback = {}) const;
  double real(const std::string &name, std::optional<double> fallback = {}) const;
  std::string text(const std::string &name, const std::string &fallback) const;
  std::vector<int64_t> integers(const std::string &name,
                                const std::vector<int64_t> &fallback = {}) const;
  std::vector<double> reals(const std::string &name) const;
  std::optional<Tensor> tensor(const std::string &name) const;
  DType dtype(const std::string &name) const;  // an ONNX element type number
  // An axis attribute or operand in [0, rank).
  int64_t axis(int64_t value, int64_t rank) const;
  std::vector<int64_t> axes(const std::vector<int64_t> &values, int64_t rank) const;  // distinct

  // Building.
  Value *add(Op op, std::vector<Value *> inputs, Attributes attributes = {});
  Node *add_node(Op op, std::vector<Value *> inputs, Attributes attributes = {});
  Value *constant(Tensor tensor);
  Value *scalar(DType dtype, double value);
  // A scalar of x's element type.
  Value *like(const Value *x, double value) { return scalar(x->type.dtype, value); }
  Value *integers_constant(const std::vector<int64_t> &values);

  // Views, with what changes nothing left out.
  Value *reshape(Value *x, const Shape &shape);
  Value *transpose(Value *x, const std::vector<int64_t> &perm);
  Value *expand(Value *x, const Shape &shape);
  Value *slice(Value *x, int64_t axis, const Dim &start, const Dim &size);
  Value *concat(const std::vector<Value *> &parts, int64_t axis);
  Value *cast(Value *x, DType dtype);
  Value *reduce(const std::string &kind, Value *x, std::vector<int64_t> axes, bool keepdims);
  // [0, count) as i64.
  Value *iota(const Dim &count);
  // The tensor that holds these sizes.
  Value *dim_values(const std::vector<Dim> &values, const std::vector<int64_t> &shape);

  const SymbolTable &symbols() const { return graph_.symbol_table(); }
  bool proved_le(const Dim &a, const Dim &b) const { return prove_le(a, b, symbols()); }
  bool proved_equal(const Dim &a, const Dim &b) const { return prove_equal(a, b, symbols()); }
  // Assumes that two sizes are equal: proves it, replaces a symbol in the whole graph (Dims held by
  // the caller are then out of date) or has it checked once a run. `what` names the two in
  // messages.
  void assume_equal(const Dim &left, const Dim &right, const std::string &what);
  // Has it checked once a run that a size is at most `most`, and remembers that of a symbol. Fails
  // where it never is.
  void assume_at_most(const Dim &size, const Dim &most, const std::string &reason);

  template <typename... Parts>
  [[noreturn]] void fail(const Parts &...parts) const {
    std::ostringstream text;
    (text << ... << parts);
    throw ModelError(text.str());
  }
  // "'encoder/Add_12'"
  const std::string &name() const { return sources_.front(); }

 private:
  Graph &graph_;
  std::string op_type_;
  int64_t opset_;
  std::vector<std::string> sources_;
  std::vector<Value *> inputs_;
  std::vector<std::string> output_names_;
  std::vector<Value *> outputs_;
  AttributeLookup attributes_;
};

// What a node of an operator may have that the ONNX library does not know.
struct Signature {
  int least_inputs = 0;
  int most_inputs = 0;
  int most_outputs = 1;
  std::string_view attributes = {};  // names with spaces between
};

// onnxruntime's own operators.
inline constexpr const char *kMicrosoftDomain = "com.microsoft";

// One line of the op table: the function translates every version of the operator from opset 11 up
// to the one that came with opset `last_version`.
struct OpRule {
  const char *name;
  int last_version;
  void (*translate)(OnnxNode &);
  const char *domain = "";
  std::optional<Signature> signature = {};  // nothing: the ONNX library has a schema
};

// The families, one file each.
std::span<const OpRule> elementwise_rules();
std::span<const OpRule> activation_rules();
std::span<const OpRule> view_rules();
std::span<const OpRule> shape_rules();
std::span<const OpRule> lookup_rules();
std::span<const OpRule> product_rules();
std::span<const OpRule> convolution_rules();
std::span<const OpRule> reduction_rules();
std::span<const OpRule> normalisation_rules();
std::span<const OpRule> attention_rules();
std::span<const OpRule> trigonometry_rules();
std::span<const OpRule> microsoft_rules();
std::span<const OpRule> microsoft_attention_rules();

// Shared between families.
// The elements of a small tensor that is computed from constants alone.
std::optional<Tensor> known_tensor(const Value *value);
// Softmax over one axis of any rank.
Value *softmax(OnnxNode &node, Value *x, int64_t axis);
// The axes from `axis` on normalised together; half types in f32. `bias` may be null; rms: no mean
// is subtracted.
Value *layer_normalised(OnnxNode &node, Value *x, Value *scale, Value *bias, int64_t axis,
                        double epsilon, bool rms);
Value *exact_gelu(OnnxNode &node, Value *x);
Value *tanh_gelu(OnnxNode &node, Value *x);
// x * sigmoid(alpha * x)
Value *swish(OnnxNode &node, Value *x, double alpha);
// The activation that a node ends in, by the name of its operator, with the node's attributes
// activation_alpha, ... as parameters.
Value *fused_activation(OnnxNode &node, Value *x, const std::string &name);
// alpha * a b + beta * c with the attributes and inputs of Gemm.
Value *general_product(OnnxNode &node);
// numpy's matmul, vectors included.
Value *numpy_product(OnnxNode &node, Value *a, Value *b);
// [batch, length, heads * size]  =>  [batch, heads, length, size]; what has four dimensions stays.
Value *split_heads(OnnxNode &node, Value *x, const char *heads_attribute);
// [batch, heads, length, size]  =>  [batch, length, heads * size]
Value *join_heads(OnnxNode &node, Value *x);
// Queries times keys, times `scale`; nothing: 1 / sqrt(size).
Value *attention_scores(OnnxNode &node, Value *query, Value *key, std::optional<double> scale);
// [queries, keys]: whether query i sees key k, of which `past` stand before the first query.
Value *causal_mask(OnnxNode &node, const Dim &queries, const Dim &keys, const Dim &past);
// f16 and bf16 computed in f32 where ONNX says so (stash_type): x as f32, unless it is wider.
Value *widened(OnnxNode &node, Value *x);

}  // namespace sylvite
