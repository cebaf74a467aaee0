// An entry point's object: its descriptor, its plan's functions, and the root's note.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "compiler/codegen/hash.h"
#include "compiler/codegen/llvm_parts.h"
#include "compiler/ir/error.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/IR/Constants.h"
#include "llvm/IR/DataLayout.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Module.h"
#include "llvm/IR/Verifier.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Support/raw_ostream.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/Target/TargetOptions.h"
#include "llvm/Transforms/Utils/ModuleUtils.h"
#include "runtime/abi.h"

namespace sylvite {
namespace {

// Any x86-64: an older CPU gets a clear line from the runtime, not an illegal instruction from the
// plan.
std::unique_ptr<llvm::TargetMachine> baseline_machine() {
  static std::once_flag initialised;
  std::call_once(initialised, [] {
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
  });
  const std::string triple = "x86_64-pc-linux-gnu";
  std::string error;
  const llvm::Target *target = llvm::TargetRegistry::lookupTarget(triple, error);
  SYLVITE_CHECK(target != nullptr, error);
  llvm::TargetOptions options;
  options.FunctionSections = true;
  options.DataSections = true;
  return std::unique_ptr<llvm::TargetMachine>(
      target->createTargetMachine(triple, "x86-64", "", options, llvm::Reloc::PIC_));
}

// An ELF note that names the compiler, in programs alone. The linked program has it under a PT_NOTE
// header, which link_program turns into the weights' segment (compiler/link/program.cpp); where the
// weights are a file of their own, `sylvite bench` knows a program by it. So an application that is
// linked with a library must not have one.
void write_note(llvm::Module &module, const ProgramInfo &info) {
  llvm::LLVMContext &context = module.getContext();
  llvm::Type *word = llvm::Type::getInt32Ty(context);
  constexpr char kOwner[] = "Sylvite";  // with its zero
  std::string description = info.compiler_version;
  description.resize((description.size() + 4) / 4 * 4, '\0');  // at least one zero, whole words
  const auto number = [&](size_t value) { return llvm::ConstantInt::get(word, value); };
  llvm::Constant *note = llvm::ConstantStruct::getAnon(
      context, {number(sizeof kOwner), number(description.size()), number(1),
                llvm::ConstantDataArray::getString(context, {kOwner, sizeof kOwner}, false),
                llvm::ConstantDataArray::getString(context, description, false)});
  auto *global = new llvm::GlobalVariable(module, note->getType(), true,
                                          llvm::GlobalValue::PrivateLinkage, note, "sylvite_note");
  global->setSection(".note.sylvite");
  global->setAlignment(llvm::Align(4));
  llvm::appendToUsed(module, {global});
}

std::unique_ptr<llvm::Module> plan_module(llvm::LLVMContext &context, llvm::TargetMachine &machine,
                                          const EntryModule &entry, const WeightImage &image,
                                          const std::vector<Isa> &isas) {
  auto module = std::make_unique<llvm::Module>("plan", context);
  module->setTargetTriple(machine.getTargetTriple().str());
  module->setDataLayout(machine.createDataLayout());
  module->setPICLevel(llvm::PICLevel::BigPIC);
  const PlanFunctions functions = emit_plan_functions(*module, *entry.entry.plan);
  emit_descriptor(*module, entry, image, isas, functions);
  if (entry.number == 0 && entry.prefix.empty()) {
    write_note(*module, *entry.entry.info);
  }
  std::string error;
  llvm::raw_string_ostream stream(error);
  SYLVITE_CHECK(!llvm::verifyModule(*module, &stream), stream.str());
  return module;
}

}  // namespace

std::vector<char> plan_object(const EntryModule &entry, const WeightImage &image,
                              const std::vector<Isa> &isas) {
  llvm::LLVMContext context;
  const std::unique_ptr<llvm::TargetMachine> machine = baseline_machine();
  const std::unique_ptr<llvm::Module> module = plan_module(context, *machine, entry, image, isas);
  llvm::SmallVector<char, 0> object;
  llvm::raw_svector_ostream stream(object);
  llvm::legacy::PassManager passes;
  SYLVITE_CHECK(
      !machine->addPassesToEmitFile(passes, stream, nullptr, llvm::CodeGenFileType::ObjectFile));
  passes.run(*module);
  return {object.begin(), object.end()};
}

std::string plan_llvm_ir(const Plan &plan, const WeightImage &image, const ProgramInfo &info) {
  const std::vector<Isa> isas = {Isa::X86_64_V3, Isa::X86_64_V4};
  Plan named = plan;
  for (PlanKernel &kernel : named.kernels) {
    for (const Isa isa : isas) {
      kernel.symbols[static_cast<size_t>(isa)] = kernel.name + "." + name_of(isa);
    }
  }
  llvm::LLVMContext context;
  const std::unique_ptr<llvm::TargetMachine> machine = baseline_machine();
  std::string text;
  llvm::raw_string_ostream stream(text);
  plan_module(context, *machine, {{&named, &info}}, image, isas)->print(stream, nullptr);
  return stream.str();
}

}  // namespace sylvite
