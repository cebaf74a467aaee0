// The translate task of a program: sentences on the command line, in a file or on standard input,
// one a line, and their translations out, one a line.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "runtime/include/sylvite/sylvite.h"

namespace sylvite {

struct TranslateOptions {
  std::string input, output;  // files; empty: standard input, standard output
  std::optional<int32_t> beams, max_length, early_stopping;  // the model's own where not given
  std::optional<float> length_penalty;
  int32_t batch = 32;
  int32_t threads = 0;  // 0: the affinity mask within the cgroup's quota
  bool json = false, stats = false, reserve = false;
};

// For --help, without the program's name.
inline constexpr char kTranslateHelp[] =
    R"(  --input FILE         translates FILE line by line; - or nothing: standard input
  --output FILE        where translations go, written whole or not at all; default: standard output
  --beam N             looks at the N best beginnings of each translation; 1: only at the best
  --max-length N       most tokens of a translation
  --length-penalty X   with beams: score = log probability / length ^ X
  --early-stopping W   with beams: no, yes or never, as transformers' generate has it
  --batch N            lines that are translated together (default 32); changes no translation
  --threads N          default: the CPUs that this process may use
  --json               an object a line: {"line", "source", "text", "score", "tokens", "ids", ...}
  --stats              tokens and words per second on standard error
  --reserve            takes the memory for --max-length at once, not as translations grow
)";
inline constexpr char kTranslateNotes[] =
    R"(Empty lines stay empty, so line N of the output is the translation of line N. CRLF line ends are
kept. Lines are UTF-8; what is not is read as U+FFFD and reported. A line that is too long for the
model, or over 1 MiB, gets an empty line and a message, and the exit code is 1. In a pipe nothing
waits for more: lines that are there are translated together, and go out at once. Ctrl-C ends with
the lines that are done and exit code 130.
)";

// Returns the exit code: 0; 1 when a line could not be translated, or a file not be read or
// written; 70; 128 + the number of the signal that ended it. `program_name` starts lines on
// standard error. With sentences, no input is read.
int translate_main(const char *program_name, const sylvite_model *model,
                   const TranslateOptions &options, std::span<const char *const> sentences);

}  // namespace sylvite
