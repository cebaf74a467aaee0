// Row-wise templates (norms, softmax, reductions along the last axis): a row's elements are folded
// into kSumLanes partial results, element k into lane k mod 16 with k ascending, then by one tree.
#pragma once

#include <Halide.h>

#include <functional>
#include <string>
#include <vector>

#include "compiler/kernels/template.h"

namespace sylvite {

// Widest row that is kept on the stack.
inline constexpr int64_t kStackRow = 4096;

struct LaneFold {
  Halide::Func function;  // (lane, row...)
  bool has_chunks = false, has_rest = false;
};

// function(k % 16, row...) = join(function(...), k) over k in [0, count).
LaneFold fold_lanes(const std::string &name, const Dim &width, const Halide::Expr &count,
                    const std::vector<Halide::Var> &row, const Halide::Expr &start,
                    const std::function<Halide::Expr(Halide::Expr, Halide::Expr)> &join);
// The same with more axes, of the sizes `outer`, walked around k: join(so far, k, their positions).
using OuterJoin =
    std::function<Halide::Expr(Halide::Expr, Halide::Expr, const std::vector<Halide::Expr> &)>;
LaneFold fold_lanes_around(const std::string &name, const Dim &width, const Halide::Expr &count,
                           const std::vector<Halide::Expr> &outer,
                           const std::vector<Halide::Var> &row, const Halide::Expr &start,
                           const OuterJoin &join);
// One step of an update over r. Halide runs an update once when nothing in it names its domain,
// as when the operand is broadcast along all that is reduced: `next` is then made to name it.
Halide::Expr step_over(const Halide::RDom &r, const Halide::Expr &next, const Halide::Expr &before);
// At the consumer's loop over rows, in registers.
void schedule_fold(LaneFold fold, const Halide::Func &consumer, const Halide::Var &row, int lanes);

// exp for x <= 0 (or NaN): 0 below -87.3, never a denormal. 1.5 ulp.
Halide::Expr exp_of_nonpositive(const Halide::Expr &x);

}  // namespace sylvite
