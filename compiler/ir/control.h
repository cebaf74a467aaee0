// Loop and If: what their attributes say, and how sizes vary over a loop's iterations.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "compiler/ir/graph.h"

namespace sylvite {

// A Loop node's parts. Operands: perhaps the condition to begin at all, the carried values, what
// the body captures. The body takes the carried values and the captured ones, and gives the carried
// values, what is collected of each iteration, and perhaps the condition to go on.
struct LoopParts {
  explicit LoopParts(const Node &loop);

  bool may_stop = false;  // conditions are computed: as many iterations are made as `made` says
  size_t carried = 0;     // values that go from one iteration to the next
  size_t collected = 0;   // results that are stacked along a new first axis
  size_t first = 0;       // operand that is the first carried value
  Dim trip;               // iterations, at most
  std::string iteration;  // a symbol of the body: 0, 1, ..., trip - 1
  std::string made;       // a data symbol, at most trip; empty without conditions
  Dim count() const { return made.empty() ? trip : Dim::symbol(made); }
};

// The graphs that a plan runs as code of their own: the body of a Loop, the branches of an If.
std::vector<Graph *> control_bodies(const Node &node);
// The first operand that the node's regions take as an input.
size_t first_region_operand(const Node &node);
// Gives the regions of a control node a value of the graph around them; they have it as their last
// input.
void add_operand(Node &node, Value *value);
// Takes an operand away again; no region may use it.
void drop_operand(Node &node, size_t operand);

// The graph and all control bodies in it, at every depth; the outer ones first.
std::vector<Graph *> with_control_bodies(Graph &graph);
std::vector<const Graph *> with_control_bodies(const Graph &graph);

// 1 where the size never shrinks as the symbol grows, -1 where it never grows, 0 where it does not
// depend on it; nothing where that is not known.
std::optional<int> direction(const Dim &dim, const std::string &symbol, const SymbolTable &symbols);

// The largest value of the size while the symbol goes from `first` to `last`; nothing where its
// direction is unknown.
std::optional<Dim> largest_over(const Dim &dim, const std::string &symbol, const Dim &first,
                                const Dim &last, const SymbolTable &symbols);

}  // namespace sylvite
