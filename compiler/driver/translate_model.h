// A translator's graphs -> the two entry points of its program: `encode` runs once for a set of
// sources, `step` for each token. runtime/abi.h describes what they are to each other.
#pragma once

#include "compiler/driver/compile_model.h"
#include "compiler/driver/translate_manifest.h"

namespace sylvite {

struct LoweredTranslator {
  LoweredModel encode, step;
  TranslateTask task;
};
LoweredTranslator lower_translator(const TranslateManifest &manifest, const LowerOptions &options);

}  // namespace sylvite
