// ONNX model file -> Graph.
//
// Reads the file (mapped; tensors become borrowed ranges of the mapping before Protobuf copies
// them), checks it as hostile, inlines model-local functions, decomposes standard ops that have no
// direct form by their own function bodies, carries shape computations as host values, and builds
// the graph in topological order. Every mistake of the model is a ModelError: one line, or several
// joined by '\n' where all are reported at once (unsupported ops).
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "compiler/ir/graph.h"

namespace sylvite {

struct ImportedModel {
  std::unique_ptr<Graph> graph;
  uint64_t hash = 0;  // of the model file's bytes and of its external data
  // The model's file and the files of external data that it names.
  std::vector<std::filesystem::path> files;
  int64_t opset = 0;
  std::string producer;
};

struct ImportOptions {
  // "input:axis=size" pairs of the command line: fixes a symbol ("batch" -> 1).
  std::map<std::string, int64_t> fixed_symbols = {};
  // Inputs of one element that become constants: the boolean that chooses an If's branch.
  std::map<std::string, int64_t> fixed_inputs = {};
  // Lower bounds of symbols, where other than 1: 0 for a past that may be empty.
  std::map<std::string, int64_t> least_sizes = {};
};
ImportedModel import_onnx(const std::filesystem::path &file, const ImportOptions &options = {});

// The ops the importer knows, for the generated table in docs/: name, since-opset, how ("direct",
// "function body").
struct SupportedOp {
  std::string domain, name, how;
};
std::vector<SupportedOp> supported_ops();

}  // namespace sylvite
