// Counts are those of `inspect`: read from the plan's kernels.
#include "compiler/driver/require_fusions.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <system_error>

#include "compiler/driver/commands.h"
#include "compiler/driver/fusion_names.h"
#include "compiler/ir/closest.h"
#include "compiler/ir/error.h"

namespace sylvite {
namespace {

std::vector<std::string> kinds() {
  std::vector<std::string> names;
  for (const auto &[name, count] : fusion_names({})) {
    names.push_back(name);
  }
  return names;
}

int count_of(const std::string &kind, std::span<const LoweredModel *const> models) {
  int sum = 0;
  for (const LoweredModel *model : models) {
    for (const auto &[name, count] : fusion_names(model->fused)) {
      sum += name == kind ? count : 0;
    }
  }
  return sum;
}

std::string at_node(const NearMiss &miss) {
  return "at '" + miss.node + "': " + miss.condition;
}

// Where a norm is not found, no sum is fused with it.
bool explains(const NearMiss &miss, const std::string &kind) {
  return miss.kind == kind || (miss.kind == "layer_norm" &&
                               (kind == "add_norm" || kind == "embed_norm" || kind == "rms_norm"));
}

const NearMiss *first_miss(const std::string &kind, std::span<const LoweredModel *const> models) {
  for (const LoweredModel *model : models) {
    for (const NearMiss &miss : model->graph->near_misses) {
      if (explains(miss, kind)) {
        return &miss;
      }
    }
  }
  return nullptr;
}

}  // namespace

void add_require_flag(CLI::App &command, RequireFlags &flags) {
  command
      .add_option("--require", flags.texts,
                  "fail unless so many blocks are fused: --require attention=12,add_norm=24 "
                  "(kinds and counts: `sylvite inspect MODEL`)")
      ->type_name("KIND=N")
      ->delimiter(',');
}

std::map<std::string, int> required_fusions(const RequireFlags &flags) {
  std::map<std::string, int> required;
  const std::vector<std::string> known = kinds();
  for (const std::string &text : flags.texts) {
    const size_t equals = text.find('=');
    const std::string kind = text.substr(0, equals);
    const std::string number = equals == std::string::npos ? "" : text.substr(equals + 1);
    int count = -1;
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), count);
    if (error != std::errc() || end != number.data() + number.size() || count < 0) {
      throw UsageError("--require wants KIND=N, not '" + text + "'");
    }
    if (std::find(known.begin(), known.end(), kind) == known.end()) {
      throw UsageError("--require: unknown kind '" + kind + "'; did you mean '" +
                       closest(kind, known) + "'?");
    }
    if (!required.emplace(kind, count).second) {
      throw UsageError("--require: '" + kind + "' is given twice");
    }
  }
  return required;
}

void check_required_fusions(const std::string &file, const std::map<std::string, int> &required,
                            std::span<const LoweredModel *const> models) {
  for (const auto &[kind, count] : required) {
    const int found = count_of(kind, models);
    if (found < count) {
      const NearMiss *miss = first_miss(kind, models);
      throw_model_error(file, ": ", found, " ", kind, " fused, --require asks for ", count, "; ",
                        miss == nullptr ? "nothing came near" : "nearly " + at_node(*miss));
    }
  }
}

std::string describe_near_misses(std::span<const LoweredModel *const> models) {
  std::map<std::string, int> counts;
  const NearMiss *first = nullptr;
  for (const LoweredModel *model : models) {
    for (const NearMiss &miss : model->graph->near_misses) {
      ++counts[miss.kind];
      first = first == nullptr ? &miss : first;
    }
  }
  if (first == nullptr) {
    return "";
  }
  std::string text;
  for (const auto &[kind, count] : counts) {
    text += (text.empty() ? "" : ", ") + std::to_string(count) + " " + kind;
  }
  return text + ", the first " + at_node(*first);
}

}  // namespace sylvite
