// Reductions along axes. The axes were an attribute until opset 13 (ReduceSum) or 18 (the others)
// and are an input since.
#include <algorithm>
#include <numeric>

#include "compiler/import/onnx_node.h"

namespace sylvite {
namespace {

// The axes to reduce; nothing when an empty list means that there is nothing to do.
std::optional<std::vector<int64_t>> reduced_axes(const OnnxNode &node) {
  const int64_t rank = node.input(0)->type.rank();
  std::vector<int64_t> axes =
      node.axes(node.has_input(1) ? node.numbers(1, "axes") : node.integers("axes"), rank);
  if (axes.empty()) {
    if (node.integer("noop_with_empty_axes", 0) != 0) {
      return {};
    }
    axes.resize(static_cast<size_t>(rank));
    std::iota(axes.begin(), axes.end(), 0);
  }
  return axes;
}

Value *reduced(OnnxNode &node, const char *kind, Value *x, const std::vector<int64_t> &axes) {
  return node.reduce(kind, x, axes, node.integer("keepdims", 1) != 0);
}

Value *itself(OnnxNode &, Value *x) {
  return x;
}
Value *square(OnnxNode &node, Value *x) {
  return node.add(Op::Mul, {x, x});
}
template <Op op>
Value *applied(OnnxNode &node, Value *x) {
  return node.add(op, {x});
}

enum class Kind { Sum, Mean, Max, Min, Prod };
constexpr const char *kKindNames[] = {"sum", "mean", "max", "min", "prod"};

using Step = Value *(*)(OnnxNode &, Value *);

// max(bools) is any, min(bools) is all: computed in integers.
template <Kind kind>
void reduce_bools(OnnxNode &node) {
  Value *const x = node.input(0);
  const auto axes = reduced_axes(node);
  if (!axes) {
    node.set_output(0, x);
    return;
  }
  const char *const name = kKindNames[static_cast<size_t>(kind)];
  Value *result = reduced(node, name, node.cast(x, DType::I32), *axes);
  if (kind == Kind::Max) {  // of no elements the least number: none of them is true
    result = node.add(Op::Max, {result, node.scalar(DType::I32, 0)});
  }
  node.set_output(0, node.cast(result, DType::Bool));
}

// after(reduce(before(x)))
template <Kind kind, Step before = itself, Step after = itself>
void reduce(OnnxNode &node) {
  if ((kind == Kind::Max || kind == Kind::Min) && node.input(0)->type.dtype == DType::Bool) {
    reduce_bools<kind>(node);
    return;
  }
  Value *const x = before(node, node.input(0));
  const auto axes = reduced_axes(node);
  Value *const sum = axes ? reduced(node, kKindNames[static_cast<size_t>(kind)], x, *axes) : x;
  node.set_output(0, after(node, sum));
}

// log(sum(exp(x)))  =>  m + log(sum(exp(x - m))), m = max(x) where that is finite
void reduce_log_sum_exp(OnnxNode &node) {
  Value *const x = node.input(0);
  const auto axes = reduced_axes(node);
  if (!axes) {
    node.set_output(0, x);
    return;
  }
  Value *const highest = node.reduce("max", x, *axes, true);
  Value *const infinite =
      node.add(Op::IsInf, {highest}, {{"negative", int64_t{1}}, {"positive", int64_t{1}}});
  Value *const shift = node.add(Op::Where, {infinite, node.like(x, 0), highest});
  Value *const powers = node.add(Op::Exp, {node.add(Op::Sub, {x, shift})});
  Value *const logarithm = node.add(Op::Log, {node.reduce("sum", powers, *axes, true)});
  Value *const result = node.add(Op::Add, {logarithm, shift});
  if (node.integer("keepdims", 1) != 0) {
    node.set_output(0, result);
    return;
  }
  Shape kept;
  for (int64_t i = 0; i < x->type.rank(); ++i) {
    if (std::count(axes->begin(), axes->end(), i) == 0) {
      kept.push_back(x->type.shape[static_cast<size_t>(i)]);
    }
  }
  node.set_output(0, node.reshape(result, kept));
}

template <Kind kind>
void arg_reduce(OnnxNode &node) {
  Value *const x = node.input(0);
  const int64_t axis = node.axis(node.integer("axis", 0), x->type.rank());
  node.set_output(0, node.add(Op::ArgReduce, {x},
                              {{"kind", std::string(kKindNames[static_cast<size_t>(kind)])},
                               {"axis", axis},
                               {"keepdims", int64_t{node.integer("keepdims", 1) != 0}},
                               {"last", int64_t{node.integer("select_last_index", 0) != 0}}}));
}

template <Kind kind>
void cumulative(OnnxNode &node) {
  Value *const x = node.input(0);
  const int64_t axis = node.axis(node.number(1, "axis"), x->type.rank());
  node.set_output(0, node.add(Op::CumSum, {x},
                              {{"axis", axis},
                               {"exclusive", int64_t{node.integer("exclusive", 0) != 0}},
                               {"reverse", int64_t{node.integer("reverse", 0) != 0}},
                               {"kind", std::string(kKindNames[static_cast<size_t>(kind)])}}));
}

constexpr OpRule kRules[] = {
    {"ArgMax", 13, arg_reduce<Kind::Max>},
    {"ArgMin", 13, arg_reduce<Kind::Min>},
    {"CumProd", 26, cumulative<Kind::Prod>},
    {"CumSum", 14, cumulative<Kind::Sum>},
    {"ReduceL1", 18, reduce<Kind::Sum, applied<Op::Abs>>},
    {"ReduceL2", 18, reduce<Kind::Sum, square, applied<Op::Sqrt>>},
    {"ReduceLogSum", 28, reduce<Kind::Sum, itself, applied<Op::Log>>},
    {"ReduceLogSumExp", 28, reduce_log_sum_exp},
    {"ReduceMax", 20, reduce<Kind::Max>},
    {"ReduceMean", 18, reduce<Kind::Mean>},
    {"ReduceMin", 20, reduce<Kind::Min>},
    {"ReduceProd", 18, reduce<Kind::Prod>},
    {"ReduceSum", 13, reduce<Kind::Sum>},
    {"ReduceSumSquare", 18, reduce<Kind::Sum, square>},
};

}  // namespace

std::span<const OpRule> reduction_rules() {
  return kRules;
}

}  // namespace sylvite
