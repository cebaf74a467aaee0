// What the translate task says beside the translations.
#pragma once

#include <cstdint>
#include <string>

#include "runtime/include/sylvite/translator.h"

namespace sylvite {

// A line of --json.
std::string json_line(const sylvite_translator *translator, int64_t number,
                      const std::string &source, const sylvite_translation &translation);

// What --stats counts.
struct TranslateStats {
  int64_t lines = 0, words = 0, source_tokens = 0, tokens = 0, unknown = 0;
  int64_t start = 0, ready = 0;  // times: of the program's begin, and when the model was open
  int64_t first = 0;             // when the first translation was there
  int64_t busy = 0;              // nanoseconds in which it translated
  std::string text() const;
};

int64_t count_words(const std::string &text);

// One line on standard error that is written over again, where that is a terminal.
class ProgressLine {
 public:
  // total: of what done() counts; 0: not known, and nothing is shown.
  explicit ProgressLine(int64_t total);
  void show(double done, int64_t lines, double tokens_per_second);
  void clear();

 private:
  int64_t total_;
  bool shown_ = false;
  int64_t last_ = 0;
};

}  // namespace sylvite
