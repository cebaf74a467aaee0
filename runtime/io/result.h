// Errors as values, for the parts of the runtime that read files: a code and one line. Nothing here
// throws, because programs are built without exceptions.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/include/sylvite/sylvite.h"

namespace sylvite {

struct Error {
  sylvite_result code = SYLVITE_OK;
  std::string message;  // one line, lower case, no full stop; names file and place
  bool ok() const { return code == SYLVITE_OK; }
};

inline void append_text(std::string &line, std::string_view text) {
  line += text;
}
inline void append_text(std::string &line, char text) {
  line += text;
}
template <std::integral T>
void append_text(std::string &line, T number) {
  line += std::to_string(number);
}

// One line of strings and integers.
template <typename... Parts>
std::string text_of(const Parts &...parts) {
  std::string line;
  (append_text(line, parts), ...);
  return line;
}

// return bad_input(file, ": expected ", 2, " arrays");
template <typename... Parts>
Error bad_input(const Parts &...parts) {
  return {SYLVITE_BAD_INPUT, text_of(parts...)};
}

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}      // NOLINT: return value;
  Result(Error error) : error_(std::move(error)) {}  // NOLINT: return bad_input(...);
  bool ok() const { return value_.has_value(); }
  // Only when ok().
  T &value() { return *value_; }
  const T &value() const { return *value_; }
  // Only when not ok().
  const Error &error() const { return error_; }

 private:
  std::optional<T> value_;
  Error error_;
};

// Makes `values` as long as `count`, zeroed; an error when there is not so much memory. (A vector
// alone would end the program, which is built without exceptions.)
template <typename T>
Error resize_vector(std::vector<T> &values, uint64_t count, const std::string &where) {
  if (count > values.capacity()) {
    // Asks first in a way that may be refused.
    const bool countable = count <= PTRDIFF_MAX / sizeof(T);
    void *const trial = countable ? ::operator new(count * sizeof(T), std::nothrow) : nullptr;
    if (trial == nullptr) {
      return {SYLVITE_OUT_OF_MEMORY,
              text_of(where, ": out of memory: ", count, " x ", sizeof(T), " bytes wanted")};
    }
    ::operator delete(trial);
  }
  values.resize(count);
  return {};
}

}  // namespace sylvite
