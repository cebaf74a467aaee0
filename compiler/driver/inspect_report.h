// What the compiler understood of a model: the numbers behind `sylvite inspect`.
#pragma once

#include <string>

#include "compiler/driver/compile_model.h"
#include "compiler/driver/self_test.h"

namespace sylvite {

// JSON: {"model": .., "inputs": [..], "outputs": [..], "symbols": .., "graph": .., "fused":
// {"attention": n, ..}, "near_misses": [{"kind", "node", "condition"}], "kernels": [{"name",
// "root", "count", "shape", "flops", "bytes", "formulas": {"flops", "bytes"}, "sources"}],
// "plan_calls": n, "arena_bytes": {"formula", "at": {"sizes", "bytes"}}, "warnings": [..]}. flops
// and bytes are those of all calls of the kernel together, at `sizes`.
std::string inspect_json(const LoweredModel &model, const SymbolSizes &sizes);
std::string inspect_text(const LoweredModel &model, const SymbolSizes &sizes);

}  // namespace sylvite
