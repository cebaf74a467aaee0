// What a translator is made of: which graphs, what their inputs and outputs are to a decoding loop,
// which tokens have a meaning, which tokenizers. From sylvite.json, or from the files that Hugging
// Face's exporters write.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "compiler/codegen/compile.h"
#include "passes/decoding.h"

namespace sylvite {

struct TranslateManifest {
  struct Encoder {
    std::filesystem::path file;
    std::string tokens, mask;  // inputs; a model may have no mask
  };
  // A graph that gives scores for target tokens. What its inputs get from the encoder: `sources`,
  // by input the name of an output or of an input of the encoder (or, in `step`, of an output of
  // `first`).
  struct Decoder {
    std::filesystem::path file;
    std::string tokens, mask;
    std::string scores;
    std::map<std::string, std::string> sources;
    std::vector<CachePair> caches;
    std::map<std::string, int64_t> branches;  // boolean inputs that choose an If's branch
  };

  // The tokenizers' files. "marian": as transformers' MarianTokenizer reads the folder.
  struct Tokenizers {
    std::string kind = "marian";  // or "sentencepiece", "words"
    std::filesystem::path source, target;
    std::filesystem::path source_vocabulary, target_vocabulary;  // of "sentencepiece", or empty
    std::string unknown;               // what words become that no list has; or empty
    std::vector<std::string> skipped;  // words that have no text in a translation
  };

  std::string origin;  // what messages begin with: the manifest or the folder
  std::filesystem::path folder;
  Encoder encoder;
  std::optional<Decoder>
      first;  // computes what later steps take from it unchanged: cross-attention's keys
  Decoder step;
  // One graph of source and target: encoder.file is step.file, tokens, masks and scores are its
  // own.
  bool combined = false;

  std::vector<std::string> warnings;  // lines for the user

  Tokenizers tokenizers;
  TranslateTask task;  // tokenizers, tokens, defaults; the places of inputs are filled in later
};

// sylvite.json: docs/translator.md has its keys. Throws ModelError with the closest name for one
// that is wrong.
TranslateManifest read_manifest(const std::filesystem::path &file);
// The same as text.
std::string manifest_text(const TranslateManifest &manifest);

inline constexpr const char *kManifestName = "sylvite.json";

// The layout of transformers' and Optimum's exporters: config.json, generation_config.json,
// encoder_model.onnx and so on. Throws ModelError that says which file is missing or contradicts
// another.
TranslateManifest read_exported_folder(const std::filesystem::path &folder);

}  // namespace sylvite
