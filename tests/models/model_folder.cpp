#include "tests/models/model_folder.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>

namespace sylvite::testing {
namespace {

namespace fs = std::filesystem;

// With several graphs these are maps by file name.
nlohmann::json part_for(const nlohmann::json &all, const std::string &file) {
  return all.contains(file) ? all[file] : all;
}

void add_folders(const fs::path &parent, std::map<std::string, fs::path> &folders) {
  std::error_code error;
  for (const fs::directory_entry &entry : fs::directory_iterator(parent, error)) {
    if (fs::exists(entry.path() / "meta.json")) {
      folders[entry.path().filename().string()] = entry.path();
    }
  }
}

}  // namespace

ModelFolder read_model_folder(const fs::path &folder) {
  std::ifstream stream(folder / "meta.json");
  const nlohmann::json meta = nlohmann::json::parse(stream);
  ModelFolder model;
  model.name = folder.filename().string();
  model.stage = meta.value("stage", "");
  model.rtol = meta.value("rtol", 1e-4);
  model.atol = meta.value("atol", 1e-4);
  for (const auto &[file, cases] : meta["files"].items()) {
    GraphFile graph;
    graph.file = folder / file;
    for (const auto &[name, pair] : cases.items()) {
      graph.cases[name] = {folder / pair[0].get<std::string>(),
                           folder / pair[1].get<std::string>()};
    }
    const nlohmann::json expect = part_for(meta["expect"], file);
    const nlohmann::json dynamic = part_for(meta["dynamic"], file);
    for (const auto &[kind, count] : expect.items()) {
      if (count.is_number_integer()) {
        graph.expect[kind] = count.get<int>();
      }
    }
    for (const auto &[input, axes] : dynamic.items()) {
      for (const auto &[axis, name] : axes.items()) {
        graph.dynamic[input][std::stoi(axis)] = name.get<std::string>();
      }
    }
    model.graphs.push_back(std::move(graph));
  }
  return model;
}

fs::path bundled_models() {
  return fs::path(SYLVITE_SOURCE_DIR) / "tests/models";
}

std::vector<std::string> working_models() {
  std::ifstream stream(bundled_models() / "working.txt");
  std::vector<std::string> names;
  for (std::string line; std::getline(stream, line);) {
    if (!line.empty() && line[0] != '#' && !find_model_folder(line).empty()) {
      names.push_back(line);
    }
  }
  return names;
}

std::vector<std::string> bundled_names() {
  std::map<std::string, fs::path> folders;
  add_folders(bundled_models(), folders);
  std::vector<std::string> names;
  for (const auto &[name, folder] : folders) {
    names.push_back(name);
  }
  return names;
}

std::map<std::string, fs::path> corpus_folders() {
  std::map<std::string, fs::path> folders;
  if (const char *corpus = std::getenv("SYLVITE_CORPUS"); corpus != nullptr && *corpus != '\0') {
    add_folders(corpus, folders);
    add_folders(fs::path(corpus) / "corpus", folders);
  }
  return folders;
}

fs::path find_model_folder(const std::string &name) {
  if (fs::exists(bundled_models() / name)) {
    return bundled_models() / name;
  }
  static const std::map<std::string, fs::path> corpus = corpus_folders();
  const auto found = corpus.find(name);
  return found == corpus.end() ? fs::path() : found->second;
}

std::map<std::string, int64_t> plan_sizes(const Plan &plan, const GraphFile &graph,
                                          const std::map<std::string, int64_t> &sizes) {
  std::map<std::string, int64_t> symbols;
  for (const PlanTensor &input : plan.inputs) {
    const std::map<std::string, std::map<int, std::string>>::const_iterator axes =
        graph.dynamic.find(input.name);
    if (axes == graph.dynamic.end()) {
      continue;
    }
    for (const auto &[axis, name] : axes->second) {
      const std::optional<std::string> symbol =
          input.type.shape.at(static_cast<size_t>(axis)).as_symbol();
      if (symbol && sizes.count(name) != 0) {
        symbols[*symbol] = sizes.at(name);
      }
    }
  }
  for (const PlanBinding &binding : plan.bindings) {
    symbols.try_emplace(binding.symbol, binding.contents ? 5 : 1);
  }
  return symbols;
}

std::string test_name(const ::testing::TestParamInfo<std::string> &info) {
  std::string name = info.param;
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
  return name;
}

}  // namespace sylvite::testing
