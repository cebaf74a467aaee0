// Tokenizers from the files that stand beside a model, in the form that programs carry. The files
// may be hostile: every complaint is a ModelError of one line that names the file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "compiler/codegen/compile.h"

namespace sylvite {

// As transformers' MarianTokenizer.from_pretrained(folder) makes them of source.spm, target.spm and
// vocab.json, and where they exist target_vocab.json (separate_vocabs), tokenizer_config.json and
// special_tokens_map.json.
struct MarianTokenizers {
  TranslateTask::Tokenizer source, target;
  int32_t end = -1;  // stands behind the tokens of each source
  int32_t pad = -1;
};
// `source_ids`, `target_ids`: how many the model has (rows of its embeddings), where that is known;
// an id beyond is an error.
MarianTokenizers read_marian_tokenizers(const std::filesystem::path &folder,
                                        std::optional<int64_t> source_ids,
                                        std::optional<int64_t> target_ids);

// What a manifest says of a tokenizer. Words are given by their text.
struct TokenizerManifest {
  std::filesystem::path model;       // a SentencePiece model; or empty
  std::filesystem::path vocabulary;  // beside a model: {"word": id}, or empty for the model's ids;
                                     // without one: a list, a word a line, ids from 0
  std::string unknown;               // what words become that are not in the list; or empty
  std::vector<std::string> skipped;  // have no text in a translation: padding, start, end
  std::optional<int64_t> ids;        // how many the model has
};
TranslateTask::Tokenizer read_tokenizer(const TokenizerManifest &manifest);

// Its ids are below this: what embeddings and scores must have room for.
int32_t id_count(const TranslateTask::Tokenizer &tokenizer);

// The id of a word or piece; throws ModelError, which begins with `where`, when there is none.
int32_t token_id(const TranslateTask::Tokenizer &tokenizer, std::string_view token,
                 const std::string &where);

}  // namespace sylvite
