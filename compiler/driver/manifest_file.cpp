// sylvite.json, read and written. Relative files are beside the manifest; tokens are words of the
// target's vocabulary or ids.
#include <algorithm>
#include <limits>
#include <system_error>
#include <utility>

#include "compiler/driver/json_settings.h"
#include "compiler/driver/tokenizer_files.h"
#include "compiler/driver/translate_manifest.h"
#include "compiler/ir/closest.h"
#include "compiler/ir/error.h"

namespace sylvite {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

// By enum sylvite_score_kind.
constexpr const char *kScoreKinds[] = {"logits", "probabilities", "log_probabilities"};
constexpr int64_t kMostTokens = std::numeric_limits<int32_t>::max();

// Of the folder's files with this extension the one called most like it; or empty.
std::string closest_file(const fs::path &folder, const std::string &name) {
  std::vector<std::string> names;
  std::error_code error;
  for (const fs::directory_entry &entry :
       fs::directory_iterator(folder.empty() ? "." : folder, error)) {
    if (entry.path().extension() == fs::path(name).extension() && entry.is_regular_file(error)) {
      names.push_back(entry.path().filename().string());
    }
  }
  std::sort(names.begin(), names.end());
  return closest(name, names);
}

fs::path file_of(const JsonSettings &settings, const std::string &key, const fs::path &folder) {
  const std::string name = settings.text(key);
  if (name.empty()) {
    settings.fail(key, "the name of a file");
  }
  std::error_code error;
  if (!fs::is_regular_file(folder / name, error)) {
    const std::string meant = closest_file(folder, name);
    throw_model_error(settings.file(), ": key '", settings.path_of(key), "': there is no file ",
                      shortened((folder / name).string()),
                      meant.empty() ? "" : "; did you mean '" + meant + "'?");
  }
  return folder / name;
}

std::string required_text(const JsonSettings &settings, const std::string &key,
                          const std::string &what) {
  const std::string text = settings.text(key);
  if (text.empty()) {
    settings.fail(key, what);
  }
  return text;
}

// {"input": "output", ...}
std::map<std::string, std::string> pairs_of(const JsonSettings &settings, const std::string &key) {
  const JsonSettings section = settings.section(key);
  std::map<std::string, std::string> pairs;
  for (const auto &[name, value] : section.object().items()) {
    pairs[name] = required_text(section, name, "a name");
  }
  return pairs;
}

TranslateManifest::Decoder read_decoder(const JsonSettings &section, const fs::path &folder) {
  section.expect_keys({"file", "tokens", "mask", "scores", "sources", "caches", "branches"});
  TranslateManifest::Decoder decoder;
  decoder.file = file_of(section, "file", folder);
  decoder.tokens = required_text(section, "tokens", "the input that takes the target's tokens");
  decoder.mask = section.text("mask");
  decoder.scores = required_text(section, "scores", "the output that has the scores");
  decoder.sources = pairs_of(section, "sources");
  for (const auto &[past, present] : pairs_of(section, "caches")) {
    decoder.caches.push_back({past, present});
  }
  const JsonSettings branches = section.section("branches");
  for (const auto &[name, value] : branches.object().items()) {
    decoder.branches[name] = branches.boolean(name, false) ? 1 : 0;
  }
  return decoder;
}

void read_graphs(const JsonSettings &settings, TranslateManifest &manifest) {
  const bool combined = settings.find("model") != nullptr;
  if (combined == (settings.find("encoder") != nullptr)) {
    throw_model_error(settings.file(),
                      ": expected either 'model' (one graph of source and target) "
                      "or 'encoder' and 'decoder'");
  }
  if (combined) {
    const JsonSettings model = settings.section("model");
    model.expect_keys({"file", "source", "source_mask", "target", "target_mask", "scores"});
    manifest.combined = true;
    manifest.encoder.file = manifest.step.file = file_of(model, "file", manifest.folder);
    manifest.encoder.tokens =
        required_text(model, "source", "the input that takes the source's tokens");
    manifest.encoder.mask = model.text("source_mask");
    manifest.step.tokens =
        required_text(model, "target", "the input that takes the target's tokens");
    manifest.step.mask = model.text("target_mask");
    manifest.step.scores = required_text(model, "scores", "the output that has the scores");
    return;
  }
  const JsonSettings encoder = settings.section("encoder");
  encoder.expect_keys({"file", "tokens", "mask"});
  manifest.encoder.file = file_of(encoder, "file", manifest.folder);
  manifest.encoder.tokens =
      required_text(encoder, "tokens", "the input that takes the source's tokens");
  manifest.encoder.mask = encoder.text("mask");
  TranslateManifest::Decoder decoder = read_decoder(settings.section("decoder"), manifest.folder);
  if (settings.find("decoder_with_past") == nullptr) {
    manifest.step = std::move(decoder);
    return;
  }
  manifest.first = std::move(decoder);
  manifest.step = read_decoder(settings.section("decoder_with_past"), manifest.folder);
  if (manifest.step.caches.empty()) {
    settings.section("decoder_with_past")
        .fail("caches",
              "the inputs that hold earlier tokens' keys and values, each with the "
              "output that continues it");
  }
}

void read_score_kind(const JsonSettings &settings, sylvite_translate_task &task) {
  const std::string kind =
      settings.find("scores_are") == nullptr ? "logits" : settings.text("scores_are");
  const auto found = std::find(std::begin(kScoreKinds), std::end(kScoreKinds), kind);
  if (found == std::end(kScoreKinds)) {
    settings.fail("scores_are", "\"logits\", \"probabilities\" or \"log_probabilities\"");
  }
  task.score_kind = static_cast<int32_t>(found - std::begin(kScoreKinds));
}

void read_tokenizers(const JsonSettings &settings, TranslateManifest &manifest) {
  const JsonSettings section = settings.section("tokenizer");
  section.expect_keys(
      {"kind", "source", "target", "source_vocabulary", "target_vocabulary", "unknown", "skipped"});
  TranslateManifest::Tokenizers &files = manifest.tokenizers;
  files.kind = required_text(section, "kind", "\"marian\", \"sentencepiece\" or \"words\"");
  if (files.kind == "marian") {
    MarianTokenizers marian = read_marian_tokenizers(manifest.folder, {}, {});
    manifest.task.source = std::move(marian.source);
    manifest.task.target = std::move(marian.target);
    return;
  }
  if (files.kind != "sentencepiece" && files.kind != "words") {
    section.fail("kind", "\"marian\", \"sentencepiece\" or \"words\"");
  }
  files.source = file_of(section, "source", manifest.folder);
  files.target = file_of(section, "target", manifest.folder);
  const auto optional_file = [&](const char *key) {
    return section.find(key) == nullptr ? fs::path() : file_of(section, key, manifest.folder);
  };
  files.source_vocabulary = optional_file("source_vocabulary");
  files.target_vocabulary = optional_file("target_vocabulary");
  files.unknown = section.text("unknown");
  if (const json *skipped = section.find("skipped"); skipped != nullptr) {
    for (const json &word : *skipped) {
      if (!skipped->is_array() || !word.is_string()) {
        section.fail("skipped", "a list of words");
      }
      files.skipped.push_back(word.get<std::string>());
    }
  }
  const bool words = files.kind == "words";
  TokenizerManifest one;
  one.unknown = files.unknown;
  one.skipped = files.skipped;
  const auto read = [&](const fs::path &file, const fs::path &vocabulary) {
    one.model = words ? fs::path() : file;
    one.vocabulary = words ? file : vocabulary;
    return read_tokenizer(one);
  };
  manifest.task.source = read(files.source, files.source_vocabulary);
  manifest.task.target = read(files.target, files.target_vocabulary);
}

int32_t token_of(const JsonSettings &settings, const std::string &key,
                 const TranslateTask::Tokenizer &tokenizer) {
  const json *value = settings.find(key);
  if (value != nullptr && value->is_string()) {
    return token_id(tokenizer, value->get<std::string>(),
                    settings.file() + ": key 'tokens." + key + "'");
  }
  return static_cast<int32_t>(settings.integer(key, -1, 0, kMostTokens));
}

void read_tokens(const JsonSettings &settings, TranslateTask &task) {
  const JsonSettings section = settings.section("tokens");
  section.expect_keys({"start", "end", "pad", "source_start", "source_end", "forced_start",
                       "forced_end", "banned"});
  sylvite_translate_task &to = task.settings;
  to.start = token_of(section, "start", task.target);
  to.end = token_of(section, "end", task.target);
  to.pad = token_of(section, "pad", task.source);
  to.source_prefix = token_of(section, "source_start", task.source);
  to.source_suffix = token_of(section, "source_end", task.source);
  to.forced_start = token_of(section, "forced_start", task.target);
  to.forced_end = token_of(section, "forced_end", task.target);
  if (to.start < 0) {
    section.fail("start", "the target's first token: a word or an id");
  }
  if (to.pad < 0) {
    section.fail("pad", "the token that fills shorter sentences up: a word or an id");
  }
  if (const json *banned = section.find("banned"); banned != nullptr) {
    for (const json &token : *banned) {
      if (!banned->is_array() || !token.is_number_unsigned() ||
          token.get<double>() > static_cast<double>(kMostTokens)) {
        section.fail("banned", "a list of ids");
      }
      task.banned.push_back(token.get<int32_t>());
    }
  }
}

void read_decoding(const JsonSettings &settings, sylvite_translate_task &task) {
  const JsonSettings section = settings.section("decoding");
  section.expect_keys(
      {"beams", "max_length", "max_source", "max_target", "length_penalty", "early_stopping"});
  task.beams = static_cast<int32_t>(section.integer("beams", 1, 1, 64));
  task.max_length = static_cast<int32_t>(section.integer("max_length", 128, 1, 1'000'000));
  task.max_source = static_cast<int32_t>(section.integer("max_source", 0, 0, 1'000'000));
  task.max_target = static_cast<int32_t>(section.integer("max_target", 0, 0, 1'000'000));
  task.length_penalty = static_cast<float>(section.number("length_penalty", 1));
  const json *early = section.find("early_stopping");
  if (early != nullptr && *early == "never") {
    task.early_stopping = 2;
  } else {
    task.early_stopping = section.boolean("early_stopping", false) ? 1 : 0;
  }
}

json names_as_json(const TranslateManifest::Decoder &decoder) {
  json object = {{"file", decoder.file.filename().string()},
                 {"tokens", decoder.tokens},
                 {"scores", decoder.scores},
                 {"sources", decoder.sources}};
  if (!decoder.mask.empty()) {
    object["mask"] = decoder.mask;
  }
  for (const CachePair &cache : decoder.caches) {
    object["caches"][cache.past] = cache.present;
  }
  for (const auto &[name, value] : decoder.branches) {
    object["branches"][name] = value != 0;
  }
  return object;
}

}  // namespace

TranslateManifest read_manifest(const fs::path &file) {
  const JsonSettings settings(file);
  settings.expect_keys({"task", "encoder", "decoder", "decoder_with_past", "model", "scores_are",
                        "tokenizer", "tokens", "decoding"});
  if (settings.text("task") != "translate") {
    settings.fail("task", "\"translate\"");
  }
  TranslateManifest manifest;
  manifest.origin = file.string();
  manifest.folder = file.parent_path();
  read_graphs(settings, manifest);
  read_score_kind(settings, manifest.task.settings);
  read_tokenizers(settings, manifest);
  read_tokens(settings, manifest.task);
  read_decoding(settings, manifest.task.settings);
  return manifest;
}

std::string manifest_text(const TranslateManifest &manifest) {
  const sylvite_translate_task &task = manifest.task.settings;
  nlohmann::ordered_json object;
  object["task"] = "translate";
  const auto with_mask = [](json names, const char *key, const std::string &mask) {
    if (!mask.empty()) {
      names[key] = mask;
    }
    return names;
  };
  if (manifest.combined) {
    object["model"] = with_mask(with_mask({{"file", manifest.step.file.filename().string()},
                                           {"source", manifest.encoder.tokens},
                                           {"target", manifest.step.tokens},
                                           {"scores", manifest.step.scores}},
                                          "source_mask", manifest.encoder.mask),
                                "target_mask", manifest.step.mask);
  } else {
    object["encoder"] = with_mask(
        {{"file", manifest.encoder.file.filename().string()}, {"tokens", manifest.encoder.tokens}},
        "mask", manifest.encoder.mask);
    object["decoder"] = names_as_json(manifest.first ? *manifest.first : manifest.step);
    if (manifest.first) {
      object["decoder_with_past"] = names_as_json(manifest.step);
    }
  }
  object["scores_are"] = kScoreKinds[task.score_kind];
  object["tokenizer"]["kind"] = manifest.tokenizers.kind;
  const auto name_file = [&](const char *key, const fs::path &file) {
    if (!file.empty()) {
      object["tokenizer"][key] = file.filename().string();
    }
  };
  name_file("source", manifest.tokenizers.source);
  name_file("target", manifest.tokenizers.target);
  name_file("source_vocabulary", manifest.tokenizers.source_vocabulary);
  name_file("target_vocabulary", manifest.tokenizers.target_vocabulary);
  if (!manifest.tokenizers.unknown.empty()) {
    object["tokenizer"]["unknown"] = manifest.tokenizers.unknown;
  }
  if (!manifest.tokenizers.skipped.empty()) {
    object["tokenizer"]["skipped"] = manifest.tokenizers.skipped;
  }
  const auto token = [&](const char *key, int32_t id) {
    if (id >= 0) {
      object["tokens"][key] = id;
    }
  };
  token("start", task.start);
  token("end", task.end);
  token("pad", task.pad);
  token("source_start", task.source_prefix);
  token("source_end", task.source_suffix);
  token("forced_start", task.forced_start);
  token("forced_end", task.forced_end);
  if (!manifest.task.banned.empty()) {
    object["tokens"]["banned"] = manifest.task.banned;
  }
  object["decoding"]["beams"] = task.beams;
  object["decoding"]["max_length"] = task.max_length;
  object["decoding"]["length_penalty"] = task.length_penalty;
  if (task.early_stopping == 2) {
    object["decoding"]["early_stopping"] = "never";
  } else {
    object["decoding"]["early_stopping"] = task.early_stopping == 1;
  }
  if (task.max_source > 0) {
    object["decoding"]["max_source"] = task.max_source;
  }
  if (task.max_target > 0) {
    object["decoding"]["max_target"] = task.max_target;
  }
  return object.dump(2) + "\n";
}

}  // namespace sylvite
