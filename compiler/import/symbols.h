// The types of a model's inputs, and the symbols that its named and unnamed dimensions stand for.
// Internal to the importer: includes ONNX.
#pragma once

#include <onnx/onnx_pb.h>

#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "compiler/ir/dims.h"
#include "compiler/ir/graph.h"

namespace sylvite {

// A word of the IR's text form in place of any text.
std::string as_symbol_name(const std::string &text);

// The named dimensions that may be empty: those of inputs to which the graph only ever joins
// something along that axis, a decoder's past.
std::set<std::string> past_dimensions(const onnx::GraphProto &graph);

class InputSymbols {
 public:
  // `fixed`: sizes by symbol, by dimension name or by "input:axis".
  // `least`: lower bounds other than 1, by symbol or by dimension name.
  InputSymbols(const onnx::GraphProto &graph, const std::map<std::string, int64_t> &fixed,
               const std::map<std::string, int64_t> &least);

  // Throws ModelError (without the file's name) for inputs that are no tensors or have no rank.
  TensorType type_of(const onnx::ValueInfoProto &input);
  // Declares the symbols that occurred. Throws ModelError when a fixed size belongs to none.
  void declare(SymbolTable &table) const;

 private:
  Dim dim_of(const onnx::ValueInfoProto &input, int axis);
  Dim symbol(const std::string &name);
  const std::string &symbol_name(const std::string &dimension);

  std::map<std::string, int64_t> fixed_, least_;
  std::map<std::string, bool> used_;            // which of them were
  std::map<std::string, std::string> symbols_;  // dimension name -> symbol
  std::map<std::string, int> next_number_;      // of symbols with the same base
  std::map<std::string, bool> taken_;           // symbols in use, and whether their size is fixed
};

}  // namespace sylvite
