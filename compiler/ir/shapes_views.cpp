// Shape rules of views and lookups.
#include <algorithm>

#include "compiler/ir/infer.h"

namespace sylvite {
namespace {

using Types = std::vector<TensorType>;

void require_length(const Inference &inference, const char *attribute, size_t length,
                    int64_t rank) {
  inference.require(static_cast<int64_t>(length) == rank, "attribute '", attribute, "' has ",
                    length, " entries for ", rank, " dimensions");
}

void require_indices(const Inference &inference, size_t i) {
  inference.require(is_integer(inference.dtype(i)), "indices must be integers, got ",
                    name_of(inference.dtype(i)));
}

void require_not_negative(const Inference &inference, const char *what, const Dim &dim) {
  const std::optional<int64_t> upper = inference.symbols().upper_bound(dim);
  inference.require(!upper || *upper >= 0, what, " is negative: ", dim.str());
}

std::string on_axis(const char *what, size_t axis) {
  return std::string(what) + " on axis " + std::to_string(axis);
}

}  // namespace

Types infer_reshape(Inference &inference) {
  const Shape &shape = inference.attributes().dims("shape");
  for (const Dim &dim : shape) {
    require_not_negative(inference, "a size of its shape", dim);
  }
  const Dim before = element_count(inference.shape(0));
  const Dim after = element_count(shape);
  if (before != after) {
    const std::optional<int64_t> lower = inference.symbols().lower_bound(before - after);
    const std::optional<int64_t> upper = inference.symbols().upper_bound(before - after);
    inference.require((!lower || *lower <= 0) && (!upper || *upper >= 0), "cannot reshape ",
                      to_string(inference.shape(0)), " to ", to_string(shape));
    inference.same_size(
        before, after,
        "the element counts of " + to_string(inference.shape(0)) + " and " + to_string(shape));
  }
  return {{inference.dtype(0), inference.attributes().dims("shape")}};
}

Types infer_transpose(Inference &inference) {
  const std::vector<int64_t> &perm = inference.attributes().integers("perm");
  require_length(inference, "perm", perm.size(), inference.rank(0));
  inference.require_axes(perm, inference.rank(0));
  Shape shape;
  for (const int64_t axis : perm) {
    shape.push_back(inference.shape(0)[static_cast<size_t>(axis)]);
  }
  return {{inference.dtype(0), std::move(shape)}};
}

Types infer_expand(Inference &inference) {
  const size_t rank = inference.attributes().dims("shape").size();
  const size_t own = inference.shape(0).size();
  inference.require(rank >= own, "cannot expand ", to_string(inference.shape(0)), " to ",
                    to_string(inference.attributes().dims("shape")));
  for (const Dim &dim : inference.attributes().dims("shape")) {
    require_not_negative(inference, "a size of its shape", dim);
  }
  for (size_t i = 0; i < own; ++i) {
    if (inference.shape(0)[i].is(1)) {
      continue;
    }
    inference.same_size(inference.shape(0)[i], inference.attributes().dims("shape")[rank - own + i],
                        on_axis("the sizes of its input and of its shape", rank - own + i));
  }
  return {{inference.dtype(0), inference.attributes().dims("shape")}};
}

Types infer_slice(Inference &inference) {
  const Attributes &attributes = inference.attributes();
  const int64_t rank = inference.rank(0);
  const std::vector<Dim> &starts = attributes.dims("starts");
  const std::vector<Dim> &sizes = attributes.dims("sizes");
  const std::vector<int64_t> &steps = attributes.integers("steps");
  require_length(inference, "starts", starts.size(), rank);
  require_length(inference, "sizes", sizes.size(), rank);
  require_length(inference, "steps", steps.size(), rank);
  for (size_t i = 0; i < sizes.size(); ++i) {
    inference.require(steps[i] != 0, on_axis("step", i), " is 0");
    require_not_negative(inference, on_axis("size", i).c_str(), sizes[i]);
    // The first and the last position that it reads. An empty slice may stand anywhere, so only
    // slices that certainly read something are wrong.
    const std::optional<int64_t> fewest = inference.symbols().lower_bound(sizes[i]);
    if (!fewest || *fewest < 1) {
      continue;
    }
    for (const Dim &position : {starts[i], starts[i] + (sizes[i] - 1) * steps[i]}) {
      const std::optional<int64_t> largest = inference.symbols().upper_bound(position);
      const std::optional<int64_t> space =
          inference.symbols().upper_bound(inference.shape(0)[i] - 1 - position);
      inference.require((!largest || *largest >= 0) && (!space || *space >= 0), "reads position ",
                        position.str(), " of axis ", i, ", whose size is ",
                        inference.shape(0)[i].str());
    }
  }
  return {{inference.dtype(0), sizes}};
}

Types infer_concat(Inference &inference) {
  const int64_t axis = inference.axis("axis", inference.rank(0));
  const auto joined = static_cast<size_t>(axis);
  Shape shape = inference.shape(0);
  for (size_t i = 1; i < inference.input_count(); ++i) {
    inference.require(inference.dtype(i) == inference.dtype(0),
                      "element types differ: ", name_of(inference.dtype(0)), " and ",
                      name_of(inference.dtype(i)));
    if (inference.rank(i) != inference.rank(0)) {
      inference.fail("shapes ", to_string(inference.shape(0)), " and ",
                     to_string(inference.shape(i)), " cannot be joined");
    }
    for (size_t k = 0; k < shape.size(); ++k) {
      if (k != joined && shape[k] != inference.shape(i)[k]) {
        shape[k] = inference.same_size(shape[k], inference.shape(i)[k],
                                       "axis " + std::to_string(k) + " of the shapes " +
                                           to_string(inference.shape(0)) + " and " +
                                           to_string(inference.shape(i)));
      }
    }
  }
  shape[joined] = 0;
  for (size_t i = 0; i < inference.input_count(); ++i) {
    shape[joined] += inference.shape(i)[joined];
  }
  return {{inference.dtype(0), std::move(shape)}};
}

Types infer_pad(Inference &inference) {
  const std::vector<Dim> &before = inference.attributes().dims("before");
  const std::vector<Dim> &after = inference.attributes().dims("after");
  require_length(inference, "before", before.size(), inference.rank(0));
  require_length(inference, "after", after.size(), inference.rank(0));
  const std::string mode = inference.attributes().text_or("mode", "constant");
  inference.require(mode == "constant" || mode == "edge" || mode == "reflect", "unknown mode '",
                    mode, "'");
  if (inference.input_count() == 2) {
    inference.require(mode == "constant", "mode '", mode, "' takes no value to pad with");
    inference.require(inference.dtype(1) == inference.dtype(0),
                      "element types differ: ", name_of(inference.dtype(0)), " and ",
                      name_of(inference.dtype(1)));
    inference.require(element_count(inference.shape(1)).is(1),
                      "the value to pad with must be one number, got shape ",
                      to_string(inference.shape(1)));
  }
  Shape shape = inference.shape(0);
  for (size_t i = 0; i < shape.size(); ++i) {
    for (const Dim &width : {before[i], after[i]}) {
      require_not_negative(inference, on_axis("padding", i).c_str(), width);
      if (mode != "constant") {
        // Edge needs an element to repeat, reflect one more than the padding.
        const Dim needed = mode == "edge" ? min(width, 1) : width + min(width, 1);
        const std::optional<int64_t> spare = inference.symbols().upper_bound(shape[i] - needed);
        inference.require(!spare || *spare >= 0, on_axis("padding", i), " is ", width.str(),
                          ", too wide for mode '", mode, "' and size ", shape[i].str());
      }
    }
  }
  for (size_t i = 0; i < shape.size(); ++i) {
    shape[i] += before[i] + after[i];
  }
  return {{inference.dtype(0), std::move(shape)}};
}

Types infer_gather(Inference &inference) {
  require_indices(inference, 1);
  const int64_t axis = inference.axis("axis", inference.rank(0));
  const Shape &data = inference.shape(0);
  const Shape &indices = inference.shape(1);
  Shape shape(data.begin(), data.begin() + axis);
  shape.insert(shape.end(), indices.begin(), indices.end());
  shape.insert(shape.end(), data.begin() + axis + 1, data.end());
  return {{inference.dtype(0), std::move(shape)}};
}

Types infer_gather_elements(Inference &inference) {
  require_indices(inference, 1);
  const int64_t axis = inference.axis("axis", inference.rank(0));
  inference.require(inference.rank(0) == inference.rank(1), "data of shape ",
                    to_string(inference.shape(0)), " and indices of shape ",
                    to_string(inference.shape(1)), " must have the same rank");
  for (size_t i = 0; i < inference.shape(0).size(); ++i) {
    // ONNX allows fewer indices than data on the other axes.
    const std::optional<int64_t> spare =
        inference.symbols().upper_bound(inference.shape(0)[i] - inference.shape(1)[i]);
    inference.require(static_cast<int64_t>(i) == axis || !spare || *spare >= 0, "indices of shape ",
                      to_string(inference.shape(1)), " are larger than the data ",
                      to_string(inference.shape(0)), " on axis ", i);
  }
  return {{inference.dtype(0), inference.shape(1)}};
}

Types infer_gather_nd(Inference &inference) {
  require_indices(inference, 1);
  const int64_t batch = inference.attributes().integer_or("batch_dims", 0);
  const int64_t rank = inference.rank(0);
  inference.require(inference.rank(1) >= 1, "indices must have at least one dimension");
  inference.require(batch >= 0 && batch < inference.rank(1) && batch <= rank, "batch_dims ", batch,
                    " is out of range for data of shape ", to_string(inference.shape(0)),
                    " and indices of shape ", to_string(inference.shape(1)));
  const std::optional<int64_t> depth = inference.shape(1).back().constant();
  inference.require(depth.has_value(), "the last size of the indices must be known, is ",
                    inference.shape(1).back().str());
  inference.require(*depth >= 0 && *depth <= rank - batch, "indices name ", *depth,
                    " axes of data with ", rank - batch);
  for (size_t i = 0; i < static_cast<size_t>(batch); ++i) {
    inference.same_size(inference.shape(0)[i], inference.shape(1)[i],
                        on_axis("the sizes of data and indices", i));
  }
  const Shape &data = inference.shape(0);
  const Shape &indices = inference.shape(1);
  Shape shape(indices.begin(), indices.end() - 1);
  shape.insert(shape.end(), data.begin() + batch + *depth, data.end());
  return {{inference.dtype(0), std::move(shape)}};
}

}  // namespace sylvite
