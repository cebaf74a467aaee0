// Contractions, reductions, norms and attention of the reference evaluator. Sums run in double.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "compiler/ir/error.h"
#include "compiler/ir/evaluate_parts.h"
#include "compiler/ir/kernel_traits.h"

namespace sylvite {
namespace {

std::vector<double> doubles_of(const Tensor &tensor) {
  std::vector<double> values(static_cast<size_t>(tensor.count()));
  for (int64_t i = 0; i < tensor.count(); ++i) {
    values[static_cast<size_t>(i)] = tensor.at(i);
  }
  return values;
}

// c[m, n] += a[m, k] b[k, n]; b as given or as [n, k].
void multiply(const double *a, const double *b, double *c, int64_t m, int64_t n, int64_t k,
              bool b_transposed) {
  for (int64_t row = 0; row < m; ++row) {
    for (int64_t i = 0; i < k; ++i) {
      const double factor = a[row * k + i];
      double *out = c + row * n;
      if (b_transposed) {
        for (int64_t column = 0; column < n; ++column) {
          out[column] += factor * b[column * k + i];
        }
      } else {
        const double *line = b + i * n;
        for (int64_t column = 0; column < n; ++column) {
          out[column] += factor * line[column];
        }
      }
    }
  }
}

// Batched numpy matmul of operands with at least two axes.
Tensor matmul(const Tensor &a, const Tensor &b, bool transpose_b) {
  const std::vector<int64_t> &as = a.shape(), &bs = b.shape();
  const int64_t m = as[as.size() - 2], k = as.back();
  const int64_t n = transpose_b ? bs[bs.size() - 2] : bs.back();
  const std::vector<int64_t> a_batch(as.begin(), as.end() - 2), b_batch(bs.begin(), bs.end() - 2);
  std::vector<int64_t> batch(std::max(a_batch.size(), b_batch.size()), 1);
  for (size_t i = 0; i < batch.size(); ++i) {
    for (const std::vector<int64_t> *part : {&a_batch, &b_batch}) {
      if (i < part->size() && (*part)[part->size() - 1 - i] != 1) {
        batch[batch.size() - 1 - i] = (*part)[part->size() - 1 - i];
      }
    }
  }
  std::vector<int64_t> shape = batch;
  shape.push_back(m);
  shape.push_back(n);
  Tensor result(a.dtype(), shape);
  const std::vector<double> av = doubles_of(a), bv = doubles_of(b);
  std::vector<double> product(static_cast<size_t>(m * n));
  Index index(batch.size(), 0);
  for (int64_t block = 0; block < count_of(batch); ++block, advance(index, batch)) {
    std::fill(product.begin(), product.end(), 0.0);
    multiply(av.data() + broadcast_offset(index, a_batch) * m * k,
             bv.data() + broadcast_offset(index, b_batch) * k * n, product.data(), m, n, k,
             transpose_b);
    for (size_t i = 0; i < product.size(); ++i) {
      result.set(block * m * n + static_cast<int64_t>(i), product[i]);
    }
  }
  return result;
}

Tensor matmul_with_vectors(Tensor a, Tensor b, bool transpose_b,
                           const std::vector<int64_t> &shape) {
  if (a.rank() == 1) {
    a = a.reshaped({1, a.shape()[0]});
  }
  if (b.rank() == 1) {
    b = b.reshaped({b.shape()[0], 1});
  }
  return matmul(a, b, transpose_b).reshaped(shape);
}

// [ceil(n/16), K, 16] back to [K, n].
Tensor unpack_panels(const Tensor &panels, int64_t n) {
  const int64_t k = panels.shape()[1], columns = panels.shape()[2];
  Tensor result(panels.dtype(), {k, n});
  for (int64_t row = 0; row < k; ++row) {
    for (int64_t column = 0; column < n; ++column) {
      result.set(row * n + column,
                 panels.at((column / columns * k + row) * columns + column % columns));
    }
  }
  return result;
}

Tensor softmax(const Tensor &x, size_t axis) {
  Tensor result(x.dtype(), x.shape());
  const std::vector<int64_t> strides = row_major_strides(x.shape());
  const int64_t size = x.shape()[axis], stride = strides[axis];
  for (int64_t outer = 0; x.count() > 0 && outer < x.count() / (size * stride); ++outer) {
    for (int64_t inner = 0; inner < stride; ++inner) {
      const int64_t base = outer * size * stride + inner;
      double largest = -std::numeric_limits<double>::infinity(), sum = 0;
      for (int64_t i = 0; i < size; ++i) {
        const double value = x.at(base + i * stride);
        largest = std::isnan(value) ? value : std::max(value, largest);
        if (std::isnan(value)) {
          break;
        }
      }
      for (int64_t i = 0; i < size; ++i) {
        sum += std::exp(x.at(base + i * stride) - largest);
      }
      for (int64_t i = 0; i < size; ++i) {
        result.set(base + i * stride, std::exp(x.at(base + i * stride) - largest) / sum);
      }
    }
  }
  return result;
}

Tensor layer_norm(const Node &node, const std::vector<Tensor> &inputs) {
  const Tensor &x = inputs[0];
  const double epsilon = node.attributes.real("epsilon");
  const double factor = node.attributes.real_or("variance_factor", 1);
  const double outer_epsilon = node.attributes.real_or("outer_epsilon", 0);
  const bool rms = node.attributes.integer_or("rms", 0) != 0;
  int64_t width = 1;
  for (size_t axis = static_cast<size_t>(node.attributes.integer("axis")); axis < x.shape().size();
       ++axis) {
    width *= x.shape()[axis];
  }
  Tensor result(x.dtype(), x.shape());
  for (int64_t row = 0; width > 0 && row < x.count() / width; ++row) {
    double mean = 0, square = 0;
    for (int64_t i = 0; i < width && !rms; ++i) {
      mean += x.at(row * width + i);
    }
    mean /= static_cast<double>(width);
    for (int64_t i = 0; i < width; ++i) {
      const double centred = x.at(row * width + i) - mean;
      square += centred * centred;
    }
    const double variance = square / static_cast<double>(width) * factor;
    const double deviation = std::sqrt(variance + epsilon) + outer_epsilon;
    for (int64_t i = 0; i < width; ++i) {
      double value = (x.at(row * width + i) - mean) / deviation;
      value *= inputs.size() > 1 ? inputs[1].at(i % inputs[1].count()) : 1;
      value += inputs.size() > 2 ? inputs[2].at(i % inputs[2].count()) : 0;
      result.set(row * width + i, value);
    }
  }
  return result;
}

bool is_identity(const Graph &region) {
  return region.output(0) == region.inputs()[0];
}

// Probabilities that nothing looks at stay as they are computed, never rounded to a half type.
Tensor attention(const Node &node, const std::vector<Tensor> &inputs, const SymbolValues &symbols) {
  const auto apply = [&](size_t region, Tensor scores) {
    std::vector<Tensor> operands = {std::move(scores)};
    operands.insert(operands.end(), inputs.begin() + 3, inputs.end());
    return evaluate_region(*node.regions[region], operands, symbols)[0];
  };
  Tensor scores = apply(0, matmul(inputs[0], inputs[1], true));
  const size_t last = scores.shape().size() - 1;
  const DType dtype = scores.dtype();
  if (is_identity(*node.regions[1]) && (dtype == DType::F16 || dtype == DType::BF16)) {
    const Tensor weights = softmax(scores.converted(DType::F32), last);
    return matmul(weights, inputs[2].converted(DType::F32), false).converted(dtype);
  }
  Tensor weights = apply(1, softmax(scores, last));
  return matmul(weights, inputs[2], false);
}

// Visits what the window reads that ends in one element of the result: visit(t, from) for tap t at
// offset `from`, or -1 in the padding. `channel` counts the planes of all batches.
template <typename Visit>
void for_each_tap(const Node &node, const std::vector<int64_t> &kernel, const Index &index,
                  const std::vector<int64_t> &shape, int64_t channel, const Visit &visit) {
  const std::vector<int64_t> &strides = node.attributes.integers("strides");
  const std::vector<int64_t> &pads = node.attributes.integers("pads");
  const std::vector<int64_t> &dilations = node.attributes.integers("dilations");
  Index tap(kernel.size(), 0);
  for (int64_t t = 0; t < count_of(kernel); ++t, advance(tap, kernel)) {
    int64_t from = channel;
    bool inside = true;
    for (size_t axis = 0; axis < kernel.size(); ++axis) {
      const int64_t at = index[axis + 2] * strides[axis] - pads[axis] + tap[axis] * dilations[axis];
      inside = inside && at >= 0 && at < shape[axis + 2];
      from = from * shape[axis + 2] + at;
    }
    visit(t, inside ? from : -1);
  }
}

Tensor conv(const Node &node, const std::vector<Tensor> &inputs, Tensor result) {
  const Tensor &x = inputs[0], &w = inputs[1];
  const int64_t group = node.attributes.integer_or("group", 1);
  const std::vector<int64_t> kernel(w.shape().begin() + 2, w.shape().end());
  const int64_t channels = w.shape()[1], filters_of_group = w.shape()[0] / group;
  const int64_t taps = count_of(kernel);
  Index index(result.shape().size(), 0);
  for (int64_t i = 0; i < result.count(); ++i, advance(index, result.shape())) {
    const int64_t first = index[0] * x.shape()[1] + index[1] / filters_of_group * channels;
    double sum = 0;
    for (int64_t c = 0; c < channels; ++c) {
      for_each_tap(node, kernel, index, x.shape(), first + c, [&](int64_t t, int64_t from) {
        if (from >= 0) {
          sum += x.at(from) * w.at((index[1] * channels + c) * taps + t);
        }
      });
    }
    result.set(i, sum);
  }
  return result;
}

Tensor pool(const Node &node, const Tensor &x, Tensor result) {
  const std::vector<int64_t> &kernel = node.attributes.integers("kernel");
  const bool average = node.attributes.text("kind") == "average";
  const bool count_padding = node.attributes.integer_or("count_include_pad", 0) != 0;
  Index index(result.shape().size(), 0);
  for (int64_t i = 0; i < result.count(); ++i, advance(index, result.shape())) {
    double sum = 0, largest = -std::numeric_limits<double>::infinity();
    int64_t taps = 0;
    const int64_t channel = index[0] * x.shape()[1] + index[1];
    for_each_tap(node, kernel, index, x.shape(), channel, [&](int64_t, int64_t from) {
      if (from >= 0) {
        const double value = x.at(from);
        sum += value;
        largest = std::isnan(value) || std::isnan(largest) ? sum : std::max(largest, value);
      }
      taps += from >= 0 || count_padding ? 1 : 0;
    });
    result.set(i, average ? (taps == 0 ? 0 : sum / static_cast<double>(taps)) : largest);
  }
  return result;
}

// The inputs of each result element along `axes`, as offsets.
template <typename Visit>
void for_each_reduced(const std::vector<int64_t> &shape, const std::vector<int64_t> &axes,
                      const Visit &visit) {
  std::vector<int64_t> kept = shape;
  for (int64_t axis : axes) {
    kept[static_cast<size_t>(axis)] = 1;
  }
  Index index(shape.size(), 0);
  for (int64_t i = 0; i < count_of(shape); ++i, advance(index, shape)) {
    visit(broadcast_offset(index, kept), i);
  }
}

Tensor reduce(const Node &node, const Tensor &x, Tensor result) {
  const std::string &kind = node.attributes.text("kind");
  const std::vector<int64_t> &axes = node.attributes.integers("axes");
  const bool floats = is_float(x.dtype());
  const size_t size = static_cast<size_t>(result.count());
  int64_t width = 1;
  for (int64_t axis : axes) {
    width *= x.shape()[static_cast<size_t>(axis)];
  }
  if (floats) {
    const double infinity = std::numeric_limits<double>::infinity();
    const double start = kind == "max"    ? -infinity
                         : kind == "min"  ? infinity
                         : kind == "prod" ? 1
                                          : 0;
    std::vector<double> sums(size, start);
    for_each_reduced(x.shape(), axes, [&](int64_t to, int64_t from) {
      double &sum = sums[static_cast<size_t>(to)];
      const double value = x.at(from);
      if (kind == "max" || kind == "min") {
        if (std::isnan(value) || std::isnan(sum)) {
          sum = std::numeric_limits<double>::quiet_NaN();
        } else {
          sum = kind == "max" ? std::max(sum, value) : std::min(sum, value);
        }
      } else {
        sum = kind == "prod" ? sum * value : sum + value;
      }
    });
    for (size_t i = 0; i < size; ++i) {
      result.set(static_cast<int64_t>(i),
                 kind == "mean" ? sums[i] / static_cast<double>(width) : sums[i]);
    }
    return result;
  }
  const bool unsigned64 = x.dtype() == DType::U64;  // in the bits of an int64_t
  const int64_t start = kind == "max"    ? (unsigned64 ? 0 : INT64_MIN)
                        : kind == "min"  ? (unsigned64 ? -1 : INT64_MAX)
                        : kind == "prod" ? 1
                                         : 0;
  std::vector<int64_t> sums(size, start);
  for_each_reduced(x.shape(), axes, [&](int64_t to, int64_t from) {
    int64_t &sum = sums[static_cast<size_t>(to)];
    const int64_t value = x.at_int(from);
    if (kind == "max" || kind == "min") {
      const bool smaller = integer_less(x.dtype(), value, sum);
      sum = smaller == (kind == "min") ? value : sum;
    } else {
      const uint64_t a = static_cast<uint64_t>(sum), b = static_cast<uint64_t>(value);
      sum = static_cast<int64_t>(kind == "prod" ? a * b : a + b);
    }
  });
  for (size_t i = 0; i < size; ++i) {
    int64_t sum = sums[i];
    if (kind == "mean" && width > 0) {
      sum = unsigned64
                ? static_cast<int64_t>(static_cast<uint64_t>(sum) / static_cast<uint64_t>(width))
                : sum / width;
    }
    result.set_int(static_cast<int64_t>(i), sum);
  }
  return result;
}

// True when a goes before b in an order that puts the wanted extreme first; NaN counts as the
// largest.
bool before(const Tensor &x, int64_t a, int64_t b, bool largest) {
  if (!is_float(x.dtype())) {
    return integer_less(x.dtype(), x.at_int(largest ? b : a), x.at_int(largest ? a : b));
  }
  const double va = x.at(a), vb = x.at(b);
  if (std::isnan(va) || std::isnan(vb)) {
    return largest ? std::isnan(va) && !std::isnan(vb) : !std::isnan(va) && std::isnan(vb);
  }
  return largest ? va > vb : va < vb;
}

Tensor arg_reduce(const Node &node, const Tensor &x, Tensor result) {
  const size_t axis = static_cast<size_t>(node.attributes.integer("axis"));
  const bool largest = node.attributes.text("kind") == "max";
  const bool last = node.attributes.integer_or("last", 0) != 0;
  const int64_t stride = row_major_strides(x.shape())[axis], size = x.shape()[axis];
  for (int64_t i = 0; i < result.count(); ++i) {
    const int64_t base = i / stride * stride * size + i % stride;
    int64_t best = 0;
    for (int64_t k = 1; k < size; ++k) {
      const bool better = before(x, base + k * stride, base + best * stride, largest);
      const bool worse = before(x, base + best * stride, base + k * stride, largest);
      if (better || (last && !worse)) {
        best = k;
      }
    }
    result.set_int(i, best);
  }
  return result;
}

Tensor cumsum(const Node &node, const Tensor &x, Tensor result) {
  const size_t axis = static_cast<size_t>(node.attributes.integer("axis"));
  const bool exclusive = node.attributes.integer_or("exclusive", 0) != 0;
  const bool reverse = node.attributes.integer_or("reverse", 0) != 0;
  const bool products = node.attributes.text_or("kind", "sum") == "prod";
  const int64_t stride = row_major_strides(x.shape())[axis], size = x.shape()[axis];
  for (int64_t line = 0; size > 0 && line < x.count() / size; ++line) {
    const int64_t base = line / stride * stride * size + line % stride;
    double sum = products ? 1 : 0;
    uint64_t whole = products ? 1 : 0;  // wraps around
    for (int64_t k = 0; k < size; ++k) {
      const int64_t at = base + (reverse ? size - 1 - k : k) * stride;
      if (is_float(x.dtype())) {
        const double before = sum;
        sum = products ? sum * x.at(at) : sum + x.at(at);
        result.set(at, exclusive ? before : sum);
      } else {
        const uint64_t before = whole;
        const uint64_t next = static_cast<uint64_t>(x.at_int(at));
        whole = products ? whole * next : whole + next;
        result.set_int(at, static_cast<int64_t>(exclusive ? before : whole));
      }
    }
  }
  return result;
}

std::vector<Tensor> top_k(const Node &node, const Tensor &x, const SymbolValues &symbols) {
  const size_t axis = static_cast<size_t>(node.attributes.integer("axis"));
  const bool largest = node.attributes.integer_or("largest", 1) != 0;
  Tensor values(x.dtype(), evaluate_shape(node.output(0)->type.shape, symbols));
  Tensor indices(DType::I64, values.shape());
  const int64_t stride = row_major_strides(x.shape())[axis], size = x.shape()[axis];
  const int64_t k = values.shape()[axis];
  for (int64_t line = 0; size > 0 && line < x.count() / size; ++line) {
    const int64_t base = line / stride * stride * size + line % stride;
    const int64_t to = line / stride * stride * k + line % stride;
    std::vector<int64_t> order(static_cast<size_t>(size));
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
      return before(x, base + a * stride, base + b * stride, largest);
    });
    for (int64_t i = 0; i < k; ++i) {
      const int64_t from = order[static_cast<size_t>(i)];
      is_float(x.dtype()) ? values.set(to + i * stride, x.at(base + from * stride))
                          : values.set_int(to + i * stride, x.at_int(base + from * stride));
      indices.set_int(to + i * stride, from);
    }
  }
  return {values, indices};
}

void combine(Tensor &data, int64_t to, const Tensor &updates, int64_t from,
             const std::string &kind) {
  const bool floats = is_float(data.dtype());
  if (kind == "none") {
    floats ? data.set(to, updates.at(from)) : data.set_int(to, updates.at_int(from));
    return;
  }
  if (floats) {
    const double a = data.at(to), b = updates.at(from);
    data.set(to, kind == "add"   ? a + b
                 : kind == "mul" ? a * b
                 : kind == "max" ? std::fmax(a, b)
                                 : std::fmin(a, b));
  } else {
    const int64_t a = data.at_int(to), b = updates.at_int(from);
    const uint64_t x = static_cast<uint64_t>(a), y = static_cast<uint64_t>(b);  // wrap around
    const bool less = integer_less(data.dtype(), a, b);
    data.set_int(to, kind == "add"             ? static_cast<int64_t>(x + y)
                     : kind == "mul"           ? static_cast<int64_t>(x * y)
                     : less == (kind == "max") ? b
                                               : a);
  }
}

Tensor copy_of(const Tensor &x) {
  Tensor result(x.dtype(), x.shape());
  std::copy(x.bytes().begin(), x.bytes().end(), result.mutable_bytes());
  return result;
}

Tensor scatter_nd(const Node &node, const std::vector<Tensor> &inputs) {
  Tensor result = copy_of(inputs[0]);
  const Tensor &indices = inputs[1];
  const std::string kind = node.attributes.text_or("reduction", "none");
  const int64_t depth = indices.shape().back();
  const std::vector<int64_t> strides = row_major_strides(result.shape());
  const int64_t slice = depth == 0 ? result.count() : strides[static_cast<size_t>(depth - 1)];
  for (int64_t row = 0; row < (depth == 0 ? 1 : indices.count() / depth); ++row) {
    int64_t to = 0;
    for (int64_t k = 0; k < depth; ++k) {
      const size_t axis = static_cast<size_t>(k);
      to += checked_index(node, indices.at_int(row * depth + k), result.shape()[axis], "index") *
            strides[axis];
    }
    for (int64_t i = 0; i < slice; ++i) {
      combine(result, to + i, inputs[2], row * slice + i, kind);
    }
  }
  return result;
}

Tensor scatter_elements(const Node &node, const std::vector<Tensor> &inputs) {
  Tensor result = copy_of(inputs[0]);
  const Tensor &indices = inputs[1];
  const size_t axis = static_cast<size_t>(node.attributes.integer("axis"));
  const std::string kind = node.attributes.text_or("reduction", "none");
  const std::vector<int64_t> strides = row_major_strides(result.shape());
  Index index(indices.shape().size(), 0);
  for (int64_t i = 0; i < indices.count(); ++i, advance(index, indices.shape())) {
    Index to = index;
    to[axis] = checked_index(node, indices.at_int(i), result.shape()[axis], "index");
    const int64_t offset = std::inner_product(to.begin(), to.end(), strides.begin(), int64_t{0});
    combine(result, offset, inputs[2], i, kind);
  }
  return result;
}

Tensor append(const Node &node, const std::vector<Tensor> &inputs, const SymbolValues &symbols) {
  Tensor pool = copy_of(inputs[0]);
  const Tensor &table = inputs[1], &rows = inputs[2];
  const int64_t past = evaluate(node.attributes.dims("past")[0], symbols);
  const int64_t heads = rows.shape()[1], length = rows.shape()[2], size = rows.shape()[3];
  const int64_t columns = table.shape()[1];
  for (int64_t row = 0; row < rows.shape()[0] * heads * length; ++row) {
    const int64_t batch = row / length / heads, head = row / length % heads;
    const int64_t position = past + row % length;
    checked_index(node, position / kCacheBlock, columns, "the table's column");
    const int64_t block = checked_index(
        node, table.at_int(batch * columns + position / kCacheBlock), pool.shape()[0], "block");
    const int64_t to = (block * heads + head) * kCacheBlock + position % kCacheBlock;
    for (int64_t i = 0; i < size; ++i) {
      combine(pool, to * size + i, rows, row * size + i, "none");
    }
  }
  return pool;
}

}  // namespace

std::vector<Tensor> evaluate_root(const Node &node, const std::vector<Tensor> &inputs,
                                  const SymbolValues &symbols) {
  const auto result = [&] {
    return Tensor(node.output()->type.dtype, evaluate_shape(node.output()->type.shape, symbols));
  };
  switch (node.op) {
    case Op::MatMul:
      return {matmul_with_vectors(inputs[0], inputs[1],
                                  node.attributes.integer_or("transpose_b", 0) != 0,
                                  result().shape())};
    case Op::MatMulPanels:
      return {matmul_with_vectors(inputs[0], unpack_panels(inputs[1], node.attributes.integer("n")),
                                  false, result().shape())};
    case Op::Conv:
      return {conv(node, inputs, result())};
    case Op::Pool:
      return {pool(node, inputs[0], result())};
    case Op::Reduce:
      return {reduce(node, inputs[0], result())};
    case Op::ArgReduce:
      return {arg_reduce(node, inputs[0], result())};
    case Op::CumSum:
      return {cumsum(node, inputs[0], result())};
    case Op::Softmax:
      return {softmax(inputs[0], static_cast<size_t>(node.attributes.integer("axis")))};
    case Op::LayerNorm:
      return {layer_norm(node, inputs)};
    case Op::Attention:
      return {attention(node, inputs, symbols)};
    default:
      break;
  }
  SYLVITE_CHECK(false, describe(node));
}

std::vector<Tensor> evaluate_library(const Node &node, const std::vector<Tensor> &inputs,
                                     const SymbolValues &symbols) {
  switch (node.op) {
    case Op::TopK:
      return top_k(node, inputs[0], symbols);
    case Op::ScatterND:
      return {scatter_nd(node, inputs)};
    case Op::ScatterElements:
      return {scatter_elements(node, inputs)};
    case Op::Append:
      return {append(node, inputs, symbols)};
    default:
      break;
  }
  SYLVITE_CHECK(false, describe(node));
}

}  // namespace sylvite
