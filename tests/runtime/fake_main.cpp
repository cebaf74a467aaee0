// A standalone program of the model written by hand: the descriptor that a plan object defines.
// With SYLVITE_FAKE_WRONG in the environment its results are wrong.
#include <cstdlib>

#include "tests/runtime/fake_program.h"

namespace {

const sylvite_program &program_or_wrong_one() {
  sylvite::testing::fake_state().factor =
      std::getenv("SYLVITE_FAKE_WRONG") != nullptr ? 2.0f : 1.0f;
  return sylvite::testing::fake_program();
}

}  // namespace

extern "C" const sylvite_program sylvite_program_descriptor = program_or_wrong_one();
