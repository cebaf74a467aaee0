// Files that do not outlive their use. Internal to compiler/link.
#pragma once

#include <filesystem>
#include <string_view>

namespace sylvite {

// A folder of our own in the system's folder for temporary files, removed with all that it holds.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder &) = delete;
  TemporaryFolder &operator=(const TemporaryFolder &) = delete;
  const std::filesystem::path &path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// A file that appears under its name when commit() says so and leaves no trace otherwise: it is
// written beside its target under another name. Failures throw ModelError with the target's name
// and the reason.
class PendingFile {
 public:
  PendingFile(std::filesystem::path target, bool executable);
  ~PendingFile();
  PendingFile(const PendingFile &) = delete;
  PendingFile &operator=(const PendingFile &) = delete;

  bool write(const void *data, size_t size);  // false: call commit or check, which report it
  void skip_to(int64_t offset);               // zeroes, as a hole where the file system can
  void check() const;                         // for what went wrong so far
  void commit();
  // commit() in two steps, for files that belong together: all that may fail for want of space,
  // then the name.
  void complete();
  void move_into_place();

 private:
  [[noreturn]] void fail(int error) const;
  bool open_unnamed(unsigned mode);
  int give_name() const;

  std::filesystem::path target_, temporary_;
  int file_ = -1;
  bool named_ = false;  // the temporary name exists
  int error_ = 0;
  int64_t position_ = 0;
};

}  // namespace sylvite
