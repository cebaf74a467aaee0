// A translator is not called on arrays, so it has options of its own: --input is a text.
#include "runtime/program/translate_options.h"

#include <getopt.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "runtime/io/text.h"
#include "runtime/program/option_values.h"

namespace sylvite {
namespace {

enum Code {
  kInput = 256,
  kOutput,
  kBeam,
  kMaxLength,
  kLengthPenalty,
  kEarlyStopping,
  kBatch,
  kThreads,
  kJson,
  kStats,
  kReserve,
  kWeights,
  kInfo,
  kSize,
  kSelfTest,
  kVersion,
  kLicences,
  kHelp,
};

constexpr option kOptions[] = {
    {"input", required_argument, nullptr, kInput},
    {"output", required_argument, nullptr, kOutput},
    {"beam", required_argument, nullptr, kBeam},
    {"beams", required_argument, nullptr, kBeam},
    {"max-length", required_argument, nullptr, kMaxLength},
    {"length-penalty", required_argument, nullptr, kLengthPenalty},
    {"early-stopping", required_argument, nullptr, kEarlyStopping},
    {"batch", required_argument, nullptr, kBatch},
    {"threads", required_argument, nullptr, kThreads},
    {"json", no_argument, nullptr, kJson},
    {"stats", no_argument, nullptr, kStats},
    {"reserve", no_argument, nullptr, kReserve},
    {"weights", required_argument, nullptr, kWeights},
    {"info", no_argument, nullptr, kInfo},
    {"size", required_argument, nullptr, kSize},
    {"selftest", no_argument, nullptr, kSelfTest},
    {"version", no_argument, nullptr, kVersion},
    {"licences", no_argument, nullptr, kLicences},
    {"licenses", no_argument, nullptr, kLicences},
    {"help", no_argument, nullptr, kHelp},
    {nullptr, 0, nullptr, 0},
};

Error parse_early_stopping(const char *text, std::optional<int32_t> *value) {
  constexpr const char *kWords[] = {"no", "yes", "never"};
  for (int32_t i = 0; i < 3; ++i) {
    if (strcmp(text, kWords[i]) == 0) {
      *value = i;
      return {};
    }
  }
  return usage(text_of("--early-stopping: expected no, yes or never, got '", printable(text), "'"));
}

Error parse_one(int code, const char *argument, ProgramOptions *options) {
  constexpr int kMostBeams = 64, kMostBatch = 4096, kMostLength = 1 << 20;
  TranslateOptions &translate = options->translate;
  const auto count = [&](const char *name, int most, std::optional<int32_t> *value) {
    int number = 0;
    Error error = parse_count(name, argument, most, &number);
    *value = number;
    return error;
  };
  switch (code) {
    case kInput:
      return parse_file("--input", argument, "a file", &translate.input);
    case kOutput:
      return parse_file("--output", argument, "a file", &translate.output);
    case kBeam:
      return count("--beam", kMostBeams, &translate.beams);
    case kMaxLength:
      return count("--max-length", kMostLength, &translate.max_length);
    case kLengthPenalty:
      translate.length_penalty = 0;
      return parse_real("--length-penalty", argument, &*translate.length_penalty);
    case kEarlyStopping:
      return parse_early_stopping(argument, &translate.early_stopping);
    case kBatch:
      return parse_count("--batch", argument, kMostBatch, &translate.batch);
    case kThreads:
      return parse_count("--threads", argument, kMaxThreads, &options->threads);
    case kJson:
      options->json = true;
      return {};
    case kStats:
      translate.stats = true;
      return {};
    case kReserve:
      translate.reserve = true;
      return {};
    case kWeights:
      return parse_file("--weights", argument, "a file", &options->weights);
    case kSize:
      options->sizes += options->sizes.empty() ? "" : ",";
      options->sizes += argument;
      return {};
    default:
      break;
  }
  const Action action = code == kInfo       ? Action::Info
                        : code == kSelfTest ? Action::SelfTest
                        : code == kVersion  ? Action::Version
                        : code == kLicences ? Action::Licences
                                            : Action::Help;
  if (options->action != Action::Translate && options->action != action) {
    return usage("--info, --selftest, --version, --licences and --help exclude each other");
  }
  options->action = action;
  return {};
}

}  // namespace

Result<ProgramOptions> parse_translate_options(int argc, char **argv) {
  ProgramOptions options;
  options.action = Action::Translate;
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
      return usage(code == '?' ? text_of("unknown option '", word, "' (-- before a sentence)")
                               : text_of(word, " needs a value"));
    }
    if (Error error = parse_one(code, optarg, &options); !error.ok()) {
      return error;
    }
  }
  options.paths.assign(argv + optind, argv + argc);
  if (options.action != Action::Translate && !options.paths.empty()) {
    return usage(text_of("unexpected argument '", printable(options.paths[0]), "'"));
  }
  if (options.paths.size() == 1 && strcmp(options.paths[0], "-") == 0) {
    options.paths.clear();  // standard input, as without arguments
  }
  if (!options.paths.empty() && !options.translate.input.empty()) {
    return usage("sentences and --input exclude each other");
  }
  options.translate.json = options.json;
  options.translate.threads = options.threads;
  return options;
}

std::string translate_help(const std::string &program_name, const sylvite_program &program) {
  const std::string &name = program_name;
  const std::pair<std::string, const char *> examples[] = {
      {name + " \"How are you?\" \"It rains.\"", "sentences: a translation a line"},
      {name + " --input in.txt --output out.txt", "a file, line by line"},
      {name + " < in.txt > out.txt", "the same as a filter"},
      {"tail -f log | " + name, "each line as soon as it is there"},
      {name + " --beam 4 --json \"It rains.\"", "a wider search; tokens and scores"}};
  size_t width = 0;
  for (const auto &[command, meaning] : examples) {
    width = std::max(width, command.size());
  }
  std::string text = text_of(name, " translates text with the model '", program.model_name,
                             "', compiled by Sylvite.\n\n");
  for (const auto &[command, meaning] : examples) {
    text += text_of("  ", command, std::string(width + 2 - command.size(), ' '), meaning, "\n");
  }
  return text_of(
      text, "\n", kTranslateHelp,
      "  --info [--json]      inputs, outputs, symbols of the encoder; memory for --size NAME=N\n"
      "  --selftest           runs stored inputs through encoder and decoder and compares\n",
      weights_help(program),
      "  --version            model, compiler, instruction set levels\n"
      "  --licences           of what is in this program\n\n"
      "Without options the model decides: ",
      program.translate->beams > 1 ? text_of(program.translate->beams, " beams")
                                   : std::string("the best word each time"),
      ", at most ", program.translate->max_length, " tokens.\n", kTranslateNotes,
      "\nThe environment variable SYLVITE_ISA (x86-64-v3, x86-64-v4) forces a lower level.\n"
      "Exit codes: 0 fine, 1 bad input, 2 bad usage, 70 an error of Sylvite's.\n");
}

}  // namespace sylvite
