// How much memory a plan's outputs and intermediates need: at given sizes, and as a formula.
//
// The runtime places buffers when it first sees a set of sizes; reports give the same buffers in
// the same order to the same function, so that what they say is what a program takes.
#include <algorithm>
#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "compiler/codegen/plan.h"
#include "compiler/codegen/plan_parts.h"
#include "compiler/ir/error.h"
#include "runtime/arena.h"

namespace sylvite {

int64_t arena_bytes(const Plan &plan, const std::map<std::string, int64_t> &symbols) {
  std::vector<ArenaBuffer> buffers;
  buffers.reserve(plan.outputs.size() + plan.intermediates.size());
  for (const PlanTensor &output : plan.outputs) {  // they live through the whole run
    buffers.push_back({evaluate(largest(byte_count(output.type), plan, output.name), symbols), 0,
                       std::numeric_limits<int32_t>::max()});
  }
  for (const PlanBuffer &buffer : plan.intermediates) {
    buffers.push_back({evaluate(byte_count(buffer.type), symbols), buffer.first, buffer.last});
  }
  std::vector<int64_t> offsets(buffers.size());
  std::vector<int32_t> order(buffers.size());
  const int64_t bytes = place_buffers(buffers, offsets, order);
  if (bytes < 0) {
    throw_model_error("the results are too large at these sizes");
  }
  return bytes;
}

Dim arena_formula(const Plan &plan) {
  Dim outputs;
  for (const PlanTensor &output : plan.outputs) {
    outputs += largest(byte_count(output.type), plan, output.name);
  }
  std::vector<Dim> candidates;  // none of them proved below another one
  for (size_t call = 0; call < plan.calls.size(); ++call) {
    Dim live;
    for (const PlanBuffer &buffer : plan.intermediates) {
      if (buffer.first <= static_cast<int>(call) && static_cast<int>(call) <= buffer.last) {
        live += byte_count(buffer.type);
      }
    }
    const auto covered_by = [&](const Dim &other) { return prove_le(live, other, plan.symbols); };
    if (std::any_of(candidates.begin(), candidates.end(), covered_by)) {
      continue;
    }
    std::erase_if(candidates,
                  [&](const Dim &other) { return prove_le(other, live, plan.symbols); });
    candidates.push_back(live);
  }
  Dim formula;  // of the intermediates
  for (const Dim &candidate : candidates) {
    formula = candidates.size() == 1 ? candidate : max(formula, candidate);
  }
  return outputs + formula;
}

}  // namespace sylvite
