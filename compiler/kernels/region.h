// What a kernel's interface and its template both have to know of a region. No Halide here.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "compiler/ir/graph.h"
#include "compiler/ir/kernel_traits.h"
#include "compiler/kernels/kernels.h"

namespace sylvite {

// The free symbols of the region in order of first appearance (inputs, then nodes, nested regions
// included).
std::vector<std::string> symbols_of_region(const Graph &region);
// The same as sizes, and behind them the sizes of axes that are more than sums of symbols: what a
// kernel is given as numbers. Bounds of h*w or h/2 would not be exact (Halide takes n % 384 to be
// up to 383 when n is h*w).
std::vector<Dim> kernel_symbols(const Graph &region);

// The region's input whose elements `value` has, in the same order (through reshapes and the like);
// null where it computes something or moves elements.
const Value *plain_input(const Value *value);

// Whether one flat loop over the output's elements computes a region without root: every operand
// has the output's elements in order, or is a single number.
bool is_flat(const Graph &region);

// The last axis whose size is not 1; -1 when there is none.
int64_t inner_axis(const Shape &shape);
// Products of sizes: [begin, end) of the axes.
Dim product(const Shape &shape, size_t begin, size_t end);

// The register tiles of the contraction templates, by ISA.
struct TileShape {
  int rows = 0, panels = 0;
};
TileShape matmul_tile(Isa isa);
TileShape attention_tile(Isa isa);
int vector_lanes(Isa isa);  // floats in a register

// Bytes that a template's intermediate of so many elements takes in scratch: a multiple of 64, with
// the room that Halide pads every allocation by.
Dim scratch_of(const Dim &elements, int64_t element_bytes = 4);
int64_t compute_bytes(DType dtype);  // of an element as it is computed: half types in float

// Scratch that a root's template asks for; each stands in the template's own words beside it.
Dim matmul_panels_scratch(const Graph &region, const Node &root);
Dim matmul_scratch(const Graph &region, const Node &root);
Dim attention_scratch(const Graph &region, const Node &root);
Dim row_scratch(const Graph &region, const Node &root);  // norms and softmax
Dim reduce_scratch(const Graph &region, const Node &root);
Dim cumsum_scratch(const Graph &region, const Node &root);
Dim window_scratch(const Graph &region, const Node &root);  // convolution and pooling

}  // namespace sylvite
