// Says why feed-forward blocks are more than two kernels: linear and activation, linear.
//
// Needs: fuse_epilogues.   Keeps: every kernel; adds to the graph's near misses.
// Declines: what does not lead back to the width that it began with.
#include <string>

#include "compiler/ir/kernel_traits.h"
#include "passes/block_kinds.h"
#include "passes/kernel_fusion.h"
#include "passes/passes.h"
#include "passes/rewrite.h"

namespace sylvite {
namespace {

// What the product multiplies with its weights, as the graph knows it.
const Value *operand_of(const Node &product) {
  const Value *operand = root_of(region_of(product))->input(0);
  return operand->producer == nullptr ? outside(product, operand) : nullptr;
}

bool same_width(const Value *a, const Value *b) {
  return !a->type.shape.empty() && !b->type.shape.empty() &&
         a->type.shape.back() == b->type.shape.back();
}

// The product that reads the value and gives it the width of x, or null.
const Node *product_back_to(const Value *x, const Value *value) {
  for (const Node *user : value->users) {
    if (is_product(user) && operand_of(*user) == value && same_width(user->output(), x)) {
      return user;
    }
  }
  return nullptr;
}

// A product whose activation is a kernel of its own.
std::string why_activation_is_apart(Graph &graph, const Node &product) {
  const Value *x = operand_of(product);
  const Value *result = product.output();
  for (const Node *user : result->users) {
    if (x == nullptr || user->op != Op::Kernel || has_root(*user) ||
        !has_nonlinearity(region_of(*user)) || product_back_to(x, user->output()) == nullptr) {
      continue;
    }
    if (only_user(result) == nullptr) {
      return "'" + result->name + "' is read by more than its activation";
    }
    const std::string obstacle = fusion_obstacle(graph, product, *user);
    return "with the activation in its kernel, " +
           (obstacle.empty() ? "another operand is computed later" : obstacle);
  }
  return "";
}

// A product whose activation is read by more than the next one.
std::string why_hidden_is_shared(const Node &product) {
  const Value *x = operand_of(product);
  return x != nullptr && has_nonlinearity(region_of(product)) &&
                 only_user(product.output()) == nullptr &&
                 product_back_to(x, product.output()) != nullptr
             ? "its activation, '" + product.output()->name + "', is read elsewhere too"
             : "";
}

}  // namespace

bool explain_misses(Graph &graph) {
  const size_t before = outermost(graph).near_misses.size();
  for (const Node *product : kernels_in_order(graph)) {
    if (!is_product(product)) {
      continue;
    }
    std::string condition = why_activation_is_apart(graph, *product);
    condition = condition.empty() ? why_hidden_is_shared(*product) : condition;
    if (!condition.empty()) {
      outermost(graph).near_misses.push_back({"ffn", user_name(*product), condition});
    }
  }
  return outermost(graph).near_misses.size() != before;
}

}  // namespace sylvite
