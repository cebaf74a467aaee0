// The Plan: a short typed program made from a graph of kernels. The one structure that the printers (LLVM
// now, C++ sources later) and the reports read.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "compiler/ir/graph.h"
#include "compiler/kernels/kernels.h"

namespace sylvite {

struct PlanTensor {
  std::string name;
  TensorType type;
};

struct PlanKernel {
  std::string name;               // "k3_matmul"
  const Node *node = nullptr;     // a representative: equal keys share one PlanKernel
  KernelInterface interface;
  std::string key;                // hash without ISA: what calls share
  // Filled by compile_kernels: the symbol of each ISA's function, empty where it is not in the artifact.
  std::string symbols[2];
};

struct PlanBuffer {
  std::string name;
  TensorType type;
  int first = 0, last = 0;  // calls
  int alias = -1;           // number of the buffer whose memory it shares (reshapes), or -1
};

struct PlanCall {
  int kernel = 0;
  const Node *node = nullptr;
  std::vector<int> inputs, outputs;       // buffer numbers: inputs, outputs, intermediates, weights in one row
  std::vector<Dim> symbols;               // values of the kernel's symbols in the graph's symbols
  std::string sources;
};

// Data indices that must be checked before call `before` reads them.
struct PlanIndexCheck {
  int before = 0;
  int buffer = 0;
  DType dtype = DType::I64;
  Dim count, bound;
  std::string message;
};

struct PlanCopy {  // an output that is an input or a weight, or one value that is two outputs
  int to = 0, from = 0;
};

struct Plan {
  std::string name;
  std::vector<PlanTensor> inputs, outputs;
  std::vector<PlanBuffer> intermediates;
  std::vector<TensorPtr> weights;
  std::vector<std::string> weight_names;
  std::vector<PlanKernel> kernels;
  std::vector<PlanCall> calls;
  std::vector<PlanIndexCheck> checks;
  std::vector<PlanCopy> copies;
  std::vector<Guard> guards;
  SymbolTable symbols;

  int first_output() const { return static_cast<int>(inputs.size()); }
  int first_intermediate() const { return first_output() + static_cast<int>(outputs.size()); }
  int first_weight() const { return first_intermediate() + static_cast<int>(intermediates.size()); }
};

// The graph must outlive the plan (it points at kernel nodes).
Plan make_plan(const Graph &graph_of_kernels);
std::string print(const Plan &plan);  // --emit=plan

}  // namespace sylvite
