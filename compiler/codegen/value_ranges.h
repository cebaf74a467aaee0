// What is known at compile time of the integers in a tensor. Internal to compiler/codegen.
#pragma once

#include <optional>
#include <vector>

#include "compiler/ir/graph.h"

namespace sylvite {

// Every element lies between the least of `low` and the greatest of `high`, both included.
struct ValueRange {
  std::vector<Dim> low, high;
};

// Nothing where the elements are data. `kernels`: the kernel nodes whose regions the value is
// nested in, the outermost first; a region's input is followed to what the kernel reads.
std::optional<ValueRange> range_of(const Value &value, const std::vector<const Node *> &kernels);

// Whether all elements lie in [-bound, bound), as far as it can be proved.
bool proved_in_range(const ValueRange &range, const Dim &bound, const SymbolTable &symbols);

}  // namespace sylvite
