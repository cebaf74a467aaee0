// The text cases of a pass:
//
//   prepare: form_kernels, fuse_views      (optional, first: passes that run before, in every case)
//   == what the case shows
//   graph ... { ... }
//   -- expect                              (or `-- expect same`: the pass must leave it alone)
//   graph ... { ... }
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace sylvite {

struct GoldenCase {
  std::string title, input, expected;
  bool same = false;
};

struct GoldenFile {
  std::string head;                  // comments and the prepare line, as they stand
  std::vector<std::string> prepare;  // passes
  std::vector<GoldenCase> cases;
};

// tests/passes/<pass>.txt
std::filesystem::path golden_path(const std::string &pass);
GoldenFile read_golden(const std::filesystem::path &path);

}  // namespace sylvite
