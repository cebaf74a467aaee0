// Lets a normalisation add up what it normalises: a residual add, a sum of embeddings. Where the
// sum is read elsewhere too (the residual stream of a pre-LN layer), the kernel stores it as a
// second output.
//
//   s = a + b,  y = layer_norm(s, ..)  =>  one kernel that gives y, and s if anybody else reads it
//
// Where a sum of halves is normalised in float, the cast between them comes along.
//
// Needs: form_kernels.   Keeps: every value.
// Declines: the addition of a bias (a constant over the last axis alone): it belongs to the product
// in front.
#include <string>

#include "compiler/ir/kernel_traits.h"
#include "passes/kernel_fusion.h"
#include "passes/passes.h"
#include "passes/rewrite.h"

namespace sylvite {
namespace {

// A constant that is the same in every row.
bool is_bias(const Node &kernel, const Value *operand) {
  if (operand->producer == nullptr) {
    operand = kernel.input(static_cast<size_t>(operand->index));
  }
  const Tensor *tensor = constant_of(operand);
  return tensor != nullptr && (tensor->rank() == 0 || tensor->count() == tensor->shape().back());
}

bool is_sum(const Node *kernel) {
  if (kernel == nullptr || kernel->op != Op::Kernel || has_root(*kernel)) {
    return false;
  }
  const Node *last = region_of(*kernel).output(0)->producer;
  return last != nullptr && last->op == Op::Add && !is_bias(*kernel, last->input(0)) &&
         !is_bias(*kernel, last->input(1));
}

// The sum that a cast, which nothing but the norm reads, makes of another type for it.
Node *sum_behind_cast(const Value *operand) {
  const Node *cast = operand->producer;
  if (cast == nullptr || cast->op != Op::Kernel || only_user(operand) == nullptr) {
    return nullptr;
  }
  const Graph &region = region_of(*cast);
  Node *sum = cast->inputs.size() == 1 ? cast->input(0)->producer : nullptr;
  const bool casts = region.nodes().size() == 1 && region.output(0)->producer->op == Op::Cast;
  return casts && is_sum(sum) && only_user(sum->output()) == cast ? sum : nullptr;
}

// A reshape or transpose: all of the sum is normalised.
bool is_reorder(const Node *kernel) {
  const Node *last = kernel != nullptr && kernel->op == Op::Kernel
                         ? region_of(*kernel).output(0)->producer
                         : nullptr;
  return last != nullptr && region_of(*kernel).nodes().size() == 1 &&
         (last->op == Op::Reshape || last->op == Op::Transpose);
}

// Why the norm does not add up what it reads, where that is a sum; empty where it is none.
std::string why_not(Graph &graph, const Node &norm, const Value *operand) {
  const Node *producer = operand->producer;
  if (is_sum(producer)) {
    return "with the sum in its kernel, " +
           fusion_obstacle(graph, *producer, norm, only_user(operand) == nullptr);
  }
  if (producer != nullptr && producer->outputs.size() == 2 && producer->output(1) == operand) {
    return "'" + operand->name + "' is added up by the norm '" + user_name(*producer) + "'";
  }
  const Node *view = producer;
  constexpr int kDeepest = 8;
  for (int depth = 0; depth < kDeepest && is_reorder(producer); ++depth) {
    producer = producer->input(0)->producer;
  }
  return producer != view && is_sum(producer)
             ? "'" + user_name(*view) + "' stands between the sum '" + user_name(*producer) +
                   "' and the norm"
             : "";
}

}  // namespace

bool fuse_residual_norm(Graph &graph) {
  bool changed = false;
  for (Node *norm : kernels_in_order(graph)) {
    const Node *root = root_of(region_of(*norm));
    if (root == nullptr || root->op != Op::LayerNorm || root->input(0)->producer != nullptr) {
      continue;
    }
    const Value *operand = norm->input(static_cast<size_t>(root->input(0)->index));
    if (is_sum(operand->producer)) {
      const bool read_elsewhere = only_user(operand) == nullptr;
      if (fuse_kernels(graph, operand->producer, norm, read_elsewhere) != nullptr) {
        changed = true;
        continue;
      }
    }
    if (Node *sum = sum_behind_cast(operand); sum != nullptr) {
      Node *wider = fuse_kernels(graph, operand->producer, norm);
      changed = changed || wider != nullptr;
      if (wider != nullptr && fuse_kernels(graph, sum, wider) != nullptr) {
        continue;
      }
    }
    if (const std::string condition = why_not(graph, *norm, operand); !condition.empty()) {
      outermost(graph).near_misses.push_back({"add_norm", user_name(*norm), condition});
      changed = true;
    }
  }
  return changed;
}

}  // namespace sylvite
