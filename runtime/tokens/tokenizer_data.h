// How a tokenizer stands in the weight image: what `data` of sylvite_tokenizer (runtime/abi.h)
// leads to. Written by compiler/driver/tokenizer_files.cpp, checked and read by tokenizer.cpp. The
// tables save a program from building any at its start.
#pragma once

#include <cstdint>

namespace sylvite {

// Flags of the header.
inline constexpr uint32_t kLanguageCodes = 1;  // ">>de<<" before a text is one token
inline constexpr uint32_t kCleansUp = 2;       // no spaces before a translation's punctuation
inline constexpr uint32_t kDummyPrefix = 4;    // the model's add_dummy_prefix
inline constexpr uint32_t kRemovesSpaces = 8;  // the model's remove_extra_whitespaces

// Tables are of 32-bit integers; places count bytes from the header's start and are multiples
// of 16.
struct TokenizerHeader {
  char magic[16];  // kTokenizerMagic
  uint32_t flags;
  uint32_t words;  // as many as sylvite_tokenizer.size; 0: the model's pieces are the vocabulary
  uint32_t
      pieces;  // of the SentencePiece model; 0: there is none, and texts are split at white space
  uint32_t added;
  uint64_t word_starts;    // words + 1: where each stands in the words' bytes, and their end
  uint64_t word_order;     // words: ids, sorted by the words' bytes
  uint64_t word_of_piece;  // pieces: id, or -1; only where there are words
  uint64_t piece_of_word;  // words: the model's own id, or -1; only where there is a model
  uint64_t added_tokens;   // added: AddedTokenEntry
  uint64_t model, model_bytes;
};

inline constexpr char kTokenizerMagic[16] = "sylvite tokens1";

// Flags of an added token.
inline constexpr uint32_t kSkipped = 1;      // has no text in a translation
inline constexpr uint32_t kSplits = 2;       // is recognised in a source text
inline constexpr uint32_t kStripsLeft = 4;   // takes white space before it along
inline constexpr uint32_t kStripsRight = 8;  // and after it

struct AddedTokenEntry {
  int32_t id;
  uint32_t flags;
};

}  // namespace sylvite
