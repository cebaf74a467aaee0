// The rule loop: sweeps over the nodes in order until a whole sweep changes nothing. Graphs have a
// few thousand nodes, so a sweep costs little, and no rule needs to say which nodes its change may
// affect.
#include "passes/rewrite.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "compiler/ir/error.h"
#include "compiler/ir/match.h"

namespace sylvite {

Builder::Builder(Graph &graph, Node *before) : graph_(graph), before_(before) {}

Value *Builder::add(Op op, std::vector<Value *> inputs, Attributes attributes) {
  Node *node = graph_.add(op, std::move(inputs), std::move(attributes), before_->sources, before_);
  created_.push_back(node);
  return node->output();
}

Value *Builder::add_with_regions(Op op, std::vector<Value *> inputs, Attributes attributes,
                                 std::vector<std::unique_ptr<Graph>> regions) {
  Node *node = graph_.add(op, std::move(inputs), std::move(attributes), std::move(regions),
                          before_->sources, before_);
  created_.push_back(node);
  return node->output();
}

Value *Builder::constant(Tensor tensor, const std::string &name) {
  Value *value = graph_.add_constant(std::move(tensor), name, before_);
  created_.push_back(value->producer);
  return value;
}

Value *Builder::scalar(double number, DType dtype) {
  return constant(Tensor::of<double>(dtype, {}, {number}));
}

Value *Builder::reshape(Value *value, const Shape &shape) {
  if (value->type.shape == shape) {
    return value;
  }
  return add(Op::Reshape, {value}, {{"shape", shape}});
}

Value *Builder::transpose(Value *value, const std::vector<int64_t> &perm) {
  if (perm == identity_permutation(value->type.rank())) {
    return value;
  }
  return add(Op::Transpose, {value}, {{"perm", perm}});
}

Value *Builder::expand(Value *value, const Shape &shape) {
  if (value->type.shape == shape) {
    return value;
  }
  return add(Op::Expand, {value}, {{"shape", shape}});
}

Value *Builder::slice(Value *value, int64_t axis, const Dim &start, const Dim &size) {
  std::vector<Dim> starts(value->type.shape.size(), Dim(0));
  std::vector<Dim> sizes = value->type.shape;
  std::vector<int64_t> steps(value->type.shape.size(), 1);
  starts[static_cast<size_t>(axis)] = start;
  sizes[static_cast<size_t>(axis)] = size;
  return add(Op::Slice, {value}, {{"starts", starts}, {"sizes", sizes}, {"steps", steps}});
}

Value *Builder::copy(const Node &node, std::vector<Value *> inputs) {
  SYLVITE_CHECK(node.regions.empty(), "ops with regions are not copied by rules");
  return add(node.op, std::move(inputs), node.attributes);
}

void erase_unused(Graph &graph, Node *node, std::vector<std::string> *sources,
                  std::set<Node *> *erased) {
  // A node enters while its reader is being erased, hence alive, and leaves only here. In order of
  // discovery: sources keep an order that does not depend on addresses.
  std::vector<Node *> candidates = {node};
  while (!candidates.empty()) {
    Node *candidate = candidates.front();
    candidates.erase(candidates.begin());
    const bool needed = std::any_of(
        candidate->outputs.begin(), candidate->outputs.end(),
        [&](const auto &value) { return !value->users.empty() || graph.is_output(value.get()); });
    if (needed) {
      continue;
    }
    for (const Value *input : candidate->inputs) {
      if (input->producer != nullptr && input->producer->graph == &graph &&
          std::find(candidates.begin(), candidates.end(), input->producer) == candidates.end()) {
        candidates.push_back(input->producer);
      }
    }
    if (sources != nullptr) {
      sources->insert(sources->end(), candidate->sources.begin(), candidate->sources.end());
    }
    if (erased != nullptr) {
      erased->insert(candidate);
    }
    graph.erase(candidate);
  }
}

void replace_value(Graph &graph, Value *from, Value *to, const std::vector<Node *> &created,
                   std::set<Node *> *erased) {
  if (to->name.empty()) {
    to->name = from->name;
  }
  Node *old_node = from->producer;
  Node *heir = to->producer;
  graph.replace_uses(from, to);
  std::vector<std::string> sources;
  // Where nobody reads `from`, nobody may read `to` now: then `to`, unless created, goes as well.
  erase_unused(graph, old_node, &sources, erased);
  if (heir == nullptr || std::find(created.begin(), created.end(), heir) == created.end()) {
    return;
  }
  for (const std::string &source : sources) {
    if (std::find(heir->sources.begin(), heir->sources.end(), source) == heir->sources.end()) {
      heir->sources.push_back(source);
    }
  }
}

bool rewrite(Graph &graph, std::span<const Rule> rules) {
  bool changed = false;
  size_t matches = 0;
  for (bool again = true; again;) {
    again = false;
    // An address may be freed and given to a new node during a sweep: visiting that one is
    // harmless.
    std::set<Node *> gone;
    for (Node *node : graph.node_order()) {
      for (const Rule rule : rules) {
        if (gone.count(node) != 0 || node->outputs.size() != 1) {
          break;
        }
        Builder build(graph, node);
        Value *root = node->output();
        Value *replacement = rule(build, root);
        for (Node *created : build.created()) {
          gone.erase(created);
        }
        if (replacement != nullptr && replacement != root) {
          SYLVITE_CHECK(++matches < 10000 + 100 * graph.nodes().size(), "rules undo one another");
          replace_value(graph, root, replacement, build.created(), &gone);
          again = true;
        }
        const std::vector<Node *> &created = build.created();
        for (auto it = created.rbegin(); it != created.rend(); ++it) {
          if (gone.count(*it) == 0) {
            erase_unused(graph, *it, nullptr, &gone);
          }
        }
      }
    }
    changed |= again;
  }
  return changed;
}

Tensor permuted(const Tensor &tensor, const std::vector<int64_t> &perm) {
  const size_t rank = perm.size();
  std::vector<int64_t> shape(rank), strides(rank, 1), steps(rank), index(rank, 0);
  for (size_t axis = rank; axis-- > 1;) {
    strides[axis - 1] = strides[axis] * tensor.shape()[axis];
  }
  for (size_t axis = 0; axis < rank; ++axis) {
    shape[axis] = tensor.shape()[static_cast<size_t>(perm[axis])];
    steps[axis] = strides[static_cast<size_t>(perm[axis])];
  }
  Tensor result(tensor.dtype(), shape);
  const size_t size = static_cast<size_t>(size_of(tensor.dtype()));
  const std::byte *from = tensor.bytes().data();
  std::byte *to = result.mutable_bytes();
  int64_t position = 0;
  for (int64_t i = 0; i < result.count(); ++i, to += size) {
    std::memcpy(to, from + static_cast<size_t>(position) * size, size);
    for (size_t axis = rank; axis-- > 0;) {  // the next index, and where its element stands
      position += steps[axis];
      if (++index[axis] < shape[axis]) {
        break;
      }
      position -= steps[axis] * shape[axis];
      index[axis] = 0;
    }
  }
  return result;
}

bool same_shape(const Shape &a, const Shape &b, const SymbolTable &symbols) {
  if (a.size() != b.size()) {
    return false;
  }
  for (size_t i = 0; i < a.size(); ++i) {
    if (!prove_equal(a[i], b[i], symbols)) {
      return false;
    }
  }
  return true;
}

bool same_type(const TensorType &a, const TensorType &b, const SymbolTable &symbols) {
  return a.dtype == b.dtype && same_shape(a.shape, b.shape, symbols);
}

bool is_op(const Value *value, Op op) {
  return value->producer != nullptr && value->producer->op == op;
}

bool is_class(const Value *value, OpClass op_class) {
  return value->producer != nullptr && class_of(value->producer->op) == op_class;
}

Node *only_user(const Value *value) {
  if (value->users.empty()) {
    return nullptr;
  }
  Node *user = value->users.front();
  for (const Node *other : value->users) {
    if (other != user) {
      return nullptr;
    }
  }
  return user->graph->is_output(value) ? nullptr : user;
}

std::string user_name(const Node &node) {
  return node.sources.empty() ? node.output()->name : node.sources.front();
}

bool is_computing_float(DType dtype) {
  return dtype == DType::F32 || dtype == DType::F64;
}

bool is_number(const Value *value, double number) {
  const std::optional<double> found = scalar_constant(value);
  return found.has_value() && *found == number;
}

int64_t normal_axis(int64_t axis, int64_t rank) {
  return axis < 0 ? axis + rank : axis;
}

std::vector<int64_t> identity_permutation(int64_t rank) {
  std::vector<int64_t> perm(static_cast<size_t>(rank));
  std::iota(perm.begin(), perm.end(), 0);
  return perm;
}

std::vector<int64_t> swap_last_two(int64_t rank) {
  std::vector<int64_t> perm = identity_permutation(rank);
  std::swap(perm[perm.size() - 1], perm[perm.size() - 2]);
  return perm;
}

}  // namespace sylvite
