// Scores that are a formula: the twin of scores() in make_goldens.py.
#pragma once

#include <cstdint>

namespace sylvite::testing {

inline uint32_t mix(uint32_t state, uint32_t value) {
  state = (state ^ value) * 0x9E3779B1u;
  return state ^ state >> 15;
}

// What the formula knows of a row's past: a hash of source and tokens.
struct ToyPast {
  uint32_t state = 0;
  int32_t length = 0;
};
inline ToyPast toy_begin(uint32_t seed, uint32_t source) {
  return {mix(mix(0, seed), source), 0};
}
inline ToyPast toy_append(ToyPast past, int32_t token) {
  return {mix(past.state, static_cast<uint32_t>(token) + 1), past.length + 1};
}
inline float toy_score(ToyPast past, int32_t token, int32_t end) {
  const uint32_t hash = mix(mix(past.state, static_cast<uint32_t>(token)), 77) & 0xFFFFF;
  const double value = static_cast<double>(hash) / 65536 * 0.5;
  return static_cast<float>(token == end ? value + past.length * 0.25 : value);
}

}  // namespace sylvite::testing
