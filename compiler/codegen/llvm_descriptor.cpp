// The descriptor of runtime/abi.h as constant data.
//
// Layout: each structure's LLVM type has the fields of the C structure in their order; LLVM's data
// layout must then give every field the offset that this compiler gives it in abi.h, which is
// checked field by field. The same plan gives the same bytes: no paths, times or addresses enter
// the module.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "compiler/codegen/hash.h"
#include "compiler/codegen/llvm_parts.h"
#include "compiler/ir/error.h"
#include "llvm/IR/Constants.h"
#include "llvm/IR/DataLayout.h"
#include "llvm/IR/Module.h"
#include "runtime/abi.h"

namespace sylvite {
namespace {

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
  DescriptorWriter(llvm::Module &module, const EntryModule &entry, const WeightImage &image,
                   const std::vector<Isa> &isas)
      : module_(module),
        context_(module.getContext()),
        entry_(entry),
        plan_(*entry.entry.plan),
        image_(image),
        places_(image.entries[entry.number]),
        info_(*entry.entry.info),
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
         SYLVITE_FIELD(sylvite_program, content_count, count(plan_.contents)),
         SYLVITE_FIELD(sylvite_program, contents, int32s(plan_.contents)),
         SYLVITE_FIELD(sylvite_program, kernel_count, count(plan_.kernels)),
         SYLVITE_FIELD(sylvite_program, call_count, count(plan_.calls)),
         SYLVITE_FIELD(sylvite_program, buffer_count, int32(plan_.buffer_count())),
         SYLVITE_FIELD(sylvite_program, intermediate_count, count(plan_.intermediates)),
         SYLVITE_FIELD(sylvite_program, weight_count, count(plan_.weights)),
         SYLVITE_FIELD(sylvite_program, kernels, kernels()),
         SYLVITE_FIELD(sylvite_program, calls, calls()),
         SYLVITE_FIELD(sylvite_program, intermediates, intermediates()),
         SYLVITE_FIELD(sylvite_program, weight_offsets, int64s(places_.weights)),
         SYLVITE_FIELD(sylvite_program, weight_bytes, int64(image_.bytes)),
         SYLVITE_FIELD(sylvite_program, weight_hash,
                       int64(static_cast<int64_t>(image_.content_hash))),
         SYLVITE_FIELD(sylvite_program, weights, weights()),
         SYLVITE_FIELD(sylvite_program, separate_weights, int32(entry_.separate_weights ? 1 : 0)),
         SYLVITE_FIELD(sylvite_program, prepare, functions.prepare),
         SYLVITE_FIELD(sylvite_program, run, functions.run),
         SYLVITE_FIELD(sylvite_program, costs, functions.costs),
         SYLVITE_FIELD(sylvite_program, classify, classify()),
         SYLVITE_FIELD(sylvite_program, translate, translate()),
         SYLVITE_FIELD(sylvite_program, self_test, self_test()),
         SYLVITE_FIELD(sylvite_program, entry_count, int32(other_entries())),
         SYLVITE_FIELD(sylvite_program, entries, entries())});
    auto *descriptor = new llvm::GlobalVariable(module_, value->getType(), true,
                                                llvm::GlobalValue::ExternalLinkage, value,
                                                descriptor_name(entry_.number));
    if (entry_.number > 0 || !entry_.prefix.empty()) {
      descriptor->setVisibility(llvm::GlobalValue::HiddenVisibility);
    }
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

  std::string descriptor_name(size_t number) const {
    if (number > 0) {
      return "sylvite_entry_" + std::to_string(number);
    }
    return entry_.prefix.empty() ? "sylvite_program_descriptor" : entry_.prefix + "_program";
  }

  // A library's image is an object of its own (compiler/link/library.cpp).
  llvm::Constant *weights() {
    if (entry_.prefix.empty()) {
      return null();
    }
    auto *image = new llvm::GlobalVariable(module_, llvm::Type::getInt8Ty(context_), true,
                                           llvm::GlobalValue::ExternalLinkage, nullptr,
                                           entry_.prefix + "_weights");
    image->setVisibility(llvm::GlobalValue::HiddenVisibility);
    return image;
  }

  int64_t other_entries() const {
    return entry_.number == 0 ? static_cast<int64_t>(entry_.count) - 1 : 0;
  }

  llvm::Constant *entries() {
    std::vector<llvm::Constant *> others;
    for (size_t number = 1; number <= static_cast<size_t>(other_entries()); ++number) {
      auto *other = new llvm::GlobalVariable(module_, llvm::Type::getInt8Ty(context_), true,
                                             llvm::GlobalValue::ExternalLinkage, nullptr,
                                             descriptor_name(number));
      other->setVisibility(llvm::GlobalValue::HiddenVisibility);
      others.push_back(other);
    }
    return array(others);
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

  // `places`: where its data and its words stand in the image.
  llvm::Constant *tokenizer(const TranslateTask::Tokenizer &tokenizer, const int64_t *places) {
    size_t word_bytes = 0;
    for (const std::string &word : tokenizer.words) {
      word_bytes += word.size() + 1;
    }
    return structure<sylvite_tokenizer>(
        {SYLVITE_FIELD(sylvite_tokenizer, kind, int32(tokenizer.settings.kind)),
         SYLVITE_FIELD(sylvite_tokenizer, size, count(tokenizer.words)),
         SYLVITE_FIELD(sylvite_tokenizer, data, int64(places[0])),
         SYLVITE_FIELD(sylvite_tokenizer, data_bytes, int64(std::ssize(tokenizer.data))),
         SYLVITE_FIELD(sylvite_tokenizer, words, int64(places[1])),
         SYLVITE_FIELD(sylvite_tokenizer, words_bytes, int64(static_cast<int64_t>(word_bytes))),
         SYLVITE_FIELD(sylvite_tokenizer, unknown, int32(tokenizer.settings.unknown))});
  }

  llvm::Constant *links(const std::vector<sylvite_link> &links) {
    std::vector<llvm::Constant *> elements;
    for (const sylvite_link &link : links) {
      elements.push_back(
          structure<sylvite_link>({SYLVITE_FIELD(sylvite_link, output, int32(link.output)),
                                   SYLVITE_FIELD(sylvite_link, input, int32(link.input))}));
    }
    return array(elements);
  }

  llvm::Constant *translate() {
    if (!info_.translate) {
      return null();
    }
    const TranslateTask &owner = *info_.translate;
    const sylvite_translate_task &task = owner.settings;
#define SYLVITE_NUMBER(member) SYLVITE_FIELD(sylvite_translate_task, member, int32(task.member))
    return address(structure<sylvite_translate_task>(
        {SYLVITE_FIELD(sylvite_translate_task, source,
                       tokenizer(owner.source, image_.task_data.data())),
         SYLVITE_FIELD(sylvite_translate_task, target,
                       tokenizer(owner.target, image_.task_data.data() + 2)),
         SYLVITE_NUMBER(source_prefix),
         SYLVITE_NUMBER(source_suffix),
         SYLVITE_NUMBER(start),
         SYLVITE_NUMBER(end),
         SYLVITE_NUMBER(pad),
         SYLVITE_NUMBER(forced_end),
         SYLVITE_NUMBER(forced_start),
         SYLVITE_FIELD(sylvite_translate_task, banned_count, count(owner.banned)),
         SYLVITE_FIELD(sylvite_translate_task, banned, int32s(owner.banned)),
         SYLVITE_NUMBER(beams),
         SYLVITE_NUMBER(max_length),
         SYLVITE_FIELD(sylvite_translate_task, length_penalty, real(task.length_penalty)),
         SYLVITE_NUMBER(early_stopping),
         SYLVITE_NUMBER(max_source),
         SYLVITE_NUMBER(max_target),
         SYLVITE_NUMBER(fixed_source),
         SYLVITE_NUMBER(fixed_target),
         SYLVITE_NUMBER(source_tokens),
         SYLVITE_NUMBER(source_mask),
         SYLVITE_NUMBER(step_tokens),
         SYLVITE_NUMBER(step_mask),
         SYLVITE_NUMBER(rows),
         SYLVITE_NUMBER(past),
         SYLVITE_NUMBER(table),
         SYLVITE_NUMBER(position),
         SYLVITE_FIELD(sylvite_translate_task, link_count, count(owner.links)),
         SYLVITE_FIELD(sylvite_translate_task, links, links(owner.links)),
         SYLVITE_FIELD(sylvite_translate_task, cache_count, count(owner.caches)),
         SYLVITE_FIELD(sylvite_translate_task, caches, int32s(owner.caches)),
         SYLVITE_NUMBER(scores),
         SYLVITE_NUMBER(score_kind)}));
#undef SYLVITE_NUMBER
  }

  llvm::Constant *self_test() {
    if (!info_.self_test) {
      return null();
    }
    const SelfTest &test = *info_.self_test;
    SYLVITE_CHECK(places_.self_test.size() == test.tensors.size());
    std::vector<llvm::Constant *> shapes;
    shapes.reserve(test.tensors.size());
    for (const Tensor &tensor : test.tensors) {
      shapes.push_back(int64s(tensor.shape()));
    }
    return address(structure<sylvite_self_test>(
        {SYLVITE_FIELD(sylvite_self_test, tensors, count(test.tensors)),
         SYLVITE_FIELD(sylvite_self_test, offsets, int64s(places_.self_test)),
         SYLVITE_FIELD(sylvite_self_test, shapes, array(shapes)),
         SYLVITE_FIELD(sylvite_self_test, rtol, real(test.rtol)),
         SYLVITE_FIELD(sylvite_self_test, atol, real(test.atol))}));
  }

  llvm::Module &module_;
  llvm::LLVMContext &context_;
  const EntryModule &entry_;
  const Plan &plan_;
  const WeightImage &image_;
  const WeightImage::Places &places_;
  const ProgramInfo &info_;
  const std::vector<Isa> &isas_;
  llvm::PointerType *pointer_;
};

}  // namespace

void emit_descriptor(llvm::Module &module, const EntryModule &entry, const WeightImage &image,
                     const std::vector<Isa> &isas, const PlanFunctions &functions) {
  DescriptorWriter(module, entry, image, isas).write(functions);
}

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

}  // namespace sylvite
