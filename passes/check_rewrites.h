// Validates rewrites on recorded values: what `sylvite compile --check` does, and tests of passes.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "compiler/ir/graph.h"

namespace sylvite {

class RewriteCheck {
 public:
  explicit RewriteCheck(const Graph &graph);

  // Evaluates the graph, before any step, on inputs that a message calls `sizes`, and records its
  // values. Throws ModelError where the evaluator refuses the inputs; they are then left out.
  void add_sample(const std::string &sizes, std::vector<Tensor> inputs);

  // The graph behind a pass: throws InternalError, which names the pass and a node, unless it
  // computes what it computed before. Its values are the record for the next step.
  void step(const std::string &pass, const Graph &graph);

  int steps() const { return steps_; }

 private:
  struct Record {
    Tensor tensor;
    std::string node;  // that computed it, in the user's names
  };
  struct Sample {
    std::string sizes;
    std::vector<Tensor> inputs;
    std::map<std::string, Record> values;  // by name, where only one value has it
    std::vector<Record> outputs;
  };
  // The first value that is not what was recorded.
  struct Difference {
    std::string node, value, element;
  };

  Sample evaluated(const Graph &graph, const Sample &before, std::optional<Difference> &first);
  std::optional<Difference> compare(const std::string &name, const Tensor &got,
                                    const Record &expected) const;
  std::optional<Difference> inside(const Node &kernel, const std::vector<Tensor> &operands,
                                   const std::map<std::string, int64_t> &symbols,
                                   const Sample &before) const;

  const Graph *graph_;  // until the first step
  double tolerance_;
  int steps_ = 0;
  std::vector<Sample> samples_;
};

}  // namespace sylvite
