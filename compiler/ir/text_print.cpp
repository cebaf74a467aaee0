// Prints graphs. The order is the graph's own and names are made unique in that order, so equal
// graphs print equally and a printed text prints again as it stood.
#include <charconv>
#include <cmath>
#include <cstring>
#include <unordered_map>
#include <unordered_set>

#include "compiler/ir/error.h"
#include "compiler/ir/text.h"
#include "compiler/ir/text_names.h"

namespace sylvite {
namespace {

constexpr size_t kLineWidth = 100;

template <typename T>
std::string shortest(T value) {
  if (std::isnan(value)) {
    return "nan";
  }
  char buffer[64];
  const std::to_chars_result result = std::to_chars(buffer, buffer + sizeof(buffer), value);
  return std::string(buffer, result.ptr);
}

std::string real_text(double value) {
  std::string text = shortest(value);
  if (text.find_first_of(".en") == std::string::npos) {  // neither 1.5, 1e-5, inf nor nan
    text += ".0";
  }
  return text;
}

std::string element_text(const Tensor &tensor, int64_t i) {
  if (tensor.dtype() == DType::F64) {
    return shortest(tensor.at(i));
  }
  if (is_float(tensor.dtype())) {
    return shortest(static_cast<float>(tensor.at(i)));
  }
  const int64_t value = tensor.at_int(i);
  return tensor.dtype() == DType::U64 ? std::to_string(static_cast<uint64_t>(value))
                                      : std::to_string(value);
}

// Tells large constants apart; eight bytes a step, so that printing a model does not wait for its
// weights.
uint64_t hash_of(std::span<const std::byte> bytes) {
  constexpr uint64_t kMultiplier = 0x9E3779B97F4A7C15;
  uint64_t hash = bytes.size() * kMultiplier;
  for (size_t i = 0; i < bytes.size(); i += 8) {
    uint64_t word = 0;
    std::memcpy(&word, bytes.data() + i, std::min<size_t>(8, bytes.size() - i));
    hash = (hash ^ word) * kMultiplier;
    hash ^= hash >> 29;
  }
  return hash;
}

std::string tensor_text(const Tensor &tensor, int64_t max_elements) {
  std::string text = name_of(tensor.dtype());
  text += to_string(Shape(tensor.shape().begin(), tensor.shape().end()));
  if (tensor.count() > max_elements) {
    char digits[20];
    std::snprintf(digits, sizeof(digits), "%016llx",
                  static_cast<unsigned long long>(hash_of(tensor.bytes())));
    return text + " #" + digits;
  }
  text += " (";
  for (int64_t i = 0; i < tensor.count(); ++i) {
    text += (i > 0 ? ", " : "") + element_text(tensor, i);
  }
  return text + ")";
}

std::string word_text(const std::string &word) {
  const bool other_meaning = parse_dtype(word).has_value() || word == "inf" || word == "nan";
  return other_meaning ? quoted_text(word) : name_text(word);
}

std::string attribute_text(const AttributeValue &value, const PrintOptions &options) {
  struct Visitor {
    const PrintOptions &options;
    std::string operator()(int64_t number) const { return std::to_string(number); }
    std::string operator()(double number) const { return real_text(number); }
    std::string operator()(const std::string &word) const { return word_text(word); }
    std::string operator()(DType dtype) const { return name_of(dtype); }
    std::string operator()(const std::vector<int64_t> &numbers) const {
      std::string text = "(";
      for (size_t i = 0; i < numbers.size(); ++i) {
        text += (i > 0 ? ", " : "") + std::to_string(numbers[i]);
      }
      return text + ")";
    }
    std::string operator()(const std::vector<Dim> &dims) const { return to_string(dims); }
    std::string operator()(const TensorPtr &tensor) const {
      return tensor_text(*tensor, options.max_constant_elements);
    }
  };
  return std::visit(Visitor{options}, value);
}

// Unique names for the values of one graph. Inputs keep theirs; they are the user's.
class Names {
 public:
  explicit Names(const Graph &graph) {
    for (const Value *input : graph.inputs()) {
      assign(input, input->name.empty() ? "input" : input->name);
    }
    for (const std::unique_ptr<Node> &node : graph.nodes()) {
      for (const std::unique_ptr<Value> &value : node->outputs) {
        const std::string name = readable_name(value->name);
        assign(value.get(), name.empty() ? name_of(node->op) : name);
      }
    }
  }

  const std::string &of(const Value *value) const {
    const auto found = names_.find(value);
    SYLVITE_CHECK(found != names_.end(), "'" + value->name + "' is no value of this graph");
    return found->second;
  }

 private:
  void assign(const Value *value, const std::string &base) {
    std::string name = base;
    if (!taken_.insert(name).second) {
      int &next = next_.try_emplace(base, 2).first->second;
      do {
        name = base + "_" + std::to_string(next++);
      } while (!taken_.insert(name).second);
    }
    names_[value] = name;
  }

  // Letters, digits, dots and underscores of the name; "/encoder/MatMul" becomes encoder_MatMul.
  static std::string readable_name(const std::string &name) {
    std::string text;
    for (const char c : name) {
      if (is_name_character(c)) {
        text += c;
      } else if (!text.empty() && text.back() != '_') {
        text += '_';
      }
    }
    if (!text.empty() && text[0] >= '0' && text[0] <= '9') {
      text.insert(0, "v");
    }
    return text;
  }

  std::unordered_map<const Value *, std::string> names_;
  std::unordered_set<std::string> taken_;
  std::unordered_map<std::string, int> next_;
};

class Printer {
 public:
  Printer(const PrintOptions &options, std::string &text) : options_(options), text_(text) {}

  void graph(const Graph &graph, const std::string &indent) {
    const Names names(graph);
    const std::string inner = indent + "  ";
    text_ += "graph ";
    if (!graph.name.empty()) {
      text_ += name_text(graph.name) + " ";
    }
    header(graph, names, inner);
    facts(graph, inner);
    for (const std::unique_ptr<Node> &each : graph.nodes()) {
      node(*each, names, inner);
    }
    text_ += inner + "return";
    for (size_t i = 0; i < graph.output_count(); ++i) {
      const std::string &value = names.of(graph.output(i));
      text_ += (i > 0 ? ", " : " ") + name_text(value);
      if (graph.output_name(i) != value) {
        text_ += " as " + name_text(graph.output_name(i));
      }
    }
    text_ += "\n" + indent + "}";
  }

 private:
  void header(const Graph &graph, const Names &names, const std::string &inner) {
    std::vector<std::string> inputs;
    size_t width = inner.size() + graph.name.size();
    for (const Value *input : graph.inputs()) {
      inputs.push_back(name_text(names.of(input)) + ": " + to_string(input->type));
      if (graph.parent == nullptr && input->host) {
        inputs.back() += " = " + to_string(*input->host);
      }
      width += inputs.back().size() + 2;
    }
    const bool wide = width > kLineWidth;  // an input a line
    text_ += "(";
    for (size_t i = 0; i < inputs.size(); ++i) {
      text_ += wide ? (i > 0 ? ",\n" : "\n") + inner + "  " : (i > 0 ? ", " : "");
      text_ += inputs[i];
    }
    text_ += ") {\n";
  }

  void facts(const Graph &graph, const std::string &inner) {
    for (const auto &[name, info] : graph.symbols.all()) {
      text_ += inner + "symbol " + Dim::symbol(name).str() + " in [" + std::to_string(info.lower) +
               ", " + (info.upper ? std::to_string(*info.upper) + "]" : "inf)") +
               (info.kind == SymbolKind::Data ? " data" : "") + "\n";
    }
    for (const Guard &guard : graph.guards) {
      text_ += inner + "guard " + guard.left.str() + " == " + guard.right.str() + " " +
               quoted_text(guard.reason) + "\n";
    }
    for (const std::string &warning : graph.warnings) {
      text_ += inner + "warning " + quoted_text(warning) + "\n";
    }
    for (const NearMiss &miss : graph.near_misses) {
      text_ += inner + "near_miss " + quoted_text(miss.kind) + " " + quoted_text(miss.node) + " " +
               quoted_text(miss.condition) + "\n";
    }
  }

  void node(const Node &node, const Names &names, const std::string &inner) {
    text_ += inner;
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      text_ += (i > 0 ? ", " : "") + name_text(names.of(node.output(i)));
    }
    text_ += std::string(" = ") + name_of(node.op);
    const bool leaf = class_of(node.op) == OpClass::Leaf;
    text_ += leaf ? "" : "(";
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      text_ += (i > 0 ? ", " : "") + name_text(names.of(node.input(i)));
    }
    text_ += leaf ? "" : ")";
    bool first = true;
    for (const auto &[name, value] : node.attributes.all()) {
      text_ += (first ? " {" : ", ") + name_text(name) + " = " + attribute_text(value, options_);
      first = false;
    }
    text_ += first ? "" : "}";
    for (size_t i = 0; i < node.regions.size(); ++i) {
      text_ += (i > 0 ? ",\n" : " [\n") + inner + "  ";
      graph(*node.regions[i], inner + "  ");
    }
    text_ += node.regions.empty() ? "" : "\n" + inner + "]";
    if (options_.sources) {
      for (size_t i = 0; i < node.sources.size(); ++i) {
        text_ += (i > 0 ? ", " : " @ ") + quoted_text(node.sources[i]);
      }
    }
    if (options_.types) {
      for (size_t i = 0; i < node.outputs.size(); ++i) {
        text_ += (i > 0 ? ", " : "  // ") + to_string(node.output(i)->type);
      }
    }
    text_ += "\n";
  }

  const PrintOptions &options_;
  std::string &text_;
};

}  // namespace

std::string print(const Graph &graph, const PrintOptions &options) {
  std::string text;
  Printer(options, text).graph(graph, "");
  return text + "\n";
}

}  // namespace sylvite
