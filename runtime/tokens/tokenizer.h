// Text to tokens and back, as the Python tokenizer of a model does it.
//
// With a SentencePiece model and a vocabulary of its own beside it, exactly as transformers'
// MarianTokenizer; with a SentencePiece model alone, as the sentencepiece package; with a list of
// words, words are what white space separates.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/abi.h"
#include "runtime/io/result.h"

namespace sylvite {

// Longer texts are refused: SentencePiece's work space is up to 60 bytes a byte.
inline constexpr size_t kMaxTextBytes = size_t{1} << 20;

struct Tokens {
  std::vector<int32_t> ids;  // without what a task puts around them (prefix, suffix)
  int64_t unknown = 0;       // pieces or words that the vocabulary lacks
  int64_t bad_utf8 = 0;      // places that were not UTF-8 and are read as U+FFFD
};

// Immutable: threads may share it.
class Tokenizer {
 public:
  // `image`: the weight image, which must outlive the tokenizer. Everything that is read from it is
  // checked here.
  static Result<Tokenizer> open(const sylvite_tokenizer &settings,
                                std::span<const std::byte> image);
  Tokenizer(Tokenizer &&) noexcept;
  Tokenizer &operator=(Tokenizer &&) noexcept;
  ~Tokenizer();

  // Ids are below this.
  int32_t vocabulary_size() const;
  // The only error is a text that is too long.
  Result<Tokens> encode(std::string_view text) const;
  // Special tokens, and ids that the vocabulary does not have, leave no trace.
  std::string decode(std::span<const int32_t> ids) const;
  // The word or piece as it stands in the vocabulary ("▁Haus"); empty for an id that has none.
  std::string_view token(int32_t id) const;
  // The id of exactly this token, or -1.
  int32_t find(std::string_view token) const;

 private:
  struct Parts;
  explicit Tokenizer(std::unique_ptr<const Parts> parts);
  std::unique_ptr<const Parts> parts_;
};

}  // namespace sylvite
