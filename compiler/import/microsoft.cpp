// Operators of the domain com.microsoft that onnxruntime's optimisers put in the place of plain
// ONNX (its attention has a file of its own). They are taken apart again into what they stand for:
// the passes then fuse them as they fuse anything, and a graph with one fusion more or less
// compiles to the same program. The order of a sum is the one that our fusions look for: a
// product's bias first, then the residual.
//
// The ONNX library knows no schema of them, so each row says what a node may have.
#include <utility>

#include "compiler/import/onnx_node.h"

namespace sylvite {
namespace {

void gelu(OnnxNode &node) {
  node.set_output(0, exact_gelu(node, node.input(0)));
}

void bias_gelu(OnnxNode &node) {
  node.set_output(0, exact_gelu(node, node.add(Op::Add, {node.input(0), node.input(1)})));
}

Value *with_bias(OnnxNode &node, Value *x, size_t bias) {
  return node.has_input(bias) ? node.add(Op::Add, {x, node.input(bias)}) : x;
}

void fast_gelu(OnnxNode &node) {
  node.set_output(0, tanh_gelu(node, with_bias(node, node.input(0), 1)));
}

void quick_gelu(OnnxNode &node) {
  node.set_output(0, swish(node, node.input(0), node.real("alpha", 1.702F)));
}

void bias_add(OnnxNode &node) {
  node.set_output(0, node.add(Op::Add, {with_bias(node, node.input(0), 1), node.input(2)}));
}

constexpr double kSkipEpsilon = 1e-12F;

// norm(x + bias + skip); the fourth output is the sum.
void skip_norm(OnnxNode &node, Value *beta, size_t bias, bool rms) {
  Value *const x = node.input(0);
  if (x->type.rank() < 1) {
    node.fail("normalises a number, expected at least 1 dimension");
  }
  Value *const sum = node.add(Op::Add, {with_bias(node, x, bias), node.input(1)});
  if (node.has_output(3)) {
    node.set_output(3, sum);
  }
  node.set_output(0, layer_normalised(node, sum, node.input(2), beta, sum->type.rank() - 1,
                                      node.real("epsilon", kSkipEpsilon), rms));
}

void skip_layer_normalization(OnnxNode &node) {
  skip_norm(node, node.input_or_null(3), 4, false);
}

void skip_simplified_layer_normalization(OnnxNode &node) {
  skip_norm(node, nullptr, 3, true);
}

// The rows of a table [rows, width] for indices [batch, length].
Value *embedding(OnnxNode &node, size_t table, Value *indices) {
  if (node.input(table)->type.rank() != 2) {
    node.fail("input ", table, " has ", node.input(table)->type.rank(), " dimensions, expected 2");
  }
  return node.add(Op::Gather, {node.input(table), indices}, {{"axis", int64_t{0}}});
}

enum EmbedInput : size_t {
  kIds,
  kSegmentIds,
  kWords,
  kPositions,
  kSegments,
  kGamma,
  kBeta,
  kMask,
  kPositionIds
};

// The rows of the positions 0, 1, ... up to the length.
Value *first_positions(OnnxNode &node) {
  Value *const table = node.input(kPositions);
  if (table->type.rank() != 2) {
    node.fail("input ", +kPositions, " has ", table->type.rank(), " dimensions, expected 2");
  }
  const Dim &length = node.input(kIds)->type.shape[1];
  const Dim &rows = table->type.shape[0];
  node.assume_at_most(length, rows,
                      "takes " + length.str() + " rows of a table of " + rows.str() + " positions");
  return node.slice(table, 0, 0, length);
}

// norm(words[ids] + positions[...] + segments[...]), and the number of tokens that the mask keeps.
void embed_layer_normalization(OnnxNode &node) {
  Value *const ids = node.input(kIds);
  if (ids->type.rank() != 2) {
    node.fail("has token ids with ", ids->type.rank(), " dimensions, expected 2");
  }
  Value *const positions = node.has_input(kPositionIds)
                               ? embedding(node, kPositions, node.input(kPositionIds))
                               : first_positions(node);
  Value *sum = node.add(Op::Add, {embedding(node, kWords, ids), positions});
  if (node.has_input(kSegmentIds)) {
    sum = node.add(Op::Add, {sum, embedding(node, kSegments, node.input(kSegmentIds))});
  }
  node.set_output(
      0, layer_normalised(node, sum, node.input(kGamma), node.input(kBeta), sum->type.rank() - 1,
                          node.real("epsilon", kSkipEpsilon), false));
  if (node.has_output(1)) {
    Value *const mask = node.input_or_null(kMask);
    if (mask != nullptr && mask->type.rank() != 2) {
      node.fail("has a mask with ", mask->type.rank(), " dimensions, expected 2");
    }
    Value *const kept =
        mask == nullptr
            ? node.expand(node.scalar(DType::I32, 0), {ids->type.shape[0]})
            : node.reduce("sum",
                          node.cast(node.add(Op::Equal, {mask, node.like(mask, 1)}), DType::I32),
                          {1}, false);
    node.set_output(1, kept);
  }
  if (node.has_output(2)) {
    node.set_output(2, sum);
  }
}

// An operand of FusedMatMul. transBatch: the axis of the rows stands in front of the batch axes;
// trans: the last two axes are exchanged, after that.
Value *operand(OnnxNode &node, size_t input, const char *trans, const char *trans_batch) {
  Value *x = node.input(input);
  const int64_t rank = x->type.rank();
  if (node.integer(trans_batch, 0) != 0) {
    if (rank < 3) {
      node.fail(trans_batch, " is set for ", rank, " dimensions, expected at least 3");
    }
    std::vector<int64_t> perm;
    for (int64_t axis = 1; axis + 1 < rank; ++axis) {
      perm.push_back(axis);
    }
    perm.push_back(0);
    perm.push_back(rank - 1);
    x = node.transpose(x, perm);
  }
  if (node.integer(trans, 0) != 0 && rank > 1) {
    std::vector<int64_t> perm(static_cast<size_t>(rank));
    for (int64_t axis = 0; axis < rank; ++axis) {
      perm[static_cast<size_t>(axis)] = axis;
    }
    std::swap(perm[static_cast<size_t>(rank - 2)], perm[static_cast<size_t>(rank - 1)]);
    x = node.transpose(x, perm);
  }
  return x;
}

void fused_matmul(OnnxNode &node) {
  Value *const product = numpy_product(node, operand(node, 0, "transA", "transBatchA"),
                                       operand(node, 1, "transB", "transBatchB"));
  const double alpha = node.real("alpha", 1);
  node.set_output(0,
                  alpha == 1 ? product : node.add(Op::Mul, {product, node.like(product, alpha)}));
}

void fused_gemm(OnnxNode &node) {
  node.set_output(0, fused_activation(node, general_product(node), node.text("activation", "")));
}

// The halves of each pair that is turned: the first and the second part of the axis, or the even
// and the odd places.
Value *half(OnnxNode &node, Value *x, const Dim &size, bool interleaved, int64_t which) {
  if (!interleaved) {
    return node.slice(x, 3, which == 0 ? Dim(0) : size, size);
  }
  const Shape &s = x->type.shape;
  Value *const pairs = node.reshape(x, {s[0], s[1], s[2], size, 2});
  return node.reshape(node.slice(pairs, 4, which, 1), {s[0], s[1], s[2], size});
}

Value *joined_halves(OnnxNode &node, Value *a, Value *b, bool interleaved) {
  if (!interleaved) {
    return node.concat({a, b}, 3);
  }
  const Shape &s = a->type.shape;
  const Shape apart{s[0], s[1], s[2], s[3], 1};
  Value *const pairs = node.concat({node.reshape(a, apart), node.reshape(b, apart)}, 4);
  return node.reshape(pairs, {s[0], s[1], s[2], s[3] * 2});
}

// Rows of a table of cosines or sines beside x [batch, heads, length, size]: [.., 1, length, half].
Value *rotation(OnnxNode &node, size_t table, const Dim &length) {
  Value *positions = node.input(1);
  if (positions->type.rank() == 1) {  // that of the first token
    node.assume_equal(positions->type.shape[0], 1, "the first token's position");
    positions = node.add(Op::Add, {positions, node.cast(node.iota(length), positions->type.dtype)});
    positions = node.reshape(positions, {1, length});
  } else if (positions->type.rank() != 2) {
    node.fail("has positions with ", positions->type.rank(), " dimensions, expected 1 or 2");
  }
  Value *const rows = embedding(node, table, positions);
  const Shape &s = rows->type.shape;
  return node.reshape(rows, {s[0], 1, s[1], s[2]});
}

// Turns each pair of places by the angle of its position; what stands behind the pairs stays.
void rotary_embedding(OnnxNode &node) {
  if (node.integer("is_packed_batching", 0) != 0) {
    node.fail("is_packed_batching is set, which is not supported; export the model without it");
  }
  if (node.real("scale", 1) != 1) {
    node.fail("has a scale, which is not supported; export the model without it");
  }
  Value *x = node.input(0);
  const bool flat = x->type.rank() == 3;
  Value *const table = node.input(2);
  if (table->type.rank() != 2) {
    node.fail("input 2 has ", table->type.rank(), " dimensions, expected 2");
  }
  const Dim pairs = table->type.shape[1];
  if (flat && node.integer("num_heads", 0) > 0) {
    x = split_heads(node, x, "num_heads");
  } else if (flat) {
    const Shape &s = x->type.shape;
    const auto heads = exact_div(s[2], pairs * 2);
    if (!heads) {
      node.fail("cannot split ", s[2].str(), " into heads of ", (pairs * 2).str());
    }
    x = node.transpose(node.reshape(x, {s[0], s[1], *heads, pairs * 2}), {0, 2, 1, 3});
  } else if (x->type.rank() != 4) {
    node.fail("has an input with ", x->type.rank(), " dimensions, expected 3 or 4");
  }
  const Dim size = x->type.shape[3];
  const int64_t turned = node.integer("rotary_embedding_dim", 0);
  if (!node.proved_equal(turned > 0 ? Dim(turned) : size, pairs * 2) ||
      !node.proved_le(pairs * 2, size)) {
    node.fail("turns ", turned > 0 ? Dim(turned).str() : size.str(), " of ", size.str(),
              " places with a table of ", pairs.str(), " pairs");
  }
  const bool interleaved = node.integer("interleaved", 0) != 0;
  Value *const places = node.slice(x, 3, 0, pairs * 2);
  Value *const a = half(node, places, pairs, interleaved, 0);
  Value *const b = half(node, places, pairs, interleaved, 1);
  Value *const cosine = rotation(node, 2, x->type.shape[2]);
  Value *const sine = rotation(node, 3, x->type.shape[2]);
  const auto product = [&](Value *left, Value *right) { return node.add(Op::Mul, {left, right}); };
  Value *result =
      joined_halves(node, node.add(Op::Sub, {product(a, cosine), product(b, sine)}),
                    node.add(Op::Add, {product(b, cosine), product(a, sine)}), interleaved);
  if (!node.proved_equal(size, pairs * 2)) {
    result = node.concat({result, node.slice(x, 3, pairs * 2, size - pairs * 2)}, 3);
  }
  node.set_output(0, flat ? join_heads(node, result) : result);
}

constexpr const char *kMatMul = "alpha transA transB transBatchA transBatchB";
constexpr const char *kGemm =
    "alpha beta transA transB activation activation_alpha activation_beta activation_gamma";
constexpr const char *kRotary =
    "interleaved is_packed_batching num_heads rotary_embedding_dim scale";

constexpr OpRule microsoft(const char *name, void (*translate)(OnnxNode &), Signature signature) {
  return {name, 1, translate, kMicrosoftDomain, signature};
}

constexpr OpRule kRules[] = {
    microsoft("BiasAdd", bias_add, {3, 3}),
    microsoft("BiasGelu", bias_gelu, {2, 2}),
    microsoft("EmbedLayerNormalization", embed_layer_normalization,
              {7, 9, 3, "epsilon mask_index_type"}),
    microsoft("FastGelu", fast_gelu, {1, 2}),
    microsoft("FusedGemm", fused_gemm, {2, 3, 1, kGemm}),
    microsoft("FusedMatMul", fused_matmul, {2, 2, 1, kMatMul}),
    microsoft("Gelu", gelu, {1, 1}),
    microsoft("QuickGelu", quick_gelu, {1, 1, 1, "alpha"}),
    microsoft("RotaryEmbedding", rotary_embedding, {4, 4, 1, kRotary}),
    microsoft("SkipLayerNormalization", skip_layer_normalization, {3, 5, 4, "epsilon"}),
    microsoft("SkipSimplifiedLayerNormalization", skip_simplified_layer_normalization,
              {3, 4, 4, "epsilon"}),
    // The older name of FusedMatMul.
    microsoft("TransposeMatMul", fused_matmul, {2, 2, 1, "alpha transA transB"}),
};

}  // namespace

std::span<const OpRule> microsoft_rules() {
  return kRules;
}

}  // namespace sylvite
