// What now runs, for the messages of internal errors. One string a thread: scopes nest on the
// stack.
#include "compiler/ir/error.h"

#include <utility>

namespace sylvite {
namespace {
thread_local std::string running;
}  // namespace

RunningScope::RunningScope(std::string what) : previous_(std::exchange(running, std::move(what))) {}

RunningScope::~RunningScope() {
  running = std::move(previous_);
}

void check_failed(const char *condition, const char *file, int line, const std::string &detail) {
  std::ostringstream text;
  text << "internal error at " << file << ":" << line << ": " << condition;
  if (!detail.empty()) {
    text << ": " << detail;
  }
  if (!running.empty()) {
    text << " (while running " << running << ")";
  }
  throw InternalError(text.str());
}

}  // namespace sylvite
