// Compiling real kernels: the same bytes whatever the cache and the number of jobs.
#include "compiler/codegen/compile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "compiler/ir/text.h"
#include "compiler/link/temporary.h"
#include "tests/codegen/sample_plan.h"

namespace sylvite {
namespace {

namespace fs = std::filesystem;
using Objects = std::vector<std::vector<char>>;

constexpr const char *kGraph = R"(graph g (x: f32[n, 40], y: f32[n, 40]) {
  symbol n in [1, inf)
  a = kernel(x, y) {root = "none"} [graph (x: f32[n, 40], y: f32[n, 40]) { z = add(x, y) return z }]
  b = kernel(a, x) {root = "none"} [graph (x: f32[n, 40], y: f32[n, 40]) { z = mul(x, y) return z }]
  c = kernel(b, x) {root = "none"} [graph (x: f32[n, 40], y: f32[n, 40]) { z = sub(x, y) return z }]
  return c as result
})";

struct Compiled {
  Objects objects;
  std::vector<std::string> progress;
};

Compiled compile(const fs::path &cache, int jobs) {
  const std::unique_ptr<Graph> graph = parse_graph(kGraph);
  Plan plan = make_plan(*graph);
  const ProgramInfo info = sample_info();
  CompileOptions options;
  options.cache_dir = cache;
  options.jobs = jobs;
  Compiled compiled;
  options.progress = [&](int done, int total, const std::string &what) {
    compiled.progress.push_back(std::to_string(done) + "/" + std::to_string(total) + " " + what);
  };
  compiled.objects = compile_objects(plan, make_weight_image(plan, info), info, options);
  return compiled;
}

std::vector<fs::path> entries(const fs::path &folder) {
  std::vector<fs::path> paths;
  for (const fs::directory_entry &file : fs::directory_iterator(folder)) {
    paths.push_back(file.path());
  }
  return paths;
}

TEST(Compile, CacheAndJobsDoNotChangeABit) {
  const TemporaryFolder folder;
  const Compiled plain = compile("", 1);
  EXPECT_EQ(plain.objects.size(), 7u);  // three kernels for two levels, and the plan
  EXPECT_THAT(plain.progress, testing::SizeIs(6));
  EXPECT_EQ(plain.progress.front(), "1/6 k0");
  EXPECT_EQ(compile(folder.path(), 4).objects, plain.objects);
  EXPECT_EQ(entries(folder.path()).size(), 6u);
  EXPECT_EQ(compile(folder.path(), 2).objects, plain.objects);
}

// What is in the cache is what is linked, and a damaged entry is made anew.
TEST(Compile, TakesWholeEntriesAndReplacesDamagedOnes) {
  const TemporaryFolder folder;
  const Compiled plain = compile(folder.path(), 2);
  const auto written = [&] {
    std::vector<fs::file_time_type> times;
    for (const fs::path &entry : entries(folder.path())) {
      times.push_back(fs::last_write_time(entry));
    }
    return times;
  };
  const auto before = written();
  compile(folder.path(), 2);
  EXPECT_EQ(written(), before) << "all entries were good";
  const fs::path damaged = entries(folder.path()).front();
  const auto size = fs::file_size(damaged);
  fs::resize_file(damaged, size / 2);
  EXPECT_EQ(compile(folder.path(), 2).objects, plain.objects);
  EXPECT_EQ(fs::file_size(damaged), size);
}

}  // namespace
}  // namespace sylvite
