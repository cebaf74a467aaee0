// A small recursive descent over the compiler's printed form of a size. Names come from models and
// may hold any character, so they are recognised by comparing with the program's symbols, the
// longest one first.
#include "runtime/dim_text.h"

#include <algorithm>
#include <cstring>

namespace sylvite {
namespace {

constexpr int kMaxDepth = 64;

class Reader {
 public:
  Reader(const sylvite_program &program, std::string_view text, const int64_t *symbols)
      : program_(program), text_(text), symbols_(symbols) {}

  std::optional<int64_t> read_all() {
    const std::optional<int64_t> value = sum();
    skip_spaces();
    return at_ == text_.size() ? value : std::nullopt;
  }

 private:
  void skip_spaces() {
    while (at_ < text_.size() && text_[at_] == ' ') {
      ++at_;
    }
  }

  bool accept(std::string_view token) {
    skip_spaces();
    if (text_.substr(at_, token.size()) != token) {
      return false;
    }
    at_ += token.size();
    return true;
  }

  std::optional<int64_t> sum() {
    std::optional<int64_t> left = product();
    while (left) {
      const bool plus = accept("+");
      if (!plus && !accept("-")) {
        break;
      }
      const std::optional<int64_t> right = product();
      int64_t result = 0;
      if (!right || (plus ? __builtin_add_overflow(*left, *right, &result)
                          : __builtin_sub_overflow(*left, *right, &result))) {
        return std::nullopt;
      }
      left = result;
    }
    return left;
  }

  std::optional<int64_t> product() {
    std::optional<int64_t> left = atom();
    while (left && accept("*")) {
      const std::optional<int64_t> right = atom();
      int64_t result = 0;
      if (!right || __builtin_mul_overflow(*left, *right, &result)) {
        return std::nullopt;
      }
      left = result;
    }
    return left;
  }

  std::optional<int64_t> atom() {
    if (++depth_ > kMaxDepth) {
      return std::nullopt;
    }
    const std::optional<int64_t> value = atom_within_depth();
    --depth_;
    return value;
  }

  std::optional<int64_t> atom_within_depth() {
    skip_spaces();
    if (const std::optional<int64_t> value = symbol()) {
      return value;
    }
    if (accept("(")) {
      const std::optional<int64_t> value = sum();
      return accept(")") ? value : std::nullopt;
    }
    if (accept("-")) {
      const std::optional<int64_t> value = atom();
      return value && *value != INT64_MIN ? std::optional(-*value) : std::nullopt;
    }
    if (accept("floor_div(")) {
      const auto [a, b] = pair();
      return a && b && *b > 0 ? std::optional(*a / *b - (*a % *b < 0 ? 1 : 0)) : std::nullopt;
    }
    if (accept("min(")) {
      const auto [a, b] = pair();
      return a && b ? std::optional(std::min(*a, *b)) : std::nullopt;
    }
    if (accept("max(")) {
      const auto [a, b] = pair();
      return a && b ? std::optional(std::max(*a, *b)) : std::nullopt;
    }
    return number();
  }

  // The rest of "floor_div(a, b)".
  std::pair<std::optional<int64_t>, std::optional<int64_t>> pair() {
    const std::optional<int64_t> a = sum();
    const bool comma = accept(",");
    const std::optional<int64_t> b = comma ? sum() : std::nullopt;
    return accept(")") ? std::pair(a, b)
                       : std::pair(std::optional<int64_t>(), std::optional<int64_t>());
  }

  std::optional<int64_t> symbol() {
    int32_t longest = -1;
    size_t length = 0;
    for (int32_t i = 0; i < program_.symbol_count; ++i) {
      const std::string_view name = program_.symbols[i].name;
      if (name.size() > length && text_.substr(at_, name.size()) == name &&
          ends_name(at_ + name.size())) {
        longest = i;
        length = name.size();
      }
    }
    if (longest < 0) {
      return std::nullopt;
    }
    at_ += length;
    return symbols_[longest];
  }

  bool ends_name(size_t end) const {
    return end >= text_.size() || strchr(" +-*(),", text_[end]) != nullptr;
  }

  std::optional<int64_t> number() {
    const size_t begin = at_;
    int64_t value = 0;
    for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
      if (__builtin_mul_overflow(value, 10, &value) ||
          __builtin_add_overflow(value, text_[at_] - '0', &value)) {
        return std::nullopt;
      }
    }
    return at_ > begin ? std::optional(value) : std::nullopt;
  }

  const sylvite_program &program_;
  std::string_view text_;
  const int64_t *symbols_;
  size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace

std::string shape_text(const sylvite_tensor_info &info) {
  std::string text = "[";
  for (int32_t axis = 0; axis < info.rank; ++axis) {
    text += axis > 0 ? ", " : "";
    text += info.dims[axis];
  }
  return text + "]";
}

std::string shape_text(std::span<const int64_t> dims) {
  std::string text = "[";
  for (size_t axis = 0; axis < dims.size(); ++axis) {
    text += (axis > 0 ? ", " : "") + std::to_string(dims[axis]);
  }
  return text + "]";
}

int32_t find_symbol(const sylvite_program &program, std::string_view name) {
  for (int32_t i = 0; i < program.symbol_count; ++i) {
    if (name == program.symbols[i].name) {
      return i;
    }
  }
  return -1;
}

int64_t fixed_size(const char *dim) {
  int64_t value = 0;
  for (const char *c = dim; *c != 0; ++c) {
    if (*c < '0' || *c > '9' || value > INT32_MAX) {
      return 0;
    }
    value = value * 10 + (*c - '0');
  }
  return value;
}

std::optional<int64_t> evaluate_dim(const sylvite_program &program, std::string_view text,
                                    const int64_t *symbols) {
  return Reader(program, text, symbols).read_all();
}

}  // namespace sylvite
