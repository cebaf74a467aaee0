// The pieces of the plan's LLVM module. Internal to compiler/codegen; LLVM's own headers stay in
// two .cpp files.
#pragma once

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

// llvm.cpp: the plan's object, which defines sylvite_program_descriptor.
std::vector<char> plan_object(const Plan &plan, const WeightImage &image, const ProgramInfo &info,
                              const std::vector<Isa> &isas);

}  // namespace sylvite
