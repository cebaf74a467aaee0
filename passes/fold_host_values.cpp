// Replaces what is known at compile time about small integer tensors: sizes, positions, lengths.
//
//   a value whose elements are all numbers          =>  constant
//   a value whose elements are sizes                =>  dim_values (one leaf instead of a chain of
//   ops)
//
// Needs: host contents, which Graph::add infers.   Keeps: types.
// Declines: values nobody reads (remove_dead's) and boolean ones that depend on a size.
#include "compiler/ir/tensor.h"
#include "passes/passes.h"
#include "passes/rewrite.h"

namespace sylvite {
namespace {

std::optional<Tensor> known_tensor(const Value &value) {
  const std::optional<std::vector<int64_t>> shape = static_shape(value.type.shape);
  if (!value.host || !shape) {
    return std::nullopt;
  }
  std::vector<int64_t> numbers;
  for (const Dim &dim : *value.host) {
    if (!dim.constant()) {
      return std::nullopt;
    }
    numbers.push_back(*dim.constant());
  }
  return Tensor::of(value.type.dtype, *shape, numbers);
}

Value *fold(Builder &build, Value *root) {
  if (!root->host || is_op(root, Op::Constant) || !static_shape(root->type.shape)) {
    return nullptr;
  }
  if (std::optional<Tensor> tensor = known_tensor(*root)) {
    return build.constant(std::move(*tensor), root->name);
  }
  if (is_class(root, OpClass::Leaf) || !is_integer(root->type.dtype)) {
    return nullptr;
  }
  return build.add(Op::DimValues, {},
                   {{"values", *root->host},
                    {"shape", *static_shape(root->type.shape)},
                    {"dtype", root->type.dtype}});
}

}  // namespace

bool fold_host_values(Graph &graph) {
  static constexpr Rule kRules[] = {fold};
  return rewrite(graph, kRules);
}

}  // namespace sylvite
