/* Sylvite's C interface: run a compiled model. C11, no dependency. sylvite.hpp is the C++ form.
 *
 * Threads: a model is immutable and may be shared; a context holds the memory of one run at a time.
 * Two threads use two contexts. Errors: every function that can fail returns a sylvite_result (0:
 * fine) and leaves one line in the context or in the buffer that it was given. Nothing throws or
 * exits; only where not even a few bytes of memory are left does the process end, as on an uncaught
 * std::bad_alloc. Memory: after the first run at a set of sizes, runs at these sizes allocate
 * nothing. */
#ifndef SYLVITE_SYLVITE_H_
#define SYLVITE_SYLVITE_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum sylvite_result {
  SYLVITE_OK = 0,
  SYLVITE_BAD_INPUT = 1, /* wrong name, type, shape, index; CPU below the artifact's levels */
  SYLVITE_OUT_OF_MEMORY = 2,
  SYLVITE_CANCELLED = 3, /* by the caller's own callback */
  SYLVITE_INTERNAL = 70  /* a bug of Sylvite's */
} sylvite_result;

typedef enum sylvite_dtype {
  SYLVITE_F32,
  SYLVITE_F64,
  SYLVITE_F16,
  SYLVITE_BF16,
  SYLVITE_I8,
  SYLVITE_U8,
  SYLVITE_I16,
  SYLVITE_U16,
  SYLVITE_I32,
  SYLVITE_U32,
  SYLVITE_I64,
  SYLVITE_U64,
  SYLVITE_BOOL
} sylvite_dtype;

/* A dense row-major tensor. `data` belongs to the caller for inputs, to the context for outputs
 * (valid until its next run or its end). Inputs need the alignment of their element type only. */
typedef struct sylvite_tensor {
  void *data;
  sylvite_dtype dtype;
  int32_t rank;
  int64_t dims[8];
} sylvite_tensor;

typedef struct sylvite_model sylvite_model;
typedef struct sylvite_context sylvite_context;
struct sylvite_program;

/* Opens a compiled model: its descriptor (a library's header declares it) and its weight image;
 * null: the weights that the model was linked with. Neither is copied. `message` (may be null)
 * receives the reason of a failure, at most `size` bytes. The environment variable SYLVITE_ISA
 * (x86-64-v3, x86-64-v4) forces a lower level. */
sylvite_result sylvite_model_open(const struct sylvite_program *program, const void *weights,
                                  sylvite_model **model, char *message, size_t size);
void sylvite_model_close(sylvite_model *model);

int32_t sylvite_model_input_count(const sylvite_model *model);
int32_t sylvite_model_output_count(const sylvite_model *model);
const char *sylvite_model_input_name(const sylvite_model *model, int32_t i);
const char *sylvite_model_output_name(const sylvite_model *model, int32_t i);
/* The number of the input or output that is called so, or -1. */
int32_t sylvite_model_find_input(const sylvite_model *model, const char *name);
int32_t sylvite_model_find_output(const sylvite_model *model, const char *name);

/* What an input must look like, or an output will. dims: `rank` sizes as text: "3", "batch",
 * "length + 1". */
typedef struct sylvite_tensor_info_view {
  const char *name;
  sylvite_dtype dtype;
  int32_t rank;
  const char *const *dims;
} sylvite_tensor_info_view;
sylvite_tensor_info_view sylvite_model_input(const sylvite_model *model, int32_t i);
sylvite_tensor_info_view sylvite_model_output(const sylvite_model *model, int32_t i);

const char *sylvite_model_isa(const sylvite_model *model); /* "x86-64-v4": the level in use */

typedef struct sylvite_context_options {
  int32_t threads; /* 0: the affinity mask within the cgroup's quota */
  int32_t profile; /* 1: keep the time of each call */
} sylvite_context_options;

sylvite_result sylvite_context_create(const sylvite_model *model,
                                      const sylvite_context_options *options,
                                      sylvite_context **context, char *message, size_t size);
void sylvite_context_destroy(sylvite_context *context);
const char *sylvite_context_error(const sylvite_context *context); /* of the last failed call */
int32_t sylvite_context_threads(const sylvite_context *context);

/* inputs: one for each input of the model, in its order. outputs: filled in, one for each output.
 */
sylvite_result sylvite_run(sylvite_context *context, const sylvite_tensor *inputs,
                           int32_t input_count, sylvite_tensor *outputs, int32_t output_count);

/* One row a call of the plan, in order; times in nanoseconds, summed over the runs since the last
 * reset. */
typedef struct sylvite_profile_row {
  const char *kernel, *root, *sources;
  int64_t nanoseconds, runs, flops, bytes; /* flops and bytes of one run at the last sizes */
} sylvite_profile_row;
int32_t sylvite_profile_row_count(const sylvite_context *context);
sylvite_profile_row sylvite_profile(const sylvite_context *context, int32_t i);
void sylvite_profile_reset(sylvite_context *context);
/* Bytes of the arena at the last sizes. */
int64_t sylvite_context_arena_bytes(const sylvite_context *context);

#ifdef __cplusplus
}
#endif
#endif
