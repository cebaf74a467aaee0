// Attention, a whole row of scores at a time (axis 0: leading positions such as batch and head,
// axis 1: rows of q).
//
// For each leading position K is packed in panels of 16 keys and V in rows of whole vectors. For
// each tile of rows: scores in register tiles through the score formula, the row's maximum,
// exponentials, their sum, and the product with V in blocks of kContractionBlock keys that are
// added in order. Keys beyond the last are scores of -inf in the last panel only, hence exact
// zeroes; the product runs over real keys. So a row's bits depend neither on where its tile begins
// nor on how far others are padded.
//
// The maximum drops NaN; NaN comes back through the exponentials' sum. A row of -inf gives NaN.
// An online form (running maximum, blocks of keys) was 10 to 20 points slower at every length
// measured.
#include <limits>
#include <vector>

#include "compiler/ir/error.h"
#include "compiler/ir/kernel_traits.h"
#include "compiler/kernels/float_math.h"
#include "compiler/kernels/region.h"
#include "compiler/kernels/rows.h"
#include "compiler/kernels/template.h"

namespace sylvite {
namespace {

using Halide::Expr;
using Halide::Func;
using Halide::MemoryType;
using Halide::RDom;
using Halide::TailStrategy;
using Halide::Var;
using Index = std::vector<Expr>;

constexpr int kPanel = 16;

int round_up(int64_t value, int multiple) {
  return static_cast<int>((value + multiple - 1) / multiple) * multiple;
}

int64_t constant_size(const Node &root, const Dim &size, const char *what) {
  const std::optional<int64_t> constant = size.constant();
  if (!constant) {
    throw_model_error(describe(root), ": ", what, " must be known at compile time, is ",
                      size.str());
  }
  return *constant;
}

Expr larger(const Expr &a, const Expr &b) {
  return select(exact(a < b), b, a);
}

bool is_identity(const Graph &region) {
  return region.output(0) == region.inputs()[0];
}

class Attention {
 public:
  explicit Attention(TemplateInput &input)
      : input_(input),
        formula_(input.formula),
        root_(*input.root),
        shape_(root_.output()->type.shape),
        leading_(shape_.begin(), shape_.end() - 2),
        depth_(
            static_cast<int>(constant_size(root_, root_.input(0)->type.shape.back(), "q's size"))),
        width_(static_cast<int>(constant_size(root_, shape_.back(), "v's size"))),
        rows_(attention_tile(input.isa).rows),
        keys_tile_(attention_tile(input.isa).panels * kPanel),
        padded_width_(round_up(width_, kPanel)),
        width_tile_(padded_width_ % keys_tile_ == 0 ? keys_tile_ : kPanel),
        deferred_(is_identity(*root_.regions[1])) {}

  KernelBody build() {
    define();
    schedule_result();
    schedule_operands();
    schedule_scores();
    schedule_product();
    const std::optional<std::vector<Dim>> strides = output_strides(input_.region);
    SYLVITE_CHECK(strides.has_value(), "the view behind attention is no stride");
    const size_t rank = shape_.size();
    const Expr row_stride = formula_.size((*strides)[rank - 2]);
    set_dimension(result_.output_buffer(), 0, width_, formula_.size((*strides)[rank - 1]));
    set_dimension(result_.output_buffer(), 1, input_.extent1(), row_stride);
    set_dimension(result_.output_buffer(), 2, input_.extent0(), 0);
    KernelBody body;
    body.functions = {result_};
    body.offsets = {input_.begin1 * row_stride};
    body.step = u.name();
    const Index index = formula_.index_of(leading_, u + input_.begin0);
    Expr offset = 0;
    for (size_t axis = 0; axis < index.size(); ++axis) {
      offset = offset + index[axis] * formula_.size((*strides)[axis]);
    }
    body.step_offset = Halide::Internal::simplify(offset);
    return body;
  }

 private:
  // The operand at this leading position, numpy-broadcast, and these two last positions.
  Expr operand(size_t number, const Expr &row, const Expr &column) {
    const Value *value = root_.input(number);
    const Index leading = formula_.index_of(leading_, u + input_.begin0);
    const size_t own = value->type.shape.size() - 2, missing = leading.size() - own;
    Index index;
    for (size_t axis = 0; axis < own; ++axis) {
      index.push_back(value->type.shape[axis].is(1) ? Expr(0) : leading[missing + axis]);
    }
    index.push_back(row);
    index.push_back(column);
    return formula_.at(value, index);
  }

  // What a region of the root makes of scores or probabilities.
  Expr through(size_t region_number, const Expr &value, const Expr &row, const Expr &key) {
    const Graph &region = *root_.regions[region_number];
    formula_.bind(region.inputs()[0], [value](const Index &) { return value; });
    for (size_t i = 1; i < region.inputs().size(); ++i) {
      const Value *given = root_.input(3 + i - 1);
      formula_.bind(region.inputs()[i],
                    [this, given](const Index &index) { return formula_.at(given, index); });
    }
    Index index = formula_.index_of(leading_, u + input_.begin0);
    index.push_back(row);
    index.push_back(key);
    return formula_.at(region.output(0), index);
  }

  void define() {
    const DType dtype = root_.output()->type.dtype;
    keys_ = formula_.size(root_.input(1)->type.shape[root_.input(1)->type.shape.size() - 2]);
    const Expr infinity = std::numeric_limits<float>::infinity();
    const Expr panels = (keys_ + kPanel - 1) / kPanel;
    const auto row_of = [&](const Expr &i) {
      return Halide::min(i, input_.extent1() - 1) + input_.begin1;
    };
    const auto key_of = [&](const Expr &j) { return Halide::min(j, keys_ - 1); };

    k_panels_(l, d, j, u) = operand(1, key_of(j * kPanel + l), d);
    const Expr v = operand(2, j, width_ == padded_width_ ? Expr(d) : Halide::min(d, width_ - 1));
    v_rows_(d, j, u) = width_ == padded_width_ ? v : select(d < width_, v, 0.0f);
    q_rows_(d, i, u) = operand(0, row_of(i), d);

    RDom kd(0, depth_, "kd");
    products_(l, j, i, u) = 0.0f;
    products_(l, j, i, u) += q_rows_(kd, i, u) * k_panels_(l, kd, j, u);
    const Expr score = rounded(dtype, products_(j % kPanel, j / kPanel, i, u));
    scores_(j, i, u) = select(j < keys_, through(0, score, row_of(i), key_of(j)), Expr(-infinity));

    RDom chunk(0, panels, "chunk");
    const Expr here = scores_(chunk * kPanel + l, i, u);
    maxima_(l, i, u) = -infinity;
    maxima_(l, i, u) = larger(maxima_(l, i, u), here);
    largest_(i, u) = lane_tree([&](int lane) -> Expr { return maxima_(lane, i, u); }, larger);
    powers_(j, i, u) = exp_of_nonpositive(exact(scores_(j, i, u) - largest_(i, u)));
    sums_(l, i, u) = 0.0f;
    sums_(l, i, u) = exact(sums_(l, i, u) + powers_(chunk * kPanel + l, i, u));
    const Expr inverse =
        exact(1.0f / sum_tree([&](int lane) -> Expr { return sums_(lane, i, u); }));
    factor_(i, u) = select(keys_ == 0, 0.0f, inverse);  // an empty sum is 0, not 0 / 0
    if (deferred_) {
      weights_ = powers_;
    } else {
      const DType softmax = root_.regions[1]->inputs()[0]->type.dtype;
      const Expr probability = rounded(softmax, exact(powers_(j, i, u) * factor_(i, u)));
      weights_ = Func("weights");
      weights_(j, i, u) = through(1, probability, row_of(i), key_of(j));
    }

    const int block = static_cast<int>(kContractionBlock);
    RDom blocks(0, keys_ / block, "blocks"), kb(0, block, "kb"), kr(0, keys_ % block, "kr");
    const Expr rest = keys_ / block * block + kr;
    part_(d, i, q, u) = 0.0f;
    part_(d, i, q, u) += weights_(q * block + kb, i, u) * v_rows_(d, q * block + kb, u);
    tail_(d, i, u) = 0.0f;
    tail_(d, i, u) += weights_(rest, i, u) * v_rows_(d, rest, u);
    sum_(d, i, u) = 0.0f;
    sum_(d, i, u) = exact(sum_(d, i, u) + part_(d, i, blocks, u));
    sum_(d, i, u) = exact(sum_(d, i, u) + tail_(d, i, u));
    Index index = formula_.index_of(leading_, u + input_.begin0);
    index.push_back(i + input_.begin1);
    index.push_back(d);
    const Expr result = deferred_ ? exact(sum_(d, i, u) * factor_(i, u)) : Expr(sum_(d, i, u));
    result_(d, i, u) =
        stored_epilogue(input_, [&](const Index &) { return rounded(dtype, result); }, index);
    block_loop_ = blocks.x;
    in_block_ = kb.x;
    in_rest_ = kr.x;
    in_depth_ = kd.x;
    chunk_ = chunk.x;
  }

  void schedule_result() {
    result_.split(i, io, ii, rows_, TailStrategy::GuardWithIf)
        .split(d, d, dd, width_tile_, TailStrategy::GuardWithIf)
        .reorder(dd, ii, d, io, u);
    if (width_ % input_.lanes == 0) {
      result_.vectorize(dd, input_.lanes);
    } else if (width_ % 4 == 0) {
      result_.vectorize(dd, 4);
    }
  }

  void schedule_operands() {
    k_panels_.compute_at(result_, u).store_in(MemoryType::Heap).bound_extent(l, kPanel);
    if (depth_ % 4 == 0) {
      Var outer("d_outer");
      k_panels_.split(d, outer, d, 4).reorder(d, l, outer, j).vectorize(d).unroll(l);
    } else {
      k_panels_.reorder(d, l, j);
    }
    v_rows_.compute_at(result_, u)
        .store_in(MemoryType::Heap)
        .align_bounds(d, kPanel)
        .vectorize(d, input_.lanes);
    q_rows_.compute_at(result_, io).store_in(MemoryType::Stack).bound_extent(i, rows_);
    if (depth_ % 4 == 0) {
      q_rows_.vectorize(d, 4);
    }
  }

  void schedule_scores() {
    const int lanes = input_.lanes;
    scores_.compute_at(result_, io)
        .store_in(MemoryType::Heap)
        .bound_extent(i, rows_)
        .align_bounds(j, keys_tile_)
        .split(j, jt, j, keys_tile_, TailStrategy::RoundUp)
        .reorder(j, i, jt)
        .vectorize(j, lanes)
        .unroll(j);
    products_.compute_at(scores_, jt)
        .store_in(MemoryType::Stack)
        .bound_extent(l, kPanel)
        .bound_extent(i, rows_)
        .vectorize(l, lanes)
        .unroll(l)
        .unroll(j)
        .unroll(i);
    products_.update()
        .reorder(l, j, i, in_depth_)
        .vectorize(l, lanes)
        .unroll(l)
        .unroll(j)
        .unroll(i);
    for (Func f : {maxima_, sums_}) {
      f.compute_at(result_, io).store_in(MemoryType::Stack).bound_extent(i, rows_);
      f.vectorize(l, lanes).unroll(l);
      f.update().reorder(l, chunk_, i).vectorize(l, lanes).unroll(l);
    }
    std::vector<Func> rows = {powers_};
    if (!deferred_) {
      rows.push_back(weights_);
    }
    for (Func f : rows) {
      f.compute_at(result_, io)
          .store_in(MemoryType::Heap)
          .bound_extent(i, rows_)
          .align_bounds(j, kPanel)
          .vectorize(j, lanes);
    }
    for (Func f : {largest_, factor_}) {
      f.compute_at(result_, io).store_in(MemoryType::Stack).bound_extent(i, rows_);
    }
  }

  void schedule_product() {
    const int lanes = input_.lanes;
    const auto in_registers = [&](Func f) {
      f.store_in(MemoryType::Stack)
          .bound_extent(i, rows_)
          .align_bounds(d, width_tile_)
          .vectorize(d, lanes)
          .unroll(d);
    };
    in_registers(sum_);
    sum_.compute_at(result_, d);
    sum_.update(0).reorder(d, i, block_loop_).vectorize(d, lanes).unroll(d);
    sum_.update(1).vectorize(d, lanes).unroll(d);
    for (Func f : {part_, tail_}) {
      in_registers(f);
      f.unroll(i);
      const bool whole = f.name() == part_.name();
      f.update()
          .reorder(d, i, whole ? in_block_ : in_rest_)
          .vectorize(d, lanes)
          .unroll(d)
          .unroll(i);
    }
    part_.compute_at(sum_, block_loop_);
    tail_.compute_at(result_, d);
  }

  TemplateInput &input_;
  Formula &formula_;
  const Node &root_;
  const Shape &shape_;
  const Shape leading_;
  const int depth_, width_, rows_, keys_tile_, padded_width_, width_tile_;
  const bool deferred_;  // the division by the sum comes after the product with v
  Expr keys_;

  Var d{"d"}, i{"i"}, u{"u"}, j{"j"}, l{"l"}, q{"q"}, io{"io"}, ii{"ii"}, dd{"dd"}, jt{"jt"};
  Func k_panels_{"k_panels"}, v_rows_{"v_rows"}, q_rows_{"q_rows"}, products_{"products"};
  Func scores_{"scores"}, maxima_{"maxima"}, largest_{"largest"}, powers_{"powers"};
  Func sums_{"sums"}, factor_{"factor"}, weights_, part_{"part"}, tail_{"tail"}, sum_{"sum"};
  Func result_{"out0"};
  Halide::RVar block_loop_, in_block_, in_rest_, in_depth_, chunk_;
};

}  // namespace

KernelBody attention_template(TemplateInput &input) {
  const Node &root = *input.root;
  if (root.output()->type.dtype == DType::F64 ||
      root.regions[1]->inputs()[0]->type.dtype == DType::F64) {
    throw_model_error(describe(root), ": attention in float64 is not supported: export the model ",
                      "in float32");
  }
  return Attention(input).build();
}

// K's panels and V's rows of one leading position; scores and exponentials (and weights, where they
// are not the same) of one tile of rows, of the larger tile of both ISAs.
Dim attention_scratch(const Graph &, const Node &root) {
  const Shape &k = root.input(1)->type.shape, &v = root.input(2)->type.shape;
  const TileShape tile = attention_tile(Isa::X86_64_V4);
  const int64_t tile_keys = tile.panels * kPanel;
  const Dim padded_keys = ceil_div(k[k.size() - 2], tile_keys) * Dim(tile_keys);
  const Dim padded_width = ceil_div(v.back(), kPanel) * Dim(kPanel);
  const Dim rows = scratch_of(padded_keys * Dim(tile.rows));
  return scratch_of(padded_keys * k.back()) + scratch_of(k[k.size() - 2] * padded_width) + rows +
         rows + rows;
}

}  // namespace sylvite
