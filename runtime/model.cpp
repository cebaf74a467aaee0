// Opening a model: the artifact's version, its instruction set levels against this CPU, its
// weights. Nothing of the weights but the header is touched.
//
// A library's descriptor names its weights. A standalone program carries them as the last loadable
// segment of its own file. The kernel has mapped it before main; the program headers, which the
// kernel names in the auxiliary vector, say where. So no file is opened and /proc is not needed.
// Where they were put into a file of their own, the main program maps it (program/weights_file.h).
#include "runtime/model.h"

#include <elf.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

#include <algorithm>
#include <new>

#include "runtime/cpu.h"
#include "runtime/dim_text.h"

namespace sylvite {
namespace {

constexpr char kMagic[16] = "sylvite weights";
constexpr uintptr_t kWeightAlignment = 64;

__attribute__((format(printf, 4, 5))) sylvite_result fail(char *message, size_t size,
                                                          sylvite_result code, const char *format,
                                                          ...) {
  if (message != nullptr && size > 0) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, size, format, arguments);
    va_end(arguments);
  }
  return code;
}

// "x86-64-v3 and x86-64-v4"
void list_levels(int32_t mask, const char *between, char *text, size_t size) {
  size_t length = 0;
  text[0] = 0;
  for (int i = 0; i < kSylviteIsaCount; ++i) {
    if ((mask >> i & 1) != 0 && length < size) {
      length += static_cast<size_t>(
          snprintf(text + length, size - length, "%s%s", length > 0 ? between : "", kIsaNames[i]));
    }
  }
}

const std::byte *find_own_weights() {
  const auto *headers = reinterpret_cast<const Elf64_Phdr *>(getauxval(AT_PHDR));
  const size_t count = getauxval(AT_PHNUM);
  if (headers == nullptr || getauxval(AT_PHENT) != sizeof(Elf64_Phdr)) {
    return nullptr;
  }
  // In a program that was relocated, addresses count from where the headers say that they are.
  uintptr_t base = 0;
  const Elf64_Phdr *last = nullptr;
  for (size_t i = 0; i < count; ++i) {
    if (headers[i].p_type == PT_PHDR) {
      base = reinterpret_cast<uintptr_t>(headers) - headers[i].p_vaddr;
    }
    if (headers[i].p_type == PT_LOAD && (last == nullptr || headers[i].p_vaddr > last->p_vaddr)) {
      last = &headers[i];
    }
  }
  if (last == nullptr || last->p_filesz < sizeof(sylvite_weight_header) ||
      (last->p_flags & PF_R) == 0) {
    return nullptr;
  }
  return reinterpret_cast<const std::byte *>(base + last->p_vaddr);
}

sylvite_result check_weights(const sylvite_program &program, const std::byte *weights,
                             char *message, size_t size) {
  sylvite_weight_header header{};
  if (weights != nullptr) {
    memcpy(&header, weights, sizeof header);
  }
  if (memcmp(header.magic, kMagic, sizeof kMagic) != 0) {
    return fail(message, size, SYLVITE_BAD_INPUT, "the weights are missing");
  }
  if (header.bytes != static_cast<uint64_t>(program.weight_bytes) ||
      header.content_hash != program.weight_hash) {
    return fail(message, size, SYLVITE_BAD_INPUT, "the weights belong to another model");
  }
  if (reinterpret_cast<uintptr_t>(weights) % kWeightAlignment != 0) {
    return fail(message, size, SYLVITE_BAD_INPUT, "the weights are not aligned to 64 bytes");
  }
  return SYLVITE_OK;
}

DimRule rule_of(const sylvite_program &program, const char *text) {
  DimRule rule;
  const int32_t symbol = find_symbol(program, text);
  if (symbol >= 0) {
    rule.kind = DimRule::Symbol;
    rule.number = symbol;
  } else if (*text >= '0' && *text <= '9' && strspn(text, "0123456789") == strlen(text)) {
    rule.kind = DimRule::Number;
    rule.number = atoll(text);
  }
  return rule;
}

bool fill_in(sylvite_model &model) {
  const sylvite_program &program = *model.program;
  for (int32_t i = 0; i < program.input_count; ++i) {
    model.input_dims += program.inputs[i].rank;
  }
  for (int32_t i = 0; i < program.output_count; ++i) {
    model.output_dims += program.outputs[i].rank;
  }
  for (int32_t i = 0; i < program.kernel_count; ++i) {
    const sylvite_kernel &kernel = program.kernels[i];
    model.max_arguments =
        std::max(model.max_arguments, 5 + kernel.symbols + kernel.inputs + kernel.outputs);
  }
  if (!model.rules.allocate(model.input_dims)) {
    return false;
  }
  int64_t at = 0;
  for (int32_t i = 0; i < program.input_count; ++i) {
    for (int32_t axis = 0; axis < program.inputs[i].rank; ++axis) {
      model.rules[at++] = rule_of(program, program.inputs[i].dims[axis]);
    }
  }
  for (int32_t i = 0; i < program.content_count; ++i) {
    const sylvite_tensor_info &info = program.inputs[program.contents[i]];
    int64_t count = 1;
    for (int32_t axis = 0; axis < info.rank; ++axis) {
      count *= rule_of(program, info.dims[axis]).number;
    }
    model.contents += count;
  }
  return true;
}

}  // namespace

sylvite_result choose_isa(const sylvite_program &program, const CpuFeatures &cpu,
                          const char *forced, sylvite_isa *isa, char *message, size_t size) {
  char levels[64];
  list_levels(program.isa_mask, " and ", levels, sizeof levels);
  if (forced != nullptr && *forced != 0) {
    const std::optional<sylvite_isa> wanted = parse_isa(forced);
    if (!wanted) {
      list_levels((1 << kSylviteIsaCount) - 1, " or ", levels, sizeof levels);
      return fail(message, size, SYLVITE_BAD_INPUT, "SYLVITE_ISA is '%.40s': expected %s", forced,
                  levels);
    }
    if ((program.isa_mask >> *wanted & 1) == 0) {
      return fail(message, size, SYLVITE_BAD_INPUT,
                  "SYLVITE_ISA is '%s', but the program holds code for %s only", forced, levels);
    }
    if (const char *missing = missing_feature(cpu, *wanted)) {
      return fail(message, size, SYLVITE_BAD_INPUT, "SYLVITE_ISA is '%s', but this CPU lacks %s",
                  forced, missing);
    }
    *isa = *wanted;
    return SYLVITE_OK;
  }
  const char *lowest_misses = nullptr;
  for (int i = kSylviteIsaCount - 1; i >= 0; --i) {
    if ((program.isa_mask >> i & 1) == 0) {
      continue;
    }
    lowest_misses = missing_feature(cpu, static_cast<sylvite_isa>(i));
    if (lowest_misses == nullptr) {
      *isa = static_cast<sylvite_isa>(i);
      return SYLVITE_OK;
    }
  }
  return fail(message, size, SYLVITE_BAD_INPUT,
              "the program holds code for %s, and this CPU lacks %s", levels,
              lowest_misses != nullptr ? lowest_misses : "both");
}

}  // namespace sylvite

extern "C" {

sylvite_result sylvite_model_open(const sylvite_program *program, const void *weights,
                                  sylvite_model **model, char *message, size_t size) {
  using namespace sylvite;
  *model = nullptr;
  if (program == nullptr || program->abi_version != kSylviteAbiVersion) {
    return fail(message, size, SYLVITE_BAD_INPUT,
                "the model was compiled for version %d of the runtime, this is version %d",
                program != nullptr ? program->abi_version : 0, kSylviteAbiVersion);
  }
  sylvite_isa isa = SYL_X86_64_V3;
  if (const sylvite_result result =
          choose_isa(*program, detect_cpu(), getenv("SYLVITE_ISA"), &isa, message, size)) {
    return result;
  }
  const void *given = weights != nullptr ? weights : program->weights;
  const std::byte *image = given != nullptr                 ? static_cast<const std::byte *>(given)
                           : program->separate_weights != 0 ? nullptr
                                                            : find_own_weights();
  if (const sylvite_result result = check_weights(*program, image, message, size)) {
    return result;
  }
  sylvite_model *opened = new (std::nothrow) sylvite_model;
  if (opened == nullptr) {
    return fail(message, size, SYLVITE_OUT_OF_MEMORY, "out of memory");
  }
  opened->program = program;
  opened->weights = image;
  opened->isa = isa;
  if (!fill_in(*opened)) {
    delete opened;
    return fail(message, size, SYLVITE_OUT_OF_MEMORY, "out of memory");
  }
  *model = opened;
  return SYLVITE_OK;
}

void sylvite_model_close(sylvite_model *model) {
  delete model;
}

int32_t sylvite_model_input_count(const sylvite_model *model) {
  return model->program->input_count;
}
int32_t sylvite_model_output_count(const sylvite_model *model) {
  return model->program->output_count;
}

sylvite_tensor_info_view sylvite_model_input(const sylvite_model *model, int32_t i) {
  const sylvite_tensor_info &info = model->program->inputs[i];
  return {info.name, static_cast<sylvite_dtype>(info.dtype), info.rank, info.dims};
}

sylvite_tensor_info_view sylvite_model_output(const sylvite_model *model, int32_t i) {
  const sylvite_tensor_info &info = model->program->outputs[i];
  return {info.name, static_cast<sylvite_dtype>(info.dtype), info.rank, info.dims};
}

const char *sylvite_model_input_name(const sylvite_model *model, int32_t i) {
  return model->program->inputs[i].name;
}

const char *sylvite_model_output_name(const sylvite_model *model, int32_t i) {
  return model->program->outputs[i].name;
}

int32_t sylvite_model_find_input(const sylvite_model *model, const char *name) {
  for (int32_t i = 0; i < model->program->input_count; ++i) {
    if (strcmp(model->program->inputs[i].name, name) == 0) {
      return i;
    }
  }
  return -1;
}

int32_t sylvite_model_find_output(const sylvite_model *model, const char *name) {
  for (int32_t i = 0; i < model->program->output_count; ++i) {
    if (strcmp(model->program->outputs[i].name, name) == 0) {
      return i;
    }
  }
  return -1;
}

const char *sylvite_model_isa(const sylvite_model *model) {
  return sylvite::kIsaNames[model->isa];
}

}  // extern "C"
