// What the fusing passes share. They all do one thing: put a kernel's region in front of the region
// of a kernel that reads its result, where the outcome is still a kernel that kernel_traits.h
// allows. Which pairs a pass tries, and in which order, is its policy; what is allowed stands here
// once.
#pragma once

#include <memory>
#include <string>

#include "compiler/ir/graph.h"

namespace sylvite {

// A kernel has at most this many inputs.
inline constexpr size_t kMostKernelInputs = 12;
// And so many ops, views and numbers included: what a formula recurses over, here and in the
// templates.
inline constexpr size_t kMostKernelNodes = 128;
// And formulas of this cost (formula_cost): compiling takes time that grows faster than they do.
inline constexpr int64_t kMostFormulaCost = 256;

// The kernel of one op, in its place.
Node *make_kernel(Graph &graph, Node *node);

// Why a region is no kernel that the templates can compile; empty if it is one. Rules:
// kernel_traits.h, the number of inputs, and indices of lookups: inputs of the region (through
// views and casts), or provably in range.
std::string broken_kernel_rule(const Graph &region);

const Graph &region_of(const Node &kernel);
// The root op of a kernel; Op::Kernel for one without root.
Op root_op(const Node &kernel);
bool has_root(const Node &kernel);
// Views and leaves only: nothing is computed.
bool only_views(const Node &kernel);

// Fuses `producer` into `consumer`, which reads its results; other readers keep the producer alive.
// With `keep_operand` the producer's result, the root's first operand, becomes the second output
// and the producer goes. Returns the kernel that takes the consumer's place, or null, and then
// nothing has changed.
Node *fuse_kernels(Graph &graph, Node *producer, Node *consumer, bool keep_operand = false);

// The nodes that read a value, each once.
std::vector<Node *> readers_of(const Value &value);

// Why fuse_kernels would return null, as the end of a sentence about the two as one kernel; empty
// if it would not.
std::string fusion_obstacle(Graph &graph, const Node &producer, const Node &consumer,
                            bool keep_operand = false);

// The kernels in order, without constants.
std::vector<Node *> kernels_in_order(const Graph &graph);

}  // namespace sylvite
