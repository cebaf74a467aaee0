// Inputs that a model accepts, made from nothing but its plan, and what the evaluator answers to
// them.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "compiler/driver/compile_model.h"
#include "compiler/ir/tensor.h"

namespace sylvite {

using SymbolSizes = std::map<std::string, int64_t>;

// Deterministic: the same plan, sizes and seed give the same tensors on every machine. Integers
// that index a table lie within it, other integers and booleans are masks (1s, then 0s, along the
// last axis, at least one 1), floats lie in (-1, 1). Throws ModelError for an input whose size is
// no valid one at `sizes`.
std::vector<Tensor> generate_inputs(const Plan &plan, const SymbolSizes &sizes, uint64_t seed);

// Floating-point operations of one run, and whether ranges, guards and size checks allow these
// sizes.
int64_t flops_at(const Plan &plan, const SymbolSizes &sizes);
bool sizes_fit(const Plan &plan, const SymbolSizes &sizes);
// The symbols, in the order of the inputs, at these sizes or as close to them as their ranges
// allow; nothing where guards do not.
std::optional<SymbolSizes> fitting_sizes(const Plan &plan,
                                         const std::function<int64_t(size_t)> &size_of_symbol);
// Small sizes that fit, more telling ones first: distinct (2, 3, 5, ...), then equal ones, then
// such that one is the sum of two others.
std::vector<SymbolSizes> small_sizes(const Plan &plan);

// The evaluator computes each operation in double in plain loops: about 1 s for this many on a
// small machine.
inline constexpr int64_t kSelfTestFlops = 100'000'000;

struct GeneratedSelfTest {
  std::optional<SelfTest> test;
  std::string note;  // why there is none
};
GeneratedSelfTest generate_self_test(const LoweredModel &model);

}  // namespace sylvite
