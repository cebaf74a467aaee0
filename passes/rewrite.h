// What passes that replace values share: a builder of new nodes and a loop over rules.
//
// A rule looks at one value; where its pattern matches it builds the replacement and returns it,
// otherwise it returns null. rewrite() applies rules until none matches, removes what they leave
// without users, and hands the removed nodes' source names to the new node.
#pragma once

#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "compiler/ir/graph.h"

namespace sylvite {

// Adds nodes in front of one node and in its name.
class Builder {
 public:
  Builder(Graph &graph, Node *before);

  Graph &graph() const { return graph_; }
  Value *add(Op op, std::vector<Value *> inputs, Attributes attributes = {});
  Value *add_with_regions(Op op, std::vector<Value *> inputs, Attributes attributes,
                          std::vector<std::unique_ptr<Graph>> regions);
  Value *constant(Tensor tensor, const std::string &name = "");
  Value *scalar(double number, DType dtype);  // of rank 0
  Value *reshape(Value *value, const Shape &shape);
  Value *transpose(Value *value, const std::vector<int64_t> &perm);
  Value *expand(Value *value, const Shape &shape);
  Value *slice(Value *value, int64_t axis, const Dim &start, const Dim &size);
  // The same op on other inputs.
  Value *copy(const Node &node, std::vector<Value *> inputs);

  const std::vector<Node *> &created() const { return created_; }

 private:
  Graph &graph_;
  Node *before_;
  std::vector<Node *> created_;
};

using Rule = Value *(*)(Builder &build, Value *root);
// Whether a rule matched anywhere.
bool rewrite(Graph &graph, std::span<const Rule> rules);

// Everything reads `to` instead of `from`; what then has no users goes, its source names join
// `to`'s producer when that is one of `created`.
void replace_value(Graph &graph, Value *from, Value *to, const std::vector<Node *> &created,
                   std::set<Node *> *erased = nullptr);
// Erases the node and then its operands' producers, as far as nothing needs them.
void erase_unused(Graph &graph, Node *node, std::vector<std::string> *sources = nullptr,
                  std::set<Node *> *erased = nullptr);

// The tensor's elements in another order of axes.
Tensor permuted(const Tensor &tensor, const std::vector<int64_t> &perm);

// --- questions about values ---
bool same_shape(const Shape &a, const Shape &b, const SymbolTable &symbols);
bool same_type(const TensorType &a, const TensorType &b, const SymbolTable &symbols);
// Whether a node of this op, or of this class, produces the value.
bool is_op(const Value *value, Op op);
bool is_class(const Value *value, OpClass op_class);
// The value's only reader, when there is one that reads it (perhaps several times) and it is no
// output.
Node *only_user(const Value *value);
// How reports name the node: as the model does.
std::string user_name(const Node &node);
// Whether scalar arithmetic on this type may be re-associated: float and double.
bool is_computing_float(DType dtype);
// The number every element has, for float constants and integer ones.
bool is_number(const Value *value, double number);
// Axis as a number from zero.
int64_t normal_axis(int64_t axis, int64_t rank);
std::vector<int64_t> identity_permutation(int64_t rank);
// The permutation that transposes matrices: of rank 2 or more.
std::vector<int64_t> swap_last_two(int64_t rank);

}  // namespace sylvite
