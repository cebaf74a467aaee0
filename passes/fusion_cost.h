// When a formula may be computed where it is read.
#pragma once

#include <cstdint>

#include "compiler/ir/graph.h"

namespace sylvite {

// Whether computing `producer` once for each element of `shape`, which reads it, costs about as
// much as computing it once: it has as many elements, or next to nothing to compute.
bool cheap_to_repeat(const Node &producer, const Shape &shape, const SymbolTable &symbols);

// The cost of the node in a formula, in the unit of op_cost: at least one, with its rounding.
int64_t node_cost(const Node &node);

// What the templates' formulas of a region amount to: a value that is read
// at several positions (an element and its neighbour, say) is computed at each of them. Counting
// ends beyond `most`.
int64_t formula_cost(const Graph &region, int64_t most);

}  // namespace sylvite
