#include "compiler/kernels/formula.h"

#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "compiler/ir/error.h"
#include "compiler/kernels/float_conversions.h"
#include "compiler/kernels/float_math.h"

namespace sylvite {
namespace {

using Halide::cast;
using Halide::Expr;
using Halide::select;
using Indices = std::vector<Expr>;

bool is_half(DType dtype) {
  return dtype == DType::F16 || dtype == DType::BF16;
}

// A half type's value in float, rounded to the half type.
Expr round_to(DType dtype, const Expr &value) {
  return is_half(dtype) ? from_storage(dtype, to_storage(dtype, value)) : value;
}

// A constant of the type in which `dtype` is computed.
Expr number(DType dtype, double value, int64_t integer) {
  const Halide::Type type = compute_type(dtype);
  if (type.is_bool()) {
    return Halide::Internal::make_const(type, integer != 0 ? 1 : 0);
  }
  if (type.is_float()) {
    return Halide::Internal::FloatImm::make(type,
                                            type.bits() == 32 ? static_cast<float>(value) : value);
  }
  if (type.is_uint()) {
    return Halide::Internal::UIntImm::make(type, static_cast<uint64_t>(integer));
  }
  return Halide::Internal::IntImm::make(type, integer);
}

std::optional<double> constant_number(const Value *value) {
  const Tensor *tensor = constant_of(value);
  if (tensor == nullptr || tensor->count() != 1) {
    return std::nullopt;
  }
  return tensor->at(0);
}

// Truncates towards zero. Never traps: a division by zero gives zero, and -1 negates.
Expr divide_integers(const Expr &a, const Expr &b) {
  if (a.type().is_uint()) {
    return select(b == 0, cast(a.type(), 0),
                  Halide::div_round_to_zero(a, select(b == 0, cast(b.type(), 1), b)));
  }
  const Expr safe = select(b == 0 || b == -1, cast(b.type(), 1), b);
  const Expr quotient = Halide::div_round_to_zero(a, safe);
  return select(b == 0, cast(a.type(), 0), b == -1, cast(a.type(), 0) - a, quotient);
}

Expr modulo_integers(const Expr &a, const Expr &b, bool sign_of_dividend) {
  const Expr remainder = a - divide_integers(a, b) * b;
  if (a.type().is_uint()) {
    return select(b == 0, cast(a.type(), 0), remainder);
  }
  const Expr fixed = sign_of_dividend ? remainder
                                      : select(remainder != 0 && (remainder < 0) != (b < 0),
                                               remainder + b, remainder);
  return select(b == 0, cast(a.type(), 0), fixed);
}

// Squaring and multiplying: exact for whole numbers, one rounding a product for floats.
Expr whole_power(const Expr &x, int exponent) {
  Expr result, factor = x;
  for (int rest = exponent; rest > 0; rest >>= 1) {
    if ((rest & 1) != 0) {
      result = result.defined() ? exact(result * factor) : factor;
    }
    factor = rest > 1 ? exact(factor * factor) : factor;
  }
  return result;
}

void require_single(const Node &node, const Expr &x) {
  if (x.type().is_float() && x.type().bits() == 64) {
    throw_model_error(describe(node), ": ", name_of(node.op),
                      " of float64 is not supported: export the model in float32");
  }
}

// x^y of whole numbers, y >= 0 or |x| <= 1, modulo 2^bits: a squaring for each bit of y.
Expr integer_power(const Expr &x, const Expr &y) {
  std::vector<std::pair<std::string, Expr>> lets;  // each step reads the one before twice
  const auto named = [&](const Expr &value) {
    lets.emplace_back(Halide::Internal::unique_name("pow"), value);
    return Halide::Internal::Variable::make(value.type(), lets.back().first);
  };
  const Expr one = cast(x.type(), 1), exponent = named(y), base = named(x);
  Expr result = one, factor = base;
  const int bits = y.type().bits() - (y.type().is_int() ? 1 : 0);
  for (int bit = 0; bit < bits; ++bit) {
    const Expr set = ((exponent >> cast(y.type(), bit)) & cast(y.type(), 1)) != cast(y.type(), 0);
    result = named(select(set, result * factor, result));
    factor = named(factor * factor);
  }
  if (y.type().is_int()) {  // 1 / x^-y, truncated
    const Expr minus_one = cast(x.type(), 0) - one;
    const Expr even = (exponent & cast(y.type(), 1)) == cast(y.type(), 0);
    Expr reciprocal = select(base == one, one, cast(x.type(), 0));
    if (x.type().is_int()) {
      reciprocal = select(base == minus_one, select(even, one, minus_one), reciprocal);
    }
    result = select(exponent < cast(y.type(), 0), reciprocal, result);
  }
  for (size_t i = lets.size(); i-- > 0;) {
    result = Halide::Internal::Let::make(lets[i].first, lets[i].second, result);
  }
  return result;
}

Expr power(const Node &node, const Expr &x, const Expr &y, std::optional<double> exponent) {
  if (exponent && *exponent == std::floor(*exponent) && std::fabs(*exponent) <= 16) {
    const int whole = static_cast<int>(std::fabs(*exponent));
    const Expr one = Halide::Internal::make_one(x.type());
    const Expr positive = whole == 0 ? one : whole_power(x, whole);
    return *exponent >= 0 ? positive : exact(one / positive);
  }
  if (!x.type().is_float()) {
    if (y.type().is_float()) {
      throw_model_error(describe(node), ": pow of whole numbers needs a whole exponent");
    }
    return integer_power(x, y);
  }
  if (exponent && *exponent == 0.5) {
    return Halide::sqrt(x);
  }
  const bool same = y.type() == x.type();
  return power_of(x, same                    ? y
                     : !y.type().is_float()  ? cast(x.type(), y)
                     : x.type().bits() == 64 ? float_to_double(y)
                                             : double_to_float(y));
}

// The remainder of two floats, exactly, however large their quotient. It is below 2^277; its digits
// are found 28 at a time, so that in double each product with a divisor of 24 bits is exact, and so
// is each difference: it is a multiple of the last places of both and has no more than 24 bits.
Expr modulo_floats(const Expr &a, const Expr &b, bool sign_of_dividend) {
  constexpr int kDigits = 28, kSteps = 10;
  const Halide::Type type = Halide::Float(64);
  const auto constant = [&](double value) { return Halide::Internal::FloatImm::make(type, value); };
  const Expr zero = constant(0);
  std::vector<std::pair<std::string, Expr>> lets;  // each step reads the one before several times
  const auto named = [&](const Expr &value) {
    lets.emplace_back(Halide::Internal::unique_name("mod"), value);
    return Halide::Internal::Variable::make(value.type(), lets.back().first);
  };
  const Expr dividend = named(float_to_double(a)), signed_divisor = named(float_to_double(b));
  const Expr divisor = named(absolute(signed_divisor));
  Expr rest = named(absolute(dividend));
  for (int step = kSteps - 1; step >= 0; --step) {
    const Expr multiple = named(exact(divisor * constant(std::exp2(kDigits * step))));
    const Expr digits = Halide::trunc(exact(rest / multiple));
    const Expr left = named(exact(rest - exact(digits * multiple)));
    // A quotient just below a whole number may have been rounded up to it.
    const Expr reduced = select(exact(left < zero), exact(left + multiple), left);
    rest = named(select(exact(rest < multiple), rest, reduced));
  }
  // A dividend that is smaller is the remainder, be it -0 or the divisor infinite.
  Expr result = named(select(exact(absolute(dividend) < divisor), dividend, exact(dividend < zero),
                             exact(rest * constant(-1)), rest));
  if (!sign_of_dividend) {
    const Expr opposite = exact(result < zero) != exact(signed_divisor < zero);
    result = select(!exact(result == zero) && opposite, exact(result + signed_divisor), result);
  }
  result = double_to_float(result);
  for (size_t i = lets.size(); i-- > 0;) {
    result = Halide::Internal::Let::make(lets[i].first, lets[i].second, result);
  }
  return result;
}

Expr convert(const Expr &x, DType from, DType to) {
  const Halide::Type type = compute_type(to);
  if (from == to) {
    return x;
  }
  if (to == DType::Bool) {
    return is_float(from) ? exact(x != Halide::Internal::make_zero(x.type()))
                          : x != Halide::Internal::make_zero(x.type());
  }
  if (from == DType::Bool) {
    return select(x, Halide::Internal::make_one(type), Halide::Internal::make_zero(type));
  }
  if (is_float(from) && !is_float(to)) {  // out of range or NaN must not reach the conversion
    if (type.bits() <= 32 && type != Halide::UInt(32)) {
      const Expr fits = exact(absolute(x) < number(from, 2147483648.0, 0));
      return cast(type, cast<int32_t>(select(fits, x, Halide::Internal::make_zero(x.type()))));
    }
    const Expr fits = exact(absolute(x) < number(from, 9223372036854775808.0, 0));
    return cast(type,
                select(fits, cast<int64_t>(select(fits, x, Halide::Internal::make_zero(x.type()))),
                       Halide::Internal::IntImm::make(Halide::Int(64),
                                                      std::numeric_limits<int64_t>::min())));
  }
  if (is_float(from) && x.type() != type) {
    return type.bits() == 64 ? float_to_double(x) : round_to(to, double_to_float(x));
  }
  return round_to(to, cast(type, x));
}

}  // namespace

Halide::Type storage_type(DType dtype) {
  switch (dtype) {
    case DType::F32:
      return Halide::Float(32);
    case DType::F64:
      return Halide::Float(64);
    case DType::I8:
      return Halide::Int(8);
    case DType::U8:
    case DType::Bool:
      return Halide::UInt(8);
    case DType::I16:
      return Halide::Int(16);
    case DType::U16:
    case DType::F16:
    case DType::BF16:
      return Halide::UInt(16);
    case DType::I32:
      return Halide::Int(32);
    case DType::U32:
      return Halide::UInt(32);
    case DType::I64:
      return Halide::Int(64);
    case DType::U64:
      return Halide::UInt(64);
  }
  SYLVITE_CHECK(false);
}

Halide::Type compute_type(DType dtype) {
  return dtype == DType::Bool ? Halide::Bool()
         : is_half(dtype)     ? Halide::Float(32)
                              : storage_type(dtype);
}

Expr to_storage(DType dtype, const Expr &value) {
  switch (dtype) {
    case DType::Bool:
      return select(value, cast<uint8_t>(1), cast<uint8_t>(0));
    case DType::F16:
      return float_to_half(value);
    case DType::BF16:
      return float_to_bfloat16(value);
    default:
      return cast(storage_type(dtype), value);
  }
}

Expr from_storage(DType dtype, const Expr &value) {
  switch (dtype) {
    case DType::Bool:
      return value != cast<uint8_t>(0);
    case DType::F16:
      return half_to_float(value);
    case DType::BF16:
      return bfloat16_to_float(value);
    default:
      return cast(compute_type(dtype), value);
  }
}

Formula::Formula(const Graph &region, const std::vector<Dim> &symbols) : region_(region) {
  for (size_t i = 0; i < symbols.size(); ++i) {
    symbol_params.emplace_back("s" + std::to_string(i));
    symbol_exprs_[symbols[i]] = symbol_params.back();
  }
  for (size_t i = 0; i < region.inputs().size(); ++i) {
    inputs.emplace_back(storage_type(region.inputs()[i]->type.dtype), 1, "in" + std::to_string(i));
    inputs.back().dim(0).set_min(0).set_stride(1);
    input_numbers_[region.inputs()[i]] = i;
  }
}

Expr Formula::size(const Dim &dim) const {
  return number_of(dim, Halide::Int(32));
}

Expr Formula::number_of(const Dim &dim, const Halide::Type &type) const {
  const auto given = symbol_exprs_.find(dim);
  if (given != symbol_exprs_.end()) {
    return cast(type, given->second);
  }
  const auto operand = [&](const DimAtom &atom, size_t i) {
    return number_of(atom.operands[i], type);
  };
  Expr sum;
  for (const DimTerm &term : dim.terms()) {
    Expr product;
    for (const DimAtom &factor : term.factors) {
      Expr atom;
      switch (factor.kind) {
        case AtomKind::Symbol:
          atom = cast(type, symbol_exprs_.at(Dim::symbol(factor.name)));
          break;
        case AtomKind::FloorDiv:
          atom = operand(factor, 0) / operand(factor, 1);
          break;
        case AtomKind::Min:
          atom = Halide::min(operand(factor, 0), operand(factor, 1));
          break;
        case AtomKind::Max:
          atom = Halide::max(operand(factor, 0), operand(factor, 1));
          break;
      }
      product = product.defined() ? product * atom : atom;
    }
    if (!type.can_represent(term.coefficient)) {
      throw_model_error("a size of ", dim.str(), " does not fit 32 bits");
    }
    const Expr coefficient = Halide::Internal::make_const(type, term.coefficient);
    product = !product.defined()      ? coefficient
              : term.coefficient == 1 ? product
                                      : product * coefficient;
    sum = sum.defined() ? sum + product : product;
  }
  return sum.defined() ? sum : Halide::Internal::make_zero(type);
}

Indices Formula::sizes(const Shape &shape) const {
  Indices result;
  for (const Dim &dim : shape) {
    result.push_back(size(dim));
  }
  return result;
}

Expr Formula::offset(const Shape &shape, const Indices &index) const {
  SYLVITE_CHECK(shape.size() == index.size());
  Expr sum;
  Dim stride = 1;
  for (size_t axis = shape.size(); axis-- > 0;) {
    if (!shape[axis].is(1)) {
      const Expr step = stride.is(1) ? index[axis] : index[axis] * size(stride);
      sum = sum.defined() ? step + sum : step;
    }
    stride *= shape[axis];
  }
  return sum.defined() ? sum : Expr(0);
}

Indices Formula::index_of(const Shape &shape, Expr offset) const {
  Indices index(shape.size(), Expr(0));
  size_t first = 0;  // the outermost axis that is not 1
  while (first < shape.size() && shape[first].is(1)) {
    ++first;
  }
  for (size_t axis = shape.size(); axis-- > first;) {
    if (shape[axis].is(1)) {
      continue;
    }
    if (axis == first) {
      index[axis] = offset;
    } else {
      const Expr extent = size(shape[axis]);
      index[axis] = offset % extent;
      offset = offset / extent;
    }
  }
  return index;
}

void Formula::bind(const Value *value, IndexedValue expression) {
  bound_[value] = std::move(expression);
  known_.clear();
}

Expr Formula::at(const Value *value, const Indices &index) {
  SYLVITE_CHECK(static_cast<int64_t>(index.size()) == value->type.rank(), value->name);
  for (const Known &known : known_[value]) {
    bool same = true;
    for (size_t i = 0; i < index.size() && same; ++i) {
      same = known.index[i].same_as(index[i]) || Halide::Internal::equal(known.index[i], index[i]);
    }
    if (same) {
      return known.result;
    }
  }
  const Expr result = evaluate(value, index);
  known_[value].push_back({index, result});
  return result;
}

Expr Formula::evaluate(const Value *value, const Indices &index) {
  const auto bound = bound_.find(value);
  if (bound != bound_.end()) {
    return bound->second(index);
  }
  const auto input = input_numbers_.find(value);
  if (input != input_numbers_.end()) {
    return from_storage(value->type.dtype, inputs[input->second](offset(value->type.shape, index)));
  }
  const Node &node = *value->producer;
  switch (class_of(node.op)) {
    case OpClass::Elementwise:
      return elementwise(node, index);
    case OpClass::View:
      return view(node, index);
    case OpClass::Lookup:
      return lookup(node, index);
    case OpClass::Leaf:
      return leaf(node, index);
    default:
      break;
  }
  SYLVITE_CHECK(false, describe(node) + " cannot be part of a formula");
}

Indices Formula::broadcast_index(const Value *operand, const Indices &index) const {
  const Shape &shape = operand->type.shape;
  Indices result(index.end() - static_cast<int64_t>(shape.size()), index.end());
  for (size_t axis = 0; axis < shape.size(); ++axis) {
    if (shape[axis].is(1)) {
      result[axis] = 0;
    }
  }
  return result;
}

Expr Formula::elementwise(const Node &node, const Indices &index) {
  const auto operand = [&](size_t i) {
    return at(node.input(i), broadcast_index(node.input(i), index));
  };
  const DType type = node.output()->type.dtype;
  const DType from = node.input(node.inputs.size() - 1)->type.dtype;
  const Expr a = operand(0);
  const Expr b = node.inputs.size() > 1 ? operand(1) : Expr();
  const bool floats = is_float(from);
  const auto single = [&](Expr (*function)(const Expr &)) {
    require_single(node, a);
    return round_to(type, function(a));
  };
  const auto either = [&](Expr (*of_floats)(const Expr &), Expr (*of_doubles)(const Expr &)) {
    return round_to(type, a.type().bits() == 64 ? of_doubles(a) : of_floats(a));
  };
  const auto rounded = [&](const Expr &e) { return round_to(type, floats ? exact(e) : e); };
  const Expr zero = Halide::Internal::make_zero(a.type());
  const Expr one = Halide::Internal::make_one(a.type());
  switch (node.op) {
    case Op::Neg:
      return floats ? exact(a * cast(a.type(), -1)) : zero - a;
    case Op::Abs:
      return a.type().is_uint() ? a : floats ? absolute(a) : cast(a.type(), Halide::abs(a));
    case Op::Sign:
      return a.type().is_uint() ? select(a > zero, one, zero)
             : floats           ? select(exact(a > zero), one, exact(a < zero), cast(a.type(), -1),
                                         is_nan_exact(a), a, zero)
                                : select(a > zero, one, a < zero, cast(a.type(), -1), zero);
    case Op::Floor:
      return floats ? Halide::floor(a) : a;
    case Op::Ceil:
      return floats ? Halide::ceil(a) : a;
    case Op::Round:
      return floats ? Halide::round(a) : a;
    case Op::Sqrt:
      return round_to(type, Halide::sqrt(a));
    case Op::Exp:
      return either(exp_f32, exp_f64);
    case Op::Log:
      return either(log_f32, log_f64);
    case Op::Erf:
      return single(erf_f32);
    case Op::Tanh:
      return either(tanh_f32, tanh_f64);
    case Op::Sin:
      return single(sin_f32);
    case Op::Cos:
      return single(cos_f32);
    case Op::Not:
      return !a;
    case Op::IsNaN:
      return is_nan_exact(a);
    case Op::IsInf: {
      const Expr infinity = cast(a.type(), std::numeric_limits<float>::infinity());
      const Expr positive = exact(a == infinity), negative = exact(a == exact(zero - infinity));
      const bool with_positive = node.attributes.integer_or("positive", 1) != 0;
      const bool with_negative = node.attributes.integer_or("negative", 1) != 0;
      return with_positive && with_negative ? positive || negative
             : with_positive                ? positive
             : with_negative                ? negative
                                            : Halide::Internal::const_false();
    }
    case Op::Cast:
      return convert(a, from, type);
    case Op::Add:
      return rounded(a + b);
    case Op::Sub:
      return rounded(a - b);
    case Op::Mul:
      return rounded(a * b);
    case Op::Div:
      return floats ? rounded(a / b) : divide_integers(a, b);
    case Op::Mod: {
      const bool sign_of_dividend = node.attributes.integer_or("fmod", 0) != 0;
      if (!floats) {
        return modulo_integers(a, b, sign_of_dividend);
      }
      if (a.type().bits() == 32) {
        return round_to(type, modulo_floats(a, b, sign_of_dividend));
      }
      const Expr quotient = exact(a / b);
      const Expr whole = sign_of_dividend ? Halide::trunc(quotient) : Halide::floor(quotient);
      // By an infinity: the dividend, or, where its sign is the wrong one, the infinity.
      const Expr infinity(std::numeric_limits<double>::infinity()), zero(0.0);
      const Expr by_infinity = (exact(b == infinity) || exact(b == -infinity)) &&
                               exact(a < infinity) && exact(-infinity < a);
      const Expr keeps = sign_of_dividend ? Halide::Internal::const_true()
                                          : exact(a == zero) || exact(a < zero) == exact(b < zero);
      return round_to(type, Halide::select(by_infinity, Halide::select(keeps, a, b),
                                           exact(a - exact(whole * b))));
    }
    case Op::Pow:
      return round_to(type, power(node, a, b, constant_number(node.input(1))));
    case Op::Min:
      return floats ? min_nan(a, b) : Halide::min(a, b);
    case Op::Max:
      return floats ? max_nan(a, b) : Halide::max(a, b);
    case Op::Equal:
      return floats ? exact(a == b) : a == b;
    case Op::Less:
      return floats ? exact(a < b) : a < b;
    case Op::LessEqual:
      // Not as "not b < a", into which Halide turns it: false for NaN.
      return floats ? exact(a < b) || exact(a == b) : a <= b;
    case Op::And:
      return a.type().is_bool() ? a && b : a & b;
    case Op::Or:
      return a.type().is_bool() ? a || b : a | b;
    case Op::Xor:
      return a.type().is_bool() ? a != b : a ^ b;
    case Op::Where:
      return select(a, b, operand(2));
    default:
      break;
  }
  SYLVITE_CHECK(false, describe(node));
}

// Axes are matched in groups of equal products, so that only axes that really are split or merged
// cost a division.
Indices Formula::reshape_index(const Shape &from, const Shape &to, const Indices &index) const {
  Indices result;
  size_t i = 0, j = 0;  // the groups from[i, i_end) and to[j, j_end)
  while (i < from.size()) {
    size_t i_end = 0, j_end = 0;
    bool found = false;
    for (size_t span = 2; !found && span <= from.size() - i + to.size() - j; ++span) {
      for (size_t k = 1; !found && k < span; ++k) {
        i_end = i + k;
        j_end = j + (span - k);
        found = i_end <= from.size() && j_end <= to.size() &&
                element_count({from.begin() + static_cast<int64_t>(i),
                               from.begin() + static_cast<int64_t>(i_end)}) ==
                    element_count({to.begin() + static_cast<int64_t>(j),
                                   to.begin() + static_cast<int64_t>(j_end)});
      }
    }
    if (!found) {
      i_end = from.size();
      j_end = to.size();
    }
    const Shape group_from(from.begin() + static_cast<int64_t>(i),
                           from.begin() + static_cast<int64_t>(i_end));
    const Shape group_to(to.begin() + static_cast<int64_t>(j),
                         to.begin() + static_cast<int64_t>(j_end));
    const Indices group(index.begin() + static_cast<int64_t>(j),
                        index.begin() + static_cast<int64_t>(j_end));
    const Indices part = index_of(group_from, offset(group_to, group));
    result.insert(result.end(), part.begin(), part.end());
    i = i_end;
    j = j_end;
  }
  return result;
}

Expr Formula::concat(const Node &node, const Indices &index) {
  const size_t axis = static_cast<size_t>(node.attributes.integer("axis"));
  Expr result;
  Dim end = node.output()->type.shape[axis];
  for (size_t i = node.inputs.size(); i-- > 0;) {
    const Dim &extent = node.input(i)->type.shape[axis];
    const Dim start = end - extent;
    if (extent.is(0)) {
      continue;
    }
    Indices from = index;
    from[axis] = Halide::max(0, Halide::min(index[axis] - size(start), size(extent) - 1));
    const Expr part = at(node.input(i), from);
    result = result.defined() ? select(index[axis] < size(end), part, result) : part;
    end = start;
  }
  return result;
}

Expr Formula::pad(const Node &node, const Indices &index) {
  const std::string mode = node.attributes.text_or("mode", "constant");
  const std::vector<Dim> &before = node.attributes.dims("before");
  const std::vector<Dim> &after = node.attributes.dims("after");
  Indices from;
  Expr inside;
  for (size_t axis = 0; axis < index.size(); ++axis) {
    if (before[axis].is(0) && after[axis].is(0)) {
      from.push_back(index[axis]);
      continue;
    }
    const Expr extent = size(node.input(0)->type.shape[axis]);
    Expr position = index[axis] - size(before[axis]);
    if (mode == "reflect") {
      const Expr period = Halide::max(2 * (extent - 1), 1);
      const Expr phase = position % period;
      position = Halide::min(phase, period - phase);
    } else if (mode == "constant") {
      const Expr here = position >= 0 && position < extent;
      inside = inside.defined() ? inside && here : here;
    }
    from.push_back(Halide::max(0, Halide::min(position, extent - 1)));
  }
  Expr value = at(node.input(0), from);
  if (!inside.defined()) {
    return value;
  }
  const Expr fill =
      node.inputs.size() > 1
          ? at(node.input(1), Indices(static_cast<size_t>(node.input(1)->type.rank()), Expr(0)))
          : number(node.output()->type.dtype, 0, 0);
  return select(inside, value, fill);
}

Expr Formula::view(const Node &node, const Indices &index) {
  const Value *input = node.input(0);
  switch (node.op) {
    case Op::Reshape:
      return at(input, reshape_index(input->type.shape, node.output()->type.shape, index));
    case Op::Expand:
      return at(input, broadcast_index(input, index));
    case Op::Concat:
      return concat(node, index);
    case Op::Pad:
      return pad(node, index);
    default:
      break;
  }
  Indices from(static_cast<size_t>(input->type.rank()));
  for (size_t axis = 0; axis < from.size(); ++axis) {
    if (node.op == Op::Transpose) {
      from[static_cast<size_t>(node.attributes.integers("perm")[axis])] = index[axis];
    } else {
      SYLVITE_CHECK(node.op == Op::Slice, describe(node));
      const int64_t step = node.attributes.integers("steps")[axis];
      const Dim &start = node.attributes.dims("starts")[axis];
      const Expr scaled = step == 1 ? index[axis] : index[axis] * static_cast<int32_t>(step);
      from[axis] = start.is(0) ? scaled : scaled + size(start);
    }
  }
  return at(input, from);
}

// The plan has checked that indices lie in [-size, size).
Expr Formula::lookup(const Node &node, const Indices &index) {
  const Value *data = node.input(0), *indices = node.input(1);
  const size_t index_rank = static_cast<size_t>(indices->type.rank());
  const auto position = [&](const Indices &where, const Dim &extent) {
    const Expr raw = cast<int32_t>(at(indices, where));
    const Expr bound = size(extent);
    return Halide::unsafe_promise_clamped(select(raw < 0, raw + bound, raw), 0, bound - 1);
  };
  const Shape &shape = data->type.shape;
  Indices from;
  if (node.op == Op::GatherND) {
    const size_t batch = static_cast<size_t>(node.attributes.integer_or("batch_dims", 0));
    const size_t depth = static_cast<size_t>(*indices->type.shape.back().constant());
    from.assign(index.begin(), index.begin() + static_cast<int64_t>(batch));
    Indices where(index.begin(), index.begin() + static_cast<int64_t>(index_rank - 1));
    where.emplace_back(0);
    for (size_t k = 0; k < depth; ++k) {
      where.back() = static_cast<int32_t>(k);
      from.push_back(position(where, shape[batch + k]));
    }
    from.insert(from.end(), index.begin() + static_cast<int64_t>(index_rank - 1), index.end());
    return at(data, from);
  }
  const size_t axis = static_cast<size_t>(node.attributes.integer("axis"));
  if (node.op == Op::GatherElements) {
    from = index;
    from[axis] = position(index, shape[axis]);
    return at(data, from);
  }
  const auto first = index.begin() + static_cast<int64_t>(axis);
  const Indices where(first, first + static_cast<int64_t>(index_rank));
  from.assign(index.begin(), first);
  from.push_back(position(where, shape[axis]));
  from.insert(from.end(), first + static_cast<int64_t>(index_rank), index.end());
  return at(data, from);
}

Expr Formula::leaf(const Node &node, const Indices &index) {
  const TensorType &type = node.output()->type;
  // Positions and sizes fit 32 bits; multiples and products of them need not.
  const bool narrow = is_integer(type.dtype) && size_of(type.dtype) <= 4;
  if (node.op == Op::Iota) {
    const Dim &step = node.attributes.dims("step")[0];
    const bool positions = narrow || step.is(1) || step.is(-1);
    const Halide::Type wide = Halide::Int(positions ? 32 : 64);
    const Expr value = number_of(node.attributes.dims("start")[0], wide) +
                       cast(wide, index[0]) * number_of(step, wide);
    return convert(value, positions ? DType::I32 : DType::I64, type.dtype);
  }
  // A few values: picked one by one.
  const Expr position = offset(type.shape, index);
  Expr result;
  const auto choose = [&](int64_t i, const Expr &value) {
    result = result.defined() ? select(position == static_cast<int32_t>(i), value, result) : value;
  };
  if (node.op == Op::DimValues) {
    const std::vector<Dim> &values = node.attributes.dims("values");
    for (size_t i = values.size(); i-- > 0;) {
      const DType wide = narrow ? DType::I32 : DType::I64;
      choose(static_cast<int64_t>(i),
             convert(number_of(values[i], storage_type(wide)), wide, type.dtype));
    }
  } else {
    const Tensor &tensor = *node.attributes.tensor("value");
    for (int64_t i = tensor.count(); i-- > 0;) {
      choose(i, number(type.dtype, tensor.at(i), tensor.at_int(i)));
    }
  }
  return result.defined() ? result : number(type.dtype, 0, 0);
}

}  // namespace sylvite
