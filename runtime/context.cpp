// A run: the inputs are checked against what the model says of them, in the words of the model; the
// plan computes sizes, once for each set of sizes; buffers are placed in the arena; then the plan
// makes its calls.
//
// Everything that does not depend on sizes is allocated when the context is made. Arena and scratch
// grow when a set of sizes needs more than any before; places are offsets, so growing does not
// touch the other sets.
#include "runtime/context.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <algorithm>
#include <new>
#include <span>
#include <string>
#include <string_view>

#include "runtime/cpu.h"
#include "runtime/dim_text.h"
#include "runtime/dtype.h"

namespace sylvite {
namespace {

constexpr int64_t kMaxElements = INT32_MAX;  // kernels count elements in 32 bits

// Where empty tensors stand: valid and aligned, never read.
alignas(64) std::byte g_nothing[64];
// Dimensions of every buffer: kernels know theirs.
syl_halide_dimension g_no_dimensions[kSylviteMaxRank];

std::string given_shape(const sylvite_tensor &tensor) {
  return shape_text(std::span(tensor.dims, static_cast<size_t>(tensor.rank)));
}

// A C program can put any number there, which C++ must not read as an enumerator.
int32_t dtype_code(const sylvite_tensor &tensor) {
  int32_t code = 0;
  static_assert(sizeof code == sizeof tensor.dtype);
  memcpy(&code, &tensor.dtype, sizeof code);
  return code;
}

const char *dtype_text(int32_t code) {
  return code >= 0 && code <= SYLVITE_BOOL ? dtype_name(static_cast<sylvite_dtype>(code))
                                           : "an unknown element type";
}

// What needs no symbols: element type, rank, fixed sizes.
int32_t check_input(sylvite_context &context, int32_t number, const sylvite_tensor &tensor,
                    const DimRule *rules) {
  const sylvite_tensor_info &info = context.model->program->inputs[number];
  if (dtype_code(tensor) != info.dtype) {
    return context.fail(SYL_BAD_INPUT, "input '%s': expected %s, got %s", info.name,
                        dtype_text(info.dtype), dtype_text(dtype_code(tensor)));
  }
  if (tensor.rank < 0 || tensor.rank > kSylviteMaxRank) {
    return context.fail(SYL_BAD_INPUT, "input '%s': a rank of %d is out of range", info.name,
                        tensor.rank);
  }
  bool fits = tensor.rank == info.rank;
  int64_t count = 1;
  bool empty = false, too_many = false;
  for (int32_t axis = 0; axis < tensor.rank; ++axis) {
    const int64_t size = tensor.dims[axis];
    if (size < 0) {
      return context.fail(SYL_BAD_INPUT, "input '%s': dimension %d is negative: %lld", info.name,
                          axis, static_cast<long long>(size));
    }
    fits = fits && (rules[axis].kind != DimRule::Number || rules[axis].number == size);
    empty = empty || size == 0;
    too_many = too_many || __builtin_mul_overflow(count, size, &count) || count > kMaxElements;
  }
  if (!fits) {
    return context.fail(SYL_BAD_INPUT, "input '%s': expected shape %s, got %s", info.name,
                        shape_text(info).c_str(), given_shape(tensor).c_str());
  }
  if (too_many && !empty) {
    return context.fail(SYL_BAD_INPUT, "input '%s': shape %s has 2^31 elements or more", info.name,
                        given_shape(tensor).c_str());
  }
  if (tensor.data == nullptr && !empty) {
    return context.fail(SYL_BAD_INPUT, "input '%s': no data", info.name);
  }
  if (reinterpret_cast<uintptr_t>(tensor.data) % static_cast<uintptr_t>(dtype_size(tensor.dtype)) !=
      0) {
    return context.fail(SYL_BAD_INPUT, "input '%s': the data is not aligned to its element's size",
                        info.name);
  }
  return SYL_OK;
}

// One symbol has one value wherever it stands, and the value lies in its range. The plan checks
// this too; here the message can name both inputs.
int32_t check_symbols(sylvite_context &context, const int64_t *dims) {
  const sylvite_program &program = *context.model->program;
  struct Place {
    int32_t input = -1, axis = 0;
    int64_t value = 0;
  };
  for (int32_t symbol = 0; symbol < program.symbol_count; ++symbol) {
    const sylvite_symbol_info &info = program.symbols[symbol];
    Place first;
    int64_t at = 0;
    for (int32_t input = 0; input < program.input_count; ++input) {
      for (int32_t axis = 0; axis < program.inputs[input].rank; ++axis, ++at) {
        const DimRule &rule = context.model->rules[at];
        if (rule.kind != DimRule::Symbol || rule.number != symbol) {
          continue;
        }
        if (first.input >= 0 && first.value != dims[at]) {
          return context.fail(
              SYL_BAD_INPUT,
              "input '%s': dimension %d (%s) is %lld, but dimension %d of input '%s' is %lld",
              program.inputs[input].name, axis, info.name, static_cast<long long>(dims[at]),
              first.axis, program.inputs[first.input].name, static_cast<long long>(first.value));
        }
        if (dims[at] < info.lower || dims[at] > info.upper) {
          const bool low = dims[at] < info.lower;
          return context.fail(
              SYL_BAD_INPUT, "input '%s': dimension %d (%s) is %lld, expected at %s %lld",
              program.inputs[input].name, axis, info.name, static_cast<long long>(dims[at]),
              low ? "least" : "most", static_cast<long long>(low ? info.lower : info.upper));
        }
        first = {input, axis, dims[at]};
      }
    }
  }
  return SYL_OK;
}

// Sizes such as "past + length", once the symbols are known.
int32_t check_expressions(sylvite_context &context, const int64_t *dims, const int64_t *symbols) {
  const sylvite_program &program = *context.model->program;
  int64_t at = 0;
  for (int32_t input = 0; input < program.input_count; ++input) {
    for (int32_t axis = 0; axis < program.inputs[input].rank; ++axis, ++at) {
      if (context.model->rules[at].kind != DimRule::Expression) {
        continue;
      }
      const char *text = program.inputs[input].dims[axis];
      const std::optional<int64_t> expected = evaluate_dim(program, text, symbols);
      if (expected && *expected != dims[at]) {
        return context.fail(SYL_BAD_INPUT, "input '%s': dimension %d is %lld, expected %s = %lld",
                            program.inputs[input].name, axis, static_cast<long long>(dims[at]),
                            text, static_cast<long long>(*expected));
      }
    }
  }
  return SYL_OK;
}

int32_t check_inputs(sylvite_context &context, const sylvite_tensor *inputs, int32_t input_count) {
  const sylvite_program &program = *context.model->program;
  if (input_count != program.input_count) {
    return context.fail(SYL_BAD_INPUT, "expected %d input%s, got %d", program.input_count,
                        program.input_count == 1 ? "" : "s", input_count);
  }
  int64_t at = 0;
  for (int32_t i = 0; i < input_count; ++i) {
    if (const int32_t status =
            check_input(context, i, inputs[i], context.model->rules.data() + at)) {
      return status;
    }
    for (int32_t axis = 0; axis < program.inputs[i].rank; ++axis) {
      context.given_dims[at++] = inputs[i].dims[axis];
    }
  }
  for (int32_t i = 0; i < program.content_count; ++i) {
    const sylvite_tensor &tensor = inputs[program.contents[i]];
    int64_t count = 1;
    for (int32_t axis = 0; axis < tensor.rank; ++axis) {
      count *= tensor.dims[axis];
    }
    for (int64_t element = 0; element < count; ++element) {
      context.given_dims[at++] = whole_number_at(tensor.data, dtype_code(tensor), element);
    }
  }
  return SYL_OK;
}

// Bytes of output i; negative when it has 2^31 elements or more.
int64_t output_bytes(const sylvite_program &program, int32_t output, const int64_t *dims) {
  int64_t count = 1;
  bool empty = false, too_many = false;
  for (int32_t axis = 0; axis < program.outputs[output].rank; ++axis) {
    if (dims[axis] < 0) {
      return -1;
    }
    empty = empty || dims[axis] == 0;
    too_many =
        too_many || __builtin_mul_overflow(count, dims[axis], &count) || count > kMaxElements;
  }
  if (empty) {
    return 0;
  }
  return too_many ? -1
                  : count * dtype_size(static_cast<sylvite_dtype>(program.outputs[output].dtype));
}

// Outputs live through the whole run: copies at its end may read one to fill another.
int32_t place(sylvite_context &context, PreparedShape &shape) {
  const sylvite_program &program = *context.model->program;
  const int64_t *dims = shape.output_dims;
  for (int32_t i = 0; i < program.output_count; ++i) {
    const int64_t bytes = output_bytes(program, i, dims);
    if (bytes < 0) {
      return context.fail(SYL_BAD_INPUT, "output '%s' would have 2^31 elements or more",
                          program.outputs[i].name);
    }
    context.placing[i] = {.bytes = bytes, .first = 0, .last = INT32_MAX};
    dims += program.outputs[i].rank;
  }
  for (int32_t i = 0; i < program.intermediate_count; ++i) {
    context.placing[program.output_count + i] = {.bytes = context.intermediate_bytes[i],
                                                 .first = program.intermediates[i].first,
                                                 .last = program.intermediates[i].last};
  }
  const size_t count = static_cast<size_t>(context.placing.size());
  shape.arena_bytes = place_buffers({context.placing.data(), count}, {shape.offsets, count},
                                    {context.order.data(), count});
  if (shape.arena_bytes < 0) {
    return context.fail(SYL_OUT_OF_MEMORY,
                        "out of memory: the buffers of this run cannot be counted");
  }
  return SYL_OK;
}

PreparedShape &oldest(sylvite_context &context) {
  return *std::min_element(std::begin(context.shapes), std::end(context.shapes),
                           [](const PreparedShape &a, const PreparedShape &b) {
                             return a.valid != b.valid ? !a.valid : a.last_use < b.last_use;
                           });
}

// Finds or computes what `given_dims` imply; sets `current`.
int32_t prepare(sylvite_context &context) {
  const sylvite_program &program = *context.model->program;
  const size_t dim_bytes =
      static_cast<size_t>(context.model->input_dims + context.model->contents) * sizeof(int64_t);
  for (PreparedShape &shape : context.shapes) {
    if (shape.valid && memcmp(shape.input_dims, context.given_dims.data(), dim_bytes) == 0) {
      shape.last_use = context.runs;
      context.current = &shape;
      return SYL_OK;
    }
  }
  const int64_t *dims = context.given_dims.data();
  if (const int32_t status = check_symbols(context, dims)) {
    return status;
  }
  PreparedShape &shape = oldest(context);
  shape.valid = false;
  context.current = nullptr;
  memcpy(shape.input_dims, dims, dim_bytes);
  if (const int32_t status =
          program.prepare(&context, &kRuntimeApi, dims, shape.symbols,
                          context.intermediate_bytes.data(), shape.output_dims)) {
    return status;
  }
  if (const int32_t status = check_expressions(context, dims, shape.symbols)) {
    return status;
  }
  if (const int32_t status = place(context, shape)) {
    return status;
  }
  shape.valid = true;
  shape.last_use = context.runs;
  context.current = &shape;
  return SYL_OK;
}

void point(syl_halide_buffer &buffer, const void *data) {
  const void *host = data != nullptr ? data : g_nothing;
  buffer.host = const_cast<uint8_t *>(static_cast<const uint8_t *>(host));
}

int32_t reserve_arena(sylvite_context &context) {
  const int64_t bytes = context.current->arena_bytes;
  if (bytes <= context.arena.bytes() ||
      (context.growing && context.arena.reserve(with_room(bytes))) ||
      context.arena.reserve(bytes)) {
    return SYL_OK;
  }
  return context.fail(SYL_OUT_OF_MEMORY, "out of memory: %lld bytes for the buffers of this run",
                      static_cast<long long>(bytes));
}

int32_t point_buffers(sylvite_context &context, const sylvite_tensor *inputs) {
  const sylvite_program &program = *context.model->program;
  const PreparedShape &shape = *context.current;
  if (const int32_t status = reserve_arena(context)) {
    return status;
  }
  for (int32_t i = 0; i < program.input_count; ++i) {
    point(context.buffers[i], inputs[i].data);
  }
  std::byte *arena = context.arena.data();
  for (int64_t i = 0; i < context.placing.size(); ++i) {
    point(context.buffers[program.input_count + i],
          arena != nullptr ? arena + shape.offsets[i] : nullptr);
  }
  return SYL_OK;
}

void describe_outputs(const sylvite_context &context, sylvite_tensor *outputs) {
  const sylvite_program &program = *context.model->program;
  const int64_t *dims = context.current->output_dims;
  for (int32_t i = 0; i < program.output_count; ++i) {
    const sylvite_tensor_info &info = program.outputs[i];
    outputs[i] = {};
    outputs[i].data = context.buffers[program.input_count + i].host;
    outputs[i].dtype = static_cast<sylvite_dtype>(info.dtype);
    outputs[i].rank = info.rank;
    std::copy_n(dims, info.rank, outputs[i].dims);
    dims += info.rank;
  }
}

// Takes all memory whose size the model alone decides.
bool allocate(sylvite_context &context, int threads) {
  const sylvite_model &model = *context.model;
  const sylvite_program &program = *model.program;
  const int64_t placed = int64_t{program.output_count} + program.intermediate_count;
  const int64_t given = model.input_dims + model.contents;
  const int64_t words = given + program.symbol_count + model.output_dims + placed;
  if (!context.shape_words.allocate(words * kRememberedShapes) ||
      !context.given_dims.allocate(given) ||
      !context.intermediate_bytes.allocate(program.intermediate_count) ||
      !context.placing.allocate(placed) || !context.order.allocate(placed) ||
      !context.buffers.allocate(program.buffer_count) || !context.pool.start(threads)) {
    return false;
  }
  int64_t *at = context.shape_words.data();
  for (PreparedShape &shape : context.shapes) {
    shape.input_dims = at;
    shape.symbols = shape.input_dims + given;
    shape.output_dims = shape.symbols + program.symbol_count;
    shape.offsets = shape.output_dims + model.output_dims;
    at += words;
  }
  const int slots = context.pool.threads();
  if (!context.slots.allocate(slots) ||
      !context.arguments.allocate(int64_t{slots} * model.max_arguments)) {
    return false;
  }
  for (int slot = 0; slot < slots; ++slot) {
    context.slots[slot].arguments = context.arguments.data() + int64_t{slot} * model.max_arguments;
    context.slots[slot].scratch.dimensions = 1;
    context.slots[slot].scratch.dim = g_no_dimensions;
  }
  return !context.profile || (context.call_nanoseconds.allocate(program.call_count) &&
                              context.call_runs.allocate(program.call_count) &&
                              context.call_flops.allocate(program.call_count) &&
                              context.call_bytes.allocate(program.call_count));
}

void fill_buffers(sylvite_context &context) {
  const sylvite_program &program = *context.model->program;
  for (int64_t i = 0; i < context.buffers.size(); ++i) {
    context.buffers[i].dimensions = 1;
    context.buffers[i].dim = g_no_dimensions;
  }
  const int64_t first_weight = int64_t{program.buffer_count} - program.weight_count;
  for (int32_t i = 0; i < program.weight_count; ++i) {
    point(context.buffers[first_weight + i], context.model->weights + program.weight_offsets[i]);
  }
}

}  // namespace

int32_t prepare_shape(sylvite_context &context, const int64_t *dims) {
  std::copy_n(dims, context.model->input_dims, context.given_dims.data());
  return prepare(context);
}

int32_t reserve_shape(sylvite_context &context, const int64_t *dims) {
  const int32_t status = prepare_shape(context, dims);
  return status != SYL_OK ? status : reserve_arena(context);
}

}  // namespace sylvite

int32_t sylvite_context::fail(int32_t status, const char *format, ...) {
  error.status = status;
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(error.message, sizeof error.message, format, arguments);
  va_end(arguments);
  return status;
}

extern "C" {

sylvite_result sylvite_context_create(const sylvite_model *model,
                                      const sylvite_context_options *options,
                                      sylvite_context **context, char *message, size_t size) {
  *context = nullptr;
  const int32_t threads = options != nullptr && options->threads > 0
                              ? options->threads
                              : sylvite::default_thread_count();
  sylvite_context *made = new (std::nothrow) sylvite_context;
  if (made != nullptr) {
    made->model = model;
    made->profile = options != nullptr && options->profile != 0;
    if (sylvite::allocate(*made, threads)) {
      sylvite::fill_buffers(*made);
      *context = made;
      return SYLVITE_OK;
    }
    delete made;
  }
  if (message != nullptr && size > 0) {
    snprintf(message, size, "out of memory");
  }
  return SYLVITE_OUT_OF_MEMORY;
}

void sylvite_context_destroy(sylvite_context *context) {
  delete context;
}
const char *sylvite_context_error(const sylvite_context *context) {
  return context->error.message;
}
int32_t sylvite_context_threads(const sylvite_context *context) {
  return context->pool.threads();
}

sylvite_result sylvite_run(sylvite_context *context, const sylvite_tensor *inputs,
                           int32_t input_count, sylvite_tensor *outputs, int32_t output_count) {
  const sylvite_program &program = *context->model->program;
  context->error = {};
  ++context->runs;
  int32_t status = sylvite::check_inputs(*context, inputs, input_count);
  if (status == SYL_OK && output_count != program.output_count) {
    status =
        context->fail(SYL_BAD_INPUT, "expected room for %d output%s, got %d", program.output_count,
                      program.output_count == 1 ? "" : "s", output_count);
  }
  if (status == SYL_OK) {
    status = sylvite::prepare(*context);
  }
  if (status == SYL_OK) {
    status = sylvite::point_buffers(*context, inputs);
  }
  if (status == SYL_OK) {
    if (context->profile) {
      program.costs(context->current->symbols, context->call_flops.data(),
                    context->call_bytes.data());
    }
    const sylvite::DefaultFloatControl control;
    status = program.run(context, &sylvite::kRuntimeApi, context->current->symbols);
  }
  if (status == SYL_OK) {
    sylvite::describe_outputs(*context, outputs);
  } else if (context->error.message[0] == 0) {
    context->fail(status, "the plan failed with code %d", status);
  }
  return static_cast<sylvite_result>(status);
}

int32_t sylvite_profile_row_count(const sylvite_context *context) {
  return context->profile ? context->model->program->call_count : 0;
}

sylvite_profile_row sylvite_profile(const sylvite_context *context, int32_t i) {
  const sylvite_program &program = *context->model->program;
  const sylvite_call_site &site = program.calls[i];
  const sylvite_kernel &kernel = program.kernels[site.kernel];
  return {kernel.name,           kernel.root,
          site.sources,          context->call_nanoseconds[i],
          context->call_runs[i], context->call_flops[i],
          context->call_bytes[i]};
}

void sylvite_profile_reset(sylvite_context *context) {
  for (int32_t i = 0; i < sylvite_profile_row_count(context); ++i) {
    context->call_nanoseconds[i] = 0;
    context->call_runs[i] = 0;
  }
}

int64_t sylvite_context_arena_bytes(const sylvite_context *context) {
  return context->current != nullptr ? context->current->arena_bytes : 0;
}

}  // extern "C"
