// A compiled model, opened: its descriptor, its weights, the instruction set in use. Immutable.
#pragma once

#include <cstddef>
#include <cstdint>

#include "runtime/abi.h"
#include "runtime/cpu.h"
#include "runtime/include/sylvite/sylvite.h"
#include "runtime/memory.h"

namespace sylvite {

// What is asked of one dimension of an input.
struct DimRule {
  enum Kind : uint8_t { Number, Symbol, Expression } kind = Expression;
  int64_t number = 0;  // Number: the size; Symbol: the symbol's number
};

// Picks the best level that the artifact and the CPU have, or the one that `forced` (SYLVITE_ISA;
// null or empty: none) names.
sylvite_result choose_isa(const sylvite_program &program, const CpuFeatures &cpu,
                          const char *forced, sylvite_isa *isa, char *message, size_t size);

}  // namespace sylvite

struct sylvite_model {
  const sylvite_program *program = nullptr;
  const std::byte *weights = nullptr;  // the image, with its header
  sylvite_isa isa = SYL_X86_64_V3;
  int64_t input_dims = 0, output_dims = 0;  // dimensions of all inputs, of all outputs
  int64_t contents = 0;                     // elements of inputs that are used as sizes
  int32_t max_arguments = 0;                // the longest argv of a kernel
  sylvite::Array<sylvite::DimRule> rules;   // of each dimension of each input
};
