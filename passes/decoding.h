// What makes a step of a decoding loop out of an exported decoder graph. These are no passes: they
// change what the graph's inputs and outputs are, as runtime/abi.h describes it, and so are told
// which ones.
#pragma once

#include <map>
#include <memory>
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
inline constexpr const char *kScorePosition = "score_position";  // i32 [1]

// The pasts become pools of blocks [blocks, heads, 16, size] under their own names, to which the
// graph appends; the presents are no longer outputs. Throws ModelError that names an input where
// past and present do not belong together.
void keep_caches(Graph &graph, const std::vector<CachePair> &caches);

// The inputs of these names have a row for each source in place of one for each row of `batch` (on
// whatever axis that size stands), and row b of the graph's batch reads row source_rows[b] of them.
// Inputs without the batch stay as they are. Where the batch is part of a larger axis (heads on the
// batch axis), rows cannot be picked: nothing is changed and the answer is false.
bool pick_sources(Graph &graph, const std::vector<std::string> &inputs, const Dim &batch);

// The output `scores`, [batch, length, n] or [batch, n] before, is f32 [batch, n] of one position
// alone: the last, or, where tokens are padded to a fixed length, the one that the input
// score_position says.
void keep_scores_of_one(Graph &graph, const std::string &scores, bool last);

// One graph of source and target, cut in two where what depends on the source alone ends.
struct SplitGraph {
  std::unique_ptr<Graph> encode;  // of the source's inputs; outputs: what `step` needs of it
  std::unique_ptr<Graph> step;  // the whole's outputs, of the target's inputs and encode's outputs
  // step's inputs that come from encode, by name, and which output or input of encode each is.
  std::map<std::string, std::string> links;
};
// `sources`: the inputs that belong to the source; all others are the target's.
SplitGraph split_at_sources(const Graph &whole, const std::vector<std::string> &sources);

// Removes the inputs that nothing reads, but for the `kept` ones.
void drop_unused_inputs(Graph &graph, const std::vector<std::string> &kept);
// Removes the guards on sizes that no input has.
void drop_unbound_guards(Graph &graph);

// Removes all outputs but these, and what only the others needed.
void keep_outputs(Graph &graph, const std::vector<std::string> &outputs);

}  // namespace sylvite
