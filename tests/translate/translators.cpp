#include "tests/translate/translators.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <sstream>

namespace sylvite::testing {

namespace fs = std::filesystem;
using nlohmann::json;

fs::path example_folder() {
  return fs::path(SYLVITE_SOURCE_DIR) / "examples" / "translate";
}

std::optional<fs::path> corpus() {
  const char *const folder = std::getenv("SYLVITE_CORPUS");
  return folder == nullptr || *folder == 0 ? std::nullopt : std::optional<fs::path>(folder);
}

std::optional<fs::path> model_called(const std::string &name) {
  const fs::path bundled = fs::path(SYLVITE_SOURCE_DIR) / "tests" / "models" / name;
  if (fs::is_directory(bundled)) {
    return bundled;
  }
  if (corpus() && fs::is_directory(*corpus() / "corpus" / name)) {
    return *corpus() / "corpus" / name;
  }
  return std::nullopt;
}

json read_json(const fs::path &file) {
  return json::parse(read_file_text(file.string()));
}

json word_list_case(const std::string &model) {
  static const json all =
      read_json(fs::path(SYLVITE_SOURCE_DIR) / "tests" / "translate" / "word-lists.json");
  return all.at(model);
}

FolderOfLinks::FolderOfLinks(const fs::path &of) {
  for (const fs::directory_entry &entry : fs::directory_iterator(of)) {
    fs::create_symlink(entry.path(), path(entry.path().filename().string()));
  }
}

void FolderOfLinks::remove(const std::string &name) const {
  EXPECT_TRUE(fs::remove(path(name))) << name;
}

void FolderOfLinks::write(const std::string &name, const std::string &text) const {
  fs::remove(path(name));  // not what a link leads to
  write_file_text(path(name), text);
}

void FolderOfLinks::write(const std::string &name, const json &content) const {
  write(name, content.dump(1));
}

void add_word_list(const FolderOfLinks &folder, const json &words) {
  std::string list;
  for (int i = 0; i < words.at("words").get<int>(); ++i) {
    list += "w" + std::to_string(i) + "\n";
  }
  folder.write("words.txt", list);
  folder.write("sylvite.json", words.at("manifest"));
}

std::string lines_of_words(const json &sentences) {
  std::string text;
  for (const json &sentence : sentences) {
    std::string line;
    for (const json &id : sentence) {
      line += (line.empty() ? "w" : " w") + std::to_string(id.get<int>());
    }
    text += line + "\n";
  }
  return text;
}

std::string compile_translator(const std::string &folder, const std::string &program) {
  const CommandResult result = run_sylvite({"compile", folder, "-o", program});
  EXPECT_EQ(result.status, 0) << result.err;
  return result.status == 0 ? program : "";
}

std::string joined(const std::vector<std::string> &lines) {
  std::string text;
  for (const std::string &line : lines) {
    text += line + "\n";
  }
  return text;
}

}  // namespace sylvite::testing
