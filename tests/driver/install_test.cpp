// `cmake --install` gives a folder that works after it is moved, without the build tree.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "tests/driver/run_command.h"

namespace sylvite::testing {
namespace {

TEST(Install, WorksAfterItIsMoved) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the release build is what is installed";
#endif
  TemporaryFolder folder;
  const CommandResult install = run_command(
      {SYLVITE_CMAKE, "--install", SYLVITE_BUILD_DIR, "--prefix", folder.path("first")});
  ASSERT_EQ(install.status, 0) << install.out << install.err;
  std::filesystem::rename(folder.path("first"), folder.path("moved"));
  const std::string model = SYLVITE_SOURCE_DIR "/tests/models/vit-ts17-sdpa/model.onnx";
  const CommandResult compiled =
      run_command({folder.path("moved/bin/sylvite"), "compile", model, "-o", folder.path("program"),
                   "--target", "x86-64-v3"});
  ASSERT_EQ(compiled.status, 0) << compiled.err;
  const CommandResult tested = run_command({folder.path("program"), "--selftest"});
  EXPECT_EQ(tested.status, 0) << tested.out << tested.err;
  // What applications link stands in it too.
  const CommandResult library =
      run_command({folder.path("moved/bin/sylvite"), "compile", model, "--emit=lib", "-o",
                   folder.path("library"), "--target", "x86-64-v3"});
  EXPECT_EQ(library.status, 0) << library.err;
  for (const char *name :
       {"lib/libmodel.a", "lib/libsylvite_runtime.a", "include/sylvite/translator.hpp"}) {
    EXPECT_TRUE(std::filesystem::exists(folder.path("library/" + std::string(name)))) << name;
  }
  // The libraries that stand beside it are the ones that it uses.
  const CommandResult libraries =
      run_command({"/usr/bin/env", "LD_TRACE_LOADED_OBJECTS=1", folder.path("moved/bin/sylvite")});
  EXPECT_THAT(libraries.out, ::testing::HasSubstr(folder.path("moved/bin/../lib/libHalide.so")));
  EXPECT_THAT(libraries.out, ::testing::Not(::testing::HasSubstr(SYLVITE_SOURCE_DIR)));
}

}  // namespace
}  // namespace sylvite::testing
