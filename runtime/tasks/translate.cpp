// The program's main job: a thin shell around sylvite/translator.h that reads lines, hands them
// over in windows and writes what comes back in their order.
//
// A window is what is there without waiting, at most some batches of it: the translator sorts it by
// length, so more lines mean less padding; but nobody who pipes single lines waits for a batch to
// fill up.
#include "runtime/tasks/translate.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/clock.h"
#include "runtime/include/sylvite/translator.h"
#include "runtime/io/file.h"
#include "runtime/io/lines.h"
#include "runtime/io/result.h"
#include "runtime/io/text.h"
#include "runtime/tasks/translate_report.h"
#include "runtime/tokens/tokenizer.h"

namespace sylvite {
namespace {

constexpr size_t kBatchesInWindow = 16;
constexpr size_t kWindowBytes = size_t{8} << 20;

struct TranslatorEnd {
  void operator()(sylvite_translator *translator) const { sylvite_translator_destroy(translator); }
};

// Where translations go: a file that appears when all is well, or standard output, at once.
class Output {
 public:
  Error open(const std::string &file) {
    if (file.empty() || file == "-") {
      return {};
    }
    Result<OutputFile> created = OutputFile::create(file);
    if (!created.ok()) {
      return created.error();
    }
    file_ = std::make_unique<OutputFile>(std::move(created.value()));
    return {};
  }
  Error write(std::string_view text) {
    if (file_ != nullptr) {
      return file_->write(std::as_bytes(std::span(text)));
    }
    while (!text.empty()) {
      const ssize_t put = ::write(STDOUT_FILENO, text.data(), text.size());
      if (put < 0 && errno != EINTR) {
        return bad_input("standard output cannot be written: ", std::strerror(errno));
      }
      text.remove_prefix(static_cast<size_t>(std::max<ssize_t>(put, 0)));
    }
    return {};
  }
  Error finish() { return file_ != nullptr ? file_->commit() : Error{}; }

 private:
  std::unique_ptr<OutputFile> file_;
};

class TranslateRun {
 public:
  TranslateRun(const char *program_name, const TranslateOptions &options)
      : program_name_(program_name), options_(options) {
    stats_.start = now_in_nanoseconds();
  }

  int run(const sylvite_model *model, std::span<const char *const> sentences);

 private:
  Error open(const sylvite_model *model);
  void translate_sentences(std::span<const char *const> sentences);
  void translate_lines();
  void translate_window();
  size_t write_window(std::span<const sylvite_translation> translations);
  void note(int64_t number, const Line &line, const sylvite_translation &translation);
  std::string where(int64_t number) const;
  void report(const Error &error);
  void say(const std::string &line);
  int finish();
  static int32_t show_progress(void *user, const sylvite_translate_progress *now);
  bool over() const { return broken_ || StopSignals::received() != 0; }

  const char *program_name_;
  const TranslateOptions &options_;
  sylvite_translate_options settings_{};
  std::unique_ptr<sylvite_translator, TranslatorEnd> translator_;
  std::string file_;  // of the lines; empty: standard input
  bool from_arguments_ = false;
  Output output_;
  std::vector<Line> window_;
  int64_t window_bytes_ = 0, bytes_before_ = 0;
  int64_t written_ = 0;  // lines
  int64_t now_begin_ = 0;
  TranslateStats stats_;
  std::unique_ptr<ProgressLine> progress_;
  bool broken_ = false;  // no more can be done
  bool lost_ = false;    // translations could not be written
  int exit_code_ = 0;
};

std::string TranslateRun::where(int64_t number) const {
  return from_arguments_ ? text_of("sentence ", number)
         : file_.empty() ? text_of("line ", number)
                         : text_of(file_, ":", number);
}

void TranslateRun::say(const std::string &line) {
  if (progress_ != nullptr) {
    progress_->clear();
  }
  std::fprintf(stderr, "%s: %s\n", program_name_, one_line(line).c_str());
}

void TranslateRun::report(const Error &error) {
  const bool bug = error.code == SYLVITE_INTERNAL;
  say((bug ? "internal error: " : "") + error.message);
  exit_code_ = bug || exit_code_ == SYLVITE_INTERNAL ? int{SYLVITE_INTERNAL} : 1;
}

Error TranslateRun::open(const sylvite_model *model) {
  sylvite_context_options context_options{};
  context_options.threads = options_.threads;
  sylvite_translator *translator = nullptr;
  char message[512] = "";
  const sylvite_result result =
      sylvite_translator_create(model, &context_options, &translator, message, sizeof message);
  translator_.reset(translator);
  if (result != SYLVITE_OK) {
    return {result, message};
  }
  stats_.ready = now_in_nanoseconds();
  sylvite_translator_defaults(translator, &settings_);
  settings_.beams = options_.beams.value_or(settings_.beams);
  settings_.max_length = options_.max_length.value_or(settings_.max_length);
  settings_.length_penalty = options_.length_penalty.value_or(settings_.length_penalty);
  settings_.early_stopping = options_.early_stopping.value_or(settings_.early_stopping);
  settings_.batch = options_.batch;
  settings_.scores = options_.json ? 1 : 0;
  settings_.reserve = options_.reserve ? 1 : 0;
  settings_.progress = show_progress;
  settings_.user = this;
  return output_.open(options_.output);
}

int32_t TranslateRun::show_progress(void *user, const sylvite_translate_progress *now) {
  TranslateRun &run = *static_cast<TranslateRun *>(user);
  if (run.progress_ != nullptr) {
    const double share = static_cast<double>(now->finished) / std::max(now->texts, 1);
    const double seconds = static_cast<double>(std::max<int64_t>(run.stats_.busy, 1)) / 1e9;
    run.progress_->show(
        static_cast<double>(run.bytes_before_) + share * static_cast<double>(run.window_bytes_),
        run.written_ + now->finished, static_cast<double>(run.stats_.tokens) / seconds);
  }
  return StopSignals::received() != 0 ? 1 : 0;
}

// Counts, and says what was odd about a line.
void TranslateRun::note(int64_t number, const Line &line, const sylvite_translation &translation) {
  if (translation.problem != nullptr) {
    report(bad_input(where(number), ": ", translation.problem));
    return;
  }
  if (translation.bad_utf8 > 0) {
    say(text_of(where(number), ": ", translation.bad_utf8,
                translation.bad_utf8 == 1 ? " place" : " places", " that ",
                translation.bad_utf8 == 1 ? "is" : "are", " not UTF-8, read as U+FFFD"));
  }
  if (options_.stats) {
    stats_.words += count_words(line.text);
  }
  ++stats_.lines;
  stats_.source_tokens += translation.source_tokens;
  stats_.unknown += translation.unknown;
  if (translation.source_tokens > 0) {
    stats_.tokens += translation.token_count + translation.ended;
  }
}

// In order, up to the first line that was not done. Returns how many.
size_t TranslateRun::write_window(std::span<const sylvite_translation> translations) {
  std::string text;
  size_t count = 0;
  for (; count < window_.size(); ++count) {
    sylvite_translation translation = translations[count];
    const Line &line = window_[count];
    std::string too_long;
    if (line.dropped > 0) {
      too_long = text_of("is too long: ", line.dropped + static_cast<int64_t>(line.text.size()),
                         " bytes, and at most ", kMaxTextBytes, " are translated");
      translation.problem = too_long.c_str();
    }
    const int64_t number = written_ + static_cast<int64_t>(count) + 1;
    if (translation.problem != nullptr && StopSignals::received() != 0 &&
        std::strcmp(translation.problem, "cancelled") == 0) {
      break;
    }
    note(number, line, translation);
    if (options_.json) {
      text += json_line(translator_.get(), number, line.text, translation);
      continue;
    }
    const size_t begin = text.size();
    text.append(translation.text, translation.size);
    std::replace_if(
        text.begin() + static_cast<ptrdiff_t>(begin), text.end(),
        [](char c) { return c == '\n' || c == '\r'; }, ' ');
    text += line.crlf ? "\r\n" : "\n";
  }
  if (progress_ != nullptr) {
    progress_->clear();
  }
  if (Error error = output_.write(text); !error.ok()) {
    report(error);
    broken_ = lost_ = true;
  }
  return count;
}

void TranslateRun::translate_window() {
  std::vector<sylvite_text> texts;
  texts.reserve(window_.size());
  for (const Line &line : window_) {
    texts.push_back({line.text.data(), line.dropped > 0 ? 0 : line.text.size()});
  }
  std::vector<sylvite_translation> translations(window_.size());
  const int64_t begin = now_in_nanoseconds();
  const sylvite_result result =
      sylvite_translator_run(translator_.get(), texts.data(), static_cast<int32_t>(texts.size()),
                             &settings_, translations.data());
  const int64_t end = now_in_nanoseconds();
  stats_.busy += end - begin;
  stats_.first = stats_.first > 0 ? stats_.first : end;
  if (result != SYLVITE_OK && result != SYLVITE_CANCELLED) {
    report(
        {result, text_of(where(written_ + 1), ": ", sylvite_translator_error(translator_.get()))});
    broken_ = true;
    return;
  }
  written_ += static_cast<int64_t>(write_window(translations));
  bytes_before_ += window_bytes_;
  window_.clear();
  window_bytes_ = 0;
}

void TranslateRun::translate_sentences(std::span<const char *const> sentences) {
  from_arguments_ = true;
  for (size_t i = 0; i < sentences.size() && !over(); ++i) {
    Line line;
    line.text = sentences[i];
    window_.push_back(std::move(line));
    if (window_.size() == kBatchesInWindow * static_cast<size_t>(options_.batch) ||
        i + 1 == sentences.size()) {
      translate_window();
    }
  }
}

void TranslateRun::translate_lines() {
  file_ = options_.input == "-" ? "" : options_.input;
  Result<LineReader> opened = LineReader::open(file_.empty() ? "-" : file_, kMaxTextBytes);
  if (!opened.ok()) {
    report(opened.error());
    return;
  }
  LineReader &reader = opened.value();
  if (reader.is_terminal() && ::isatty(STDERR_FILENO) == 1) {
    std::fprintf(stderr, "%s: a sentence a line; Ctrl-D ends\n", program_name_);
  }
  progress_ = std::make_unique<ProgressLine>(reader.total());
  const size_t most = kBatchesInWindow * static_cast<size_t>(options_.batch);
  bool more = true;
  while (more && !over()) {
    size_t bytes = 0;
    while (window_.size() < most && bytes < kWindowBytes && (window_.empty() || reader.ready())) {
      Line line;
      more = reader.next(&line);
      if (!more) {
        break;
      }
      bytes += line.text.size();
      window_.push_back(std::move(line));
    }
    window_bytes_ = reader.bytes() - bytes_before_;
    if (!window_.empty() && StopSignals::received() == 0) {
      translate_window();
    }
  }
  if (!reader.error().ok()) {
    report(reader.error());
  }
}

// A file gets what was done, whatever ended the rest; one that would get nothing stays as it was.
int TranslateRun::finish() {
  if (progress_ != nullptr) {
    progress_->clear();
  }
  const bool nothing = written_ == 0 && (broken_ || StopSignals::received() != 0);
  if (Error error = lost_ || nothing ? Error{} : output_.finish(); !error.ok()) {
    report(error);
    broken_ = true;
  }
  if (options_.stats) {
    std::fputs(stats_.text().c_str(), stderr);
  }
  if (const int signal = StopSignals::received(); signal != 0 && !broken_) {
    say(text_of("stopped after ", written_, written_ == 1 ? " line" : " lines"));
    return 128 + signal;
  }
  return exit_code_;
}

int TranslateRun::run(const sylvite_model *model, std::span<const char *const> sentences) {
  if (Error error = open(model); !error.ok()) {
    report(error);
    return exit_code_;
  }
  if (sentences.empty()) {
    translate_lines();
  } else {
    translate_sentences(sentences);
  }
  return finish();
}

}  // namespace

int translate_main(const char *program_name, const sylvite_model *model,
                   const TranslateOptions &options, std::span<const char *const> sentences) {
  const StopSignals signals;
  struct sigaction ignore{}, before{};  // who reads us may go: then a write fails
  ignore.sa_handler = SIG_IGN;
  ::sigaction(SIGPIPE, &ignore, &before);
  TranslateRun run(program_name, options);
  const int code = run.run(model, sentences);
  ::sigaction(SIGPIPE, &before, nullptr);
  return code;
}

}  // namespace sylvite
