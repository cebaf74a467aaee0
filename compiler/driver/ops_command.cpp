// `sylvite ops`: the table of supported operators.
#include <CLI/CLI.hpp>
#include <iostream>

#include "compiler/driver/commands.h"
#include "compiler/driver/supported_ops_table.h"

namespace sylvite {

void add_ops_command(CLI::App &app) {
  CLI::App *command = app.add_subcommand("ops", "Print the table of supported ONNX operators");
  command->callback([] { std::cout << supported_ops_table(); });
}

}  // namespace sylvite
