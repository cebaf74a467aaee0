// What a folder's files are taken for when no manifest says it.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "compiler/driver/translate_manifest.h"

namespace sylvite {

struct GuessedManifest {
  TranslateManifest manifest;
  std::vector<std::string> reasons;  // a line a guess
};
// Throws ModelError where the files leave no guess.
GuessedManifest guess_manifest(const std::filesystem::path &folder);

}  // namespace sylvite
