// The files of a model: the mapped .onnx and the external data beside it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>

namespace sylvite {

// A regular file, mapped read-only. Throws ModelError (with the path) when it cannot be read.
class MappedFile {
 public:
  explicit MappedFile(const std::filesystem::path &path);
  ~MappedFile();
  MappedFile(const MappedFile &) = delete;
  MappedFile &operator=(const MappedFile &) = delete;
  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  std::span<const std::byte> bytes_;
};

// Files named by external_data, confined to the model's folder.
class ExternalData {
 public:
  explicit ExternalData(const std::filesystem::path &model) : folder_(model.parent_path()) {}

  // Throws ModelError when `location` leaves the model's folder or cannot be read.
  std::shared_ptr<const MappedFile> open(const std::string &location);
  // The files opened so far, by location.
  const std::map<std::string, std::shared_ptr<const MappedFile>> &files() const { return files_; }

 private:
  std::filesystem::path folder_;
  std::map<std::string, std::shared_ptr<const MappedFile>> files_;
};

}  // namespace sylvite
