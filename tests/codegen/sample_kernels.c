/* Kernels in the form that plans call, written by hand: tests of plans and of linking need no
 * Halide. */
#include "runtime/abi.h"

static int32_t number(void **args, int i) {
  return *(const int32_t *)args[i];
}

static void *host(void **args, int i) {
  return ((const struct syl_halide_buffer *)args[i])->host;
}

/* out[r, c] = table[ids[r], c]. Symbols: width. Rows are split. */
int32_t sample_embed(void **args) {
  const int32_t begin = number(args, 0), end = number(args, 1), width = number(args, 4);
  const int64_t *ids = host(args, 5);
  const float *table = host(args, 6);
  float *out = host(args, 7);
  for (int32_t r = begin; r < end; ++r) {
    for (int32_t c = 0; c < width; ++c) {
      out[(int64_t)r * width + c] = table[ids[r] * width + c];
    }
  }
  return 0;
}

/* out = 2 * in + mask. Symbols: none. Elements are split. */
int32_t sample_double(void **args) {
  const int32_t begin = number(args, 0), end = number(args, 1);
  const float *in = host(args, 4), *mask = host(args, 5);
  float *out = host(args, 6);
  for (int32_t i = begin; i < end; ++i) {
    out[i] = 2 * in[i] + mask[i];
  }
  return 0;
}
