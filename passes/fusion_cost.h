// When a formula may be computed where it is read.
#pragma once

#include "compiler/ir/graph.h"

namespace sylvite {

// Whether computing `producer` once for each element of `shape`, which reads it, costs about as
// much as computing it once: it has as many elements, or next to nothing to compute.
bool cheap_to_repeat(const Node &producer, const Shape &shape, const SymbolTable &symbols);

}  // namespace sylvite
