// From a file to a Graph: maps the file, bounds and strips it (wire.cpp), has Protobuf parse what
// is left, walks the model (importer.cpp). All errors leave with the file's name in front.
#include "compiler/import/import.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/stubs/logging.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <set>

#include "compiler/import/importer.h"
#include "compiler/import/model_file.h"
#include "compiler/import/symbols.h"
#include "compiler/import/wire.h"
#include "compiler/ir/error.h"

namespace sylvite {
namespace {

// wire.cpp has bounded the depth already.
constexpr int kRecursionLimit = 1000;

void parse(const std::string &skeleton, onnx::ModelProto &model) {
  // Protobuf would write what it finds wrong to stderr.
  const google::protobuf::LogSilencer silence;
  google::protobuf::io::CodedInputStream stream(reinterpret_cast<const uint8_t *>(skeleton.data()),
                                                static_cast<int>(skeleton.size()));
  stream.SetRecursionLimit(kRecursionLimit);
  if (!model.ParseFromCodedStream(&stream) || !stream.ConsumedEntireMessage()) {
    throw_model_error("not an ONNX model: Protobuf cannot read it");
  }
}

uint64_t hash_of(const MappedFile &file, const ExternalData &external) {
  XXH3_state_t state;
  XXH3_64bits_reset(&state);
  XXH3_64bits_update(&state, file.bytes().data(), file.bytes().size());
  for (const auto &[location, data] : external.files()) {
    XXH3_64bits_update(&state, location.data(), location.size());
    XXH3_64bits_update(&state, data->bytes().data(), data->bytes().size());
  }
  return XXH3_64bits_digest(&state);
}

void collect_external(const onnx::TensorProto &tensor, std::set<std::string> &locations) {
  for (const auto &entry : tensor.external_data()) {
    if (entry.key() == "location") {
      locations.insert(entry.value());
    }
  }
}

// The external data of a graph, whether it is read or not.
void collect_external(const onnx::GraphProto &graph, std::set<std::string> &locations) {
  for (const onnx::TensorProto &tensor : graph.initializer()) {
    collect_external(tensor, locations);
  }
  for (const onnx::NodeProto &node : graph.node()) {
    for (const onnx::AttributeProto &attribute : node.attribute()) {
      if (attribute.has_t()) {
        collect_external(attribute.t(), locations);
      }
      if (attribute.has_g()) {
        collect_external(attribute.g(), locations);
      }
    }
  }
}

// Each time begins with symbols for the contents of one input more, at least.
std::unique_ptr<Graph> import_with(const onnx::ModelProto &model, const TensorSource &tensors,
                                   const ImportOptions &options) {
  std::set<std::string> contents;
  while (true) {
    try {
      return Importer(model, tensors, options, contents).run();
    } catch (const ContentsNeeded &needed) {
      contents.insert(needed.inputs.begin(), needed.inputs.end());
    }
  }
}

// Pasts may be empty, unless that leaves something of the model undecided.
std::unique_ptr<Graph> import_graph(const onnx::ModelProto &model, const TensorSource &tensors,
                                    const ImportOptions &options) {
  ImportOptions with_pasts = options;
  for (const std::string &name : past_dimensions(model.graph())) {
    with_pasts.least_sizes.try_emplace(name, 0);
  }
  if (with_pasts.least_sizes.size() > options.least_sizes.size()) {
    try {
      return import_with(model, tensors, with_pasts);
    } catch (const ModelError &) {
      return import_with(model, tensors, options);
    }
  }
  return import_with(model, tensors, options);
}

ImportedModel import_file(const std::filesystem::path &path, const ImportOptions &options) {
  const auto file = std::make_shared<const MappedFile>(path);
  const ModelSkeleton skeleton = read_skeleton(file->bytes());
  onnx::ModelProto model;
  parse(skeleton.bytes, model);
  ExternalData external(path);
  ImportedModel imported;
  imported.graph = import_graph(model, {&skeleton.data, file, &external}, options);
  imported.hash = hash_of(*file, external);
  std::set<std::string> locations;
  collect_external(model.graph(), locations);
  imported.files.push_back(path);
  for (const std::string &location : locations) {
    imported.files.push_back(path.parent_path() / location);
  }
  imported.producer =
      printable(model.producer_name() + (model.producer_version().empty() ? "" : " ") +
                model.producer_version());
  for (const auto &import : model.opset_import()) {
    if (is_standard_domain(import.domain())) {
      imported.opset = import.version();
    }
  }
  return imported;
}

}  // namespace

ImportedModel import_onnx(const std::filesystem::path &file, const ImportOptions &options) {
  try {
    return import_file(file, options);
  } catch (const ModelError &error) {
    throw_model_error(file.string(), ": ", error.what());
  } catch (const DimOverflow &error) {
    throw_model_error(file.string(), ": ", error.what());
  }
}

}  // namespace sylvite
