// The pieces of the plan's LLVM module. Internal to compiler/codegen; LLVM's own headers stay in
// two .cpp files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "compiler/codegen/compile.h"
#include "compiler/codegen/plan.h"

namespace llvm {
class Constant;
class Function;
class Module;
}  // namespace llvm

namespace sylvite {

// A zero-terminated text, once a module.
llvm::Constant *text_constant(llvm::Module &module, const std::string &text);

// llvm_functions.cpp: the functions of sylvite_program.
struct PlanFunctions {
  llvm::Function *prepare, *run, *costs;
};
PlanFunctions emit_plan_functions(llvm::Module &module, const Plan &plan);

// Which of an artifact's entry points a module is for.
struct EntryModule {
  EntryPoint entry;
  size_t number = 0;  // 0: the root, which defines sylvite_program_descriptor and names the others
  size_t count = 1;
  std::string prefix = {};  // CompileOptions::library_prefix
  bool separate_weights = false;
};

// llvm.cpp: the plan's object, which defines the entry point's descriptor.
std::vector<char> plan_object(const EntryModule &entry, const WeightImage &image,
                              const std::vector<Isa> &isas);

// llvm_descriptor.cpp: the descriptor as constant data.
void emit_descriptor(llvm::Module &module, const EntryModule &entry, const WeightImage &image,
                     const std::vector<Isa> &isas, const PlanFunctions &functions);

}  // namespace sylvite
