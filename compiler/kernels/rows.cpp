#include "compiler/kernels/rows.h"

#include "compiler/ir/kernel_traits.h"
#include "compiler/kernels/float_math.h"

namespace sylvite {

using Halide::Expr;
using Halide::Func;
using Halide::MemoryType;
using Halide::RDom;
using Halide::Var;

namespace {

constexpr int kLanes = static_cast<int>(kSumLanes);
Var lane("lane");

std::vector<Expr> at(const Expr &first, const std::vector<Var> &row) {
  std::vector<Expr> index = {first};
  index.insert(index.end(), row.begin(), row.end());
  return index;
}

}  // namespace

LaneFold fold_lanes(const std::string &name, const Dim &width, const Expr &count,
                    const std::vector<Var> &row, const Expr &start,
                    const std::function<Expr(Expr, Expr)> &join) {
  return fold_lanes_around(
      name, width, count, {}, row, start,
      [&](const Expr &sum, const Expr &k, const std::vector<Expr> &) { return join(sum, k); });
}

LaneFold fold_lanes_around(const std::string &name, const Dim &width, const Expr &count,
                           const std::vector<Expr> &outer, const std::vector<Var> &row,
                           const Expr &start, const OuterJoin &join) {
  LaneFold fold;
  Func &f = fold.function = Func(name);
  f(at(lane, row)) = start;
  // The innermost dimension of a domain comes first; outer axes are given outermost first.
  const auto domain = [&](const Expr &size, const char *suffix) {
    Halide::Region region = {{0, size}};
    for (size_t i = outer.size(); i-- > 0;) {
      region.push_back({0, outer[i]});
    }
    return RDom(region, name + suffix);
  };
  const auto positions = [&](const RDom &r) {
    std::vector<Expr> result;
    for (int i = static_cast<int>(outer.size()); i > 0; --i) {
      result.emplace_back(r[i]);
    }
    return result;
  };
  const std::optional<int64_t> fixed = width.constant();
  if (!fixed || *fixed >= kLanes) {
    const RDom r = domain(count / kLanes, "_chunk");
    const std::vector<Expr> here = at(lane, row);
    f(here) = step_over(r, join(f(here), r[0] * kLanes + lane, positions(r)), f(here));
    fold.has_chunks = true;
  }
  if (!fixed || *fixed % kLanes != 0) {
    const RDom r = domain(count % kLanes, "_rest");
    const std::vector<Expr> here = at(r[0], row);
    f(here) = join(f(here), count / kLanes * kLanes + r[0], positions(r));
    fold.has_rest = true;
  }
  return fold;
}

Expr step_over(const RDom &r, const Expr &next, const Expr &before) {
  for (int i = 0; i < r.dimensions(); ++i) {
    if (Halide::Internal::expr_uses_var(next, r[i].name())) {
      return next;
    }
  }
  return select(r[0] >= 0, next, before);
}

void schedule_fold(LaneFold fold, const Func &consumer, const Var &row, int lanes) {
  Func &f = fold.function;
  f.compute_at(consumer, row).store_in(MemoryType::Stack).bound(lane, 0, kLanes);
  f.vectorize(lane, lanes).unroll(lane);
  if (fold.has_chunks) {
    const Halide::RVar chunk = f.rvars(0)[0];
    f.update(0).reorder({lane, chunk}).vectorize(lane, lanes).unroll(lane);
  }
  if (fold.has_rest) {
    f.update(fold.has_chunks ? 1 : 0).unscheduled();
  }
}

// 2^n by rounding with a magic number: a conversion to an integer would be undefined for NaN.
Expr exp_of_nonpositive(const Expr &x) {
  const Expr y = select(exact(x < -87.3f), -87.3f, x);
  const Expr shifted = exact_fma(y, 1.44269504088896341f, 12582912.0f);
  const Expr n = exact(shifted - 12582912.0f);
  Expr r = exact_fma(n, -0.693145751953125f, y);
  r = exact_fma(n, -1.42860682030941723212e-6f, r);
  Expr p = 1.0f / 720;
  for (const float coefficient : {1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f}) {
    p = exact_fma(p, r, coefficient);
  }
  const Expr scale =
      Halide::reinterpret<float>((Halide::reinterpret<int32_t>(shifted) << 23) + (127 << 23));
  return select(exact(x < -87.3f), 0.0f, exact(p * scale));
}

}  // namespace sylvite
