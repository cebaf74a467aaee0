// Removes the nodes that no output needs.
//
// Keeps: the graph's inputs, used or not: they are the user's.
#include "passes/passes.h"

namespace sylvite {

bool remove_dead(Graph &graph) {
  return graph.remove_dead();
}

}  // namespace sylvite
