// Reads the symbols off the inputs' sizes.
//
// An input's size is a symbol, a number, or an expression such as `past + 1` or `2*n`. A size that
// holds exactly one symbol not yet known, with a constant coefficient, gives that symbol; this is
// repeated until nothing changes. Plain symbols go first, so that the axis named in messages is the
// obvious one. All other sizes are compared at run time with what the symbols say. The elements of
// inputs whose contents are used as sizes are treated alike, after the sizes.
#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "compiler/codegen/plan_parts.h"
#include "compiler/ir/error.h"

namespace sylvite {
namespace {

struct Axis {
  int input = 0, axis = 0;
  const Dim *size = nullptr;
  bool contents = false;
};

// size == coefficient * symbol + offset, where symbol is the only one not in `known`.
std::optional<PlanBinding> solve(const Axis &axis, const std::set<std::string> &known) {
  std::vector<std::string> unknown;
  for (const std::string &symbol : symbols_of(*axis.size)) {
    if (known.count(symbol) == 0) {
      unknown.push_back(symbol);
    }
  }
  if (unknown.size() != 1) {
    return std::nullopt;
  }
  const std::string &symbol = unknown.front();
  const Dim offset = substitute(*axis.size, {{symbol, Dim(0)}});
  const std::optional<int64_t> coefficient =
      (substitute(*axis.size, {{symbol, Dim(1)}}) - offset).constant();
  if (!coefficient || *coefficient == 0 ||
      *axis.size != Dim(*coefficient) * Dim::symbol(symbol) + offset) {
    return std::nullopt;  // not affine: floor_div(n, 2), n*n
  }
  return PlanBinding{symbol, axis.input, axis.axis, *coefficient, offset, axis.contents};
}

}  // namespace

void add_bindings(Plan &plan) {
  std::vector<Axis> axes;
  for (size_t input = 0; input < plan.inputs.size(); ++input) {
    const Shape &shape = plan.inputs[input].type.shape;
    for (size_t axis = 0; axis < shape.size(); ++axis) {
      axes.push_back({static_cast<int>(input), static_cast<int>(axis), &shape[axis]});
    }
  }
  for (size_t input = 0; input < plan.inputs.size(); ++input) {
    const std::vector<Dim> &contents = plan.inputs[input].contents;
    if (!contents.empty()) {
      plan.contents.push_back(static_cast<int>(input));
    }
    for (size_t i = 0; i < contents.size(); ++i) {
      axes.push_back({static_cast<int>(input), static_cast<int>(i), &contents[i], true});
    }
  }
  std::set<std::string> known;
  std::set<std::tuple<int, int, bool>> used;
  const auto bind = [&](const Axis &axis) {
    std::optional<PlanBinding> binding = solve(axis, known);
    if (binding) {
      known.insert(binding->symbol);
      used.insert({axis.input, axis.axis, axis.contents});
      plan.bindings.push_back(std::move(*binding));
    }
    return binding.has_value();
  };
  for (const Axis &axis : axes) {
    if (axis.size->as_symbol()) {
      bind(axis);
    }
  }
  while (std::any_of(axes.begin(), axes.end(), bind)) {
  }
  for (const Axis &axis : axes) {
    if (used.count({axis.input, axis.axis, axis.contents}) != 0) {
      continue;
    }
    for (const std::string &symbol : symbols_of(*axis.size)) {
      if (known.count(symbol) == 0) {
        throw_model_error("input '", plan.inputs[static_cast<size_t>(axis.input)].name,
                          "' has size ", axis.size->str(), " at axis ", axis.axis, ", and '",
                          symbol, "' cannot be worked out from it or from any other input; give '",
                          symbol, "' an axis of its own when exporting");
      }
    }
    plan.size_checks.push_back({axis.input, axis.axis, *axis.size, axis.contents});
  }
}

}  // namespace sylvite
