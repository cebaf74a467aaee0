// Runs a program as a user's shell would, and keeps what it said.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tests/temporary_folder.h"

namespace sylvite::testing {

struct CommandOptions {
  std::map<std::string, std::string> environment;  // in addition to ours
  std::string folder;                              // to run in
  std::string root;         // chroot into it first; `words` are paths in there
  std::string input;        // on standard input
  int64_t most_memory = 0;  // bytes that are in no file and may be written (RLIMIT_DATA); 0: any
};
struct CommandResult {
  int status = -1;  // exit code; 128 + the signal's number for a death
  std::string out, err;
  double seconds = 0;
  int64_t peak_bytes = 0;   // of memory
  bool could_start = true;  // false: no right to chroot here
};
CommandResult run_command(const std::vector<std::string> &words,
                          const CommandOptions &options = {});

// build/bin/sylvite.
std::string sylvite_binary();
CommandResult run_sylvite(std::vector<std::string> words, const CommandOptions &options = {});

std::string read_file_text(const std::string &file);
void write_file_text(const std::string &file, const std::string &text);
std::vector<std::string> lines_of(const std::string &text);

}  // namespace sylvite::testing
