// Graph of kernels -> kernel objects, plan object, weight image: all that an artifact is linked
// from.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "compiler/codegen/plan.h"
#include "runtime/abi.h"

namespace sylvite {

struct CompileOptions {
  std::vector<Isa> isas = {Isa::X86_64_V3, Isa::X86_64_V4};
  int jobs = 0;                     // 0: one a core that we may use
  std::filesystem::path cache_dir;  // empty: no cache
  bool sanitize_address = false, sanitize_thread = false;
  std::function<void(int done, int total, const std::string &what)> progress;
};

struct ClassifyTask {  // owning form of sylvite_classify_task
  std::vector<std::string> labels;
  sylvite_classify_task settings{};  // its `labels` is ignored
};

struct SelfTest {
  std::vector<Tensor> tensors;  // inputs then outputs
  float rtol = 1e-4f, atol = 1e-4f;
};

struct ProgramInfo {
  std::string model_name, model_hash, compiler_version, licences;
  std::optional<ClassifyTask> classify;
  std::optional<SelfTest> self_test;
};

// Where each weight stands in the image, 64-byte aligned, after the header; the self-test's tensors
// follow.
struct WeightImage {
  std::vector<TensorPtr> tensors;
  std::vector<int64_t> offsets;
  int64_t bytes = 0;
  uint64_t model_hash = 0;
  // Streams header and tensors in order; `write` returns false to stop (disk full).
  bool write_to(const std::function<bool(const void *, size_t)> &write) const;
};
WeightImage make_weight_image(const Plan &plan, const ProgramInfo &info);

// Compiles every kernel for every ISA (cache, several jobs), then the plan's LLVM object that
// defines `sylvite_program_descriptor`. The same inputs give the same bytes whatever jobs and
// cache.
std::vector<std::vector<char>> compile_objects(Plan &plan, const WeightImage &image,
                                               const ProgramInfo &info,
                                               const CompileOptions &options);

// The plan's module as text (--emit=llvm).
std::string plan_llvm_ir(const Plan &plan, const WeightImage &image, const ProgramInfo &info);

// The default of --cache-dir: $SYLVITE_CACHE_DIR, $XDG_CACHE_HOME/sylvite or ~/.cache/sylvite.
std::filesystem::path default_cache_dir();

}  // namespace sylvite
