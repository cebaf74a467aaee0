#include "runtime/program/option_values.h"

#include <cmath>
#include <cstdlib>
#include <utility>

#include "runtime/io/text.h"

namespace sylvite {

Error usage(std::string message) {
  return {SYLVITE_BAD_INPUT, std::move(message)};
}

Error parse_count(const char *option_name, const char *text, int max, int *value) {
  char *end = nullptr;
  const long number = strtol(text, &end, 10);
  if (*text < '0' || *text > '9' || *end != 0 || number < 1 || number > max) {
    return usage(text_of(option_name, ": expected a number from 1 to ", max, ", got '",
                         printable(text), "'"));
  }
  *value = static_cast<int>(number);
  return {};
}

Error parse_file(const char *option_name, const char *text, const char *kind, std::string *file) {
  if (*text == 0) {
    return usage(text_of(option_name, ": expected ", kind, ", got nothing"));
  }
  if (!file->empty()) {
    return usage(text_of(option_name, " is given twice"));
  }
  *file = text;
  return {};
}

Error parse_real(const char *option_name, const char *text, float *value) {
  char *end = nullptr;
  *value = strtof(text, &end);
  if (*text <= ' ' || *end != 0 || !std::isfinite(*value)) {
    return usage(text_of(option_name, ": expected a number, got '", printable(text), "'"));
  }
  return {};
}

}  // namespace sylvite
