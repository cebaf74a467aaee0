// Which operators Sylvite knows: the families' rules, and whatever the ONNX library can write in
// terms of those (function bodies).
#include <onnx/defs/schema.h>

#include <algorithm>
#include <cctype>
#include <optional>

#include "compiler/import/importer.h"

namespace sylvite {
namespace {

using onnx::OpSchema;
using onnx::OpSchemaRegistry;

using DomainAndName = std::pair<std::string, std::string>;

const std::map<DomainAndName, const OpRule *> &rules() {
  static const std::map<DomainAndName, const OpRule *> by_name = [] {
    std::map<DomainAndName, const OpRule *> result;
    for (const auto &family :
         {elementwise_rules(), activation_rules(), view_rules(), shape_rules(), lookup_rules(),
          product_rules(), convolution_rules(), reduction_rules(), normalisation_rules(),
          attention_rules(), trigonometry_rules(), microsoft_rules(),
          microsoft_attention_rules()}) {
      for (const OpRule &rule : family) {
        result[{rule.domain, rule.name}] = &rule;
      }
    }
    return result;
  }();
  return by_name;
}

bool has_body(const OpSchema &schema) {
  return schema.HasFunction() || schema.HasContextDependentFunction();
}

constexpr int kMaxBodies = 8;  // bodies within bodies

// Operators that may come into the standard one day.
constexpr const char *kPreviewDomain = "ai.onnx.preview";

bool is_own(const std::string &op_type) {
  const std::span<const OwnOperator> own = own_operators();
  return std::any_of(own.begin(), own.end(),
                     [&](const OwnOperator &each) { return op_type == each.name; });
}

bool op_is_known(const std::string &op_type, int64_t opset, int depth);

bool body_is_known(const onnx::FunctionProto &body, int64_t opset, int depth) {
  return std::all_of(body.node().begin(), body.node().end(), [&](const onnx::NodeProto &node) {
    return op_is_known(node.op_type(), opset, depth);
  });
}

// The body of an operator that depends on its inputs' types: float inputs with four dimensions
// stand for these. Nothing where no body can be built for them.
std::optional<onnx::FunctionProto> context_dependent_body(const OpSchema &schema,
                                                          onnx::NodeProto node) {
  std::vector<onnx::TypeProto> types;
  while (node.input_size() < std::max(1, schema.min_input())) {
    node.add_input("x");
  }
  for (int i = 0; i < node.input_size(); ++i) {
    types.emplace_back();
    types.back().mutable_tensor_type()->set_elem_type(onnx::TensorProto::FLOAT);
    for (int axis = 0; axis < 4; ++axis) {
      types.back().mutable_tensor_type()->mutable_shape()->add_dim()->set_dim_value(4);
    }
  }
  const onnx::FunctionBodyBuildContextImpl context(node, types);
  onnx::FunctionProto body;
  try {
    return schema.BuildContextDependentFunction(context, body) ? std::optional(body) : std::nullopt;
  } catch (const std::exception &) {
    return std::nullopt;  // wants attributes that the node does not have
  }
}

// Whether every operator of a body is known, bodies of bodies included; nothing where that depends
// on what only the import knows.
std::optional<bool> body_is_known(const OpSchema &schema, const onnx::NodeProto &node, int depth) {
  const int64_t opset = schema.since_version();
  if (const onnx::FunctionProto *const body = schema.GetFunction()) {
    return body_is_known(*body, opset, depth);
  }
  if (!schema.HasContextDependentFunction()) {
    return false;
  }
  const std::optional<onnx::FunctionProto> body = context_dependent_body(schema, node);
  return body ? std::optional(body_is_known(*body, opset, depth)) : std::nullopt;
}

bool op_is_known(const std::string &op_type, int64_t opset, int depth) {
  if (find_rule("", op_type) != nullptr || is_own(op_type)) {
    return true;
  }
  const OpSchema *const schema = find_schema(op_type, opset);
  return schema != nullptr && depth < kMaxBodies &&
         body_is_known(*schema, onnx::NodeProto(), depth + 1).value_or(false);
}

constexpr const char *kQuantised =
    "quantised models are not supported; export the model in floating point";

// What the user can do about an operator that has no rule.
std::string without_rule(const std::string &name) {
  for (const char *part : {"uantize", "QLinear", "Integer"}) {
    if (name.find(part) != std::string::npos) {
      return kQuantised;
    }
  }
  for (const char *part : {"Sequence", "Optional"}) {
    if (name.find(part) != std::string::npos) {
      return "not supported; export the model without such sequences and optionals";
    }
  }
  for (const char *same : {"NonMaxSuppression", "Unique"}) {
    if (name == same) {
      return "not supported, because the size of its result is known only at run time; export the "
             "model without it";
    }
  }
  return "not supported; export the model without it";
}

// Why a node cannot be imported, as far as its name and version tell; empty when it can.
std::string why_unsupported(const onnx::NodeProto &node, int64_t opset) {
  const std::string &name = node.op_type();
  const OpRule *const rule = find_rule("", name);
  if (rule != nullptr && rule->signature) {
    return "";
  }
  const OpSchema *const schema = find_schema(name, opset);
  if (schema == nullptr) {
    return "there is no such operator in ONNX opset " + std::to_string(opset);
  }
  const OpSchema *const oldest =
      opset < kOldestOpset ? OpSchemaRegistry::Schema(name, kOldestOpset, "") : nullptr;
  if (oldest != nullptr && !oldest->deprecated() &&
      oldest->since_version() != schema->since_version()) {
    return "is another one in opset " + std::to_string(opset) + "; export the model with opset " +
           std::to_string(kOldestOpset) + " or newer";
  }
  if (is_own(name)) {
    return "";
  }
  if (rule != nullptr && schema->since_version() > rule->last_version && !has_body(*schema)) {
    return "the version that came with opset " + std::to_string(schema->since_version()) +
           " is newer than this Sylvite; export with opset " +
           std::to_string(schema->since_version() - 1) + " or lower";
  }
  if (rule != nullptr || (has_body(*schema) && body_is_known(*schema, node, 0).value_or(true))) {
    return "";
  }
  return without_rule(name);
}

// The same for onnxruntime's own.
std::string without_microsoft_rule(const std::string &name) {
  const bool quantised =
      name.size() > 1 && name[0] == 'Q' && std::isupper(static_cast<unsigned char>(name[1])) != 0;
  for (const char *part : {"uantize", "NBits", "Bnb4", "FpQ4", "Float8", "Integer"}) {
    if (quantised || name.find(part) != std::string::npos) {
      return kQuantised;
    }
  }
  for (const char *part : {"Search", "Sampling"}) {
    if (name.find(part) != std::string::npos) {
      return "searches are not supported within a model; export the model without it";
    }
  }
  return "not supported; export plain ONNX, or optimise the model without this fusion";
}

// The same for another domain: what has a rule or a body of known operators can be imported.
std::string why_unsupported(const onnx::NodeProto &node) {
  if (find_rule(node.domain(), node.op_type()) != nullptr) {
    return "";
  }
  if (node.domain() == kMicrosoftDomain) {
    return without_microsoft_rule(node.op_type());
  }
  const OpSchema *const schema = find_preview_schema(node);
  if (schema != nullptr && has_body(*schema) && body_is_known(*schema, node, 0).value_or(true)) {
    return "";
  }
  return "operators of the domain '" + printable(node.domain()) +
         "' are not supported; export plain ONNX";
}

struct Unsupported {
  std::string reason;
  std::vector<std::string> nodes;
};

class Survey {
 public:
  explicit Survey(const onnx::ModelProto &model) : model_(model) {
    for (const onnx::FunctionProto &function : model.functions()) {
      functions_[function_key(function)] = &function;
    }
  }

  std::string run() {
    nodes(model_.graph().node(), standard_opset(model_.opset_import()), "", 0);
    std::string text;
    for (const auto &[op, found] : unsupported_) {
      text += "\n  " + op + " (" + list(found.nodes) + "): " + found.reason;
    }
    return text;
  }

 private:
  template <typename Imports>
  int64_t standard_opset(const Imports &imports) const {
    int64_t opset = 0;
    for (const auto &import : imports) {
      opset = is_standard_domain(import.domain()) ? import.version() : opset;
    }
    return opset;
  }

  template <typename Nodes>
  void nodes(const Nodes &list, int64_t opset, const std::string &prefix, size_t depth) {
    if (depth > kMaxCallDepth) {
      return;  // reported when it is inlined
    }
    for (int i = 0; i < list.size(); ++i) {
      node(list[i], i, opset, prefix, depth);
      for (const onnx::AttributeProto &attribute : list[i].attribute()) {
        if (attribute.has_g()) {
          nodes(attribute.g().node(), opset, prefix, depth);
        }
      }
    }
  }

  void node(const onnx::NodeProto &node, int index, int64_t opset, const std::string &prefix,
            size_t depth) {
    if (const auto found = functions_.find(function_key(node)); found != functions_.end()) {
      const onnx::FunctionProto &function = *found->second;
      if (visited_.insert(&function).second) {
        const int64_t own = standard_opset(function.opset_import());
        nodes(function.node(), own == 0 ? opset : own, prefix + source_name(node, index, "") + "/",
              depth + 1);
      }
      return;
    }
    const std::string domain = printable(node.domain());
    const bool standard = is_standard_domain(node.domain());
    const std::string reason = standard ? why_unsupported(node, opset) : why_unsupported(node);
    if (!reason.empty()) {
      Unsupported &entry =
          unsupported_[(standard ? "" : domain + "::") + printable(node.op_type())];
      entry.reason = reason;
      entry.nodes.push_back(source_name(node, index, prefix));
    }
  }

  // "52 nodes: 'a', 'b', 'c', ..."
  static std::string list(const std::vector<std::string> &names) {
    constexpr size_t kShown = 4;
    std::string text = names.size() == 1 ? "node " : std::to_string(names.size()) + " nodes: ";
    for (size_t i = 0; i < names.size() && i < kShown; ++i) {
      text += (i == 0 ? "'" : ", '") + names[i] + "'";
    }
    return names.size() > kShown ? text + ", ..." : text;
  }

  const onnx::ModelProto &model_;
  std::map<std::string, const onnx::FunctionProto *> functions_;
  std::map<std::string, Unsupported> unsupported_;
  std::set<const onnx::FunctionProto *> visited_;
};

}  // namespace

const OpRule *find_rule(const std::string &domain, const std::string &op_type) {
  const auto found = rules().find({is_standard_domain(domain) ? "" : domain, op_type});
  return found == rules().end() ? nullptr : found->second;
}

bool is_standard_domain(const std::string &domain) {
  return domain.empty() || domain == "ai.onnx";
}

int64_t newest_opset() {
  static const int64_t newest =
      OpSchemaRegistry::DomainToVersionRange::Instance().Map().at("").second;
  return newest;
}

const OpSchema *find_schema(const std::string &op_type, int64_t opset) {
  const OpSchema *const schema = OpSchemaRegistry::Schema(op_type, static_cast<int>(opset), "");
  if (schema != nullptr && !schema->deprecated()) {
    return schema;
  }
  return OpSchemaRegistry::Schema(op_type, static_cast<int>(newest_opset()), "");
}

const OpSchema *find_preview_schema(const onnx::NodeProto &node) {
  return node.domain() == kPreviewDomain ? OpSchemaRegistry::Schema(node.op_type(), kPreviewDomain)
                                         : nullptr;
}

std::string unsupported_operators(const onnx::ModelProto &model) {
  return Survey(model).run();
}

std::vector<SupportedOp> supported_ops() {
  std::map<DomainAndName, SupportedOp> ops;
  for (const auto &[key, rule] : rules()) {
    const auto &[domain, name] = key;
    ops[key] = {domain.empty() ? "ai.onnx" : domain, name, "direct"};
  }
  for (const OwnOperator &own : own_operators()) {
    ops[{"", own.name}] = {"ai.onnx", own.name, own.how};
  }
  for (const OpSchema &schema : OpSchemaRegistry::get_all_schemas()) {
    const bool standard = is_standard_domain(schema.domain());
    const DomainAndName key{standard ? "" : schema.domain(), schema.Name()};
    if ((standard || schema.domain() == kPreviewDomain) && ops.count(key) == 0 &&
        body_is_known(schema, onnx::NodeProto(), 0).value_or(false)) {
      ops[key] = {standard ? "ai.onnx" : kPreviewDomain, schema.Name(), "function body"};
    }
  }
  std::vector<SupportedOp> result;
  for (auto &[key, op] : ops) {
    result.push_back(std::move(op));
  }
  return result;
}

}  // namespace sylvite
