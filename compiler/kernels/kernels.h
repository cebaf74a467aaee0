// Kernels: from a kernel node's region to an object file, through Halide. Halide itself stays
// inside this folder; this header is its interface.
//
// A kernel computes a part [begin0, end0) x [begin1, end1) of its split axes, serially;
// runtime/abi.h has the calling convention. Its symbols are the free symbols of the region's shapes
// in order of first appearance, then sizes that the caller works out: quotients, products and the
// like, which loops inside must see as plain numbers.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "compiler/ir/graph.h"

namespace sylvite {

enum class Isa : uint8_t { X86_64_V3, X86_64_V4 };
const char *name_of(Isa isa);  // "x86-64-v3"

// Plain numbers that a schedule is made of; a target profile or the analytic model chooses them.
struct Schedule {
  int32_t tile_rows = 0;     // rows of the register tile (matmul, attention)
  int32_t tile_columns = 0;  // columns of it, a multiple of 16
  int32_t vector_lanes = 0;
};
Schedule choose_schedule(const Graph &region, Isa isa);

// What is known of a kernel without compiling it: the plan needs nothing else.
struct KernelInterface {
  std::string root;  // "matmul", ..., "none"
  std::string
      library_symbol;        // set for Library roots: a function of the runtime, nothing to compile
  std::vector<Dim> symbols;  // passed as int32, in this order
  Dim extent0 = 1, extent1 = 1;  // of the split axes, in units
  int32_t grain0[2] = {1, 1};    // by ISA: parts start at multiples of this many units
  int32_t grain1[2] = {1, 1};
  Dim scratch_bytes = 0;  // for each part
  Dim flops = 0;          // of the whole call: multiply-adds count two, others op_cost
  Dim bytes = 0;          // read and written once, weights included
};
KernelInterface kernel_interface(const Node &kernel);

// The key: a hash of the region (names and sources left out), the ISA, the schedule, Halide's
// version and the compiler's build. Equal keys, equal objects.
std::string kernel_key(const Node &kernel, Isa isa, bool sanitize);

struct KernelObject {
  std::string symbol;        // the argv function's name, made from the key
  std::vector<char> object;  // ELF, position independent
};
enum class KernelText : uint8_t { None, Statement, Assembly };
struct KernelRequest {
  Isa isa = Isa::X86_64_V3;
  bool sanitize_address = false, sanitize_thread = false;
  KernelText text = KernelText::None;
};
// Safe to call from several threads at once. `text`: receives the lowered statement or the
// assembly.
KernelObject compile_kernel(const Node &kernel, const KernelRequest &request,
                            std::string *text = nullptr);

}  // namespace sylvite
