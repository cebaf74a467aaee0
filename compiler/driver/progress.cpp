// Rewrites its line with a carriage return and erases it at the end: what stays is the summary.
#include "compiler/driver/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

namespace sylvite {
namespace {

size_t terminal_columns() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

}  // namespace

ProgressLine::ProgressLine(std::string subject)
    : subject_(std::move(subject)), terminal_(isatty(STDERR_FILENO) == 1) {}

void ProgressLine::show(const std::string &what) {
  if (!terminal_) {
    return;
  }
  std::lock_guard<std::mutex> lock(mutex_);
  std::string line = subject_ + ": " + what;
  // A line that wraps could not be erased.
  line.resize(std::min(line.size(), terminal_columns() - 1));
  std::fprintf(stderr, "\r\033[K%s", line.c_str());
  std::fflush(stderr);
  shown_ = true;
}

void ProgressLine::show(int done, int total, const std::string &what) {
  show("kernel " + std::to_string(done) + " of " + std::to_string(total) +
       (what.empty() ? "" : " (" + what + ")"));
}

void ProgressLine::clear() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (std::exchange(shown_, false)) {
    std::fputs("\r\033[K", stderr);
    std::fflush(stderr);
  }
}

}  // namespace sylvite
