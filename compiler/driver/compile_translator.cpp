#include "compiler/driver/compile_translator.h"

#include <chrono>
#include <cstdio>
#include <system_error>
#include <utility>
#include <vector>

#include "compiler/driver/check_passes.h"
#include "compiler/driver/commands.h"
#include "compiler/driver/fusion_names.h"
#include "compiler/driver/library_names.h"
#include "compiler/driver/library_package.h"
#include "compiler/driver/require_fusions.h"
#include "compiler/driver/text_file.h"
#include "compiler/driver/translate_model.h"
#include "compiler/driver/write_artifact.h"
#include "compiler/ir/error.h"
#include "compiler/ir/text.h"

namespace sylvite {
namespace {

std::string emitted_text(const LoweredTranslator &translator, const std::string &emit) {
  std::string text;
  for (const LoweredModel *entry : {&translator.encode, &translator.step}) {
    text += entry == &translator.encode ? "// encode: once for a set of sources\n"
                                        : "\n// step: once for each token\n";
    text += emit == "imported" ? print(*entry->source)
            : emit == "ir"     ? print(*entry->graph)
                               : print(entry->plan);
  }
  return text;
}

void add_self_test(const LoweredModel &model, ProgramInfo &info, std::string &summary) {
  GeneratedSelfTest generated = generate_self_test(model);
  info.self_test = std::move(generated.test);
  if (!info.self_test) {
    summary += (summary.empty() ? "none for " : ", ") + model.name + ": " + generated.note;
  }
}

void print_summary(const TranslatorFlags &flags, const LoweredTranslator &translator,
                   const std::string &self_test, const std::string &artifact, double seconds) {
  std::printf("%s: a translator\n", flags.model.model.c_str());
  for (const LoweredModel *entry : {&translator.encode, &translator.step}) {
    std::printf("  %-11s fused %s; %zu kernels, called %zu times\n",
                entry == &translator.encode ? "encode" : "step", describe(entry->fused).c_str(),
                entry->plan.kernels.size(), entry->plan.calls.size());
  }
  const LoweredModel *const models[] = {&translator.encode, &translator.step};
  if (const std::string misses = describe_near_misses(models); !misses.empty()) {
    std::printf("  nearly      %s\n", misses.c_str());
  }
  const sylvite_translate_task &settings = translator.task.settings;
  std::printf("  decoding    %zu caches, %s, up to %d tokens\n", translator.task.caches.size(),
              settings.beams == 1 ? "greedy"
                                  : ("beam search with " + std::to_string(settings.beams)).c_str(),
              settings.max_length);
  if (!self_test.empty()) {
    std::printf("  self-test   %s\n", self_test.c_str());
  }
  std::printf("%s\n", artifact.c_str());
  std::printf("  took        %.1f s\n", seconds);
}

// The files that the translator is made of are not written over, by whatever name.
void refuse_overwriting(const std::string &output, const TranslateManifest &manifest) {
  if (output.empty() || output == "-") {
    return;
  }
  std::vector<std::filesystem::path> files = {manifest.encoder.file,
                                              manifest.step.file,
                                              manifest.tokenizers.source,
                                              manifest.tokenizers.target,
                                              manifest.tokenizers.source_vocabulary,
                                              manifest.tokenizers.target_vocabulary};
  if (manifest.first) {
    files.push_back(manifest.first->file);
  }
  for (const char *name :
       {kManifestName, "config.json", "generation_config.json", "tokenizer_config.json",
        "special_tokens_map.json", "source.spm", "target.spm", "vocab.json", "target_vocab.json"}) {
    files.push_back(manifest.folder / name);
  }
  for (const std::filesystem::path &file : files) {
    std::error_code error;
    if (std::filesystem::equivalent(output, file, error)) {
      throw UsageError("-o " + output + " would overwrite " + file.string());
    }
  }
}

void warn(const TranslateManifest &manifest) {
  for (const std::string &warning : manifest.warnings) {
    std::fprintf(stderr, "sylvite: warning: %s\n", warning.c_str());
  }
  if (manifest.task.settings.end < 0) {
    std::fprintf(stderr,
                 "sylvite: warning: %s: no token ends a sentence: every translation is as long as "
                 "max_length allows, %d tokens\n",
                 manifest.origin.c_str(), manifest.task.settings.max_length);
  }
}

}  // namespace

bool is_translator(const std::filesystem::path &path) {
  std::error_code error;
  return std::filesystem::is_directory(path, error) || path.extension() == ".json";
}

TranslateManifest translator_manifest(const std::filesystem::path &path) {
  std::error_code error;
  if (!std::filesystem::is_directory(path, error)) {
    return read_manifest(path);
  }
  if (std::filesystem::exists(path / kManifestName, error)) {
    return read_manifest(path / kManifestName);
  }
  if (!std::filesystem::exists(path / "config.json", error)) {
    throw_model_error(path.string(), ": holds no translator: there is neither a ", kManifestName,
                      " (sylvite init writes one) nor the config.json of an exported model");
  }
  return read_exported_folder(path);
}

void compile_translator(const TranslatorFlags &flags) {
  const std::chrono::steady_clock::time_point start = std::chrono::steady_clock::now();
  ProgressLine progress(flags.model.model);
  const LowerOptions lowering = lower_options(flags.model, progress);
  CompileOptions options = compile_options(flags.target, progress);
  options.separate_weights = flags.separate_weights;
  const bool library = flags.emit == "lib";
  if (library) {
    options.library_prefix = library_prefix(flags.name_prefix, flags.model.model);
  }
  const TranslateManifest manifest = translator_manifest(flags.model.model);
  refuse_overwriting(flags.output, manifest);
  if (flags.separate_weights) {
    refuse_overwriting(weights_beside(flags.output), manifest);
  }
  LoweredTranslator translator = lower_translator(manifest, lowering);
  const LoweredModel *const models[] = {&translator.encode, &translator.step};
  check_required_fusions(flags.model.model, flags.required, models);
  if (flags.check) {
    report_check(translator, lowering.pipeline, progress);
  }
  if (flags.emit != "program" && !library) {
    const std::string text = emitted_text(translator, flags.emit);
    progress.clear();
    write_text(flags.output, text);
    return;
  }
  std::vector<ProgramInfo> infos = {program_info(translator.encode), program_info(translator.step)};
  infos[0].translate = translator.task;
  std::string self_test = flags.no_self_test && !library ? "left out" : "";
  if (!flags.no_self_test && !library) {
    progress.show("making the self-test");
    add_self_test(translator.encode, infos[0], self_test);
    add_self_test(translator.step, infos[1], self_test);
    self_test =
        self_test.empty() ? "inputs made up, answers from the reference evaluator" : self_test;
  }
  LoweredModel *const entries[] = {&translator.encode, &translator.step};
  const CompiledModel compiled = compile_entries(entries, infos, options);
  progress.show("linking");
  const char *const held = "weights and tokenizers";
  const std::string artifact =
      library ? write_library(
                    compiled,
                    library_package(flags.output, {options.library_prefix, translator.encode.plan,
                                                   infos[0], options.isas}),
                    held)
              : write_program(compiled, flags.output, flags.separate_weights, held);
  progress.clear();
  warn(manifest);
  for (const LoweredModel *entry : entries) {
    print_warnings(*entry->graph);
  }
  print_summary(flags, translator, self_test, artifact,
                std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
}

}  // namespace sylvite
