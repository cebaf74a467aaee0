// The text form of graphs: print, parse back. docs/ir.md is its reference; pass tests are written
// in it.
//
//   graph vit (pixel_values: f32[batch, 3, 48, 48]) {
//     symbol batch in [1, inf)
//     guard length == length_2 "..."
//     w = constant {value = f32[2, 2] (1, 2, 3, 4)}
//     y = matmul(pixel_values, w) {transpose_b = 1} @ "/encoder/MatMul"
//     a = attention(q, k, v, m) { ... } [ graph (s: ..., m: ...) { ... }, graph (p: ...) { ... } ]
//     return y as logits
//   }
//
// Large constants print as `f32[768, 768] #1f3a...` (a hash); such text does not parse back without
// the tensors, so tests use small ones or `@name: f32[768,768]` inputs.
#pragma once

#include <memory>
#include <ostream>
#include <string>
#include <string_view>

#include "compiler/ir/graph.h"

namespace sylvite {

struct PrintOptions {
  int64_t max_constant_elements = 64;  // larger ones print as a hash
  bool sources = true;
  bool types = true;  // result types as trailing comments
};
std::string print(const Graph &graph, const PrintOptions &options = {});
// Throws ModelError with line and column.
std::unique_ptr<Graph> parse_graph(std::string_view text);

}  // namespace sylvite
