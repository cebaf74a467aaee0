// What a plan calls: kernels over their extents, checks of indices, copies, errors.
//
// The argument list of a kernel is made anew for each part, in the running thread's own space: some
// twenty stores, against microseconds of work. Buffers are shared by all of them; kernels only read
// their pointers.
#include <stdio.h>
#include <string.h>

#include <algorithm>
#include <atomic>

#include "runtime/clock.h"
#include "runtime/context.h"
#include "runtime/library_kernels.h"

namespace sylvite {
namespace {

constexpr int64_t kScratchAlignment = 64;
constexpr int64_t kGrowingScratch = int64_t{256} << 10;  // at least, where it will grow

struct Job {
  sylvite_context *context;
  const sylvite_kernel *kernel;
  const sylvite_call_site *site;
  sylvite_kernel_function function;
  const int32_t *symbols;
  Split split;
  bool scratch;
  std::atomic<int32_t> result{0};  // of a part that failed
};

void run_part(void *argument, int part, int slot_number) {
  Job &job = *static_cast<Job *>(argument);
  sylvite_context &context = *job.context;
  CallSlot &slot = context.slots[slot_number];
  part_bounds(job.split, part, slot.bounds);
  void **next = slot.arguments;
  for (int32_t &bound : slot.bounds) {
    *next++ = &bound;
  }
  for (int32_t i = 0; i < job.kernel->symbols; ++i) {
    *next++ = const_cast<int32_t *>(&job.symbols[i]);
  }
  const int32_t *number = job.site->buffers;
  for (int32_t i = 0; i < job.kernel->inputs; ++i) {
    *next++ = &context.buffers[*number++];
  }
  if (job.scratch) {
    slot.scratch.host =
        reinterpret_cast<uint8_t *>(context.scratch.data()) + slot_number * context.scratch_stride;
    *next++ = &slot.scratch;
  }
  for (int32_t i = 0; i < job.kernel->outputs; ++i) {
    *next++ = &context.buffers[*number++];
  }
  if (const int32_t result = job.function(slot.arguments)) {
    job.result.store(result, std::memory_order_relaxed);
  }
}

// Scratch for every thread, whichever of them will take parts of this call or of a later one.
bool reserve_scratch(sylvite_context &context, int64_t bytes) {
  if (bytes <= context.scratch_stride) {
    return true;
  }
  int64_t all = 0;
  if (__builtin_add_overflow(bytes, kScratchAlignment - 1, &bytes)) {
    return false;
  }
  int64_t stride = bytes / kScratchAlignment * kScratchAlignment;
  if (context.growing) {
    stride = with_room(std::max(stride, kGrowingScratch));
  }
  context.scratch_stride = 0;
  if (__builtin_mul_overflow(stride, context.slots.size(), &all) || !context.scratch.reserve(all)) {
    return false;
  }
  context.scratch_stride = stride;
  return true;
}

int32_t fail_of_kernel(sylvite_context &context, const sylvite_call_site &site,
                       const sylvite_kernel &kernel, int32_t result) {
  if (result == kLibraryBadIndex) {
    const BadIndex &bad = last_bad_index();
    return context.fail(SYL_BAD_INPUT,
                        "%s: index %lld at %lld is out of range for a dimension of %lld",
                        site.sources, static_cast<long long>(bad.index),
                        static_cast<long long>(bad.position), static_cast<long long>(bad.bound));
  }
  return context.fail(SYL_INTERNAL, "kernel %s of %s failed with code %d", kernel.name,
                      site.sources, result);
}

int32_t call(sylvite_context *context, int32_t site_number, const int32_t *symbols, int64_t extent0,
             int64_t extent1, int64_t scratch_bytes, int64_t cost) {
  if (extent0 <= 0 || extent1 <= 0) {
    return SYL_OK;
  }
  const sylvite_program &program = *context->model->program;
  const sylvite_call_site &site = program.calls[site_number];
  const sylvite_kernel &kernel = program.kernels[site.kernel];
  const sylvite_isa isa = context->model->isa;
  Job job{.context = context,
          .kernel = &kernel,
          .site = &site,
          .function = kernel.function[isa],
          .symbols = symbols,
          .split = split_work(extent0, extent1, kernel.grain0[isa], kernel.grain1[isa], cost,
                              context->pool.threads()),
          .scratch = kernel.has_scratch != 0};
  if (job.function == nullptr) {
    return context->fail(SYL_INTERNAL, "kernel %s has no code for this level", kernel.name);
  }
  if (extent0 > INT32_MAX || extent1 > INT32_MAX) {
    return context->fail(SYL_BAD_INPUT, "%s: the tensors are too large", site.sources);
  }
  if (job.scratch && !reserve_scratch(*context, scratch_bytes > 0 ? scratch_bytes : 1)) {
    return context->fail(SYL_OUT_OF_MEMORY, "out of memory: %lld bytes of working space for %s",
                         static_cast<long long>(scratch_bytes), site.sources);
  }
  const int64_t begin = context->profile ? now_in_nanoseconds() : 0;
  context->pool.run(job.split.parts(), run_part, &job);
  if (context->profile) {
    context->call_nanoseconds[site_number] += now_in_nanoseconds() - begin;
    ++context->call_runs[site_number];
  }
  const int32_t result = job.result.load(std::memory_order_relaxed);
  return result == 0 ? SYL_OK : fail_of_kernel(*context, site, kernel, result);
}

// Text in place of the first and the second "{}"; without a second text, a second "{}" stays.
int32_t fail_with(sylvite_context &context, int32_t status, const char *message, const char *first,
                  const char *second) {
  const char *a = strstr(message, "{}");
  if (a == nullptr) {
    return context.fail(status, "%s", message);
  }
  const char *rest = a + 2;
  const char *b = strstr(rest, "{}");
  if (b == nullptr) {
    return context.fail(status, "%.*s%s%s", static_cast<int>(a - message), message, first, rest);
  }
  return context.fail(status, "%.*s%s%.*s%s%s", static_cast<int>(a - message), message, first,
                      static_cast<int>(b - rest), rest, second, b + 2);
}

int32_t fail(sylvite_context *context, int32_t status, const char *message) {
  return context->fail(status, "%s", message);
}

int32_t fail_sizes(sylvite_context *context, int32_t status, const char *message, int64_t a,
                   int64_t b) {
  char first[24], second[24];
  snprintf(first, sizeof first, "%lld", static_cast<long long>(a));
  snprintf(second, sizeof second, "%lld", static_cast<long long>(b));
  return fail_with(*context, status, message, first, second);
}

// "[0, 5]" for an input, whose shape is known; else the number of the element.
void position_text(const sylvite_context &context, int32_t buffer, int64_t position, char *text,
                   size_t size) {
  const sylvite_program &program = *context.model->program;
  if (buffer >= program.input_count || program.inputs[buffer].rank == 0) {
    snprintf(text, size, "%lld", static_cast<long long>(position));
    return;
  }
  const int64_t *dims = context.current->input_dims;
  for (int32_t i = 0; i < buffer; ++i) {
    dims += program.inputs[i].rank;
  }
  int64_t coordinates[kSylviteMaxRank] = {};
  for (int32_t axis = program.inputs[buffer].rank - 1; axis >= 0; --axis) {
    coordinates[axis] = position % dims[axis];
    position /= dims[axis];
  }
  size_t length = 0;
  for (int32_t axis = 0; axis < program.inputs[buffer].rank && length < size; ++axis) {
    length +=
        static_cast<size_t>(snprintf(text + length, size - length, "%s%lld", axis > 0 ? ", " : "[",
                                     static_cast<long long>(coordinates[axis])));
  }
  if (length + 1 < size) {
    snprintf(text + length, size - length, "]");
  }
}

// The first bad position, or -1. The common case, step 1, is a loop that vectorises.
template <typename T>
int64_t find_bad(const void *data, int64_t first, int64_t step, int64_t count, int64_t bound) {
  const T *values = static_cast<const T *>(data);
  for (int64_t i = first; i < count; i += step) {
    const int64_t value = static_cast<int64_t>(values[i]);
    if (value < -bound || value >= bound) {
      return i;
    }
  }
  return -1;
}

int64_t find_bad_index(const void *data, int32_t dtype, int64_t first, int64_t step, int64_t count,
                       int64_t bound) {
  switch (dtype) {
    case SYL_I64:
    case SYL_U64:  // what does not fit i64 turns up negative and out of range
      return find_bad<int64_t>(data, first, step, count, bound);
    case SYL_I32:
      return find_bad<int32_t>(data, first, step, count, bound);
    case SYL_U32:
      return find_bad<uint32_t>(data, first, step, count, bound);
    case SYL_I16:
      return find_bad<int16_t>(data, first, step, count, bound);
    case SYL_U16:
      return find_bad<uint16_t>(data, first, step, count, bound);
    case SYL_I8:
      return find_bad<int8_t>(data, first, step, count, bound);
    default:  // u8, bool
      return find_bad<uint8_t>(data, first, step, count, bound);
  }
}

int32_t check_indices(sylvite_context *context, int32_t buffer, int32_t dtype, int64_t first,
                      int64_t step, int64_t count, int64_t bound, const char *message) {
  const void *data = context->buffers[buffer].host;
  const int64_t bad = find_bad_index(data, dtype, first, step > 0 ? step : 1, count, bound);
  if (bad < 0) {
    return SYL_OK;
  }
  char index[24], position[24 * kSylviteMaxRank];
  snprintf(index, sizeof index, "%lld", static_cast<long long>(whole_number_at(data, dtype, bad)));
  position_text(*context, buffer, bad, position, sizeof position);
  return fail_with(*context, SYL_BAD_INPUT, message, index, position);
}

int32_t copy(sylvite_context *context, int32_t to, int32_t from, int64_t bytes) {
  uint8_t *target = context->buffers[to].host;
  const uint8_t *source = context->buffers[from].host;
  if (bytes > 0 && target != source) {
    memcpy(target, source, static_cast<size_t>(bytes));
  }
  return SYL_OK;
}

int32_t copy_part(sylvite_context *context, int32_t to, int64_t offset, int32_t from,
                  int64_t bytes) {
  uint8_t *target = context->buffers[to].host + offset;
  const uint8_t *source = context->buffers[from].host;
  if (bytes > 0 && target != source) {
    memcpy(target, source, static_cast<size_t>(bytes));
  }
  return SYL_OK;
}

int32_t is_true(sylvite_context *context, int32_t buffer) {
  return *context->buffers[buffer].host != 0 ? 1 : 0;
}

int32_t set_size(sylvite_context *context, int32_t output, int32_t axis, int64_t size) {
  const sylvite_program &program = *context->model->program;
  int64_t *dims = context->current->output_dims;
  for (int32_t i = 0; i < output; ++i) {
    dims += program.outputs[i].rank;
  }
  dims[axis] = size;
  return SYL_OK;
}

}  // namespace

int64_t whole_number_at(const void *data, int32_t dtype, int64_t i) {
  switch (dtype) {
    case SYL_I64:
    case SYL_U64:
      return static_cast<const int64_t *>(data)[i];
    case SYL_I32:
      return static_cast<const int32_t *>(data)[i];
    case SYL_U32:
      return static_cast<const uint32_t *>(data)[i];
    case SYL_I16:
      return static_cast<const int16_t *>(data)[i];
    case SYL_U16:
      return static_cast<const uint16_t *>(data)[i];
    case SYL_I8:
      return static_cast<const int8_t *>(data)[i];
    default:
      return static_cast<const uint8_t *>(data)[i];
  }
}

const sylvite_runtime_api kRuntimeApi = {
    .call = call,
    .check_indices = check_indices,
    .copy = copy,
    .fail = fail,
    .fail_sizes = fail_sizes,
    .copy_part = copy_part,
    .is_true = is_true,
    .set_size = set_size,
};

}  // namespace sylvite
