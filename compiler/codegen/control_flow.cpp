// Loops and branches in a plan: sizes that vary from iteration to iteration, and how long buffers
// live across them.
//
// All sizes that occur are monotonous in a loop's iteration, so that the first and the last one
// bound them. What prepare checks it checks there, once a run and before anything is computed.
#include <algorithm>
#include <cstddef>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "compiler/codegen/plan_parts.h"
#include "compiler/ir/control.h"
#include "compiler/ir/error.h"

namespace sylvite {
namespace {

// Calls, as positions of buffers' lifetimes.
struct Span {
  int first = std::numeric_limits<int>::max(), last = -1;
  void touch(int call) {
    first = std::min(first, call);
    last = std::max(last, call);
  }
};

class Lifetimes {
 public:
  explicit Lifetimes(Plan &plan) : plan_(plan), spans_(plan.intermediates.size()) {}

  void run() {
    for (size_t call = 0; call < plan_.calls.size(); ++call) {
      for (const std::vector<int> *buffers :
           {&plan_.calls[call].inputs, &plan_.calls[call].outputs}) {
        for (const int buffer : *buffers) {
          touch(buffer, static_cast<int>(call));
        }
      }
    }
    for (const PlanEvent &event : plan_.events) {
      if (event.kind == PlanEvent::Kind::Copy) {
        touch_between(event.to, event.before);
        touch_between(event.from, event.before);
      } else if (event.condition >= 0) {
        touch_between(event.condition, event.before);
      }
    }
    extend_over_loops();
    for (const PlanCopy &copy : plan_.copies) {
      touch_between(copy.from, static_cast<int>(plan_.calls.size()));
    }
    for (size_t i = 0; i < spans_.size(); ++i) {
      if (spans_[i].last >= 0) {
        plan_.intermediates[i].first = spans_[i].first;
        plan_.intermediates[i].last = spans_[i].last;
      }
    }
  }

 private:
  Span *span(int buffer) {
    const int i = buffer - plan_.first_intermediate();
    return i >= 0 && buffer < plan_.first_weight() ? &spans_[static_cast<size_t>(i)] : nullptr;
  }

  void touch(int buffer, int call) {
    if (Span *found = span(buffer)) {
      found->touch(call);
    }
  }

  // Between two calls: as long as both.
  void touch_between(int buffer, int before) {
    const int last = std::max(0, static_cast<int>(plan_.calls.size()) - 1);
    touch(buffer, std::clamp(before - 1, 0, last));
    touch(buffer, std::clamp(before, 0, last));
  }

  // What an iteration leaves to the next, or the loop to what follows it, lives through all of it.
  // Inner loops end first.
  void extend_over_loops() {
    std::vector<const PlanEvent *> open;
    for (const PlanEvent &event : plan_.events) {
      if (event.kind == PlanEvent::Kind::LoopBegin) {
        open.push_back(&event);
      } else if (event.kind == PlanEvent::Kind::LoopEnd) {
        extend_over(open.back()->before, event.before);
        open.pop_back();
      }
    }
  }

  void extend_over(int begin, int end) {
    for (Span &found : spans_) {
      const bool inside = found.last >= begin && found.first < end;
      if (inside && (found.first < begin || found.last >= end)) {
        found.touch(begin);
        found.touch(std::max(begin, end - 1));
      }
    }
    // Carried values and what is collected: written at the end, by copies.
    for (const PlanEvent &event : plan_.events) {
      if (event.kind == PlanEvent::Kind::Copy && event.before >= begin && event.before <= end) {
        if (Span *found = span(event.to)) {
          found->touch(begin);
          found->touch(std::max(begin, end - 1));
        }
      }
    }
  }

  Plan &plan_;
  std::vector<Span> spans_;
};

}  // namespace

std::vector<Dim> extremes(const Dim &dim, const Plan &plan) {
  std::vector<Dim> result = {dim};
  // Inner variables first: their bounds may hold outer ones.
  for (auto variable = plan.variables.rbegin(); variable != plan.variables.rend(); ++variable) {
    std::vector<Dim> next;
    for (const Dim &each : result) {
      if (!mentions(each, variable->symbol)) {
        next.push_back(each);
        continue;
      }
      for (const Dim *value : {&variable->first, &variable->last}) {
        next.push_back(simplify(substitute(each, {{variable->symbol, *value}}), plan.symbols));
      }
    }
    result = std::move(next);
  }
  return result;
}

Dim largest(const Dim &dim, const Plan &plan, const std::string &place) {
  Dim result = dim;
  for (auto variable = plan.variables.rbegin(); variable != plan.variables.rend(); ++variable) {
    const std::optional<Dim> most =
        largest_over(result, variable->symbol, variable->first, variable->last, plan.symbols);
    if (!most) {
      throw_model_error("'", place, "' has the size ", dim.str(),
                        ", which varies between iterations in a way that is not supported");
    }
    result = *most;
  }
  return result;
}

void settle_guards(Plan &plan) {
  std::vector<Guard> settled;
  for (const Guard &guard : plan.guards) {
    for (const PlanVariable &variable : plan.variables) {
      if (!direction(guard.left, variable.symbol, plan.symbols) ||
          !direction(guard.right, variable.symbol, plan.symbols)) {
        throw_model_error(guard.reason, ": ", guard.left.str(), " and ", guard.right.str(),
                          " vary between iterations in a way that is not supported");
      }
    }
    // A pair, so that both sides are taken at the same iteration.
    std::vector<std::pair<Dim, Dim>> sides = {{guard.left, guard.right}};
    for (auto variable = plan.variables.rbegin(); variable != plan.variables.rend(); ++variable) {
      std::vector<std::pair<Dim, Dim>> next;
      for (const auto &[left, right] : sides) {
        if (!mentions(left, variable->symbol) && !mentions(right, variable->symbol)) {
          next.emplace_back(left, right);
          continue;
        }
        for (const Dim *value : {&variable->first, &variable->last}) {
          next.emplace_back(substitute(left, {{variable->symbol, *value}}),
                            substitute(right, {{variable->symbol, *value}}));
        }
      }
      sides = std::move(next);
    }
    for (const auto &[left, right] : sides) {
      const bool known = std::any_of(settled.begin(), settled.end(), [&](const Guard &other) {
        return other.left == left && other.right == right;
      });
      if (!known && left != right) {
        settled.push_back({left, right, guard.reason});
      }
    }
  }
  plan.guards = std::move(settled);
}

std::map<std::string, int64_t> with_variables(const Plan &plan,
                                              const std::map<std::string, int64_t> &symbols) {
  std::map<std::string, int64_t> all = symbols;
  for (const PlanVariable &variable : plan.variables) {
    all[variable.symbol] = evaluate(variable.last, all);
  }
  return all;
}

int64_t times_called(const Plan &plan, size_t call, const std::map<std::string, int64_t> &symbols) {
  if (plan.events.empty()) {
    return 1;
  }
  const std::map<std::string, int64_t> all = with_variables(plan, symbols);
  std::vector<int64_t> times = {1};
  for (const PlanEvent &event : plan.events) {
    if (event.before > static_cast<int>(call)) {
      break;
    }
    if (event.kind == PlanEvent::Kind::LoopBegin) {
      int64_t product = 0;
      const bool too_many =
          __builtin_mul_overflow(times.back(), evaluate(event.trip, all), &product);
      times.push_back(too_many ? std::numeric_limits<int64_t>::max() : product);
    } else if (event.kind == PlanEvent::Kind::LoopEnd) {
      times.pop_back();
    }
  }
  return times.back();
}

void set_lifetimes(Plan &plan) {
  Lifetimes(plan).run();
}

}  // namespace sylvite
