// Graph of kernels -> kernel objects, plan object, weight image: all that an artifact is linked
// from.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
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
  // For a library: the root's descriptor is PREFIX_program and names the image, PREFIX_weights.
  std::string library_prefix;
  // For a program: its weights are a file beside it (link_program writes both).
  bool separate_weights = false;
  std::function<void(int done, int total, const std::string &what)> progress;
};

struct ClassifyTask {  // owning form of sylvite_classify_task
  std::vector<std::string> labels;
  sylvite_classify_task settings{};  // its `labels` is ignored
};

struct TranslateTask {  // owning form of sylvite_translate_task
  struct Tokenizer {
    std::vector<std::byte> data;     // what sylvite_tokenizer.data leads to
    std::vector<std::string> words;  // by id; none: the tokenizer's own ids are the model's
    sylvite_tokenizer settings{};    // its places and sizes are ignored
  };
  Tokenizer source, target;
  std::vector<int32_t> banned;
  std::vector<sylvite_link> links;
  std::vector<int32_t> caches;
  sylvite_translate_task settings{};  // its pointers, counts and tokenizers are ignored
};

struct SelfTest {
  std::vector<Tensor> tensors;  // inputs then outputs
  float rtol = 1e-4f, atol = 1e-4f;
};

struct ProgramInfo {
  std::string model_name, model_hash, compiler_version, licences;
  std::optional<ClassifyTask> classify;
  std::optional<TranslateTask> translate;
  std::optional<SelfTest> self_test;
};

// A plan and what its descriptor says beside it. The first of an artifact is its root.
struct EntryPoint {
  const Plan *plan = nullptr;
  const ProgramInfo *info = nullptr;
};

// Where each weight stands in the image, 64-byte aligned, after the header: the weights of all
// entry points, equal ones once, then the tensors of their self-tests and the root's task's data.
struct WeightImage {
  struct Places {  // of one entry point, in the order of its plan's weights, its self-test's
                   // tensors
    std::vector<int64_t> weights, self_test;
  };
  std::vector<TensorPtr> tensors;
  std::vector<int64_t> offsets;  // of `tensors`
  std::vector<Places> entries;
  std::vector<int64_t> task_data;  // source tokenizer's data and words, target's data and words
  int64_t bytes = 0;
  uint64_t content_hash = 0;
  // Streams header and tensors in order; `write` returns false to stop (disk full).
  bool write_to(const std::function<bool(const void *, size_t)> &write) const;
};
WeightImage make_weight_image(std::span<const EntryPoint> entries);

// Compiles every kernel for every ISA (cache, several jobs; a kernel that entry points share once),
// then each plan's LLVM object; the root's defines `sylvite_program_descriptor`, or a library's
// name for it. The same inputs give the same bytes whatever jobs and cache.
std::vector<std::vector<char>> compile_objects(std::span<const EntryPoint> entries,
                                               const WeightImage &image,
                                               const CompileOptions &options);

// An artifact of one plan.
WeightImage make_weight_image(const Plan &plan, const ProgramInfo &info);
std::vector<std::vector<char>> compile_objects(const Plan &plan, const WeightImage &image,
                                               const ProgramInfo &info,
                                               const CompileOptions &options);

// The plan's module as text (--emit=llvm); kernels have the plan's names for them.
std::string plan_llvm_ir(const Plan &plan, const WeightImage &image, const ProgramInfo &info);

// The default of --cache-dir: $SYLVITE_CACHE_DIR, $XDG_CACHE_HOME/sylvite or ~/.cache/sylvite.
std::filesystem::path default_cache_dir();

}  // namespace sylvite
