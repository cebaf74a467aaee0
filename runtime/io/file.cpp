// Plain descriptors instead of stdio or iostream: reading by offset needs no seeking state, short
// writes and a full disk show themselves at once, and a static program stays small.
#include "runtime/io/file.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace sylvite {
namespace {

constexpr size_t kBufferBytes = size_t{1} << 16;
constexpr size_t kLargestTransfer = size_t{1} << 30;
constexpr int kPatienceMilliseconds = 1000;  // until somebody opens a pipe for writing

Error system_error(const std::string &file, const char *what) {
  return bad_input(file, ": ", what, ": ", std::strerror(errno));
}

// Waits until a descriptor has something to read, or its writer is gone; false when the time is
// over.
bool wait_for_bytes(int descriptor, int milliseconds) {
  pollfd entry{descriptor, POLLIN, 0};
  int ready = 0;
  while ((ready = ::poll(&entry, 1, milliseconds)) < 0 && errno == EINTR) {
  }
  return ready != 0;
}

// Reads up to `size` bytes, fewer at the end; -1 on failure. offset < 0: from where the descriptor
// stands.
ssize_t read_some(int descriptor, std::byte *to, size_t size, int64_t offset) {
  for (;;) {
    const size_t part = std::min(size, kLargestTransfer);
    const ssize_t got =
        offset < 0 ? ::read(descriptor, to, part) : ::pread(descriptor, to, part, offset);
    if (got >= 0 || errno != EINTR) {
      return got;
    }
  }
}

bool write_all(int descriptor, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t put = ::write(descriptor, bytes.data(), std::min(bytes.size(), kLargestTransfer));
    if (put < 0 && errno == EINTR) {
      continue;
    }
    if (put < 0) {
      return false;
    }
    bytes = bytes.subspan(static_cast<size_t>(put));
  }
  return true;
}

}  // namespace

Result<ByteSource> ByteSource::open(const std::string &file, int64_t limit) {
  ByteSource source;
  source.name_ = file;
  // Opening a pipe that has no writer would wait for one, perhaps for ever.
  source.descriptor_ = ::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (source.descriptor_ < 0) {
    return system_error(file, "cannot be opened");
  }
  struct stat status{};
  if (fstat(source.descriptor_, &status) != 0) {
    return system_error(file, "cannot be read");
  }
  if (S_ISDIR(status.st_mode)) {
    return bad_input(file, ": is a folder");
  }
  if (S_ISREG(status.st_mode)) {
    if (status.st_size > limit) {
      return bad_input(file, ": is too large: ", status.st_size, " bytes, at most ", limit);
    }
    source.size_ = static_cast<uint64_t>(status.st_size);
    return source;
  }
  for (bool waited = false;;) {  // a pipe or a device: no size, no offsets
    const size_t have = source.owned_.size();
    if (Error error = resize_vector(source.owned_, have + kBufferBytes, file); !error.ok()) {
      return error;
    }
    const ssize_t got =
        read_some(source.descriptor_, source.owned_.data() + have, kBufferBytes, -1);
    if (got < 0 && errno != EAGAIN) {
      return system_error(file, "cannot be read");
    }
    source.owned_.resize(have + static_cast<size_t>(std::max<ssize_t>(got, 0)));
    if (got < 0) {  // whoever writes may take its time
      wait_for_bytes(source.descriptor_, -1);
    } else if (got == 0 && have == 0 && S_ISFIFO(status.st_mode) && !waited) {
      waited = true;
      if (!wait_for_bytes(source.descriptor_, kPatienceMilliseconds)) {
        return bad_input(file, ": is a pipe that nobody writes to");
      }
    } else if (got == 0) {
      break;
    }
    if (source.owned_.size() > static_cast<uint64_t>(limit)) {
      return bad_input(file, ": is too large: more than ", limit, " bytes");
    }
  }
  ::close(source.descriptor_);
  source.descriptor_ = -1;
  source.memory_ = source.owned_;
  source.size_ = source.memory_.size();
  return source;
}

ByteSource::ByteSource(std::span<const std::byte> memory, std::string name)
    : name_(std::move(name)), memory_(memory), size_(memory.size()) {}

ByteSource::ByteSource(ByteSource &&other) noexcept
    : name_(std::move(other.name_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      owned_(std::move(other.owned_)),  // keeps its address: memory_ stays valid
      memory_(other.memory_),
      size_(other.size_) {}

ByteSource::~ByteSource() {
  if (descriptor_ >= 0) {
    ::close(descriptor_);
  }
}

Error ByteSource::read(uint64_t offset, std::span<std::byte> to) const {
  if (offset > size_ || to.size() > size_ - offset) {
    return bad_input(name_, ": is truncated: ", size_, " bytes, ", offset, " + ", to.size(),
                     " wanted");
  }
  if (descriptor_ < 0) {
    if (!to.empty()) {
      std::memcpy(to.data(), memory_.data() + offset, to.size());
    }
    return {};
  }
  while (!to.empty()) {
    const ssize_t got = read_some(descriptor_, to.data(), to.size(), static_cast<int64_t>(offset));
    if (got < 0) {
      return system_error(name_, "cannot be read");
    }
    if (got == 0) {
      return bad_input(name_, ": became shorter while it was read");
    }
    to = to.subspan(static_cast<size_t>(got));
    offset += static_cast<uint64_t>(got);
  }
  return {};
}

Result<std::vector<std::byte>> read_file(const std::string &file, int64_t limit) {
  Result<ByteSource> source = ByteSource::open(file, limit);
  if (!source.ok()) {
    return source.error();
  }
  std::vector<std::byte> bytes;
  if (Error error = resize_vector(bytes, source.value().size(), file); !error.ok()) {
    return error;
  }
  if (Error error = source.value().read(0, bytes); !error.ok()) {
    return error;
  }
  return bytes;
}

Result<OutputFile> OutputFile::create(const std::string &file) {
  OutputFile output;
  output.name_ = output.target_ = file;
  struct stat status{};
  const bool exists = stat(file.c_str(), &status) == 0;
  if (exists && S_ISDIR(status.st_mode)) {
    return bad_input(file, ": is a folder");
  }
  if (exists && !S_ISREG(status.st_mode)) {
    output.descriptor_ = ::open(file.c_str(), O_WRONLY | O_CLOEXEC);
    if (output.descriptor_ < 0) {
      return system_error(file, "cannot be written");
    }
    return output;
  }
  if (exists) {  // through a link to where the file is
    if (char *const real = realpath(file.c_str(), nullptr)) {
      output.target_ = real;
      std::free(real);
    }
  }
  for (int attempt = 0; output.descriptor_ < 0; ++attempt) {
    std::string temporary = text_of(output.target_, ".part-", getpid(), '-', attempt);
    output.descriptor_ = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (output.descriptor_ >= 0) {
      output.temporary_ = std::move(temporary);
    } else if (errno != EEXIST || attempt == 100) {
      return system_error(file, "cannot be written");
    }
  }
  return output;
}

OutputFile::OutputFile(OutputFile &&other) noexcept
    : name_(std::move(other.name_)),
      target_(std::move(other.target_)),
      temporary_(std::exchange(other.temporary_, {})),
      descriptor_(std::exchange(other.descriptor_, -1)),
      buffer_(std::move(other.buffer_)) {}

OutputFile::~OutputFile() {
  if (descriptor_ >= 0) {
    ::close(descriptor_);
  }
  if (!temporary_.empty()) {
    ::unlink(temporary_.c_str());
  }
}

Error OutputFile::write(std::span<const std::byte> bytes) {
  if (buffer_.size() + bytes.size() < kBufferBytes) {
    buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
    return {};
  }
  if (!write_all(descriptor_, buffer_)) {
    return system_error(name_, "cannot be written");
  }
  buffer_.clear();
  if (!write_all(descriptor_, bytes)) {
    return system_error(name_, "cannot be written");
  }
  return {};
}

Error OutputFile::commit() {
  if (!write_all(descriptor_, buffer_)) {
    return system_error(name_, "cannot be written");
  }
  buffer_.clear();
  if (::close(std::exchange(descriptor_, -1)) !=
      0) {  // some file systems report a full disk only here
    return system_error(name_, "cannot be written");
  }
  if (!temporary_.empty()) {
    if (std::rename(temporary_.c_str(), target_.c_str()) != 0) {
      return system_error(name_, "cannot be written");
    }
    temporary_.clear();
  }
  return {};
}

}  // namespace sylvite
