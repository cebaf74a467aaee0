// Convolution and pooling over the axes behind batch and channels.
//
// Sizes and attributes are bounded before anything is computed from them: products and sums of a
// few stay far from 2^63.
#include <numeric>

#include "compiler/import/onnx_node.h"

namespace sylvite {
namespace {

constexpr int64_t kLargest = int64_t{1} << 30;  // the shape rules' limit

struct Window {
  std::vector<int64_t> kernel, strides, dilations, pads;
};

int64_t spatial_rank(const OnnxNode &node) {
  const int64_t rank = node.input(0)->type.rank();
  if (rank < 3) {
    node.fail("has an input with ", rank,
              " dimensions, expected batch, channels and at least one more");
  }
  return rank - 2;
}

std::vector<int64_t> one_an_axis(const OnnxNode &node, const char *name, int64_t count,
                                 int64_t fallback, int64_t least) {
  std::vector<int64_t> values(static_cast<size_t>(count), fallback);
  if (node.has(name)) {
    values = node.integers(name);
  }
  if (static_cast<int64_t>(values.size()) != count) {
    node.fail(name, " has ", values.size(), " entries, expected ", count);
  }
  for (const int64_t value : values) {
    if (value < least || value > kLargest) {
      node.fail(name, " has the entry ", value, ", expected ", least, " to ", kLargest);
    }
  }
  return values;
}

// A spatial size that must be known for `what`.
int64_t static_size(const OnnxNode &node, size_t axis, const char *what) {
  const Dim &size = node.input(0)->type.shape[axis];
  if (!size.is_constant()) {
    node.fail(what, " needs static sizes, got ", size.str());
  }
  if (*size.constant() > INT32_MAX) {
    node.fail(what, " needs sizes of at most ", INT32_MAX, ", got ", size.str());
  }
  return *size.constant();
}

// auto_pad = SAME_*: as many outputs as ceil(size / stride).
void pad_to_same_size(const OnnxNode &node, Window &window, bool upper) {
  const size_t rank = window.kernel.size();
  for (size_t i = 0; i < rank; ++i) {
    const int64_t extent = (window.kernel[i] - 1) * window.dilations[i] + 1;
    int64_t total = std::max<int64_t>(0, extent - 1);
    if (window.strides[i] != 1) {
      const int64_t length = static_size(node, i + 2, "auto_pad with strides");
      const int64_t outputs = (length + window.strides[i] - 1) / window.strides[i];
      total = std::max<int64_t>(0, (outputs - 1) * window.strides[i] + extent - length);
    }
    window.pads[i] = upper ? total / 2 : total - total / 2;
    window.pads[i + rank] = total - window.pads[i];
  }
}

Window window_of(const OnnxNode &node, std::vector<int64_t> kernel) {
  const auto rank = static_cast<int64_t>(kernel.size());
  Window window;
  window.kernel = std::move(kernel);
  window.strides = one_an_axis(node, "strides", rank, 1, 1);
  window.dilations = one_an_axis(node, "dilations", rank, 1, 1);
  window.pads = one_an_axis(node, "pads", 2 * rank, 0, 0);
  const std::string automatic = node.text("auto_pad", "NOTSET");
  if (automatic == "SAME_UPPER" || automatic == "SAME_LOWER") {
    pad_to_same_size(node, window, automatic == "SAME_UPPER");
  } else if (automatic == "VALID") {
    window.pads.assign(window.pads.size(), 0);
  } else if (automatic != "NOTSET") {
    node.fail("auto_pad is '", automatic, "', expected NOTSET, VALID, SAME_UPPER or SAME_LOWER");
  }
  return window;
}

void convolution(OnnxNode &node) {
  Value *const x = node.input(0);
  Value *const weights = node.input(1);
  const int64_t rank = spatial_rank(node);
  if (weights->type.rank() != rank + 2) {
    node.fail("has weights with ", weights->type.rank(), " dimensions, expected ", rank + 2);
  }
  std::vector<int64_t> kernel;
  for (int64_t i = 0; i < rank; ++i) {
    const Dim &size = weights->type.shape[static_cast<size_t>(i) + 2];
    if (!size.is_constant()) {
      node.fail("has weights of unknown size ", to_string(weights->type.shape));
    }
    if (*size.constant() < 1 || *size.constant() > kLargest) {
      node.fail("has weights of the shape ", to_string(weights->type.shape),
                ", expected windows of 1 to ", kLargest);
    }
    kernel.push_back(*size.constant());
  }
  if (node.has("kernel_shape") && node.integers("kernel_shape") != kernel) {
    node.fail("kernel_shape differs from that of the weights, ", to_string(weights->type.shape));
  }
  const int64_t group = node.integer("group", 1);
  const Dim &channels = x->type.shape[1];
  const Dim &outputs = weights->type.shape[0];
  if (group < 1 || (channels.is_constant() && *channels.constant() % group != 0) ||
      (outputs.is_constant() && *outputs.constant() % group != 0)) {
    node.fail("group ", group, " does not divide ", channels.str(), " input and ", outputs.str(),
              " output channels");
  }
  const Window window = window_of(node, kernel);
  Value *result = node.add(Op::Conv, {x, weights},
                           {{"strides", window.strides},
                            {"pads", window.pads},
                            {"dilations", window.dilations},
                            {"group", group}});
  if (Value *const bias = node.input_or_null(2)) {
    Shape shape(static_cast<size_t>(rank) + 1, Dim(1));
    shape[0] = outputs;
    result = node.add(Op::Add, {result, node.reshape(bias, shape)});
  }
  node.set_output(0, result);
}

// ceil_mode: one more window where the last one would hang over the end, unless it would start
// behind the input. The elements that it lacks are padding, which neither a maximum nor an average
// counts.
void apply_ceil_mode(const OnnxNode &node, Window &window) {
  const size_t rank = window.kernel.size();
  for (size_t i = 0; i < rank; ++i) {
    const int64_t stride = window.strides[i];
    if (stride == 1) {
      continue;
    }
    const int64_t extent = (window.kernel[i] - 1) * window.dilations[i] + 1;
    const int64_t before = static_size(node, i + 2, "ceil_mode") + window.pads[i];
    const int64_t length = before + window.pads[i + rank];
    const int64_t last = (length - extent + stride - 1) / stride * stride;  // where it would start
    if (length < extent || last >= before || last + extent <= length) {
      continue;
    }
    if (node.integer("count_include_pad", 0) != 0) {
      node.fail(
          "ceil_mode with count_include_pad is not supported where a window leaves the input");
    }
    window.pads[i + rank] += last + extent - length;
  }
}

template <bool average>
void pool(OnnxNode &node) {
  Value *const x = node.input(0);
  const int64_t rank = spatial_rank(node);
  if (node.has_output(1)) {
    node.fail("output 1 (Indices) is not supported");
  }
  if (!node.has("kernel_shape")) {
    node.fail("attribute 'kernel_shape' is missing");
  }
  Window window = window_of(node, one_an_axis(node, "kernel_shape", rank, 1, 1));
  if (node.integer("ceil_mode", 0) != 0) {
    apply_ceil_mode(node, window);
  }
  node.set_output(0, node.add(Op::Pool, {x},
                              {{"kind", std::string(average ? "average" : "max")},
                               {"kernel", window.kernel},
                               {"strides", window.strides},
                               {"pads", window.pads},
                               {"dilations", window.dilations},
                               {"count_include_pad", node.integer("count_include_pad", 0)}}));
}

template <bool average>
void global_pool(OnnxNode &node) {
  std::vector<int64_t> axes(static_cast<size_t>(spatial_rank(node)));
  std::iota(axes.begin(), axes.end(), 2);
  node.set_output(0, node.reduce(average ? "mean" : "max", node.input(0), axes, true));
}

constexpr OpRule kRules[] = {
    {"AveragePool", 22, pool<true>},
    {"Conv", 22, convolution},
    {"GlobalAveragePool", 22, global_pool<true>},
    {"GlobalMaxPool", 22, global_pool<false>},
    {"MaxPool", 22, pool<false>},
};

}  // namespace

std::span<const OpRule> convolution_rules() {
  return kRules;
}

}  // namespace sylvite
