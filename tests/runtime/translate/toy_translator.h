// A translator written by hand: encode hashes the source's tokens, step reads the target's tokens
// so far back from where the runtime put them (pools of blocks, or prefixes) and scores the next
// one as ToyLanguage does. So a search over it must find what a search over ToyLanguage finds, and
// every wrong block, row or source changes the result.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "runtime/abi.h"

namespace sylvite::testing {

// The forms that compiled translators may have.
struct ToyOptions {
  bool caches = true, rows = true;
  bool source_mask = true, target_mask = false;
  bool all_scores = false;   // [batch, length, vocabulary]: of every position
  bool position = false;     // [batch, vocabulary]: of the position that an input says
  bool link_tokens = false;  // encode computes nothing: step reads the source's tokens
  int32_t fixed_source = 0, fixed_target = 0;
  int32_t encode_batch = 0, step_batch = 0;
  int32_t tokens = SYL_I64, mask = SYL_I64;
  uint32_t seed = 1;
  int32_t fail_at = -1;          // step whose scores are NaN
  int32_t most_width = 1 << 20;  // longer sources are refused
  int32_t most_rows = 1 << 20;   // more are out of memory, from the third step on
};

inline constexpr int32_t kToyVocabulary = 24, kToyEnd = 0, kToyUnknown = 1, kToyPad = 23;

// Lives until another one is made: the functions of a program have no other way to know it.
class ToyTranslator {
 public:
  explicit ToyTranslator(const ToyOptions &options = {});
  ToyTranslator(const ToyTranslator &) = delete;
  ToyTranslator &operator=(const ToyTranslator &) = delete;

  const sylvite_program &program() const { return encode_; }
  static const std::byte *weights();
  sylvite_translate_task task{};  // may be changed before the program is opened

 private:
  void add_step_input(const char *name, int32_t dtype, std::vector<const char *> dims,
                      int32_t *number);
  void make_encode();
  void make_step();

  ToyOptions options_;
  std::vector<std::vector<const char *>> dims_;
  std::vector<sylvite_tensor_info> encode_inputs_, step_inputs_;
  sylvite_tensor_info encode_output_{}, step_output_{};
  std::vector<int32_t> encode_buffers_, step_buffers_;
  sylvite_call_site encode_call_{}, step_call_{};
  sylvite_program encode_{}, step_{};
  const sylvite_program *entries_[1] = {&step_};
  sylvite_link link_{};
  int32_t caches_[2] = {};
  std::string numbers_[4];
};

struct ToyState {
  int32_t encodes = 0, steps = 0;
  std::vector<int64_t> encode_sizes;  // batch, length, batch, length, ...
  std::vector<int64_t> step_rows;     // of each step
};
ToyState &toy_state();

// What the program's encode makes of a source.
uint32_t toy_source(const std::vector<int32_t> &tokens);

// The words of the vocabulary, by id.
const char *toy_word(int32_t id);

}  // namespace sylvite::testing
