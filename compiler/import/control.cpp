// If, Loop and Scan.
//
// An If whose condition is known is its branch. Any other becomes a node with both branches as
// regions.
//
// A loop whose number of iterations is known, and small, becomes that many copies of its body: what
// it scans or selects by the iteration's number are then constants of each copy, so that weights
// stacked over layers are weights of layers. Any other becomes a node with its body as a region, in
// which the iteration's number is a symbol, and the sizes of what is carried are functions of it.
// These functions are found by trying: the body is imported for sizes that stay as they are, into a
// graph of its own that is thrown away; what a size then has grown by in one iteration it is taken
// to grow by in each, and the next try shows whether that is so.
#include <algorithm>
#include <functional>
#include <tuple>

#include "compiler/import/importer.h"
#include "compiler/ir/control.h"
#include "compiler/ir/error.h"

namespace sylvite {
namespace {

// Whether a boolean is known to be this while compiling.
bool known_to_be(const Value *value, int64_t expected) {
  return value->host && value->host->size() == 1 && value->host->front().is(expected);
}

bool is_known(const Value *value) {
  return known_to_be(value, 0) || known_to_be(value, 1);
}

Value *true_constant(Graph &graph) {
  return graph.add_constant(Tensor::of<int64_t>(DType::Bool, {}, {1}));
}

// What no region reads is not captured. `first`: the first captured input of the regions.
void drop_unused(std::vector<Graph *> &regions, std::vector<Value *> &captured, size_t first) {
  for (size_t i = captured.size(); i-- > 0;) {
    const bool used = std::any_of(regions.begin(), regions.end(), [&](const Graph *region) {
      const Value *input = region->inputs()[first + i];
      return !input->users.empty() || region->is_output(input);
    });
    if (!used) {
      for (Graph *region : regions) {
        region->erase_input(region->inputs()[first + i]);
      }
      captured.erase(captured.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }
}

std::vector<std::string> names_of(
    const google::protobuf::RepeatedPtrField<onnx::ValueInfoProto> &values) {
  std::vector<std::string> names;
  for (const onnx::ValueInfoProto &value : values) {
    names.push_back(value.name());
  }
  return names;
}

void require_depth(int depth) {
  if (depth > kMaxControlDepth) {
    throw_model_error("loops and branches stand in each other more than ", kMaxControlDepth,
                      " levels deep");
  }
}

// The sizes of an If's results, all in order, with symbols for those in which the branches differ,
// one for each pair of sizes (the caches of all layers have the same); none where they differ
// nowhere, or in more than sizes.
std::vector<Dim> sizes_of_branches(const Graph &first, const Graph &second, Graph &outer) {
  SymbolTable &symbols = outer.symbol_table();
  std::vector<Dim> sizes;
  std::vector<std::tuple<Dim, Dim, Dim>> symbol_of;  // of either branch's size
  for (size_t i = 0; i < first.output_count(); ++i) {
    const TensorType &a = first.output(i)->type, &b = second.output(i)->type;
    if (a.dtype != b.dtype || a.rank() != b.rank()) {
      return {};
    }
    for (size_t axis = 0; axis < a.shape.size(); ++axis) {
      sizes.push_back(a.shape[axis]);
      if (prove_equal(a.shape[axis], b.shape[axis], symbols)) {
        continue;
      }
      const auto known = std::find_if(symbol_of.begin(), symbol_of.end(), [&](const auto &each) {
        return std::get<0>(each) == a.shape[axis] && std::get<1>(each) == b.shape[axis];
      });
      if (known != symbol_of.end()) {
        sizes.back() = std::get<2>(*known);
        continue;
      }
      const std::string name = symbols.fresh_name("branch_size");
      const std::optional<int64_t> most = symbols.upper_bound(max(a.shape[axis], b.shape[axis]));
      const int64_t least = symbols.lower_bound(min(a.shape[axis], b.shape[axis])).value_or(0);
      symbols.declare(name, {SymbolKind::Data, std::max<int64_t>(0, least), most});
      sizes.back() = Dim::symbol(name);
      symbol_of.emplace_back(a.shape[axis], b.shape[axis], sizes.back());
    }
  }
  return symbol_of.empty() ? std::vector<Dim>{} : sizes;
}

// A place to build nodes for `view` in another graph than its own.
OnnxNode builder_for(const OnnxNode &view, Graph &graph) {
  return OnnxNode(graph, view.op_type(), view.opset(), {view.name()}, {}, {},
                  [](const std::string &) { return std::nullopt; });
}

// Element `at` along an axis, which goes away.
Value *element(OnnxNode &build, Value *from, int64_t axis, const Dim &at) {
  Shape shape = build.slice(from, axis, at, 1)->type.shape;
  Value *const part = build.slice(from, axis, at, 1);
  shape.erase(shape.begin() + axis);
  return build.reshape(part, shape);
}

// Results that are stacked along axis 0, as the operator wants them.
Value *as_collected(OnnxNode &build, Value *stacked, int64_t axis, bool reverse) {
  const auto rank = static_cast<size_t>(stacked->type.rank());
  if (reverse) {
    std::vector<Dim> starts(rank, Dim(0));
    std::vector<int64_t> steps(rank, 1);
    starts[0] = stacked->type.shape[0] - 1;
    steps[0] = -1;
    stacked = build.add(Op::Slice, {stacked},
                        {{"starts", starts}, {"sizes", stacked->type.shape}, {"steps", steps}});
  }
  std::vector<int64_t> perm;
  for (int64_t i = 1; i < static_cast<int64_t>(rank); ++i) {
    perm.push_back(i);
  }
  perm.insert(perm.begin() + axis, 0);
  return build.transpose(stacked, perm);
}

}  // namespace

const onnx::GraphProto &Importer::body_graph(const onnx::NodeProto &node, const char *name,
                                             const Scope &scope) const {
  const AttributeRef body = attribute(node, name, scope);
  if (body.proto == nullptr || !body.proto->has_g()) {
    throw_model_error("attribute '", name, "' is missing or no graph");
  }
  return body.proto->g();
}

Importer::Binding Importer::resolve(Scope &scope, const std::string &name) {
  const Scope *owner = nullptr;
  const Binding *const binding = find(scope, name, &owner);
  if (binding == nullptr || binding->sequence == nullptr) {
    return Binding{value_of(scope, name)};
  }
  Sequence sequence;
  for (Value *const value : *binding->sequence) {
    sequence.push_back(bring(value, owner->body, scope.body));
  }
  return Binding{nullptr, nullptr, std::make_shared<const Sequence>(std::move(sequence))};
}

// ---- If ----

void Importer::import_if(const onnx::NodeProto &node, OnnxNode &view, Scope &scope,
                         Results &results) {
  const Value *const condition = view.input(0);
  for (const char *name : {"then_branch", "else_branch"}) {
    const onnx::GraphProto &branch = body_graph(node, name, scope);
    if (branch.output_size() != node.output_size() || branch.input_size() != 0) {
      throw_model_error(name, " has ", branch.input_size(), " inputs and ", branch.output_size(),
                        " outputs, expected 0 and ", node.output_size());
    }
  }
  if (!is_known(condition)) {
    import_branches(node, view, scope, results);
    return;
  }
  const char *const name = known_to_be(condition, 0) ? "else_branch" : "then_branch";
  const onnx::GraphProto &branch = body_graph(node, name, scope);
  Scope inner = nested_scope(scope);
  add_initializers(branch, inner);
  const std::vector<std::string> wanted = names_of(branch.output());
  import_nodes(branch.node(), inner, wanted);
  for (const std::string &output : wanted) {
    results.push_back(resolve(inner, output));
  }
}

void Importer::import_branches(const onnx::NodeProto &node, OnnxNode &view, Scope &scope,
                               Results &results) {
  Graph &outer = graph_of(scope);
  Body body;
  body.outer = scope.body;
  body.depth = scope.body == nullptr ? 1 : scope.body->depth + 1;
  require_depth(body.depth);
  std::vector<std::unique_ptr<Graph>> regions;
  for (int i = 0; i < 2; ++i) {
    regions.push_back(std::make_unique<Graph>());
    regions.back()->parent = &outer;
    body.regions.push_back(regions.back().get());
  }
  body.inside.resize(2);
  for (const char *name : {"then_branch", "else_branch"}) {
    const onnx::GraphProto &branch = body_graph(node, name, scope);
    body.current = name[0] == 't' ? 0 : 1;
    Scope inner = nested_scope(scope);
    inner.body = &body;
    add_initializers(branch, inner);
    const std::vector<std::string> wanted = names_of(branch.output());
    import_nodes(branch.node(), inner, wanted);
    for (const std::string &output : wanted) {
      body.graph().add_output(printable(output), value_of(inner, output));
    }
    body.graph().remove_dead();
  }
  drop_unused(body.regions, body.captured, 0);
  std::vector<Value *> inputs = body.captured;
  inputs.insert(inputs.begin(), view.input(0));
  Attributes attributes;
  if (const std::vector<Dim> sizes = sizes_of_branches(*regions[0], *regions[1], outer);
      !sizes.empty()) {
    attributes.set("sizes", sizes);
  }
  const Node *const made = outer.add(Op::If, std::move(inputs), std::move(attributes),
                                     std::move(regions), {view.name()});
  for (const std::unique_ptr<Value> &output : made->outputs) {
    results.push_back({output.get()});
  }
}

// ---- loops ----

void Importer::import_loop(const onnx::NodeProto &node, OnnxNode &view, Scope &scope,
                           Results &results) {
  Iterations loop;
  loop.body = &body_graph(node, "body", scope);
  loop.first = 2;
  const int carried = std::max(0, node.input_size() - 2);
  const int collected = node.output_size() - carried;
  if (loop.body->input_size() != carried + 2 || collected < 0 ||
      loop.body->output_size() != 1 + node.output_size()) {
    throw_model_error("has ", node.input_size(), " inputs and ", node.output_size(),
                      " outputs, but its body has ", loop.body->input_size(), " and ",
                      loop.body->output_size(), "; expected ", carried + 2, " and ",
                      1 + std::max(carried, node.output_size()));
  }
  loop.has_condition = true;
  loop.collected.resize(static_cast<size_t>(collected));
  for (int i = 2; i < node.input_size(); ++i) {
    if (node.input(i).empty()) {
      throw_model_error("input ", i, " is missing");
    }
    loop.carried.push_back(resolve(scope, node.input(i)));
  }
  if (view.has_input(0)) {
    const Dim trip = view.dim(0, "number of iterations");
    // What means "without end" to exporters, INT64_MAX, bounds nothing.
    if (!trip.is_constant() || *trip.constant() <= INT32_MAX) {
      loop.trip = simplify(max(trip, 0), graph_of(scope).symbol_table());
    }
  }
  if (view.has_input(1)) {
    if (known_to_be(view.input(1), 0)) {
      loop.trip = 0;
    } else if (!known_to_be(view.input(1), 1)) {
      loop.condition = view.input(1);
    }
  }
  import_iterations(loop, view, scope, results);
}

void Importer::import_scan(const onnx::NodeProto &node, OnnxNode &view, Scope &scope,
                           Results &results) {
  Iterations loop;
  loop.body = &body_graph(node, "body", scope);
  const int64_t scanned = view.integer("num_scan_inputs");
  const int64_t carried = node.input_size() - scanned;
  const int64_t collected = node.output_size() - carried;
  if (scanned < 1 || carried < 0 || collected < 0 || loop.body->input_size() != node.input_size() ||
      loop.body->output_size() != node.output_size()) {
    throw_model_error("has ", node.input_size(), " inputs, ", scanned, " of them scanned, and ",
                      node.output_size(), " outputs, but its body has ", loop.body->input_size(),
                      " inputs and ", loop.body->output_size(), " outputs");
  }
  // One entry for each of `count`, or none.
  const auto per_tensor = [&](const char *name, int64_t count) {
    std::vector<int64_t> values = view.integers(name);
    if (values.empty()) {
      values.resize(static_cast<size_t>(count), 0);
    }
    if (static_cast<int64_t>(values.size()) != count) {
      throw_model_error("attribute '", name, "' has ", values.size(), " entries, expected ", count);
    }
    return values;
  };
  const std::vector<int64_t> axes = per_tensor("scan_input_axes", scanned);
  const std::vector<int64_t> reversed = per_tensor("scan_input_directions", scanned);
  for (int i = 0; i < node.input_size(); ++i) {
    if (i < carried) {
      loop.carried.push_back(resolve(scope, node.input(i)));
      continue;
    }
    const auto k = static_cast<size_t>(i - carried);
    Value *const value = view.input(static_cast<size_t>(i));
    const int64_t axis = view.axis(axes[k], value->type.rank());
    const Dim &size = value->type.shape[static_cast<size_t>(axis)];
    if (!loop.scanned.empty()) {
      const Iterations::Scanned &other = loop.scanned.front();
      view.assume_equal(other.value->type.shape[static_cast<size_t>(other.axis)], size,
                        "the lengths of what it scans");
    }
    loop.scanned.push_back({value, axis, reversed[k] != 0});
  }
  const Iterations::Scanned &first = loop.scanned.front();
  loop.trip = first.value->type.shape[static_cast<size_t>(first.axis)];
  const std::vector<int64_t> output_axes = per_tensor("scan_output_axes", collected);
  const std::vector<int64_t> output_reversed = per_tensor("scan_output_directions", collected);
  for (size_t i = 0; i < output_axes.size(); ++i) {
    loop.collected.push_back({output_axes[i], output_reversed[i] != 0});
  }
  import_iterations(loop, view, scope, results);
}

void Importer::import_iterations(const Iterations &loop, OnnxNode &view, Scope &scope,
                                 Results &results) {
  if (++loop_count_ > kMaxLoops) {
    throw_model_error("the model has more than ", kMaxLoops, " loops, those in loops counted anew");
  }
  if (!loop.trip) {
    throw_model_error(
        "goes on until its condition is false; only loops with a largest number of iterations "
        "(its first input) are supported");
  }
  const std::optional<int64_t> trip = loop.trip->constant();
  const bool few = trip && *trip >= 1 && *trip <= kMostUnrolled && loop.condition == nullptr;
  const bool lists = std::any_of(loop.carried.begin(), loop.carried.end(),
                                 [](const Binding &each) { return each.sequence != nullptr; });
  if (lists && !few) {
    throw_model_error("carries a sequence; that is only supported for 1 to ", kMostUnrolled,
                      " iterations, a number that is known while compiling");
  }
  std::optional<Growth> growth;
  if (!lists) {
    try {
      growth = find_growth(loop, view, scope);
    } catch (const ModelError &) {
      if (!few) {
        throw;
      }
    }
  }
  const auto stays = [](const std::vector<Dim> &sizes) {
    return std::all_of(sizes.begin(), sizes.end(), [](const Dim &size) { return size.is(0); });
  };
  if (few && (!growth || std::all_of(growth->begin(), growth->end(), stays))) {
    if (std::optional<Results> copies = unrolled(loop, *trip, view, scope)) {
      results = std::move(*copies);
      return;
    }
  }
  if (lists) {
    throw_model_error("carries a sequence, and its condition is computed at run time");
  }
  results = rolled(loop, growth ? *growth : find_growth(loop, view, scope), view, scope);
}

std::optional<Importer::Results> Importer::unrolled(const Iterations &loop, int64_t trip,
                                                    OnnxNode &view, Scope &scope) {
  const std::vector<std::string> wanted = names_of(loop.body->output());
  const size_t condition = loop.has_condition ? 1 : 0;
  Graph &graph = graph_of(scope);
  std::vector<Binding> carried = loop.carried;
  std::vector<Sequence> collected(loop.collected.size());
  for (int64_t i = 0; i < trip; ++i) {
    Scope inner = nested_scope(scope);
    inner.prefix = view.name() + "[" + std::to_string(i) + "]/";
    add_initializers(*loop.body, inner);
    const auto name_input = [&](int number, const Binding &binding) {
      inner.names[loop.body->input(number).name()] = binding;
    };
    if (loop.first == 2) {
      name_input(0, {graph.add_constant(Tensor::of<int64_t>(DType::I64, {}, {i}))});
      name_input(1, {true_constant(graph)});
    }
    for (size_t k = 0; k < carried.size(); ++k) {
      name_input(loop.first + static_cast<int>(k), carried[k]);
    }
    for (size_t k = 0; k < loop.scanned.size(); ++k) {
      const Iterations::Scanned &scanned = loop.scanned[k];
      Value *const part =
          element(view, scanned.value, scanned.axis, scanned.reverse ? trip - 1 - i : i);
      name_input(loop.first + static_cast<int>(carried.size() + k), {part});
    }
    import_nodes(loop.body->node(), inner, wanted);
    for (size_t k = 0; k < carried.size(); ++k) {
      carried[k] = resolve(inner, wanted[condition + k]);
    }
    for (size_t k = 0; k < collected.size(); ++k) {
      collected[k].push_back(value_of(inner, wanted[condition + carried.size() + k]));
    }
    if (loop.has_condition) {
      const Value *const go = value_of(inner, wanted[0]);
      if (!is_known(go)) {
        return std::nullopt;
      }
      if (known_to_be(go, 0)) {
        break;
      }
    }
  }
  Results results(carried.begin(), carried.end());
  for (size_t k = 0; k < collected.size(); ++k) {
    Sequence rows;
    for (Value *const each : collected[k]) {
      Shape shape = each->type.shape;
      shape.insert(shape.begin(), 1);
      rows.push_back(view.reshape(each, shape));
    }
    Value *const stacked = view.concat(rows, 0);
    results.push_back(
        {as_collected(view, stacked, view.axis(loop.collected[k].axis, stacked->type.rank()),
                      loop.collected[k].reverse)});
  }
  return results;
}

std::vector<Value *> Importer::import_iteration(const Iterations &loop, const Growth &growth,
                                                const std::string &iteration, OnnxNode &view,
                                                Body &body, Scope &scope) {
  Graph &graph = body.graph();
  const Dim number = Dim::symbol(iteration);
  Scope inner = nested_scope(scope);
  inner.body = &body;
  add_initializers(*loop.body, inner);
  const auto name_input = [&](int i, Value *value) {
    inner.names[loop.body->input(i).name()] = Binding{value};
  };
  for (size_t k = 0; k < loop.carried.size(); ++k) {
    TensorType type = loop.carried[k].value->type;
    for (size_t axis = 0; axis < type.shape.size(); ++axis) {
      type.shape[axis] += growth[k][axis] * number;
    }
    const int i = loop.first + static_cast<int>(k);
    name_input(i, graph.add_input(printable(loop.body->input(i).name()), type));
  }
  OnnxNode build = builder_for(view, graph);
  if (loop.first == 2) {
    name_input(0, build.dim_values({number}, {}));
    name_input(1, true_constant(graph));
  }
  for (size_t k = 0; k < loop.scanned.size(); ++k) {
    const Iterations::Scanned &scanned = loop.scanned[k];
    Value *const whole = bring(scanned.value, scope.body, &body);
    name_input(
        loop.first + static_cast<int>(loop.carried.size() + k),
        element(build, whole, scanned.axis, scanned.reverse ? *loop.trip - 1 - number : number));
  }
  const std::vector<std::string> wanted = names_of(loop.body->output());
  import_nodes(loop.body->node(), inner, wanted);
  std::vector<Value *> results;
  for (const std::string &name : wanted) {
    results.push_back(value_of(inner, name));
  }
  return results;
}

Importer::Growth Importer::find_growth(const Iterations &loop, OnnxNode &view, Scope &scope) {
  const Graph &outer = graph_of(scope);
  const size_t condition = loop.has_condition ? 1 : 0;
  Growth growth;
  std::vector<std::vector<bool>> given_up;
  for (const Binding &carried : loop.carried) {
    growth.emplace_back(carried.value->type.shape.size(), Dim(0));
    given_up.emplace_back(carried.value->type.shape.size(), false);
  }
  constexpr int kMostTries = 6;
  bool again = true;
  for (int tries = 0; again && tries < kMostTries; ++tries) {
    again = false;
    Graph probe;
    probe.symbols = outer.symbol_table();
    probe.guards = outermost(outer).guards;
    Body body;
    body.outer = scope.body;
    body.depth = scope.body == nullptr ? 1 : scope.body->depth + 1;
    require_depth(body.depth);
    body.regions = {&probe};
    body.inside.resize(1);
    const std::string iteration = declare_iteration(*loop.trip, probe.symbols);
    const std::vector<Value *> results =
        import_iteration(loop, growth, iteration, view, body, scope);
    for (size_t k = 0; k < growth.size(); ++k) {
      const TensorType &before = probe.inputs()[k]->type;
      const TensorType &after = results[condition + k]->type;
      if (before.dtype != after.dtype || before.rank() != after.rank()) {
        throw_model_error("carries '",
                          printable(loop.body->input(loop.first + static_cast<int>(k)).name()),
                          "', which is ", to_string(before), " before an iteration and ",
                          to_string(after), " behind it; element type and rank must stay");
      }
      for (size_t axis = 0; axis < growth[k].size(); ++axis) {
        const Dim change = after.shape[axis] - before.shape[axis];
        if (given_up[k][axis] || prove_equal(change, growth[k][axis], probe.symbols)) {
          continue;
        }
        again = true;
        // A second surprise: sizes that the rules may yet take to be equal.
        given_up[k][axis] = !growth[k][axis].is(0) || mentions(change, iteration);
        growth[k][axis] = given_up[k][axis] ? Dim(0) : change;
      }
    }
  }
  return growth;
}

std::string Importer::declare_iteration(const Dim &trip, SymbolTable &symbols) {
  const std::string name = symbols.fresh_name("iteration");
  SymbolInfo info{SymbolKind::Data, 0, {}};
  if (const std::optional<int64_t> most = symbols.upper_bound(trip)) {
    info.upper = std::max<int64_t>(0, *most - 1);
  }
  symbols.declare(name, info);
  return name;
}

Importer::Results Importer::rolled(const Iterations &loop, const Growth &growth, OnnxNode &view,
                                   Scope &scope) {
  Graph &outer = graph_of(scope);
  const size_t carried = loop.carried.size();
  std::vector<std::unique_ptr<Graph>> regions;
  regions.push_back(std::make_unique<Graph>());
  Graph &region = *regions.back();
  region.parent = &outer;
  region.name = printable(loop.body->name());
  Body body;
  body.outer = scope.body;
  body.depth = scope.body == nullptr ? 1 : scope.body->depth + 1;
  require_depth(body.depth);
  body.regions = {&region};
  body.inside.resize(1);
  const std::string iteration = declare_iteration(*loop.trip, outer.symbol_table());
  std::vector<Value *> results = import_iteration(loop, growth, iteration, view, body, scope);
  const size_t condition = loop.has_condition ? 1 : 0;
  const bool may_stop =
      loop.condition != nullptr || (loop.has_condition && !known_to_be(results[0], 1));
  if (loop.has_condition) {  // stands last
    std::rotate(results.begin(), results.begin() + 1, results.end());
    if (!may_stop) {
      results.pop_back();
    }
  }
  for (size_t i = 0; i < results.size(); ++i) {
    const size_t number = (i + condition) % (results.size() + (may_stop ? 0 : condition));
    region.add_output(printable(loop.body->output(static_cast<int>(number)).name()), results[i]);
  }
  region.remove_dead();
  drop_unused(body.regions, body.captured, carried);
  std::vector<Value *> inputs;
  Attributes attributes{{"trip", std::vector<Dim>{*loop.trip}},
                        {"iteration", iteration},
                        {"carried", static_cast<int64_t>(carried)}};
  if (may_stop) {
    inputs.push_back(loop.condition != nullptr ? loop.condition : true_constant(outer));
    SymbolTable &symbols = outer.symbol_table();
    const std::string made = symbols.fresh_name("iterations_made");
    symbols.declare(made, {SymbolKind::Data, 0, symbols.upper_bound(*loop.trip)});
    attributes.set("made", made);
  }
  for (const Binding &each : loop.carried) {
    inputs.push_back(each.value);
  }
  inputs.insert(inputs.end(), body.captured.begin(), body.captured.end());
  const Node *const node = outer.add(Op::Loop, std::move(inputs), std::move(attributes),
                                     std::move(regions), {view.name()});
  Results made;
  for (size_t i = 0; i < node->outputs.size(); ++i) {
    Value *value = node->output(i);
    if (i >= carried) {
      const Iterations::Collected &collected = loop.collected[i - carried];
      value = as_collected(view, value, view.axis(collected.axis, value->type.rank()),
                           collected.reverse);
    }
    made.push_back({value});
  }
  return made;
}

}  // namespace sylvite
