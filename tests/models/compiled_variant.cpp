#include "tests/models/compiled_variant.h"

#include <cstdlib>

#include "compiler/driver/flags.h"

namespace sylvite::testing {

std::unique_ptr<CompiledVariant> compile_variant(const std::filesystem::path &file, Fusion fusion) {
  LowerOptions lowering;
  if (fusion == Fusion::None) {
    lowering.pipeline.disabled = {kAllFusions};
  }
  std::unique_ptr<CompiledVariant> variant = std::make_unique<CompiledVariant>();
  variant->model = lower_model(file, lowering);
  ProgressLine progress("");
  variant->compiled = compile_lowered(variant->model, program_info(variant->model),
                                      in_process_options(TargetFlags(), progress));
  return variant;
}

bool host_has_v4() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl");
}

std::unique_ptr<LoadedModel> load(const CompiledVariant &variant, const std::string &isa) {
  if (isa.empty()) {
    unsetenv("SYLVITE_ISA");
  } else {
    setenv("SYLVITE_ISA", isa.c_str(), 1);
  }
  std::unique_ptr<LoadedModel> loaded = std::make_unique<LoadedModel>(variant.compiled);
  unsetenv("SYLVITE_ISA");
  return loaded;
}

}  // namespace sylvite::testing
