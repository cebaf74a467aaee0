// Sum, mean, max, min and product over any axes.
//
// Where the last axis is reduced, one result at a time (axis 0: results): the last axis goes
// through kSumLanes partial results, other reduced axes around it. Where it is kept, a row of
// results at a time (axis 0: the other kept axes, axis 1: the last one), vectorised over the row.
#include <algorithm>

#include "compiler/ir/error.h"
#include "compiler/ir/kernel_traits.h"
#include "compiler/kernels/float_math.h"
#include "compiler/kernels/region.h"
#include "compiler/kernels/rows.h"
#include "compiler/kernels/template.h"

namespace sylvite {
namespace {

using Halide::cast;
using Halide::Expr;
using Halide::Func;
using Halide::MemoryType;
using Halide::RDom;
using Halide::TailStrategy;
using Halide::Var;
using Index = std::vector<Expr>;

bool is_reduced(const Node &root, size_t axis) {
  const std::vector<int64_t> &axes = root.attributes.integers("axes");
  return std::find(axes.begin(), axes.end(), static_cast<int64_t>(axis)) != axes.end();
}

class Reduce {
 public:
  explicit Reduce(TemplateInput &input)
      : input_(input),
        formula_(input.formula),
        root_(*input.root),
        kind_(root_.attributes.text("kind")),
        dtype_(root_.output()->type.dtype),
        extreme_(kind_ == "max" || kind_ == "min"),
        type_(extreme_ ? compute_type(dtype_) : sum_type(dtype_)) {
    const Shape &shape = root_.input(0)->type.shape;
    for (size_t axis = 0; axis < shape.size(); ++axis) {
      (is_reduced(root_, axis) ? reduced_ : kept_).push_back(axis);
    }
  }

  KernelBody build() {
    const size_t rank = root_.input(0)->type.shape.size();
    const bool last = rank == 0 || is_reduced(root_, rank - 1);
    return last ? along_rows() : across_rows();
  }

 private:
  Shape sizes_of(const std::vector<size_t> &axes) const {
    Shape shape;
    for (const size_t axis : axes) {
      shape.push_back(root_.input(0)->type.shape[axis]);
    }
    return shape;
  }

  // The operand at these positions on the kept and on the reduced axes.
  Expr operand(const Index &kept, const Index &reduced) {
    Index index(kept.size() + reduced.size());
    for (size_t i = 0; i < kept.size(); ++i) {
      index[kept_[i]] = kept[i];
    }
    for (size_t i = 0; i < reduced.size(); ++i) {
      index[reduced_[i]] = reduced[i];
    }
    return cast(type_, formula_.at(root_.input(0), index));
  }

  Index result_index(const Index &kept) const {
    if (root_.attributes.integer_or("keepdims", 0) == 0) {
      return kept;
    }
    Index index(kept_.size() + reduced_.size(), Expr(0));
    for (size_t i = 0; i < kept.size(); ++i) {
      index[kept_[i]] = kept[i];
    }
    return index;
  }

  Expr start() const {
    if (kind_ == "max") {
      return type_.is_float() ? -infinity() : type_.min();
    }
    if (kind_ == "min") {
      return type_.is_float() ? infinity() : type_.max();
    }
    return Halide::Internal::make_const(type_, kind_ == "prod" ? 1 : 0);
  }

  Expr infinity() const {
    return Halide::Internal::make_const(type_, std::numeric_limits<double>::infinity());
  }

  // NaN stays once it is there.
  Expr join(const Expr &a, const Expr &b) const {
    if (extreme_ && type_.is_float()) {
      const Expr better = kind_ == "max" ? exact(b > a) : exact(b < a);
      return select(better || is_nan_exact(b), b, a);
    }
    if (extreme_) {
      return kind_ == "max" ? Halide::max(a, b) : Halide::min(a, b);
    }
    const Expr result = kind_ == "prod" ? a * b : a + b;
    return type_.is_float() ? exact(result) : result;
  }

  Expr finish(const Expr &sum) const {
    const Halide::Type type = compute_type(dtype_);
    if (kind_ != "mean") {
      return rounded(dtype_, cast(type, sum));
    }
    const Expr count = formula_.size(element_count(sizes_of(reduced_)));
    if (type.is_float()) {
      return rounded(dtype_, exact(sum / cast(type, count)));
    }
    return Halide::div_round_to_zero(cast(type, sum), cast(type, Halide::max(count, 1)));
  }

  KernelBody along_rows() {
    Var u("u");
    Func out("out0");
    const Shape outer_sizes =
        reduced_.empty() ? Shape() : sizes_of({reduced_.begin(), reduced_.end() - 1});
    const Dim width = reduced_.empty() ? Dim(1) : root_.input(0)->type.shape[reduced_.back()];
    const Index kept = formula_.index_of(sizes_of(kept_), u + input_.begin0);
    const LaneFold fold =
        fold_lanes_around("fold", width, formula_.size(width), formula_.sizes(outer_sizes), {u},
                          start(), [&](const Expr &sum, const Expr &k, const Index &outer) {
                            Index reduced = outer;
                            if (!reduced_.empty()) {
                              reduced.push_back(k);
                            }
                            return join(sum, operand(kept, reduced));
                          });
    const Expr all = lane_tree([&](int lane) -> Expr { return fold.function(lane, u); },
                               [&](const Expr &a, const Expr &b) { return join(a, b); });
    out(u) =
        stored_epilogue(input_, [&](const Index &) { return finish(all); }, result_index(kept));
    schedule_fold(fold, out, u, input_.lanes);
    set_dimension(out.output_buffer(), 0, input_.extent0(), 1);
    KernelBody body;
    body.functions = {out};
    body.offsets = {input_.begin0};
    return body;
  }

  KernelBody across_rows() {
    Var x("x"), u("u");
    Func out("out0"), fold("fold");
    const size_t last = root_.input(0)->type.shape.size() - 1;
    const Expr row = formula_.size(root_.input(0)->type.shape[last]);
    Index kept = formula_.index_of(sizes_of({kept_.begin(), kept_.end() - 1}), u + input_.begin0);
    kept.push_back(x + input_.begin1);
    fold(x, u) = start();
    const Index sizes = formula_.sizes(sizes_of(reduced_));
    if (sizes.empty()) {
      fold(x, u) = join(fold(x, u), operand(kept, {}));
    } else {
      Halide::Region region;
      for (size_t i = sizes.size(); i-- > 0;) {
        region.push_back({0, sizes[i]});
      }
      RDom r(region, "reduced");
      Index reduced;
      for (int i = static_cast<int>(sizes.size()); i-- > 0;) {
        reduced.emplace_back(r[i]);
      }
      fold(x, u) = step_over(r, join(fold(x, u), operand(kept, reduced)), fold(x, u));
    }
    out(x, u) = stored_epilogue(
        input_, [&](const Index &) { return finish(fold(x, u)); }, result_index(kept));

    vectorize_inwards(out, x, input_.extent1(), input_.lanes);
    fold.compute_at(out, u).store_in(MemoryType::Heap).bound(x, 0, input_.extent1());
    fold.vectorize(x, input_.lanes, TailStrategy::GuardWithIf);
    std::vector<Halide::VarOrRVar> order = {x};
    for (const Halide::RVar &r : fold.rvars(0)) {
      order.emplace_back(r);
    }
    fold.update().reorder(order).vectorize(x, input_.lanes, TailStrategy::GuardWithIf);
    set_dimension(out.output_buffer(), 0, input_.extent1(), 1);
    set_dimension(out.output_buffer(), 1, input_.extent0(), row);
    KernelBody body;
    body.functions = {out};
    body.offsets = {input_.begin0 * row + input_.begin1};
    return body;
  }

  TemplateInput &input_;
  Formula &formula_;
  const Node &root_;
  const std::string kind_;
  const DType dtype_;
  const bool extreme_;
  const Halide::Type type_;
  std::vector<size_t> kept_, reduced_;
};

}  // namespace

KernelBody reduce_template(TemplateInput &input) {
  return Reduce(input).build();
}

// A row of results, where the last axis is kept.
Dim reduce_scratch(const Graph &, const Node &root) {
  const Shape &shape = root.input(0)->type.shape;
  if (shape.empty() || is_reduced(root, shape.size() - 1)) {
    return 0;
  }
  return scratch_of(shape.back(), 8);
}

}  // namespace sylvite
