// Files for reading at offsets and for writing completely or not at all.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "runtime/io/result.h"

namespace sylvite {

// Bytes that are read by offset: a regular file, or memory. What has no size (a pipe) is read whole
// at opening.
class ByteSource {
 public:
  // Opens a file of at most `limit` bytes.
  static Result<ByteSource> open(const std::string &file, int64_t limit);
  // Borrows.
  ByteSource(std::span<const std::byte> memory, std::string name);
  ByteSource(ByteSource &&other) noexcept;
  ByteSource &operator=(ByteSource &&other) = delete;
  ~ByteSource();

  const std::string &name() const { return name_; }
  uint64_t size() const { return size_; }
  // Fills `to` from `offset`; an error when it reaches beyond the end.
  Error read(uint64_t offset, std::span<std::byte> to) const;

 private:
  ByteSource() = default;
  std::string name_;
  int descriptor_ = -1;
  std::vector<std::byte> owned_;
  std::span<const std::byte> memory_;
  uint64_t size_ = 0;
};

// A whole file.
Result<std::vector<std::byte>> read_file(const std::string &file, int64_t limit);

// Writes beside `file` and renames in commit(), so that nobody ever sees half a file; without
// commit() nothing stays. Devices and pipes (/dev/stdout) are written directly.
class OutputFile {
 public:
  static Result<OutputFile> create(const std::string &file);
  OutputFile(OutputFile &&other) noexcept;
  OutputFile &operator=(OutputFile &&other) = delete;
  ~OutputFile();

  Error write(std::span<const std::byte> bytes);
  Error commit();

 private:
  OutputFile() = default;
  std::string name_, target_, temporary_;  // temporary_ empty: written directly, or done
  int descriptor_ = -1;
  std::vector<std::byte> buffer_;
};

}  // namespace sylvite
