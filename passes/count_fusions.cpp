// Counts what the kernels compute, in the kinds that the model corpus is described in: blocks of
// the architecture. Only what one kernel does as a whole counts (for ffn: two kernels that follow
// each other).
#include <algorithm>
#include <functional>
#include <memory>

#include "compiler/ir/kernel_traits.h"
#include "passes/block_kinds.h"
#include "passes/kernel_fusion.h"
#include "passes/passes.h"
#include "passes/rewrite.h"

namespace sylvite {
namespace {

bool is_constant(const Node &kernel, const Value *value) {
  return constant_of(outside(kernel, value)) != nullptr;
}

// A table as it stands, seen through views: positions.
bool is_table(const Node &kernel, const Value *value) {
  while (value->producer != nullptr && class_of(value->producer->op) == OpClass::View &&
         value->producer->inputs.size() == 1) {
    value = value->producer->input(0);
  }
  return is_constant(kernel, value);
}

// What an embedding sum is made of: tables, rows gathered from tables, sums and views of these.
bool is_embedding(const Node &kernel, const Value *value) {
  if (is_table(kernel, value) || is_class(value, OpClass::Leaf)) {
    return true;
  }
  if (value->producer == nullptr) {
    const Node *producer = outside(kernel, value)->producer;
    // A kernel that does nothing but gather rows.
    return producer != nullptr && producer->op == Op::Kernel && !has_root(*producer) &&
           is_embedding(*producer, region_of(*producer).output(0));
  }
  const Node &node = *value->producer;
  switch (class_of(node.op)) {
    case OpClass::Lookup:
      return is_embedding(kernel, node.input(0));
    case OpClass::View:
    case OpClass::Elementwise:
      return std::all_of(node.inputs.begin(), node.inputs.end(),
                         [&](const Value *input) { return is_embedding(kernel, input); });
    default:
      return false;
  }
}

bool is_bias(const Node &kernel, const Value *value) {
  const Tensor *tensor = constant_of(outside(kernel, value));
  return tensor != nullptr && (tensor->rank() == 0 || tensor->count() == tensor->shape().back());
}

// The addition of two activations or embeddings that ends in this value: biases and views are
// looked through. Null if there is none.
const Node *sum_behind(const Node &kernel, const Value *value) {
  while (value->producer != nullptr) {
    const Node &node = *value->producer;
    if (node.op == Op::Add && is_bias(kernel, node.input(1))) {
      value = node.input(0);
    } else if (node.op == Op::Add && is_bias(kernel, node.input(0))) {
      value = node.input(1);
    } else if (node.op == Op::Add) {
      return &node;
    } else if (node.op == Op::Reshape || node.op == Op::Cast) {
      value = node.input(0);
    } else {
      return nullptr;
    }
  }
  return nullptr;
}

void count_norm(const Node &kernel, const Node &root, FusionCounts &counts) {
  const bool rms = root.attributes.integer_or("rms", 0) != 0;
  ++(rms ? counts.rms_norm : counts.layer_norm);
  const Node *sum = sum_behind(kernel, root.input(0));
  if (sum == nullptr) {
    return;
  }
  const Value *a = sum->input(0), *b = sum->input(1);
  // The first residual of a decoder adds to an embedding; that is no sum of embeddings.
  const bool embedding = is_table(kernel, a) || is_table(kernel, b) ||
                         (is_embedding(kernel, a) && is_embedding(kernel, b));
  ++(embedding ? counts.embed_norm : counts.add_norm);
}

const Dim &width_of(const Value *value) {
  return value->type.shape.back();
}

// linear, activation, linear, back to the first one's width. The gated kind multiplies the first
// product with another one that has the same operand.
void count_ffn(const Node &kernel, FusionCounts &counts) {
  const Node *next = only_user(kernel.output());
  if (!is_product(next) || !has_nonlinearity(region_of(kernel)) ||
      next->output()->type.rank() == 0) {
    return;
  }
  const Node &root = *root_of(region_of(kernel));
  const Value *x = outside(kernel, root.input(0));
  if (x->type.shape.empty() || width_of(x) != width_of(next->output()) ||
      root_of(region_of(*next))->input(0)->type.rank() == 0) {
    return;
  }
  bool gated = false;
  for (const Value *input : kernel.inputs) {
    const Node *other = input->producer;
    if (input != x && is_product(other) &&
        same_shape(input->type.shape, kernel.output()->type.shape, kernel.graph->symbol_table())) {
      const Node &other_root = *root_of(region_of(*other));
      gated |= outside(*other, other_root.input(0)) == x;
    }
  }
  ++(gated ? counts.ffn_gated : counts.ffn);
}

// A product whose columns are scaled before they are added to the residual.
bool has_layer_scale(const Node &kernel) {
  const Node &root = *root_of(region_of(kernel));
  return std::any_of(region_of(kernel).nodes().begin(), region_of(kernel).nodes().end(),
                     [&](const std::unique_ptr<Node> &node) {
                       const Tensor *factors = node->op == Op::Mul
                                                   ? constant_of(outside(kernel, node->input(1)))
                                                   : nullptr;
                       return factors != nullptr && factors->rank() > 0 &&
                              width_of(root.output()) == Dim(factors->count());
                     });
}

int most(int a, int b) {
  return std::max(a, b);
}

// Each kind by itself.
template <typename Combine>
FusionCounts combined(const FusionCounts &a, const FusionCounts &b, Combine combine) {
  FusionCounts result;
  for (int FusionCounts::*kind :
       {&FusionCounts::attention, &FusionCounts::add_norm, &FusionCounts::embed_norm,
        &FusionCounts::ffn, &FusionCounts::ffn_gated, &FusionCounts::layer_norm,
        &FusionCounts::rms_norm, &FusionCounts::rope, &FusionCounts::nonlocal,
        &FusionCounts::linear_attention, &FusionCounts::layer_scale}) {
    result.*kind = combine(a.*kind, b.*kind);
  }
  return result;
}

}  // namespace

FusionCounts count_fusions(const Graph &graph_of_kernels) {
  FusionCounts counts;
  for (const std::unique_ptr<Node> &node : graph_of_kernels.nodes()) {
    if (node->op == Op::Loop) {
      counts = combined(counts, count_fusions(*node->regions[0]), std::plus<>());
    } else if (node->op == Op::If) {  // only one of them is computed
      const FusionCounts branches =
          combined(count_fusions(*node->regions[0]), count_fusions(*node->regions[1]), most);
      counts = combined(counts, branches, std::plus<>());
    }
  }
  for (const Node *kernel : kernels_in_order(graph_of_kernels)) {
    const Node *root = root_of(region_of(*kernel));
    counts.rope += rotations_in(*kernel);
    if (root == nullptr) {
      continue;
    }
    counts.nonlocal += is_nonlocal(*kernel);
    counts.linear_attention += is_linear_attention(*kernel);
    if (root->op == Op::Attention) {
      ++counts.attention;
    } else if (root->op == Op::LayerNorm) {
      count_norm(*kernel, *root, counts);
    } else if (is_product(kernel)) {
      count_ffn(*kernel, counts);
      counts.layer_scale += has_layer_scale(*kernel);
    }
  }
  return counts;
}

}  // namespace sylvite
