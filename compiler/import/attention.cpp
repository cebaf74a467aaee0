// Attention (opset 23 on) as matmul, scale, masks, softmax, matmul: the form that every other
// spelling of attention ends in. Masks become one boolean keep-mask where they are boolean, and are
// added where they are numbers. A query whose keys are all masked gets zeros, as the operator's
// definition has it; its softmax is NaN, which is how it is recognised.
#include <cmath>
#include <limits>

#include "compiler/import/onnx_node.h"

namespace sylvite {

Value *split_heads(OnnxNode &node, Value *x, const char *heads_attribute) {
  const Shape &shape = x->type.shape;
  if (shape.size() == 4) {
    return x;
  }
  if (shape.size() != 3) {
    node.fail("has an input with ", shape.size(), " dimensions, expected 3 or 4");
  }
  const int64_t heads = node.integer(heads_attribute);
  const auto size = heads > 0 ? exact_div(shape[2], heads) : std::nullopt;
  if (!size) {
    node.fail(heads_attribute, " = ", heads, " does not divide ", shape[2].str());
  }
  return node.transpose(node.reshape(x, {shape[0], shape[1], heads, *size}), {0, 2, 1, 3});
}

Value *join_heads(OnnxNode &node, Value *x) {
  const Shape &s = x->type.shape;
  return node.reshape(node.transpose(x, {0, 2, 1, 3}), {s[0], s[2], s[1] * s[3]});
}

Value *attention_scores(OnnxNode &node, Value *query, Value *key, std::optional<double> scale) {
  Value *const scores = node.add(Op::MatMul, {query, node.transpose(key, {0, 1, 3, 2})});
  const Dim &size = query->type.shape[3];
  if (!scale && !size.is_constant()) {
    node.fail("needs attribute 'scale' for heads of the unknown size ", size.str());
  }
  const double factor = scale ? *scale : 1 / std::sqrt(static_cast<double>(*size.constant()));
  return factor == 1 ? scores : node.add(Op::Mul, {scores, node.like(scores, factor)});
}

Value *causal_mask(OnnxNode &node, const Dim &queries, const Dim &keys, const Dim &past) {
  Value *row = node.reshape(node.iota(queries), {queries, 1});
  if (!past.is(0)) {
    row = node.add(Op::Add, {row, node.dim_values({past}, {})});
  }
  return node.add(Op::LessEqual, {node.iota(keys), row});
}

namespace {

enum Input : size_t { kQuery, kKey, kValue, kMask, kPastKey, kPastValue, kKeyCount };
enum Output : size_t { kResult, kPresentKey, kPresentValue, kScores };

// Each head of x stands for `group` heads of the query.
Value *repeat_heads(OnnxNode &node, Value *x, const Dim &query_heads) {
  const Shape &s = x->type.shape;
  const auto group = exact_div(query_heads, s[1]);
  if (!group) {
    node.fail("has ", query_heads.str(), " query heads and ", s[1].str(), " key heads");
  }
  if (group->is(1)) {
    return x;
  }
  Value *const apart = node.reshape(x, {s[0], s[1], 1, s[2], s[3]});
  return node.reshape(node.expand(apart, {s[0], s[1], *group, s[2], s[3]}),
                      {s[0], query_heads, s[2], s[3]});
}

Value *both(OnnxNode &node, Value *a, Value *b) {
  return a == nullptr ? b : b == nullptr ? a : node.add(Op::And, {a, b});
}

class AttentionBuilder {
 public:
  explicit AttentionBuilder(OnnxNode &node) : node_(node) {}

  void run() {
    Value *const query = split_heads(node_, node_.input(kQuery), "q_num_heads");
    Value *const key = present(kKey, kPastKey, kPresentKey);
    Value *const value = present(kValue, kPastValue, kPresentValue);
    const Dim &heads = query->type.shape[1];
    Value *const full_key = repeat_heads(node_, key, heads);
    const auto scale = node_.has("scale") ? std::optional(node_.real("scale")) : std::nullopt;
    Value *scores = attention_scores(node_, query, full_key, scale);
    queries_ = scores->type.shape[2];
    keys_ = scores->type.shape[3];
    past_ = node_.has_input(kPastKey) ? node_.input(kPastKey)->type.shape[2] : Dim(0);
    note_scores(0, scores);
    scores = capped(scores);
    note_scores(1, scores);
    scores = masked(scores);
    note_scores(2, scores);
    Value *probabilities = softmax(node_, scores, 3);  // computed in float, whatever the type
    if (node_.has_input(kMask) || node_.has_input(kKeyCount)) {
      Value *const nothing_kept = node_.add(Op::IsNaN, {probabilities});
      probabilities =
          node_.add(Op::Where, {nothing_kept, node_.like(probabilities, 0), probabilities});
    }
    note_scores(3, probabilities);
    Value *result = node_.add(Op::MatMul, {probabilities, repeat_heads(node_, value, heads)});
    if (node_.input(kQuery)->type.rank() == 3) {
      result = join_heads(node_, result);
    }
    node_.set_output(kResult, result);
  }

 private:
  // Keys or values with those of the past in front.
  Value *present(size_t input, size_t past, size_t output) {
    Value *result = split_heads(node_, node_.input(input), "kv_num_heads");
    if (node_.has_input(past)) {
      if (node_.input(past)->type.rank() != 4) {
        node_.fail("has a past with ", node_.input(past)->type.rank(), " dimensions, expected 4");
      }
      result = node_.concat({node_.input(past), result}, 2);
    }
    if (node_.has_output(output)) {
      node_.set_output(output, result);
    }
    return result;
  }

  void note_scores(int64_t mode, Value *value) {
    if (node_.has_output(kScores) && node_.integer("qk_matmul_output_mode", 0) == mode) {
      node_.set_output(kScores, value);
    }
  }

  Value *capped(Value *scores) {
    const double cap = node_.real("softcap", 0);
    if (cap == 0) {
      return scores;
    }
    Value *const limit = node_.like(scores, cap);
    Value *const squeezed = node_.add(Op::Tanh, {node_.add(Op::Div, {scores, limit})});
    return node_.add(Op::Mul, {squeezed, limit});
  }

  // A mask may cover fewer keys than there are: the rest is not seen.
  Value *covering_all_keys(Value *mask) {
    const Shape &shape = mask->type.shape;
    if (shape.empty() || shape.back().is(1) || node_.opset() < 24 ||
        node_.proved_equal(shape.back(), keys_)) {
      return mask;
    }
    const Shape none(shape.size(), Dim(0));
    Shape after = none;
    after.back() = keys_ - shape.back();
    const double hidden =
        mask->type.dtype == DType::Bool ? 0 : -std::numeric_limits<double>::infinity();
    return node_.add(Op::Pad, {mask, node_.like(mask, hidden)},
                     {{"before", none}, {"after", after}, {"mode", std::string("constant")}});
  }

  Value *key_numbers() { return node_.iota(keys_); }

  Value *causal_keep() {
    if (node_.integer("is_causal", 0) == 0) {
      return nullptr;
    }
    if (!node_.has_input(kKeyCount) || node_.has_input(kPastKey)) {
      return causal_mask(node_, queries_, keys_, past_);
    }
    // The queries are the last of the keys that count.
    Value *const row = node_.reshape(node_.iota(queries_), {queries_, 1});
    Value *const first = node_.add(Op::Sub, {key_counts(), node_.dim_values({queries_}, {})});
    return node_.add(Op::LessEqual, {key_numbers(), node_.add(Op::Add, {row, first})});
  }

  // How many keys count for each batch position: [batch, 1, 1, 1].
  Value *key_counts() {
    Value *const counts = node_.input(kKeyCount);
    return node_.reshape(counts, {element_count(counts->type.shape), 1, 1, 1});
  }

  Value *padding_keep() {
    return node_.has_input(kKeyCount) ? node_.add(Op::Less, {key_numbers(), key_counts()})
                                      : nullptr;
  }

  Value *masked(Value *scores) {
    Value *keep = both(node_, causal_keep(), padding_keep());
    if (node_.has_input(kMask)) {
      Value *const mask = covering_all_keys(node_.input(kMask));
      if (mask->type.dtype == DType::Bool) {
        keep = both(node_, mask, keep);
      } else {
        scores = node_.add(Op::Add, {scores, node_.cast(mask, scores->type.dtype)});
      }
    }
    if (keep == nullptr) {
      return scores;
    }
    Value *const hidden = node_.like(scores, -std::numeric_limits<double>::infinity());
    return node_.add(Op::Where, {keep, scores, hidden});
  }

  OnnxNode &node_;
  Dim queries_, keys_, past_;
};

void attention(OnnxNode &node) {
  AttentionBuilder(node).run();
}

constexpr OpRule kRules[] = {
    {"Attention", 24, attention},
};

}  // namespace

std::span<const OpRule> attention_rules() {
  return kRules;
}

}  // namespace sylvite
