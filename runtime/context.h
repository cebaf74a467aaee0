// The memory and the threads of one run at a time. The functions that a plan calls back are in
// calls.cpp.
#pragma once

#include <bit>
#include <cstdarg>
#include <cstddef>
#include <cstdint>

#include "runtime/abi.h"
#include "runtime/arena.h"
#include "runtime/memory.h"
#include "runtime/model.h"
#include "runtime/threads.h"

namespace sylvite {

inline constexpr int kRememberedShapes = 8;

// What is known once the inputs' sizes are: computed by the plan's `prepare` and the arena's
// placement. The pointers lead into one block that is taken when the context is made.
struct PreparedShape {
  bool valid = false;
  uint64_t last_use = 0;
  int64_t *input_dims = nullptr, *symbols = nullptr, *output_dims = nullptr;
  int64_t *offsets = nullptr;  // in the arena: the outputs, then the intermediates
  int64_t arena_bytes = 0;
};

// What each thread needs to make a call.
struct alignas(64) CallSlot {
  int32_t bounds[4] = {};
  syl_halide_buffer scratch{};
  void **arguments = nullptr;
};

// What to take for `bytes` that will grow: the next power of two.
constexpr int64_t with_room(int64_t bytes) {
  constexpr int64_t kCountable = int64_t{1} << 46;
  return bytes <= kCountable ? static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(bytes)))
                             : bytes;
}

extern const sylvite_runtime_api kRuntimeApi;

// Element i of a tensor of whole numbers or bools.
int64_t whole_number_at(const void *data, int32_t dtype, int64_t i);

// Computes what the sizes imply without running: every dimension of every input, in order. An error
// is in the context.
int32_t prepare_shape(sylvite_context &context, const int64_t *dims);
// The same, and takes the memory.
int32_t reserve_shape(sylvite_context &context, const int64_t *dims);

}  // namespace sylvite

struct sylvite_context {
  const sylvite_model *model = nullptr;
  sylvite_error error{};
  sylvite::ThreadPool pool;
  bool profile = false;
  // Sizes grow a little with each run, as in decoding: memory is taken in powers of two, so that
  // few runs allocate.
  bool growing = false;

  sylvite::Block arena, scratch;
  int64_t scratch_stride = 0;  // bytes of scratch of each thread

  sylvite::Array<int64_t> shape_words;
  sylvite::PreparedShape shapes[sylvite::kRememberedShapes];
  const sylvite::PreparedShape *current = nullptr;
  uint64_t runs = 0;

  // Every dimension of every input of this run, then the elements that are used as sizes.
  sylvite::Array<int64_t> given_dims;
  sylvite::Array<int64_t> intermediate_bytes;    // what prepare writes
  sylvite::Array<sylvite::ArenaBuffer> placing;  // outputs, then intermediates
  sylvite::Array<int32_t> order;                 // working space of the placement
  sylvite::Array<syl_halide_buffer> buffers;     // by the plan's buffer numbers
  sylvite::Array<sylvite::CallSlot> slots;       // one a thread
  sylvite::Array<void *> arguments;              // of all slots

  sylvite::Array<int64_t> call_nanoseconds, call_runs, call_flops, call_bytes;  // with `profile`

  // Records the error of a failed call and returns its code. One line, cut at the length of the
  // message.
  __attribute__((format(printf, 3, 4))) int32_t fail(int32_t status, const char *format, ...);
};
