// The weight image of the translator written by hand: a tokenizer of words.
#pragma once

#include <cstddef>
#include <cstdint>

#include "runtime/abi.h"
#include "runtime/tokens/tokenizer_data.h"
#include "tests/runtime/translate/toy_translator.h"

namespace sylvite::testing {

inline constexpr const char *kToyWords[kToyVocabulary] = {
    "</s>",  "<unk>", "alle", "baum",  "da",    "eins", "fluss", "gross",
    "haus",  "ich",   "ja",   "kalt",  "licht", "mein", "nacht", "oft",
    "platz", "quer",  "rot",  "sonne", "tag",   "und",  "warm",  "<pad>"};

constexpr uint32_t word_length(const char *word) {
  uint32_t length = 0;
  while (word[length] != 0) {
    ++length;
  }
  return length;
}
constexpr size_t count_word_bytes() {
  size_t bytes = 0;
  for (const char *word : kToyWords) {
    bytes += word_length(word) + 1;
  }
  return bytes;
}

struct ToyImage {
  sylvite_weight_header header{"sylvite weights", sizeof(ToyImage), 99};
  alignas(64) TokenizerHeader tokenizer{};
  alignas(16) uint32_t starts[kToyVocabulary + 1]{};
  alignas(16) int32_t order[kToyVocabulary]{};
  alignas(16) AddedTokenEntry added[2]{{kToyEnd, kSkipped}, {kToyPad, kSkipped}};
  alignas(16) char words[count_word_bytes()]{};
};

extern const ToyImage kToyImage;

}  // namespace sylvite::testing
