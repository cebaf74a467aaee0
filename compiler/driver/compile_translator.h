// `sylvite compile FOLDER`: an exported encoder-decoder becomes a program that translates, or a
// library that does.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "compiler/driver/flags.h"
#include "compiler/driver/translate_manifest.h"

namespace sylvite {

struct TranslatorFlags {
  const ModelFlags &model;
  const TargetFlags &target;
  std::string output, emit, name_prefix;
  std::map<std::string, int> required = {};  // --require
  bool no_self_test = false;
  bool check = false;
  bool separate_weights = false;
};

// Whether `path` names a translator: a folder with graphs, or a manifest.
bool is_translator(const std::filesystem::path &path);
// The manifest that is there, or what the folder's files say.
TranslateManifest translator_manifest(const std::filesystem::path &path);
void compile_translator(const TranslatorFlags &flags);

}  // namespace sylvite
