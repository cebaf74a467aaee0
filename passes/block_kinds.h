// Kinds of blocks that are told by what a kernel's region computes and whose results it reads.
#pragma once

#include "compiler/ir/graph.h"

namespace sylvite {

// What a region's value is outside, where it is an input.
const Value *outside(const Node &kernel, const Value *value);

// A kernel around a matrix product.
bool is_product(const Node *kernel);
// An activation, or what may be part of one.
bool has_nonlinearity(const Graph &region);

// How many tensors the kernel rotates by positions: x cos + rotate(x) sin, in halves or in pairs.
int rotations_in(const Node &kernel);

// Attention over the positions of an image: softmax(q k) v in one kernel, or the product with v
// where scores are only scaled. q: a product of the image's pixels, or these themselves.
bool is_nonlocal(const Node &kernel);

// f(q) (f(k)ᵀ v): no scores at all, as kernel the last product.
bool is_linear_attention(const Node &kernel);

}  // namespace sylvite
