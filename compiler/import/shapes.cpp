// What ONNX makes of sizes: Shape, Range, filled tensors, masks that only positions decide.
#include <algorithm>
#include <cmath>

#include "compiler/import/onnx_node.h"

namespace sylvite {
namespace {

void shape(OnnxNode &node) {
  const Shape &sizes = node.input(0)->type.shape;
  const auto rank = static_cast<int64_t>(sizes.size());
  const auto bounded = [rank](int64_t axis) {
    return std::clamp<int64_t>(axis < 0 ? axis + rank : axis, 0, rank);
  };
  const int64_t start = bounded(node.integer("start", 0));
  const int64_t end = std::max(start, bounded(node.integer("end", rank)));
  const std::vector<Dim> values(sizes.begin() + start, sizes.begin() + end);
  node.set_output(0, node.dim_values(values, {end - start}));
}

void size(OnnxNode &node) {
  node.set_output(0, node.dim_values({element_count(node.input(0)->type.shape)}, {}));
}

void constant(OnnxNode &node) {
  if (const auto tensor = node.tensor("value")) {
    node.set_output(0, node.constant(*tensor));
  } else if (node.has("value_float")) {
    node.set_output(0, node.scalar(DType::F32, node.real("value_float")));
  } else if (node.has("value_int")) {
    node.set_output(
        0, node.constant(Tensor::of<int64_t>(DType::I64, {}, {node.integer("value_int")})));
  } else if (node.has("value_ints")) {
    node.set_output(0, node.integers_constant(node.integers("value_ints")));
  } else if (node.has("value_floats")) {
    const std::vector<double> values = node.reals("value_floats");
    node.set_output(
        0, node.constant(Tensor::of(DType::F32, {static_cast<int64_t>(values.size())}, values)));
  } else {
    node.fail("holds neither a tensor nor numbers; sparse and string constants are not supported");
  }
}

void constant_of_shape(OnnxNode &node) {
  const Shape sizes = node.dims(0, "shape");
  for (const Dim &dim : sizes) {
    if (dim.is_constant() && *dim.constant() < 0) {
      node.fail("has the negative size ", dim.str());
    }
  }
  Value *value = nullptr;
  if (const auto tensor = node.tensor("value")) {
    if (tensor->count() != 1) {
      node.fail("value holds ", tensor->count(), " elements, expected 1");
    }
    value = node.constant(tensor->reshaped({}));
  } else {
    value = node.scalar(DType::F32, 0);
  }
  node.set_output(0, node.expand(value, sizes));
}

// The whole number in a scalar, seen through casts: exporters compute float ranges from sizes.
std::optional<Dim> whole_number(const Value *value) {
  if (value->host && value->host->size() == 1) {
    return value->host->front();
  }
  const std::optional<Tensor> tensor = known_tensor(value);
  if (tensor && tensor->count() == 1) {
    const double number = tensor->at(0);
    if (std::nearbyint(number) == number && std::fabs(number) < 0x1p53) {
      return Dim(static_cast<int64_t>(number));
    }
    return {};
  }
  if (value->producer != nullptr && value->producer->op == Op::Cast) {
    return whole_number(value->producer->input(0));
  }
  return {};
}

// Range over numbers that are no integers: start + i * delta.
Value *fractional_range(OnnxNode &node) {
  double bounds[3] = {};
  for (size_t i = 0; i < 3; ++i) {
    const std::optional<Tensor> tensor = known_tensor(node.input(i));
    if (!tensor || tensor->count() != 1) {
      node.fail("takes its bounds from '", node.input(i)->name, "', which is computed at run time");
    }
    bounds[i] = tensor->at(0);
  }
  const double count = std::ceil((bounds[1] - bounds[0]) / bounds[2]);
  if (!(count < 0x1p53)) {
    node.fail("has no end");
  }
  const DType type = node.input(0)->type.dtype;
  Value *const steps = node.cast(node.iota(static_cast<int64_t>(std::max(count, 0.0))), type);
  Value *const scaled = node.add(Op::Mul, {steps, node.scalar(type, bounds[2])});
  return node.add(Op::Add, {scaled, node.scalar(type, bounds[0])});
}

void range(OnnxNode &node) {
  const auto start = whole_number(node.input(0));
  const auto limit = whole_number(node.input(1));
  const auto delta = whole_number(node.input(2));
  const DType type = node.input(0)->type.dtype;
  if (!start || !limit || !delta) {
    if (!is_float(type)) {
      node.dim(!start ? 0 : !limit ? 1 : 2, "bounds");
    }
    node.set_output(0, fractional_range(node));
    return;
  }
  const bool up = node.proved_le(1, *delta);
  if (!up && !node.proved_le(*delta, -1)) {
    node.fail("has a step of ", delta->str(), ", expected one whose sign is known");
  }
  const Dim distance = up ? *limit - *start : *start - *limit;
  const Dim steps = ceil_div(distance, up ? *delta : -*delta);
  const Dim count = node.proved_le(0, distance) ? steps : max(steps, 0);
  Value *const values = node.add(Op::Iota, {},
                                 {{"start", std::vector<Dim>{*start}},
                                  {"step", std::vector<Dim>{*delta}},
                                  {"count", std::vector<Dim>{count}},
                                  {"dtype", is_float(type) ? DType::I64 : type}});
  node.set_output(0, node.cast(values, type));
}

// Row and column numbers of the last two axes, ready to broadcast.
struct Positions {
  Value *row, *column;
};

Positions positions(OnnxNode &node, const Shape &shape) {
  const Dim &rows = shape[shape.size() - 2];
  const Dim &columns = shape[shape.size() - 1];
  return {node.reshape(node.iota(rows), {rows, 1}), node.iota(columns)};
}

void trilu(OnnxNode &node) {
  Value *const x = node.input(0);
  if (x->type.rank() < 2) {
    node.fail("needs at least 2 dimensions, got ", x->type.rank());
  }
  Positions at = positions(node, x->type.shape);
  if (Value *const k = node.input_or_null(1)) {
    const Dim offset = node.dim(1, "diagonal");
    if (!offset.is(0)) {
      at.row = node.add(Op::Add, {at.row, node.reshape(k, {})});
    }
  }
  const bool upper = node.integer("upper", 1) != 0;
  Value *const keep = upper ? node.add(Op::LessEqual, {at.row, at.column})
                            : node.add(Op::LessEqual, {at.column, at.row});
  node.set_output(0, node.add(Op::Where, {keep, x, node.like(x, 0)}));
}

void eye_like(OnnxNode &node) {
  Value *const x = node.input(0);
  if (x->type.rank() != 2) {
    node.fail("needs 2 dimensions, got ", x->type.rank());
  }
  Positions at = positions(node, x->type.shape);
  const int64_t k = node.integer("k", 0);
  at.row = k == 0 ? at.row
                  : node.add(Op::Add, {at.row, node.scalar(DType::I64, static_cast<double>(k))});
  const DType type = node.has("dtype") ? node.dtype("dtype") : x->type.dtype;
  node.set_output(0, node.cast(node.add(Op::Equal, {at.row, at.column}), type));
}

// one_hot(i, depth, [off, on])  =>  where(i == [0, depth), on, off); indices count from the end
// when negative
void one_hot(OnnxNode &node) {
  Value *indices = node.input(0);
  const std::optional<Dim> whole = whole_number(node.input(1));
  const Dim depth = whole ? *whole : node.dim(1, "depth");
  const int64_t rank = indices->type.rank() + 1;
  const int64_t axis = node.axis(node.integer("axis", -1), rank);
  Shape apart = indices->type.shape;
  apart.insert(apart.begin() + axis, Dim(1));
  Shape along(static_cast<size_t>(rank), Dim(1));
  along[static_cast<size_t>(axis)] = depth;
  indices = node.reshape(node.cast(indices, DType::I64), apart);
  Value *const wrapped = node.add(Op::Add, {indices, node.dim_values({depth}, {})});
  Value *const negative = node.add(Op::Less, {indices, node.like(indices, 0)});
  indices = node.add(Op::Where, {negative, wrapped, indices});
  Value *const hit = node.add(Op::Equal, {indices, node.reshape(node.iota(depth), along)});
  Value *const values = node.input(2);
  if (values->type.shape != Shape{2}) {
    node.fail("values has shape ", to_string(values->type.shape), ", expected [2]");
  }
  Value *const off = node.reshape(node.slice(values, 0, 0, 1), {});
  Value *const on = node.reshape(node.slice(values, 0, 1, 1), {});
  node.set_output(0, node.add(Op::Where, {hit, on, off}));
}

constexpr OpRule kRules[] = {
    {"Constant", 25, constant}, {"ConstantOfShape", 25, constant_of_shape},
    {"EyeLike", 22, eye_like},  {"OneHot", 28, one_hot},
    {"Range", 27, range},       {"Shape", 25, shape},
    {"Size", 25, size},         {"Trilu", 14, trilu},
};

}  // namespace

std::span<const OpRule> shape_rules() {
  return kRules;
}

}  // namespace sylvite
