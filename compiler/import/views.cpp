// Operators that move elements and compute none. Targets, starts and repeats are read off host
// values, so that what ONNX spends a dozen nodes on ends as dims in an attribute.
#include <algorithm>
#include <limits>

#include "compiler/import/onnx_node.h"

namespace sylvite {
namespace {

// Exporters write "to the end" as INT64_MAX or INT32_MAX.
constexpr int64_t kEndOfAxis = std::numeric_limits<int32_t>::max();

Dim product(const std::vector<Dim> &dims) {
  return element_count(dims);
}

Dim known_product(const Shape &shape) {
  Dim known = 1;
  for (const Dim &size : shape) {
    known *= size.is(-1) ? Dim(1) : size;
  }
  return known;
}

// The size that a -1 stands for: what the other sizes leave of the elements.
Dim remaining_size(const OnnxNode &node, const Value *x, const Shape &shape) {
  if (known_product(shape).is(0)) {
    node.fail("cannot infer the size -1 next to a size of 0");
  }
  const Dim total = element_count(x->type.shape);
  const Dim known = known_product(shape);
  if (const std::optional<Dim> exact = exact_div(total, known)) {
    return *exact;
  }
  if (total.is_constant() && known.is_constant()) {
    node.fail("cannot reshape ", to_string(x->type.shape), " to ", to_string(shape));
  }
  return floor_div(total, known);
}

// The target with zeros copied from the input; a -1 stays.
Shape reshape_target(const OnnxNode &node) {
  const Value *const x = node.input(0);
  Shape shape = node.dims(1, "shape");
  const bool copy_zeros = node.integer("allowzero", 0) == 0;
  int inferred = 0;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i].is(0) && copy_zeros) {
      if (i >= x->type.shape.size()) {
        node.fail("copies size ", i, " of an input with ", x->type.rank(), " dimensions");
      }
      shape[i] = x->type.shape[i];
    }
    inferred += shape[i].is(-1) ? 1 : 0;
    if (shape[i].is_constant() && *shape[i].constant() < -1) {
      node.fail("has the negative size ", shape[i].str());
    }
  }
  if (inferred > 1) {
    node.fail("has two sizes of -1");
  }
  return shape;
}

void reshape(OnnxNode &node) {
  Value *const x = node.input(0);
  Shape shape = reshape_target(node);
  for (Dim &size : shape) {
    if (size.is(-1)) {
      size = remaining_size(node, x, shape);
    }
  }
  node.set_output(0, node.reshape(x, shape));
}

void transpose(OnnxNode &node) {
  Value *const x = node.input(0);
  const int64_t rank = x->type.rank();
  std::vector<int64_t> perm = node.integers("perm");
  if (!node.has("perm")) {
    for (int64_t i = rank; i-- > 0;) {
      perm.push_back(i);
    }
  }
  if (static_cast<int64_t>(perm.size()) != rank) {
    node.fail("perm has ", perm.size(), " entries for ", rank, " dimensions");
  }
  node.set_output(0, node.transpose(x, node.axes(perm, rank)));
}

void flatten(OnnxNode &node) {
  Value *const x = node.input(0);
  const int64_t rank = x->type.rank();
  int64_t axis = node.integer("axis", 1);
  if (axis < -rank || axis > rank) {
    node.fail("axis ", axis, " is out of range for ", rank, " dimensions");
  }
  axis = axis < 0 ? axis + rank : axis;
  const Shape &shape = x->type.shape;
  const Shape left(shape.begin(), shape.begin() + axis);
  const Shape right(shape.begin() + axis, shape.end());
  node.set_output(0, node.reshape(x, {product(left), product(right)}));
}

// An attribute up to opset 12, an input since.
std::vector<int64_t> axes_operand(const OnnxNode &node) {
  return node.has_input(1) ? node.numbers(1, "axes") : node.integers("axes");
}

void squeeze(OnnxNode &node) {
  Value *const x = node.input(0);
  const std::vector<int64_t> axes = node.axes(axes_operand(node), x->type.rank());
  const bool every = !node.has_input(1) && !node.has("axes");
  Shape shape;
  for (int64_t i = 0; i < x->type.rank(); ++i) {
    const Dim &size = x->type.shape[static_cast<size_t>(i)];
    const bool chosen = every ? size.is(1) : std::count(axes.begin(), axes.end(), i) != 0;
    if (chosen && size.is_constant() && !size.is(1)) {
      node.fail("cannot remove axis ", i, " of size ", size.str());
    }
    if (!chosen) {
      shape.push_back(size);  // the shape rule assumes that the others are 1
    }
  }
  node.set_output(0, node.reshape(x, shape));
}

void unsqueeze(OnnxNode &node) {
  Value *const x = node.input(0);
  const std::vector<int64_t> given = axes_operand(node);
  const int64_t rank = x->type.rank() + static_cast<int64_t>(given.size());
  const std::vector<int64_t> axes = node.axes(given, rank);
  Shape shape;
  auto next = x->type.shape.begin();
  for (int64_t i = 0; i < rank; ++i) {
    shape.push_back(std::count(axes.begin(), axes.end(), i) != 0 ? Dim(1) : *next++);
  }
  node.set_output(0, node.reshape(x, shape));
}

void expand(OnnxNode &node) {
  Value *const x = node.input(0);
  Shape target = node.dims(1, "shape");
  Shape shape = x->type.shape;
  const size_t rank = std::max(shape.size(), target.size());
  shape.insert(shape.begin(), rank - shape.size(), Dim(1));
  target.insert(target.begin(), rank - target.size(), Dim(1));
  for (size_t i = 0; i < rank; ++i) {
    if (target[i].is_constant() && *target[i].constant() < 0) {
      node.fail("has the negative size ", target[i].str());
    }
    if (shape[i].is(1)) {
      shape[i] = target[i];
    } else if (!target[i].is(1)) {
      if (shape[i].is_constant() && target[i].is_constant() && shape[i] != target[i]) {
        node.fail("cannot expand a size of ", shape[i].str(), " to ", target[i].str());
      }
      shape[i] = target[i];  // the shape rule assumes that they are equal
    }
  }
  node.set_output(0, node.expand(x, shape));
}

// One axis of a slice in ONNX's terms, brought to a start and a size in range.
struct AxisSlice {
  Dim start, size;
};

// Counts a bound from the end when it is negative.
Dim from_front(OnnxNode &node, const Dim &bound, const Dim &size, const char *what) {
  if (bound.is_constant() && *bound.constant() <= -kEndOfAxis) {
    return -1;  // before the front, whatever the size
  }
  if (node.proved_le(0, bound)) {
    return bound;
  }
  if (node.proved_le(bound, -1)) {
    return size + bound;
  }
  node.fail(what, " ", bound.str(), ", whose sign depends on the sizes of the inputs");
}

// min(max(value, low), high), with what is provable left out.
Dim clamped(const OnnxNode &node, const Dim &value, const Dim &low, const Dim &high) {
  const Dim raised = node.proved_le(low, value) ? value : max(value, low);
  return node.proved_le(raised, high) ? raised : min(raised, high);
}

Dim not_negative(const OnnxNode &node, const Dim &size) {
  return node.proved_le(0, size) ? size : max(size, 0);
}

AxisSlice forward_slice(OnnxNode &node, const Dim &size, const Dim &start, const Dim &end,
                        int64_t step) {
  Dim last = size;
  if (!end.is_constant() || *end.constant() < kEndOfAxis) {
    last = from_front(node, end, size, "ends at");
    if (size.is_constant() && !last.is_constant()) {
      // A table cut to the length of the input: reading less than was asked for would be a mistake.
      node.assume_at_most(last, size, "takes " + last.str() + " rows of a table of " + size.str());
      last = not_negative(node, last);
    } else {
      last = clamped(node, last, 0, size);
    }
  }
  if (start.is_constant() && *start.constant() >= kEndOfAxis) {
    return {size, 0};
  }
  Dim first = from_front(node, start, size, "starts at");
  // `last` is within the axis, so a start in front of it is too.
  first =
      node.proved_le(first, last) ? clamped(node, first, 0, last) : clamped(node, first, 0, size);
  return {first, not_negative(node, ceil_div(last - first, step))};
}

AxisSlice backward_slice(OnnxNode &node, const Dim &size, const Dim &start, const Dim &end,
                         int64_t step) {
  const bool from_end = start.is_constant() && *start.constant() >= kEndOfAxis;
  const Dim first =
      from_end ? size - 1 : clamped(node, from_front(node, start, size, "starts at"), 0, size - 1);
  const Dim last = clamped(node, from_front(node, end, size, "ends at"), -1, size - 1);
  return {first, not_negative(node, ceil_div(first - last, Dim(0) - Dim(step)))};
}

void slice(OnnxNode &node) {
  Value *const x = node.input(0);
  const size_t rank = x->type.shape.size();
  const std::vector<Dim> given_starts = node.dims(1, "starts");
  const std::vector<Dim> given_ends = node.dims(2, "ends");
  std::vector<int64_t> given_axes;
  for (size_t i = 0; i < given_starts.size(); ++i) {
    given_axes.push_back(static_cast<int64_t>(i));
  }
  if (node.has_input(3)) {
    given_axes = node.numbers(3, "axes");
  }
  std::vector<int64_t> given_steps(given_axes.size(), 1);
  if (node.has_input(4)) {
    given_steps = node.numbers(4, "steps");
  }
  const std::vector<int64_t> axes = node.axes(given_axes, x->type.rank());
  if (given_starts.size() != axes.size() || given_ends.size() != axes.size() ||
      given_steps.size() != axes.size()) {
    node.fail("has ", given_starts.size(), " starts, ", given_ends.size(), " ends, ", axes.size(),
              " axes and ", given_steps.size(), " steps");
  }
  std::vector<Dim> starts(rank, Dim(0));
  std::vector<Dim> sizes = x->type.shape;
  std::vector<int64_t> steps(rank, 1);
  for (size_t i = 0; i < axes.size(); ++i) {
    const auto axis = static_cast<size_t>(axes[i]);
    if (given_steps[i] == 0) {
      node.fail("has a step of 0");
    }
    const auto one_axis = given_steps[i] > 0 ? forward_slice : backward_slice;
    const AxisSlice part =
        one_axis(node, x->type.shape[axis], given_starts[i], given_ends[i], given_steps[i]);
    starts[axis] = part.start;
    sizes[axis] = part.size;
    steps[axis] = given_steps[i];
  }
  const bool nothing = sizes == x->type.shape && steps == std::vector<int64_t>(rank, 1);
  node.set_output(0, nothing ? x
                             : node.add(Op::Slice, {x},
                                        {{"starts", starts}, {"sizes", sizes}, {"steps", steps}}));
}

// Sizes of the parts: given, or equal with the last one smaller.
std::vector<Dim> split_sizes(OnnxNode &node, const Dim &size) {
  if (node.has_input(1)) {
    return node.dims(1, "split sizes");
  }
  if (node.has("split")) {
    const std::vector<int64_t> sizes = node.integers("split");
    return {sizes.begin(), sizes.end()};
  }
  const auto count = static_cast<int64_t>(node.output_count());
  if (node.integer("num_outputs", count) != count) {
    node.fail("num_outputs is ", node.integer("num_outputs"), ", but there are ", count,
              " outputs");
  }
  const Dim part = ceil_div(size, count);
  std::vector<Dim> sizes(static_cast<size_t>(count), part);
  sizes.back() = size - part * Dim(count - 1);
  return sizes;
}

void split(OnnxNode &node) {
  Value *const x = node.input(0);
  const int64_t axis = node.axis(node.integer("axis", 0), x->type.rank());
  const Dim &size = x->type.shape[static_cast<size_t>(axis)];
  const std::vector<Dim> sizes = split_sizes(node, size);
  if (sizes.size() != node.output_count()) {
    node.fail("has ", sizes.size(), " split sizes for ", node.output_count(), " outputs");
  }
  Dim total = 0;
  for (const Dim &part : sizes) {
    if (part.is_constant() && *part.constant() < 0) {
      node.fail("has the negative split size ", part.str());
    }
    total += part;
  }
  if (total.is_constant() && size.is_constant() && total != size) {
    node.fail("splits axis ", axis, " of size ", size.str(), " into parts of ", total.str(),
              " in all");
  }
  node.assume_equal(size, total, "axis " + std::to_string(axis) + " and the sum of its parts");
  Dim start = 0;
  const std::vector<Dim> parts = split_sizes(node, size);  // again: a symbol may be replaced
  for (size_t i = 0; i < parts.size(); ++i) {
    if (node.has_output(i)) {
      node.set_output(i, node.slice(x, axis, start, parts[i]));
    }
    start += parts[i];
  }
}

// Parts without elements add nothing, unless that is all there is.
void concat(OnnxNode &node) {
  const int64_t axis = node.axis(node.integer("axis"), node.input(0)->type.rank());
  std::vector<Value *> parts;
  for (size_t i = 0; i < node.input_count(); ++i) {
    Value *const part = node.input(i);
    if (part->type.rank() != node.input(0)->type.rank()) {
      node.fail("joins ", part->type.rank(), " and ", node.input(0)->type.rank(), " dimensions");
    }
    if (!part->type.shape[static_cast<size_t>(axis)].is(0)) {
      parts.push_back(part);
    }
  }
  node.set_output(0, parts.empty() ? node.input(0) : node.concat(parts, axis));
}

// tile [a, b] by (r, s)  =>  reshape [1, a, 1, b], expand [r, a, s, b], reshape [r*a, s*b]
void tile(OnnxNode &node) {
  Value *const x = node.input(0);
  const std::vector<Dim> repeats = node.dims(1, "repeats");
  if (repeats.size() != x->type.shape.size()) {
    node.fail("has ", repeats.size(), " repeats for ", x->type.rank(), " dimensions");
  }
  Shape apart, repeated, merged;
  for (size_t i = 0; i < repeats.size(); ++i) {
    const Dim &size = x->type.shape[i];
    if (repeats[i].is_constant() && *repeats[i].constant() < 0) {
      node.fail("has the negative repeat ", repeats[i].str());
    }
    if (!repeats[i].is(1)) {
      apart.emplace_back(1);
      repeated.push_back(repeats[i]);
    }
    apart.push_back(size);
    repeated.push_back(size);
    merged.push_back(repeats[i] * size);
  }
  node.set_output(0, node.reshape(node.expand(node.reshape(x, apart), repeated), merged));
}

struct Padding {
  std::vector<Dim> before, after;
};

Padding pad_amounts(OnnxNode &node, int64_t rank) {
  const std::vector<Dim> pads = node.dims(1, "pads");
  std::vector<int64_t> axes;
  for (int64_t i = 0; i < rank; ++i) {
    axes.push_back(i);
  }
  if (node.has_input(3)) {
    axes = node.axes(node.numbers(3, "axes"), rank);
  }
  if (pads.size() != 2 * axes.size()) {
    node.fail("has ", pads.size(), " pads for ", axes.size(), " axes");
  }
  const Shape none(static_cast<size_t>(rank), Dim(0));
  Padding padding{none, none};
  for (size_t i = 0; i < axes.size(); ++i) {
    padding.before[static_cast<size_t>(axes[i])] = pads[i];
    padding.after[static_cast<size_t>(axes[i])] = pads[i + axes.size()];
  }
  return padding;
}

// Negative pads cut: done first, by slices.
Value *cut_negative(OnnxNode &node, Value *x, Padding &padding) {
  for (size_t i = 0; i < padding.before.size(); ++i) {
    Dim start = 0;
    Dim size = x->type.shape[i];
    for (Dim *pad : {&padding.before[i], &padding.after[i]}) {
      if (node.proved_le(0, *pad)) {
        continue;
      }
      if (!node.proved_le(*pad, 0)) {
        node.fail("pads by ", pad->str(), ", whose sign depends on the sizes of the inputs");
      }
      size += *pad;
      start = pad == &padding.before[i] ? -*pad : start;
      *pad = 0;
    }
    if (size.is_constant() && *size.constant() < 0) {
      node.fail("cuts more than axis ", i, " has");
    }
    x = node.slice(x, static_cast<int64_t>(i), start, size);
  }
  return x;
}

// wrap: the end in front of the axis, its start behind it.
Value *wrapped(OnnxNode &node, Value *x, const Padding &padding) {
  for (size_t i = 0; i < padding.before.size(); ++i) {
    const auto axis = static_cast<int64_t>(i);
    const Dim &before = padding.before[i];
    const Dim &after = padding.after[i];
    const Dim size = x->type.shape[i];
    std::vector<Value *> parts;
    if (!before.is(0)) {
      node.assume_at_most(before, size,
                          "wraps " + before.str() + " of " + size.str() + " elements");
      parts.push_back(node.slice(x, axis, size - before, before));
    }
    parts.push_back(x);
    if (!after.is(0)) {
      node.assume_at_most(after, size, "wraps " + after.str() + " of " + size.str() + " elements");
      parts.push_back(node.slice(x, axis, 0, after));
    }
    x = node.concat(parts, axis);
  }
  return x;
}

// reflect repeats all but the edge, which edge repeats: there must be so many elements.
void assume_wide_enough(OnnxNode &node, const Value *x, const Padding &padding,
                        const std::string &mode) {
  for (size_t i = 0; i < padding.before.size(); ++i) {
    for (const Dim &width : {padding.before[i], padding.after[i]}) {
      if (!width.is(0)) {
        const Dim &size = x->type.shape[i];
        node.assume_at_most(
            min(width, 1) + (mode == "reflect" ? width : Dim(0)), size,
            "pads " + size.str() + " elements by " + width.str() + " in mode '" + mode + "'");
      }
    }
  }
}

void pad(OnnxNode &node) {
  const std::string mode = node.text("mode", "constant");
  if (mode != "constant" && mode != "reflect" && mode != "edge" && mode != "wrap") {
    node.fail("mode is '", mode, "', expected constant, reflect, edge or wrap");
  }
  Padding padding = pad_amounts(node, node.input(0)->type.rank());
  Value *const x = cut_negative(node, node.input(0), padding);
  const auto is_zero = [](const Dim &pad) { return pad.is(0); };
  if (std::all_of(padding.before.begin(), padding.before.end(), is_zero) &&
      std::all_of(padding.after.begin(), padding.after.end(), is_zero)) {
    node.set_output(0, x);
    return;
  }
  if (mode == "wrap") {
    node.set_output(0, wrapped(node, x, padding));
    return;
  }
  std::vector<Value *> inputs{x};
  if (mode == "constant") {
    inputs.push_back(node.has_input(2) ? node.reshape(node.input(2), {}) : node.like(x, 0));
  }
  Value *const padded = node.add(
      Op::Pad, inputs, {{"before", padding.before}, {"after", padding.after}, {"mode", mode}});
  if (mode != "constant") {
    assume_wide_enough(node, x, padding, mode);
  }
  node.set_output(0, padded);
}

struct Blocks {
  Dim batch, channels, height, width;
  int64_t size;
};

Blocks blocks_of(const OnnxNode &node) {
  const Shape &shape = node.input(0)->type.shape;
  const int64_t size = node.integer("blocksize");
  if (shape.size() != 4 || size < 1 || size > 65536) {
    node.fail("needs 4 dimensions and a positive block size");
  }
  return {shape[0], shape[1], shape[2], shape[3], size};
}

Dim divided(const OnnxNode &node, const Dim &size, int64_t by) {
  const std::optional<Dim> quotient = exact_div(size, by);
  if (!quotient && size.is_constant()) {
    node.fail("cannot divide a size of ", size.str(), " by ", by);
  }
  return quotient ? *quotient : floor_div(size, by);
}

void depth_to_space(OnnxNode &node) {
  const Blocks b = blocks_of(node);
  const Dim depth = divided(node, b.channels, b.size * b.size);
  const bool dcr = node.text("mode", "DCR") == "DCR";
  const Shape apart = dcr ? Shape{b.batch, b.size, b.size, depth, b.height, b.width}
                          : Shape{b.batch, depth, b.size, b.size, b.height, b.width};
  const std::vector<int64_t> perm =
      dcr ? std::vector<int64_t>{0, 3, 4, 1, 5, 2} : std::vector<int64_t>{0, 1, 4, 2, 5, 3};
  Value *const moved = node.transpose(node.reshape(node.input(0), apart), perm);
  node.set_output(0, node.reshape(moved, {b.batch, depth, b.height * b.size, b.width * b.size}));
}

void space_to_depth(OnnxNode &node) {
  const Blocks b = blocks_of(node);
  const Dim height = divided(node, b.height, b.size);
  const Dim width = divided(node, b.width, b.size);
  Value *const apart =
      node.reshape(node.input(0), {b.batch, b.channels, height, b.size, width, b.size});
  Value *const moved = node.transpose(apart, {0, 3, 5, 1, 2, 4});
  node.set_output(0,
                  node.reshape(moved, {b.batch, b.channels * Dim(b.size * b.size), height, width}));
}

constexpr OpRule kRules[] = {
    {"Concat", 13, concat},
    {"DepthToSpace", 13, depth_to_space},
    {"Expand", 13, expand},
    {"Flatten", 25, flatten},
    {"Pad", 25, pad},
    {"Reshape", 25, reshape},
    {"Slice", 13, slice},
    {"SpaceToDepth", 13, space_to_depth},
    {"Split", 18, split},
    {"Squeeze", 25, squeeze},
    {"Tile", 13, tile},
    {"Transpose", 25, transpose},
    {"Unsqueeze", 25, unsqueeze},
};

}  // namespace

std::span<const OpRule> view_rules() {
  return kRules;
}

}  // namespace sylvite
