// One line on the terminal that says what is going on; nothing where stderr is no terminal.
#pragma once

#include <mutex>
#include <string>

namespace sylvite {

class ProgressLine {
 public:
  explicit ProgressLine(std::string subject);
  ~ProgressLine() { clear(); }
  ProgressLine(const ProgressLine &) = delete;
  ProgressLine &operator=(const ProgressLine &) = delete;

  // Replaces the line; safe from several threads.
  void show(const std::string &what);
  void show(int done, int total, const std::string &what);
  void clear();

 private:
  std::string subject_;
  bool terminal_;
  bool shown_ = false;
  std::mutex mutex_;
};

}  // namespace sylvite
