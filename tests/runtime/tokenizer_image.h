// A tokenizer and the piece of a weight image that it reads.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <string>
#include <vector>

#include "compiler/codegen/compile.h"
#include "runtime/tokens/tokenizer.h"

namespace sylvite {

struct TokenizerImage {
  std::vector<std::byte> bytes;
  sylvite_tokenizer settings{};

  explicit TokenizerImage(const TranslateTask::Tokenizer &written) : settings(written.settings) {
    std::string words;
    for (const std::string &word : written.words) {
      words.append(word.c_str(), word.size() + 1);
    }
    settings.data = 64;  // behind the image's header
    settings.data_bytes = std::ssize(written.data);
    settings.words = (settings.data + settings.data_bytes + 63) / 64 * 64;
    settings.words_bytes = std::ssize(words);
    bytes.resize(static_cast<size_t>(settings.words + settings.words_bytes));
    std::copy(written.data.begin(), written.data.end(), bytes.begin() + settings.data);
    std::memcpy(bytes.data() + settings.words, words.data(), words.size());
  }
  Result<Tokenizer> open() const { return Tokenizer::open(settings, bytes); }
};

}  // namespace sylvite
