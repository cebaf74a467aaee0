// Pattern matching by a list of goals with backtracking: "this value must match that pattern, and
// then the rest of the list". A commutative op tries both orders of its operands, each with
// everything that follows, so `same` works wherever in the pattern it stands. Depth and work follow
// the pattern, never the graph.
#include "compiler/ir/match.h"

#include <algorithm>
#include <cmath>

namespace sylvite {

struct Pattern::Data {
  enum class Kind : uint8_t { Any, Same, Constant, Scalar, Number, Op };
  Kind kind = Kind::Any;
  Op op = Op::Constant;
  std::vector<Pattern> operands;
  Value **captured = nullptr;  // Same
  double *scalar = nullptr;    // Scalar
  double expected = 0;         // Number
  double tolerance = 0;
  bool one_use = false;
  std::vector<Value **> captures;
  std::vector<std::function<bool(const Value &)>> tests;
};

namespace {

using Data = Pattern::Data;

Pattern make(Data data) {
  Pattern pattern;
  pattern.data = std::make_shared<const Data>(std::move(data));
  return pattern;
}

struct Goal {
  Value *value;
  const Data *pattern;
  const Goal *next;
};

class Matcher {
 public:
  bool run(Value *value, const Pattern &pattern) {
    const Goal goal{value, pattern.data.get(), nullptr};
    if (!solve(&goal)) {
      return false;
    }
    for (const auto &[capture, captured] : values_) {
      *capture = captured;
    }
    for (const auto &[capture, number] : numbers_) {
      *capture = number;
    }
    return true;
  }

 private:
  // All goals of the list; leaves the trails as they were when it fails.
  bool solve(const Goal *goal) {
    if (goal == nullptr) {
      return true;
    }
    const size_t values = values_.size();
    const size_t numbers = numbers_.size();
    if (fits(*goal->value, *goal->pattern)) {
      for (Value **capture : goal->pattern->captures) {
        values_.emplace_back(capture, goal->value);
      }
      if (goal->pattern->kind == Data::Kind::Op ? solve_operands(*goal) : solve(goal->next)) {
        return true;
      }
    }
    values_.resize(values);
    numbers_.resize(numbers);
    return false;
  }

  bool solve_operands(const Goal &goal) {
    const std::vector<Pattern> &operands = goal.pattern->operands;
    const std::vector<Value *> &inputs = goal.value->producer->inputs;
    const auto in_order = [&](bool swapped) {
      std::vector<Goal> goals(operands.size());
      for (size_t i = operands.size(); i-- > 0;) {
        goals[i] = {inputs[swapped ? 1 - i : i], operands[i].data.get(),
                    i + 1 < goals.size() ? &goals[i + 1] : goal.next};
      }
      return solve(goals.empty() ? goal.next : goals.data());
    };
    return in_order(false) ||
           (operands.size() == 2 && is_commutative(goal.pattern->op) && in_order(true));
  }

  // Everything but the operands and what follows.
  bool fits(Value &value, const Data &pattern) {
    if (pattern.one_use && (value.users.size() != 1 ||
                            (graph_of(value) != nullptr && graph_of(value)->is_output(&value)))) {
      return false;
    }
    switch (pattern.kind) {
      case Data::Kind::Any:
        break;
      case Data::Kind::Same:
        if (captured(pattern.captured) != &value) {
          return false;
        }
        break;
      case Data::Kind::Constant:
        if (constant_of(&value) == nullptr) {
          return false;
        }
        break;
      case Data::Kind::Scalar: {
        const std::optional<double> number = scalar_constant(&value);
        if (!number) {
          return false;
        }
        numbers_.emplace_back(pattern.scalar, *number);
        break;
      }
      case Data::Kind::Number: {
        const std::optional<double> number = scalar_constant(&value);
        if (!number || !close(*number, pattern)) {
          return false;
        }
        break;
      }
      case Data::Kind::Op:
        if (value.producer == nullptr || value.producer->op != pattern.op ||
            value.producer->inputs.size() != pattern.operands.size()) {
          return false;
        }
        break;
    }
    return std::all_of(pattern.tests.begin(), pattern.tests.end(),
                       [&](const auto &test) { return test(value); });
  }

  static bool close(double number, const Data &pattern) {
    if (std::isnan(pattern.expected)) {
      return std::isnan(number);
    }
    return number == pattern.expected ||
           (std::isfinite(pattern.expected) &&
            std::abs(number - pattern.expected) <= pattern.tolerance * std::abs(pattern.expected));
  }

  static const Graph *graph_of(const Value &value) {
    if (value.producer != nullptr) {
      return value.producer->graph;
    }
    return value.users.empty() ? nullptr : value.users[0]->graph;
  }

  // The value captured last by this name, in this match or before it.
  Value *captured(Value **capture) const {
    const auto found = std::find_if(values_.rbegin(), values_.rend(),
                                    [&](const auto &entry) { return entry.first == capture; });
    return found != values_.rend() ? found->second : *capture;
  }

  std::vector<std::pair<Value **, Value *>> values_;
  std::vector<std::pair<double *, double>> numbers_;
};

}  // namespace

bool is_commutative(Op op) {
  switch (op) {
    case Op::Add:
    case Op::Mul:
    case Op::Min:
    case Op::Max:
    case Op::And:
    case Op::Or:
    case Op::Xor:
    case Op::Equal:
      return true;
    default:
      return false;
  }
}

Pattern Pattern::one_use() const {
  Data changed = *data;
  changed.one_use = true;
  return make(std::move(changed));
}

Pattern Pattern::where(std::function<bool(const Value &)> test) const {
  Data changed = *data;
  changed.tests.push_back(std::move(test));
  return make(std::move(changed));
}

Pattern Pattern::into(Value **capture) const {
  Data changed = *data;
  changed.captures.push_back(capture);
  return make(std::move(changed));
}

Pattern any(Value **capture) {
  Data data;
  if (capture != nullptr) {
    data.captures.push_back(capture);
  }
  return make(std::move(data));
}

Pattern same(Value **captured) {
  Data data;
  data.kind = Data::Kind::Same;
  data.captured = captured;
  return make(std::move(data));
}

Pattern constant(Value **capture) {
  Data data;
  data.kind = Data::Kind::Constant;
  if (capture != nullptr) {
    data.captures.push_back(capture);
  }
  return make(std::move(data));
}

Pattern scalar(double *capture) {
  Data data;
  data.kind = Data::Kind::Scalar;
  data.scalar = capture;
  return make(std::move(data));
}

Pattern number(double expected, double tolerance) {
  Data data;
  data.kind = Data::Kind::Number;
  data.expected = expected;
  data.tolerance = tolerance;
  return make(std::move(data));
}

Pattern op_of(Op kind, std::vector<Pattern> operands) {
  Data data;
  data.kind = Data::Kind::Op;
  data.op = kind;
  data.operands = std::move(operands);
  return make(std::move(data));
}

bool match(Value *value, const Pattern &pattern) {
  return Matcher().run(value, pattern);
}

std::optional<double> scalar_constant(const Value *value) {
  const Tensor *tensor = constant_of(value);
  if (tensor == nullptr || tensor->count() == 0) {
    return std::nullopt;
  }
  const double first = tensor->at(0);
  for (int64_t i = 1; i < tensor->count(); ++i) {
    const double element = tensor->at(i);
    if (element != first && !(std::isnan(element) && std::isnan(first))) {
      return std::nullopt;
    }
  }
  return first;
}

}  // namespace sylvite
