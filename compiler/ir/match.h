// Patterns over the graph, read as the expression they stand for:
//
//   Value *x, *w, *b;
//   if (match(root, op(Op::Add, op(Op::MatMul, any(&x), any(&w)).one_use(), constant(&b)))) ...
//
// Commutative ops (add, mul, min, max, and, or, equal) try both orders. Captures are assigned only
// when the whole pattern matches. A capture that occurs twice must capture the same value
// (`same(&x)`).
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "compiler/ir/graph.h"

namespace sylvite {

class Pattern {
 public:
  Pattern one_use() const;  // the value has exactly one user and is no output
  Pattern where(
      std::function<bool(const Value &)> test) const;  // an extra condition on the matched value
  Pattern into(Value **capture) const;                 // captures the matched value too

  struct Data;
  std::shared_ptr<const Data> data;
};

Pattern any(Value **capture = nullptr);
Pattern same(Value **captured);               // the value captured earlier in this pattern
Pattern constant(Value **capture = nullptr);  // a constant
Pattern scalar(double *capture);              // a constant whose elements are all one number
Pattern number(double expected,
               double tolerance = 0);  // such a number, this one (relative tolerance)
template <typename... Operands>
Pattern op(Op kind, Operands... operands);
Pattern op_of(Op kind, std::vector<Pattern> operands);

bool match(Value *value, const Pattern &pattern);

// The two-operand ops whose operands may be swapped: those for which match tries both orders.
bool is_commutative(Op op);

// The one number that a constant holds everywhere (any shape), or nothing.
std::optional<double> scalar_constant(const Value *value);

template <typename... Operands>
Pattern op(Op kind, Operands... operands) {
  return op_of(kind, std::vector<Pattern>{std::move(operands)...});
}

}  // namespace sylvite
