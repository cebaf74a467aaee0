// What the templates share.
#include "compiler/kernels/template.h"

#include <algorithm>
#include <set>

#include "compiler/ir/error.h"
#include "compiler/ir/kernel_traits.h"
#include "compiler/kernels/float_math.h"
#include "compiler/kernels/region.h"

namespace sylvite {

using Halide::Expr;
using Halide::Var;

TemplateInput::TemplateInput(const Node &kernel, Isa level, const std::vector<Dim> &symbols)
    : region(*kernel.regions[0]),
      root(root_of(region)),
      isa(level),
      lanes(vector_lanes(level)),
      formula(region, symbols) {}

void set_dimension(Halide::OutputImageParam buffer, int dimension, const Expr &extent,
                   const Expr &stride) {
  buffer.dim(dimension).set_min(0).set_extent(extent).set_stride(stride);
}

Expr stored_epilogue(TemplateInput &input, const Formula::IndexedValue &root_result,
                     const std::vector<Expr> &index) {
  const Value *value = epilogue_value(input.region);
  input.formula.bind(input.root->output(), root_result);
  return to_storage(value->type.dtype, input.formula.at(value, index));
}

void bind_in_order(TemplateInput &input, const Shape &shape, const std::vector<Expr> &index,
                   const Expr &position) {
  Formula &formula = input.formula;
  const auto bind = [&](const Value *value) {
    const Value *source = plain_input(value);
    if (source == nullptr || value->type.shape != shape) {
      return;
    }
    const size_t number = static_cast<size_t>(source->index);
    const DType dtype = value->type.dtype;
    formula.bind(value, [=, &formula](const std::vector<Expr> &at) {
      bool same = true;
      for (size_t i = 0; i < at.size(); ++i) {
        same = same && Halide::Internal::equal(at[i], index[i]);
      }
      return from_storage(dtype,
                          formula.inputs[number](same ? position : formula.offset(shape, at)));
    });
  };
  for (const Value *value : input.region.inputs()) {
    bind(value);
  }
  for (const auto &node : input.region.nodes()) {
    bind(node->output());
  }
}

Expr rounded(DType dtype, const Expr &value) {
  return from_storage(dtype, to_storage(dtype, value));
}

Expr multiply_add(const Expr &a, const Expr &b, const Expr &c) {
  if (!a.type().is_float()) {
    return a * b + c;
  }
  return a.type().bits() == 32 ? exact_fma(a, b, c) : exact(exact(a * b) + c);
}

bool has_heavy_epilogue(const TemplateInput &input) {
  constexpr int64_t kHeavy = 10;
  std::set<const Value *> after = {input.root->output()};
  int64_t cost = 0;
  for (const auto &node : input.region.nodes()) {
    const bool reads = std::any_of(node->inputs.begin(), node->inputs.end(),
                                   [&](const Value *value) { return after.count(value) != 0; });
    if (reads && node.get() != input.root) {
      after.insert(node->output());
      cost += op_cost(node->op);
    }
  }
  return cost >= kHeavy;
}

void vectorize_inwards(Halide::Func function, const Var &x, const Expr &extent, int lanes) {
  function.specialize(extent >= lanes).vectorize(x, lanes, Halide::TailStrategy::ShiftInwards);
}

Expr lane_tree(const std::function<Expr(int)> &lane, const std::function<Expr(Expr, Expr)> &join) {
  std::vector<Expr> values;
  values.reserve(kSumLanes);
  for (int i = 0; i < static_cast<int>(kSumLanes); ++i) {
    values.push_back(lane(i));
  }
  for (size_t half = values.size() / 2; half > 0; half /= 2) {
    for (size_t i = 0; i < half; ++i) {
      values[i] = join(values[i], values[i + half]);
    }
  }
  return values[0];
}

Expr sum_tree(const std::function<Expr(int)> &lane) {
  return lane_tree(lane, [](const Expr &a, const Expr &b) { return exact(a + b); });
}

Halide::Type sum_type(DType dtype) {
  const Halide::Type type = compute_type(dtype);
  return type.is_int() ? Halide::UInt(type.bits()) : type;
}

}  // namespace sylvite
