// One list, read by the summary, by `inspect` and by the tests.
#include "compiler/driver/fusion_names.h"

namespace sylvite {

std::vector<std::pair<std::string, int>> fusion_names(const FusionCounts &counts) {
  return {{"attention", counts.attention},    {"add_norm", counts.add_norm},
          {"embed_norm", counts.embed_norm},  {"ffn", counts.ffn},
          {"ffn_gated", counts.ffn_gated},    {"layer_norm", counts.layer_norm},
          {"rms_norm", counts.rms_norm},      {"rope", counts.rope},
          {"nonlocal", counts.nonlocal},      {"linear_attention", counts.linear_attention},
          {"layer_scale", counts.layer_scale}};
}

std::string describe(const FusionCounts &counts) {
  std::string text;
  for (const auto &[name, count] : fusion_names(counts)) {
    if (count > 0) {
      text += (text.empty() ? "" : ", ") + std::to_string(count) + " " + name;
    }
  }
  return text.empty() ? "nothing" : text;
}

}  // namespace sylvite
