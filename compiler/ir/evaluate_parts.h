// Shared by the evaluator's files: index walking and one function a family of ops.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "compiler/ir/graph.h"

namespace sylvite {

using SymbolValues = std::map<std::string, int64_t>;
using Index = std::vector<int64_t>;

std::vector<int64_t> evaluate_shape(const Shape &shape, const SymbolValues &symbols);
std::vector<int64_t> row_major_strides(const std::vector<int64_t> &shape);
int64_t count_of(const std::vector<int64_t> &shape);
// The next index in row-major order; false after the last.
bool advance(Index &index, const std::vector<int64_t> &shape);
// The offset of `index` (of the broadcast result) in a tensor of `shape`: axes align at the end,
// size 1 repeats.
int64_t broadcast_offset(const Index &index, const std::vector<int64_t> &shape);
// a < b for integers and booleans as at_int gives them: 64 bits without sign come as negative
// numbers from 2^63 on.
inline bool integer_less(DType dtype, int64_t a, int64_t b) {
  return dtype == DType::U64 ? static_cast<uint64_t>(a) < static_cast<uint64_t>(b) : a < b;
}
// The node in the user's terms, to begin a message with.
std::string place_of(const Node &node);
// An axis or index that may count from the end, checked against [-size, size).
int64_t checked_index(const Node &node, int64_t index, int64_t size, const char *what);

Tensor evaluate_elementwise(const Node &node, const std::vector<Tensor> &inputs,
                            const SymbolValues &symbols);
Tensor evaluate_view(const Node &node, const std::vector<Tensor> &inputs,
                     const SymbolValues &symbols);
Tensor evaluate_lookup(const Node &node, const std::vector<Tensor> &inputs);
std::vector<Tensor> evaluate_root(const Node &node, const std::vector<Tensor> &inputs,
                                  const SymbolValues &symbols);
std::vector<Tensor> evaluate_library(const Node &node, const std::vector<Tensor> &inputs,
                                     const SymbolValues &symbols);
// Throws ModelError for a guard that does not hold, among those whose symbols are known and, where
// `about` is not empty, that hold this one.
void check_guards(const Graph &graph, const SymbolValues &symbols, const std::string &about);
// If and Loop. A loop that may stop adds how many iterations it made to the symbols.
std::vector<Tensor> evaluate_control(const Node &node, const std::vector<Tensor> &inputs,
                                     SymbolValues &symbols);
// A region (or the whole graph) on values for its inputs, symbols known.
std::vector<Tensor> evaluate_region(const Graph &region, const std::vector<Tensor> &inputs,
                                    const SymbolValues &symbols);

}  // namespace sylvite
