#include "tests/passes/golden_file.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

namespace sylvite {

std::filesystem::path golden_path(const std::string &pass) {
  return std::filesystem::path(SYLVITE_SOURCE_DIR) / "tests" / "passes" / (pass + ".txt");
}

GoldenFile read_golden(const std::filesystem::path &path) {
  std::ifstream stream(path);
  GoldenFile file;
  std::string line;
  std::string *part = &file.head;
  while (std::getline(stream, line)) {
    if (line.starts_with("== ")) {
      file.cases.push_back({line.substr(3), "", "", false});
      part = &file.cases.back().input;
      continue;
    }
    if (line.starts_with("-- expect")) {
      EXPECT_FALSE(file.cases.empty()) << path;
      file.cases.back().same = line == "-- expect same";
      part = &file.cases.back().expected;
      continue;
    }
    if (file.cases.empty() && line.starts_with("prepare:")) {
      std::istringstream names(line.substr(8));
      for (std::string name; std::getline(names, name, ',');) {
        file.prepare.push_back(name.substr(name.find_first_not_of(' ')));
      }
    }
    *part += line + "\n";
  }
  return file;
}

}  // namespace sylvite
