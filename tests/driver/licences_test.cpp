// What a program's --licences prints.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "compiler/driver/version.h"

namespace sylvite {
namespace {

using ::testing::HasSubstr;

TEST(Licences, NameWhatProgramsHold) {
  const std::string text = licences();
  for (const char *const part : {"musl libc", "stb_image", "SentencePiece's lite runtime",
                                 "FlatBuffers", "libc++", "The MIT licence:"}) {
    EXPECT_THAT(text, HasSubstr(part));
  }
  // SentencePiece and FlatBuffers ask for a copy of it.
  EXPECT_THAT(text, HasSubstr("Apache License\n                           Version 2.0"));
  EXPECT_THAT(text, HasSubstr("8. Limitation of Liability."));
}

}  // namespace
}  // namespace sylvite
