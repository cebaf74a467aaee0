// Attention and MultiHeadAttention of the domain com.microsoft, taken apart into the products,
// masks and softmax that they stand for. Both add mask_filter_value to the scores of padding, so
// that a query whose keys are all padding sees them all; keys that lie ahead of a query of a
// one-way model have the lowest score there is.
#include <algorithm>
#include <limits>

#include "compiler/import/onnx_node.h"

namespace sylvite {
namespace {

double lowest_of(DType dtype) {
  return dtype == DType::F16    ? -65504
         : dtype == DType::BF16 ? -0x1.FEp127
                                : -static_cast<double>(std::numeric_limits<float>::max());
}

void refuse(const OnnxNode &node, size_t input, const char *what) {
  if (node.has_input(input)) {
    node.fail("has ", what, " (input ", input,
              "), which is not supported; export the model without it");
  }
}

void refuse(const OnnxNode &node, const char *attribute) {
  if (node.has(attribute) && node.integer(attribute) != 0) {
    node.fail(attribute, " is set, which is not supported; export the model without it");
  }
}

// Whether a key is no padding, beside scores [batch, heads, queries, keys]. The mask holds
//   [batch] how many keys count,
//   [2 * batch] behind that, how many at the front do not (`begins`),
//   [batch, keys] or [batch, queries, keys] 1 for what is seen.
Value *keep_of(OnnxNode &node, Value *mask, const Value *scores, bool begins) {
  const Shape &shape = mask->type.shape;
  const Dim &batch = scores->type.shape[0];
  if (shape.size() == 1 && node.proved_equal(shape[0], batch * 3 + 2)) {
    node.fail("has a mask of shape ", to_string(shape), " (lengths and offsets of packed keys), ",
              "which is not supported; optimise the model with raw attention masks");
  }
  const auto counts = [&](Value *numbers) {
    return node.reshape(numbers, {numbers->type.shape[0], 1, 1, 1});
  };
  const auto key_numbers = [&] {
    return node.cast(node.iota(scores->type.shape[3]), mask->type.dtype);
  };
  if (begins && shape.size() == 1 && node.proved_equal(shape[0], batch * 2)) {
    Value *const end = counts(node.slice(mask, 0, 0, batch));
    Value *const begin = counts(node.slice(mask, 0, batch, batch));
    return node.add(Op::And, {node.add(Op::Less, {key_numbers(), end}),
                              node.add(Op::LessEqual, {begin, key_numbers()})});
  }
  if (shape.size() == 1) {
    node.assume_equal(shape[0], batch, "the numbers of lengths in the mask and of sequences");
    return node.add(Op::Less, {key_numbers(), counts(mask)});
  }
  if (shape.size() != 2 && shape.size() != 3) {
    node.fail("has a mask with ", shape.size(), " dimensions, expected 1 to 3; ",
              "optimise the model with raw attention masks");
  }
  mask = shape.size() == 2 ? node.reshape(mask, {shape[0], 1, 1, shape[1]})
                           : node.reshape(mask, {shape[0], 1, shape[1], shape[2]});
  return node.add(Op::Less, {node.like(mask, 0), mask});
}

// What both operators do once they have queries, keys and values [batch, heads, length, size].
struct Heads {
  Value *query, *key, *value;
  const Value *past = nullptr;  // the keys that stand before the first query
  Value *mask = nullptr;
  bool mask_begins = false;  // a mask of lengths may say where the keys begin, too
  Value *bias = nullptr;     // added to the scores
};

Value *attend(OnnxNode &node, const Heads &heads) {
  const double scale = node.real("scale", 0);
  Value *scores = attention_scores(node, heads.query, heads.key,
                                   scale == 0 ? std::nullopt : std::optional(scale));
  if (heads.bias != nullptr) {
    scores = node.add(Op::Add, {scores, heads.bias});
  }
  const DType dtype = scores->type.dtype;
  const double lowest = lowest_of(dtype);
  if (heads.mask != nullptr) {
    const double hidden = std::max(node.real("mask_filter_value", -10000), lowest);
    Value *const keep = keep_of(node, heads.mask, scores, heads.mask_begins);
    Value *const added =
        node.add(Op::Where, {keep, node.scalar(dtype, 0), node.scalar(dtype, hidden)});
    scores = node.add(Op::Add, {scores, added});
  }
  if (node.integer("unidirectional", 0) != 0) {
    const Shape &shape = scores->type.shape;
    const Dim past = heads.past != nullptr ? heads.past->type.shape[2] : Dim(0);
    Value *const seen = causal_mask(node, shape[2], shape[3], past);
    scores = node.add(Op::Where, {seen, scores, node.scalar(dtype, lowest)});
  }
  return join_heads(node, node.add(Op::MatMul, {softmax(node, scores, 3), heads.value}));
}

// Keys or values with those of the past in front.
Value *behind(OnnxNode &node, Value *past, Value *x) {
  if (past->type.rank() != 4) {
    node.fail("has a past with ", past->type.rank(), " dimensions, expected 4");
  }
  return node.concat({past, x}, 2);
}

// The widths of queries, keys and values in one matrix of `all` columns.
std::vector<Dim> widths(OnnxNode &node, const Dim &all) {
  if (!node.has("qkv_hidden_sizes")) {
    const auto third = exact_div(all, 3);
    if (!third) {
      node.fail("cannot split ", all.str(), " columns into queries, keys and values");
    }
    return {*third, *third, *third};
  }
  const std::vector<int64_t> sizes = node.integers("qkv_hidden_sizes");
  if (sizes.size() != 3 || sizes[0] <= 0 || sizes[0] != sizes[1] || sizes[2] <= 0) {
    node.fail("qkv_hidden_sizes are not three sizes of which the first two are equal");
  }
  if (!node.proved_equal(Dim(sizes[0]) * 2 + sizes[2], all)) {
    node.fail("qkv_hidden_sizes do not add up to the ", all.str(), " columns of the weights");
  }
  return {sizes[0], sizes[1], sizes[2]};
}

void attention(OnnxNode &node) {
  enum Input : size_t { kX, kWeights, kBias, kMask, kPast, kScoreBias, kPastLength };
  refuse(node, "do_rotary");
  refuse(node, "past_present_share_buffer");
  refuse(node, kPastLength, "a past in a buffer that is shared with the present");
  Value *const x = node.input(kX);
  Value *const weights = node.input(kWeights);
  if (x->type.rank() != 3 || weights->type.rank() != 2) {
    node.fail("multiplies shapes ", to_string(x->type.shape), " and ",
              to_string(weights->type.shape), ", expected 3 and 2 dimensions");
  }
  Value *projected = node.add(Op::MatMul, {x, weights});
  if (node.has_input(kBias)) {
    projected = node.add(Op::Add, {projected, node.input(kBias)});
  }
  const std::vector<Dim> width = widths(node, projected->type.shape[2]);
  const auto part = [&](const Dim &start, const Dim &size) {
    return split_heads(node, node.slice(projected, 2, start, size), "num_heads");
  };
  Heads heads;
  heads.query = part(0, width[0]);
  heads.key = part(width[0], width[1]);
  heads.value = part(width[0] + width[1], width[2]);
  if (node.has_input(kPast)) {
    // Keys and values in one tensor [2, batch, heads, length, size].
    Value *const past = node.input(kPast);
    if (past->type.rank() != 5 || !past->type.shape[0].is(2)) {
      node.fail("has a past of shape ", to_string(past->type.shape),
                ", expected keys and values in 5 dimensions of which the first is 2");
    }
    const auto each = [&](int64_t which) {
      Value *const one = node.slice(past, 0, which, 1);
      const Shape &s = one->type.shape;
      return node.reshape(one, {s[1], s[2], s[3], s[4]});
    };
    Value *const keys = each(0);
    heads.past = keys;
    heads.key = behind(node, keys, heads.key);
    heads.value = behind(node, each(1), heads.value);
  }
  if (node.has_output(1)) {
    const auto stacked = [&](Value *one) {
      const Shape &s = one->type.shape;
      return node.reshape(one, {1, s[0], s[1], s[2], s[3]});
    };
    node.set_output(1, node.concat({stacked(heads.key), stacked(heads.value)}, 0));
  }
  heads.mask = node.input_or_null(kMask);
  // [batch, 1] is the mask of an optimiser that found none.
  if (heads.mask != nullptr && heads.mask->type.rank() == 2 && heads.mask->type.shape[1].is(1)) {
    heads.mask = nullptr;
  }
  heads.mask_begins = true;
  heads.bias = node.input_or_null(kScoreBias);
  node.set_output(0, attend(node, heads));
}

void multi_head_attention(OnnxNode &node) {
  enum Input : size_t {
    kQuery,
    kKey,
    kValue,
    kBias,
    kMask,
    kScoreBias,
    kPastKey,
    kPastValue,
    kPastLength,
    kBeams
  };
  refuse(node, kPastLength, "a past in a buffer that is shared with the present");
  refuse(node, kBeams, "the table of a beam search");
  if (!node.has_input(kKey) || !node.has_input(kValue)) {
    node.fail(
        "has queries, keys and values packed in one tensor, which is not supported; optimise the "
        "model with enable_packed_qkv and enable_packed_kv off");
  }
  if (node.has_input(kPastKey) != node.has_input(kPastValue)) {
    node.fail("has one of past keys and past values, expected both or none");
  }
  Value *query = node.input(kQuery);
  Value *key = node.input(kKey);
  Value *value = node.input(kValue);
  if (query->type.rank() != 3 || key->type.rank() != value->type.rank() ||
      (key->type.rank() != 3 && key->type.rank() != 4)) {
    node.fail("has queries, keys and values of shapes ", to_string(query->type.shape), ", ",
              to_string(key->type.shape), " and ", to_string(value->type.shape),
              ", expected 3 dimensions");
  }
  if (node.has_input(kBias)) {
    // One row for all three, in front of the heads.
    Value *const bias = node.input(kBias);
    if (key->type.rank() == 4 || bias->type.rank() != 1) {
      node.fail("adds a bias of shape ", to_string(bias->type.shape), " to keys of shape ",
                to_string(key->type.shape), ", expected 1 and 3 dimensions");
    }
    const Dim width = query->type.shape[2];
    const Dim value_width = value->type.shape[2];
    if (!node.proved_equal(bias->type.shape[0], width * 2 + value_width)) {
      node.fail("adds a bias of ", bias->type.shape[0].str(),
                " numbers to queries, keys and values of ", (width * 2 + value_width).str());
    }
    const auto with = [&](Value *x, const Dim &start, const Dim &size) {
      return node.add(Op::Add, {x, node.slice(bias, 0, start, size)});
    };
    query = with(query, 0, width);
    key = with(key, width, width);
    value = with(value, width * 2, value_width);
  }
  Heads heads;
  heads.query = split_heads(node, query, "num_heads");
  heads.key = split_heads(node, key, "num_heads");
  heads.value = split_heads(node, value, "num_heads");
  if (node.integer("unidirectional", 0) != 0) {
    // onnxruntime's last query would see the keys that are left over.
    node.assume_equal(heads.query->type.shape[2], heads.key->type.shape[2],
                      "the lengths of queries and keys of a one-way model");
  }
  if (node.has_input(kPastKey)) {
    heads.key = behind(node, node.input(kPastKey), heads.key);
    heads.value = behind(node, node.input(kPastValue), heads.value);
    heads.past = node.input(kPastKey);
  }
  for (const size_t output : {size_t{1}, size_t{2}}) {
    if (node.has_output(output)) {
      node.set_output(output, output == 1 ? heads.key : heads.value);
    }
  }
  heads.mask = node.input_or_null(kMask);
  heads.bias = node.input_or_null(kScoreBias);
  node.set_output(0, attend(node, heads));
}

constexpr Signature kAttention{
    2, 7, 2,
    "do_rotary mask_filter_value num_heads past_present_share_buffer qkv_hidden_sizes "
    "rotary_embedding_dim scale unidirectional"};
constexpr Signature kMultiHeadAttention{1, 10, 4,
                                        "mask_filter_value num_heads scale unidirectional"};

constexpr OpRule kRules[] = {
    {"Attention", 1, attention, kMicrosoftDomain, kAttention},
    {"MultiHeadAttention", 1, multi_head_attention, kMicrosoftDomain, kMultiHeadAttention},
};

}  // namespace

std::span<const OpRule> microsoft_attention_rules() {
  return kRules;
}

}  // namespace sylvite
