// Lets loops and branches take what a view shows instead of the view: inside, the kernels that read
// it read through the view, outside it would have to be copied into memory.
//
//   y = transpose(x); if(c, y) [graph (a) ...]  =>  if(c, x) [graph (b) { a = transpose(b) ... }]
//
// Keeps: every value.   Declines: what a loop carries, and views of several values.
#include <algorithm>

#include "compiler/ir/control.h"
#include "passes/passes.h"

namespace sylvite {
namespace {

bool is_view_of_one(const Value *value) {
  return value->producer != nullptr &&
         (value->producer->op == Op::Reshape || value->producer->op == Op::Transpose ||
          value->producer->op == Op::Slice || value->producer->op == Op::Expand);
}

// Operand `place` as a view, made in each region, of what it is a view of.
void move_in(Node &node, size_t place) {
  const size_t first = first_region_operand(node);
  const Node &view = *node.input(place)->producer;
  // Operands that are captured already are not captured again.
  const size_t first_captured = node.op == Op::Loop ? LoopParts(node).carried + first : first;
  size_t source = first_captured;
  while (source < node.inputs.size() && node.input(source) != view.input(0)) {
    ++source;
  }
  if (source == node.inputs.size()) {
    add_operand(node, view.input(0));
  }
  for (const std::unique_ptr<Graph> &region : node.regions) {
    Value *const old = region->inputs()[place - first];
    Node *const begin = region->nodes().empty() ? nullptr : region->nodes().front().get();
    Value *const inside =
        region
            ->add(view.op, {region->inputs()[source - first]}, view.attributes, view.sources, begin)
            ->output();
    inside->name = old->name;
    region->replace_uses(old, inside);
  }
  drop_operand(node, place);
}

}  // namespace

bool capture_through_views(Graph &graph) {
  bool changed = false;
  for (Node *node : graph.node_order()) {
    if (class_of(node->op) != OpClass::Control) {
      continue;
    }
    size_t place = first_region_operand(*node);
    place += node->op == Op::Loop ? LoopParts(*node).carried : 0;
    while (place < node->inputs.size()) {
      if (is_view_of_one(node->input(place))) {
        move_in(*node, place);
        changed = true;
      } else {
        ++place;
      }
    }
    for (Graph *body : control_bodies(*node)) {
      body->remove_dead();
    }
  }
  return graph.remove_dead() || changed;
}

}  // namespace sylvite
