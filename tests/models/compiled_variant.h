// A model compiled in this process, as the tests want it.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "compiler/driver/compile_model.h"
#include "compiler/driver/loaded_model.h"
#include "tests/models/model_folder.h"

namespace sylvite::testing {

struct CompiledVariant {
  LoweredModel model;
  CompiledModel compiled;
};
// Code for both ISA levels, without the passes in `disabled`; with the sanitizers of this build.
std::unique_ptr<CompiledVariant> compile_variant(const std::filesystem::path &file,
                                                 std::vector<std::string> disabled = {});

// Every block that meta.json expects is one in the plan's kernels, too. Where each head is a module
// of its own, one by one is right, and all as one.
void expect_fused(const LoweredModel &model, const GraphFile &graph);

bool host_has_v4();
// Opens the code of one level: "" for the machine's best.
std::unique_ptr<LoadedModel> load(const CompiledVariant &variant, const std::string &isa = "");

}  // namespace sylvite::testing
