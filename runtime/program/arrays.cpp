// Arrays in, arrays out. All inputs are read and checked by name before the model runs, all outputs
// are there before the first file is written.
#include "runtime/program/arrays.h"

#include <stdio.h>
#include <string.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <span>

#include "runtime/bench.h"
#include "runtime/dim_text.h"
#include "runtime/dtype.h"
#include "runtime/half.h"
#include "runtime/io/text.h"

namespace sylvite {
namespace {

constexpr int64_t kShownElements = 8;

std::string names_of(const sylvite_tensor_info *infos, int32_t count) {
  std::string text;
  for (int32_t i = 0; i < count; ++i) {
    text += text_of(i > 0 ? ", " : "", "'", infos[i].name, "'");
  }
  return text;
}

// -1 when nothing is called so.
int32_t find(const sylvite_tensor_info *infos, int32_t count, const std::string &name) {
  for (int32_t i = 0; i < count; ++i) {
    if (name == infos[i].name) {
      return i;
    }
  }
  return -1;
}

// Puts a tensor where the model wants it.
Error add_input(const sylvite_program &program, HostTensor tensor, const std::string &file,
                std::vector<bool> *given, std::vector<HostTensor> *inputs) {
  const int32_t at = find(program.inputs, program.input_count, tensor.name);
  if (at < 0) {
    return bad_input(file, ": '", printable(tensor.name), "' is no input of the model, which has ",
                     names_of(program.inputs, program.input_count));
  }
  const size_t i = static_cast<size_t>(at);
  if ((*given)[i]) {
    return bad_input(file, ": input '", tensor.name, "' is given twice");
  }
  const sylvite_tensor_info &info = program.inputs[i];
  if (tensor.dtype != static_cast<sylvite_dtype>(info.dtype)) {
    return bad_input(file, ": input '", tensor.name, "': expected ",
                     dtype_name(static_cast<sylvite_dtype>(info.dtype)), ", got ",
                     dtype_name(tensor.dtype));
  }
  (*given)[i] = true;
  (*inputs)[i] = std::move(tensor);
  return {};
}

// A run's error names the input that it is about; the user also wants the file that the input came
// from.
Error naming_file(Error error, const sylvite_program &program, const ProgramOptions &options) {
  std::string named, all;
  const auto add = [](std::string &text, const std::string &file) {
    if (text.find(file) == std::string::npos) {
      text += (text.empty() ? "" : ", ") + file;
    }
  };
  for (int32_t i = 0; i < program.input_count; ++i) {
    const std::string name = program.inputs[i].name;
    std::string file = options.inputs_file;
    for (const NamedFile &input : options.inputs) {
      file = input.name == name ? input.file : file;
    }
    add(all, file);
    if (error.message.find("'" + name + "'") != std::string::npos ||
        error.message.starts_with(name + ":")) {
      add(named, file);
    }
  }
  const std::string &files = named.empty() ? all : named;
  if (error.code == SYLVITE_BAD_INPUT && !files.empty()) {
    error.message = files + ": " + error.message;
  }
  return error;
}

struct ContextEnd {
  void operator()(sylvite_context *context) const { sylvite_context_destroy(context); }
};

// A context and its outputs, which live as long as it does.
struct Ran {
  std::unique_ptr<sylvite_context, ContextEnd> context;
  std::vector<sylvite_tensor> outputs;
};

Result<Ran> run(const sylvite_model &model, std::vector<HostTensor> &inputs, int threads) {
  Ran ran;
  char message[512] = "";
  const sylvite_context_options options = {threads, 0};
  sylvite_context *context = nullptr;
  sylvite_result result =
      sylvite_context_create(&model, &options, &context, message, sizeof message);
  if (result != SYLVITE_OK) {
    return Error{result, message};
  }
  ran.context.reset(context);
  ran.outputs.resize(static_cast<size_t>(model.program->output_count));
  std::vector<sylvite_tensor> tensors;
  for (HostTensor &input : inputs) {
    tensors.push_back(tensor_of(input));
  }
  result = sylvite_run(context, tensors.data(), static_cast<int32_t>(tensors.size()),
                       ran.outputs.data(), model.program->output_count);
  if (result != SYLVITE_OK) {
    return Error{result, sylvite_context_error(context)};
  }
  return ran;
}

// Element i as a number, whatever its type.
double element(const void *data, sylvite_dtype dtype, int64_t i) {
  switch (dtype) {
    case SYLVITE_F32:
      return static_cast<double>(static_cast<const float *>(data)[i]);
    case SYLVITE_F64:
      return static_cast<const double *>(data)[i];
    case SYLVITE_F16:
      return static_cast<double>(float_of_half(static_cast<const uint16_t *>(data)[i]));
    case SYLVITE_BF16:
      return static_cast<double>(float_of_bfloat16(static_cast<const uint16_t *>(data)[i]));
    case SYLVITE_I8:
      return static_cast<const int8_t *>(data)[i];
    case SYLVITE_I16:
      return static_cast<const int16_t *>(data)[i];
    case SYLVITE_U16:
      return static_cast<const uint16_t *>(data)[i];
    case SYLVITE_I32:
      return static_cast<const int32_t *>(data)[i];
    case SYLVITE_U32:
      return static_cast<const uint32_t *>(data)[i];
    case SYLVITE_I64:
      return static_cast<double>(static_cast<const int64_t *>(data)[i]);
    case SYLVITE_U64:
      return static_cast<double>(static_cast<const uint64_t *>(data)[i]);
    default:
      return static_cast<const uint8_t *>(data)[i];
  }
}

int64_t count_of(const sylvite_tensor &tensor) {
  return element_count({tensor.dims, static_cast<size_t>(tensor.rank)});
}

// Without a file to write to: name, type, shape and the first elements.
void print_summary(const char *name, const sylvite_tensor &tensor) {
  const std::string shape = shape_text(std::span(tensor.dims, static_cast<size_t>(tensor.rank)));
  printf("%s %s %s", name, dtype_name(tensor.dtype), shape.c_str());
  const int64_t count = count_of(tensor);
  for (int64_t i = 0; i < std::min(count, kShownElements); ++i) {
    printf(" %.7g", element(tensor.data, tensor.dtype, i));
  }
  printf(count > kShownElements ? " ...\n" : "\n");
}

Error write_outputs(const sylvite_program &program, const std::vector<sylvite_tensor> &outputs,
                    const ProgramOptions &options) {
  for (const NamedFile &output : options.outputs) {
    const size_t i = static_cast<size_t>(find(program.outputs, program.output_count, output.name));
    if (Error error = write_npy(output.file, ArrayView(program.outputs[i].name, outputs[i]));
        !error.ok()) {
      return error;
    }
  }
  if (options.outputs_file.empty()) {
    return {};
  }
  std::vector<ArrayView> views;
  for (size_t i = 0; i < outputs.size(); ++i) {
    views.emplace_back(program.outputs[i].name, outputs[i]);
  }
  return write_npz(options.outputs_file, views);
}

struct Comparison {
  double largest = 0;  // |difference|
  int64_t beyond = 0;  // elements beyond the tolerance
};

Comparison compare(const sylvite_tensor &got, const void *expected, double rtol, double atol) {
  Comparison result;
  for (int64_t i = 0; i < count_of(got); ++i) {
    const double a = element(got.data, got.dtype, i), b = element(expected, got.dtype, i);
    if (a == b || (std::isnan(a) && std::isnan(b))) {
      continue;
    }
    const double difference = std::abs(a - b);
    result.largest = std::isnan(difference) ? INFINITY : std::max(result.largest, difference);
    result.beyond += difference <= atol + rtol * std::abs(b) ? 0 : 1;
  }
  return result;
}

}  // namespace

Result<std::vector<HostTensor>> read_inputs(const sylvite_program &program,
                                            const ProgramOptions &options) {
  std::vector<HostTensor> inputs(static_cast<size_t>(program.input_count));
  std::vector<bool> given(inputs.size());
  if (!options.inputs_file.empty()) {
    Result<std::vector<HostTensor>> read = read_npz(options.inputs_file);
    if (!read.ok()) {
      return read.error();
    }
    for (HostTensor &tensor : read.value()) {
      if (Error error = add_input(program, std::move(tensor), options.inputs_file, &given, &inputs);
          !error.ok()) {
        return error;
      }
    }
  }
  for (const NamedFile &file : options.inputs) {
    Result<HostTensor> read = read_npy(file.file);
    if (!read.ok()) {
      return read.error();
    }
    read.value().name = file.name;
    if (Error error = add_input(program, std::move(read.value()), file.file, &given, &inputs);
        !error.ok()) {
      return error;
    }
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!given[i]) {
      const sylvite_tensor_info &info = program.inputs[i];
      return bad_input("input '", info.name,
                       "' is missing: ", dtype_name(static_cast<sylvite_dtype>(info.dtype)), " ",
                       shape_text(info));
    }
  }
  return inputs;
}

Error run_arrays(const sylvite_model &model, const ProgramOptions &options) {
  const sylvite_program &program = *model.program;
  for (const NamedFile &output : options.outputs) {
    if (find(program.outputs, program.output_count, output.name) < 0) {
      return bad_input("--output: '", printable(output.name),
                       "' is no output of the model, which has ",
                       names_of(program.outputs, program.output_count));
    }
  }
  Result<std::vector<HostTensor>> inputs = read_inputs(program, options);
  if (!inputs.ok()) {
    return inputs.error();
  }
  Result<Ran> ran = run(model, inputs.value(), options.threads);
  if (!ran.ok()) {
    return naming_file(ran.error(), program, options);
  }
  if (options.outputs_file.empty() && options.outputs.empty()) {
    for (size_t i = 0; i < ran.value().outputs.size(); ++i) {
      print_summary(program.outputs[i].name, ran.value().outputs[i]);
    }
    return {};
  }
  return write_outputs(program, ran.value().outputs, options);
}

namespace {

// Of one entry point.
Error run_self_test_of(const sylvite_model &model, const ProgramOptions &options) {
  const sylvite_program &program = *model.program;
  Result<std::vector<HostTensor>> inputs = stored_inputs(model);
  if (!inputs.ok()) {
    return inputs.error();
  }
  Result<Ran> ran = run(model, inputs.value(), options.threads);
  if (!ran.ok()) {
    return ran.error();
  }
  const sylvite_self_test &test = *program.self_test;
  const double rtol = static_cast<double>(test.rtol), atol = static_cast<double>(test.atol);
  int64_t beyond = 0;
  for (int32_t i = 0; i < program.output_count; ++i) {
    const int32_t stored = program.input_count + i;
    const sylvite_tensor &got = ran.value().outputs[static_cast<size_t>(i)];
    if (!std::equal(got.dims, got.dims + got.rank, test.shapes[stored])) {
      return {SYLVITE_INTERNAL,
              text_of("selftest: output '", program.outputs[i].name, "' has an unexpected shape")};
    }
    const Comparison result = compare(got, model.weights + test.offsets[stored], rtol, atol);
    printf("%s: largest error %.3g, allowed %.3g + %.3g x |expected|: %s\n",
           program.outputs[i].name, result.largest, atol, rtol,
           result.beyond == 0 ? "right" : "WRONG");
    beyond += result.beyond;
  }
  if (beyond != 0) {
    return bad_input("selftest: ", beyond, " elements are beyond the tolerance");
  }
  return {};
}

struct ModelEnd {
  void operator()(sylvite_model *model) const { sylvite_model_close(model); }
};

// A translator's encode is its root, step the entry behind it.
const char *entry_name(int32_t entry) {
  return entry == 0 ? "encode" : "step";
}

}  // namespace

Error run_self_test(const sylvite_model &model, const ProgramOptions &options) {
  const sylvite_program &root = *model.program;
  int32_t tested = 0;
  for (int32_t i = 0; i <= root.entry_count; ++i) {
    const sylvite_program *program = i == 0 ? &root : root.entries[i - 1];
    if (root.entry_count > 0) {
      printf("%s, %s:%s\n", entry_name(i), program->model_name,
             program->self_test == nullptr ? " carries no self-test" : "");
    }
    if (program->self_test == nullptr) {
      continue;
    }
    std::unique_ptr<sylvite_model, ModelEnd> opened;
    if (i > 0) {
      char message[512] = "";
      sylvite_model *entry = nullptr;
      const sylvite_result result =
          sylvite_model_open(program, model.weights, &entry, message, sizeof message);
      if (result != SYLVITE_OK) {
        return {result, message};
      }
      opened.reset(entry);
    }
    if (Error error = run_self_test_of(i == 0 ? model : *opened, options); !error.ok()) {
      return error;
    }
    ++tested;
  }
  if (tested == 0) {
    return bad_input("the program carries no self-test");
  }
  printf("selftest passed on %s\n", sylvite_model_isa(&model));
  return {};
}

}  // namespace sylvite
