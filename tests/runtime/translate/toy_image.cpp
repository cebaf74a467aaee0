#include "tests/runtime/translate/toy_image.h"

#include <algorithm>

namespace sylvite::testing {
namespace {

constexpr bool comes_before(const char *a, const char *b) {
  while (*a != 0 && *a == *b) {
    ++a, ++b;
  }
  return static_cast<unsigned char>(*a) < static_cast<unsigned char>(*b);
}
constexpr ToyImage make_image() {
  ToyImage image;
  uint32_t at = 0;
  for (int32_t id = 0; id < kToyVocabulary; ++id) {
    image.starts[id] = at;
    image.order[id] = id;
    for (uint32_t i = 0; i < word_length(kToyWords[id]); ++i) {
      image.words[at + i] = kToyWords[id][i];
    }
    at += word_length(kToyWords[id]) + 1;
  }
  image.starts[kToyVocabulary] = at;
  std::sort(image.order, image.order + kToyVocabulary,
            [](int32_t a, int32_t b) { return comes_before(kToyWords[a], kToyWords[b]); });
  TokenizerHeader &tokenizer = image.tokenizer;
  std::copy(kTokenizerMagic, kTokenizerMagic + sizeof tokenizer.magic, tokenizer.magic);
  tokenizer.words = kToyVocabulary;
  tokenizer.added = 2;
  tokenizer.word_starts = offsetof(ToyImage, starts) - offsetof(ToyImage, tokenizer);
  tokenizer.word_order = offsetof(ToyImage, order) - offsetof(ToyImage, tokenizer);
  tokenizer.added_tokens = offsetof(ToyImage, added) - offsetof(ToyImage, tokenizer);
  return image;
}

}  // namespace

#ifdef SYLVITE_FAKE_STANDALONE
__attribute__((section(".sylvite_weights"), used, retain))
#endif
constinit const ToyImage kToyImage = make_image();

}  // namespace sylvite::testing
