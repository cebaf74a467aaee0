// The order in which the passes run, and what holds after each stage.
#include <algorithm>
#include <chrono>
#include <iterator>
#include <stdexcept>
#include <utility>

#include "compiler/ir/closest.h"
#include "compiler/ir/control.h"
#include "compiler/ir/error.h"
#include "compiler/ir/text.h"
#include "passes/passes.h"

namespace sylvite {
namespace {

constexpr Pass kPasses[] = {
#define PASS(function, kind, sentence) {#function, PassKind::kind, sentence, function},
#include "passes/passes.def"
#undef PASS
};

// The passes by name, for the lists below: a name without a line in passes.def does not compile.
namespace step {
#define PASS(function, kind, sentence) \
  constexpr Pass function = {#function, PassKind::kind, sentence, sylvite::function};
#include "passes/passes.def"
#undef PASS
}  // namespace step

constexpr Pass kClean[] = {
    step::remove_dead,       step::fold_host_values,      step::fold_constants,
    step::remove_identities, step::common_subexpressions, step::remove_dead,
    step::hoist_invariants,  step::capture_through_views,
};
constexpr Pass kCanonicalForm[] = {
    step::lower_convolutions,  // before views merge: a patch embedding is two of them and a product
    step::fold_constants,       step::simplify_arithmetic,
    step::canonical_reductions,  // before views move
    step::simplify_lookups,     step::merge_views,
    step::turn_columns,  // before the products are turned themselves
    step::canonical_matmuls,    step::sink_views,
    step::turn_columns,  // probabilities, which are right operands now
    step::sink_views,
    step::fold_constants,  // what moved through a view: biases, transposed weights
    step::merge_views,          step::remove_identities,
    step::simplify_arithmetic,  // factors that a view had kept apart
    step::order_operands,       step::common_subexpressions,
};
constexpr Pass kRaise[] = {
    step::raise_layer_norm, step::raise_softmax,     step::raise_attention,
    step::hoist_slices,  // past norms, which are one op now
    step::merge_views,      step::remove_identities, step::common_subexpressions,
    step::merge_heads,  // of one input each, now that equal views are one
    step::merge_views,
};
constexpr Pass kPlace[] = {step::pack_qkv, step::pack_weights, step::remove_dead};
constexpr Pass kFuse[] = {
    step::form_kernels,
    step::fuse_residual_norm,  // before fuse_epilogues, which would give the sum to the product
    step::fuse_result_views,   // before fuse_views, which would give the views to the readers
    step::fuse_views,         step::fuse_elementwise, step::fuse_epilogues, step::fuse_prologues,
    step::fuse_masks,         step::share_panels,     step::explain_misses,
};

struct Stage {
  const char *title;
  std::span<const Pass> passes;
  const char *sentence;  // what holds from here on
};
constexpr Stage kStages[] = {
    {"Clean", kClean,
     "shape arithmetic is gone: sizes stand in attributes, every node computes data"},
    {"Canonical form", kCanonicalForm,
     "equal computations are spelt equally: weights are plain matrices, biases and scales stand "
     "directly\nbehind their products, constants on the right, a chain of views is one view"},
    {"Raise", kRaise,
     "norms and attention are single ops, and rows that nobody reads are not computed"},
    {"Place", kPlace,
     "the projections of one attention are one product, and weights have the kernels' layout"},
    {"Fuse", kFuse,
     "every node is a constant, a kernel, a loop or a branch, and no value is stored that "
     "only\none "
     "kernel reads and could have computed itself"},
};

[[noreturn]] void throw_unknown_pass(const std::string &name) {
  std::vector<std::string> known = {kAllFusions};
  for (const Pass &candidate : kPasses) {
    known.push_back(candidate.name);
  }
  throw std::invalid_argument("unknown pass '" + name + "'; did you mean '" + closest(name, known) +
                              "'?");
}

bool contains(const std::vector<std::string> &names, const std::string &name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

void check_options(const PipelineOptions &options) {
  for (const std::string &name : options.disabled) {
    if (name == kAllFusions) {
      continue;
    }
    const Pass *found = find_pass(name);
    if (found == nullptr) {
      throw_unknown_pass(name);
    }
    if (found->kind == PassKind::Required) {
      throw std::invalid_argument("pass '" + name + "' cannot be disabled: " + found->sentence);
    }
  }
  for (const std::string &name : options.print_after) {
    if (name != "all" && find_pass(name) == nullptr) {
      throw_unknown_pass(name);
    }
  }
}

}  // namespace

std::span<const Pass> all_passes() {
  return kPasses;
}

std::span<const Pass> pipeline() {
  static const std::vector<Pass> steps = [] {
    std::vector<Pass> result;
    for (const Stage &stage : kStages) {
      result.insert(result.end(), stage.passes.begin(), stage.passes.end());
    }
    return result;
  }();
  return steps;
}

const Pass *find_pass(const std::string &name) {
  const auto found = std::find_if(std::begin(kPasses), std::end(kPasses),
                                  [&](const Pass &candidate) { return candidate.name == name; });
  return found == std::end(kPasses) ? nullptr : found;
}

bool is_disabled(const Pass &pass, const PipelineOptions &options) {
  return contains(options.disabled, pass.name) ||
         (pass.kind == PassKind::Fusion && contains(options.disabled, kAllFusions));
}

bool run_pass(Graph &graph, const Pass &step) {
  const RunningScope running(std::string("pass ") + step.name);
  try {
    // Inner bodies first: what leaves one may leave the next.
    bool changed = false;
    const std::vector<Graph *> graphs = with_control_bodies(graph);
    for (auto each = graphs.rbegin(); each != graphs.rend(); ++each) {
      changed |= step.run(**each);
      if (*each != &graph) {
        std::move((*each)->near_misses.begin(), (*each)->near_misses.end(),
                  std::back_inserter(graph.near_misses));
        (*each)->near_misses.clear();
      }
    }
    verify(graph);
    return changed;
  } catch (const DimOverflow &) {
    throw_model_error("the model's sizes are too large: their products exceed 64 bits");
  }
}

void run_pipeline(Graph &graph, const PipelineOptions &options) {
  check_options(options);
  for (const Pass &step : pipeline()) {
    if (is_disabled(step, options)) {
      continue;
    }
    const auto begin = std::chrono::steady_clock::now();
    const bool changed = run_pass(graph, step);
    if (options.timed) {
      const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
      options.timed(step.name, seconds.count());
    }
    if (options.print &&
        (contains(options.print_after, step.name) || contains(options.print_after, "all"))) {
      options.print(step.name, changed ? print(graph) : "(unchanged)\n");
    }
    if (changed && options.changed) {
      options.changed(step.name, graph);
    }
  }
  for (const Graph *each : with_control_bodies(std::as_const(graph))) {
    for (const std::unique_ptr<Node> &node : each->nodes()) {
      SYLVITE_CHECK(node->op == Op::Constant || node->op == Op::Kernel ||
                        class_of(node->op) == OpClass::Control,
                    describe(*node));
    }
  }
}

std::string passes_page() {
  std::string page =
      "# Passes\n\n"
      "Generated from `passes/passes.def` and `passes/pipeline.cpp`; a test keeps it in step "
      "(`SYLVITE_UPDATE=1` rewrites it).\n\n"
      "`sylvite compile --disable-pass NAME` leaves a pass out, `--disable-pass all-fusions` all "
      "of kind *fusion*; *required*\nones stay. `--print-after NAME` prints the graph behind a "
      "pass, `--print-after all` behind each.\n\n"
      "| pass | kind | what it does |\n|---|---|---|\n";
  constexpr const char *kKinds[] = {"optional", "fusion", "required"};
  for (const Pass &candidate : kPasses) {
    page += std::string("| `") + candidate.name + "` | " +
            kKinds[static_cast<size_t>(candidate.kind)] + " | " + candidate.sentence + " |\n";
  }
  page += "\n## The pipeline\n";
  for (const Stage &stage : kStages) {
    page += std::string("\n**") + stage.title + "**:\n";
    for (const Pass &step : stage.passes) {
      page += std::string("`") + step.name + "`" + (&step == &stage.passes.back() ? ".\n" : ",\n");
    }
    page += std::string("From here on ") + stage.sentence + ".\n";
  }
  return page;
}

}  // namespace sylvite
