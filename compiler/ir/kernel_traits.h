// Plain facts about kernels that both sides need: the fuse passes to decide, the kernel templates
// to keep.
//
// A kernel node's region is made of
//   prologue:  Elementwise, View, Lookup and Leaf ops between the region's inputs and the root's
//   operands; root:      at most one op of class Root (or one Library op, alone); epilogue:
//   Elementwise ops over the root's result (other operands may come from prologue ops), and View
//              ops that only reorder or regroup the root's elements.
// The region's outputs: the end of the epilogue; for norms also the root's first operand (the
// residual sum).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "compiler/ir/graph.h"

namespace sylvite {

// Packed weights: panels of this many columns, K-major inside: element (k, n) of [K, N] stands at
// panel n / 16, row k, column n % 16. Columns beyond N are zero. One layout for every ISA.
inline constexpr int64_t kPanelColumns = 16;
// Positions in a block of a cache (Append), whatever the element type.
inline constexpr int64_t kCacheBlock = 16;

// A contraction over K is one chain of fused multiply-adds for each block of this many k,
// ascending, from zero; the blocks' sums are added in order. Never changed: it defines the bits of
// every release.
inline constexpr int64_t kContractionBlock = 384;

// Sums across a row have 16 partial sums (index k mod 16, k ascending) and one tree: lanes i and i
// + 8, then i and i + 4, i + 2, i + 1.
inline constexpr int64_t kSumLanes = 16;

struct KernelTraits {
  bool elementwise_epilogue = false;  // Elementwise ops on the root's result may join
  bool view_epilogue = false;  // a reorder of the result may join: one that output_strides finds
  bool elementwise_prologue = false;  // operands may be formulas, not only views, of the inputs
  bool row_prologue =
      false;  // operands may be rows that are looked up: Gather, not on the last axis
  bool extra_first_operand_output = false;  // may also store the root's first operand
};

// Facts for a root op; for Op::Kernel itself: those of a kernel without root.
KernelTraits kernel_traits(Op root);

// What an elementwise op costs for one element, in additions. Costs of kernels, the decisions of
// the fusing passes and those of the templates count in this unit.
int64_t op_cost(Op op);

// The root node of a kernel region, or null when it has none.
const Node *root_of(const Graph &region);

// Whether the node looks up whole rows: their innermost axis stays as it is.
bool looks_up_rows(const Node &node);

// The views behind the root and its elementwise epilogue, in order.
std::vector<const Node *> trailing_views(const Graph &region);
// The value before them: it has the shape of the root's result.
const Value *epilogue_value(const Graph &region);

// How far apart neighbours along each axis of the root's result lie in the region's first output.
// Nothing when the trailing views split or join axes in another way than by strides.
std::optional<std::vector<Dim>> output_strides(const Graph &region);

}  // namespace sylvite
