// A kernel region's values as Halide expressions of an index, on demand: at(value, index) recurses
// through Elementwise, View, Lookup and Leaf ops down to the region's inputs or to values that a
// template has bound (its root's result). Every float operation has one rounding and no freedom
// (see float_math.h).
//
// Inputs are flat one-dimensional buffers of dense row-major tensors; sizes are int32 expressions
// over the region's symbols. Index order is the IR's: outermost first. Bool is stored as bytes;
// half types are computed in float and rounded after each op.
#pragma once

#include <Halide.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "compiler/ir/graph.h"

namespace sylvite {

// How a tensor of this type lies in memory, and what its expressions have.
Halide::Type storage_type(DType dtype);
Halide::Type compute_type(DType dtype);
// A computed expression as it is stored.
Halide::Expr to_storage(DType dtype, const Halide::Expr &value);
Halide::Expr from_storage(DType dtype, const Halide::Expr &value);

class Formula {
 public:
  using IndexedValue = std::function<Halide::Expr(const std::vector<Halide::Expr> &)>;

  // `symbols`: the kernel's, in the order of its interface.
  Formula(const Graph &region, const std::vector<Dim> &symbols);

  Halide::Expr size(const Dim &dim) const;
  std::vector<Halide::Expr> sizes(const Shape &shape) const;
  // The row-major offset of an index in a tensor of this shape.
  Halide::Expr offset(const Shape &shape, const std::vector<Halide::Expr> &index) const;
  // The index whose row-major offset this is; the first axis is not reduced modulo its size.
  std::vector<Halide::Expr> index_of(const Shape &shape, Halide::Expr offset) const;

  Halide::Expr at(const Value *value, const std::vector<Halide::Expr> &index);
  // From now on at(value, ...) is this; forgets expressions made before.
  void bind(const Value *value, IndexedValue expression);

  const Graph &region() const { return region_; }
  std::vector<Halide::Param<int32_t>> symbol_params;
  std::vector<Halide::ImageParam> inputs;

 private:
  Halide::Expr number_of(const Dim &dim, const Halide::Type &type) const;
  Halide::Expr evaluate(const Value *value, const std::vector<Halide::Expr> &index);
  Halide::Expr elementwise(const Node &node, const std::vector<Halide::Expr> &index);
  Halide::Expr view(const Node &node, const std::vector<Halide::Expr> &index);
  Halide::Expr lookup(const Node &node, const std::vector<Halide::Expr> &index);
  Halide::Expr leaf(const Node &node, const std::vector<Halide::Expr> &index);
  Halide::Expr concat(const Node &node, const std::vector<Halide::Expr> &index);
  Halide::Expr pad(const Node &node, const std::vector<Halide::Expr> &index);
  std::vector<Halide::Expr> reshape_index(const Shape &from, const Shape &to,
                                          const std::vector<Halide::Expr> &index) const;
  std::vector<Halide::Expr> broadcast_index(const Value *operand,
                                            const std::vector<Halide::Expr> &index) const;

  const Graph &region_;
  std::map<Dim, Halide::Expr> symbol_exprs_;
  std::map<const Value *, IndexedValue> bound_;
  std::map<const Value *, size_t> input_numbers_;

  // One expression object for one value at one index, so that a value used twice stays one node.
  struct Known {
    std::vector<Halide::Expr> index;
    Halide::Expr result;
  };
  std::map<const Value *, std::vector<Known>> known_;
};

}  // namespace sylvite
