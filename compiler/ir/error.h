// The two kinds of failure, which never look alike.
//
// ModelError: the user's model or input is wrong. One line that names the place in the user's own
// terms, what was expected, what was found and, where there is one, the remedy. Tools print it and
// exit with 1. SYLVITE_CHECK: we are wrong. Prints file, line and the pass or kernel now running;
// tools exit with 70.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace sylvite {

struct ModelError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// throw_model_error("node '", name, "': expected ", 2, " inputs")
template <typename... Parts>
[[noreturn]] void throw_model_error(const Parts &...parts) {
  std::ostringstream text;
  (text << ... << parts);
  throw ModelError(text.str());
}

struct InternalError : std::logic_error {
  using std::logic_error::logic_error;
};

// Names what now runs ("pass fuse_attention", "kernel k3_matmul") for internal errors; restores on
// exit.
class RunningScope {
 public:
  explicit RunningScope(std::string what);
  ~RunningScope();
  RunningScope(const RunningScope &) = delete;
  RunningScope &operator=(const RunningScope &) = delete;

 private:
  std::string previous_;
};

// Throws InternalError; mains turn it into exit code 70.
[[noreturn]] void check_failed(const char *condition, const char *file, int line,
                               const std::string &detail);

}  // namespace sylvite

#define SYLVITE_CHECK(condition, ...)                                                      \
  do {                                                                                     \
    if (!(condition)) {                                                                    \
      ::sylvite::check_failed(#condition, __FILE__, __LINE__, ::std::string{__VA_ARGS__}); \
    }                                                                                      \
  } while (false)
