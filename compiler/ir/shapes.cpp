// Shape rules of leaves and elementwise ops.
#include <algorithm>

#include "compiler/ir/infer.h"

namespace sylvite {
namespace {

using Types = std::vector<TensorType>;

bool is_number(DType dtype) {
  return dtype != DType::Bool;
}

void require_float(const Inference &inference, size_t i) {
  inference.require(is_float(inference.dtype(i)), "expected floating-point numbers, got ",
                    name_of(inference.dtype(i)));
}

void require_number(const Inference &inference, size_t i) {
  inference.require(is_number(inference.dtype(i)), "expected numbers, got bool");
}

void require_bool(const Inference &inference, size_t i) {
  inference.require(inference.dtype(i) == DType::Bool, "expected bool, got ",
                    name_of(inference.dtype(i)));
}

void require_same_dtype(const Inference &inference, size_t a, size_t b) {
  inference.require(inference.dtype(a) == inference.dtype(b),
                    "element types differ: ", name_of(inference.dtype(a)), " and ",
                    name_of(inference.dtype(b)));
}

Types same_as_number(const Inference &inference) {
  require_number(inference, 0);
  return {inference.type(0)};
}

Types same_as_float(const Inference &inference) {
  require_float(inference, 0);
  return {inference.type(0)};
}

Types float_to_bool(const Inference &inference) {
  require_float(inference, 0);
  return {{DType::Bool, inference.shape(0)}};
}

Types arithmetic(Inference &inference) {
  require_number(inference, 0);
  require_same_dtype(inference, 0, 1);
  return {{inference.dtype(0), inference.broadcast(inference.shape(0), inference.shape(1))}};
}

Types ordering(Inference &inference) {
  require_number(inference, 0);
  require_same_dtype(inference, 0, 1);
  return {{DType::Bool, inference.broadcast(inference.shape(0), inference.shape(1))}};
}

// On booleans, or on the bits of integers.
Types logic(Inference &inference) {
  inference.require(!is_float(inference.dtype(0)), "expected bool or integers, got ",
                    name_of(inference.dtype(0)));
  require_same_dtype(inference, 0, 1);
  return {{inference.dtype(0), inference.broadcast(inference.shape(0), inference.shape(1))}};
}

const Dim &single(const Inference &inference, const char *attribute) {
  const std::vector<Dim> &dims = inference.attributes().dims(attribute);
  inference.require(dims.size() == 1, "attribute '", attribute, "' must be one size");
  return dims[0];
}

}  // namespace

// ---- leaves ----

Types infer_constant(Inference &inference) {
  const TensorPtr &value = inference.attributes().tensor("value");
  inference.require(value != nullptr, "has no value");
  return {{value->dtype(), Shape(value->shape().begin(), value->shape().end())}};
}

Types infer_iota(Inference &inference) {
  const DType dtype = inference.attributes().dtype("dtype");
  inference.require(is_number(dtype), "expected numbers, got bool");
  single(inference, "start");
  single(inference, "step");
  return {{dtype, {single(inference, "count")}}};
}

Types infer_dim_values(Inference &inference) {
  const std::vector<int64_t> &shape = inference.attributes().integers("shape");
  const size_t count = inference.attributes().dims("values").size();
  Shape dims;
  for (const int64_t size : shape) {
    inference.require(size >= 0, "a size of its shape is negative: ", size);
    dims.emplace_back(size);
  }
  inference.require(element_count(dims).is(static_cast<int64_t>(count)), count,
                    " values do not fill the shape ", to_string(dims));
  return {{inference.attributes().dtype("dtype"), std::move(dims)}};
}

// ---- one input ----

Types infer_neg(Inference &inference) {
  return same_as_number(inference);
}
Types infer_abs(Inference &inference) {
  return same_as_number(inference);
}
Types infer_sign(Inference &inference) {
  return same_as_number(inference);
}
Types infer_floor(Inference &inference) {
  return same_as_float(inference);
}
Types infer_ceil(Inference &inference) {
  return same_as_float(inference);
}
Types infer_round(Inference &inference) {
  return same_as_float(inference);
}
Types infer_sqrt(Inference &inference) {
  return same_as_float(inference);
}
Types infer_exp(Inference &inference) {
  return same_as_float(inference);
}
Types infer_log(Inference &inference) {
  return same_as_float(inference);
}
Types infer_erf(Inference &inference) {
  return same_as_float(inference);
}
Types infer_tanh(Inference &inference) {
  return same_as_float(inference);
}
Types infer_sin(Inference &inference) {
  return same_as_float(inference);
}
Types infer_cos(Inference &inference) {
  return same_as_float(inference);
}
Types infer_is_nan(Inference &inference) {
  return float_to_bool(inference);
}
Types infer_is_inf(Inference &inference) {
  return float_to_bool(inference);
}

Types infer_not(Inference &inference) {
  require_bool(inference, 0);
  return {inference.type(0)};
}

Types infer_cast(Inference &inference) {
  return {{inference.attributes().dtype("to"), inference.shape(0)}};
}

// ---- two and three inputs ----

Types infer_add(Inference &inference) {
  return arithmetic(inference);
}
Types infer_sub(Inference &inference) {
  return arithmetic(inference);
}
Types infer_mul(Inference &inference) {
  return arithmetic(inference);
}
Types infer_div(Inference &inference) {
  return arithmetic(inference);
}
Types infer_mod(Inference &inference) {
  return arithmetic(inference);
}
Types infer_min(Inference &inference) {
  return arithmetic(inference);
}
Types infer_max(Inference &inference) {
  return arithmetic(inference);
}
Types infer_less(Inference &inference) {
  return ordering(inference);
}
Types infer_less_equal(Inference &inference) {
  return ordering(inference);
}
Types infer_and(Inference &inference) {
  return logic(inference);
}
Types infer_or(Inference &inference) {
  return logic(inference);
}
Types infer_xor(Inference &inference) {
  return logic(inference);
}

Types infer_pow(Inference &inference) {
  // ONNX lets the exponent have a type of its own.
  require_number(inference, 0);
  require_number(inference, 1);
  return {{inference.dtype(0), inference.broadcast(inference.shape(0), inference.shape(1))}};
}

Types infer_equal(Inference &inference) {
  require_same_dtype(inference, 0, 1);
  return {{DType::Bool, inference.broadcast(inference.shape(0), inference.shape(1))}};
}

Types infer_where(Inference &inference) {
  require_bool(inference, 0);
  require_same_dtype(inference, 1, 2);
  const Shape branches = inference.broadcast(inference.shape(1), inference.shape(2));
  return {{inference.dtype(1), inference.broadcast(inference.shape(0), branches)}};
}

}  // namespace sylvite
