// Builds the graph, node by node in topological order.
//
// A *scope* maps the names of one graph to values. Model-local functions, the bodies that the ONNX
// library gives for operators without a rule, and the branch of an If are all imported in place,
// into a scope of their own over the same graph: nothing is inlined on the level of Protobuf,
// nothing is renamed.
//   - A function's scope sees its formal inputs only; its attributes are those of the call, so an
//   attribute
//     that refers to one of the caller's is resolved when a rule asks for it.
//   - A nested graph's scope sees the enclosing one.
// Each scope has its own opset imports: a body that is written for another opset than the model
// needs no conversion.
//
// Constants become nodes when the first node that is wanted reads them, and only nodes that the
// outputs depend on are looked at.
#include "compiler/import/importer.h"

#include <onnx/defs/schema.h>

#include <algorithm>
#include <functional>
#include <iterator>
#include <limits>
#include <sstream>

#include "compiler/import/element_types.h"
#include "compiler/import/symbols.h"
#include "compiler/ir/error.h"

namespace sylvite {
namespace {

using onnx::AttributeProto;

// Functions that call functions can describe exponentially large models.
constexpr int64_t kMaxNodes = 100'000;
// A node may stand for many of the IR's, an Attention for two dozen.
constexpr size_t kMaxOperations = 400'000;
constexpr size_t kMaxOutputs = 4096;
constexpr size_t kMaxPrintedName = 160;

AttributeProto::AttributeType type_of(const AttributeProto &attribute) {
  if (attribute.type() != AttributeProto::UNDEFINED) {
    return attribute.type();
  }
  // Files older than the type field.
  return attribute.has_f()              ? AttributeProto::FLOAT
         : attribute.has_i()            ? AttributeProto::INT
         : attribute.has_s()            ? AttributeProto::STRING
         : attribute.has_t()            ? AttributeProto::TENSOR
         : attribute.has_g()            ? AttributeProto::GRAPH
         : attribute.floats_size() > 0  ? AttributeProto::FLOATS
         : attribute.strings_size() > 0 ? AttributeProto::STRINGS
                                        : AttributeProto::INTS;
}

OnnxAttribute read_attribute(const AttributeProto &proto, const TensorSource &tensors) {
  switch (type_of(proto)) {
    case AttributeProto::FLOAT:
      return static_cast<double>(proto.f());
    case AttributeProto::INT:
      return static_cast<int64_t>(proto.i());
    case AttributeProto::STRING:
      return proto.s();
    case AttributeProto::TENSOR:
      return read_tensor(proto.t(), tensors);
    case AttributeProto::FLOATS:
      return std::vector<double>(proto.floats().begin(), proto.floats().end());
    case AttributeProto::INTS:
      return std::vector<int64_t>(proto.ints().begin(), proto.ints().end());
    case AttributeProto::STRINGS:
      return std::vector<std::string>(proto.strings().begin(), proto.strings().end());
    default:
      throw_model_error("attribute '", printable(proto.name()),
                        "' is of a kind that is not supported");
  }
}

std::string attribute_type_name(AttributeProto::AttributeType type) {
  return AttributeProto::AttributeType_Name(type);
}

void check_arity(const char *what, int count, int least, int most) {
  if (count < least || count > most) {
    std::string expected = std::to_string(least);
    if (most == std::numeric_limits<int>::max()) {
      expected += " or more";
    } else if (most != least) {
      expected += (most == least + 1 ? " or " : " to ") + std::to_string(most);
    }
    throw_model_error("expected ", expected, " ", what, expected == "1" ? "" : "s", ", got ",
                      count);
  }
}

// Those that are left out at the end are none.
int inputs_of(const onnx::NodeProto &node) {
  int inputs = node.input_size();
  while (inputs > 0 && node.input(inputs - 1).empty()) {
    --inputs;
  }
  return inputs;
}

// Each attribute once, and known; the names that are given.
std::set<std::string> check_attribute_names(const onnx::NodeProto &node,
                                            const std::function<bool(const std::string &)> &known) {
  std::set<std::string> given;
  for (const AttributeProto &attribute : node.attribute()) {
    if (!known(attribute.name())) {
      throw_model_error("has an unknown attribute '", printable(attribute.name()), "'");
    }
    if (!given.insert(attribute.name()).second) {
      throw_model_error("has attribute '", attribute.name(), "' twice");
    }
  }
  return given;
}

// The attributes' types and presence are looked at when the rule reads them.
void check_against_signature(const onnx::NodeProto &node, const Signature &signature) {
  check_arity("input", inputs_of(node), signature.least_inputs, signature.most_inputs);
  check_arity("output", node.output_size(), 1, signature.most_outputs);
  std::istringstream names{std::string(signature.attributes)};
  const std::set<std::string> known{std::istream_iterator<std::string>(names), {}};
  check_attribute_names(node, [&](const std::string &name) { return known.count(name) != 0; });
}

// Number of inputs and outputs, names, types and presence of attributes, as the operator's schema
// has them.
void check_against_schema(const onnx::NodeProto &node, const onnx::OpSchema &schema) {
  check_arity("input", inputs_of(node), schema.min_input(), schema.max_input());
  check_arity("output", node.output_size(), schema.min_output(), schema.max_output());
  const std::set<std::string> given = check_attribute_names(
      node, [&](const std::string &name) { return schema.attributes().count(name) != 0; });
  for (const AttributeProto &attribute : node.attribute()) {
    const auto known = schema.attributes().find(attribute.name());
    if (attribute.ref_attr_name().empty() && type_of(attribute) != known->second.type) {
      throw_model_error("attribute '", attribute.name(), "' has type ",
                        attribute_type_name(type_of(attribute)), ", expected ",
                        attribute_type_name(known->second.type));
    }
  }
  for (const auto &[name, attribute] : schema.attributes()) {
    if (attribute.required && given.count(name) == 0) {
      throw_model_error("attribute '", name, "' is missing");
    }
  }
}

// Messages of the shape rules start with the node in the IR's terms, which the user does not know.
std::string without_ir_place(const std::string &message, const std::string &source) {
  const std::string place = "node '" + source + "' (";
  const size_t end = message.find("): ");
  return message.rfind(place, 0) == 0 && end != std::string::npos ? message.substr(end + 3)
                                                                  : message;
}

onnx::TypeProto type_proto_of(const Value *value) {
  onnx::TypeProto type;
  if (value == nullptr) {
    return type;
  }
  type.mutable_tensor_type()->set_elem_type(onnx_of_dtype(value->type.dtype));
  auto *const shape = type.mutable_tensor_type()->mutable_shape();
  for (const Dim &dim : value->type.shape) {
    if (dim.is_constant()) {
      shape->add_dim()->set_dim_value(*dim.constant());
    } else {
      shape->add_dim()->set_dim_param(dim.str());
    }
  }
  return type;
}

template <typename Imports>
std::map<std::string, int64_t> opsets_of(const Imports &imports) {
  std::map<std::string, int64_t> opsets;
  for (const auto &import : imports) {
    const bool standard = is_standard_domain(import.domain());
    if (!opsets.insert_or_assign(standard ? "" : import.domain(), import.version()).second &&
        standard) {
      throw_model_error("imports the ONNX operators twice (opset_import)");
    }
  }
  return opsets;
}

std::string required_name(const std::string &name, const char *what) {
  if (name.empty()) {
    throw_model_error(what, " has no name");
  }
  if (printable(name) != name) {
    throw_model_error(what, " '", printable(name),
                      "' has a name that is too long or cannot be printed");
  }
  return name;
}

// Kernels count elements in 32 bits: a tensor that has more, whatever the sizes of the inputs,
// could never be computed. `what` begins the message.
void check_count(const std::string &what, const Shape &shape, const SymbolTable &symbols) {
  int64_t least = 1;
  bool too_many = false;
  for (const Dim &size : shape) {
    const int64_t lower = std::max<int64_t>(0, symbols.lower_bound(size).value_or(0));
    if (lower == 0) {
      return;  // it may be empty
    }
    too_many = too_many || __builtin_mul_overflow(least, lower, &least) || least > INT32_MAX;
  }
  if (too_many) {
    throw_model_error(what, " the shape ", to_string(shape), ", 2^31 elements or more; at most ",
                      INT32_MAX, " are supported");
  }
}

// The opset itself, older ones from new to old, newer ones from old to new.
std::vector<int> nearest_first(std::vector<int> versions, int64_t opset) {
  std::sort(versions.begin(), versions.end(), [opset](int a, int b) {
    const bool a_newer = a > opset;
    const bool b_newer = b > opset;
    return a_newer != b_newer ? b_newer : a_newer ? a < b : a > b;
  });
  versions.insert(versions.begin(), static_cast<int>(opset));
  return versions;
}

// Symbols for the contents of a small input. Sizes are counted in 32 bits.
std::vector<Dim> content_symbols(const Value &input, SymbolTable &symbols) {
  const int64_t count = *element_count(input.type.shape).constant();
  std::vector<Dim> result;
  for (int64_t i = 0; i < count; ++i) {
    const std::string base = as_symbol_name(input.name);
    const std::string name = symbols.fresh_name(count == 1 ? base : base + "_" + std::to_string(i));
    symbols.declare(name, {SymbolKind::Input, 0, INT32_MAX});
    result.push_back(Dim::symbol(name));
  }
  return result;
}

// What an input is whose value the caller has fixed: a scalar, or a vector of one.
Tensor fixed_tensor(const std::string &name, const TensorType &type, int64_t value) {
  if (!element_count(type.shape).is(1) || is_float(type.dtype)) {
    throw_model_error("input '", name, "' is ", to_string(type),
                      "; only a boolean or whole number of one element can be fixed");
  }
  return Tensor::of<int64_t>(type.dtype, std::vector<int64_t>(type.shape.size(), 1), {value});
}

}  // namespace

std::string printable(const std::string &name) {
  std::string text = name.size() > kMaxPrintedName ? name.substr(0, kMaxPrintedName) + "..." : name;
  for (char &c : text) {
    const auto byte = static_cast<unsigned char>(c);
    c = byte < 0x20 || byte == 0x7f ? '?' : c;
  }
  return text;
}

std::string function_key(const onnx::FunctionProto &function) {
  return function.domain() + '\0' + function.name() + '\0' + function.overload();
}

std::string function_key(const onnx::NodeProto &call) {
  return call.domain() + '\0' + call.op_type() + '\0' + call.overload();
}

Importer::Importer(const onnx::ModelProto &model, TensorSource tensors,
                   const ImportOptions &options, const std::set<std::string> &contents)
    : model_(model),
      tensors_(std::move(tensors)),
      options_(options),
      contents_(contents),
      graph_(std::make_unique<Graph>()) {}

std::unique_ptr<Graph> Importer::run() {
  if (model_.ir_version() > onnx::Version::IR_VERSION) {
    throw_model_error("has IR version ", model_.ir_version(), ", but ",
                      int{onnx::Version::IR_VERSION},
                      " is the newest that is known; export the model again with an older one");
  }
  opsets_ = opsets_of(model_.opset_import());
  check_opset(opsets_);
  for (const onnx::FunctionProto &function : model_.functions()) {
    if (!functions_.emplace(function_key(function), &function).second) {
      throw_model_error("the function '", printable(function.name()), "' is defined twice");
    }
  }
  const std::string unsupported = unsupported_operators(model_);
  if (!unsupported.empty()) {
    throw_model_error("operators that are not supported:", unsupported);
  }
  Scope scope;
  scope.opsets = &opsets_;
  scope.tensors = &tensors_;
  graph_->name = printable(model_.graph().name());
  add_initializers(model_.graph(), scope);
  add_inputs(scope);
  std::vector<std::string> wanted;
  for (const onnx::ValueInfoProto &output : model_.graph().output()) {
    wanted.push_back(output.name());
  }
  import_nodes(model_.graph().node(), scope, wanted);
  add_outputs(scope);
  graph_->remove_dead();
  return std::move(graph_);
}

void Importer::check_opset(const Opsets &opsets) const {
  const auto standard = opsets.find("");
  if (standard == opsets.end()) {
    std::string others;
    for (const auto &[domain, version] : opsets) {
      others += (others.empty() ? ", only operators of '" : "', '") + printable(domain);
    }
    throw_model_error("imports no version of the ONNX operators (opset_import)", others,
                      others.empty() ? "" : "', which are not supported");
  }
  const int64_t opset = standard->second;
  if (opset < 1) {
    throw_model_error("uses opset ", opset, "; export the model again with ", kOldestOpset,
                      " or newer");
  }
  if (opset > newest_opset()) {
    throw_model_error("uses opset ", opset, ", but ", newest_opset(),
                      " is the newest that is known; export the model again with an older one");
  }
}

void Importer::add_initializers(const onnx::GraphProto &graph, Scope &scope) {
  if (graph.sparse_initializer_size() > 0) {
    throw_model_error("tensor '", printable(graph.sparse_initializer(0).values().name()),
                      "' is sparse, which is not supported");
  }
  for (const onnx::TensorProto &tensor : graph.initializer()) {
    if (!scope.names.emplace(tensor.name(), Binding{nullptr, &tensor}).second) {
      throw_model_error("two initializers have the name '", printable(tensor.name()), "'");
    }
  }
}

void Importer::add_inputs(Scope &scope) {
  InputSymbols symbols(model_.graph(), options_.fixed_symbols, options_.least_sizes);
  std::set<std::string> seen;
  for (const onnx::ValueInfoProto &input : model_.graph().input()) {
    const std::string name = required_name(input.name(), "an input");
    if (!seen.insert(name).second) {
      throw_model_error("two inputs have the name '", name, "'");
    }
    if (scope.names.count(name) != 0) {
      continue;  // up to IR version 3 initializers were listed as inputs too
    }
    const TensorType type = symbols.type_of(input);
    const auto fixed = options_.fixed_inputs.find(name);
    scope.names[name].value = fixed == options_.fixed_inputs.end()
                                  ? graph_->add_input(name, type)
                                  : graph_->add_constant(fixed_tensor(name, type, fixed->second));
  }
  for (const auto &[name, value] : options_.fixed_inputs) {
    if (seen.count(name) == 0) {
      throw_model_error("there is no input '", printable(name), "' to fix");
    }
  }
  symbols.declare(graph_->symbols);
  for (Value *const input : graph_->inputs()) {
    if (contents_.count(input->name) != 0) {
      input->host = content_symbols(*input, graph_->symbols);
    }
  }
  for (const Value *const input : graph_->inputs()) {
    check_count("input '" + input->name + "' has", input->type.shape, graph_->symbols);
  }
}

// What the file says of an output's type is for its readers: callers prepare their buffers by it. A
// wrong element type would be read as garbage, a wrong shape is noticed.
void Importer::check_declared_type(const onnx::ValueInfoProto &info, const Value *value) {
  const auto &type = info.type().tensor_type();
  if (info.type().has_tensor_type() && type.elem_type() != 0) {
    std::string declared;
    try {
      declared = name_of(dtype_of_onnx(type.elem_type()));
    } catch (const ModelError &error) {
      throw_model_error("output '", printable(info.name()), "': ", error.what());
    }
    if (declared != name_of(value->type.dtype)) {
      throw_model_error("output '", printable(info.name()), "' is declared as ", declared,
                        ", but computed as ", name_of(value->type.dtype),
                        "; correct the declaration or cast the output");
    }
  }
  if (!info.type().has_tensor_type() || !type.has_shape()) {
    return;
  }
  const auto &declared = type.shape();
  bool agrees = declared.dim_size() == value->type.rank();
  for (int i = 0; agrees && i < declared.dim_size(); ++i) {
    const Dim &size = value->type.shape[static_cast<size_t>(i)];
    agrees = !declared.dim(i).has_dim_value() || !size.is_constant() ||
             size.is(declared.dim(i).dim_value());
  }
  if (agrees) {
    return;
  }
  std::string text;
  for (const auto &dim : declared.dim()) {
    text += (text.empty() ? "" : ", ") +
            (dim.has_dim_value() ? std::to_string(dim.dim_value()) : printable(dim.dim_param()));
  }
  graph_->warnings.push_back("output '" + printable(info.name()) +
                             "' is declared with the shape [" + text + "], but has the shape " +
                             to_string(value->type.shape));
}

void Importer::add_outputs(Scope &scope) {
  if (model_.graph().output_size() == 0) {
    throw_model_error("the graph has no outputs");
  }
  std::set<std::string> seen;
  for (const onnx::ValueInfoProto &output : model_.graph().output()) {
    const std::string name = required_name(output.name(), "an output");
    if (!seen.insert(name).second) {
      throw_model_error("two outputs have the name '", name, "'");
    }
    if (find(scope, name) == nullptr) {
      throw_model_error("output '", name, "' is computed by no node");
    }
    Value *const value = value_of(scope, name);
    check_declared_type(output, value);
    graph_->add_output(name, value);
  }
}

Importer::Binding *Importer::find(Scope &scope, const std::string &name,
                                  const Scope **owner) const {
  for (Scope *at = &scope; at != nullptr; at = at->outer) {
    const auto found = at->names.find(name);
    if (found != at->names.end()) {
      if (owner != nullptr) {
        *owner = at;
      }
      return &found->second;
    }
  }
  return nullptr;
}

Value *Importer::value_of(Scope &scope, const std::string &name) {
  const Scope *owner = nullptr;
  Binding *const binding = find(scope, name, &owner);
  if (binding == nullptr) {
    throw_model_error("reads '", printable(name), "', which no node, input or initializer defines");
  }
  if (binding->sequence != nullptr) {
    throw_model_error("reads '", printable(name), "', which is a sequence, not a tensor");
  }
  if (binding->value == nullptr) {
    SYLVITE_CHECK(binding->constant != nullptr, name);
    Graph &graph = graph_of(*owner);
    binding->value =
        graph.add_constant(read_tensor(*binding->constant, *owner->tensors), printable(name));
    check_count("tensor '" + printable(name) + "' has", binding->value->type.shape,
                graph.symbol_table());
  }
  return bring(binding->value, owner->body, scope.body);
}

Value *Importer::bring(Value *value, const Body *from, Body *to) {
  if (from == to) {
    return value;
  }
  SYLVITE_CHECK(to != nullptr, value->name);
  Value *const outer = bring(value, from, to->outer);
  const auto known = to->inside[to->current].find(outer);
  if (known != to->inside[to->current].end()) {
    return known->second;
  }
  // What is known while compiling stands in each graph itself, so that it is known there too.
  if (outer->producer != nullptr && outer->producer->op == Op::Constant) {
    Value *const copy =
        to->graph().add(Op::Constant, {}, outer->producer->attributes, {})->output();
    copy->name = outer->name;
    return to->inside[to->current][outer] = copy;
  }
  if (outer->host && is_integer(outer->type.dtype) && static_shape(outer->type.shape)) {
    Value *const copy = to->graph()
                            .add(Op::DimValues, {},
                                 {{"values", *outer->host},
                                  {"shape", *static_shape(outer->type.shape)},
                                  {"dtype", outer->type.dtype}})
                            ->output();
    return to->inside[to->current][outer] = copy;
  }
  to->captured.push_back(outer);
  for (size_t i = 0; i < to->regions.size(); ++i) {
    to->inside[i][outer] = to->regions[i]->add_input(outer->name, outer->type);
  }
  return to->inside[to->current].at(outer);
}

std::optional<std::set<std::string>> Importer::inputs_behind(const Value *value,
                                                             const Body *body) const {
  constexpr int64_t kMostContents = 16;
  std::set<std::string> inputs;
  std::set<const Value *> visited;
  std::vector<std::pair<const Value *, const Body *>> pending = {{value, body}};
  while (!pending.empty()) {
    const auto [next, place] = pending.back();
    pending.pop_back();
    if (next->host || !visited.insert(next).second) {
      continue;
    }
    if (is_float(next->type.dtype)) {
      return std::nullopt;
    }
    if (next->producer != nullptr) {
      const OpClass op_class = class_of(next->producer->op);
      if (op_class == OpClass::Library || op_class == OpClass::Region ||
          op_class == OpClass::Control ||
          (op_class == OpClass::Root && next->producer->op != Op::Reduce)) {
        return std::nullopt;
      }
      for (const Value *input : next->producer->inputs) {
        pending.emplace_back(input, place);
      }
      continue;
    }
    if (place != nullptr) {  // captured by a body, or carried
      const auto &inside = place->inside[place->current];
      const auto found =
          std::find_if(inside.begin(), inside.end(),
                       [&, next = next](const auto &pair) { return pair.second == next; });
      if (found == inside.end()) {
        return std::nullopt;
      }
      pending.emplace_back(found->first, place->outer);
      continue;
    }
    const std::optional<int64_t> count = element_count(next->type.shape).constant();
    if (!count || *count > kMostContents || !is_integer(next->type.dtype)) {
      return std::nullopt;
    }
    inputs.insert(next->name);
  }
  return inputs.empty() ? std::nullopt : std::optional(inputs);
}

const Importer::Binding &Importer::binding_of(Scope &scope, const std::string &name) const {
  const Binding *const binding = find(scope, name);
  if (binding == nullptr) {
    throw_model_error("reads '", printable(name), "', which no node, input or initializer defines");
  }
  return *binding;
}

void Importer::define_sequence(Scope &scope, const std::string &name, const Binding &sequence) {
  if (!scope.names.emplace(name, sequence).second) {
    throw_model_error("its output '", printable(name),
                      "' is also the name of an input or initializer");
  }
}

Importer::Scope Importer::nested_scope(Scope &scope) const {
  Scope inner;
  inner.outer = &scope;
  inner.body = scope.body;
  inner.opsets = scope.opsets;
  inner.arguments = scope.arguments;
  inner.tensors = scope.tensors;
  inner.prefix = scope.prefix;
  inner.source = scope.source;
  return inner;
}

void Importer::define(Scope &scope, const std::string &name, Value *value) {
  if (!scope.names.emplace(name, Binding{value, nullptr}).second) {
    throw_model_error("its output '", printable(name),
                      "' is also the name of an input or initializer");
  }
  if (value->name.empty()) {
    value->name = printable(name);
  }
}

void Importer::import_nodes(const Nodes &nodes, Scope &scope,
                            const std::vector<std::string> &wanted) {
  const std::vector<int> order = topological_order(nodes, scope.prefix);
  std::set<std::string> needed(wanted.begin(), wanted.end());
  std::vector<int> live;
  for (auto at = order.rbegin(); at != order.rend(); ++at) {
    const auto &outputs = nodes[*at].output();
    if (std::any_of(outputs.begin(), outputs.end(),
                    [&](const std::string &name) { return needed.count(name) != 0; })) {
      live.push_back(*at);
      const std::vector<std::string> read = names_read_by(nodes[*at]);
      needed.insert(read.begin(), read.end());
    }
  }
  for (auto at = live.rbegin(); at != live.rend(); ++at) {
    import_node(nodes[*at], *at, scope);
  }
}

Importer::AttributeRef Importer::attribute(const onnx::NodeProto &node, const std::string &name,
                                           const Scope &scope) const {
  for (const AttributeProto &attribute : node.attribute()) {
    if (attribute.name() != name) {
      continue;
    }
    if (attribute.ref_attr_name().empty()) {
      return {&attribute, scope.tensors};
    }
    if (scope.arguments == nullptr) {
      throw_model_error("attribute '", printable(name),
                        "' refers to an attribute of a function, outside one");
    }
    const auto found = scope.arguments->find(attribute.ref_attr_name());
    return found == scope.arguments->end() ? AttributeRef{} : found->second;
  }
  return {};
}

OnnxNode Importer::view_of(const onnx::NodeProto &node, const std::string &source, Scope &scope,
                           bool with_sequences) {
  std::vector<Value *> inputs;
  for (const std::string &name : node.input()) {
    const bool skipped =
        name.empty() || (with_sequences && binding_of(scope, name).sequence != nullptr);
    inputs.push_back(skipped ? nullptr : value_of(scope, name));
  }
  while (!inputs.empty() && inputs.back() == nullptr) {
    inputs.pop_back();
  }
  const auto opset = scope.opsets->find("");
  const auto lookup = [this, &node,
                       &scope](const std::string &name) -> std::optional<OnnxAttribute> {
    const AttributeRef found = attribute(node, name, scope);
    if (found.proto == nullptr) {
      return {};
    }
    return read_attribute(*found.proto, *found.tensors);
  };
  return OnnxNode(graph_of(scope), node.op_type(), opset == scope.opsets->end() ? 0 : opset->second,
                  {source}, std::move(inputs), {node.output().begin(), node.output().end()},
                  lookup);
}

void Importer::import_node(const onnx::NodeProto &node, int index, Scope &scope) {
  const std::string source = scope.source ? *scope.source : source_name(node, index, scope.prefix);
  const auto fail = [&](const std::string &message) {
    throw LocatedError("node '" + source + "' (" + printable(node.op_type()) +
                       "): " + without_ir_place(message, source));
  };
  try {
    if (++node_count_ > kMaxNodes) {
      throw_model_error("the model grows beyond ", kMaxNodes,
                        " nodes when its functions are inlined");
    }
    const bool standard = is_standard_domain(node.domain()) &&
                          functions_.find(function_key(node)) == functions_.end();
    const std::string &op = node.op_type();
    const bool control = standard && (op == "If" || op == "Loop" || op == "Scan");
    const bool sequence = standard && is_sequence_operator(op);
    OnnxNode view = view_of(node, source, scope, control || sequence);
    Results results;
    if (view.output_count() > kMaxOutputs) {
      throw_model_error("has ", view.output_count(), " outputs; at most ", kMaxOutputs,
                        " are supported");
    }
    const auto function = functions_.find(function_key(node));
    if (function != functions_.end()) {
      import_local_function(node, *function->second, source, view, scope);
    } else if (control) {
      op == "If"     ? import_if(node, view, scope, results)
      : op == "Loop" ? import_loop(node, view, scope, results)
                     : import_scan(node, view, scope, results);
    } else if (sequence) {
      import_sequence(node, view, scope, results);
    } else {
      import_standard(node, view, scope);
    }
    Graph &graph = graph_of(scope);
    if (graph.nodes().size() > kMaxOperations) {
      throw_model_error("the model has more than ", kMaxOperations, " operations from here on");
    }
    for (size_t i = 0; i < view.output_count(); ++i) {
      if (!view.has_output(i)) {
        continue;
      }
      if (i < results.size() && results[i].sequence != nullptr) {
        define_sequence(scope, view.output_name(i), results[i]);
        continue;
      }
      Value *const value = i < results.size() ? results[i].value : view.outputs()[i];
      if (value == nullptr) {
        throw_model_error("its output ", i, " ('", printable(view.output_name(i)),
                          "') is not supported");
      }
      if (value->type.rank() > kMaxRank) {
        throw_model_error("its output has ", value->type.rank(), " dimensions; at most ", kMaxRank,
                          " are supported");
      }
      check_count("its output has", value->type.shape, graph.symbol_table());
      define(scope, view.output_name(i), value);
    }
  } catch (const LocatedError &) {
    throw;
  } catch (const ContentsWanted &wanted) {
    const std::optional<std::set<std::string>> inputs = inputs_behind(wanted.value, scope.body);
    if (!inputs ||
        std::includes(contents_.begin(), contents_.end(), inputs->begin(), inputs->end())) {
      fail(wanted.message);
    }
    throw ContentsNeeded{*inputs};
  } catch (const ModelError &error) {
    fail(error.what());
  } catch (const DimOverflow &error) {
    fail(error.what());
  }
}

void Importer::import_standard(const onnx::NodeProto &node, OnnxNode &view, Scope &scope) {
  const int64_t opset = view.opset();
  const bool standard = is_standard_domain(node.domain());
  const OpRule *const rule = find_rule(node.domain(), node.op_type());
  if (rule != nullptr && rule->signature) {
    check_against_signature(node, *rule->signature);
    rule->translate(view);
    return;
  }
  const onnx::OpSchema *const schema =
      standard ? find_schema(node.op_type(), opset) : find_preview_schema(node);
  if (schema == nullptr) {
    throw_model_error("there is no such operator");
  }
  check_against_schema(node, *schema);
  if (rule != nullptr && schema->since_version() <= rule->last_version) {
    rule->translate(view);
    return;
  }
  Arguments arguments;
  for (const auto &[name, attribute] : schema->attributes()) {
    AttributeRef given = this->attribute(node, name, scope);
    if (given.proto == nullptr && attribute.default_value.has_name()) {
      given = {&attribute.default_value, &library_tensors_};
    }
    if (given.proto != nullptr) {
      arguments[name] = given;
    }
  }
  const onnx::FunctionProto &body = body_of(node, *schema, opset, view, scope);
  Opsets opsets = opsets_of(body.opset_import());
  opsets.emplace("", opset);
  Scope inner;
  inner.body = scope.body;
  inner.opsets = &opsets;
  inner.tensors = &library_tensors_;
  inner.source = view.name();
  import_body(body, arguments, view, inner);
}

// The node with attributes that refer to a caller's replaced by these: what bodies are built from.
onnx::NodeProto Importer::resolved(const onnx::NodeProto &node, const Scope &scope) const {
  onnx::NodeProto copy = node;
  copy.clear_attribute();
  for (const AttributeProto &attribute : node.attribute()) {
    const AttributeRef found = this->attribute(node, attribute.name(), scope);
    if (found.proto != nullptr) {
      AttributeProto &added = *copy.add_attribute();
      added = *found.proto;
      added.set_name(attribute.name());
    }
  }
  return copy;
}

// A schema has bodies for some opsets, and the library refuses one whose operators have changed
// since. Any of them will do here, because the body's scope has an opset of its own.
const onnx::FunctionProto &Importer::body_of(const onnx::NodeProto &node,
                                             const onnx::OpSchema &schema, int64_t opset,
                                             const OnnxNode &view, const Scope &scope) {
  if (schema.HasFunction()) {
    for (const int version : nearest_first(schema.function_opset_versions(), opset)) {
      if (const onnx::FunctionProto *const body = schema.GetFunction(version)) {
        return *body;
      }
    }
  }
  if (schema.HasContextDependentFunction()) {
    std::vector<onnx::TypeProto> types;
    for (size_t i = 0; i < view.input_count(); ++i) {
      types.push_back(type_proto_of(view.input_or_null(i)));
    }
    // The context points into the node that it is given.
    const onnx::NodeProto own = resolved(node, scope);
    const onnx::FunctionBodyBuildContextImpl context(own, types);
    for (const int version :
         nearest_first(schema.context_dependent_function_opset_versions(), opset)) {
      onnx::FunctionProto &body = bodies_.emplace_back();
      if (schema.BuildContextDependentFunction(context, body, version)) {
        return body;
      }
    }
  }
  throw_model_error("is part of what it stands for in ONNX, but not supported");
}

void Importer::import_local_function(const onnx::NodeProto &node,
                                     const onnx::FunctionProto &function, const std::string &source,
                                     OnnxNode &view, Scope &scope) {
  const std::string name = printable(function.name());
  const std::string key = function_key(function);
  if (std::find(calls_.begin(), calls_.end(), key) != calls_.end()) {
    throw_model_error("the function '", name,
                      "' calls itself; recursive functions are not supported");
  }
  if (calls_.size() >= kMaxCallDepth) {
    throw_model_error("functions call each other more than ", kMaxCallDepth, " levels deep");
  }
  Arguments arguments;
  for (const AttributeProto &attribute : function.attribute_proto()) {
    arguments[attribute.name()] = {&attribute, &tensors_};
  }
  for (const AttributeProto &attribute : node.attribute()) {
    if (const AttributeRef given = this->attribute(node, attribute.name(), scope);
        given.proto != nullptr) {
      arguments[attribute.name()] = given;
    }
  }
  for (const std::string &required : function.attribute()) {
    if (arguments.count(required) == 0) {
      throw_model_error("attribute '", printable(required), "' is missing");
    }
  }
  Opsets opsets = opsets_of(function.opset_import());
  opsets.insert(opsets_.begin(), opsets_.end());
  check_opset(opsets);
  Scope inner;
  inner.body = scope.body;
  inner.opsets = &opsets;
  inner.tensors = &tensors_;
  inner.prefix = source + "/";
  inner.source = scope.source;
  calls_.push_back(key);
  import_body(function, arguments, view, inner);
  calls_.pop_back();
}

void Importer::import_body(const onnx::FunctionProto &body, const Arguments &arguments,
                           OnnxNode &view, Scope &body_scope) {
  if (view.input_count() > static_cast<size_t>(body.input_size()) ||
      view.output_count() > static_cast<size_t>(body.output_size())) {
    throw_model_error("expected at most ", body.input_size(), " inputs and ", body.output_size(),
                      " outputs, got ", view.input_count(), " and ", view.output_count());
  }
  body_scope.arguments = &arguments;
  for (size_t i = 0; i < view.input_count(); ++i) {
    if (view.has_input(i)) {
      body_scope.names[body.input(static_cast<int>(i))].value = view.input(i);
    }
  }
  std::vector<std::string> wanted;
  for (size_t i = 0; i < view.output_count(); ++i) {
    if (view.has_output(i)) {
      wanted.push_back(body.output(static_cast<int>(i)));
    }
  }
  import_nodes(body.node(), body_scope, wanted);
  for (size_t i = 0; i < view.output_count(); ++i) {
    if (view.has_output(i)) {
      view.set_output(i, value_of(body_scope, body.output(static_cast<int>(i))));
    }
  }
}

}  // namespace sylvite
