// Small graphs made at random from the ops that passes rewrite, and inputs for them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "compiler/ir/graph.h"

namespace sylvite {

// Inputs x, y: f32[batch, length, 8] and ids: i64[batch, length]; two to three outputs. Values stay
// moderate.
std::unique_ptr<Graph> random_graph(uint32_t seed);

// Inputs for any graph whose symbols take these sizes (others: 3); integers below `largest_id`.
std::vector<Tensor> random_inputs(const Graph &graph, const std::map<std::string, int64_t> &sizes,
                                  uint32_t seed, int64_t largest_id = 2);

// The largest |difference| / max(1, |expected|) over all elements, infinity where shapes, types or
// NaNs differ.
double largest_difference(const std::vector<Tensor> &values, const std::vector<Tensor> &expected);

}  // namespace sylvite
