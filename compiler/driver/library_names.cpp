// Exporters give tensors and files any name; a header needs names that compile wherever it is
// included.
#include "compiler/driver/library_names.h"

#include <algorithm>
#include <set>
#include <system_error>

#include "compiler/driver/commands.h"

namespace sylvite {
namespace {

namespace fs = std::filesystem;

constexpr size_t kLongest = 100;  // an archive's and a header's name too

// Letters of ASCII whatever the locale.
bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// Words of C and C++20, and macros of compilers and of headers that ours include.
bool is_taken(std::string_view name) {
  static const std::set<std::string_view> kTaken = {
      "alignas", "alignof", "and", "and_eq", "asm", "auto", "bitand", "bitor", "bool", "break",
      "case", "catch", "char", "char16_t", "char32_t", "char8_t", "class", "co_await", "co_return",
      "co_yield", "compl", "concept", "const", "const_cast", "consteval", "constexpr", "constinit",
      "continue", "decltype", "default", "delete", "do", "double", "dynamic_cast", "else", "enum",
      "explicit", "export", "extern", "false", "float", "for", "friend", "goto", "if", "inline",
      "int", "long", "mutable", "namespace", "new", "noexcept", "not", "not_eq", "nullptr",
      "operator", "or", "or_eq", "private", "protected", "public", "register", "reinterpret_cast",
      "requires", "restrict", "return", "short", "signed", "sizeof", "static", "static_assert",
      "static_cast", "struct", "switch", "template", "this", "thread_local", "throw", "true", "try",
      "typedef", "typeid", "typename", "typeof", "union", "unsigned", "using", "virtual", "void",
      "volatile", "wchar_t", "while", "xor", "xor_eq",
      // macros, and what the header itself means by a name
      "Inputs", "Outputs", "std", "sylvite", "EOF", "NULL", "assert", "errno", "i386", "linux",
      "stderr", "stdin", "stdout", "unix"};
  return kTaken.count(name) != 0;
}

// What a namespace and a library may not be called besides.
bool is_taken_prefix(std::string_view name) {
  return is_taken(name) || name == "posix" || name == "main" || name.rfind("sylvite_", 0) == 0;
}

}  // namespace

std::string identifier_of(std::string_view text, const std::string &fallback) {
  std::string name;
  for (const char c : text.substr(0, kLongest)) {
    if (is_letter(c) || is_digit(c)) {
      name += c;
    } else if (!name.empty() && name.back() != '_') {  // two are reserved, as is one at the start
      name += '_';
    }
  }
  if (!name.empty() && name.back() == '_') {
    name.pop_back();
  }
  if (name.empty()) {
    return fallback;
  }
  return is_digit(name[0]) || is_taken(name) ? fallback + "_" + name : name;
}

std::vector<std::string> identifiers_of(const std::vector<std::string> &texts,
                                        const std::string &fallback) {
  std::vector<std::string> names;
  for (const std::string &text : texts) {
    const std::string base = identifier_of(text, fallback);
    std::string name = base;
    for (int next = 2; std::find(names.begin(), names.end(), name) != names.end(); ++next) {
      name = base + "_" + std::to_string(next);
    }
    names.push_back(name);
  }
  return names;
}

std::string library_prefix(const std::string &given, const fs::path &model) {
  if (given.empty()) {
    std::error_code error;
    fs::path path = fs::weakly_canonical(model, error);  // of "." and of "folder/" too
    if (error) {
      path = model;
    }
    if (path.extension() == ".json") {  // a manifest has the same name everywhere
      path = path.parent_path();
    }
    const bool folder = fs::is_directory(path, error);
    const std::string name =
        identifier_of((folder ? path.filename() : path.stem()).string(), "model");
    return is_taken_prefix(name) ? "model_" + name : name;
  }
  const bool well_formed = is_letter(given[0]) && given.size() <= kLongest &&
                           std::all_of(given.begin(), given.end(), [](char c) {
                             return is_letter(c) || is_digit(c) || c == '_';
                           });
  if (!well_formed) {
    throw UsageError("--name-prefix " + given +
                     ": expected a letter, then letters, digits and underscores, " +
                     std::to_string(kLongest) + " characters at most");
  }
  if (is_taken_prefix(given)) {
    throw UsageError("--name-prefix " + given + ": this name means something else in C or C++");
  }
  return given;
}

}  // namespace sylvite
