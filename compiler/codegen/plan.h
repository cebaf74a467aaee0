// The Plan: a short typed program made from a graph of kernels. The one structure that the printers
// (LLVM now, C++ sources later) and the reports read.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "compiler/ir/graph.h"
#include "compiler/kernels/kernels.h"

namespace sylvite {

struct PlanTensor {
  std::string name;
  TensorType type;
  std::vector<Dim> contents =
      {};  // of an input: what its elements are, where they are used as sizes
};

struct PlanKernel {
  std::string name;  // "k3_matmul"
  const Node *node =
      nullptr;  // a representative: equal keys share one PlanKernel; null in hand-made plans
  KernelInterface interface;
  std::string key;  // hash without ISA: what calls share
  // Filled by compile_kernels: the symbol of each ISA's function, empty where it is not in the
  // artifact.
  std::string symbols[2];
};

// An intermediate. A reshape of it has the same number: kernels read only a buffer's address.
struct PlanBuffer {
  std::string name;
  TensorType type;
  int first = 0, last = 0;  // calls
};

struct PlanCall {
  int kernel = 0;
  const Node *node = nullptr;
  std::vector<int> inputs,
      outputs;               // buffer numbers: inputs, outputs, intermediates, weights in one row
  std::vector<Dim> symbols;  // values of the kernel's symbols in the graph's symbols
  Dim extent0 = 1, extent1 = 1;  // these five of this call's own node: equal kernels may be
  Dim scratch_bytes = 0;         // called at different sizes
  Dim flops = 0, bytes = 0;
  std::string sources;
};

// Data indices that must be checked before call `before` reads them: elements first, first + step,
// ... below count must lie in [-bound, bound).
struct PlanIndexCheck {
  int before = 0;
  int buffer = 0;
  DType dtype = DType::I64;
  int64_t first = 0, step = 1;
  Dim count, bound;
  std::string message;  // with "{}" for the index and for its position
};

struct PlanCopy {  // an output that is an input or a weight, or one value that is two outputs
  int to = 0, from = 0;
};

// What happens between calls: in front of call `before`, in the order of the list.
struct PlanEvent {
  enum class Kind : uint8_t {
    Copy,       // `bytes` from buffer `from` into buffer `to`, from byte `offset` on
    LoopBegin,  // up to its LoopEnd runs `trip` times, with `symbol` as 0, 1, ...
    LoopTest,   // `condition` says whether there is another iteration
    LoopEnd,
    Size,     // in a branch: what `symbol` is behind the If, `trip`
    IfBegin,  // up to its IfElse where `condition` is true, from there to its IfEnd where not
    IfElse,
    IfEnd,
  };
  Kind kind = Kind::Copy;
  int before = 0;
  int to = 0, from = 0;
  Dim bytes, offset;
  int condition = -1;  // a buffer; -1: true
  std::string symbol;
  std::string made;  // where conditions may end a loop: how many iterations there were
  Dim trip;
};

// A symbol that has its value only while the plan runs: from `first` to `last`, expressions over
// the inputs' symbols and the variables before it.
struct PlanVariable {
  std::string symbol;
  Dim first, last;
};

// How a symbol is read off the inputs: (size - offset) / coefficient, which must be whole. The
// offset holds only symbols bound earlier. With `contents` it is not a size but the element of that
// number.
struct PlanBinding {
  std::string symbol;
  int input = 0, axis = 0;
  int64_t coefficient = 1;
  Dim offset;
  bool contents = false;
};

// A size (or element) of an input that must have this value once the symbols are bound.
struct PlanSizeCheck {
  int input = 0, axis = 0;
  Dim expected;
  bool contents = false;
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
  std::vector<PlanEvent> events;
  std::vector<PlanVariable> variables;
  std::vector<int> contents;          // inputs whose elements are used as sizes
  std::vector<PlanBinding> bindings;  // one a symbol, in the order of the artifact's symbols
  std::vector<PlanSizeCheck> size_checks;
  std::vector<Guard> guards;
  SymbolTable symbols;

  int first_output() const { return static_cast<int>(inputs.size()); }
  int first_intermediate() const { return first_output() + static_cast<int>(outputs.size()); }
  int first_weight() const { return first_intermediate() + static_cast<int>(intermediates.size()); }
  int buffer_count() const { return first_weight() + static_cast<int>(weights.size()); }
};

// The graph must outlive the plan (it points at kernel nodes).
// Throws ModelError for a symbol that no input's shape gives and for tensors beyond 2^31 elements.
Plan make_plan(const Graph &graph_of_kernels);
std::string print(const Plan &plan);  // --emit=plan

// The bytes that the arena takes at these sizes: outputs and intermediates, placed as the
// runtime places them.
int64_t arena_bytes(const Plan &plan, const std::map<std::string, int64_t> &symbols);
// What is alive at once at most, as a formula over the symbols: no placement can need less.
Dim arena_formula(const Plan &plan);
// These sizes, and those that vary while the plan runs as they are at last.
std::map<std::string, int64_t> with_variables(const Plan &plan,
                                              const std::map<std::string, int64_t> &symbols);
// How often a call is made in a run, at most.
int64_t times_called(const Plan &plan, size_t call, const std::map<std::string, int64_t> &symbols);
// Bytes of a tensor of this type.
Dim byte_count(const TensorType &type);

}  // namespace sylvite
