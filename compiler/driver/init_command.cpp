// `sylvite init`: writes down what `sylvite compile FOLDER` would take a folder's files for, and
// says why, so that a folder which is spelt another way needs a few words changed and not a manual.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>

#include "compiler/driver/commands.h"
#include "compiler/driver/guess_manifest.h"
#include "compiler/driver/text_file.h"
#include "compiler/ir/error.h"

namespace sylvite {
namespace {

struct InitFlags {
  std::string folder, output;
  bool force = false;
};

void init(const InitFlags &flags) {
  const std::filesystem::path folder = flags.folder;
  std::error_code error;
  if (!std::filesystem::is_directory(folder, error)) {
    throw_model_error(flags.folder, ": is no folder");
  }
  const std::string output =
      flags.output.empty() ? (folder / kManifestName).string() : flags.output;
  if (!flags.force && output != "-" && std::filesystem::exists(output, error)) {
    throw UsageError(output + " exists; --force overwrites it");
  }
  const GuessedManifest guessed = guess_manifest(folder);
  write_text(output, manifest_text(guessed.manifest));
  for (const std::string &line : guessed.reasons) {
    std::fprintf(stderr, "%s\n", line.c_str());
  }
}

}  // namespace

void add_init_command(CLI::App &app) {
  std::shared_ptr<InitFlags> flags = std::make_shared<InitFlags>();
  CLI::App *command = app.add_subcommand(
      "init",
      "Write the sylvite.json of a folder with a translation model, and explain each guess");
  command->add_option("folder", flags->folder, "where the graphs and tokenizers are")
      ->required()
      ->type_name("FOLDER");
  command->add_option("-o,--output", flags->output, "the manifest (default: FOLDER/sylvite.json)")
      ->type_name("FILE");
  command->add_flag("--force", flags->force, "overwrite a manifest that is there");
  command->callback([flags] { init(*flags); });
}

}  // namespace sylvite
