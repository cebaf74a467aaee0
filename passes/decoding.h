// What makes a step of a decoding loop out of an exported decoder graph. These are no passes: they
// change what the graph's inputs and outputs are, as runtime/abi.h describes it, and so are told
// which ones.
#pragma once

#include <string>
#include <vector>

#include "compiler/ir/graph.h"

namespace sylvite {

// An input [batch, heads, past, size] (or [batch, past, heads, size]) and the output that is it
// with the new rows behind it.
struct CachePair {
  std::string past, present;
};

// Names of the inputs that are added.
inline constexpr const char *kCachePast = "cache_past";    // bool [past]: only its size counts
inline constexpr const char *kCacheTable = "cache_table";  // i32 [batch, past / 16 + 1]
inline constexpr const char *kSourceRows = "source_rows";  // i32 [batch]

// The pasts become pools of blocks [blocks, heads, 16, size] under their own names, to which the
// graph appends; the presents are no longer outputs. Throws ModelError that names an input where
// past and present do not belong together.
void keep_caches(Graph &graph, const std::vector<CachePair> &caches);

// The inputs of these names, [batch, ...] before, have a row for each source instead, and row b of
// the graph's batch reads row source_rows[b] of them.
void pick_sources(Graph &graph, const std::vector<std::string> &inputs);

// The output `scores`, [batch, length, n] or [batch, n] before, is [batch, n] of the last position
// alone, and f32. `axis` is the length's.
void keep_last_scores(Graph &graph, const std::string &scores);

// Removes all outputs but these, and the inputs that nothing needs then.
void keep_outputs(Graph &graph, const std::vector<std::string> &outputs);

}  // namespace sylvite
