// The passes run twice: what inputs a model takes (ids below a vocabulary, masks, sizes that fit)
// is known from its plan, which is made behind them. They do the same both times, from the model as
// it was imported.
#include "compiler/driver/check_passes.h"

#include <algorithm>
#include <iostream>
#include <optional>
#include <string>
#include <vector>

#include "compiler/driver/flags.h"
#include "compiler/driver/self_test.h"
#include "compiler/driver/work_limits.h"
#include "compiler/ir/error.h"
#include "passes/check_rewrites.h"

namespace sylvite {
namespace {

constexpr size_t kSamples = 2;

// The least sizes that say something (of one row an axis that is lost is not missed), then others.
std::vector<SymbolSizes> sizes_to_try(const Plan &plan) {
  std::vector<SymbolSizes> all;
  const auto add = [&all](const std::optional<SymbolSizes> &sizes) {
    if (sizes && std::find(all.begin(), all.end(), *sizes) == all.end()) {
      all.push_back(*sizes);
    }
  };
  for (const int64_t first : {1, 2}) {
    add(fitting_sizes(plan, [&](size_t i) { return first + static_cast<int64_t>(i); }));
  }
  for (const SymbolSizes &sizes : small_sizes(plan)) {
    add(sizes);
  }
  return all;
}

// `owner`: whose panels share_panels reads, if this is the graph of an encoder.
std::string checked(const LoweredModel &model, const PipelineOptions &asked, const Graph *owner) {
  const std::unique_ptr<Graph> graph = model.source->clone();
  RewriteCheck check(*graph);
  std::vector<std::string> places;
  std::string note;  // why not at the first sizes that were tried
  const int evaluations = static_cast<int>(pipeline().size() + 1);
  for (const SymbolSizes &sizes : sizes_to_try(model.plan)) {
    if (places.size() == kSamples) {
      break;
    }
    const std::string excess = reference_excess(model, sizes, evaluations);
    if (!excess.empty()) {
      note = note.empty() ? std::to_string(evaluations) + " runs of " + excess : note;
      continue;
    }
    const std::string name = sizes.empty() ? "its fixed sizes" : to_string(sizes);
    try {
      check.add_sample(name, generate_inputs(model.plan, sizes, 1));
      places.push_back(name);
    } catch (const ModelError &error) {
      note = note.empty() ? std::string("generated inputs do not fit it: ") + error.what() : note;
    }
  }
  if (places.empty()) {
    return "not checked: " + (note.empty() ? "no small sizes are valid ones for it" : note);
  }
  PipelineOptions options;
  options.disabled = asked.disabled;
  options.changed = [&](const std::string &pass, const Graph &changed) {
    check.step(pass, changed);
  };
  run_pipeline(*graph, options);
  if (owner != nullptr && share_panels(*graph, *owner, options)) {
    check.step("share_panels", *graph);
  }
  return std::to_string(check.steps()) + " passes changed the graph, all agree at " +
         places.front() + (places.size() > 1 ? " and " + places.back() : "");
}

void report(const char *entry, const LoweredModel &model, const PipelineOptions &options,
            const Graph *owner, ProgressLine &progress) {
  progress.show(std::string("checking the passes") + entry);
  const std::string found = checked(model, options, owner);
  progress.clear();
  std::cerr << "sylvite: check" << entry << ": " << found << "\n";
}

}  // namespace

void report_check(const LoweredModel &model, const PipelineOptions &options,
                  ProgressLine &progress) {
  report("", model, options, nullptr, progress);
}

void report_check(const LoweredTranslator &translator, const PipelineOptions &options,
                  ProgressLine &progress) {
  report(" of encode", translator.encode, options, translator.step.graph.get(), progress);
  report(" of step", translator.step, options, nullptr, progress);
}

}  // namespace sylvite
