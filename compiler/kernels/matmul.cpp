// Products of two computed operands, with numpy batching (axis 0: leading positions, axis 1: rows).
//
// For each leading position B is packed in panels of 16 columns; a register tile of rows x panels
// runs over k in blocks of kContractionBlock, as in matmul_panels.cpp. Nothing is known of the
// sizes, so rows beyond the last are clamped and columns beyond the last computed and not stored.
#include <vector>

#include "compiler/ir/kernel_traits.h"
#include "compiler/kernels/float_math.h"
#include "compiler/kernels/region.h"
#include "compiler/kernels/template.h"

namespace sylvite {

using Halide::cast;
using Halide::Expr;
using Halide::Func;
using Halide::MemoryType;
using Halide::RDom;
using Halide::TailStrategy;
using Halide::Var;
using Index = std::vector<Expr>;

KernelBody matmul_template(TemplateInput &input) {
  Formula &formula = input.formula;
  const Node &root = *input.root;
  const DType dtype = root.output()->type.dtype;
  const Halide::Type type = sum_type(dtype);
  const Shape &shape = root.output()->type.shape;
  const Shape leading(shape.begin(), shape.end() - 2);
  const bool transposed = root.attributes.integer_or("transpose_b", 0) != 0;
  const TileShape tile = matmul_tile(input.isa);
  constexpr int kPanel = static_cast<int>(kPanelColumns);
  const int columns_of_tile = tile.panels * kPanel, lanes = input.lanes;
  const Expr depth = formula.size(root.input(0)->type.shape.back());
  const Expr columns = formula.size(shape.back());
  const Expr rows = formula.size(shape[shape.size() - 2]);

  Var n("n"), m("m"), u("u"), k("k"), l("l"), p("p"), q("q"), no("no"), ni("ni"), mo("mo"),
      mi("mi");
  const Index lead = formula.index_of(leading, u + input.begin0);
  const auto operand = [&](size_t number, const Expr &row, const Expr &column) {
    const Value *value = root.input(number);
    const size_t own = value->type.shape.size() - 2, missing = lead.size() - own;
    Index index;
    for (size_t axis = 0; axis < own; ++axis) {
      index.push_back(value->type.shape[axis].is(1) ? Expr(0) : lead[missing + axis]);
    }
    index.push_back(row);
    index.push_back(column);
    return cast(type, formula.at(value, index));
  };

  Func b("b_panels"), part("part"), tail("tail"), sum("sum"), out("out0");
  const Expr column = Halide::min(p * kPanel + l, columns - 1);
  b(l, k, p, u) = transposed ? operand(1, column, k) : operand(1, k, column);
  const auto a = [&](const Expr &kk) {
    return operand(0, Halide::min(m, input.extent1() - 1) + input.begin1, kk);
  };
  const int block = static_cast<int>(kContractionBlock);
  RDom blocks(0, depth / block, "blocks"), kb(0, block, "kb"), kr(0, depth % block, "kr");
  const Expr zero = Halide::Internal::make_zero(type);
  const auto plus = [&](const Expr &x, const Expr &y) {
    return type.is_float() ? exact(x + y) : x + y;
  };
  part(l, m, p, u, q) = zero;
  part(l, m, p, u, q) += a(q * block + kb) * b(l, q * block + kb, p, u);
  const Expr rest = depth / block * block + kr;
  tail(l, m, p, u) = zero;
  tail(l, m, p, u) += a(rest) * b(l, rest, p, u);
  sum(l, m, p, u) = zero;
  sum(l, m, p, u) = plus(sum(l, m, p, u), part(l, m, p, u, blocks));
  sum(l, m, p, u) = plus(sum(l, m, p, u), tail(l, m, p, u));

  Index index = lead;
  index.push_back(m + input.begin1);
  index.push_back(n);
  const Expr result = cast(compute_type(dtype), sum(n % kPanel, m, n / kPanel, u));
  out(n, m, u) =
      stored_epilogue(input, [&](const Index &) { return rounded(dtype, result); }, index);

  out.split(m, mo, mi, tile.rows, TailStrategy::GuardWithIf)
      .split(n, no, ni, columns_of_tile, TailStrategy::GuardWithIf)
      .reorder(ni, mi, no, mo, u)
      .vectorize(ni, lanes);
  b.compute_at(out, u)
      .store_in(MemoryType::Heap)
      .bound_extent(l, kPanel)
      .reorder(l, k, p)
      .vectorize(l, lanes);
  const auto in_registers = [&](Func f) {
    f.store_in(MemoryType::Stack)
        .bound_extent(l, kPanel)
        .bound_extent(m, tile.rows)
        .bound_extent(p, tile.panels)
        .reorder(l, p, m)
        .vectorize(l, lanes)
        .unroll(l)
        .unroll(p);
  };
  const auto update = [&](Halide::Stage stage) { stage.vectorize(l, lanes).unroll(l).unroll(p); };
  in_registers(sum);
  sum.compute_at(out, no);
  update(sum.update(0).reorder(l, p, m, blocks));
  update(sum.update(1).reorder(l, p, m));
  for (Func f : {part, tail}) {
    in_registers(f);
    f.unroll(m);
    Halide::Stage stage = f.update();
    stage.reorder(l, p, m, f.rvars(0)[0]);
    update(stage);
    stage.unroll(m);
  }
  part.compute_at(sum, blocks);
  tail.compute_at(out, no);

  set_dimension(out.output_buffer(), 0, columns, 1);
  set_dimension(out.output_buffer(), 1, input.extent1(), columns);
  set_dimension(out.output_buffer(), 2, input.extent0(), rows * columns);
  KernelBody body;
  body.functions = {out};
  body.offsets = {input.begin0 * rows * columns + input.begin1 * columns};
  return body;
}

// B's panels of one leading position, whole tiles of the wider ISA.
Dim matmul_scratch(const Graph &, const Node &root) {
  const int64_t tile = matmul_tile(Isa::X86_64_V4).panels * kPanelColumns;
  const Dim columns = ceil_div(root.output()->type.shape.back(), tile) * Dim(tile);
  return scratch_of(columns * root.input(0)->type.shape.back(),
                    compute_bytes(root.output()->type.dtype));
}

}  // namespace sylvite
