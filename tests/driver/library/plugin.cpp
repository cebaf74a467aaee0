#include <bert/bert.hpp>
#include <digits/digits.hpp>

extern "C" __attribute__((visibility("default"))) int plugin_opens_its_models() {
  sylvite::Model bert, digits;
  return bert::open(bert).ok() && digits::open(digits).ok() ? 1 : 0;
}
