// The elementwise formula between two values: what attention takes into its regions.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "compiler/ir/graph.h"

namespace sylvite {

struct ElementwiseChain {
  std::vector<Node *> nodes;  // in order; each depends on the first value
  std::vector<Value *>
      operands;          // what they read besides, each once; small uniform constants are left out
  std::string obstacle;  // why there is no such chain, empty if there is
};

// All elementwise nodes through which `to` depends on `from`, on condition that nobody else reads
// `from` or what stands between, and that every one of them has the shape of `from`.
ElementwiseChain find_elementwise_chain(const Graph &graph, Value *from, Value *to);

// A region (head, operands...) -> result that computes the chain; head is called `head_name`. A
// scale other than 1 is multiplied to the head first.
std::unique_ptr<Graph> region_of_chain(const ElementwiseChain &chain, const Value *from,
                                       const Value *to, const std::vector<Value *> &operands,
                                       double scale, const std::string &head_name, Graph &parent);

}  // namespace sylvite
