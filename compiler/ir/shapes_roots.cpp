// Shape rules of the ops that kernels are built around, of library ops and of kernels.
#include <algorithm>
#include <unordered_set>

#include "compiler/ir/infer.h"
#include "compiler/ir/kernel_traits.h"

namespace sylvite {
namespace {

using Types = std::vector<TensorType>;

void require_float(const Inference &inference) {
  inference.require(is_float(inference.dtype(0)), "expected floating-point numbers, got ",
                    name_of(inference.dtype(0)));
}

void require_number(const Inference &inference) {
  inference.require(inference.dtype(0) != DType::Bool, "expected numbers, got bool");
}

void require_same_dtype(const Inference &inference, size_t a, size_t b) {
  inference.require(inference.dtype(a) == inference.dtype(b),
                    "element types differ: ", name_of(inference.dtype(a)), " and ",
                    name_of(inference.dtype(b)));
}

void require_indices(const Inference &inference, size_t i) {
  inference.require(is_integer(inference.dtype(i)), "indices must be integers, got ",
                    name_of(inference.dtype(i)));
}

template <size_t n>
void require_word(const Inference &inference, const char *attribute, const std::string &word,
                  const char *const (&words)[n]) {
  inference.require(std::find(std::begin(words), std::end(words), word) != std::end(words),
                    "unknown ", attribute, " '", word, "'");
}

Shape leading(const Shape &shape, size_t trailing) {
  return Shape(shape.begin(), shape.end() - static_cast<std::ptrdiff_t>(trailing));
}

// Sizes of the output of a sliding window over the axes behind the first two.
void append_windows(const Inference &inference, const std::vector<int64_t> &kernel, Shape &shape) {
  const Attributes &attributes = inference.attributes();
  const std::vector<int64_t> &strides = attributes.integers("strides");
  const std::vector<int64_t> &pads = attributes.integers("pads");
  const std::vector<int64_t> &dilations = attributes.integers("dilations");
  const size_t axes = inference.shape(0).size() - 2;
  for (const auto &[name, count, expected] :
       {std::tuple{"kernel", kernel.size(), axes}, std::tuple{"strides", strides.size(), axes},
        std::tuple{"dilations", dilations.size(), axes},
        std::tuple{"pads", pads.size(), 2 * axes}}) {
    inference.require(count == expected, "attribute '", name, "' has ", count,
                      " entries, expected ", expected, " for ", axes, " spatial axes");
  }
  // Bounded, so that the arithmetic below stays far from overflow.
  constexpr int64_t kLargest = int64_t{1} << 30;
  for (size_t i = 0; i < axes; ++i) {
    for (const int64_t number : {kernel[i], strides[i], dilations[i]}) {
      inference.require(number >= 1 && number <= kLargest, "a kernel size, stride or dilation is ",
                        number, " on axis ", i + 2, ", expected 1 to ", kLargest);
    }
    for (const int64_t pad : {pads[i], pads[axes + i]}) {
      inference.require(pad >= 0 && pad <= kLargest, "padding is ", pad, " on axis ", i + 2,
                        ", expected 0 to ", kLargest);
    }
    const Dim padded = inference.shape(0)[i + 2] + (pads[i] + pads[axes + i]);
    const Dim window = Dim(dilations[i]) * (kernel[i] - 1) + 1;
    const std::optional<int64_t> space = inference.symbols().upper_bound(padded - window);
    inference.require(!space || *space >= 0, "a window of ", window.str(),
                      " does not fit the padded size ", padded.str(), " on axis ", i + 2);
    shape.push_back(floor_div(padded - window, strides[i]) + 1);
  }
}

Shape reduced(const Inference &inference, const std::vector<int64_t> &axes) {
  const bool keep = inference.attributes().integer_or("keepdims", 0) != 0;
  Shape shape;
  for (size_t i = 0; i < inference.shape(0).size(); ++i) {
    if (std::find(axes.begin(), axes.end(), static_cast<int64_t>(i)) == axes.end()) {
      shape.push_back(inference.shape(0)[i]);
    } else if (keep) {
      shape.emplace_back(1);
    }
  }
  return shape;
}

// A region takes a value of this type and then the node's inputs from `first` on.
void check_region_inputs(Inference &inference, const Graph &region,
                         const std::optional<TensorType> &head, size_t first) {
  const size_t extra = head ? 1 : 0;
  const size_t expected = extra + inference.input_count() - first;
  inference.require(region.inputs().size() == expected, "its region takes ", region.inputs().size(),
                    " inputs, expected ", expected);
  for (size_t i = 0; i < expected; ++i) {
    const TensorType given = i < extra ? *head : inference.type(first + i - extra);
    const TensorType taken = region.inputs()[i]->type;
    inference.require(given.dtype == taken.dtype, "input ", i, " of its region is ",
                      name_of(taken.dtype), ", given ", name_of(given.dtype));
    inference.same_shape(given.shape, taken.shape,
                         "the shapes " + to_string(given.shape) + " and " + to_string(taken.shape) +
                             " given to and taken by input " + std::to_string(i) +
                             " of its region");
  }
}

}  // namespace

// ---- contractions ----

Types infer_matmul(Inference &inference) {
  require_number(inference);
  require_same_dtype(inference, 0, 1);
  inference.require(inference.rank(0) >= 2 && inference.rank(1) >= 2,
                    "operands must have at least two dimensions, got ",
                    to_string(inference.shape(0)), " and ", to_string(inference.shape(1)));
  const bool transposed = inference.attributes().integer_or("transpose_b", 0) != 0;
  const size_t b_rank = inference.shape(1).size();
  const size_t k_axis = transposed ? b_rank - 1 : b_rank - 2;
  const size_t n_axis = transposed ? b_rank - 2 : b_rank - 1;
  if (inference.shape(0).back() != inference.shape(1)[k_axis]) {
    inference.same_size(inference.shape(0).back(), inference.shape(1)[k_axis],
                        "the inner sizes of " + to_string(inference.shape(0)) + " and " +
                            to_string(inference.shape(1)));
  }
  Shape shape = inference.broadcast(leading(inference.shape(0), 2), leading(inference.shape(1), 2));
  shape.push_back(inference.shape(0)[inference.shape(0).size() - 2]);
  shape.push_back(inference.shape(1)[n_axis]);
  return {{inference.dtype(0), std::move(shape)}};
}

Types infer_matmul_panels(Inference &inference) {
  require_number(inference);
  require_same_dtype(inference, 0, 1);
  const int64_t n = inference.attributes().integer("n");
  inference.require(inference.rank(0) >= 1 && inference.rank(1) == 3, "expected panels [", "P, K, ",
                    kPanelColumns, "], got operands ", to_string(inference.shape(0)), " and ",
                    to_string(inference.shape(1)));
  inference.require(n >= 0, "n is ", n);
  inference.same_size(inference.shape(1)[2], kPanelColumns, "the columns of its panels");
  inference.same_size(inference.shape(1)[0], ceil_div(n, kPanelColumns), "the panels of n columns");
  inference.same_size(inference.shape(0).back(), inference.shape(1)[1],
                      "the inner sizes of " + to_string(inference.shape(0)) + " and " +
                          to_string(inference.shape(1)));
  Shape shape = leading(inference.shape(0), 1);
  shape.emplace_back(n);
  return {{inference.dtype(0), std::move(shape)}};
}

Types infer_conv(Inference &inference) {
  require_number(inference);
  require_same_dtype(inference, 0, 1);
  const int64_t group = inference.attributes().integer_or("group", 1);
  inference.require(inference.rank(0) >= 3 && inference.rank(0) == inference.rank(1),
                    "expected an input [N, C, ...] and weights [O, C / group, ...], got ",
                    to_string(inference.shape(0)), " and ", to_string(inference.shape(1)));
  inference.require(group >= 1, "group is ", group);
  const std::optional<std::vector<int64_t>> weights = static_shape(inference.shape(1));
  inference.require(weights.has_value(), "the sizes of the weights must be known, are ",
                    to_string(inference.shape(1)));
  inference.require((*weights)[0] % group == 0, (*weights)[0],
                    " output channels do not divide into ", group, " groups");
  inference.same_size(inference.shape(0)[1], Dim((*weights)[1]) * group,
                      "the channels of its input and its weights");
  Shape shape{inference.shape(0)[0], (*weights)[0]};
  append_windows(inference, {weights->begin() + 2, weights->end()}, shape);
  return {{inference.dtype(0), std::move(shape)}};
}

Types infer_pool(Inference &inference) {
  const std::string &kind = inference.attributes().text("kind");
  require_word(inference, "kind", kind, {"max", "average"});
  require_number(inference);
  if (kind == "average") {
    require_float(inference);
  }
  inference.require(inference.rank(0) >= 3, "expected an input [N, C, ...], got ",
                    to_string(inference.shape(0)));
  Shape shape{inference.shape(0)[0], inference.shape(0)[1]};
  append_windows(inference, inference.attributes().integers("kernel"), shape);
  return {{inference.dtype(0), std::move(shape)}};
}

// ---- reductions and norms ----

Types infer_reduce(Inference &inference) {
  require_word(inference, "kind", inference.attributes().text("kind"),
               {"sum", "mean", "max", "min", "prod"});
  require_number(inference);
  const std::vector<int64_t> &axes = inference.attributes().integers("axes");
  inference.require_axes(axes, inference.rank(0));
  return {{inference.dtype(0), reduced(inference, axes)}};
}

Types infer_arg_reduce(Inference &inference) {
  require_word(inference, "kind", inference.attributes().text("kind"), {"max", "min"});
  require_number(inference);
  const int64_t axis = inference.axis("axis", inference.rank(0));
  const Dim &size = inference.shape(0)[static_cast<size_t>(axis)];
  inference.require(!size.is(0), "axis ", axis, " is empty");
  return {{DType::I64, reduced(inference, {axis})}};
}

Types infer_cumsum(Inference &inference) {
  require_number(inference);
  inference.axis("axis", inference.rank(0));
  const std::string kind = inference.attributes().text_or("kind", "sum");
  inference.require(kind == "sum" || kind == "prod", "kind '", kind, "' is neither sum nor prod");
  return {inference.type(0)};
}

Types infer_softmax(Inference &inference) {
  require_float(inference);
  inference.axis("axis", inference.rank(0));
  return {inference.type(0)};
}

Types infer_layer_norm(Inference &inference) {
  require_float(inference);
  const int64_t axis = inference.axis("axis", inference.rank(0));
  for (size_t i = 1; i < inference.input_count(); ++i) {
    require_same_dtype(inference, 0, i);
    const Shape normalised(inference.shape(0).begin() + axis, inference.shape(0).end());
    inference.same_shape(
        inference.shape(i), normalised,
        std::string(i == 1 ? "the shapes of its scale, " : "the shapes of its bias, ") +
            to_string(inference.shape(i)) + ", and of what it normalises, " +
            to_string(normalised) + ",");
  }
  return {inference.type(0)};
}

Types infer_attention(Inference &inference) {
  require_float(inference);
  require_same_dtype(inference, 0, 1);
  require_same_dtype(inference, 0, 2);
  for (size_t i = 0; i < 3; ++i) {
    inference.require(inference.rank(i) >= 2, "q, k and v must have at least two dimensions, got ",
                      to_string(inference.shape(i)));
  }
  const auto size = [&](size_t input, size_t behind) {
    return inference.shape(input)[inference.shape(input).size() - behind];
  };
  if (size(0, 1) != size(1, 1)) {
    inference.same_size(size(0, 1), size(1, 1), "the head sizes of q and k");
  }
  if (size(1, 2) != size(2, 2)) {
    inference.same_size(size(1, 2), size(2, 2), "the lengths of k and v");
  }
  Shape batch = inference.broadcast(leading(inference.shape(0), 2), leading(inference.shape(1), 2));
  batch = inference.broadcast(batch, leading(inference.shape(2), 2));
  const std::vector<std::unique_ptr<Graph>> &regions = inference.node().regions;
  inference.require(regions.size() == 2, "expected two regions, got ", regions.size());
  DType softmax = inference.dtype(0);  // which may be of another float type than the products
  for (const std::unique_ptr<Graph> &region : regions) {
    const bool of_scores = region == regions.front();
    TensorType scores{softmax, batch};
    scores.shape.push_back(size(0, 2));
    scores.shape.push_back(size(1, 2));
    for (Dim &dim : scores.shape) {
      dim = inference.current(dim);
    }
    check_region_inputs(inference, *region, scores, 3);
    inference.require(region->output_count() == 1, "its region gives ", region->output_count(),
                      " outputs, expected 1");
    const TensorType &result = region->output(0)->type;
    inference.require(of_scores ? is_float(result.dtype) : result.dtype == inference.dtype(0),
                      "its region gives ", name_of(result.dtype), ", expected ",
                      of_scores ? "floats" : name_of(inference.dtype(0)));
    softmax = result.dtype;
    inference.same_shape(region->output(0)->type.shape, scores.shape,
                         "the shapes of its region's result and of the scores");
    for (const std::unique_ptr<Node> &node : region->nodes()) {
      const OpClass op_class = class_of(node->op);
      inference.require(op_class == OpClass::Elementwise || op_class == OpClass::Leaf ||
                            op_class == OpClass::View,
                        "its region holds ", describe(*node), ", which is not elementwise");
    }
  }
  batch.push_back(size(0, 2));
  batch.push_back(size(2, 1));
  return {{inference.dtype(0), std::move(batch)}};
}

// ---- library ----

Types infer_topk(Inference &inference) {
  require_number(inference);
  const int64_t axis = inference.axis("axis", inference.rank(0));
  const std::vector<Dim> &k = inference.attributes().dims("k");
  inference.require(k.size() == 1, "attribute 'k' must be one size");
  Shape shape = inference.shape(0);
  Dim &size = shape[static_cast<size_t>(axis)];
  const std::optional<int64_t> spare = inference.symbols().upper_bound(size - k[0]);
  inference.require(!spare || *spare >= 0, "wants the ", k[0].str(), " largest of ", size.str());
  size = k[0];
  return {{inference.dtype(0), shape}, {DType::I64, shape}};
}

Types infer_scatter_nd(Inference &inference) {
  require_indices(inference, 1);
  require_same_dtype(inference, 0, 2);
  require_word(inference, "reduction", inference.attributes().text_or("reduction", "none"),
               {"none", "add", "mul", "max", "min"});
  inference.require(inference.rank(1) >= 1, "indices must have at least one dimension");
  const std::optional<int64_t> depth = inference.shape(1).back().constant();
  inference.require(depth.has_value(), "the last size of the indices must be known, is ",
                    inference.shape(1).back().str());
  inference.require(*depth >= 0 && *depth <= inference.rank(0), "indices name ", *depth,
                    " axes of data of shape ", to_string(inference.shape(0)));
  Shape expected = leading(inference.shape(1), 1);
  expected.insert(expected.end(), inference.shape(0).begin() + *depth, inference.shape(0).end());
  inference.same_shape(inference.shape(2), expected,
                       "the shapes of the updates, " + to_string(inference.shape(2)) +
                           ", and of what the indices name, " + to_string(expected) + ",");
  return {inference.type(0)};
}

Types infer_scatter_elements(Inference &inference) {
  require_indices(inference, 1);
  require_same_dtype(inference, 0, 2);
  require_word(inference, "reduction", inference.attributes().text_or("reduction", "none"),
               {"none", "add", "mul", "max", "min"});
  const int64_t axis = inference.axis("axis", inference.rank(0));
  inference.require(inference.rank(0) == inference.rank(1), "data of shape ",
                    to_string(inference.shape(0)), " and indices of shape ",
                    to_string(inference.shape(1)), " must have the same rank");
  inference.same_shape(inference.shape(1), inference.shape(2),
                       "the shapes of the indices and the updates");
  for (size_t i = 0; i < inference.shape(0).size(); ++i) {
    const std::optional<int64_t> spare =
        inference.symbols().upper_bound(inference.shape(0)[i] - inference.shape(1)[i]);
    inference.require(static_cast<int64_t>(i) == axis || !spare || *spare >= 0, "indices of shape ",
                      to_string(inference.shape(1)), " are larger than the data ",
                      to_string(inference.shape(0)), " on axis ", i);
  }
  return {inference.type(0)};
}

Types infer_append(Inference &inference) {
  require_same_dtype(inference, 0, 2);
  const Shape &pool = inference.shape(0), &table = inference.shape(1), &rows = inference.shape(2);
  inference.require(inference.dtype(1) == DType::I32, "the table must be i32");
  inference.require(
      pool.size() == 4 && table.size() == 2 && rows.size() == 4 && pool[2].is(kCacheBlock),
      "expected a pool [blocks, heads, ", kCacheBlock,
      ", size], a table [batch, columns] and rows [batch, heads, length, size], got ",
      to_string(pool), ", ", to_string(table), " and ", to_string(rows));
  inference.same_shape({pool[1], pool[3]}, {rows[1], rows[3]},
                       "heads and size of the pool and of the rows");
  inference.same_shape({table[0]}, {rows[0]}, "the batch of the table and of the rows");
  inference.require(inference.attributes().dims("past").size() == 1,
                    "attribute 'past' must be one size");
  return {inference.type(0)};
}

// ---- kernels ----

Types infer_kernel(Inference &inference) {
  const std::string &root = inference.attributes().text("root");
  const std::optional<Op> root_op = parse_op(root);
  inference.require(root == "none" || root_op.has_value(), "unknown root '", root, "'");
  inference.require(inference.node().regions.size() == 1, "expected one region, got ",
                    inference.node().regions.size());
  const Graph &region = *inference.node().regions[0];
  check_region_inputs(inference, region, std::nullopt, 0);
  inference.require(region.output_count() >= 1, "its region gives no output");
  Types types;
  for (size_t i = 0; i < region.output_count(); ++i) {
    types.push_back(region.output(i)->type);
  }
  return types;
}

}  // namespace sylvite
