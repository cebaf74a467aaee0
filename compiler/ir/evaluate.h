// The reference evaluator: the semantics of record. Each op in a few plain lines, computed in
// double and rounded to the value's type after each op. Folds constants; oracle of passes and
// kernels.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "compiler/ir/graph.h"

namespace sylvite {

struct EvaluateOptions {
  // Called after each node with its results, in order. What it makes of them (of the same types) is
  // what later nodes read (--check).
  std::function<void(const Node &, std::vector<Tensor> &)> observe;
};

// Values of the graph's outputs. Reads the symbols off the inputs' shapes, checks guards. Throws
// ModelError for inputs that do not fit (wrong shape, index out of range).
std::vector<Tensor> evaluate(const Graph &graph, const std::vector<Tensor> &inputs,
                             const EvaluateOptions &options = {});

// The symbols' values that these input shapes imply. Throws ModelError that names the input and
// axis.
std::map<std::string, int64_t> bind_symbols(const Graph &graph, const std::vector<Tensor> &inputs);

// One node on given inputs, with the symbols' values.
std::vector<Tensor> evaluate_node(const Node &node, const std::vector<Tensor> &inputs,
                                  const std::map<std::string, int64_t> &symbols);

// Whether a node's attributes hold no symbols.
bool attributes_are_numbers(const Node &node);
// About how many steps evaluate_node takes, at most, where the sizes of operands and results are
// numbers.
int64_t evaluation_steps(const Node &node);

}  // namespace sylvite
