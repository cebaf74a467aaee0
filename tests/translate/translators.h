// Folders of translation models, put together as a test wants them, and their programs.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "tests/driver/run_command.h"

namespace sylvite::testing {

std::filesystem::path example_folder();  // examples/translate
// The folder of tests/models or of the corpus that holds this model; nothing where there is none.
std::optional<std::filesystem::path> model_called(const std::string &name);
std::optional<std::filesystem::path> corpus();  // $SYLVITE_CORPUS

nlohmann::json read_json(const std::filesystem::path &file);
// A case of word-lists.json: manifest, words, sources, targets.
nlohmann::json word_list_case(const std::string &model);

// A folder of links to another one's files, some of which a test then removes or writes anew.
class FolderOfLinks {
 public:
  explicit FolderOfLinks(const std::filesystem::path &of);
  FolderOfLinks() = default;  // empty

  std::string path() const { return temporary_.path().string(); }
  std::string path(const std::string &name) const { return temporary_.path(name); }
  void remove(const std::string &name) const;
  void write(const std::string &name, const std::string &text) const;
  void write(const std::string &name, const nlohmann::json &content) const;

 private:
  TemporaryFolder temporary_;
};

// The folder of a word list's case, with its manifest and its words w0, w1, ...
void add_word_list(const FolderOfLinks &folder, const nlohmann::json &words);
// "w5 w7" of each list of ids, a line each.
std::string lines_of_words(const nlohmann::json &sentences);

// `sylvite compile`; a failure fails the test and gives an empty name.
std::string compile_translator(const std::string &folder, const std::string &program);

std::vector<std::string> lines_of(const std::string &text);
std::string joined(const std::vector<std::string> &lines);

}  // namespace sylvite::testing
