#include "compiler/driver/json_settings.h"

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <system_error>
#include <vector>

#include "compiler/ir/closest.h"
#include "compiler/ir/error.h"

namespace sylvite {
namespace {

using nlohmann::json;

constexpr uintmax_t kLargestFile = uintmax_t{8} << 20;
constexpr int kDeepest = 32;

}  // namespace

std::string read_small_file(const std::filesystem::path &file) {
  std::error_code error;
  if (std::filesystem::is_directory(file, error)) {
    throw_model_error(file.string(), ": is a folder");
  }
  if (std::filesystem::exists(file, error) && !std::filesystem::is_regular_file(file, error)) {
    throw_model_error(file.string(), ": is a pipe or a device; expected a file");
  }
  std::ifstream stream(file, std::ios::binary);
  if (!stream) {
    throw_model_error(file.string(), ": cannot be opened");
  }
  std::string text;
  std::vector<char> piece(size_t{1} << 16);
  while (stream && text.size() <= kLargestFile) {
    stream.read(piece.data(), static_cast<std::streamsize>(piece.size()));
    text.append(piece.data(), static_cast<size_t>(stream.gcount()));
  }
  if (text.size() > kLargestFile) {
    throw_model_error(file.string(), ": is larger than ", kLargestFile, " bytes");
  }
  return text;
}

std::string shortened(std::string text) {
  constexpr size_t kLongest = 80;
  for (char &c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      c = ' ';
    }
  }
  return text.size() > kLongest ? text.substr(0, kLongest) + "..." : text;
}

JsonSettings::JsonSettings(const std::filesystem::path &file) : file_(file.string()) {
  const std::string text = read_small_file(file);
  const auto bound_depth = [&](int depth, json::parse_event_t, json &) {
    if (depth > kDeepest) {
      throw_model_error(file_, ": is nested deeper than ", kDeepest, " levels");
    }
    return true;
  };
  try {
    object_ = json::parse(text, bound_depth);
  } catch (const json::exception &error) {
    const std::string what = error.what();
    const size_t end = what.find("] ");  // "[json.exception.parse_error.101] "
    throw_model_error(file_, ": is not JSON: ",
                      shortened(end == std::string::npos ? what : what.substr(end + 2)));
  }
  if (!object_.is_object()) {
    throw_model_error(file_, ": expected a JSON object");
  }
}

const json *JsonSettings::find(const std::string &key) const {
  const auto found = object_.find(key);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

void JsonSettings::fail(const std::string &key, const std::string &expected) const {
  const auto found = object_.find(key);
  const std::string value =
      found == object_.end()
          ? "nothing"
          : shortened(found->dump(-1, ' ', true, json::error_handler_t::replace));
  throw_model_error(file_, ": key '", path_ + key, "': expected ", expected, ", found ", value);
}

JsonSettings JsonSettings::section(const std::string &key) const {
  JsonSettings inner;
  inner.file_ = file_;
  inner.path_ = path_ + key + ".";
  inner.object_ = json::object();
  if (const json *const value = find(key); value != nullptr) {
    if (!value->is_object()) {
      fail(key, "an object");
    }
    inner.object_ = *value;
  }
  return inner;
}

void JsonSettings::expect_keys(const std::vector<std::string> &known) const {
  for (const auto &[key, value] : object_.items()) {
    if (std::find(known.begin(), known.end(), key) == known.end()) {
      throw_model_error(file_, ": unknown key '", shortened(path_ + key), "'; did you mean '",
                        path_ + closest(key, known), "'?");
    }
  }
}

int64_t JsonSettings::integer(const std::string &key, int64_t fallback, int64_t least,
                              int64_t most) const {
  const json *const value = find(key);
  if (value == nullptr) {
    return fallback;
  }
  const bool whole = value->is_number_integer() || value->is_number_unsigned();
  const double number = whole ? value->get<double>() : 0;
  if (!whole || number < static_cast<double>(least) || number > static_cast<double>(most)) {
    fail(key, "a whole number from " + std::to_string(least) + " to " + std::to_string(most));
  }
  return value->get<int64_t>();
}

bool JsonSettings::boolean(const std::string &key, bool fallback) const {
  const json *const value = find(key);
  if (value != nullptr && !value->is_boolean()) {
    fail(key, "true or false");
  }
  return value != nullptr ? value->get<bool>() : fallback;
}

double JsonSettings::number(const std::string &key, double fallback) const {
  const json *const value = find(key);
  if (value != nullptr && !value->is_number()) {
    fail(key, "a number");
  }
  return value != nullptr ? value->get<double>() : fallback;
}

std::string JsonSettings::text(const std::string &key) const {
  const json *const value = find(key);
  if (value != nullptr && !value->is_string()) {
    fail(key, "a string");
  }
  return value != nullptr ? value->get<std::string>() : "";
}

}  // namespace sylvite
