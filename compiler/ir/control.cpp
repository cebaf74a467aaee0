// Facts of control flow, see control.h.
#include "compiler/ir/control.h"

#include <algorithm>

#include "compiler/ir/error.h"

namespace sylvite {
namespace {

// Both at once: 0 beside anything is that; 1 and -1 give nothing.
std::optional<int> together(std::optional<int> a, std::optional<int> b) {
  if (!a || !b) {
    return std::nullopt;
  }
  if (*a == 0 || *b == 0 || *a == *b) {
    return *a == 0 ? *b : *a;
  }
  return std::nullopt;
}

bool never_negative(const Dim &dim, const SymbolTable &symbols) {
  return prove_le(0, dim, symbols);
}

Dim as_dim(const DimAtom &atom) {
  switch (atom.kind) {
    case AtomKind::Symbol:
      return Dim::symbol(atom.name);
    case AtomKind::FloorDiv:
      return floor_div(atom.operands[0], atom.operands[1]);
    case AtomKind::Min:
      return min(atom.operands[0], atom.operands[1]);
    case AtomKind::Max:
      return max(atom.operands[0], atom.operands[1]);
  }
  SYLVITE_CHECK(false);
}

std::optional<int> direction_of_atom(const DimAtom &atom, const std::string &symbol,
                                     const SymbolTable &symbols) {
  if (atom.kind == AtomKind::Symbol) {
    return atom.name == symbol ? 1 : 0;
  }
  const std::optional<int> left = direction(atom.operands[0], symbol, symbols);
  const std::optional<int> right = direction(atom.operands[1], symbol, symbols);
  if (atom.kind == AtomKind::FloorDiv) {
    if (right != 0 || !prove_le(1, atom.operands[1], symbols)) {
      return left == 0 && right == 0 ? std::optional(0) : std::nullopt;
    }
    return left;
  }
  return together(left, right);
}

}  // namespace

LoopParts::LoopParts(const Node &loop) {
  SYLVITE_CHECK(loop.op == Op::Loop, describe(loop));
  made = loop.attributes.text_or("made", "");
  may_stop = !made.empty();
  first = may_stop ? 1 : 0;
  carried = static_cast<size_t>(loop.attributes.integer("carried"));
  trip = loop.attributes.dims("trip").at(0);
  iteration = loop.attributes.text("iteration");
  collected = loop.regions.at(0)->output_count() - carried - first;
}

std::vector<Graph *> control_bodies(const Node &node) {
  std::vector<Graph *> bodies;
  if (class_of(node.op) == OpClass::Control) {
    for (const std::unique_ptr<Graph> &region : node.regions) {
      bodies.push_back(region.get());
    }
  }
  return bodies;
}

size_t first_region_operand(const Node &node) {
  return node.op == Op::If ? 1 : LoopParts(node).first;
}

void add_operand(Node &node, Value *value) {
  for (const std::unique_ptr<Graph> &region : node.regions) {
    region->add_input(value->name, value->type);
  }
  node.inputs.push_back(value);
  value->users.push_back(&node);
}

void drop_operand(Node &node, size_t operand) {
  for (const std::unique_ptr<Graph> &region : node.regions) {
    region->erase_input(region->inputs()[operand - first_region_operand(node)]);
  }
  std::vector<Node *> &users = node.inputs[operand]->users;
  users.erase(std::find(users.begin(), users.end(), &node));
  node.inputs.erase(node.inputs.begin() + static_cast<std::ptrdiff_t>(operand));
}

std::vector<Graph *> with_control_bodies(Graph &graph) {
  std::vector<Graph *> graphs = {&graph};
  for (size_t i = 0; i < graphs.size(); ++i) {
    for (const std::unique_ptr<Node> &node : graphs[i]->nodes()) {
      const std::vector<Graph *> bodies = control_bodies(*node);
      graphs.insert(graphs.end(), bodies.begin(), bodies.end());
    }
  }
  return graphs;
}

std::vector<const Graph *> with_control_bodies(const Graph &graph) {
  const std::vector<Graph *> graphs = with_control_bodies(const_cast<Graph &>(graph));
  return {graphs.begin(), graphs.end()};
}

std::optional<int> direction(const Dim &dim, const std::string &symbol,
                             const SymbolTable &symbols) {
  std::optional<int> result = 0;
  for (const DimTerm &term : dim.terms()) {
    std::optional<int> product = 0;
    for (const DimAtom &factor : term.factors) {
      const std::optional<int> own = direction_of_atom(factor, symbol, symbols);
      // Factors must not be negative, else the others' directions would turn round.
      if (own != 0 && term.factors.size() > 1 &&
          !std::all_of(term.factors.begin(), term.factors.end(), [&](const DimAtom &each) {
            return never_negative(as_dim(each), symbols);
          })) {
        return std::nullopt;
      }
      product = together(product, own);
    }
    if (product && *product != 0 && term.coefficient < 0) {
      product = -*product;
    }
    result = together(result, product);
    if (!result) {
      return std::nullopt;
    }
  }
  return result;
}

std::optional<Dim> largest_over(const Dim &dim, const std::string &symbol, const Dim &first,
                                const Dim &last, const SymbolTable &symbols) {
  if (!mentions(dim, symbol)) {
    return dim;
  }
  const std::optional<int> towards = direction(dim, symbol, symbols);
  if (!towards) {
    return std::nullopt;
  }
  return simplify(substitute(dim, {{symbol, *towards < 0 ? first : last}}), symbols);
}

}  // namespace sylvite
