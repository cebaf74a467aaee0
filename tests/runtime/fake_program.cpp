#include "tests/runtime/fake_program.h"

#include <xmmintrin.h>

#include <cstdint>
#include <cstring>

namespace sylvite::testing {
namespace {

template <typename T>
T *host(void *buffer) {
  return reinterpret_cast<T *>(static_cast<syl_halide_buffer *>(buffer)->host);
}

int32_t number(void *argument) {
  return *static_cast<int32_t *>(argument);
}

void count_part() {
  ++fake_state().parts;
  fake_state().flushing_parts += (_mm_getcsr() & 0x8040) != 0 ? 1 : 0;
}

// begin0, end0, begin1, end1; x, y; sum
int32_t add(void **args) {
  count_part();
  for (int64_t row = number(args[0]); row < number(args[1]); ++row) {
    for (int64_t i = number(args[2]); i < number(args[3]); ++i) {
      host<float>(args[6])[row * 4 + i] =
          host<float>(args[4])[row * 4 + i] + host<float>(args[5])[row * 4 + i];
    }
  }
  return 0;
}

// begin0, end0, begin1, end1; length; sum, ids, table; scratch; scaled
int32_t scale(void **args) {
  count_part();
  const int64_t length = number(args[4]);
  float *factors = host<float>(args[8]);  // of up to 4 columns: written before it is read
  for (int64_t row = number(args[0]); row < number(args[1]); ++row) {
    for (int64_t i = number(args[2]); i < number(args[3]); ++i) {
      factors[i] = 0;
      for (int64_t k = 0; k < length; ++k) {
        const int64_t id = host<int64_t>(args[6])[row * length + k];
        factors[i] += host<float>(args[7])[id < 0 ? id + 5 : id];
      }
      host<float>(args[9])[row * 4 + i] =
          host<float>(args[5])[row * 4 + i] * factors[i] * fake_state().factor;
    }
  }
  return fake_state().kernel_result;
}

// Buffers: 0..3 inputs, 4..5 outputs, 6 sum, 7 table.
const int32_t kAddBuffers[] = {0, 1, 6};
const int32_t kScaleBuffers[] = {6, 2, 7, 4};
const sylvite_kernel kKernels[] = {
    {"k0_add", "none", {add, add}, 0, 2, 1, {1, 1}, {4, 4}, 0},
    {"k1_scale", "none", {scale, scale}, 1, 3, 1, {1, 1}, {4, 4}, 1},
};
const sylvite_call_site kCalls[] = {{0, "add_1", kAddBuffers},
                                    {1, "gather_2,mul_3", kScaleBuffers}};

const char *const kRows[] = {"batch", "4"};
const char *const kIds[] = {"batch", "length"};
const char *const kTail[] = {"length + 1"};
const sylvite_tensor_info kInputs[] = {{"x", SYL_F32, 2, kRows},
                                       {"y", SYL_F32, 2, kRows},
                                       {"ids", SYL_I64, 2, kIds},
                                       {"tail", SYL_F32, 1, kTail}};
const sylvite_tensor_info kOutputs[] = {{"scaled", SYL_F32, 2, kRows}, {"echo", SYL_F32, 2, kRows}};
const sylvite_symbol_info kSymbols[] = {{"batch", 1, 100000}, {"length", 0, INT64_MAX}};
const sylvite_buffer_info kIntermediates[] = {{0, 1}};

int32_t prepare(sylvite_context *, const sylvite_runtime_api *, const int64_t *dims,
                int64_t *symbols, int64_t *intermediate_bytes, int64_t *output_dims) {
  ++fake_state().prepares;
  symbols[0] = dims[0];
  symbols[1] = dims[5];
  intermediate_bytes[0] = symbols[0] * 16;
  output_dims[0] = output_dims[2] = symbols[0];
  output_dims[1] = output_dims[3] = 4;
  return 0;
}

int32_t run(sylvite_context *context, const sylvite_runtime_api *api, const int64_t *symbols) {
  const int32_t length = static_cast<int32_t>(symbols[1]);
  if (const int32_t status =
          api->check_indices(context, 2, SYL_I64, 0, 1, symbols[0] * length, 5,
                             "ids: index {} at {} is out of range for 'table' (5 rows)")) {
    return status;
  }
  const int64_t cost = fake_state().cost;
  if (const int32_t status = api->call(context, 0, nullptr, symbols[0], 4, 0, cost)) {
    return status;
  }
  if (const int32_t status =
          api->call(context, 1, &length, symbols[0], 4, fake_state().scratch_bytes, cost)) {
    return status;
  }
  return api->copy(context, 5, 0, symbols[0] * 16);
}

void costs(const int64_t *symbols, int64_t *flops, int64_t *bytes) {
  flops[0] = symbols[0] * 4;
  flops[1] = symbols[0] * 4 * (symbols[1] + 1);
  bytes[0] = bytes[1] = symbols[0] * 48;
}

// The self-test: batch 2, length 1, ids 0 and 3.
struct alignas(64) Image {
  sylvite_weight_header header{"sylvite weights", sizeof(Image), 77};
  alignas(64) float table[5] = {1, 10, 100, 1000, 10000};
  alignas(64) float x[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  alignas(64) float y[8] = {1, 1, 1, 1, 0, 0, 0, 0};
  alignas(64) int64_t ids[2] = {0, 3};
  alignas(64) float tail[2] = {0, 0};
  alignas(64) float scaled[8] = {2, 3, 4, 5, 5000, 6000, 7000, 8000};
};
// In a standalone program a section of its own, which the linker makes the last segment.
#ifdef SYLVITE_FAKE_STANDALONE
__attribute__((section(".sylvite_weights"), used, retain))
#endif
const Image kImage;
const int64_t kOffsets[] = {offsetof(Image, table)};

const int64_t kTestOffsets[] = {offsetof(Image, x),      offsetof(Image, y),
                                offsetof(Image, ids),    offsetof(Image, tail),
                                offsetof(Image, scaled), offsetof(Image, x)};
const int64_t kTestRows[] = {2, 4}, kTestIds[] = {2, 1}, kTestTail[] = {2};
const int64_t *const kTestShapes[] = {kTestRows, kTestRows, kTestIds,
                                      kTestTail, kTestRows, kTestRows};
const sylvite_self_test kSelfTest = {6, kTestOffsets, kTestShapes, 1e-5f, 1e-5f};

sylvite_program make_program() {
  sylvite_program program{};
  program.abi_version = kSylviteAbiVersion;
  program.model_name = "fake";
  program.model_hash = "00000000000000000000000000000000";
  program.compiler_version = "0";
  program.licences = "the licences\n";
  program.isa_mask = 3;
  program.input_count = 4;
  program.output_count = 2;
  program.symbol_count = 2;
  program.inputs = kInputs;
  program.outputs = kOutputs;
  program.symbols = kSymbols;
  program.kernel_count = 2;
  program.call_count = 2;
  program.buffer_count = 8;
  program.intermediate_count = 1;
  program.weight_count = 1;
  program.kernels = kKernels;
  program.calls = kCalls;
  program.intermediates = kIntermediates;
  program.weight_offsets = kOffsets;
  program.weight_bytes = sizeof(Image);
  program.weight_hash = 77;
  program.prepare = prepare;
  program.run = run;
  program.costs = costs;
  program.self_test = &kSelfTest;
  return program;
}

}  // namespace

FakeState &fake_state() {
  static FakeState state;
  return state;
}

const sylvite_program &fake_program() {
  static const sylvite_program program = make_program();
  return program;
}

const std::byte *fake_weights() {
  return reinterpret_cast<const std::byte *>(&kImage);
}

}  // namespace sylvite::testing
