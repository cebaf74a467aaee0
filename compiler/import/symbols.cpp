// Dimension names of ONNX are free text: "batch", "unk__12", "batch size", "past_length + length".
// Plain names become symbols; text that reads as an expression over plain names becomes that
// expression; anything else becomes a symbol with a similar name. Dimensions without a name are
// called after input and axis.
//
// A size that an input's dimension names is at least 1, unless told otherwise: exporters mean so,
// and many rules are only provable with it. That of a past, which may be empty, is at least 0.
#include "compiler/import/symbols.h"

#include <algorithm>
#include <cctype>
#include <stdexcept>

#include "compiler/import/element_types.h"
#include "compiler/import/importer.h"
#include "compiler/ir/error.h"

namespace sylvite {
namespace {

constexpr size_t kMaxExpression = 200;

bool is_word(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
}

bool is_plain(const std::string &name) {
  return !name.empty() && std::isdigit(static_cast<unsigned char>(name[0])) == 0 &&
         std::all_of(name.begin(), name.end(), is_word);
}

}  // namespace

std::string as_symbol_name(const std::string &text) {
  std::string name = text.substr(0, 60);
  std::replace_if(name.begin(), name.end(), [](char c) { return !is_word(c); }, '_');
  if (name.empty() || std::isdigit(static_cast<unsigned char>(name[0])) != 0) {
    name = "size_" + name;
  }
  for (const char *reserved :
       {"min", "max", "floor_div", "inf", "in", "graph", "symbol", "guard", "return"}) {
    if (name == reserved) {
      return name + "_size";
    }
  }
  return name;
}

std::set<std::string> past_dimensions(const onnx::GraphProto &graph) {
  // Of each name: the axes along which Concats join something to it, and whether anything but these
  // and Shapes reads it.
  struct Uses {
    std::set<int64_t> axes;
    bool others = false;
  };
  std::map<std::string, Uses> uses;
  for (const onnx::NodeProto &node : graph.node()) {
    int64_t axis = 0;
    for (const onnx::AttributeProto &attribute : node.attribute()) {
      axis = attribute.name() == "axis" ? attribute.i() : axis;
    }
    for (const std::string &name : names_read_by(node)) {
      Uses &use = uses[name];
      if (node.op_type() == "Concat") {
        use.axes.insert(axis);
      } else if (node.op_type() != "Shape") {
        use.others = true;
      }
    }
  }
  std::set<std::string> growing, fixed;
  for (const onnx::ValueInfoProto &input : graph.input()) {
    const Uses &use = uses[input.name()];
    const auto &dims = input.type().tensor_type().shape();
    for (int axis = 0; axis < dims.dim_size(); ++axis) {
      const std::string &name = dims.dim(axis).dim_param();
      if (!is_plain(name)) {
        continue;
      }
      const bool joined = std::all_of(use.axes.begin(), use.axes.end(), [&](int64_t own) {
        return own == axis || own + dims.dim_size() == axis;
      });
      (!use.axes.empty() && joined && !use.others ? growing : fixed).insert(name);
    }
  }
  for (const std::string &name : fixed) {
    growing.erase(name);
  }
  return growing;
}

InputSymbols::InputSymbols(const onnx::GraphProto &graph,
                           const std::map<std::string, int64_t> &fixed,
                           const std::map<std::string, int64_t> &least)
    : fixed_(fixed), least_(least) {
  for (const auto &[name, size] : fixed_) {
    if (size < 0) {
      throw_model_error("the size given for '", printable(name), "' is negative: ", size);
    }
    used_[name] = false;
  }
  // Plain names first: expressions may only be made of these.
  for (const onnx::ValueInfoProto &input : graph.input()) {
    for (const auto &dim : input.type().tensor_type().shape().dim()) {
      if (is_plain(dim.dim_param())) {
        symbol_name(dim.dim_param());
      }
    }
  }
}

const std::string &InputSymbols::symbol_name(const std::string &dimension) {
  const auto known = symbols_.find(dimension);
  if (known != symbols_.end()) {
    return known->second;
  }
  const std::string base = as_symbol_name(dimension);
  std::string name = base;
  for (int &number = next_number_[base]; taken_.count(name) != 0;) {
    number = std::max(number + 1, 2);
    name = base + "_" + std::to_string(number);
  }
  taken_[name] = false;
  return symbols_[dimension] = name;
}

Dim InputSymbols::symbol(const std::string &name) {
  const std::string &symbol = symbol_name(name);
  for (const std::string &key : {name, symbol}) {
    const auto size = fixed_.find(key);
    if (size != fixed_.end()) {
      used_[key] = true;
      taken_[symbol] = true;
      return size->second;
    }
  }
  return Dim::symbol(symbol);
}

Dim InputSymbols::dim_of(const onnx::ValueInfoProto &input, int axis) {
  const auto &dim = input.type().tensor_type().shape().dim(axis);
  const std::string place = input.name() + ":" + std::to_string(axis);
  if (dim.has_dim_value() && dim.dim_value() < -1) {
    throw_model_error("input '", input.name(), "' has the negative size ", dim.dim_value(),
                      " on axis ", axis);
  }
  if (dim.has_dim_value() && dim.dim_value() >= 0) {
    return dim.dim_value();
  }
  const auto size = fixed_.find(place);
  if (size != fixed_.end()) {
    used_[place] = true;
    return size->second;
  }
  const std::string &name = dim.dim_param();
  if (name.empty() || name == "?" || name == "None") {
    return symbol(input.name() + "_" + std::to_string(axis));
  }
  if (is_plain(name) || name.size() > kMaxExpression) {
    return symbol(name);
  }
  try {
    const Dim expression = parse_dim(name);
    if (expression.is_constant()) {
      return symbol(name);
    }
    std::map<std::string, Dim> replacements;
    for (const std::string &part : symbols_of(expression)) {
      if (symbols_.count(part) == 0) {
        return symbol(name);
      }
      replacements[part] = symbol(part);
    }
    return substitute(expression, replacements);
  } catch (const std::invalid_argument &) {
    return symbol(name);
  }
}

TensorType InputSymbols::type_of(const onnx::ValueInfoProto &input) {
  if (!input.type().has_tensor_type()) {
    throw_model_error("input '", input.name(),
                      "' is not a tensor; sequences, maps and optionals are not supported");
  }
  const auto &tensor = input.type().tensor_type();
  if (!tensor.has_shape()) {
    throw_model_error("input '", input.name(),
                      "' has no shape; its number of dimensions must be known");
  }
  if (tensor.shape().dim_size() > kMaxRank) {
    throw_model_error("input '", input.name(), "' has ", tensor.shape().dim_size(),
                      " dimensions; at most ", kMaxRank, " are supported");
  }
  TensorType type;
  try {
    type.dtype = dtype_of_onnx(tensor.elem_type());
    for (int axis = 0; axis < tensor.shape().dim_size(); ++axis) {
      type.shape.push_back(dim_of(input, axis));
    }
  } catch (const DimOverflow &) {
    throw_model_error("input '", input.name(), "' has a size out of range");
  } catch (const ModelError &error) {
    const std::string text = error.what();
    throw_model_error(text.rfind("input", 0) == 0 ? "" : "input '" + input.name() + "': ", text);
  }
  return type;
}

void InputSymbols::declare(SymbolTable &table) const {
  for (const auto &[name, is_fixed] : taken_) {
    if (!is_fixed) {
      const auto least = least_.find(name);
      table.declare(name, {SymbolKind::Input, least == least_.end() ? 1 : least->second, {}});
    }
  }
  for (const auto &[name, used] : used_) {
    if (!used) {
      std::string known;
      for (const auto &[symbol, is_fixed] : taken_) {
        known += (known.empty() ? "" : ", ") + symbol;
      }
      throw_model_error("no size is called '", printable(name), "'; there are: ", known);
    }
  }
}

}  // namespace sylvite
