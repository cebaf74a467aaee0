// Encoder layers in the spellings that exporters use, small, as IR text: what the importer would
// give.
#pragma once

#include <string>

namespace sylvite {

struct LayerSpelling {
  bool norm_in_parts = false;     // ReduceMean, Sub, Pow, ... instead of layer_norm
  bool scale_on_q_and_k = false;  // torch's sdpa: the root of the scale on both
  bool packed_qkv = false;        // one product, five-dimensional heads, slices
  bool post_norm = false;         // BERT's order instead of ViT's
  bool masked = false;            // a padding mask, added to the scores
  bool nan_guard = false;         // where(is_nan(p), 0, p) behind the softmax
  bool softmax_in_parts = false;
  bool tanh_gelu = false;
};

// graph (x: f32[batch, length, 8], mask: i64[batch, length]) with one layer: 2 heads of 4, 12 inner
// columns.
std::string sample_layer(const LayerSpelling &spelling);

// An image through a patch embedding (convolution), class token and positions into a norm and a
// head.
std::string sample_patch_embedding();

// Token, position and type embeddings, summed and normalised.
std::string sample_token_embedding();

}  // namespace sylvite
