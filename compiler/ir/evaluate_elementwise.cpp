// Elementwise ops of the reference evaluator: one formula an op, in double for floats and in 64
// bits for integers, rounded to the result's type by Tensor::set.
#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "compiler/ir/error.h"
#include "compiler/ir/evaluate_parts.h"

namespace sylvite {
namespace {

double round_half_even(double x) {
  return std::nearbyint(x);
}

double float_of(const Node &node, double a, double b) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  switch (node.op) {
    case Op::Neg:
      return -a;
    case Op::Abs:
      return std::fabs(a);
    case Op::Sign:
      return std::isnan(a) ? nan : static_cast<double>((a > 0) - (a < 0));
    case Op::Floor:
      return std::floor(a);
    case Op::Ceil:
      return std::ceil(a);
    case Op::Round:
      return round_half_even(a);
    case Op::Sqrt:
      return std::sqrt(a);
    case Op::Exp:
      return std::exp(a);
    case Op::Log:
      return std::log(a);
    case Op::Erf:
      return std::erf(a);
    case Op::Tanh:
      return std::tanh(a);
    case Op::Sin:
      return std::sin(a);
    case Op::Cos:
      return std::cos(a);
    case Op::Add:
      return a + b;
    case Op::Sub:
      return a - b;
    case Op::Mul:
      return a * b;
    case Op::Div:
      return a / b;
    case Op::Mod: {
      const double remainder = std::fmod(a, b);
      if (node.attributes.integer_or("fmod", 0) != 0 || remainder == 0 ||
          (remainder < 0) == (b < 0)) {
        return remainder;
      }
      return remainder + b;
    }
    case Op::Pow:
      return std::pow(a, b);
    case Op::Min:
      return std::isnan(a) || std::isnan(b) ? nan : std::min(a, b);
    case Op::Max:
      return std::isnan(a) || std::isnan(b) ? nan : std::max(a, b);
    default:
      break;
  }
  SYLVITE_CHECK(false, describe(node));
}

int64_t wrap_add(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
}

uint64_t whole_power(uint64_t factor, uint64_t exponent) {
  uint64_t result = 1;
  for (; exponent > 0; exponent >>= 1, factor *= factor) {
    result *= (exponent & 1) != 0 ? factor : 1;
  }
  return result;
}

int64_t integer_power(int64_t base, int64_t exponent) {
  if (exponent < 0) {
    return base == 1 ? 1 : base == -1 ? (exponent % 2 == 0 ? 1 : -1) : 0;
  }
  return static_cast<int64_t>(
      whole_power(static_cast<uint64_t>(base), static_cast<uint64_t>(exponent)));
}

// Where 64 bits without sign differ from 64 with one; the rest wraps around in the same way.
std::optional<uint64_t> unsigned_of(const Node &node, uint64_t a, uint64_t b) {
  switch (node.op) {
    case Op::Abs:
      return a;
    case Op::Sign:
      return a != 0 ? 1 : 0;
    case Op::Div:
      return b == 0 ? 0 : a / b;
    case Op::Mod:
      return b == 0 ? 0 : a % b;
    case Op::Pow:
      return whole_power(a, b);
    case Op::Min:
      return std::min(a, b);
    case Op::Max:
      return std::max(a, b);
    default:
      return std::nullopt;
  }
}

// Integers and booleans. Division by zero gives zero: the standard leaves it open, and nothing may
// trap.
int64_t integer_of(const Node &node, DType dtype, int64_t a, int64_t b) {
  if (dtype == DType::U64) {
    if (const std::optional<uint64_t> result =
            unsigned_of(node, static_cast<uint64_t>(a), static_cast<uint64_t>(b))) {
      return static_cast<int64_t>(*result);
    }
  }
  switch (node.op) {
    case Op::Neg:
      return wrap_add(~a, 1);
    case Op::Abs:
      return a < 0 ? wrap_add(~a, 1) : a;
    case Op::Sign:
      return (a > 0) - (a < 0);
    case Op::Floor:
    case Op::Ceil:
    case Op::Round:
      return a;
    case Op::Add:
      return wrap_add(a, b);
    case Op::Sub:
      return static_cast<int64_t>(static_cast<uint64_t>(a) - static_cast<uint64_t>(b));
    case Op::Mul:
      return static_cast<int64_t>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
    case Op::Div:
      return b == 0 ? 0 : b == -1 ? wrap_add(~a, 1) : a / b;
    case Op::Mod: {
      const int64_t remainder = b == 0 || b == -1 ? 0 : a % b;
      if (node.attributes.integer_or("fmod", 0) != 0 || remainder == 0 ||
          (remainder < 0) == (b < 0)) {
        return remainder;
      }
      return remainder + b;
    }
    case Op::Pow:
      return integer_power(a, b);
    case Op::Min:
      return std::min(a, b);
    case Op::Max:
      return std::max(a, b);
    case Op::And:
      return a & b;
    case Op::Or:
      return a | b;
    case Op::Xor:
      return a ^ b;
    case Op::Not:
      return a == 0;
    default:
      break;
  }
  SYLVITE_CHECK(false, describe(node));
}

template <typename T>
bool compare(Op op, T a, T b) {
  return op == Op::Equal ? a == b : op == Op::Less ? a < b : a <= b;
}

bool compare_integers(Op op, DType dtype, int64_t a, int64_t b) {
  return dtype == DType::U64 ? compare(op, static_cast<uint64_t>(a), static_cast<uint64_t>(b))
                             : compare(op, a, b);
}

bool is_infinity(const Node &node, double a) {
  return std::isinf(a) && (a > 0 ? node.attributes.integer_or("positive", 1) != 0
                                 : node.attributes.integer_or("negative", 1) != 0);
}

}  // namespace

Tensor evaluate_elementwise(const Node &node, const std::vector<Tensor> &inputs,
                            const SymbolValues &symbols) {
  if (node.op == Op::Cast) {
    return inputs[0].converted(node.attributes.dtype("to"));
  }
  Tensor result(node.output()->type.dtype, evaluate_shape(node.output()->type.shape, symbols));
  const DType operand_type = inputs.back().dtype();
  // The operands of pow may be of two types.
  const bool floats = is_float(operand_type) || (node.op == Op::Pow && is_float(inputs[0].dtype()));
  Index index(result.shape().size(), 0);
  for (int64_t i = 0; i < result.count(); ++i, advance(index, result.shape())) {
    int64_t at[3] = {};
    for (size_t k = 0; k < inputs.size(); ++k) {
      at[k] = inputs[k].count() == result.count() ? i : broadcast_offset(index, inputs[k].shape());
    }
    const Tensor &a = inputs[0];
    switch (node.op) {
      case Op::Where: {
        const Tensor &chosen = a.at_int(at[0]) != 0 ? inputs[1] : inputs[2];
        const int64_t from = a.at_int(at[0]) != 0 ? at[1] : at[2];
        floats ? result.set(i, chosen.at(from)) : result.set_int(i, chosen.at_int(from));
        break;
      }
      case Op::IsNaN:
        result.set_int(i, std::isnan(a.at(at[0])));
        break;
      case Op::IsInf:
        result.set_int(i, is_infinity(node, a.at(at[0])));
        break;
      case Op::Equal:
      case Op::Less:
      case Op::LessEqual:
        result.set_int(i, floats ? compare(node.op, a.at(at[0]), inputs[1].at(at[1]))
                                 : compare_integers(node.op, operand_type, a.at_int(at[0]),
                                                    inputs[1].at_int(at[1])));
        break;
      default: {
        const bool binary = inputs.size() == 2;
        if (floats) {
          result.set(i, float_of(node, a.at(at[0]), binary ? inputs[1].at(at[1]) : 0));
        } else {
          result.set_int(i, integer_of(node, operand_type, a.at_int(at[0]),
                                       binary ? inputs[1].at_int(at[1]) : 0));
        }
      }
    }
  }
  return result;
}

}  // namespace sylvite
