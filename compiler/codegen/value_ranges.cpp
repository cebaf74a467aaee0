// Interval analysis of small integers: positions that models make with Range, shapes and constants.
//
// A bound is a set of candidates instead of one min or max term, because each candidate is then
// compared on its own, and sums of sets stay sums. Sets are kept small; a larger one counts as
// unknown.
#include "compiler/codegen/value_ranges.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace sylvite {
namespace {

using Range = std::optional<ValueRange>;
constexpr size_t kMaxCandidates = 16;

void add_candidate(std::vector<Dim> &candidates, const Dim &dim) {
  if (std::find(candidates.begin(), candidates.end(), dim) == candidates.end()) {
    candidates.push_back(dim);
  }
}

Range limited(ValueRange range) {
  if (range.low.size() > kMaxCandidates || range.high.size() > kMaxCandidates) {
    return std::nullopt;
  }
  return range;
}

Range between(const Dim &low, const Dim &high) {
  return ValueRange{{low}, {high}};
}

Range unite(Range a, const Range &b) {
  if (!a || !b) {
    return std::nullopt;
  }
  for (const Dim &dim : b->low) {
    add_candidate(a->low, dim);
  }
  for (const Dim &dim : b->high) {
    add_candidate(a->high, dim);
  }
  return limited(std::move(*a));
}

// All values of f(x, y) where f is monotone in x and in y: the candidates' images.
template <typename Function>
std::vector<Dim> images(const std::vector<Dim> &xs, const std::vector<Dim> &ys, Function f) {
  std::vector<Dim> result;
  for (const Dim &x : xs) {
    for (const Dim &y : ys) {
      add_candidate(result, f(x, y));
    }
  }
  return result;
}

Range of_constant(const Tensor &tensor) {
  constexpr int64_t kMost = int64_t{1} << 22;  // position tables are far smaller
  if (is_float(tensor.dtype()) || tensor.count() > kMost) {
    return std::nullopt;
  }
  int64_t low = 0, high = 0;
  for (int64_t i = 0; i < tensor.count(); ++i) {
    const int64_t element = tensor.at_int(i);
    low = i == 0 ? element : std::min(low, element);
    high = i == 0 ? element : std::max(high, element);
  }
  return between(low, high);
}

Range of_dims(const std::vector<Dim> &dims) {
  if (dims.empty()) {
    return std::nullopt;
  }
  ValueRange range;
  for (const Dim &dim : dims) {
    add_candidate(range.low, dim);
    add_candidate(range.high, dim);
  }
  return limited(std::move(range));
}

Range of_iota(const Node &node) {
  const Dim &start = node.attributes.dims("start").at(0);
  const Dim &step = node.attributes.dims("step").at(0);
  const Dim &count = node.attributes.dims("count").at(0);
  const Dim last = start + step * (count - Dim(1));
  const std::optional<int64_t> direction = step.constant();
  if (!direction) {
    return of_dims({start, last});
  }
  return *direction >= 0 ? between(start, last) : between(last, start);
}

// The numbers that fit a type; nothing for 64 bits, which no size reaches.
Range of_type(DType dtype) {
  switch (dtype) {
    case DType::Bool:
      return between(0, 1);
    case DType::I8:
      return between(-128, 127);
    case DType::U8:
      return between(0, 255);
    case DType::I16:
      return between(-32768, 32767);
    case DType::U16:
      return between(0, 65535);
    case DType::I32:
      return between(std::numeric_limits<int32_t>::min(), std::numeric_limits<int32_t>::max());
    case DType::U32:
      return between(0, int64_t{std::numeric_limits<uint32_t>::max()});
    default:
      return std::nullopt;
  }
}

// A cast of integers keeps the value where it fits. Sizes fit 32 bits (the plan checks that);
// narrower and unsigned types must be proved to hold it.
Range of_cast(const Range &from, DType to) {
  if (!from || is_float(to)) {
    return std::nullopt;
  }
  if (to == DType::I64 || to == DType::I32) {
    return from;
  }
  const Range type = of_type(to);
  if (!type) {
    return std::nullopt;
  }
  const auto fits = [&](const Dim &dim) {
    const std::optional<int64_t> number = dim.constant();
    return number && *number >= *type->low[0].constant() && *number <= *type->high[0].constant();
  };
  const bool all = std::all_of(from->low.begin(), from->low.end(), fits) &&
                   std::all_of(from->high.begin(), from->high.end(), fits);
  return all ? from : type;
}

class RangeFinder {
 public:
  explicit RangeFinder(const std::vector<const Node *> &kernels) : kernels_(kernels) {}

  Range of(const Value &value, int depth = 0) {
    constexpr int kMaxDepth = 32;  // positions come from short chains
    if (depth > kMaxDepth) {
      return std::nullopt;
    }
    if (value.host) {
      return of_dims(*value.host);
    }
    const Range range = value.producer == nullptr ? of_input(value, depth) : of_node(value, depth);
    // Data of a narrow type is still bounded by it.
    return range || is_float(value.type.dtype) || size_of(value.type.dtype) >= 4
               ? range
               : of_type(value.type.dtype);
  }

 private:
  // A region's input is what its kernel reads; a model's input is data.
  Range of_input(const Value &value, int depth) {
    if (kernels_.empty()) {
      return std::nullopt;
    }
    const Node *kernel = kernels_.back();
    kernels_.pop_back();
    const Range range = of(*kernel->input(static_cast<size_t>(value.index)), depth + 1);
    kernels_.push_back(kernel);
    return range;
  }

  Range of_node(const Value &value, int depth) {
    const Node &node = *value.producer;
    const auto operand = [&](size_t i) { return of(*node.input(i), depth + 1); };
    switch (node.op) {
      case Op::Constant:
        return of_constant(*node.attributes.tensor("value"));
      case Op::Iota:
        return of_iota(node);
      case Op::DimValues:
        return of_dims(node.attributes.dims("values"));
      case Op::Kernel: {
        kernels_.push_back(&node);
        const Range range =
            of(*node.regions[0]->output(static_cast<size_t>(value.index)), depth + 1);
        kernels_.pop_back();
        return range;
      }
      case Op::Reshape:
      case Op::Transpose:
      case Op::Expand:
      case Op::Slice:
      case Op::Gather:
      case Op::GatherElements:
      case Op::GatherND:
        return operand(0);
      case Op::Pad:
        return node.inputs.size() == 2 ? unite(operand(0), operand(1))
               : node.attributes.text_or("mode", "constant") == "constant"
                   ? unite(operand(0), between(0, 0))
                   : operand(0);
      case Op::Concat: {
        Range range = operand(0);
        for (size_t i = 1; i < node.inputs.size(); ++i) {
          range = unite(std::move(range), operand(i));
        }
        return range;
      }
      case Op::Cast:
        return of_cast(operand(0), node.attributes.dtype("to"));
      case Op::Where:
        return unite(operand(1), operand(2));
      case Op::ArgReduce: {
        const Shape &shape = node.input(0)->type.shape;
        const int64_t axis = node.attributes.integer("axis");
        return between(
            0, shape.at(static_cast<size_t>(axis < 0 ? axis + node.input(0)->type.rank() : axis)) -
                   Dim(1));
      }
      case Op::Add:
      case Op::Sub:
        return of_sum(node.op, operand(0), operand(1));
      case Op::Mod:
        return of_remainder(operand(1), node);
      default:
        return std::nullopt;
    }
  }

  static Range of_sum(Op op, const Range &a, const Range &b) {
    if (!a || !b) {
      return std::nullopt;
    }
    const auto add = [](const Dim &x, const Dim &y) { return x + y; };
    const auto subtract = [](const Dim &x, const Dim &y) { return x - y; };
    if (op == Op::Add) {
      return limited({images(a->low, b->low, add), images(a->high, b->high, add)});
    }
    return limited({images(a->low, b->high, subtract), images(a->high, b->low, subtract)});
  }

  // With the divisor's sign, by one positive number: whatever the dividend.
  static Range of_remainder(const Range &divisor, const Node &node) {
    if (!divisor || divisor->low.size() != 1 || divisor->low != divisor->high ||
        node.attributes.integer_or("fmod", 0) != 0) {
      return std::nullopt;
    }
    const std::optional<int64_t> number = divisor->low[0].constant();
    return number && *number > 0 ? between(0, *number - 1) : Range();
  }

  std::vector<const Node *> kernels_;
};

}  // namespace

std::optional<ValueRange> range_of(const Value &value, const std::vector<const Node *> &kernels) {
  try {
    return RangeFinder(kernels).of(value);
  } catch (const DimOverflow &) {
    return std::nullopt;
  }
}

bool proved_in_range(const ValueRange &range, const Dim &bound, const SymbolTable &symbols) {
  try {
    const auto not_below = [&](const Dim &dim) { return prove_le(-bound, dim, symbols); };
    const auto below = [&](const Dim &dim) { return prove_le(dim + Dim(1), bound, symbols); };
    return std::all_of(range.low.begin(), range.low.end(), not_below) &&
           std::all_of(range.high.begin(), range.high.end(), below);
  } catch (const DimOverflow &) {
    return false;
  }
}

}  // namespace sylvite
