// A standalone translator of the program written by hand. In the environment: SYLVITE_TOY_LIMIT,
// the most tokens of a source; SYLVITE_TOY_WIDTH, the most that encode takes, which is not said.
#include <cstdlib>

#include "tests/runtime/translate/toy_translator.h"

namespace {

int32_t number(const char *name, int32_t otherwise) {
  const char *const value = std::getenv(name);
  return value != nullptr ? std::atoi(value) : otherwise;
}

const sylvite_program &make() {
  static sylvite::testing::ToyTranslator toy({.most_width = number("SYLVITE_TOY_WIDTH", 1 << 20)});
  toy.task.max_source = number("SYLVITE_TOY_LIMIT", 0);
  return toy.program();
}

}  // namespace

extern "C" const sylvite_program sylvite_program_descriptor = make();
