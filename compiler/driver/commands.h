// The subcommands: each adds itself, its flags and its help to the application.
#pragma once

#include <stdexcept>
#include <string>

namespace CLI {
class App;
}

namespace sylvite {

// The command line asks for something that cannot be: exit code 2. Everything that parses is
// checked before work begins.
struct UsageError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// What a subcommand found, where that decides the exit code: `verify` says 1 for a result that is
// off.
struct ExitCode {
  int value = 0;
};

void add_compile_command(CLI::App &app);
void add_verify_command(CLI::App &app, ExitCode &exit_code);
void add_inspect_command(CLI::App &app);
void add_passes_command(CLI::App &app);
void add_bench_command(CLI::App &app);
void add_ops_command(CLI::App &app);
void add_init_command(CLI::App &app);

}  // namespace sylvite
