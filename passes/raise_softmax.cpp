// Finds softmax in its parts:
//
//   e / sum(e)  with  e = exp(x - max(x)),  both over one axis  =>  softmax(x)
//
// also as a product with 1 / sum(e).
//
// Keeps: shapes; rounding differs slightly.
// Declines: exp without the maximum subtracted: it overflows where softmax does not.
#include "compiler/ir/match.h"
#include "passes/passes.h"
#include "passes/rewrite.h"

namespace sylvite {
namespace {

// reduce(operand) {kind} over one axis, kept
Pattern reduced(const std::string &kind, Pattern operand) {
  return op(Op::Reduce, std::move(operand)).where([kind](const Value &value) {
    const Attributes &attributes = value.producer->attributes;
    return attributes.text("kind") == kind && attributes.integers("axes").size() == 1 &&
           attributes.integer_or("keepdims", 0) != 0;
  });
}

int64_t reduced_axis(const Value &value) {
  return normal_axis(value.producer->attributes.integers("axes").front(),
                     value.producer->input(0)->type.rank());
}

Value *raise(Builder &build, Value *root) {
  Value *e = nullptr, *sum = nullptr, *x = nullptr, *maximum = nullptr;
  const Pattern total = reduced("sum", same(&e)).into(&sum);
  if (!match(root, op(Op::Div, any(&e), total)) &&
      !match(root, op(Op::Mul, any(&e), op(Op::Div, number(1), total)))) {
    return nullptr;
  }
  if (!match(e, op(Op::Exp, op(Op::Sub, any(&x), reduced("max", same(&x)).into(&maximum)))) ||
      reduced_axis(*sum) != reduced_axis(*maximum)) {
    return nullptr;
  }
  return build.add(Op::Softmax, {x}, {{"axis", reduced_axis(*sum)}});
}

}  // namespace

bool raise_softmax(Graph &graph) {
  static constexpr Rule kRules[] = {raise};
  return rewrite(graph, kRules);
}

}  // namespace sylvite
