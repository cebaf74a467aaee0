// The `sylvite` command: parses the command line, runs one subcommand, and turns what went wrong
// into one clear line and an exit code: 1 the model or a file is bad, 2 the command line is, 70
// Sylvite is.
#include <CLI/CLI.hpp>
#include <exception>
#include <iostream>
#include <new>
#include <sstream>
#include <string>
#include <vector>

#include "compiler/driver/commands.h"
#include "compiler/driver/version.h"
#include "compiler/ir/dims.h"
#include "compiler/ir/error.h"

namespace sylvite {
namespace {

constexpr int kBadModel = 1, kBadUsage = 2, kOurBug = 70;

// Several lines where several mistakes were found at once.
void print_lines(const std::string &text) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::cerr << "sylvite: " << line << "\n";
  }
}

int report_bug(const std::string &what) {
  print_lines(what);
  std::cerr << "sylvite: this is a bug in sylvite " << compiler_version()
            << "; please report it together with the model\n";
  return kOurBug;
}

constexpr const char *kExamples = R"(Examples:
  sylvite compile vit.onnx -o vit                 a program that does what the model does
  ./vit --inputs in.npz --outputs out.npz
  sylvite compile vit.onnx -o digits --task=classify
  ./digits photo.png scans/                       ... and here names what it sees
  sylvite compile vit.onnx --emit=lib -o vit-lib  ... or a library, headers and a CMake package
  sylvite inspect vit.onnx                        what was understood and fused
  sylvite verify vit.onnx --inputs in.npz --expected out.npz
  sylvite bench vit.onnx --size batch=8           how fast each kernel is

`sylvite COMMAND --help` says more.
Exit status: 0 done, 1 the model or a file is bad, 2 wrong usage, 70 a bug in sylvite.)";

// A full disk shows when the last of the text is written.
void check_standard_output() {
  std::cout.flush();
  if (!std::cout) {
    throw ModelError("cannot write to standard output");
  }
}

int run(int argc, char **argv) {
  CLI::App app(
      "Sylvite compiles transformer models from ONNX to standalone native programs and "
      "libraries.",
      "sylvite");
  app.set_version_flag("--version", compiler_version());
  app.require_subcommand(1);
  app.footer(kExamples);
  ExitCode exit_code;
  add_compile_command(app);
  add_verify_command(app, exit_code);
  add_inspect_command(app);
  add_passes_command(app);
  add_bench_command(app);
  add_ops_command(app);
  add_init_command(app);
  if (argc == 1) {
    std::cerr << app.help();
    return kBadUsage;
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success &success) {  // --help, --version
    const int code = app.exit(success);
    check_standard_output();
    return code;
  } catch (const CLI::ParseError &error) {
    const std::vector<CLI::App *> commands = app.get_subcommands();
    throw UsageError(std::string(error.what()) + "; see `sylvite " +
                     (commands.empty() ? "" : commands.front()->get_name() + " ") + "--help`");
  }
  check_standard_output();
  return exit_code.value;
}

}  // namespace
}  // namespace sylvite

int main(int argc, char **argv) {
  try {
    return sylvite::run(argc, argv);
  } catch (const sylvite::UsageError &error) {
    sylvite::print_lines(error.what());
    return sylvite::kBadUsage;
  } catch (const sylvite::ModelError &error) {
    sylvite::print_lines(error.what());
    return sylvite::kBadModel;
  } catch (const sylvite::DimOverflow &error) {
    sylvite::print_lines(error.what());
    return sylvite::kBadModel;
  } catch (const std::bad_alloc &) {
    sylvite::print_lines("out of memory");
    return sylvite::kBadModel;
  } catch (const sylvite::InternalError &error) {
    return sylvite::report_bug(error.what());
  } catch (const std::exception &error) {
    return sylvite::report_bug(std::string("unexpected: ") + error.what());
  } catch (...) {
    return sylvite::report_bug("unexpected: an exception of unknown type");
  }
}
