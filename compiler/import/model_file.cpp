// Maps files, and keeps external data inside the model's folder: a model from elsewhere must not be
// able to copy /etc/shadow into the program that is compiled from it. A location may have no root
// and no "..", and what it resolves to, symbolic links followed, must lie below the folder. What is
// then opened is the resolved path, without following links again. Only regular files are mapped:
// opening a pipe would hang.
#include "compiler/import/model_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "compiler/import/importer.h"
#include "compiler/ir/error.h"

namespace sylvite {
namespace {

// Closes on every way out.
struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) {
      close(fd);
    }
  }
};

[[noreturn]] void fail_to_read(const std::filesystem::path &path, const char *reason) {
  throw_model_error("cannot read '", path.string(), "': ", reason);
}

}  // namespace

MappedFile::MappedFile(const std::filesystem::path &path) {
  const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)};
  struct stat status{};
  if (file.fd < 0 || fstat(file.fd, &status) != 0) {
    fail_to_read(path, std::strerror(errno));
  }
  if (!S_ISREG(status.st_mode)) {
    fail_to_read(path, S_ISDIR(status.st_mode) ? "it is a folder" : "it is not a regular file");
  }
  const size_t size = static_cast<size_t>(status.st_size);
  if (size == 0) {
    return;
  }
  void *const address = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.fd, 0);
  if (address == MAP_FAILED) {
    fail_to_read(path, std::strerror(errno));
  }
  bytes_ = {static_cast<const std::byte *>(address), size};
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) {
    munmap(const_cast<std::byte *>(bytes_.data()), bytes_.size());
  }
}

std::shared_ptr<const MappedFile> ExternalData::open(const std::string &location) {
  const auto known = files_.find(location);
  if (known != files_.end()) {
    return known->second;
  }
  const std::filesystem::path relative(location);
  if (location.empty() || location.find('\0') != std::string::npos || relative.is_absolute() ||
      std::find(relative.begin(), relative.end(), "..") != relative.end()) {
    throw_model_error("external data '", printable(location),
                      "' is not a path inside the model's folder");
  }
  std::error_code error;
  const auto folder = std::filesystem::canonical(folder_.empty() ? "." : folder_, error);
  const auto path = std::filesystem::canonical(folder / relative, error);
  if (error) {
    throw_model_error("cannot read external data '", printable(location), "': ", error.message());
  }
  const auto [folder_end, path_end] =
      std::mismatch(folder.begin(), folder.end(), path.begin(), path.end());
  if (folder_end != folder.end()) {
    throw_model_error("external data '", printable(location),
                      "' is a link out of the model's folder");
  }
  return files_[location] = std::make_shared<const MappedFile>(path);
}

}  // namespace sylvite
