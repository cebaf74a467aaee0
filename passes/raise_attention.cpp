// Finds attention: softmax over the last axis between two matrix products.
//
//   matmul(g(softmax(f(matmul(q, transpose(k))))), v)  =>  attention(q, k, v, operands) [f, g]
//
// f (scale, masks in whatever spelling, biases) and g (a guard against NaN, a mask after the
// softmax) are any elementwise formulas over the scores; they become the op's regions as they are,
// so the semantics of every mask stays exactly the exporter's. Constant factors on q and k are
// gathered in f, whatever views stand between (torch's sdpa scales both by the root).
//
// Needs: canonical_matmuls (k with its own axis last).
// Keeps: shapes; scale factors are re-associated.
// Declines: scores or probabilities that something else reads, a softmax over another axis, views
// between product and softmax, products of two element types (halves may become floats for the
// softmax, and halves again), constant keys or values, formulas of more than a few dozen
// operations. Each such near miss is recorded.
#include <algorithm>
#include <set>

#include "compiler/ir/error.h"
#include "compiler/ir/match.h"
#include "passes/elementwise_chain.h"
#include "passes/fusion_cost.h"
#include "passes/passes.h"
#include "passes/rewrite.h"

namespace sylvite {
namespace {

// Masks, biases: more would not fit a kernel's inputs.
constexpr size_t kMostOperands = 8;
// Of the formulas of scores and probabilities, for the same reason as kMostFormulaCost: the kernel
// computes them in unrolled tiles.
constexpr int64_t kMostScoreCost = 128;

bool is_variable_product(const Value *value) {
  return is_op(value, Op::MatMul) && constant_of(value->producer->input(0)) == nullptr &&
         constant_of(value->producer->input(1)) == nullptr;
}

// How many values a search looks at: blocks are far smaller, graphs may be far larger.
constexpr size_t kFarthest = 256;

bool passes_on(const Value *value, bool through_views) {
  return is_class(value, OpClass::Elementwise) || (through_views && is_class(value, OpClass::View));
}

// The nearest product that the value depends on through elementwise ops, and through views where
// `through_views`; null if there is none.
Value *product_before(Value *value, bool through_views) {
  std::vector<Value *> reached = {value};
  for (size_t next = 0; next < reached.size() && next < kFarthest; ++next) {
    Value *candidate = reached[next];
    if (is_variable_product(candidate)) {
      return candidate;
    }
    if (passes_on(candidate, through_views)) {
      for (Value *input : candidate->producer->inputs) {
        if (std::find(reached.begin(), reached.end(), input) == reached.end()) {
          reached.push_back(input);
        }
      }
    }
  }
  return nullptr;
}

// The nearest product that reads the value through elementwise ops (and views).
Node *product_after(Value *value, bool through_views) {
  std::vector<Value *> reached = {value};
  for (size_t next = 0; next < reached.size() && next < kFarthest; ++next) {
    for (Node *user : reached[next]->users) {
      if (is_variable_product(user->output())) {
        return user;
      }
      Value *result = user->output();
      if (passes_on(result, through_views) &&
          std::find(reached.begin(), reached.end(), result) == reached.end()) {
        reached.push_back(result);
      }
    }
  }
  return nullptr;
}

// views(x * c) => views(x), and c is multiplied into `scale`
Value *strip_scale(Builder &build, Value *value, double &scale, int depth = 0) {
  constexpr int kDeepest = 32;
  if (depth == kDeepest) {
    return value;
  }
  Value *x = nullptr;
  double factor = 0;
  if (is_computing_float(value->type.dtype) &&
      match(value, op(Op::Mul, any(&x), scalar(&factor))) &&
      same_type(x->type, value->type, build.graph().symbol_table())) {
    scale *= factor;
    return strip_scale(build, x, scale, depth + 1);
  }
  if (is_class(value, OpClass::View) && value->producer->inputs.size() == 1 &&
      value->producer->op != Op::Pad) {
    Value *below = value->producer->input(0);
    Value *stripped = strip_scale(build, below, scale, depth + 1);
    return stripped == below ? value : build.copy(*value->producer, {stripped});
  }
  return value;
}

Value *last_two_swapped(Builder &build, Value *value) {
  return build.transpose(value, swap_last_two(value->type.rank()));
}

bool is_transposed(const Node &matmul) {
  return matmul.attributes.integer_or("transpose_b", 0) != 0;
}

enum class Outcome { NotAttention, NearMiss, Raised };

// `condition`: the one that failed, for a near miss.
Outcome raise(Graph &graph, Node *softmax, std::set<Node *> &erased, std::string &condition) {
  Value *scores = softmax->input(0), *probabilities = softmax->output();
  if (product_before(scores, true) == nullptr || product_after(probabilities, true) == nullptr) {
    return Outcome::NotAttention;
  }
  Value *product = product_before(scores, false);
  Node *weighted = product_after(probabilities, false);
  const int64_t rank = scores->type.rank();
  if (normal_axis(softmax->attributes.integer("axis"), rank) != rank - 1) {
    condition = "the softmax runs over axis " +
                std::to_string(softmax->attributes.integer("axis")) + ", not the last one";
    return Outcome::NearMiss;
  }
  if (product == nullptr || weighted == nullptr) {
    condition = "a view stands between the softmax and a product";
    return Outcome::NearMiss;
  }
  if (weighted->input(0) == weighted->input(1)) {
    condition = "the values are the probabilities themselves";
    return Outcome::NearMiss;
  }
  const ElementwiseChain before = find_elementwise_chain(graph, product, scores);
  const ElementwiseChain after = find_elementwise_chain(graph, probabilities, weighted->input(0));
  if (after.nodes.empty() && weighted->input(0) != probabilities) {
    condition = "the probabilities are the right operand of " + describe(*weighted);
    return Outcome::NearMiss;
  }
  int64_t cost = 0;
  for (const ElementwiseChain *chain : {&before, &after}) {
    if (!chain->obstacle.empty()) {
      condition = chain->obstacle;
      return Outcome::NearMiss;
    }
    for (const Node *node : chain->nodes) {
      cost += node_cost(*node);
    }
  }
  if (cost > kMostScoreCost) {
    condition = "the scores' formula costs " + std::to_string(cost) + ", more than " +
                std::to_string(kMostScoreCost);
    return Outcome::NearMiss;
  }
  for (const Value *value : {weighted->input(0), weighted->output()}) {
    if (value->type.dtype != product->type.dtype) {
      condition = std::string("the product is ") + name_of(product->type.dtype) + ", '" +
                  value->name + "' is " + name_of(value->type.dtype);
      return Outcome::NearMiss;
    }
  }
  for (const auto &[value, reader] : {std::pair(scores, softmax), {weighted->input(0), weighted}}) {
    if (only_user(value) != reader) {
      condition = "'" + value->name + "' is read elsewhere too";
      return Outcome::NearMiss;
    }
  }
  std::vector<Value *> operands = before.operands;
  for (Value *operand : after.operands) {
    if (std::find(operands.begin(), operands.end(), operand) == operands.end()) {
      operands.push_back(operand);
    }
  }
  if (product->type.dtype == DType::F64 || scores->type.dtype == DType::F64) {
    condition = "it is computed in f64";
    return Outcome::NearMiss;
  }
  if (operands.size() > kMostOperands) {
    condition = "the scores' formula reads " + std::to_string(operands.size()) + " tensors";
    return Outcome::NearMiss;
  }

  Builder build(graph, weighted);
  double scale = 1;
  const Node &first = *product->producer;
  Value *q = strip_scale(build, first.input(0), scale);
  Value *k = strip_scale(build, first.input(1), scale);
  k = is_transposed(first) ? k : last_two_swapped(build, k);
  Value *v = weighted->input(1);
  v = is_transposed(*weighted) ? last_two_swapped(build, v) : v;
  std::vector<std::unique_ptr<Graph>> regions;
  regions.push_back(region_of_chain(before, product, scores, operands, scale, "scores", graph));
  regions.push_back(region_of_chain(after, probabilities, weighted->input(0), operands, 1,
                                    "probabilities", graph));
  simplify_arithmetic(*regions[0]);
  std::vector<Value *> inputs = {q, k, v};
  inputs.insert(inputs.end(), operands.begin(), operands.end());
  Value *attention = build.add_with_regions(Op::Attention, inputs, {}, std::move(regions));
  SYLVITE_CHECK(same_type(attention->type, weighted->output()->type, graph.symbol_table()));
  replace_value(graph, weighted->output(), attention, build.created(), &erased);
  return Outcome::Raised;
}

}  // namespace

bool raise_attention(Graph &graph) {
  bool changed = false;
  std::set<Node *> erased;
  for (Node *node : graph.node_order()) {
    if (erased.count(node) != 0 || node->op != Op::Softmax) {
      continue;
    }
    const std::string name = user_name(*node);
    std::string condition;
    const Outcome outcome = raise(graph, node, erased, condition);
    changed |= outcome != Outcome::NotAttention;
    if (outcome == Outcome::NearMiss) {
      outermost(graph).near_misses.push_back({"attention", name, condition});
    }
  }
  return changed;
}

}  // namespace sylvite
