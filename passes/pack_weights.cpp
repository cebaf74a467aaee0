// Puts constant right operands of matrix products into panels, the layout that the kernels read (16
// columns, K-major inside, the last panel padded with zeros; kernel_traits.h).
//
//   matmul(x, w[K, N])  =>  matmul_panels(x, panels[ceil(N / 16), K, 16]) {n = N}
//
// Needs: canonical_matmuls (weights as plain matrices).   Keeps: each number.
// Declines: other element types than float, whose panels will differ, and empty weights.
#include <cstring>
#include <map>

#include "compiler/ir/kernel_traits.h"
#include "passes/passes.h"
#include "passes/rewrite.h"

namespace sylvite {
namespace {

Tensor panels_of(const Tensor &weights) {
  const int64_t depth = weights.shape()[0], columns = weights.shape()[1];
  const int64_t panels = (columns + kPanelColumns - 1) / kPanelColumns;
  const size_t size = static_cast<size_t>(size_of(weights.dtype()));
  Tensor result(weights.dtype(), {panels, depth, kPanelColumns});
  const std::byte *from = weights.bytes().data();
  std::byte *to = result.mutable_bytes();
  for (int64_t panel = 0; panel < panels; ++panel) {
    const int64_t first = panel * kPanelColumns;
    const size_t bytes = static_cast<size_t>(std::min(kPanelColumns, columns - first)) * size;
    for (int64_t k = 0; k < depth; ++k) {
      std::memcpy(to + static_cast<size_t>((panel * depth + k) * kPanelColumns) * size,
                  from + static_cast<size_t>(k * columns + first) * size, bytes);
    }
  }
  return result;
}

bool is_packable(const Node &node) {
  if (node.op != Op::MatMul || node.attributes.integer_or("transpose_b", 0) != 0) {
    return false;
  }
  const Tensor *weights = constant_of(node.input(1));
  return weights != nullptr && weights->dtype() == DType::F32 && weights->rank() == 2 &&
         weights->count() > 0 && constant_of(node.input(0)) == nullptr;
}

}  // namespace

bool pack_weights(Graph &graph) {
  // The products of each matrix, matrices in order of first use.
  std::map<Value *, std::vector<Node *>> products;
  std::vector<Value *> matrices;
  for (Node *node : graph.node_order()) {
    if (is_packable(*node)) {
      std::vector<Node *> &readers = products[node->input(1)];
      if (readers.empty()) {
        matrices.push_back(node->input(1));
      }
      readers.push_back(node);
    }
  }
  for (Value *weights : matrices) {
    const int64_t columns = constant_of(weights)->shape()[1];
    // In front of the matrix itself, so that every product that shares it stands behind.
    Value *panels = graph.add_constant(panels_of(*constant_of(weights)),
                                       weights->name.empty() ? "" : weights->name + ".panels",
                                       weights->producer);
    panels->producer->sources = weights->producer->sources;
    for (Node *node : products.at(weights)) {
      Builder build(graph, node);
      Value *product = build.add(Op::MatMulPanels, {node->input(0), panels}, {{"n", columns}});
      replace_value(graph, node->output(), product, build.created());
    }
  }
  return !matrices.empty();
}

}  // namespace sylvite
