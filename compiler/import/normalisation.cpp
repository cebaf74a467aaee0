// Softmax and the norms. Statistics of half-precision inputs are computed in float, as stash_type
// says.
#include <numeric>

#include "compiler/import/element_types.h"
#include "compiler/import/onnx_node.h"

namespace sylvite {

Value *softmax(OnnxNode &node, Value *x, int64_t axis) {
  return node.add(Op::Softmax, {x}, {{"axis", axis}});
}

Value *widened(OnnxNode &node, Value *x) {
  const DType type = x->type.dtype;
  return type == DType::F16 || type == DType::BF16 ? node.cast(x, DType::F32) : x;
}

namespace {

Shape part(const Shape &shape, int64_t from, int64_t to) {
  return {shape.begin() + from, shape.begin() + to};
}

// Scale or bias of a norm over the axes `shape`, in full.
Value *in_full(OnnxNode &node, Value *weights, const Shape &shape) {
  Shape sizes = weights->type.shape;
  if (sizes.size() > shape.size()) {
    const auto extra = static_cast<int64_t>(sizes.size() - shape.size());
    if (!element_count(part(sizes, 0, extra)).is(1)) {
      node.fail("scale or bias of shape ", to_string(sizes), " does not fit ", to_string(shape));
    }
    sizes.erase(sizes.begin(), sizes.begin() + extra);
  }
  return node.expand(node.reshape(weights, sizes), shape);
}

Value *layer_norm(OnnxNode &node, Value *x, int64_t axis, double epsilon, bool rms = false) {
  return node.add(Op::LayerNorm, {x},
                  {{"axis", axis}, {"epsilon", epsilon}, {"rms", int64_t{rms}}});
}

}  // namespace

Value *layer_normalised(OnnxNode &node, Value *x, Value *scale, Value *bias, int64_t axis,
                        double epsilon, bool rms) {
  Value *const wide = widened(node, x);
  // Read again for the bias: the scale may have fixed a size.
  const auto normalised = [&] { return part(x->type.shape, axis, x->type.rank()); };
  scale = in_full(node, scale, normalised());
  bias = bias != nullptr ? in_full(node, bias, normalised()) : nullptr;
  if (wide == x) {
    std::vector<Value *> inputs{x, scale};
    if (bias != nullptr) {
      inputs.push_back(bias);
    }
    return node.add(Op::LayerNorm, inputs,
                    {{"axis", axis}, {"epsilon", epsilon}, {"rms", int64_t{rms}}});
  }
  Value *result = layer_norm(node, wide, axis, epsilon, rms);
  result = node.cast(result, rms ? scale->type.dtype : x->type.dtype);
  result = node.add(Op::Mul, {result, scale});
  return bias != nullptr ? node.add(Op::Add, {result, bias}) : result;
}

namespace {

// log(softmax(x))  =>  y - log(sum(exp(y))), y = x - max(x)
Value *log_softmax(OnnxNode &node, Value *x, int64_t axis) {
  Value *const shifted = node.add(Op::Sub, {x, node.reduce("max", x, {axis}, true)});
  Value *const sum = node.reduce("sum", node.add(Op::Exp, {shifted}), {axis}, true);
  return node.add(Op::Sub, {shifted, node.add(Op::Log, {sum})});
}

// 1 at the first of the largest elements, 0 elsewhere
Value *hardmax(OnnxNode &node, Value *x, int64_t axis) {
  Value *const largest = node.add(Op::ArgReduce, {x},
                                  {{"kind", std::string("max")},
                                   {"axis", axis},
                                   {"keepdims", int64_t{1}},
                                   {"last", int64_t{0}}});
  const Dim &size = x->type.shape[static_cast<size_t>(axis)];
  Shape along(x->type.shape.size(), Dim(1));
  along[static_cast<size_t>(axis)] = size;
  Value *const positions = node.reshape(node.iota(size), along);
  return node.cast(node.add(Op::Equal, {positions, largest}), x->type.dtype);
}

// Up to opset 12 all axes from `axis` on were normalised together.
template <Value *(*normalise)(OnnxNode &, Value *, int64_t)>
void softmax_like(OnnxNode &node) {
  Value *const x = node.input(0);
  const int64_t rank = x->type.rank();
  const int64_t axis = node.axis(node.integer("axis", node.opset() < 13 ? 1 : -1), rank);
  if (node.opset() >= 13 || axis == rank - 1) {
    node.set_output(0, normalise(node, x, axis));
    return;
  }
  const Shape &shape = x->type.shape;
  const Dim rows = element_count(part(shape, 0, axis));
  const Dim columns = element_count(part(shape, axis, rank));
  Value *const result = normalise(node, node.reshape(x, {rows, columns}), 1);
  node.set_output(0, node.reshape(result, shape));
}

std::vector<int64_t> axes_from(int64_t axis, int64_t rank) {
  std::vector<int64_t> axes(static_cast<size_t>(rank - axis));
  std::iota(axes.begin(), axes.end(), axis);
  return axes;
}

// The mean and 1 / standard deviation that LayerNormalization may give besides.
void layer_statistics(OnnxNode &node, Value *x, const std::vector<int64_t> &axes, double epsilon) {
  Value *const mean = node.reduce("mean", x, axes, true);
  if (node.has_output(1)) {
    node.set_output(1, mean);
  }
  if (node.has_output(2)) {
    Value *const centred = node.add(Op::Sub, {x, mean});
    Value *const variance = node.reduce("mean", node.add(Op::Mul, {centred, centred}), axes, true);
    Value *const deviation =
        node.add(Op::Sqrt, {node.add(Op::Add, {variance, node.like(x, epsilon)})});
    node.set_output(2, node.add(Op::Div, {node.like(x, 1), deviation}));
  }
}

void layer_normalization(OnnxNode &node) {
  Value *const x = node.input(0);
  const int64_t rank = x->type.rank();
  const int64_t axis = node.axis(node.integer("axis", -1), rank);
  const double epsilon = node.real("epsilon", 1e-5F);
  node.set_output(
      0, layer_normalised(node, x, node.input(1), node.input_or_null(2), axis, epsilon, false));
  if (node.has_output(1) || node.has_output(2)) {
    layer_statistics(node, widened(node, x), axes_from(axis, rank), epsilon);
  }
}

void rms_normalization(OnnxNode &node) {
  Value *const x = node.input(0);
  const int64_t axis = node.axis(node.integer("axis", -1), x->type.rank());
  node.set_output(0, layer_normalised(node, x, node.input(1), nullptr, axis,
                                      node.real("epsilon", 1e-5F), true));
}

// [C] as [C, 1, 1, ...], to stand beside [N, C, ...].
Value *per_channel(OnnxNode &node, size_t input, int64_t rank) {
  Value *const weights = node.input(input);
  if (weights->type.rank() != 1) {
    node.fail("input ", input, " has ", weights->type.rank(), " dimensions, expected 1");
  }
  Shape shape(static_cast<size_t>(rank - 1), Dim(1));
  shape[0] = weights->type.shape[0];
  return node.reshape(weights, shape);
}

void require_channels(const OnnxNode &node, const Value *x) {
  if (x->type.rank() < 2) {
    node.fail("needs at least 2 dimensions, got ", x->type.rank());
  }
}

// (x - mean) / sqrt(variance + epsilon) * scale + bias  =>  x * factor + (bias - mean * factor)
void batch_normalization(OnnxNode &node) {
  Value *const x = node.input(0);
  require_channels(node, x);
  if (node.integer("training_mode", 0) != 0) {
    node.fail("training_mode is set; export the model in evaluation mode");
  }
  const int64_t rank = x->type.rank();
  Value *const variance = per_channel(node, 4, rank);
  Value *const epsilon = node.like(variance, node.real("epsilon", 1e-5F));
  Value *const deviation = node.add(Op::Sqrt, {node.add(Op::Add, {variance, epsilon})});
  Value *const factor = node.add(Op::Div, {per_channel(node, 1, rank), deviation});
  Value *const shift = node.add(Op::Mul, {per_channel(node, 3, rank), factor});
  Value *const offset = node.add(Op::Sub, {per_channel(node, 2, rank), shift});
  node.set_output(0, node.add(Op::Add, {node.add(Op::Mul, {x, factor}), offset}));
}

void instance_normalization(OnnxNode &node) {
  Value *const x = node.input(0);
  require_channels(node, x);
  const int64_t rank = x->type.rank();
  Value *const normal =
      rank == 2 ? node.add(Op::Sub, {x, x}) : layer_norm(node, x, 2, node.real("epsilon", 1e-5F));
  Value *const scaled = node.add(Op::Mul, {normal, per_channel(node, 1, rank)});
  node.set_output(0, node.add(Op::Add, {scaled, per_channel(node, 2, rank)}));
}

// Scale and bias are one a group in opset 18 (withdrawn) and one a channel since 21.
void group_normalization(OnnxNode &node) {
  Value *const x = node.input(0);
  require_channels(node, x);
  const Shape &shape = x->type.shape;
  const int64_t rank = x->type.rank();
  const int64_t groups = node.integer("num_groups");
  const auto channels = exact_div(shape[1], groups == 0 ? Dim(1) : Dim(groups));
  if (groups <= 0 || !channels) {
    node.fail("cannot split ", shape[1].str(), " channels into ", groups, " groups");
  }
  Shape grouped{shape[0], groups, *channels};
  grouped.insert(grouped.end(), shape.begin() + 2, shape.end());
  Value *const apart = node.reshape(widened(node, x), grouped);
  Value *normal = node.cast(layer_norm(node, apart, 2, node.real("epsilon", 1e-5F)), x->type.dtype);
  if (node.opset() < 21) {
    normal = node.add(Op::Mul, {normal, per_channel(node, 1, rank + 1)});
    normal = node.add(Op::Add, {normal, per_channel(node, 2, rank + 1)});
    node.set_output(0, node.reshape(normal, shape));
    return;
  }
  Value *const scaled =
      node.add(Op::Mul, {node.reshape(normal, shape), per_channel(node, 1, rank)});
  node.set_output(0, node.add(Op::Add, {scaled, per_channel(node, 2, rank)}));
}

// x / norm, zero where the norm is
void lp_normalization(OnnxNode &node) {
  Value *const x = node.input(0);
  const int64_t axis = node.axis(node.integer("axis", -1), x->type.rank());
  const int64_t p = node.integer("p", 2);
  if (p != 1 && p != 2) {
    node.fail("p is ", p, ", expected 1 or 2");
  }
  Value *const wide = widened(node, x);
  Value *const powers = p == 1 ? node.add(Op::Abs, {wide}) : node.add(Op::Mul, {wide, wide});
  Value *const sum = node.reduce("sum", powers, {axis}, true);
  Value *const norm = p == 1 ? sum : node.add(Op::Sqrt, {sum});
  Value *const zero = node.like(norm, 0);
  Value *const nothing = node.add(Op::Equal, {norm, zero});
  Value *const result = node.add(Op::Where, {nothing, zero, node.add(Op::Div, {wide, norm})});
  node.set_output(0, node.cast(result, x->type.dtype));
}

constexpr int64_t kMostChannels = 1 << 20;

// The mean of squares over neighbouring channels is an average pool over [N, 1, C, rest].
void local_response_normalization(OnnxNode &node) {
  Value *const x = node.input(0);
  require_channels(node, x);
  const int64_t size = node.integer("size");
  if (size < 1 || size > kMostChannels) {
    node.fail("size is ", size, ", expected 1 to ", kMostChannels);
  }
  Value *const wide = widened(node, x);
  const Shape &shape = x->type.shape;
  const Dim rest = element_count(part(shape, 2, x->type.rank()));
  Value *const squares =
      node.reshape(node.add(Op::Mul, {wide, wide}), {shape[0], 1, shape[1], rest});
  Value *const means = node.add(Op::Pool, {squares},
                                {{"kind", std::string("average")},
                                 {"kernel", std::vector<int64_t>{size, 1}},
                                 {"strides", std::vector<int64_t>{1, 1}},
                                 {"pads", std::vector<int64_t>{(size - 1) / 2, 0, size / 2, 0}},
                                 {"dilations", std::vector<int64_t>{1, 1}},
                                 {"count_include_pad", int64_t{1}}});
  Value *const scaled =
      node.add(Op::Mul, {node.reshape(means, shape), node.like(wide, node.real("alpha", 1e-4F))});
  Value *const base = node.add(Op::Add, {scaled, node.like(wide, node.real("bias", 1))});
  Value *const divisor = node.add(Op::Pow, {base, node.like(wide, node.real("beta", 0.75))});
  node.set_output(0, node.cast(node.add(Op::Div, {wide, divisor}), x->type.dtype));
}

constexpr Signature kSimplified{2, 2, 2, "axis epsilon stash_type"};

constexpr OpRule kRules[] = {
    {"BatchNormalization", 15, batch_normalization},
    {"GroupNormalization", 21, group_normalization},
    {"Hardmax", 13, softmax_like<hardmax>},
    {"InstanceNormalization", 22, instance_normalization},
    {"LRN", 13, local_response_normalization},
    {"LayerNormalization", 17, layer_normalization},
    {"LogSoftmax", 13, softmax_like<log_softmax>},
    {"LpNormalization", 22, lp_normalization},
    {"RMSNormalization", 23, rms_normalization},
    // What onnxruntime's optimisers write into the standard domain for an RMSNormalization.
    {"SimplifiedLayerNormalization", 1, rms_normalization, "", kSimplified},
    {"Softmax", 13, softmax_like<softmax>},
};

}  // namespace

std::span<const OpRule> normalisation_rules() {
  return kRules;
}

}  // namespace sylvite
