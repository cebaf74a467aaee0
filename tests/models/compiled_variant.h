// A model compiled in this process, as the tests want it.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "compiler/driver/compile_model.h"
#include "compiler/driver/loaded_model.h"

namespace sylvite::testing {

struct CompiledVariant {
  LoweredModel model;
  CompiledModel compiled;
};
enum class Fusion { All, None };
// Code for both ISA levels; with the sanitizers of this build.
std::unique_ptr<CompiledVariant> compile_variant(const std::filesystem::path &file, Fusion fusion);

bool host_has_v4();
// Opens the code of one level: "" for the machine's best.
std::unique_ptr<LoadedModel> load(const CompiledVariant &variant, const std::string &isa = "");

}  // namespace sylvite::testing
