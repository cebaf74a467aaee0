// Reads with poll, so that it can be asked whether more is there: what a pipe has sent is worked on
// at once instead of when a buffer is full. A signal must end the waiting too, whenever it comes;
// its handler writes to a pipe of our own that is polled beside the input.
#include "runtime/io/lines.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <string_view>
#include <utility>

namespace sylvite {
namespace {

constexpr size_t kReadBytes = size_t{1} << 16;
constexpr int kSignals[] = {SIGINT, SIGTERM, SIGHUP};

std::atomic<int> g_received{0};
std::atomic<int> g_wake{-1};  // the pipe's end that is written to
int g_woken = -1;             // and the one that is read from
struct sigaction g_before[std::size(kSignals)];

void remember(int number) {
  const int kept = errno;
  g_received = number;
  const char byte = 0;
  [[maybe_unused]] const ssize_t written = ::write(g_wake, &byte, 1);
  errno = kept;
}

}  // namespace

StopSignals::StopSignals() {
  g_received = 0;
  int ends[2];
  if (::pipe(ends) != 0) {
    return;  // then signals end the program as they always did
  }
  for (int &end : ends) {
    // Not in the place of a standard stream that whoever started us has closed.
    if (const int moved = ::fcntl(end, F_DUPFD, STDERR_FILENO + 1); moved >= 0) {
      ::close(end);
      end = moved;
    }
    ::fcntl(end, F_SETFD, FD_CLOEXEC);
    ::fcntl(end, F_SETFL, O_NONBLOCK);
  }
  g_woken = ends[0];
  g_wake = ends[1];
  for (size_t i = 0; i < std::size(kSignals); ++i) {
    struct sigaction action{};
    action.sa_handler = remember;
    action.sa_flags = static_cast<int>(SA_RESETHAND);
    ::sigaction(kSignals[i], nullptr, &g_before[i]);
    if (g_before[i].sa_handler != SIG_IGN) {  // as of a program in the background of a shell
      ::sigaction(kSignals[i], &action, nullptr);
    }
  }
}

StopSignals::~StopSignals() {
  if (g_woken < 0) {
    return;
  }
  for (size_t i = 0; i < std::size(kSignals); ++i) {
    ::sigaction(kSignals[i], &g_before[i], nullptr);
  }
  ::close(std::exchange(g_woken, -1));
  ::close(g_wake.exchange(-1));
}

int StopSignals::received() {
  return g_received;
}
int StopSignals::descriptor() {
  return g_woken;
}

Result<LineReader> LineReader::open(const std::string &file, size_t limit) {
  LineReader reader;
  reader.name_ = file == "-" ? "standard input" : file;
  reader.limit_ = limit;
  reader.owned_ = file != "-";
  reader.descriptor_ = reader.owned_ ? ::open(file.c_str(), O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
  struct stat status{};
  if (reader.descriptor_ < 0 || ::fstat(reader.descriptor_, &status) != 0) {
    return bad_input(reader.name_, ": cannot be opened: ", std::strerror(errno));
  }
  if (S_ISDIR(status.st_mode)) {
    return bad_input(reader.name_, ": is a folder");
  }
  if (S_ISREG(status.st_mode)) {
    const off_t at = ::lseek(reader.descriptor_, 0, SEEK_CUR);
    reader.total_ = std::max<int64_t>(status.st_size - std::max<off_t>(at, 0), 0);
  }
  return reader;
}

LineReader::LineReader(LineReader &&other) noexcept
    : name_(std::move(other.name_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      owned_(other.owned_),
      at_end_(other.at_end_),
      first_(other.first_),
      limit_(other.limit_),
      buffer_(std::move(other.buffer_)),
      begin_(other.begin_),
      scanned_(other.scanned_),
      dropped_(other.dropped_),
      bytes_(other.bytes_),
      total_(other.total_),
      error_(std::move(other.error_)) {}

LineReader::~LineReader() {
  if (owned_ && descriptor_ >= 0) {
    ::close(descriptor_);
  }
}

bool LineReader::is_terminal() const {
  return ::isatty(descriptor_) == 1;
}

// Waits until there is something to read; false: not so long, or a stop signal came.
bool LineReader::wait(int milliseconds) {
  for (;;) {
    if (StopSignals::received() != 0) {
      return false;
    }
    pollfd entries[2] = {{descriptor_, POLLIN, 0}, {StopSignals::descriptor(), POLLIN, 0}};
    const int ready = ::poll(entries, 2, milliseconds);
    if (ready < 0 && errno != EINTR) {
      return true;  // the read will say what is wrong
    }
    if (ready == 0 || StopSignals::received() != 0) {
      return false;
    }
    if (entries[0].revents != 0) {
      return true;
    }
  }
}

void LineReader::fill() {
  if (begin_ > 0) {
    buffer_.erase(0, begin_);
    scanned_ -= begin_;
    begin_ = 0;
  }
  const size_t before = buffer_.size();
  buffer_.resize(before + kReadBytes);
  const ssize_t got = ::read(descriptor_, buffer_.data() + before, kReadBytes);
  buffer_.resize(before + static_cast<size_t>(std::max<ssize_t>(got, 0)));
  if (got < 0 && errno != EINTR && errno != EAGAIN) {
    error_ = bad_input(name_, ": cannot be read: ", std::strerror(errno));
  }
  at_end_ = at_end_ || got == 0 || !error_.ok();
  // Of a line that is too long nothing more is kept, only its last byte, which may be a CR.
  const size_t line_end = std::min(buffer_.find('\n', scanned_), buffer_.size());
  scanned_ = line_end;
  if (line_end > limit_ + 1) {
    dropped_ += static_cast<int64_t>(line_end - limit_ - 1);
    buffer_.erase(limit_, line_end - limit_ - 1);
    scanned_ = limit_ + 1;
  }
}

bool LineReader::find_end(size_t *end) const {
  *end = buffer_.find('\n', std::max(begin_, scanned_));
  return *end != std::string::npos;
}

bool LineReader::ready() {
  size_t end = 0;
  while (!find_end(&end) && !at_end_) {
    scanned_ = buffer_.size();
    if (!wait(0)) {
      return false;
    }
    fill();
  }
  return true;
}

bool LineReader::next(Line *line) {
  size_t end = 0;
  while (!find_end(&end) && !at_end_) {
    scanned_ = buffer_.size();
    if (!wait(-1)) {
      return false;
    }
    fill();
  }
  const bool ended = end != std::string::npos;
  if (!error_.ok() || StopSignals::received() != 0 || (!ended && begin_ == buffer_.size())) {
    return false;
  }
  std::string_view text(buffer_);
  text = text.substr(begin_, (ended ? end : text.size()) - begin_);
  bytes_ += static_cast<int64_t>(text.size()) + dropped_ + (ended ? 1 : 0);
  begin_ = scanned_ = ended ? end + 1 : buffer_.size();
  if (std::exchange(first_, false) && text.starts_with("\xef\xbb\xbf")) {
    text.remove_prefix(3);
  }
  line->crlf = ended && text.ends_with('\r');
  text.remove_suffix(line->crlf ? 1 : 0);
  line->dropped = std::exchange(dropped_, 0);
  if (text.size() > limit_) {
    line->dropped += static_cast<int64_t>(text.size() - limit_);
    text = text.substr(0, limit_);
  }
  line->text = text;
  return true;
}

}  // namespace sylvite
