// Temporary folders, and output files that are complete or absent.
//
// The output is written into a file without a name where the system has these (O_TMPFILE), so that
// a killed compile leaves nothing beside it; elsewhere, and for the moment before the rename, into
// a neighbour with the process number in its name. A target that exists and is no regular file (a
// device, a folder) is refused: renaming onto /dev/null would replace the device.
#include "compiler/link/temporary.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>
#include <utility>

#include "compiler/ir/error.h"

namespace sylvite {

namespace fs = std::filesystem;

TemporaryFolder::TemporaryFolder() {
  std::error_code error;
  fs::path base = fs::temp_directory_path(error);
  if (error) {
    base = "/tmp";
  }
  std::string name = (base / "sylvite-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) {
    throw_model_error("cannot make a temporary folder in '", base.string(),
                      "': ", std::strerror(errno), "; set TMPDIR to a folder that can be written");
  }
  path_ = name;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

PendingFile::PendingFile(fs::path target, bool executable) : target_(std::move(target)) {
  struct stat status{};
  if (stat(target_.c_str(), &status) == 0 && !S_ISREG(status.st_mode)) {
    throw_model_error("cannot write '", target_.string(), "': ",
                      S_ISDIR(status.st_mode) ? "it is a folder" : "it is not a regular file");
  }
  static std::atomic<int> next{0};
  temporary_ =
      target_.parent_path() / ("." + target_.filename().string() + "." + std::to_string(getpid()) +
                               "." + std::to_string(next++) + ".tmp");
  unlink(temporary_.c_str());  // of a killed process that had our number
  const unsigned mode = executable ? 0777 : 0666;
  if (!open_unnamed(mode)) {
    file_ = open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    named_ = file_ >= 0;
  }
  if (file_ < 0) {
    fail(errno);
  }
}

PendingFile::~PendingFile() {
  if (file_ >= 0) {
    close(file_);
  }
  if (named_) {
    unlink(temporary_.c_str());
  }
}

// Naming the file later takes /proc.
bool PendingFile::open_unnamed(unsigned mode) {
  if (access("/proc/self/fd", F_OK) != 0) {
    return false;
  }
  const fs::path folder = target_.has_parent_path() ? target_.parent_path() : ".";
  file_ = open(folder.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, mode);
  return file_ >= 0;
}

int PendingFile::give_name() const {
  const std::string descriptor = "/proc/self/fd/" + std::to_string(file_);
  return linkat(AT_FDCWD, descriptor.c_str(), AT_FDCWD, temporary_.c_str(), AT_SYMLINK_FOLLOW);
}

void PendingFile::fail(int error) const {
  throw_model_error("cannot write '", target_.string(), "': ", std::strerror(error));
}

bool PendingFile::write(const void *data, size_t size) {
  const char *next = static_cast<const char *>(data);
  while (size > 0 && error_ == 0) {
    const ssize_t written = ::write(file_, next, size);
    if (written > 0) {
      next += written;
      size -= static_cast<size_t>(written);
      position_ += written;
    } else if (errno != EINTR) {
      error_ = errno;
    }
  }
  return error_ == 0;
}

void PendingFile::skip_to(int64_t offset) {
  SYLVITE_CHECK(offset >= position_);
  if (error_ == 0 && lseek(file_, offset, SEEK_SET) < 0) {
    error_ = errno;
  }
  position_ = offset;
}

void PendingFile::check() const {
  if (error_ != 0) {
    fail(error_);
  }
}

void PendingFile::commit() {
  complete();
  move_into_place();
}

void PendingFile::complete() {
  if (error_ == 0 && ftruncate(file_, position_) != 0) {  // a hole at the end counts too
    error_ = errno;
  }
  if (error_ == 0 && !named_) {
    named_ = give_name() == 0;
    error_ = named_ ? 0 : errno;
  }
  if (close(std::exchange(file_, -1)) != 0 && error_ == 0) {
    error_ = errno;  // some network file systems report a full disk here
  }
  check();
}

void PendingFile::move_into_place() {
  if (rename(temporary_.c_str(), target_.c_str()) != 0) {
    fail(errno);
  }
  named_ = false;
}

}  // namespace sylvite
