// Lines of text from a file, a pipe or a terminal, and the wish to stop (Ctrl-C).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "runtime/io/result.h"

namespace sylvite {

// SIGINT, SIGTERM and SIGHUP, from its making to its end. The first one is remembered here and
// wakes whoever waits for a line; the second one ends the program as it always did. One at a time.
class StopSignals {
 public:
  StopSignals();
  StopSignals(const StopSignals &) = delete;
  StopSignals &operator=(const StopSignals &) = delete;
  ~StopSignals();
  static int received();    // 0: none
  static int descriptor();  // has something to read once one was received; -1 without any
};

struct Line {
  std::string text;     // without its end
  bool crlf = false;    // ended with CR and LF
  int64_t dropped = 0;  // bytes beyond the limit, which are not in `text`
};

class LineReader {
 public:
  // "-": standard input. Longer lines are cut at `limit` bytes.
  static Result<LineReader> open(const std::string &file, size_t limit);
  LineReader(LineReader &&other) noexcept;
  LineReader &operator=(LineReader &&other) = delete;
  ~LineReader();

  // Whether a line, or the end, is there without waiting.
  bool ready();
  // The next line; waits for it. False: the end, an error, or a stop signal. A byte order mark at
  // the very beginning is left out. A last line needs no line end.
  bool next(Line *line);
  const Error &error() const { return error_; }

  int64_t bytes() const { return bytes_; }  // of the lines so far
  int64_t total() const { return total_; }  // of the file; 0: not known
  bool is_terminal() const;

 private:
  LineReader() = default;
  bool find_end(size_t *end) const;
  bool wait(int milliseconds);
  void fill();

  std::string name_;
  int descriptor_ = -1;
  bool owned_ = false, at_end_ = false, first_ = true;
  size_t limit_ = 0;
  std::string buffer_;
  size_t begin_ = 0, scanned_ = 0;  // where the next line begins; no line end before `scanned_`
  int64_t dropped_ = 0;             // of the line that begins there
  int64_t bytes_ = 0, total_ = 0;
  Error error_;
};

}  // namespace sylvite
