// The reference evaluator's control flow: a branch, or a body again and again.
#include <algorithm>
#include <cstring>
#include <utility>

#include "compiler/ir/control.h"
#include "compiler/ir/error.h"
#include "compiler/ir/evaluate_parts.h"

namespace sylvite {
namespace {

using Tensors = std::vector<Tensor>;

bool is_true(const Tensor &condition) {
  return condition.at_int(0) != 0;
}

// Equal tensors along a new first axis.
Tensor stacked(const Tensors &parts, const TensorType &type, const SymbolValues &symbols) {
  Tensor result(type.dtype, evaluate_shape(type.shape, symbols));
  std::byte *to = result.mutable_bytes();
  for (const Tensor &part : parts) {
    std::memcpy(to, part.bytes().data(), part.bytes().size());
    to += part.bytes().size();
  }
  return result;
}

Tensors evaluate_loop(const Node &node, const Tensors &operands, SymbolValues &symbols) {
  const LoopParts parts(node);
  const Graph &body = *node.regions[0];
  Tensors values(operands.begin() + static_cast<std::ptrdiff_t>(parts.first), operands.end());
  std::vector<Tensors> collected(parts.collected);
  const int64_t trip = evaluate(parts.trip, symbols);
  int64_t made = 0;
  for (bool go = !parts.may_stop || is_true(operands[0]); go && made < trip; ++made) {
    symbols[parts.iteration] = made;
    check_guards(*node.graph, symbols, parts.iteration);
    Tensors results = evaluate_region(body, values, symbols);
    for (size_t i = 0; i < parts.collected; ++i) {
      collected[i].push_back(std::move(results[parts.carried + i]));
    }
    go = !parts.may_stop || is_true(results.back());
    std::move(results.begin(), results.begin() + static_cast<std::ptrdiff_t>(parts.carried),
              values.begin());
  }
  symbols.erase(parts.iteration);
  if (parts.may_stop) {
    symbols[parts.made] = made;
  }
  values.resize(parts.carried);
  for (size_t i = 0; i < parts.collected; ++i) {
    values.push_back(stacked(collected[i], node.output(parts.carried + i)->type, symbols));
  }
  return values;
}

}  // namespace

Tensors evaluate_control(const Node &node, const Tensors &operands, SymbolValues &symbols) {
  if (node.op == Op::If) {
    Tensors results = evaluate_region(*node.regions[is_true(operands[0]) ? 0 : 1],
                                      {operands.begin() + 1, operands.end()}, symbols);
    for (size_t i = 0; i < results.size(); ++i) {  // sizes that the branch decides
      const Shape &shape = node.output(i)->type.shape;
      for (size_t axis = 0; axis < shape.size(); ++axis) {
        if (const std::optional<std::string> symbol = shape[axis].as_symbol()) {
          symbols.try_emplace(*symbol, results[i].shape()[axis]);
        }
      }
    }
    return results;
  }
  return evaluate_loop(node, operands, symbols);
}

}  // namespace sylvite
