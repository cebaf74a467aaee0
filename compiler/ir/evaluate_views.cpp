// Views and lookups of the reference evaluator: each result element is one input element.
#include <algorithm>
#include <cstring>

#include "compiler/ir/error.h"
#include "compiler/ir/evaluate_parts.h"

namespace sylvite {
namespace {

void copy_element(Tensor &to, int64_t i, const Tensor &from, int64_t j) {
  const size_t size = static_cast<size_t>(size_of(to.dtype()));
  std::memcpy(to.mutable_bytes() + static_cast<size_t>(i) * size,
              from.bytes().data() + static_cast<size_t>(j) * size, size);
}

int64_t offset_of(const Index &index, const std::vector<int64_t> &shape) {
  int64_t offset = 0;
  for (size_t axis = 0; axis < shape.size(); ++axis) {
    offset = offset * shape[axis] + index[axis];
  }
  return offset;
}

std::vector<int64_t> evaluate_dims(const std::vector<Dim> &dims, const SymbolValues &symbols) {
  std::vector<int64_t> values;
  for (const Dim &dim : dims) {
    values.push_back(evaluate(dim, symbols));
  }
  return values;
}

// Where a padded position reads from along one axis, or -1 for the constant.
int64_t padded_source(int64_t position, int64_t before, int64_t size, const std::string &mode) {
  const int64_t from = position - before;
  if (from >= 0 && from < size) {
    return from;
  }
  if (mode == "edge") {
    return std::clamp<int64_t>(from, 0, size - 1);
  }
  if (mode == "reflect") {
    if (size == 1) {
      return 0;
    }
    const int64_t period = 2 * (size - 1);
    const int64_t phase = ((from % period) + period) % period;
    return phase < size ? phase : period - phase;
  }
  return -1;
}

Tensor concat(const Node &node, const std::vector<Tensor> &inputs, Tensor result) {
  const size_t axis = static_cast<size_t>(node.attributes.integer("axis"));
  int64_t start = 0;
  for (const Tensor &input : inputs) {
    Index index(input.shape().size(), 0);
    for (int64_t i = 0; i < input.count(); ++i, advance(index, input.shape())) {
      Index to = index;
      to[axis] += start;
      copy_element(result, offset_of(to, result.shape()), input, i);
    }
    start += input.shape()[axis];
  }
  return result;
}

}  // namespace

Tensor evaluate_view(const Node &node, const std::vector<Tensor> &inputs,
                     const SymbolValues &symbols) {
  const Attributes &attributes = node.attributes;
  const Tensor &input = inputs[0];
  const std::vector<int64_t> shape = evaluate_shape(node.output()->type.shape, symbols);
  if (node.op == Op::Reshape) {
    if (count_of(shape) != input.count()) {
      throw_model_error(place_of(node), ": cannot reshape ", input.count(), " elements to ",
                        count_of(shape));
    }
    return input.reshaped(shape);
  }
  Tensor result(node.output()->type.dtype, shape);
  if (node.op == Op::Concat) {
    return concat(node, inputs, std::move(result));
  }
  std::vector<int64_t> perm, starts, steps, before;
  std::string mode;
  if (node.op == Op::Transpose) {
    perm = attributes.integers("perm");
  } else if (node.op == Op::Slice) {
    starts = evaluate_dims(attributes.dims("starts"), symbols);
    steps = attributes.integers("steps");
  } else if (node.op == Op::Pad) {
    before = evaluate_dims(attributes.dims("before"), symbols);
    mode = attributes.text_or("mode", "constant");
  }
  Index index(shape.size(), 0);
  Index from(input.shape().size(), 0);
  for (int64_t i = 0; i < result.count(); ++i, advance(index, shape)) {
    if (node.op == Op::Expand) {
      copy_element(result, i, input, broadcast_offset(index, input.shape()));
      continue;
    }
    bool inside = true;
    for (size_t axis = 0; axis < shape.size(); ++axis) {
      if (node.op == Op::Transpose) {
        from[static_cast<size_t>(perm[axis])] = index[axis];
      } else if (node.op == Op::Slice) {
        from[axis] = starts[axis] + index[axis] * steps[axis];
        SYLVITE_CHECK(from[axis] >= 0 && from[axis] < input.shape()[axis], describe(node));
      } else {
        from[axis] = padded_source(index[axis], before[axis], input.shape()[axis], mode);
        inside = inside && from[axis] >= 0;
      }
    }
    if (inside) {
      copy_element(result, i, input, offset_of(from, input.shape()));
    } else if (inputs.size() == 2) {
      copy_element(result, i, inputs[1], 0);
    }
  }
  return result;
}

Tensor evaluate_lookup(const Node &node, const std::vector<Tensor> &inputs) {
  const Tensor &data = inputs[0], &indices = inputs[1];
  const std::vector<int64_t> &from_shape = data.shape();
  const size_t index_rank = indices.shape().size();
  if (node.op == Op::GatherND) {
    const size_t batch = static_cast<size_t>(node.attributes.integer_or("batch_dims", 0));
    const size_t depth = static_cast<size_t>(indices.shape().back());
    std::vector<int64_t> shape(indices.shape().begin(), indices.shape().end() - 1);
    shape.insert(shape.end(), from_shape.begin() + static_cast<int64_t>(batch + depth),
                 from_shape.end());
    Tensor result(data.dtype(), shape);
    Index index(shape.size(), 0);
    for (int64_t i = 0; i < result.count(); ++i, advance(index, shape)) {
      int64_t row = 0;  // of the indices, without their last axis
      for (size_t axis = 0; axis + 1 < index_rank; ++axis) {
        row = row * indices.shape()[axis] + index[axis];
      }
      Index from(index.begin(), index.begin() + static_cast<int64_t>(batch));
      for (size_t k = 0; k < depth; ++k) {
        from.push_back(checked_index(
            node, indices.at_int(row * static_cast<int64_t>(depth) + static_cast<int64_t>(k)),
            from_shape[batch + k], "index"));
      }
      from.insert(from.end(), index.begin() + static_cast<int64_t>(index_rank - 1), index.end());
      copy_element(result, i, data, offset_of(from, from_shape));
    }
    return result;
  }
  const size_t axis = static_cast<size_t>(node.attributes.integer("axis"));
  std::vector<int64_t> shape = indices.shape();
  if (node.op == Op::Gather) {
    shape.insert(shape.begin(), from_shape.begin(),
                 from_shape.begin() + static_cast<int64_t>(axis));
    shape.insert(shape.end(), from_shape.begin() + static_cast<int64_t>(axis) + 1,
                 from_shape.end());
  }
  Tensor result(data.dtype(), shape);
  Index index(shape.size(), 0);
  for (int64_t i = 0; i < result.count(); ++i, advance(index, shape)) {
    Index from = index;
    if (node.op == Op::Gather) {
      int64_t row = 0;
      for (size_t k = 0; k < index_rank; ++k) {
        row = row * indices.shape()[k] + index[axis + k];
      }
      from.erase(from.begin() + static_cast<int64_t>(axis),
                 from.begin() + static_cast<int64_t>(axis + index_rank));
      from.insert(from.begin() + static_cast<int64_t>(axis),
                  checked_index(node, indices.at_int(row), from_shape[axis], "index"));
    } else {
      from[axis] = checked_index(node, indices.at_int(i), from_shape[axis], "index");
    }
    copy_element(result, i, data, offset_of(from, from_shape));
  }
  return result;
}

}  // namespace sylvite
