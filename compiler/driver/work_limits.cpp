// Counted from what the plan and the graph say, without taking any memory.
#include "compiler/driver/work_limits.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <map>

#include "compiler/driver/flags.h"
#include "compiler/ir/error.h"

namespace sylvite {
namespace {

constexpr double kMaxBytes = 8.0 * (1 << 30);
constexpr double kMaxRunFlops = 2e13;  // minutes; the programs' --bench has the same limits
// The evaluator is a thousand times slower: some ten minutes.
constexpr double kMaxReferenceFlops = 500.0 * kSelfTestFlops;

struct Work {
  double flops = 0, bytes = 0;
};

// What does not fit 64 bits is more than any limit.
template <typename Count>
Work counted(const Count &count) {
  try {
    return count();
  } catch (const DimOverflow &) {
    constexpr double kEndless = std::numeric_limits<double>::infinity();
    return {kEndless, kEndless};
  }
}

double elements_at(const TensorType &type, const SymbolSizes &sizes) {
  double count = 1;
  for (const Dim &dim : type.shape) {
    count *= static_cast<double>(std::max<int64_t>(0, evaluate(dim, sizes)));
  }
  return count;
}

double bytes_at(const TensorType &type, const SymbolSizes &sizes) {
  return elements_at(type, sizes) * static_cast<double>(size_of(type.dtype));
}

double flops_of_plan(const Plan &plan, const SymbolSizes &sizes) {
  const SymbolSizes all = with_variables(plan, sizes);
  double flops = 0;
  for (size_t i = 0; i < plan.calls.size(); ++i) {
    flops += static_cast<double>(evaluate(plan.calls[i].flops, all)) *
             static_cast<double>(times_called(plan, i, sizes));
  }
  return flops;
}

Work work_of_run(const Plan &plan, const SymbolSizes &sizes) {
  Work work{flops_of_plan(plan, sizes), static_cast<double>(arena_bytes(plan, sizes))};
  for (const PlanTensor &input : plan.inputs) {
    work.bytes += bytes_at(input.type, sizes);
  }
  return work;
}

// Values live until their last reader; an operation has its operands and result as doubles too.
Work work_of_reference(const LoweredModel &model, const SymbolSizes &given) {
  const SymbolSizes sizes = with_variables(model.plan, given);
  const Graph &graph = *model.source;
  Work work;
  double live = 0;
  std::map<const Value *, size_t> readers_left;
  for (const Value *input : graph.inputs()) {
    live += bytes_at(input->type, sizes);
  }
  for (const std::unique_ptr<Node> &node : graph.nodes()) {
    double doubles = 0;
    for (const Value *input : node->inputs) {
      doubles += 8 * elements_at(input->type, sizes);
    }
    for (const std::unique_ptr<Value> &output : node->outputs) {
      const double elements = elements_at(output->type, sizes);
      doubles += 8 * elements;
      live += node->op == Op::Constant ? 0 : bytes_at(output->type, sizes);
      readers_left[output.get()] = output->users.size();
      work.flops += elements;
    }
    work.bytes = std::max(work.bytes, live + doubles);
    for (const Value *input : node->inputs) {
      const auto left = readers_left.find(input);
      if (left != readers_left.end() && --left->second == 0 && !graph.is_output(input) &&
          input->producer->op != Op::Constant) {
        live -= bytes_at(input->type, sizes);
      }
    }
  }
  work.flops += flops_of_plan(model.plan, sizes);
  return work;
}

std::string amount(double number, const char *unit) {
  char text[64];
  std::snprintf(text, sizeof text, number < 1e15 ? "%.1f G%s" : "%.1e G%s", number / 1e9, unit);
  return std::isinf(number) ? std::string("more than 2^63 ") + unit : text;
}

// What is beyond the limits; nothing where all is within.
std::string excess(const Work &work, double most_flops, const char *what,
                   const SymbolSizes &sizes) {
  if (work.flops <= most_flops && work.bytes <= kMaxBytes) {
    return "";
  }
  return what + (sizes.empty() ? "" : " at the sizes " + to_string(sizes)) + " would take " +
         amount(work.bytes, "B") + " of memory and " + amount(work.flops, "FLOP") +
         "; the limits are " + amount(kMaxBytes, "B") + " and " + amount(most_flops, "FLOP");
}

void check(const Work &work, double most_flops, const char *what, const SymbolSizes &sizes) {
  const std::string beyond = excess(work, most_flops, what, sizes);
  if (!beyond.empty()) {
    throw_model_error(beyond, ": take smaller sizes, or --no-limit");
  }
}

}  // namespace

void add_limit_flag(CLI::App &command, bool &no_limit) {
  command.add_flag("--no-limit", no_limit, "also sizes that take very long or much memory");
}

void check_run_limit(const Plan &plan, const SymbolSizes &sizes) {
  check(counted([&] { return work_of_run(plan, sizes); }), kMaxRunFlops, "a run", sizes);
}

void check_reference_limit(const LoweredModel &model, const SymbolSizes &sizes) {
  check(counted([&] { return work_of_reference(model, sizes); }), kMaxReferenceFlops,
        "the reference evaluator", sizes);
}

std::string reference_excess(const LoweredModel &model, const SymbolSizes &sizes, int evaluations) {
  Work work = counted([&] { return work_of_reference(model, sizes); });
  work.flops *= evaluations;
  return excess(work, kMaxReferenceFlops, "the reference evaluator", sizes);
}

}  // namespace sylvite
