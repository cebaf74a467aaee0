// JSON files that stand beside a model: read with bounds, every complaint names file and key.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

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

  // The object under this key, or an empty one; its complaints name the path: 'decoder.caches'.
  JsonSettings section(const std::string &key) const;
  // Throws ModelError for a key that is none of these, with the closest one.
  void expect_keys(const std::vector<std::string> &known) const;
  const nlohmann::json &object() const { return object_; }
  // "decoder.file": the key as complaints name it.
  std::string path_of(const std::string &key) const { return path_ + key; }

  bool boolean(const std::string &key, bool fallback) const;
  double number(const std::string &key, double fallback) const;
  std::string text(const std::string &key) const;
  // A whole number from `least` to `most`.
  int64_t integer(const std::string &key, int64_t fallback, int64_t least, int64_t most) const;

 private:
  JsonSettings() = default;

  std::string file_, path_;  // "decoder." inside a section
  nlohmann::json object_;
};

}  // namespace sylvite
