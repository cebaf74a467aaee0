#include "runtime/tasks/translate_report.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <string_view>

#include "runtime/clock.h"
#include "runtime/io/result.h"
#include "runtime/json.h"
#include "runtime/tokens/unicode.h"

namespace sylvite {
namespace {

constexpr double kSecond = 1e9;

template <typename... Arguments>
std::string formatted(const char *format, Arguments... arguments) {
  char text[160];
  std::snprintf(text, sizeof text, format, arguments...);
  return text;
}

}  // namespace

std::string json_line(const sylvite_translator *translator, int64_t number,
                      const std::string &source, const sylvite_translation &translation) {
  std::string line = text_of("{\"line\": ", number, ", \"source\": ", json_string(source),
                             ", \"text\": ", json_string({translation.text, translation.size}));
  if (translation.problem != nullptr) {
    return text_of(line, ", \"problem\": ", json_string(translation.problem), "}\n");
  }
  line += formatted(", \"score\": %.9g", double{translation.score});
  line += ", \"tokens\": [";
  std::string ids;
  for (int32_t i = 0; i < translation.token_count; ++i) {
    const sylvite_text token = sylvite_translator_token(translator, translation.tokens[i]);
    line += text_of(i > 0 ? ", " : "", json_string({token.data, token.size}));
    ids += text_of(i > 0 ? ", " : "", translation.tokens[i]);
  }
  return text_of(line, "], \"ids\": [", ids,
                 "], \"ended\": ", translation.ended != 0 ? "true" : "false",
                 ", \"source_tokens\": ", translation.source_tokens,
                 ", \"unknown\": ", translation.unknown, "}\n");
}

int64_t count_words(const std::string &text) {
  int64_t words = 0;
  bool inside = false;
  for (std::string_view rest = text; !rest.empty();) {
    const size_t space = space_length(rest);
    words += space == 0 && !inside ? 1 : 0;
    inside = space == 0;
    rest.remove_prefix(std::max<size_t>(space, 1));
  }
  return words;
}

std::string TranslateStats::text() const {
  const double seconds = static_cast<double>(busy) / kSecond;
  const auto rate = [&](int64_t count) {
    return formatted("%.1f", busy > 0 ? static_cast<double>(count) / seconds : 0.0);
  };
  const auto milliseconds = [&](int64_t from, int64_t to) {
    return formatted("%.1f", static_cast<double>(std::max<int64_t>(to - from, 0)) / 1e6);
  };
  return text_of("lines:          ", lines, "\nsource words:   ", words, ", ", rate(words),
                 " per second\nsource tokens:  ", source_tokens, ", ", unknown,
                 " not in the vocabulary\ntarget tokens:  ", tokens, ", ", rate(tokens),
                 " per second\ntranslating:    ", formatted("%.3f", seconds),
                 " s\nmodel open:     after ", milliseconds(start, ready),
                 " ms\nfirst lines:    after ", first > 0 ? milliseconds(start, first) : "-",
                 " ms\n");
}

ProgressLine::ProgressLine(int64_t total)
    : total_(::isatty(STDERR_FILENO) == 1 && total > 0 ? total : 0) {}

void ProgressLine::show(double done, int64_t lines, double tokens_per_second) {
  constexpr int64_t kPause = 100'000'000;
  constexpr int kWidth = 24;
  const int64_t now = now_in_nanoseconds();
  if (total_ == 0 || now - last_ < kPause) {
    return;
  }
  last_ = now;
  shown_ = true;
  const double share = std::clamp(done / static_cast<double>(total_), 0.0, 1.0);
  const int filled = static_cast<int>(share * kWidth);
  std::string bar(static_cast<size_t>(filled), '#');
  bar.resize(kWidth, '.');
  std::fprintf(stderr, "\r[%s] %3.0f %%  %lld lines  %.0f tokens/s\x1b[K", bar.c_str(), share * 100,
               static_cast<long long>(lines), tokens_per_second);
}

void ProgressLine::clear() {
  if (shown_) {
    std::fputs("\r\x1b[K", stderr);
    shown_ = false;
  }
}

}  // namespace sylvite
