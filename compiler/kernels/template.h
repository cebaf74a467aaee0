// What every kernel template starts from and gives back. A template is one file: the formula of its
// root, then the schedule.
//
// Templates compute the part [begin0, end0) x [begin1, end1) with loops that start at zero: inside,
// positions are relative to the part, and the formula is asked at `begin + position`. The output's
// host pointer is moved to the part's first element while lowering (lowering.h), so that the
// output's strides stay constants or simple expressions and no tile depends on where a part begins.
#pragma once

#include <Halide.h>

#include <functional>
#include <string>
#include <vector>

#include "compiler/kernels/formula.h"
#include "compiler/kernels/kernels.h"

namespace sylvite {

struct TemplateInput {
  TemplateInput(const Node &kernel, Isa isa, const std::vector<Dim> &symbols);

  const Graph &region;
  const Node *root;  // null: none
  Isa isa;
  int lanes;  // floats in a vector
  Formula formula;
  Halide::Param<int32_t> begin0{"begin0"}, end0{"end0"}, begin1{"begin1"}, end1{"end1"};

  Halide::Expr extent0() const { return end0 - begin0; }
  Halide::Expr extent1() const { return end1 - begin1; }
};

struct KernelBody {
  // One function an output, or one with a tuple of all of them. Their output buffers' mins, extents
  // and strides are set.
  std::vector<Halide::Func> functions;
  // One an output: elements between the tensor's first element and the part's.
  std::vector<Halide::Expr> offsets;
  // For outputs in which one loop of the function steps irregularly: the name of its variable, and
  // the offset of each step as an expression of it, which is added to the one above. The buffer's
  // stride for it is zero.
  std::string step;
  Halide::Expr step_offset;
};

KernelBody none_template(TemplateInput &input);
KernelBody matmul_panels_template(TemplateInput &input);
KernelBody matmul_template(TemplateInput &input);
KernelBody conv_template(TemplateInput &input);
KernelBody pool_template(TemplateInput &input);
KernelBody reduce_template(TemplateInput &input);
KernelBody arg_reduce_template(TemplateInput &input);
KernelBody cumsum_template(TemplateInput &input);
KernelBody softmax_template(TemplateInput &input);
KernelBody norm_template(TemplateInput &input);
KernelBody attention_template(TemplateInput &input);

// Shared by the templates.

// Sets one dimension of an output: it starts at zero.
void set_dimension(Halide::OutputImageParam buffer, int dimension, const Halide::Expr &extent,
                   const Halide::Expr &stride);
// The formula's value of the region's output number `output` before its trailing views, as stored,
// with the root's result given.
Halide::Expr stored_epilogue(TemplateInput &input, const Formula::IndexedValue &root_result,
                             const std::vector<Halide::Expr> &index);
// Values of the root's shape (or another one that the template walks through) that are inputs in
// the order of their elements are read at `position` when they are asked at `index`: a collapsed
// index then costs no division.
void bind_in_order(TemplateInput &input, const Shape &shape, const std::vector<Halide::Expr> &index,
                   const Halide::Expr &position);
// Rounded to the type, as the evaluator does after each op.
Halide::Expr rounded(DType dtype, const Halide::Expr &value);
// a * b + c for elementwise code: one rounding in float, two in double, wrapping in integers.
Halide::Expr multiply_add(const Halide::Expr &a, const Halide::Expr &b, const Halide::Expr &c);
// Whether what follows the root costs more than a few operations an element.
bool has_heavy_epilogue(const TemplateInput &input);
// Vectorises the loop over x: shifted inwards where the extent allows, else one by one.
void vectorize_inwards(Halide::Func function, const Halide::Var &x, const Halide::Expr &extent,
                       int lanes);
// The tree over kSumLanes values: i and i + 8, then i and i + 4, i + 2, i + 1.
Halide::Expr lane_tree(const std::function<Halide::Expr(int)> &lane,
                       const std::function<Halide::Expr(Halide::Expr, Halide::Expr)> &join);
Halide::Expr sum_tree(const std::function<Halide::Expr(int)> &lane);
// The type in which products of values of this type are summed up: integers wrap, so unsigned.
Halide::Type sum_type(DType dtype);

}  // namespace sylvite
