// JSON files that stand beside a model: read with bounds, every complaint names file and key.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

namespace sylvite {

// A whole file of at most 8 MiB; throws ModelError.
std::string read_small_file(const std::filesystem::path &file);

// A value or message from outside on one line, not too long.
std::string shortened(std::string text);

// One JSON object. A key that is null counts as missing.
class JsonSettings {
 public:
  // Throws ModelError: no such file, too large, nested too deeply, not a JSON object.
  explicit JsonSettings(const std::filesystem::path &file);

  const std::string &file() const { return file_; }
  const nlohmann::json *find(const std::string &key) const;  // or null
  // "FILE: key 'KEY': expected ..., found ..."
  [[noreturn]] void fail(const std::string &key, const std::string &expected) const;

  bool boolean(const std::string &key, bool fallback) const;
  double number(const std::string &key, double fallback) const;
  std::string text(const std::string &key) const;

 private:
  std::string file_;
  nlohmann::json object_;
};

}  // namespace sylvite
