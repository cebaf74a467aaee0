// Both forms print one structure, so they cannot disagree.
#include "compiler/driver/inspect_report.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>

#include "compiler/driver/flags.h"
#include "compiler/driver/fusion_names.h"

namespace sylvite {
namespace {

// Order of insertion is order of reading.
using Json = nlohmann::ordered_json;

Json tensors(const std::vector<PlanTensor> &list) {
  Json rows = Json::array();
  for (const PlanTensor &tensor : list) {
    Json shape = Json::array();
    for (const Dim &dim : tensor.type.shape) {
      dim.constant() ? shape.push_back(*dim.constant()) : shape.push_back(dim.str());
    }
    rows.push_back(
        {{"name", tensor.name}, {"dtype", name_of(tensor.type.dtype)}, {"shape", shape}});
  }
  return rows;
}

Json symbols(const Plan &plan) {
  Json rows = Json::object();
  for (const auto &[name, info] : plan.symbols.all()) {
    rows[name] = {{"lower", info.lower}, {"upper", info.upper ? Json(*info.upper) : Json(nullptr)}};
  }
  return rows;
}

void count_ops(const Graph &graph, std::map<std::string, int64_t> &counts) {
  for (const std::unique_ptr<Node> &node : graph.nodes()) {
    if (node->op != Op::Constant && node->op != Op::Kernel) {
      ++counts[name_of(node->op)];
    }
    for (const std::unique_ptr<Graph> &region : node->regions) {
      count_ops(*region, counts);
    }
  }
}

Json ops(const Graph &graph) {
  std::map<std::string, int64_t> counts;
  count_ops(graph, counts);
  Json rows = Json::object();
  for (const auto &[name, count] : counts) {
    rows[name] = count;
  }
  return rows;
}

std::string result_types(const Node &node) {
  std::string text;
  for (const std::unique_ptr<Value> &value : node.outputs) {
    text += (text.empty() ? "" : ", ") + to_string(value->type);
  }
  return text;
}

// One row for each kernel; its calls may differ in their sizes, the row shows the first one's.
Json kernels(const Plan &plan, const SymbolSizes &given) {
  const SymbolSizes sizes = with_variables(plan, given);
  Json rows = Json::array();
  for (size_t number = 0; number < plan.kernels.size(); ++number) {
    const PlanKernel &kernel = plan.kernels[number];
    int64_t count = 0;
    Dim flops = 0, bytes = 0;
    const PlanCall *first = nullptr;
    for (const PlanCall &call : plan.calls) {
      if (static_cast<size_t>(call.kernel) == number) {
        first = first == nullptr ? &call : first;
        ++count;
        flops += call.flops;
        bytes += call.bytes;
      }
    }
    const Node *node = first != nullptr && first->node != nullptr ? first->node : kernel.node;
    rows.push_back({{"name", kernel.name},
                    {"root", kernel.interface.root},
                    {"count", count},
                    {"shape", node != nullptr ? result_types(*node) : ""},
                    {"flops", evaluate(flops, sizes)},
                    {"bytes", evaluate(bytes, sizes)},
                    {"formulas", {{"flops", flops.str()}, {"bytes", bytes.str()}}},
                    {"sources", first != nullptr ? first->sources : ""}});
  }
  return rows;
}

Json report(const LoweredModel &model, const SymbolSizes &sizes) {
  Json json;
  json["model"] = {{"file", model.file.string()},
                   {"hash", model.model_hash},
                   {"producer", model.producer},
                   {"opset", model.opset}};
  json["inputs"] = tensors(model.plan.inputs);
  json["outputs"] = tensors(model.plan.outputs);
  json["symbols"] = symbols(model.plan);
  json["sizes"] = sizes;
  json["graph"] = {{"before", ops(*model.source)}, {"after", ops(*model.graph)}};
  json["fused"] = Json::object();
  for (const auto &[name, count] : fusion_names(model.fused)) {
    json["fused"][name] = count;
  }
  json["near_misses"] = Json::array();
  for (const NearMiss &miss : model.graph->near_misses) {
    json["near_misses"].push_back(
        {{"kind", miss.kind}, {"node", miss.node}, {"condition", miss.condition}});
  }
  json["kernels"] = kernels(model.plan, sizes);
  json["plan_calls"] = model.plan.calls.size();
  json["arena_bytes"] = {{"formula", arena_formula(model.plan).str()},
                         {"at", {{"sizes", sizes}, {"bytes", arena_bytes(model.plan, sizes)}}}};
  int64_t weights = 0;
  for (const TensorPtr &tensor : model.plan.weights) {
    weights += static_cast<int64_t>(tensor->bytes().size());
  }
  json["weight_bytes"] = weights;
  json["warnings"] = model.graph->warnings;
  return json;
}

std::string number_with_unit(double number, const char *unit) {
  static constexpr const char *kPrefixes[] = {"", "k", "M", "G", "T"};
  size_t prefix = 0;
  for (; number >= 1000 && prefix + 1 < std::size(kPrefixes); ++prefix) {
    number /= 1000;
  }
  char text[32];
  std::snprintf(text, sizeof text, "%.3g %s%s", number, kPrefixes[prefix], unit);
  return text;
}

std::string pad(std::string text, size_t width) {
  text.resize(std::max(text.size(), width), ' ');
  return text;
}

std::string tensor_line(const char *what, const Json &tensor) {
  std::string shape;
  for (const Json &dim : tensor["shape"]) {
    shape += (shape.empty() ? "" : ", ") + (dim.is_string() ? dim.get<std::string>() : dim.dump());
  }
  return std::string(what) + tensor["name"].get<std::string>() + ": " +
         tensor["dtype"].get<std::string>() + "[" + shape + "]\n";
}

std::string op_line(const char *what, const Json &counts) {
  std::string text;
  int64_t total = 0;
  for (const auto &[name, count] : counts.items()) {
    text += (text.empty() ? "" : ", ") + name + " " + count.dump();
    total += count.get<int64_t>();
  }
  return std::string(what) + std::to_string(total) + " operations: " + text + "\n";
}

std::string kernel_lines(const Json &kernels) {
  std::string text = "kernels      " + pad("name", 36) + "calls  " + pad("operations", 13) +
                     pad("traffic", 10) + "result\n";
  for (const Json &kernel : kernels) {
    char count[16];
    std::snprintf(count, sizeof count, "%5lld  ",
                  static_cast<long long>(kernel["count"].get<int64_t>()));
    text += "             " + pad(kernel["name"].get<std::string>(), 35) + " " + count +
            pad(number_with_unit(kernel["flops"].get<double>(), "FLOP"), 13) +
            pad(number_with_unit(kernel["bytes"].get<double>(), "B"), 10) +
            kernel["shape"].get<std::string>() + "\n";
  }
  return text;
}

}  // namespace

std::string inspect_json(const LoweredModel &model, const SymbolSizes &sizes) {
  return report(model, sizes).dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string inspect_text(const LoweredModel &model, const SymbolSizes &sizes) {
  const Json json = report(model, sizes);
  std::string text = json["model"]["file"].get<std::string>() + ": opset " +
                     json["model"]["opset"].dump() +
                     (model.producer.empty() ? "" : ", by " + model.producer) + ", hash " +
                     model.model_hash + "\n";
  for (const Json &tensor : json["inputs"]) {
    text += tensor_line("input        ", tensor);
  }
  for (const Json &tensor : json["outputs"]) {
    text += tensor_line("output       ", tensor);
  }
  if (!sizes.empty()) {
    text += "sizes        " + to_string(sizes) + " (choose with --size)\n";
  }
  text += op_line("imported     ", json["graph"]["before"]);
  text += op_line("compiled     ", json["graph"]["after"]);
  text += "fused        " + describe(model.fused) + "\n";
  for (const Json &miss : json["near_misses"]) {
    text += "nearly       " + miss["kind"].get<std::string>() + " at '" +
            miss["node"].get<std::string>() + "': " + miss["condition"].get<std::string>() + "\n";
  }
  text += kernel_lines(json["kernels"]);
  text += "plan         " + json["plan_calls"].dump() + " calls, weights " +
          number_with_unit(json["weight_bytes"].get<double>(), "B") + ", arena " +
          number_with_unit(json["arena_bytes"]["at"]["bytes"].get<double>(), "B") + " (at least " +
          json["arena_bytes"]["formula"].get<std::string>() + ")\n";
  for (const std::string &warning : model.graph->warnings) {
    text += "warning      " + warning + "\n";
  }
  return text;
}

}  // namespace sylvite
