// The few names of Abseil that SentencePiece's model converter uses, over the standard library.
//
// Debian 12's Abseil (20220623) does not do: it has no byteswap, and a string_view of its own that
// std::string_view does not turn into. What the converter needs is so little that building another
// Abseil would be out of proportion.
#pragma once

#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>

namespace absl {

template <typename T>
using flat_hash_set = std::unordered_set<T>;

constexpr uint32_t byteswap(uint32_t word) {
  return __builtin_bswap32(word);
}

class Status {
 public:
  explicit Status(std::string message) : message_(std::move(message)) {}
  const std::string &message() const { return message_; }

 private:
  std::string message_;
};

inline Status InvalidArgumentError(std::string message) {
  return Status(std::move(message));
}
inline Status InternalError(std::string message) {
  return Status(std::move(message));
}

template <typename T>
class StatusOr {
 public:
  StatusOr(T value) : value_(std::move(value)) {}
  StatusOr(Status status) : status_(std::move(status)) {}
  bool ok() const { return value_.has_value(); }
  const Status &status() const { return status_; }
  T &operator*() { return *value_; }

 private:
  std::optional<T> value_;
  Status status_{""};
};

inline void append(std::string &text, std::string_view part) {
  text += part;
}
inline void append(std::string &text, std::integral auto number) {
  text += std::to_string(number);
}
template <typename... Parts>
std::string StrCat(const Parts &...parts) {
  std::string text;
  (append(text, parts), ...);
  return text;
}

}  // namespace absl
