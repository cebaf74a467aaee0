// Products with packed weights: C[m, n] = epilogue(sum over k of A[m, k] B[k, n]), the leading axes
// of A collapsed to m (axis 0: rows, axis 1: panels of 16 columns).
//
// A register tile of rows x panels is one Func (`product`), computed by chains of multiply-adds
// over k in blocks of kContractionBlock whose sums are added in order. A tile has as many rows as
// there are rows left, from a short list of heights chosen by `specialize`; the last tile shifts
// inwards. The columns are split inside each specialisation, because a guard on them would put
// conditions into the k loop (40 points of the peak). B's panels are read in place; A is read in
// place when it is an input, and computed for all rows of the part first when it is a formula (a
// patch gather, a transpose).
//
// In the k loop the product and the sum stay in Halide's default mode, where only one contraction
// is possible: the tests compare with std::fma bit by bit.
#include <algorithm>
#include <vector>

#include "compiler/ir/error.h"
#include "compiler/ir/kernel_traits.h"
#include "compiler/kernels/float_math.h"
#include "compiler/kernels/region.h"
#include "compiler/kernels/template.h"

namespace sylvite {
namespace {

using Halide::cast;
using Halide::Expr;
using Halide::Func;
using Halide::MemoryType;
using Halide::RDom;
using Halide::RVar;
using Halide::Stage;
using Halide::TailStrategy;
using Halide::Var;

constexpr int kPanel = static_cast<int>(kPanelColumns);

class MatMulPanels {
 public:
  explicit MatMulPanels(TemplateInput &input)
      : input_(input),
        root_(*input.root),
        tile_(matmul_tile(input.isa)),
        sum_type_(sum_type(root_.output()->type.dtype)),
        depth_(depth_of(root_)),
        columns_(static_cast<int>(root_.attributes.integer("n"))),
        cut_(columns_ % kPanel != 0) {}

  KernelBody build() {
    define_operands();
    define_product();
    define_result();
    schedule_result();
    schedule_product();
    KernelBody body;
    body.functions = {result_};
    body.offsets = {input_.begin0 * columns_ + input_.begin1 * kPanel};
    return body;
  }

 private:
  static int depth_of(const Node &root) {
    const std::optional<int64_t> depth = root.input(1)->type.shape[1].constant();
    SYLVITE_CHECK(depth.has_value(), "packed weights have constant sizes");
    return static_cast<int>(*depth);
  }

  std::vector<Expr> row_index(const Expr &row) const {
    const Shape &shape = root_.output()->type.shape;
    return input_.formula.index_of(Shape(shape.begin(), shape.end() - 1), row);
  }

  void define_operands() {
    const Value *a = root_.input(0);
    if (const Value *plain = plain_input(a)) {
      const size_t number = static_cast<size_t>(plain->index);
      a_ = [this, a, number](const Expr &kk, const Expr &row) {
        return from_storage(a->type.dtype,
                            input_.formula.inputs[number]((row + input_.begin0) * depth_ + kk));
      };
      return;
    }
    std::vector<Expr> index = row_index(m + input_.begin0);
    index.push_back(k);
    packed_ = Func("packed_a");
    packed_(k, m) = input_.formula.at(a, index);
    packed_.compute_root()
        .store_in(MemoryType::Heap)
        .bound(k, 0, depth_)
        .bound(m, 0, input_.extent0());
    if (depth_ % kPanel == 0) {
      // A patch gather's k / 16 and k % 16 fold into plain loads.
      Var outer("k_outer");
      packed_.split(k, outer, k, kPanel).vectorize(k, input_.lanes).unroll(k);
    } else if (depth_ >= input_.lanes) {
      packed_.vectorize(k, input_.lanes, TailStrategy::ShiftInwards);
    }
    a_ = [this](const Expr &kk, const Expr &row) { return packed_(kk, row); };
  }

  Expr weight(const Expr &panel, const Expr &kk, const Expr &column) {
    // Where panels are computed in groups whatever their number, the last one stands in for those
    // beyond.
    const Expr whole = panel + input_.begin1;
    const Expr which = cut_ ? Halide::min(whole, (columns_ - 1) / kPanel) : whole;
    return input_.formula.at(root_.input(1), {which, kk, column});
  }

  // One chain over [first, first + length), for the block number q when it is given.
  Func chain(const char *name, const Expr &first, int length, const std::vector<Var> &block) {
    Func f(name);
    RDom r(0, length, std::string(name) + "_k");
    std::vector<Var> at = {pi, pm, po};
    at.insert(at.end(), block.begin(), block.end());
    f(at) = Halide::Internal::make_zero(sum_type_);
    f(at) += cast(sum_type_, a_(first + r, pm)) * cast(sum_type_, weight(po, first + r, pi));
    std::vector<Halide::VarOrRVar> order = {pi, po, pm, r};
    order.insert(order.end(), block.begin(), block.end());
    f.update().reorder(order);  // rows outermost: one broadcast of A is alive at a time
    chains_.push_back(f);
    return f;
  }

  Expr sum(const Expr &a, const Expr &b) { return sum_type_.is_float() ? exact(a + b) : a + b; }

  void define_product() {
    const int block = static_cast<int>(kContractionBlock);
    const int blocks = depth_ / block, tail = depth_ % block;
    if (blocks + (tail != 0 ? 1 : 0) == 1) {
      product_ = chain("product", 0, blocks == 1 ? block : tail, {});
      chains_.clear();
      return;
    }
    product_ = Func("product");
    product_(pi, pm, po) = Halide::Internal::make_zero(sum_type_);
    if (blocks == 1) {
      const Func part = chain("part", 0, block, {});
      product_(pi, pm, po) = sum(product_(pi, pm, po), part(pi, pm, po));
    } else if (blocks > 1) {
      RDom b(0, blocks, "block");
      whole_blocks_ = chain("part", q * block, block, {q});
      product_(pi, pm, po) = sum(product_(pi, pm, po), whole_blocks_(pi, pm, po, b));
      product_.update().reorder(pi, po, pm, b);
      block_loop_ = b.x;
    }
    if (tail != 0) {
      const Func part = chain("tail", blocks * block, tail, {});
      product_(pi, pm, po) = sum(product_(pi, pm, po), part(pi, pm, po));
    }
  }

  void define_result() {
    // A heavy epilogue is not unrolled, and one that is guarded keeps its conditions out of the k
    // loop: their tiles go through memory.
    through_memory_ = has_heavy_epilogue(input_) || cut_;
    tile_values_(pi, pm, po) = product_(pi, pm, po);
    const DType dtype = root_.output()->type.dtype;
    const Expr row = m + input_.begin0, column = n + input_.begin1 * kPanel;
    std::vector<Expr> index = row_index(row);
    index.push_back(column);
    bind_in_order(input_, root_.output()->type.shape, index, row * columns_ + column);
    const Func &source = through_memory_ ? tile_values_ : product_;
    const Expr value = cast(compute_type(dtype), source(n % kPanel, m, n / kPanel));
    result_(n, m) = stored_epilogue(
        input_, [&](const std::vector<Expr> &) { return rounded(dtype, value); }, index);
    set_dimension(result_.output_buffer(), 0, columns_of_part(), 1);
    set_dimension(result_.output_buffer(), 1, input_.extent0(), columns_);
  }

  Expr columns_of_part() const {
    const Expr all = input_.extent1() * kPanel;
    return columns_ % kPanel == 0 ? all : Halide::min(all, columns_ - input_.begin1 * kPanel);
  }

  // Tiles of the tallest height that fits, then of smaller ones. `inner`: what lies inside the
  // rows, innermost first.
  void split_rows(Stage stage, const std::vector<Var> &inner) {
    std::vector<int> heights;
    for (const int height : {tile_.rows, 4, 2, 1}) {
      if (heights.empty() || height < heights.back()) {
        heights.push_back(height);
      }
    }
    for (const int height : heights) {
      Stage s = height > 1 ? stage.specialize(input_.extent0() >= height) : stage;
      s.split(m, mo, mi, height, TailStrategy::ShiftInwards);
      std::vector<Halide::VarOrRVar> order(inner.begin(), inner.end());
      for (const Var &v : {mi, mo, p}) {
        order.emplace_back(v);
      }
      s.reorder(order);
      if (!through_memory_) {
        s.unroll(mi);
        for (size_t i = 1; i < inner.size(); ++i) {
          s.unroll(inner[i]);
        }
      }
      s.vectorize(ni, kPanel);
    }
  }

  void schedule_result() {
    if (cut_) {
      result_.split(n, p, pp, panels_of_cut() * kPanel, TailStrategy::GuardWithIf)
          .split(pp, pp, ni, kPanel, TailStrategy::RoundUp);
      split_rows(Stage(result_), {ni, pp});
      return;
    }
    if (tile_.panels > 1 && columns_ >= tile_.panels * kPanel) {
      Stage s = result_.specialize(columns_of_part() >= tile_.panels * kPanel);
      s.split(n, p, ni, kPanel, TailStrategy::RoundUp)
          .split(p, p, pp, tile_.panels, TailStrategy::ShiftInwards);
      split_rows(s, {ni, pp});
    }
    result_.split(n, p, ni, kPanel, TailStrategy::RoundUp);
    split_rows(Stage(result_), {ni});
  }

  int panels_of_cut() const { return std::min(tile_.panels, (columns_ + kPanel - 1) / kPanel); }

  void keep_in_registers(Func f) {
    f.vectorize(pi, input_.lanes)
        .unroll(pi)
        .unroll(pm)
        .unroll(po)
        .bound_extent(pi, kPanel)
        .store_in(MemoryType::Stack);
    if (cut_) {
      f.bound_extent(po, panels_of_cut());
    }
    for (int i = 0; i < f.num_update_definitions(); ++i) {
      f.update(i).vectorize(pi, input_.lanes).unroll(pi).unroll(pm).unroll(po);
    }
  }

  void schedule_product() {
    keep_in_registers(product_);
    product_.compute_at(result_, mo);
    if (through_memory_) {
      keep_in_registers(tile_values_);
      tile_values_.compute_at(result_, mo);
    }
    for (Func &f : chains_) {
      keep_in_registers(f);
      if (whole_blocks_.defined() && f.name() == whole_blocks_.name()) {
        f.compute_at(product_, block_loop_);
      } else {
        f.compute_at(result_, mo);
      }
    }
  }

  TemplateInput &input_;
  const Node &root_;
  const TileShape tile_;
  const Halide::Type sum_type_;
  const int depth_, columns_;
  const bool cut_;  // the last panel has columns beyond the result's
  bool through_memory_ = false;

  Var n{"n"}, m{"m"}, k{"k"}, q{"q"}, pi{"pi"}, pm{"pm"}, po{"po"};
  Var p{"p"}, pp{"pp"}, ni{"ni"}, mo{"mo"}, mi{"mi"};
  std::function<Expr(const Expr &, const Expr &)> a_;  // (k, row of the part)
  Func packed_, product_, whole_blocks_, tile_values_{"tile"}, result_{"out0"};
  std::vector<Func> chains_;
  RVar block_loop_;
};

}  // namespace

KernelBody matmul_panels_template(TemplateInput &input) {
  return MatMulPanels(input).build();
}

// A formula is computed for all rows of the part first.
Dim matmul_panels_scratch(const Graph &, const Node &root) {
  const Value *a = root.input(0);
  if (plain_input(a) != nullptr) {
    return 0;
  }
  return scratch_of(element_count(a->type.shape), compute_bytes(a->type.dtype));
}

}  // namespace sylvite
