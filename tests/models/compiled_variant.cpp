#include "tests/models/compiled_variant.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "compiler/driver/flags.h"
#include "compiler/driver/fusion_names.h"

namespace sylvite::testing {

std::unique_ptr<CompiledVariant> compile_variant(const std::filesystem::path &file,
                                                 std::vector<std::string> disabled) {
  LowerOptions lowering;
  lowering.pipeline.disabled = std::move(disabled);
  std::unique_ptr<CompiledVariant> variant = std::make_unique<CompiledVariant>();
  variant->model = lower_model(file, lowering);
  ProgressLine progress("");
  variant->compiled = compile_lowered(variant->model, program_info(variant->model),
                                      in_process_options(TargetFlags(), progress));
  return variant;
}

void expect_fused(const LoweredModel &model, const GraphFile &graph) {
  std::string misses;
  for (const NearMiss &miss : model.graph->near_misses) {
    misses += "\nnearly " + miss.kind + " at " + miss.node + ": " + miss.condition;
  }
  for (const auto &[kind, found] : fusion_names(model.fused)) {
    const auto merged = graph.expect.find(std::string(kind) + "_if_heads_merged");
    if (graph.expect.count(kind) != 0 &&
        (merged == graph.expect.end() || found != merged->second)) {
      EXPECT_EQ(found, graph.expect.at(kind)) << graph.file << " " << kind << misses;
    }
  }
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
