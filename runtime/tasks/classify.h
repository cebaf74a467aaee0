// The classify task of a program: images named on the command line in, labels out.
#pragma once

#include <cstdint>
#include <span>

#include "runtime/include/sylvite/sylvite.h"

namespace sylvite {

struct ClassifyOptions {
  int32_t top_k = 5;    // --top-k K: labels an image, at most as many as there are
  bool json = false;    // --json: one object a line
  int32_t batch = 8;    // --batch N: images that are run at once
  int32_t threads = 0;  // --threads N; 0: the affinity mask within the cgroup's quota
};

// For --help: usage line without the program's name, and the options above but --threads.
inline constexpr char kClassifyUsage[] = "[options] IMAGE|FOLDER|-...";
inline constexpr char kClassifyHelp[] =
    R"(Classifies images. An IMAGE is a PNG or JPEG file; of a FOLDER all *.png, *.jpg and *.jpeg files
are taken, sorted by name, those of its subfolders are not; - reads a list from standard input, one
path a line. A file that cannot be read is named on standard error; the others are classified all
the same, and the exit code is 1. Pixels are what Pillow's Image.open(FILE).convert("RGB") gives, so a
photo's orientation tag is not applied, alpha is dropped, and grey of 16 bits is cut off at 255.

  --top-k K        labels an image (default 5)
  --json           one JSON object a line: {"file", "top": [{"label", "score"}]}
  --batch N        images that are run at once (default 8)
)";

// Whether the model was compiled with --task=classify.
bool is_classifier(const sylvite_model *model);

// Classifies `paths` in order, results to standard output. Returns the exit code: 0, or 1 when an
// image could not be read or a result not be written, or 70. `program_name` starts lines on
// standard error.
int classify_main(const char *program_name, const sylvite_model *model,
                  const ClassifyOptions &options, std::span<const char *const> paths);

}  // namespace sylvite
