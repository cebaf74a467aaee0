// Operators that read or write positions which data decides. Indices may be negative in ONNX as in
// the IR.
#include <algorithm>

#include "compiler/import/onnx_node.h"

namespace sylvite {
namespace {

void gather(OnnxNode &node) {
  const int64_t axis = node.axis(node.integer("axis", 0), node.input(0)->type.rank());
  node.set_output(0, node.add(Op::Gather, {node.input(0), node.input(1)}, {{"axis", axis}}));
}

// The indices of GatherElements and ScatterElements name positions on one axis; on the others they
// stand at their own, which the data must have.
void require_room(OnnxNode &node, int64_t axis) {
  const Shape &data = node.input(0)->type.shape;
  const Shape &indices = node.input(1)->type.shape;
  for (size_t i = 0; i < std::min(data.size(), indices.size()); ++i) {
    if (static_cast<int64_t>(i) != axis) {
      node.assume_at_most(indices[i], data[i],
                          "has indices for " + indices[i].str() + " of " + data[i].str() +
                              " positions on axis " + std::to_string(i));
    }
  }
}

void gather_elements(OnnxNode &node) {
  const int64_t axis = node.axis(node.integer("axis", 0), node.input(0)->type.rank());
  require_room(node, axis);
  node.set_output(0,
                  node.add(Op::GatherElements, {node.input(0), node.input(1)}, {{"axis", axis}}));
}

void gather_nd(OnnxNode &node) {
  const int64_t batch_dims = node.integer("batch_dims", 0);
  node.set_output(
      0, node.add(Op::GatherND, {node.input(0), node.input(1)}, {{"batch_dims", batch_dims}}));
}

std::string reduction_of(const OnnxNode &node) {
  const std::string reduction = node.text("reduction", "none");
  for (const char *known : {"none", "add", "mul", "max", "min"}) {
    if (reduction == known) {
      return reduction;
    }
  }
  node.fail("reduction '", reduction, "' is not supported; none, add, mul, max and min are");
}

void scatter_elements(OnnxNode &node) {
  const int64_t axis = node.axis(node.integer("axis", 0), node.input(0)->type.rank());
  require_room(node, axis);
  node.set_output(0, node.add(Op::ScatterElements, {node.input(0), node.input(1), node.input(2)},
                              {{"axis", axis}, {"reduction", reduction_of(node)}}));
}

void scatter_nd(OnnxNode &node) {
  node.set_output(0, node.add(Op::ScatterND, {node.input(0), node.input(1), node.input(2)},
                              {{"reduction", reduction_of(node)}}));
}

// A result whose size depends on how many elements are true is supported where these are known.
Tensor known_elements(const OnnxNode &node, size_t i, const char *role) {
  std::optional<Tensor> tensor = known_tensor(node.input(i));
  if (!tensor) {
    node.fail("takes its ", role, " from '", node.input(i)->name,
              "', which is computed at run time: how large the result is would be known only then");
  }
  return std::move(*tensor);
}

void compress(OnnxNode &node) {
  Value *x = node.input(0);
  int64_t axis = 0;
  if (node.has("axis")) {
    axis = node.axis(node.integer("axis"), x->type.rank());
  } else {
    x = node.reshape(x, {element_count(x->type.shape)});
  }
  const Tensor condition = known_elements(node, 1, "condition");
  if (condition.shape().size() != 1) {
    node.fail("condition has ", condition.shape().size(), " dimensions, expected 1");
  }
  std::vector<int64_t> chosen;
  for (int64_t i = 0; i < condition.count(); ++i) {
    if (condition.at_int(i) != 0) {
      chosen.push_back(i);
    }
  }
  const Dim &size = x->type.shape[static_cast<size_t>(axis)];
  const int64_t needed = chosen.empty() ? 0 : chosen.back() + 1;
  node.assume_at_most(needed, size,
                      "chooses element " + std::to_string(needed - 1) + " of " + size.str());
  node.set_output(0, node.add(Op::Gather, {x, node.integers_constant(chosen)}, {{"axis", axis}}));
}

// Of a tensor that holds one value everywhere, as exporters write the numbers of its positions.
bool is_true_everywhere(const Value *x) {
  if (x->producer == nullptr || x->producer->op != Op::Expand) {
    return false;
  }
  const std::optional<Tensor> value = known_tensor(x->producer->input(0));
  return value && value->count() == 1 && value->at(0) != 0;
}

void non_zero(OnnxNode &node) {
  const Value *const x = node.input(0);
  const Shape &shape = x->type.shape;
  const int64_t rank = x->type.rank();
  if (rank > 0 && is_true_everywhere(x)) {
    std::vector<Value *> rows;
    for (size_t axis = 0; axis < shape.size(); ++axis) {
      Shape along(shape.size(), Dim(1));
      along[axis] = shape[axis];
      Value *const everywhere = node.expand(node.reshape(node.iota(shape[axis]), along), shape);
      rows.push_back(node.reshape(everywhere, {1, element_count(shape)}));
    }
    node.set_output(0, node.concat(rows, 0));
    return;
  }
  const Tensor known = known_elements(node, 0, "elements");
  std::vector<int64_t> positions;
  for (int64_t i = 0; i < known.count(); ++i) {
    if (known.at(i) != 0) {
      positions.push_back(i);
    }
  }
  const auto count = static_cast<int64_t>(positions.size());
  Tensor result(DType::I64, {rank, count});
  for (int64_t axis = rank; axis-- > 0;) {
    const int64_t size = known.shape()[static_cast<size_t>(axis)];
    for (int64_t i = 0; i < count; ++i) {
      int64_t &rest = positions[static_cast<size_t>(i)];
      result.set_int(axis * count + i, rest % size);
      rest /= size;
    }
  }
  node.set_output(0, node.constant(std::move(result)));
}

// x[..., indices[b, i], ...] on `axis` at position b of `batch_axis`: the batch's axis and the
// other one are brought to the front and taken back.
Value *gather_by_batch(OnnxNode &node, Value *x, int64_t batch_axis, int64_t axis, Value *indices) {
  std::vector<int64_t> perm = {batch_axis, axis};
  for (int64_t i = 0; i < x->type.rank(); ++i) {
    if (i != batch_axis && i != axis) {
      perm.push_back(i);
    }
  }
  std::vector<int64_t> back(perm.size());
  for (size_t i = 0; i < perm.size(); ++i) {
    back[static_cast<size_t>(perm[i])] = static_cast<int64_t>(i);
  }
  Shape single = indices->type.shape;
  single.emplace_back(1);
  Value *const taken =
      node.add(Op::GatherND, {node.transpose(x, perm), node.reshape(indices, single)},
               {{"batch_dims", int64_t{1}}});
  return node.transpose(taken, back);
}

// [1, size]: the positions of an axis, to stand beside a number for each batch position.
Value *positions_of(OnnxNode &node, const Dim &size) {
  return node.reshape(node.iota(size), {1, size});
}

// Position t of the first `length` comes from length - 1 - t.
void reverse_sequence(OnnxNode &node) {
  Value *const x = node.input(0);
  const int64_t time = node.axis(node.integer("time_axis", 0), x->type.rank());
  const int64_t batch = node.axis(node.integer("batch_axis", 1), x->type.rank());
  if (time == batch) {
    node.fail("time_axis and batch_axis are both ", time);
  }
  Value *const given = node.cast(node.input(1), DType::I64);
  if (given->type.rank() != 1) {
    node.fail("sequence_lens has ", given->type.rank(), " dimensions, expected 1");
  }
  Value *const lengths = node.reshape(given, {given->type.shape[0], 1});
  Value *const at = positions_of(node, x->type.shape[static_cast<size_t>(time)]);
  Value *const last = node.add(Op::Sub, {lengths, node.like(lengths, 1)});
  Value *const indices =
      node.add(Op::Where, {node.add(Op::Less, {at, lengths}), node.add(Op::Sub, {last, at}), at});
  node.set_output(0, gather_by_batch(node, x, batch, time, indices));
}

// The cache and its update differ in the number of rows only.
void require_rows_of(OnnxNode &node, const Value *past, const Value *update, int64_t axis) {
  const int64_t rank = past->type.rank();
  if (update->type.rank() != rank) {
    node.fail("updates ", rank, " dimensions with ", update->type.rank());
  }
  for (int64_t i = 0; i < rank; ++i) {
    if (i != axis) {
      const auto at = static_cast<size_t>(i);
      node.assume_equal(past->type.shape[at], update->type.shape[at],
                        "axis " + std::to_string(i) + " of the cache and of its update");
    }
  }
}

// A cache of rows with an update written into it, from row write_indices[b] on: row s is the
// update's row s - write_indices[b] where there is one. Circular: modulo the cache's length.
void tensor_scatter(OnnxNode &node) {
  Value *const past = node.input(0);
  Value *const update = node.input(1);
  const int64_t axis = node.axis(node.integer("axis", -2), past->type.rank());
  const std::string mode = node.text("mode", "linear");
  if (axis == 0) {
    node.fail("axis is 0, which is the batch's");
  }
  if (mode != "linear" && mode != "circular") {
    node.fail("mode is '", mode, "', expected 'linear' or 'circular'");
  }
  require_rows_of(node, past, update, axis);
  const Shape &shape = past->type.shape;
  const Dim &length = shape[static_cast<size_t>(axis)];
  const Dim &rows = update->type.shape[static_cast<size_t>(axis)];
  node.assume_at_most(rows, length,
                      "writes " + rows.str() + " rows into a cache of " + length.str());
  if (rows.is(0)) {
    node.set_output(0, past);
    return;
  }
  Value *from = positions_of(node, length);
  if (node.has_input(2)) {
    Value *const starts = node.cast(node.input(2), DType::I64);
    if (starts->type.rank() != 1) {
      node.fail("write_indices has ", starts->type.rank(), " dimensions, expected 1");
    }
    from = node.add(Op::Sub, {from, node.reshape(starts, {starts->type.shape[0], 1})});
  }
  if (mode == "circular") {
    from = node.add(Op::Mod, {from, node.dim_values({length}, {})}, {{"fmod", int64_t{0}}});
  }
  Value *const zero = node.like(from, 0);
  Value *const written =
      node.add(Op::And, {node.add(Op::LessEqual, {zero, from}),
                         node.add(Op::Less, {from, node.dim_values({rows}, {})})});
  Value *const indices = node.add(Op::Where, {written, from, zero});
  Value *const taken =
      gather_by_batch(node, update, 0, axis, node.expand(indices, {shape[0], length}));
  Shape beside(shape.size(), Dim(1));
  beside[0] = written->type.shape[0];
  beside[static_cast<size_t>(axis)] = length;
  node.set_output(0, node.add(Op::Where, {node.reshape(written, beside), taken, past}));
}

void top_k(OnnxNode &node) {
  Value *const x = node.input(0);
  const int64_t axis = node.axis(node.integer("axis", -1), x->type.rank());
  const Dim k = node.dim(1, "number of results");
  const Dim &size = x->type.shape[static_cast<size_t>(axis)];
  if (k.is_constant() &&
      (*k.constant() < 0 || (size.is_constant() && *k.constant() > *size.constant()))) {
    node.fail("asks for ", k.str(), " of the ", size.str(), " elements of axis ", axis);
  }
  node.assume_at_most(k, size, "asks for " + k.str() + " of " + size.str() + " elements");
  const Node *const sorted = node.add_node(Op::TopK, {x},
                                           {{"axis", axis},
                                            {"k", std::vector<Dim>{k}},
                                            {"largest", node.integer("largest", 1)},
                                            {"sorted", node.integer("sorted", 1)}});
  for (size_t i = 0; i < node.output_count(); ++i) {
    node.set_output(i, sorted->output(i));
  }
}

constexpr OpRule kRules[] = {
    {"Compress", 28, compress},
    {"Gather", 13, gather},
    {"GatherElements", 13, gather_elements},
    {"GatherND", 13, gather_nd},
    {"NonZero", 13, non_zero},
    {"ReverseSequence", 28, reverse_sequence},
    {"Scatter", 11, scatter_elements},  // the old name
    {"ScatterElements", 18, scatter_elements},
    {"ScatterND", 18, scatter_nd},
    {"TensorScatter", 24, tensor_scatter},
    {"TopK", 24, top_k},
};

}  // namespace

std::span<const OpRule> lookup_rules() {
  return kRules;
}

}  // namespace sylvite
