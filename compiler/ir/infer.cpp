// Type inference: attributes are checked against one table, then the op's rule runs, then its host
// values.
//
// Exporters give one size several names, or none. Where two sizes meet that need not be equal,
// their equality is assumed. If the equation can be solved for a symbol of the inputs, that symbol
// is replaced in the whole graph, so that types agree from then on and the binding of the inputs
// checks the assumption; otherwise a guard is recorded.
#include "compiler/ir/infer.h"

#include <algorithm>
#include <array>
#include <limits>
#include <numeric>

namespace sylvite {
namespace {

enum class Kind : uint8_t {
  Integer,
  Real,
  Text,
  Type,
  Integers,
  Dims,
  Tensor
};  // the variant's order

struct AttributeRule {
  Op op;
  const char *name;
  Kind kind;
  bool required;
};

constexpr bool kRequired = true;
constexpr bool kOptional = false;

constexpr AttributeRule kAttributeRules[] = {
    {Op::Constant, "value", Kind::Tensor, kRequired},
    {Op::Iota, "start", Kind::Dims, kRequired},
    {Op::Iota, "step", Kind::Dims, kRequired},
    {Op::Iota, "count", Kind::Dims, kRequired},
    {Op::Iota, "dtype", Kind::Type, kRequired},
    {Op::DimValues, "values", Kind::Dims, kRequired},
    {Op::DimValues, "shape", Kind::Integers, kRequired},
    {Op::DimValues, "dtype", Kind::Type, kRequired},
    {Op::IsInf, "negative", Kind::Integer, kOptional},
    {Op::IsInf, "positive", Kind::Integer, kOptional},
    {Op::Cast, "to", Kind::Type, kRequired},
    {Op::Mod, "fmod", Kind::Integer, kOptional},
    {Op::Reshape, "shape", Kind::Dims, kRequired},
    {Op::Transpose, "perm", Kind::Integers, kRequired},
    {Op::Expand, "shape", Kind::Dims, kRequired},
    {Op::Slice, "starts", Kind::Dims, kRequired},
    {Op::Slice, "sizes", Kind::Dims, kRequired},
    {Op::Slice, "steps", Kind::Integers, kRequired},
    {Op::Concat, "axis", Kind::Integer, kRequired},
    {Op::Pad, "before", Kind::Dims, kRequired},
    {Op::Pad, "after", Kind::Dims, kRequired},
    {Op::Pad, "mode", Kind::Text, kOptional},
    {Op::Gather, "axis", Kind::Integer, kRequired},
    {Op::GatherElements, "axis", Kind::Integer, kRequired},
    {Op::GatherND, "batch_dims", Kind::Integer, kOptional},
    {Op::MatMul, "transpose_b", Kind::Integer, kOptional},
    {Op::MatMulPanels, "n", Kind::Integer, kRequired},
    {Op::Conv, "strides", Kind::Integers, kRequired},
    {Op::Conv, "pads", Kind::Integers, kRequired},
    {Op::Conv, "dilations", Kind::Integers, kRequired},
    {Op::Conv, "group", Kind::Integer, kOptional},
    {Op::Pool, "kind", Kind::Text, kRequired},
    {Op::Pool, "kernel", Kind::Integers, kRequired},
    {Op::Pool, "strides", Kind::Integers, kRequired},
    {Op::Pool, "pads", Kind::Integers, kRequired},
    {Op::Pool, "dilations", Kind::Integers, kRequired},
    {Op::Pool, "count_include_pad", Kind::Integer, kOptional},
    {Op::Reduce, "kind", Kind::Text, kRequired},
    {Op::Reduce, "axes", Kind::Integers, kRequired},
    {Op::Reduce, "keepdims", Kind::Integer, kOptional},
    {Op::ArgReduce, "kind", Kind::Text, kRequired},
    {Op::ArgReduce, "axis", Kind::Integer, kRequired},
    {Op::ArgReduce, "keepdims", Kind::Integer, kOptional},
    {Op::ArgReduce, "last", Kind::Integer, kOptional},
    {Op::CumSum, "axis", Kind::Integer, kRequired},
    {Op::CumSum, "exclusive", Kind::Integer, kOptional},
    {Op::CumSum, "reverse", Kind::Integer, kOptional},
    {Op::CumSum, "kind", Kind::Text, kOptional},
    {Op::Softmax, "axis", Kind::Integer, kRequired},
    {Op::LayerNorm, "axis", Kind::Integer, kRequired},
    {Op::LayerNorm, "epsilon", Kind::Real, kRequired},
    {Op::LayerNorm, "rms", Kind::Integer, kOptional},
    {Op::LayerNorm, "variance_factor", Kind::Real, kOptional},
    {Op::LayerNorm, "outer_epsilon", Kind::Real, kOptional},
    {Op::Append, "past", Kind::Dims, kRequired},
    {Op::TopK, "axis", Kind::Integer, kRequired},
    {Op::TopK, "k", Kind::Dims, kRequired},
    {Op::TopK, "largest", Kind::Integer, kOptional},
    {Op::TopK, "sorted", Kind::Integer, kOptional},
    {Op::ScatterND, "reduction", Kind::Text, kOptional},
    {Op::ScatterElements, "axis", Kind::Integer, kRequired},
    {Op::ScatterElements, "reduction", Kind::Text, kOptional},
    {Op::Kernel, "root", Kind::Text, kRequired},
    {Op::If, "sizes", Kind::Dims, kOptional},
    {Op::Loop, "trip", Kind::Dims, kRequired},
    {Op::Loop, "iteration", Kind::Text, kRequired},
    {Op::Loop, "carried", Kind::Integer, kRequired},
    {Op::Loop, "made", Kind::Text, kOptional},
};

constexpr const char *kKindNames[] = {"an integer", "a real number",   "a word",  "an element type",
                                      "integers",   "a list of sizes", "a tensor"};

void check_attributes(const Inference &inference) {
  const Node &node = inference.node();
  for (const AttributeRule &rule : kAttributeRules) {
    if (rule.op != node.op) {
      continue;
    }
    const auto found = node.attributes.all().find(rule.name);
    if (found == node.attributes.all().end()) {
      inference.require(!rule.required, "has no attribute '", rule.name, "'");
      continue;
    }
    inference.require(found->second.index() == static_cast<size_t>(rule.kind), "attribute '",
                      rule.name, "' must be ", kKindNames[static_cast<size_t>(rule.kind)]);
  }
  if (node.op == Op::Kernel) {
    return;  // passes may note what they like about a kernel
  }
  for (const auto &[name, value] : node.attributes.all()) {
    const auto known = [&name = name, &node](const AttributeRule &rule) {
      return rule.op == node.op && name == rule.name;
    };
    inference.require(std::any_of(std::begin(kAttributeRules), std::end(kAttributeRules), known),
                      "has no such attribute: '", name, "'");
  }
}

void check_arity(const Inference &inference) {
  const OpArity arity = arity_of(inference.node().op);
  const auto count = static_cast<int64_t>(inference.input_count());
  if (count >= arity.min_inputs && (arity.max_inputs < 0 || count <= arity.max_inputs)) {
    return;
  }
  std::ostringstream expected;
  expected << arity.min_inputs;
  if (arity.max_inputs < 0) {
    expected << " or more";
  } else if (arity.max_inputs != arity.min_inputs) {
    expected << " to " << arity.max_inputs;
  }
  inference.fail("expected ", expected.str(), " inputs, got ", count);
}

// Where a symbol first stands in the inputs' types; symbols that stand nowhere come last.
size_t declaration_order(const Graph &graph, const std::string &symbol) {
  size_t order = 0;
  for (const Value *input : graph.inputs()) {
    for (const Dim &dim : input->type.shape) {
      if (mentions(dim, symbol)) {
        return order;
      }
      ++order;
    }
  }
  return std::numeric_limits<size_t>::max();
}

// The equation "difference == 0" without the factor that all its terms share: batch*length*3 -
// batch*7*3 becomes length - 7. (With batch = 0 this asks for more than is needed.)
Dim without_common_factor(const Dim &difference) {
  std::vector<DimAtom> shared = difference.terms().front().factors;
  int64_t coefficient = 0;
  for (const DimTerm &term : difference.terms()) {
    if (term.coefficient == std::numeric_limits<int64_t>::min()) {
      return difference;  // has no magnitude
    }
    coefficient = std::gcd(coefficient, term.coefficient);
    std::vector<DimAtom> left;
    for (const DimAtom &atom : term.factors) {
      const auto same = [&](const DimAtom &other) {
        return other.kind == AtomKind::Symbol && atom.kind == AtomKind::Symbol &&
               other.name == atom.name;
      };
      const auto found = std::find_if(shared.begin(), shared.end(), same);
      if (found != shared.end()) {
        left.push_back(*found);
        shared.erase(found);
      }
    }
    shared = std::move(left);
  }
  Dim factor = coefficient == 0 ? Dim(1) : Dim(coefficient);
  for (const DimAtom &atom : shared) {
    factor *= Dim::symbol(atom.name);
  }
  return exact_div(difference, factor).value_or(difference);
}

// Terms, and min, max and floor_div terms at every depth, which weigh more.
size_t weight_of(const Dim &dim) {
  size_t weight = dim.terms().size();
  for (const DimTerm &term : dim.terms()) {
    for (const DimAtom &atom : term.factors) {
      for (const Dim &operand : atom.operands) {
        weight += 16 + weight_of(operand);
      }
    }
  }
  return weight;
}

// Of two equal sizes the one to go on with: a number, else the simpler expression, so that what is
// only guarded (length == min(64, length + past) - min(64, past)) does not spread through the
// graph.
const Dim &simpler(const Dim &a, const Dim &b) {
  if (a.is_constant() || b.is_constant()) {
    return a.is_constant() ? a : b;
  }
  return weight_of(b) < weight_of(a) ? b : a;
}

bool all_positive(const Dim &dim) {
  return std::all_of(dim.terms().begin(), dim.terms().end(),
                     [](const DimTerm &term) { return term.coefficient >= 0; });
}

}  // namespace

Dim Inference::current(Dim dim) const {
  for (const auto &[symbol, replacement] : replaced_) {
    if (mentions(dim, symbol)) {
      dim = substitute(dim, {{symbol, replacement}});
    }
  }
  return dim;
}

Dim Inference::same_size(const Dim &a, const Dim &b, const std::string &what) {
  Dim x = current(a);
  const Dim y = current(b);
  if (x == y) {
    return x;
  }
  const Dim difference = x - y;
  const std::optional<int64_t> lower = symbols().lower_bound(difference);
  const std::optional<int64_t> upper = symbols().upper_bound(difference);
  if (lower == 0 && upper == 0) {
    return simpler(x, y);
  }
  if ((lower && *lower > 0) || (upper && *upper < 0)) {
    fail(what, " must be equal, but are ", x.str(), " and ", y.str());
  }
  assume(x, y, what);
  return simpler(current(x), current(y));
}

void Inference::assume(const Dim &a, const Dim &b, const std::string &what) {
  const Graph &top = outermost(graph_);
  for (const Guard &guard : top.guards) {
    if ((guard.left == a && guard.right == b) || (guard.left == b && guard.right == a)) {
      return;
    }
  }
  if (assumptions_ == nullptr) {
    fail(what, " are ", a.str(), " and ", b.str(), ", and no guard says that they are equal");
  }
  if (!solve(a, b, what)) {
    outermost(*assumptions_).guards.push_back({a, b, describe(node_) + ": " + what});
  }
}

// Replaces a symbol of the inputs so that a and b become equal; false if none can be.
bool Inference::solve(const Dim &a, const Dim &b, const std::string &what) {
  Graph &top = outermost(*assumptions_);
  const Dim equation = without_common_factor(a - b);
  const auto is_input = [&](const std::string &name) {
    const SymbolInfo *info = top.symbols.find(name);
    return info == nullptr || info->kind == SymbolKind::Input;
  };
  const std::set<std::string> names = symbols_of(equation);
  if (!std::all_of(names.begin(), names.end(), is_input)) {
    return false;  // a size that is only known while the graph runs cannot stand for an input's
  }
  std::string best;
  Dim best_replacement;
  std::pair<bool, size_t> best_rank;
  for (const DimTerm &term : equation.terms()) {
    if (term.factors.size() != 1 || term.factors[0].kind != AtomKind::Symbol ||
        (term.coefficient != 1 && term.coefficient != -1)) {
      continue;
    }
    const std::string &name = term.factors[0].name;
    const Dim symbol = Dim::symbol(name);
    const Dim replacement = term.coefficient == 1 ? symbol - equation : symbol + equation;
    if (mentions(replacement, name) || !prove_le(0, replacement, top.symbols)) {
      continue;
    }
    // Sums before differences; then the symbol that the user declared last gives way.
    const std::pair<bool, size_t> rank{all_positive(replacement), declaration_order(top, name)};
    if (best.empty() || rank > best_rank) {
      best = name;
      best_replacement = replacement;
      best_rank = rank;
    }
  }
  if (best.empty()) {
    return false;
  }
  if (const SymbolInfo *known = top.symbols.find(best)) {
    const SymbolInfo info = *known;
    if (const std::optional<std::string> other = best_replacement.as_symbol()) {
      top.symbols.declare(*other, info);
    }
  }
  if (const std::optional<int64_t> size = best_replacement.constant()) {
    top.warnings.push_back("node " + describe(node_) + " fixes the size '" + best + "' to " +
                           std::to_string(*size) + ": " + what +
                           "; if it shall vary, export again with this axis dynamic and without "
                           "numbers that the model's code computes from it");
  }
  // A region that is still being built hangs on its parents, but not they on it.
  for (Graph *graph = assumptions_; graph != nullptr; graph = graph->parent) {
    graph->substitute_symbol(best, best_replacement);
  }
  replaced_.emplace_back(best, best_replacement);
  return true;
}

void Inference::same_shape(const Shape &a, const Shape &b, const std::string &what) {
  if (a.size() != b.size()) {
    fail(what, " must be equal, but are ", to_string(a), " and ", to_string(b));
  }
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i] != b[i]) {
      same_size(a[i], b[i], "axis " + std::to_string(i) + " of " + what);
    }
  }
}

Shape Inference::broadcast(const Shape &a, const Shape &b) {
  const size_t rank = std::max(a.size(), b.size());
  // Axes align at the end.
  const auto size = [rank](const Shape &shape, size_t axis) {
    return axis + shape.size() >= rank ? shape[axis + shape.size() - rank] : Dim(1);
  };
  // Plain contradictions first: the message should show the shapes as the user wrote them.
  for (size_t i = 0; i < rank; ++i) {
    const Dim x = size(a, i);
    const Dim y = size(b, i);
    if (x.is_constant() && y.is_constant() && x != y && !x.is(1) && !y.is(1)) {
      fail("shapes ", to_string(a), " and ", to_string(b), " do not broadcast: axis ", i, " is ",
           x.str(), " and ", y.str());
    }
  }
  Shape result(rank);
  for (size_t i = 0; i < rank; ++i) {
    const Dim x = size(a, i);
    const Dim y = size(b, i);
    if (x.is(1) || y.is(1) || x == y) {
      result[i] = x.is(1) ? y : x;
    } else {
      result[i] = same_size(
          x, y,
          "axis " + std::to_string(i) + " of the shapes " + to_string(a) + " and " + to_string(b));
    }
  }
  for (Dim &dim : result) {
    dim = current(dim);
  }
  return result;
}

int64_t Inference::axis(const std::string &attribute, int64_t rank) const {
  const int64_t value = attributes().integer(attribute);
  require(value >= 0 && value < rank, attribute, " ", value, " is out of range for ", rank,
          " dimensions");
  return value;
}

void Inference::require_axes(const std::vector<int64_t> &axes, int64_t rank) const {
  std::vector<bool> seen(static_cast<size_t>(rank), false);
  for (const int64_t axis : axes) {
    require(axis >= 0 && axis < rank, "axis ", axis, " is out of range for ", rank, " dimensions");
    require(!seen[static_cast<size_t>(axis)], "axis ", axis, " stands twice");
    seen[static_cast<size_t>(axis)] = true;
  }
}

void Inference::require_size(const Dim &size) const {
  const std::optional<int64_t> upper = symbols().upper_bound(size);
  require(!upper || *upper >= 0, "a size of its result is negative: ", size.str());
}

std::vector<TensorType> run_rule(Inference &inference) {
  static constexpr std::array kRules = {
#define OP(kind, text, min_inputs, max_inputs, outputs, op_class) infer_##text,
#include "compiler/ir/ops.def"
#undef OP
  };
  try {
    check_arity(inference);
    check_attributes(inference);
    std::vector<TensorType> types = kRules[static_cast<size_t>(inference.node().op)](inference);
    for (TensorType &type : types) {
      for (Dim &dim : type.shape) {
        dim = inference.current(dim);
        inference.require_size(dim);
      }
    }
    return types;
  } catch (const DimOverflow &overflow) {
    inference.fail(overflow.what());
  }
}

void infer_types(Graph &graph, Node &node) {
  Inference inference(graph, node, &graph);
  std::vector<TensorType> types = run_rule(inference);
  node.outputs.resize(types.size());
  for (size_t i = 0; i < types.size(); ++i) {
    if (!node.outputs[i]) {
      node.outputs[i] = std::make_unique<Value>();
    }
    node.outputs[i]->type = std::move(types[i]);
  }
  if (node.outputs.size() == 1) {
    node.outputs[0]->host = host_elements(inference, node.outputs[0]->type);
  }
}

}  // namespace sylvite
