// One graph made from several: an encoder with what a decoder computes from the encoder's result.
#pragma once

#include <map>
#include <string>

#include "compiler/ir/graph.h"

namespace sylvite {

// Adds `part`'s nodes to `into`. The part's inputs that `inputs` names are these values of `into`,
// of the same element type and rank; its other inputs become inputs of `into` (an input that has
// its name already is the same one). A symbol of the part that is a bound input's size is that of
// the value; other symbols keep their names where they are free. Returns the part's outputs by
// name; `into` gets no new outputs. Throws ModelError when a bound input and its value cannot
// agree.
std::map<std::string, Value *> add_part(Graph &into, const Graph &part,
                                        const std::map<std::string, Value *> &inputs);

// Inputs and outputs by name, or null.
Value *find_input(const Graph &graph, const std::string &name);
Value *find_output(const Graph &graph, const std::string &name);

}  // namespace sylvite
