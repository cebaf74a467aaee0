// The plan's object: the descriptor of runtime/abi.h as constant data, and the plan's functions.
//
// Layout: each structure's LLVM type has the fields of the C structure in their order; LLVM's data
// layout must then give every field the offset that this compiler gives it in abi.h, which is
// checked field by field. The same plan gives the same bytes: no paths, times or addresses enter
// the module.
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

// One field of a structure in abi.h.
struct Field {
  llvm::Constant *value;
  size_t offset;
};
#define SYLVITE_FIELD(structure, member, value) \
  Field {                                       \
    value, offsetof(structure, member)          \
  }

class DescriptorWriter {
 public:
  DescriptorWriter(llvm::Module &module, const Plan &plan, const WeightImage &image,
                   const ProgramInfo &info, const std::vector<Isa> &isas)
      : module_(module),
        context_(module.getContext()),
        plan_(plan),
        image_(image),
        info_(info),
        isas_(isas),
        pointer_(llvm::PointerType::getUnqual(context_)) {}

  void write(const PlanFunctions &functions) {
    llvm::Constant *value = structure<sylvite_program>(
        {SYLVITE_FIELD(sylvite_program, abi_version, int32(kSylviteAbiVersion)),
         SYLVITE_FIELD(sylvite_program, model_name, text(info_.model_name)),
         SYLVITE_FIELD(sylvite_program, model_hash, text(info_.model_hash)),
         SYLVITE_FIELD(sylvite_program, compiler_version, text(info_.compiler_version)),
         SYLVITE_FIELD(sylvite_program, licences, text(info_.licences)),
         SYLVITE_FIELD(sylvite_program, isa_mask, int32(isa_mask())),
         SYLVITE_FIELD(sylvite_program, input_count, count(plan_.inputs)),
         SYLVITE_FIELD(sylvite_program, output_count, count(plan_.outputs)),
         SYLVITE_FIELD(sylvite_program, symbol_count, count(plan_.bindings)),
         SYLVITE_FIELD(sylvite_program, inputs, tensors(plan_.inputs)),
         SYLVITE_FIELD(sylvite_program, outputs, tensors(plan_.outputs)),
         SYLVITE_FIELD(sylvite_program, symbols, symbols()),
         SYLVITE_FIELD(sylvite_program, kernel_count, count(plan_.kernels)),
         SYLVITE_FIELD(sylvite_program, call_count, count(plan_.calls)),
         SYLVITE_FIELD(sylvite_program, buffer_count, int32(plan_.buffer_count())),
         SYLVITE_FIELD(sylvite_program, intermediate_count, count(plan_.intermediates)),
         SYLVITE_FIELD(sylvite_program, weight_count, count(plan_.weights)),
         SYLVITE_FIELD(sylvite_program, kernels, kernels()),
         SYLVITE_FIELD(sylvite_program, calls, calls()),
         SYLVITE_FIELD(sylvite_program, intermediates, intermediates()),
         SYLVITE_FIELD(sylvite_program, weight_offsets, int64s(weight_offsets())),
         SYLVITE_FIELD(sylvite_program, weight_bytes, int64(image_.bytes)),
         SYLVITE_FIELD(sylvite_program, weight_hash,
                       int64(static_cast<int64_t>(image_.model_hash))),
         SYLVITE_FIELD(sylvite_program, prepare, functions.prepare),
         SYLVITE_FIELD(sylvite_program, run, functions.run),
         SYLVITE_FIELD(sylvite_program, costs, functions.costs),
         SYLVITE_FIELD(sylvite_program, classify, classify()),
         SYLVITE_FIELD(sylvite_program, self_test, self_test())});
    new llvm::GlobalVariable(module_, value->getType(), true, llvm::GlobalValue::ExternalLinkage,
                             value, "sylvite_program_descriptor");
  }

 private:
  llvm::Constant *int32(int64_t number) {
    return llvm::ConstantInt::getSigned(llvm::Type::getInt32Ty(context_), number);
  }
  llvm::Constant *int64(int64_t number) {
    return llvm::ConstantInt::getSigned(llvm::Type::getInt64Ty(context_), number);
  }
  llvm::Constant *real(float number) {
    return llvm::ConstantFP::get(llvm::Type::getFloatTy(context_), static_cast<double>(number));
  }
  llvm::Constant *text(const std::string &text) { return text_constant(module_, text); }
  llvm::Constant *null() { return llvm::ConstantPointerNull::get(pointer_); }
  template <typename T>
  llvm::Constant *count(const std::vector<T> &elements) {
    return int32(static_cast<int64_t>(elements.size()));
  }

  template <typename T>
  llvm::Constant *structure(const std::vector<Field> &fields) {
    std::vector<llvm::Constant *> values;
    values.reserve(fields.size());
    for (const Field &field : fields) {
      values.push_back(field.value);
    }
    llvm::Constant *value = llvm::ConstantStruct::getAnon(context_, values);
    const llvm::StructLayout *layout =
        module_.getDataLayout().getStructLayout(llvm::cast<llvm::StructType>(value->getType()));
    SYLVITE_CHECK(layout->getSizeInBytes() == sizeof(T), "abi.h and llvm.cpp disagree on a size");
    for (size_t i = 0; i < fields.size(); ++i) {
      SYLVITE_CHECK(layout->getElementOffset(static_cast<unsigned>(i)) == fields[i].offset,
                    "abi.h and llvm.cpp disagree on field " + std::to_string(i));
    }
    return value;
  }

  // A field that is an array.
  static llvm::Constant *in_line(const std::vector<llvm::Constant *> &elements) {
    return llvm::ConstantArray::get(
        llvm::ArrayType::get(elements.front()->getType(), elements.size()), elements);
  }

  // The address of a constant; of an array, or null for an empty one.
  llvm::Constant *address(llvm::Constant *value) {
    return new llvm::GlobalVariable(module_, value->getType(), true,
                                    llvm::GlobalValue::PrivateLinkage, value, "data");
  }
  llvm::Constant *array(const std::vector<llvm::Constant *> &elements) {
    return elements.empty() ? null() : address(in_line(elements));
  }
  llvm::Constant *int32s(const std::vector<int> &numbers) {
    std::vector<llvm::Constant *> elements;
    elements.reserve(numbers.size());
    for (const int number : numbers) {
      elements.push_back(int32(number));
    }
    return array(elements);
  }
  llvm::Constant *int64s(const std::vector<int64_t> &numbers) {
    std::vector<llvm::Constant *> elements;
    elements.reserve(numbers.size());
    for (const int64_t number : numbers) {
      elements.push_back(int64(number));
    }
    return array(elements);
  }

  int64_t isa_mask() const {
    int64_t mask = 0;
    for (const Isa isa : isas_) {
      mask |= int64_t{1} << static_cast<int>(isa);
    }
    return mask;
  }

  llvm::Constant *tensors(const std::vector<PlanTensor> &list) {
    std::vector<llvm::Constant *> elements;
    for (const PlanTensor &tensor : list) {
      std::vector<llvm::Constant *> dims;
      for (const Dim &dim : tensor.type.shape) {
        dims.push_back(text(dim.str()));
      }
      elements.push_back(structure<sylvite_tensor_info>(
          {SYLVITE_FIELD(sylvite_tensor_info, name, text(tensor.name)),
           SYLVITE_FIELD(sylvite_tensor_info, dtype,
                         int32(static_cast<int64_t>(tensor.type.dtype))),
           SYLVITE_FIELD(sylvite_tensor_info, rank, int32(tensor.type.rank())),
           SYLVITE_FIELD(sylvite_tensor_info, dims, array(dims))}));
    }
    return array(elements);
  }

  llvm::Constant *symbols() {
    std::vector<llvm::Constant *> elements;
    for (const PlanBinding &binding : plan_.bindings) {
      const SymbolInfo *info = plan_.symbols.find(binding.symbol);
      const int64_t lower = info == nullptr ? 0 : info->lower;
      const int64_t upper = info != nullptr && info->upper ? *info->upper : INT64_MAX;
      elements.push_back(structure<sylvite_symbol_info>(
          {SYLVITE_FIELD(sylvite_symbol_info, name, text(binding.symbol)),
           SYLVITE_FIELD(sylvite_symbol_info, lower, int64(lower)),
           SYLVITE_FIELD(sylvite_symbol_info, upper, int64(upper))}));
    }
    return array(elements);
  }

  // The kernel's function for a level, declared once however many kernels share it.
  llvm::Constant *kernel_function(const PlanKernel &kernel, Isa isa) {
    const std::string &symbol = kernel.symbols[static_cast<size_t>(isa)];
    if (symbol.empty()) {
      return null();
    }
    llvm::FunctionType *type =
        llvm::FunctionType::get(llvm::Type::getInt32Ty(context_), {pointer_}, false);
    return llvm::cast<llvm::Constant>(module_.getOrInsertFunction(symbol, type).getCallee());
  }

  llvm::Constant *kernels() {
    std::vector<llvm::Constant *> elements;
    for (size_t k = 0; k < plan_.kernels.size(); ++k) {
      const PlanKernel &kernel = plan_.kernels[k];
      const KernelInterface &interface = kernel.interface;
      const PlanCall *call = nullptr;  // all calls of a kernel are alike
      for (const PlanCall &candidate : plan_.calls) {
        call = call == nullptr && candidate.kernel == static_cast<int>(k) ? &candidate : call;
      }
      SYLVITE_CHECK(call != nullptr, kernel.name + " is never called");
      const bool scratch = !call->scratch_bytes.is(0);
      elements.push_back(structure<sylvite_kernel>(
          {SYLVITE_FIELD(sylvite_kernel, name, text(kernel.name)),
           SYLVITE_FIELD(sylvite_kernel, root, text(interface.root)),
           SYLVITE_FIELD(sylvite_kernel, function,
                         in_line({kernel_function(kernel, Isa::X86_64_V3),
                                  kernel_function(kernel, Isa::X86_64_V4)})),
           SYLVITE_FIELD(sylvite_kernel, symbols, count(call->symbols)),
           SYLVITE_FIELD(sylvite_kernel, inputs, count(call->inputs)),
           SYLVITE_FIELD(sylvite_kernel, outputs, count(call->outputs)),
           SYLVITE_FIELD(sylvite_kernel, grain0,
                         in_line({int32(interface.grain0[0]), int32(interface.grain0[1])})),
           SYLVITE_FIELD(sylvite_kernel, grain1,
                         in_line({int32(interface.grain1[0]), int32(interface.grain1[1])})),
           SYLVITE_FIELD(
               sylvite_kernel, has_scratch,
               llvm::ConstantInt::get(llvm::Type::getInt8Ty(context_), scratch ? 1 : 0))}));
    }
    return array(elements);
  }

  llvm::Constant *calls() {
    std::vector<llvm::Constant *> elements;
    for (const PlanCall &call : plan_.calls) {
      std::vector<int> buffers = call.inputs;
      buffers.insert(buffers.end(), call.outputs.begin(), call.outputs.end());
      elements.push_back(structure<sylvite_call_site>(
          {SYLVITE_FIELD(sylvite_call_site, kernel, int32(call.kernel)),
           SYLVITE_FIELD(sylvite_call_site, sources, text(call.sources)),
           SYLVITE_FIELD(sylvite_call_site, buffers, int32s(buffers))}));
    }
    return array(elements);
  }

  llvm::Constant *intermediates() {
    std::vector<llvm::Constant *> elements;
    elements.reserve(plan_.intermediates.size());
    for (const PlanBuffer &buffer : plan_.intermediates) {
      elements.push_back(structure<sylvite_buffer_info>(
          {SYLVITE_FIELD(sylvite_buffer_info, first, int32(buffer.first)),
           SYLVITE_FIELD(sylvite_buffer_info, last, int32(buffer.last))}));
    }
    return array(elements);
  }

  std::vector<int64_t> weight_offsets() const {
    SYLVITE_CHECK(image_.offsets.size() >= plan_.weights.size());
    return {image_.offsets.begin(),
            image_.offsets.begin() + static_cast<std::ptrdiff_t>(plan_.weights.size())};
  }

  llvm::Constant *reals(const float (&numbers)[4]) {
    return in_line({real(numbers[0]), real(numbers[1]), real(numbers[2]), real(numbers[3])});
  }

  llvm::Constant *classify() {
    if (!info_.classify) {
      return null();
    }
    const sylvite_classify_task &task = info_.classify->settings;
    std::vector<llvm::Constant *> labels;
    for (const std::string &label : info_.classify->labels) {
      labels.push_back(text(label));
    }
#define SYLVITE_NUMBER(member) SYLVITE_FIELD(sylvite_classify_task, member, int32(task.member))
    return address(structure<sylvite_classify_task>(
        {SYLVITE_FIELD(sylvite_classify_task, label_count, count(labels)),
         SYLVITE_FIELD(sylvite_classify_task, labels, array(labels)), SYLVITE_NUMBER(do_resize),
         SYLVITE_NUMBER(height), SYLVITE_NUMBER(width), SYLVITE_NUMBER(shortest_edge),
         SYLVITE_NUMBER(resample), SYLVITE_NUMBER(do_center_crop), SYLVITE_NUMBER(crop_height),
         SYLVITE_NUMBER(crop_width),
         SYLVITE_FIELD(sylvite_classify_task, rescale, real(task.rescale)),
         SYLVITE_NUMBER(channels), SYLVITE_FIELD(sylvite_classify_task, mean, reals(task.mean)),
         SYLVITE_FIELD(sylvite_classify_task, std, reals(task.std)), SYLVITE_NUMBER(input),
         SYLVITE_NUMBER(output)}));
#undef SYLVITE_NUMBER
  }

  llvm::Constant *self_test() {
    if (!info_.self_test) {
      return null();
    }
    const SelfTest &test = *info_.self_test;
    SYLVITE_CHECK(image_.offsets.size() == plan_.weights.size() + test.tensors.size());
    std::vector<llvm::Constant *> shapes;
    shapes.reserve(test.tensors.size());
    for (const Tensor &tensor : test.tensors) {
      shapes.push_back(int64s(tensor.shape()));
    }
    const std::vector<int64_t> offsets(
        image_.offsets.begin() + static_cast<std::ptrdiff_t>(plan_.weights.size()),
        image_.offsets.end());
    return address(structure<sylvite_self_test>(
        {SYLVITE_FIELD(sylvite_self_test, tensors, count(test.tensors)),
         SYLVITE_FIELD(sylvite_self_test, offsets, int64s(offsets)),
         SYLVITE_FIELD(sylvite_self_test, shapes, array(shapes)),
         SYLVITE_FIELD(sylvite_self_test, rtol, real(test.rtol)),
         SYLVITE_FIELD(sylvite_self_test, atol, real(test.atol))}));
  }

  llvm::Module &module_;
  llvm::LLVMContext &context_;
  const Plan &plan_;
  const WeightImage &image_;
  const ProgramInfo &info_;
  const std::vector<Isa> &isas_;
  llvm::PointerType *pointer_;
};

// An ELF note that names the compiler. The linked program has it under a PT_NOTE header, which
// link_program turns into the weights' segment (compiler/link/program.cpp).
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
                                          const Plan &plan, const WeightImage &image,
                                          const ProgramInfo &info, const std::vector<Isa> &isas) {
  auto module = std::make_unique<llvm::Module>("plan", context);
  module->setTargetTriple(machine.getTargetTriple().str());
  module->setDataLayout(machine.createDataLayout());
  module->setPICLevel(llvm::PICLevel::BigPIC);
  DescriptorWriter(*module, plan, image, info, isas).write(emit_plan_functions(*module, plan));
  write_note(*module, info);
  std::string error;
  llvm::raw_string_ostream stream(error);
  SYLVITE_CHECK(!llvm::verifyModule(*module, &stream), stream.str());
  return module;
}

}  // namespace

llvm::Constant *text_constant(llvm::Module &module, const std::string &text) {
  const std::string name = "text." + hash_name(text);
  if (llvm::GlobalVariable *found = module.getNamedGlobal(name)) {
    return found;
  }
  llvm::Constant *value = llvm::ConstantDataArray::getString(module.getContext(), text, true);
  auto *global = new llvm::GlobalVariable(module, value->getType(), true,
                                          llvm::GlobalValue::PrivateLinkage, value, name);
  global->setUnnamedAddr(llvm::GlobalValue::UnnamedAddr::Global);
  global->setAlignment(llvm::Align(1));
  return global;
}

std::vector<char> plan_object(const Plan &plan, const WeightImage &image, const ProgramInfo &info,
                              const std::vector<Isa> &isas) {
  llvm::LLVMContext context;
  const std::unique_ptr<llvm::TargetMachine> machine = baseline_machine();
  const std::unique_ptr<llvm::Module> module =
      plan_module(context, *machine, plan, image, info, isas);
  llvm::SmallVector<char, 0> object;
  llvm::raw_svector_ostream stream(object);
  llvm::legacy::PassManager passes;
  SYLVITE_CHECK(
      !machine->addPassesToEmitFile(passes, stream, nullptr, llvm::CodeGenFileType::ObjectFile));
  passes.run(*module);
  return {object.begin(), object.end()};
}

std::string plan_llvm_ir(const Plan &plan, const WeightImage &image, const ProgramInfo &info) {
  // Kernels that are not compiled yet have the plan's names for them.
  Plan named = plan;
  std::vector<Isa> isas;
  for (const Isa isa : {Isa::X86_64_V3, Isa::X86_64_V4}) {
    bool compiled = true, any = false;
    for (const PlanKernel &kernel : plan.kernels) {
      compiled = compiled && !kernel.symbols[static_cast<size_t>(isa)].empty();
      any = any || !kernel.symbols[0].empty() || !kernel.symbols[1].empty();
    }
    if (compiled || !any) {
      isas.push_back(isa);
    }
    for (PlanKernel &kernel : named.kernels) {
      if (!any) {
        kernel.symbols[static_cast<size_t>(isa)] = kernel.name + "." + name_of(isa);
      }
    }
  }
  llvm::LLVMContext context;
  const std::unique_ptr<llvm::TargetMachine> machine = baseline_machine();
  std::string text;
  llvm::raw_string_ostream stream(text);
  plan_module(context, *machine, named, image, info, isas)->print(stream, nullptr);
  return stream.str();
}

}  // namespace sylvite
