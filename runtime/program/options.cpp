// Options by getopt_long; its own messages are off, ours say what to do.
#include "runtime/program/options.h"

#include <getopt.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "runtime/bench.h"
#include "runtime/dim_text.h"
#include "runtime/dtype.h"
#include "runtime/io/text.h"
#include "runtime/program/option_values.h"
#include "runtime/program/translate_options.h"
#include "runtime/tasks/classify.h"

namespace sylvite {
namespace {

enum Code {
  kInputs = 256,
  kOutputs,
  kInput,
  kOutput,
  kInfo,
  kBench,
  kSelfTest,
  kSize,
  kRuns,
  kNoLimit,
  kThreads,
  kJson,
  kTopK,
  kBatch,
  kWeights,
  kVersion,
  kLicences,
  kHelp,
};

constexpr option kOptions[] = {
    {"inputs", required_argument, nullptr, kInputs},
    {"outputs", required_argument, nullptr, kOutputs},
    {"input", required_argument, nullptr, kInput},
    {"output", required_argument, nullptr, kOutput},
    {"info", no_argument, nullptr, kInfo},
    {"bench", no_argument, nullptr, kBench},
    {"selftest", no_argument, nullptr, kSelfTest},
    {"size", required_argument, nullptr, kSize},
    {"runs", required_argument, nullptr, kRuns},
    {"no-limit", no_argument, nullptr, kNoLimit},
    {"threads", required_argument, nullptr, kThreads},
    {"json", no_argument, nullptr, kJson},
    {"top-k", required_argument, nullptr, kTopK},
    {"batch", required_argument, nullptr, kBatch},
    {"weights", required_argument, nullptr, kWeights},
    {"version", no_argument, nullptr, kVersion},
    {"licences", no_argument, nullptr, kLicences},
    {"licenses", no_argument, nullptr, kLicences},
    {"help", no_argument, nullptr, kHelp},
    {nullptr, 0, nullptr, 0},
};

Error parse_named_file(const char *option_name, const char *text, std::vector<NamedFile> *files) {
  const char *equals = strchr(text, '=');
  if (equals == nullptr || equals == text || equals[1] == 0) {
    return usage(text_of(option_name, ": expected NAME=FILE.npy, got '", printable(text), "'"));
  }
  files->push_back({std::string(text, equals), equals + 1});
  return {};
}

// Whether what is written to one file would replace the other one. Devices and pipes take both.
bool same_file(const std::string &a, const std::string &b) {
  struct stat status_a{}, status_b{};
  if (stat(a.c_str(), &status_a) == 0 && stat(b.c_str(), &status_b) == 0) {
    return S_ISREG(status_a.st_mode) && status_a.st_dev == status_b.st_dev &&
           status_a.st_ino == status_b.st_ino;
  }
  const auto folder_of = [](const std::string &file) {
    const size_t slash = file.rfind('/');
    return slash == std::string::npos ? std::string("./") : file.substr(0, slash + 1);
  };
  const auto name_of = [](const std::string &file) { return file.substr(file.rfind('/') + 1); };
  return name_of(a) == name_of(b) &&
         (folder_of(a) == folder_of(b) ||
          (stat(folder_of(a).c_str(), &status_a) == 0 &&
           stat(folder_of(b).c_str(), &status_b) == 0 && status_a.st_dev == status_b.st_dev &&
           status_a.st_ino == status_b.st_ino));
}

Error check_output_files(const ProgramOptions &options) {
  std::vector<std::string> files;
  for (const NamedFile &output : options.outputs) {
    files.push_back(output.file);
  }
  if (!options.outputs_file.empty()) {
    files.push_back(options.outputs_file);
  }
  for (size_t i = 0; i < files.size(); ++i) {
    for (size_t k = 0; k < i; ++k) {
      if (same_file(files[i], files[k])) {
        return usage(text_of("two outputs would be written to '", printable(files[i]), "'"));
      }
    }
  }
  return {};
}

// The action that an option asks for; two of them contradict each other.
Error choose(Action action, const char *name, const char **chosen, ProgramOptions *options) {
  if (*chosen != nullptr && options->action != action) {
    return usage(text_of(*chosen, " and ", name, " exclude each other"));
  }
  *chosen = name;
  options->action = action;
  return {};
}

Error parse_one(int code, const char *argument, const char **chosen, ProgramOptions *options) {
  switch (code) {
    case kInputs:
      return parse_file("--inputs", argument, "FILE.npz", &options->inputs_file);
    case kOutputs:
      return parse_file("--outputs", argument, "FILE.npz", &options->outputs_file);
    case kInput:
      return parse_named_file("--input", argument, &options->inputs);
    case kOutput:
      return parse_named_file("--output", argument, &options->outputs);
    case kInfo:
      return choose(Action::Info, "--info", chosen, options);
    case kBench:
      return choose(Action::Bench, "--bench", chosen, options);
    case kSelfTest:
      return choose(Action::SelfTest, "--selftest", chosen, options);
    case kVersion:
      return choose(Action::Version, "--version", chosen, options);
    case kLicences:
      return choose(Action::Licences, "--licences", chosen, options);
    case kHelp:
      return choose(Action::Help, "--help", chosen, options);
    case kSize:
      options->sizes += options->sizes.empty() ? "" : ",";
      options->sizes += argument;
      return {};
    case kRuns:
      return parse_count("--runs", argument, 1000000, &options->runs);
    case kNoLimit:
      options->no_limit = true;
      return {};
    case kThreads:
      return parse_count("--threads", argument, kMaxThreads, &options->threads);
    case kTopK:
      return parse_count("--top-k", argument, 1000000, &options->top_k);
    case kBatch:
      return parse_count("--batch", argument, 4096, &options->batch);
    case kWeights:
      return parse_file("--weights", argument, "a file", &options->weights);
    default:
      options->json = true;
      return {};
  }
}

bool is_identifier(std::string_view name) {
  return !name.empty() && !(name[0] >= '0' && name[0] <= '9') &&
         name.find_first_not_of(
             "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") ==
             std::string_view::npos;
}

std::string tensor_lines(const sylvite_tensor_info *infos, int32_t count) {
  size_t width = 0;
  for (int32_t i = 0; i < count; ++i) {
    width = std::max(width, strlen(infos[i].name));
  }
  std::string text;
  for (int32_t i = 0; i < count; ++i) {
    text += text_of("  ", infos[i].name, std::string(width - strlen(infos[i].name) + 2, ' '),
                    dtype_name(static_cast<sylvite_dtype>(infos[i].dtype)), " ",
                    shape_text(infos[i]), "\n");
  }
  return text;
}

// "(1, 3, 48, 48)": a shape that the input may have.
std::string example_shape(const sylvite_program &program, const sylvite_tensor_info &info) {
  std::vector<int64_t> symbols;
  for (int32_t i = 0; i < program.symbol_count; ++i) {
    symbols.push_back(std::max<int64_t>(program.symbols[i].lower, 1));
  }
  std::string text = "(";
  for (int32_t axis = 0; axis < info.rank; ++axis) {
    text += text_of(axis > 0 ? ", " : "",
                    evaluate_dim(program, info.dims[axis], symbols.data()).value_or(1));
  }
  return text + (info.rank == 1 ? ",)" : ")");
}

// What makes a file of inputs in Python.
std::string numpy_example(const sylvite_program &program) {
  bool identifiers = true;
  for (int32_t i = 0; i < program.input_count; ++i) {
    identifiers = identifiers && is_identifier(program.inputs[i].name);
  }
  std::string text = identifiers ? "  numpy.savez(\"in.npz\"" : "  numpy.savez(\"in.npz\", **{";
  for (int32_t i = 0; i < program.input_count; ++i) {
    const sylvite_tensor_info &info = program.inputs[i];
    const std::string zeros = text_of("numpy.zeros(", example_shape(program, info), ", \"",
                                      dtype_name(static_cast<sylvite_dtype>(info.dtype)), "\")");
    text += identifiers ? text_of(",\n      ", info.name, "=", zeros)
                        : text_of(i > 0 ? "," : "", "\n      \"", info.name, "\": ", zeros);
  }
  return text + (identifiers ? ")\n" : "})\n");
}

Result<ProgramOptions> parse_array_options(int argc, char **argv, const sylvite_program &program) {
  ProgramOptions options;
  const char *chosen = nullptr;
  opterr = 0;
  optind = 1;
  while (true) {
    const int at = optind;
    const int code = getopt_long(argc, argv, ":", kOptions, nullptr);
    if (code == -1) {
      break;
    }
    if (code == '?' || code == ':') {
      const std::string word = printable(argv[optind > at ? optind - 1 : at]);
      return usage(code == '?' ? text_of("unknown option '", word, "'")
                               : text_of(word, " needs a value"));
    }
    if (Error error = parse_one(code, optarg, &chosen, &options); !error.ok()) {
      return error;
    }
  }
  if (const Result<std::vector<int64_t>> sizes = parse_sizes(program, options.sizes); !sizes.ok()) {
    return sizes.error();
  }
  if (Error error = check_output_files(options); !error.ok()) {
    return error;
  }
  options.paths.assign(argv + optind, argv + argc);
  const bool arrays = !options.inputs_file.empty() || !options.inputs.empty();
  if (chosen == nullptr && !arrays && program.classify != nullptr) {
    options.action = Action::Classify;
    if (options.paths.empty()) {
      return usage("no images given (- reads a list from standard input)");
    }
    return options;
  }
  if (!options.paths.empty()) {
    return usage(text_of("unexpected argument '", printable(options.paths[0]), "'"));
  }
  if (chosen == nullptr && !arrays && program.input_count > 0) {
    return usage("no inputs given");
  }
  return options;
}

}  // namespace

Result<ProgramOptions> parse_options(int argc, char **argv, const sylvite_program &program) {
  Result<ProgramOptions> options = program.translate != nullptr
                                       ? parse_translate_options(argc, argv)
                                       : parse_array_options(argc, argv, program);
  if (options.ok() && !options.value().weights.empty() && program.separate_weights == 0) {
    return usage("--weights: this program holds its weights itself");
  }
  return options;
}

std::string weights_help(const sylvite_program &program) {
  return program.separate_weights == 0
             ? ""
             : "  --weights FILE         the program's weights, where they are not beside it in\n"
               "                         PROGRAM.weights; also SYLVITE_WEIGHTS=FILE\n";
}

std::string help_text(const std::string &program_name, const sylvite_program &program) {
  if (program.translate != nullptr) {
    return translate_help(program_name, program);
  }
  const std::string &name = program_name;
  const char *input = program.input_count > 0 ? program.inputs[0].name : "x";
  const char *output = program.output_count > 0 ? program.outputs[0].name : "y";
  std::string text = text_of(name, " runs ", program.model_name, ", compiled by Sylvite.\n\n");
  if (program.classify != nullptr) {
    text += text_of("  ", name, " ", kClassifyUsage, "\n\n", kClassifyHelp,
                    "\nAs a function on arrays:\n\n");
  }
  text += text_of("  ", name, " --inputs in.npz --outputs out.npz\n");
  text += text_of("  ", name, " --input ", input, "=", "in.npy --output ", output, "=out.npy\n\n");
  text += "Inputs:\n" + tensor_lines(program.inputs, program.input_count);
  text += "Outputs:\n" + tensor_lines(program.outputs, program.output_count);
  text += "\nA file of inputs, made in Python:\n" + numpy_example(program);
  text +=
      "\nOptions:\n"
      "  --inputs FILE.npz      inputs by name; more with --input\n"
      "  --input NAME=FILE.npy  one input\n"
      "  --outputs FILE.npz     where all outputs go; without it and --output a summary is "
      "printed\n"
      "  --output NAME=FILE.npy where one output goes\n"
      "  --threads N            default: the CPUs that this process may use\n"
      "  --info [--json]        inputs, outputs, symbols; memory for --size\n"
      "  --bench [--runs N]     times of runs and of each call; --json; on given inputs or on "
      "--size\n"
      "  --size NAME=N,...      values of the symbols for --info and --bench\n"
      "  --no-limit             lets --bench run at sizes that take very long or much memory\n"
      "  --selftest             runs stored inputs and compares\n";
  text += weights_help(program);
  text +=
      "  --version              model, compiler, instruction set levels\n"
      "  --licences             of what is in this program\n"
      "\n"
      "The environment variable SYLVITE_ISA (x86-64-v3, x86-64-v4) forces a lower level.\n"
      "Exit codes: 0 fine, 1 bad input, 2 bad usage, 70 an error of Sylvite's.\n";
  return text;
}

}  // namespace sylvite
