// Computes equal things once: nodes with the same op, operands and attributes become one, constants
// with the same contents too (a tied weight is often stored twice).
//
// Keeps: every value.   Declines: ops with regions.
#include <map>
#include <tuple>

#include "passes/passes.h"
#include "passes/rewrite.h"

namespace sylvite {
namespace {

// A cheap fingerprint; equality is decided by same_tensor.
uint64_t fingerprint(const Tensor &tensor) {
  uint64_t hash = static_cast<uint64_t>(tensor.dtype());
  for (const int64_t dim : tensor.shape()) {
    hash = hash * 0x9e3779b97f4a7c15u + static_cast<uint64_t>(dim);
  }
  const std::span<const std::byte> bytes = tensor.bytes();
  const size_t stride = std::max<size_t>(1, bytes.size() / 256);
  for (size_t i = 0; i < bytes.size(); i += stride) {
    hash = (hash ^ static_cast<uint64_t>(bytes[i])) * 0x100000001b3u;
  }
  return hash;
}

using Key = std::tuple<Op, uint64_t, std::vector<Value *>, size_t>;

Key key_of(const Node &node) {
  const Tensor *tensor = node.op == Op::Constant ? constant_of(node.output()) : nullptr;
  return {node.op, tensor != nullptr ? fingerprint(*tensor) : 0, node.inputs, node.outputs.size()};
}

bool equal_nodes(const Node &a, const Node &b) {
  for (size_t i = 0; i < a.outputs.size(); ++i) {
    if (!(a.output(i)->type == b.output(i)->type)) {
      return false;
    }
  }
  if (a.op == Op::Constant) {
    return same_tensor(*constant_of(a.output()), *constant_of(b.output()));
  }
  return a.attributes == b.attributes;
}

}  // namespace

bool common_subexpressions(Graph &graph) {
  bool changed = false;
  std::map<Key, std::vector<Node *>> seen;
  for (Node *node : graph.node_order()) {
    if (!node->regions.empty()) {
      continue;
    }
    std::vector<Node *> &candidates = seen[key_of(*node)];
    Node *first = nullptr;
    for (Node *candidate : candidates) {
      if (equal_nodes(*candidate, *node)) {
        first = candidate;
        break;
      }
    }
    if (first == nullptr) {
      candidates.push_back(node);
      continue;
    }
    for (size_t i = 0; i < node->outputs.size(); ++i) {
      graph.replace_uses(node->output(i), first->output(i));
    }
    graph.erase(node);
    changed = true;
  }
  return changed;
}

}  // namespace sylvite
