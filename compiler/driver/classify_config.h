// The classify task, from what an exporter leaves beside a model: labels out of config.json, the
// preprocessing out of preprocessor_config.json, both as transformers writes and reads them; or
// from flags.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "compiler/codegen/compile.h"

namespace CLI {
class App;
}

namespace sylvite {

class Graph;

// Flags of `sylvite compile --task=classify`. They win over the files.
struct ClassifyFlags {
  std::string config, preprocessor, labels;  // files instead of those beside the model
  std::optional<std::string> resize;         // "224", "HxW", "shortest:256", "none"
  std::optional<std::string> crop;           // "224", "HxW", "none"
  std::optional<std::string> resample;       // "bicubic", ...
  std::optional<double> rescale;
  std::vector<double> mean, std;  // empty: not given
  std::string logits;             // the output with one number for each label
};
void add_classify_flags(CLI::App &command, ClassifyFlags &flags);

// `model`: the file, beside which the others are looked for; `graph`: as imported. Throws
// ModelError with file and key, UsageError for a flag that means nothing.
ClassifyTask read_classify_task(const std::filesystem::path &model, const Graph &graph,
                                const ClassifyFlags &flags = {});

}  // namespace sylvite
