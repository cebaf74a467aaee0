// Host values: the known elements of small integer and bool tensors.
//
// Half of an exported graph computes shapes with tensors. Here those tensors are lists of Dims,
// from which the importer reads the attributes of Reshape, Expand, Slice and their like. Everything
// is all or nothing: a tensor has host elements only when each of them is known. What cannot be
// said exactly (a quotient of unknown sign, a comparison that ranges do not decide) ends the chain,
// as does anything that would wrap in the tensor's own element type.
#include <algorithm>
#include <functional>
#include <limits>

#include "compiler/ir/infer.h"

namespace sylvite {
namespace {

using Elements = std::vector<Dim>;
using MaybeElements = std::optional<Elements>;
using MaybeDim = std::optional<Dim>;
using Sizes = std::vector<int64_t>;

constexpr int64_t kMaxElements = 1024;

int64_t count_of(const Sizes &shape) {
  int64_t count = 1;
  for (const int64_t size : shape) {
    count *= size;
  }
  return count;
}

Sizes strides_of(const Sizes &shape) {
  Sizes strides(shape.size());
  int64_t stride = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    strides[i] = stride;
    stride *= shape[i];
  }
  return strides;
}

// Calls visit(offset) for each index of `shape` in row-major order, where the offset moves by
// strides.
template <typename Visit>
void walk(const Sizes &shape, const Sizes &strides, int64_t start, const Visit &visit) {
  Sizes index(shape.size(), 0);
  int64_t offset = start;
  for (int64_t left = count_of(shape); left > 0; --left) {
    visit(offset);
    for (size_t axis = shape.size(); axis-- > 0;) {
      offset += strides[axis];
      if (++index[axis] < shape[axis]) {
        break;
      }
      offset -= strides[axis] * shape[axis];
      index[axis] = 0;
    }
  }
}

// Strides with which `from` is read at the indices of `to` (numpy broadcasting).
Sizes broadcast_strides(const Sizes &from, const Sizes &to) {
  const Sizes own = strides_of(from);
  Sizes strides(to.size(), 0);
  for (size_t i = 0; i < from.size(); ++i) {
    strides[to.size() - from.size() + i] = from[i] == 1 ? 0 : own[i];
  }
  return strides;
}

bool fits(int64_t value, DType dtype) {
  switch (dtype) {
    case DType::I8:
      return value >= -128 && value <= 127;
    case DType::U8:
      return value >= 0 && value <= 255;
    case DType::I16:
      return value >= -32768 && value <= 32767;
    case DType::U16:
      return value >= 0 && value <= 65535;
    case DType::I32:
      return value >= std::numeric_limits<int32_t>::min() &&
             value <= std::numeric_limits<int32_t>::max();
    case DType::U32:
      return value >= 0 && value <= std::numeric_limits<uint32_t>::max();
    case DType::U64:
      return value >= 0;
    case DType::Bool:
      return value == 0 || value == 1;
    default:
      return true;
  }
}

class HostValues {
 public:
  HostValues(const Inference &inference, Sizes shape, DType dtype)
      : node_(inference.node()),
        symbols_(inference.symbols()),
        shape_(std::move(shape)),
        dtype_(dtype) {}

  MaybeElements elements() const {
    switch (class_of(node_.op)) {
      case OpClass::Leaf:
        return leaf();
      case OpClass::Elementwise:
        return node_.op == Op::Where ? where() : elementwise();
      case OpClass::View:
        return view();
      default:
        break;
    }
    switch (node_.op) {
      case Op::Gather:
        return gather();
      case Op::GatherElements:
        return gather_elements();
      case Op::Reduce:
        return reduce();
      default:
        return std::nullopt;
    }
  }

 private:
  const MaybeElements &host(size_t i) const { return node_.inputs[i]->host; }
  Sizes input_shape(size_t i) const {
    return static_shape(node_.inputs[i]->type.shape).value_or(Sizes{});
  }

  // ---- scalars ----

  std::optional<bool> decide_equal(const Dim &a, const Dim &b) const {
    if (prove_equal(a, b, symbols_)) {
      return true;
    }
    const std::optional<int64_t> lower = symbols_.lower_bound(a - b);
    const std::optional<int64_t> upper = symbols_.upper_bound(a - b);
    if ((lower && *lower > 0) || (upper && *upper < 0)) {
      return false;
    }
    return std::nullopt;
  }

  std::optional<bool> decide_le(const Dim &a, const Dim &b) const {
    if (prove_le(a, b, symbols_)) {
      return true;
    }
    return prove_le(b + 1, a, symbols_) ? std::optional(false) : std::nullopt;
  }

  static MaybeDim from_bool(std::optional<bool> value) {
    return value ? MaybeDim(*value ? 1 : 0) : std::nullopt;
  }

  MaybeDim divide(const Dim &a, const Dim &b) const {
    if (b.is(0)) {
      return std::nullopt;
    }
    if (const auto x = a.constant(), y = b.constant(); x && y) {
      return *y == -1 ? -a : Dim(*x / *y);
    }
    if (const MaybeDim exact = exact_div(a, b)) {
      return exact;
    }
    if (prove_le(0, a, symbols_) && prove_le(1, b, symbols_)) {
      return floor_div(a, b);
    }
    return std::nullopt;
  }

  MaybeDim remainder(const Dim &a, const Dim &b) const {
    const bool by_dividend = node_.attributes.integer_or("fmod", 0) != 0;
    if (const auto x = a.constant(), y = b.constant(); x && y) {
      if (*y == 0 || *y == -1) {
        return *y == 0 ? std::nullopt : MaybeDim(0);
      }
      const int64_t rest = *x % *y;
      return Dim(!by_dividend && rest != 0 && (rest < 0) != (*y < 0) ? rest + *y : rest);
    }
    if (prove_le(1, b, symbols_) && (!by_dividend || prove_le(0, a, symbols_))) {
      return modulo(a, b);
    }
    return std::nullopt;
  }

  MaybeDim power(const Dim &a, const Dim &b) const {
    const std::optional<int64_t> exponent = b.constant();
    if (!exponent || *exponent < 0 || *exponent > 62) {
      return std::nullopt;
    }
    Dim result = 1;
    for (int64_t i = 0; i < *exponent; ++i) {
      result *= a;
    }
    return result;
  }

  MaybeDim smaller(const Dim &a, const Dim &b) const { return simplify(min(a, b), symbols_); }
  MaybeDim larger(const Dim &a, const Dim &b) const { return simplify(max(a, b), symbols_); }

  template <typename Operation>
  static MaybeDim bits(const Dim &a, const Dim &b, Operation operation) {
    const std::optional<int64_t> x = a.constant(), y = b.constant();
    return x && y ? MaybeDim(operation(*x, *y)) : std::nullopt;
  }

  MaybeDim unary(const Dim &a) const {
    switch (node_.op) {
      case Op::Neg:
        return -a;
      case Op::Abs:
        if (prove_le(0, a, symbols_)) {
          return a;
        }
        return prove_le(a, 0, symbols_) ? MaybeDim(-a) : std::nullopt;
      case Op::Sign:
        if (const std::optional<bool> zero = decide_equal(a, 0); zero && *zero) {
          return Dim(0);
        }
        if (prove_le(1, a, symbols_)) {
          return Dim(1);
        }
        return prove_le(a, -1, symbols_) ? MaybeDim(-1) : std::nullopt;
      case Op::Not:
        return 1 - a;
      case Op::Cast:
        if (dtype_ == DType::Bool) {
          const std::optional<bool> zero = decide_equal(a, 0);
          return zero ? MaybeDim(*zero ? 0 : 1) : std::nullopt;
        }
        return a;
      default:
        return std::nullopt;
    }
  }

  MaybeDim binary(const Dim &a, const Dim &b) const {
    switch (node_.op) {
      case Op::Add:
        return a + b;
      case Op::Sub:
        return a - b;
      case Op::Mul:
        return a * b;
      case Op::Div:
        return divide(a, b);
      case Op::Mod:
        return remainder(a, b);
      case Op::Pow:
        return power(a, b);
      case Op::Min:
        return smaller(a, b);
      case Op::Max:
        return larger(a, b);
      case Op::Equal:
        return from_bool(decide_equal(a, b));
      case Op::LessEqual:
        return from_bool(decide_le(a, b));
      case Op::Less:
        return from_bool(decide_le(a + 1, b));
      case Op::And:
        return dtype_ == DType::Bool ? MaybeDim(min(a, b)) : bits(a, b, std::bit_and<>());
      case Op::Or:
        return dtype_ == DType::Bool ? MaybeDim(max(a, b)) : bits(a, b, std::bit_or<>());
      case Op::Xor:
        return dtype_ == DType::Bool ? MaybeDim(a == b ? 0 : 1) : bits(a, b, std::bit_xor<>());
      default:
        return std::nullopt;
    }
  }

  // ---- tensors ----

  MaybeElements from_tensor(const Tensor &tensor) const {
    Elements result;
    result.reserve(static_cast<size_t>(tensor.count()));
    for (int64_t i = 0; i < tensor.count(); ++i) {
      result.emplace_back(tensor.at_int(i));
    }
    return result;
  }

  MaybeElements leaf() const {
    const Attributes &attributes = node_.attributes;
    if (node_.op == Op::Constant) {
      return from_tensor(*attributes.tensor("value"));
    }
    if (node_.op == Op::DimValues) {
      return attributes.dims("values");
    }
    Elements result;
    Dim next = attributes.dims("start")[0];
    for (int64_t i = 0; i < shape_[0]; ++i) {
      result.push_back(next);
      next += attributes.dims("step")[0];
    }
    return result;
  }

  MaybeElements elementwise() const {
    if (node_.op == Op::Cast && is_float(node_.inputs[0]->type.dtype)) {
      const Tensor *constant = constant_of(node_.inputs[0]);
      return constant != nullptr ? from_tensor(constant->converted(dtype_)) : std::nullopt;
    }
    for (const Value *input : node_.inputs) {
      if (!input->host) {
        return std::nullopt;
      }
    }
    std::vector<std::vector<int64_t>> offsets;
    for (size_t i = 0; i < node_.inputs.size(); ++i) {
      offsets.push_back(offsets_of(i));
    }
    Elements result;
    for (size_t at = 0; at < offsets[0].size(); ++at) {
      const Dim &a = (*host(0))[static_cast<size_t>(offsets[0][at])];
      const MaybeDim element = node_.inputs.size() == 1
                                   ? unary(a)
                                   : binary(a, (*host(1))[static_cast<size_t>(offsets[1][at])]);
      if (!element) {
        return std::nullopt;
      }
      result.push_back(*element);
    }
    return result;
  }

  // Where input i is read for each element of the result.
  std::vector<int64_t> offsets_of(size_t i) const {
    std::vector<int64_t> offsets;
    walk(shape_, broadcast_strides(input_shape(i), shape_), 0,
         [&](int64_t offset) { offsets.push_back(offset); });
    return offsets;
  }

  MaybeElements where() const {
    if (!host(0)) {
      return std::nullopt;
    }
    const std::vector<int64_t> offsets[] = {offsets_of(0), offsets_of(1), offsets_of(2)};
    Elements result;
    for (size_t at = 0; at < offsets[0].size(); ++at) {
      const size_t branch = (*host(0))[static_cast<size_t>(offsets[0][at])].is(1) ? 1 : 2;
      if (!host(branch)) {
        return std::nullopt;
      }
      result.push_back((*host(branch))[static_cast<size_t>(offsets[branch][at])]);
    }
    return result;
  }

  MaybeElements view() const {
    for (const Value *input : node_.inputs) {
      if (!input->host || !static_shape(input->type.shape)) {
        return std::nullopt;
      }
    }
    const Sizes from = input_shape(0);
    Sizes strides = strides_of(from);
    int64_t start = 0;
    switch (node_.op) {
      case Op::Reshape:
        return host(0)->size() == static_cast<size_t>(count_of(shape_)) ? host(0) : std::nullopt;
      case Op::Transpose: {
        Sizes permuted;
        for (const int64_t axis : node_.attributes.integers("perm")) {
          permuted.push_back(strides[static_cast<size_t>(axis)]);
        }
        strides = permuted;
        break;
      }
      case Op::Expand:
        strides = broadcast_strides(from, shape_);
        break;
      case Op::Slice:
        for (size_t i = 0; i < strides.size(); ++i) {
          const std::optional<int64_t> first = node_.attributes.dims("starts")[i].constant();
          if (!first) {
            return std::nullopt;
          }
          start += strides[i] * *first;
          strides[i] *= node_.attributes.integers("steps")[i];
        }
        break;
      case Op::Concat:
        return concat();
      case Op::Pad:
        return pad();
      default:
        return std::nullopt;
    }
    Elements result;
    walk(shape_, strides, start,
         [&](int64_t offset) { result.push_back((*host(0))[static_cast<size_t>(offset)]); });
    return result;
  }

  MaybeElements concat() const {
    const auto axis = static_cast<size_t>(node_.attributes.integer("axis"));
    const Sizes strides = strides_of(shape_);
    Elements result(static_cast<size_t>(count_of(shape_)));
    int64_t start = 0;
    for (size_t i = 0; i < node_.inputs.size(); ++i) {
      const Sizes part = input_shape(i);
      size_t next = 0;
      walk(part, strides, start,
           [&](int64_t offset) { result[static_cast<size_t>(offset)] = (*host(i))[next++]; });
      start += strides[axis] * part[axis];
    }
    return result;
  }

  MaybeElements pad() const {
    if (node_.attributes.text_or("mode", "constant") != "constant") {
      return std::nullopt;
    }
    const Sizes strides = strides_of(shape_);
    int64_t start = 0;
    for (size_t i = 0; i < strides.size(); ++i) {
      const std::optional<int64_t> before = node_.attributes.dims("before")[i].constant();
      if (!before) {
        return std::nullopt;
      }
      start += strides[i] * *before;
    }
    const Dim filling = node_.inputs.size() == 2 ? (*host(1))[0] : Dim(0);
    Elements result(static_cast<size_t>(count_of(shape_)), filling);
    size_t next = 0;
    walk(input_shape(0), strides, start,
         [&](int64_t offset) { result[static_cast<size_t>(offset)] = (*host(0))[next++]; });
    return result;
  }

  // The position that an index names, counted from the end if it is negative.
  static std::optional<int64_t> position(const Dim &index, int64_t size) {
    const std::optional<int64_t> value = index.constant();
    if (!value || *value < -size || *value >= size) {
      return std::nullopt;
    }
    return *value < 0 ? *value + size : *value;
  }

  MaybeElements gather() const {
    if (!host(0) || !host(1)) {
      return std::nullopt;
    }
    const Sizes data = input_shape(0);
    const auto axis = static_cast<size_t>(node_.attributes.integer("axis"));
    const int64_t inner = strides_of(data)[axis];
    const int64_t outer = count_of({data.begin(), data.begin() + static_cast<int64_t>(axis)});
    Elements result;
    for (int64_t i = 0; i < outer; ++i) {
      for (const Dim &index : *host(1)) {
        const std::optional<int64_t> place = position(index, data[axis]);
        if (!place) {
          return std::nullopt;
        }
        const int64_t first = (i * data[axis] + *place) * inner;
        for (int64_t k = 0; k < inner; ++k) {
          result.push_back((*host(0))[static_cast<size_t>(first + k)]);
        }
      }
    }
    return result;
  }

  MaybeElements gather_elements() const {
    if (!host(0) || !host(1)) {
      return std::nullopt;
    }
    const Sizes data = input_shape(0);
    const auto axis = static_cast<size_t>(node_.attributes.integer("axis"));
    const Sizes strides = strides_of(data);
    Sizes others = strides;
    others[axis] = 0;
    Elements result;
    bool known = true;
    size_t next = 0;
    walk(shape_, others, 0, [&](int64_t offset) {
      const std::optional<int64_t> place = position((*host(1))[next++], data[axis]);
      known = known && place.has_value();
      if (known) {
        result.push_back((*host(0))[static_cast<size_t>(offset + *place * strides[axis])]);
      }
    });
    return known ? MaybeElements(std::move(result)) : std::nullopt;
  }

  MaybeElements reduce() const {
    const std::string &kind = node_.attributes.text("kind");
    if (!host(0) || kind == "mean") {
      return std::nullopt;
    }
    const Sizes from = input_shape(0);
    // Each input element goes to the result element that it is reduced into.
    Sizes strides(from.size(), 0);
    int64_t stride = 1;
    const std::vector<int64_t> &axes = node_.attributes.integers("axes");
    for (size_t i = from.size(); i-- > 0;) {
      if (std::find(axes.begin(), axes.end(), static_cast<int64_t>(i)) == axes.end()) {
        strides[i] = stride;
        stride *= from[i];
      }
    }
    std::vector<MaybeDim> sums(static_cast<size_t>(count_of(shape_)));
    size_t next = 0;
    walk(from, strides, 0, [&](int64_t offset) {
      const Dim &element = (*host(0))[next++];
      MaybeDim &sum = sums[static_cast<size_t>(offset)];
      sum = !sum             ? element
            : kind == "sum"  ? *sum + element
            : kind == "prod" ? *sum * element
            : kind == "min"  ? *smaller(*sum, element)
                             : *larger(*sum, element);
    });
    Elements result;
    for (const MaybeDim &sum : sums) {
      if (!sum && kind != "sum" && kind != "prod") {
        return std::nullopt;  // the largest of nothing
      }
      result.push_back(sum.value_or(kind == "prod" ? 1 : 0));
    }
    return result;
  }

  const Node &node_;
  const SymbolTable &symbols_;
  const Sizes shape_;
  const DType dtype_;
};

}  // namespace

std::optional<std::vector<Dim>> host_elements(const Inference &inference,
                                              const TensorType &result) {
  if (is_float(result.dtype)) {
    return std::nullopt;
  }
  const std::optional<Sizes> shape = static_shape(result.shape);
  const std::optional<int64_t> count = element_count(result.shape).constant();
  if (!shape || !count || *count > kMaxElements) {
    return std::nullopt;
  }
  try {
    MaybeElements elements = HostValues(inference, *shape, result.dtype).elements();
    if (!elements || static_cast<int64_t>(elements->size()) != *count) {
      return std::nullopt;
    }
    for (const Dim &element : *elements) {
      const std::optional<int64_t> value = element.constant();
      if (value && !fits(*value, result.dtype)) {
        return std::nullopt;  // it would have wrapped
      }
    }
    return elements;
  } catch (const DimOverflow &) {
    return std::nullopt;  // wraps at run time
  }
}

}  // namespace sylvite
