// Hugging Face's layout: the graphs have fixed file names, their inputs and outputs fixed ways of
// naming, and what tokens mean stands in config.json and generation_config.json. As in transformers
// (4.57), where there is the latter it alone says how to search; config.json then only fills in the
// tokens that start, pad and end, without which nothing could be translated.
#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

#include "compiler/driver/json_settings.h"
#include "compiler/driver/tokenizer_files.h"
#include "compiler/driver/translate_manifest.h"
#include "compiler/import/import.h"
#include "compiler/ir/compose.h"
#include "compiler/ir/error.h"

namespace sylvite {
namespace {

namespace fs = std::filesystem;

constexpr int32_t kMostCount = 1'000'000'000;
constexpr int32_t kMostBeams = 64;  // as --beam takes them
constexpr double kMostLengthPenalty = 100;

// Whatever it is: what cannot be read is complained about by whoever reads it.
bool stands(const fs::path &file) {
  std::error_code error;
  return fs::symlink_status(file, error).type() != fs::file_type::not_found;
}

fs::path required(const fs::path &folder, const std::string &name, const std::string &what) {
  if (!stands(folder / name)) {
    throw_model_error(folder.string(), ": ", name, " is missing: ", what);
  }
  return folder / name;
}

class Configuration {
 public:
  explicit Configuration(const fs::path &folder)
      : config_(required(folder, "config.json", "it says which model this is")) {
    if (stands(folder / "generation_config.json")) {
      generation_.emplace(folder / "generation_config.json");
    }
  }

  // What says how to search.
  const JsonSettings &search() const { return generation_ ? *generation_ : config_; }
  // The same where it has the key, else config.json.
  const JsonSettings &holder(const std::string &key) const {
    return search().find(key) != nullptr ? search() : config_;
  }
  const JsonSettings &config() const { return config_; }

  // A token's id, or -1 where there is none. Some configurations have a list of one.
  int32_t token(const std::string &key) const { return token(key, holder(key)); }
  static int32_t token(const std::string &key, const JsonSettings &settings) {
    const nlohmann::json *value = settings.find(key);
    if (value == nullptr) {
      return -1;
    }
    if (value->is_array() && value->size() == 1) {
      value = &value->front();
    }
    if (!value->is_number_integer() || value->get<double>() < 0 ||
        value->get<double>() > std::numeric_limits<int32_t>::max()) {
      settings.fail(key, "a token's id");
    }
    return value->get<int32_t>();
  }

  static int32_t count(const std::string &key, const JsonSettings &settings, int32_t fallback,
                       int32_t least) {
    const double number = settings.number(key, fallback);
    if (number != std::floor(number) || number < least || number > kMostCount) {
      settings.fail(key, "a whole number from " + std::to_string(least) + " to " +
                             std::to_string(kMostCount));
    }
    return static_cast<int32_t>(number);
  }

 private:
  JsonSettings config_;
  std::optional<JsonSettings> generation_;
};

// bad_words_ids: words of several tokens depend on what came before, which single tokens do not.
std::vector<int32_t> banned_tokens(const Configuration &configuration) {
  const JsonSettings &settings = configuration.search();
  const nlohmann::json *words = settings.find("bad_words_ids");
  std::vector<int32_t> banned;
  if (words == nullptr) {
    return banned;
  }
  const char *expected = "a list of lists of one token's id each";
  if (!words->is_array()) {
    settings.fail("bad_words_ids", expected);
  }
  for (const nlohmann::json &word : *words) {
    if (!word.is_array() || word.size() != 1 || !word[0].is_number_integer() ||
        word[0].get<double>() < 0 || word[0].get<double>() > std::numeric_limits<int32_t>::max()) {
      settings.fail("bad_words_ids", expected);
    }
    banned.push_back(word[0].get<int32_t>());
  }
  return banned;
}

int32_t early_stopping(const Configuration &configuration) {
  const JsonSettings &settings = configuration.search();
  const nlohmann::json *value = settings.find("early_stopping");
  if (value != nullptr && value->is_string()) {
    if (value->get<std::string>() != "never") {
      settings.fail("early_stopping", "true, false or \"never\"");
    }
    return 2;
  }
  return settings.boolean("early_stopping", false) ? 1 : 0;
}

void read_settings(const Configuration &configuration, TranslateTask &task) {
  sylvite_translate_task &settings = task.settings;
  settings.end = configuration.token("eos_token_id");
  settings.pad = configuration.token("pad_token_id");
  settings.start = configuration.token("decoder_start_token_id");
  if (settings.start < 0) {
    settings.start = configuration.token("bos_token_id");
  }
  if (settings.start < 0) {
    configuration.config().fail("decoder_start_token_id", "the id of the target's first token");
  }
  const JsonSettings &search = configuration.search();
  settings.forced_start = Configuration::token("forced_bos_token_id", search);
  settings.forced_end = Configuration::token("forced_eos_token_id", search);
  settings.beams = static_cast<int32_t>(search.integer("num_beams", 1, 1, kMostBeams));
  settings.early_stopping = early_stopping(configuration);
  const double penalty = search.number("length_penalty", 1);
  if (!(std::abs(penalty) <= kMostLengthPenalty)) {
    search.fail("length_penalty", "a number from -100 to 100");
  }
  settings.length_penalty = static_cast<float>(penalty);
  const int32_t positions =
      Configuration::count("max_position_embeddings", configuration.config(), 0, 0);
  settings.max_source = settings.max_target = positions;
  // max_length counts the start token, max_new_tokens does not.
  const int32_t fresh = Configuration::count("max_new_tokens", search, 0, 0);
  const int32_t length = Configuration::count("max_length", search, 0, 0);
  settings.max_length = fresh > 0       ? fresh
                        : length > 1    ? length - 1
                        : positions > 1 ? positions - 1
                                        : 127;
  task.banned = banned_tokens(configuration);
}

// Settings of transformers' search that change translations and are not done here, each with the
// values that change nothing.
void list_ignored(const Configuration &configuration, std::vector<std::string> &warnings) {
  const std::pair<const char *, nlohmann::json> keys[] = {
      {"begin_suppress_tokens", nlohmann::json::array()},
      {"constraints", nullptr},
      {"diversity_penalty", 0},
      {"do_sample", false},
      {"encoder_no_repeat_ngram_size", 0},
      {"encoder_repetition_penalty", 1},
      {"exponential_decay_length_penalty", nullptr},
      {"force_words_ids", nullptr},
      {"forced_decoder_ids", nullptr},
      {"guidance_scale", 1},
      {"min_length", 0},
      {"min_new_tokens", 0},
      {"no_repeat_ngram_size", 0},
      {"num_beam_groups", 1},
      {"penalty_alpha", nullptr},
      {"repetition_penalty", 1},
      {"sequence_bias", nullptr},
      {"suppress_tokens", nlohmann::json::array()}};
  const JsonSettings &search = configuration.search();
  for (const auto &[key, harmless] : keys) {
    const nlohmann::json *value = search.find(key);  // numbers are equal whatever their kind
    if (value != nullptr && *value != harmless && !(value->is_array() && value->empty())) {
      warnings.push_back(search.file() + ": key '" + key +
                         "' is not supported: translations are as without it");
    }
  }
}

// What names an exporter's graph has. Read from the file, so that a graph which lacks one is said
// to.
using Names = std::vector<std::string>;

Names input_names(const Graph &graph) {
  Names names;
  for (const Value *input : graph.inputs()) {
    names.push_back(input->name);
  }
  return names;
}

bool contains(const Names &names, const std::string &name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool begins(const std::string &text, const std::string &with) {
  return text.compare(0, with.size(), with) == 0;
}

constexpr const char *kPast = "past_key_values.";
constexpr const char *kBranchInput = "use_cache_branch";

// "past_key_values.0.decoder.key" -> "present.0.decoder.key"
std::string present_of(const std::string &past) {
  return "present." + past.substr(std::string(kPast).size());
}

void read_decoder(const Graph &graph, const std::string &hidden, const std::string &mask,
                  TranslateManifest::Decoder &decoder) {
  decoder.tokens = "input_ids";
  decoder.scores = "logits";
  for (const std::string &name : input_names(graph)) {
    if (begins(name, kPast)) {
      if (name.find(".encoder.") != std::string::npos) {
        decoder.sources[name] = present_of(name);
      } else {
        decoder.caches.push_back({name, present_of(name)});
      }
    } else if (name == "encoder_hidden_states") {
      decoder.sources[name] = hidden;
    } else if (name == "encoder_attention_mask") {
      decoder.sources[name] = mask;
    } else if (name == "decoder_attention_mask") {
      decoder.mask = name;
    } else if (name != decoder.tokens) {
      throw_model_error(decoder.file.string(), ": input '", name,
                        "' is none that a decoder of this layout has; write a sylvite.json that "
                        "says what it is (sylvite init)");
    }
  }
  for (const std::string &wanted : {decoder.scores}) {
    if (find_output(graph, wanted) == nullptr) {
      throw_model_error(decoder.file.string(), ": there is no output '", wanted, "'");
    }
  }
}

std::unique_ptr<Graph> graph_of(const TranslateManifest::Decoder &decoder) {
  ImportOptions options;
  options.fixed_inputs = decoder.branches;
  return import_onnx(decoder.file, options).graph;
}

void read_graphs(const fs::path &folder, TranslateManifest &manifest) {
  manifest.encoder.file = required(folder, "encoder_model.onnx", "the encoder's graph");
  const std::unique_ptr<Graph> encoder = import_onnx(manifest.encoder.file).graph;
  const Names inputs = input_names(*encoder);
  manifest.encoder.tokens = "input_ids";
  if (!contains(inputs, "input_ids")) {
    throw_model_error(manifest.encoder.file.string(), ": there is no input 'input_ids'");
  }
  manifest.encoder.mask = contains(inputs, "attention_mask") ? "attention_mask" : "";
  const std::string hidden = "last_hidden_state";

  const fs::path with_past = folder / "decoder_with_past_model.onnx";
  const fs::path merged = folder / "decoder_model_merged.onnx";
  TranslateManifest::Decoder first, later;
  if (stands(merged) && !stands(with_past)) {
    // Both graphs in one, told apart by an input.
    first.file = later.file = merged;
    first.branches = {{kBranchInput, 0}};
    later.branches = {{kBranchInput, 1}};
  } else {
    first.file = required(folder, "decoder_model.onnx", "the decoder's graph for the first token");
    later.file = stands(with_past) ? with_past : "";
  }
  read_decoder(*graph_of(first), hidden, manifest.encoder.mask, first);
  if (later.file.empty()) {
    manifest.step = std::move(first);
    return;
  }
  read_decoder(*graph_of(later), hidden, manifest.encoder.mask, later);
  if (!first.branches.empty()) {  // its own past is not read
    std::erase_if(first.sources, [](const auto &source) { return begins(source.first, kPast); });
    first.caches.clear();
  }
  manifest.first = std::move(first);
  manifest.step = std::move(later);
}

}  // namespace

TranslateManifest read_exported_folder(const fs::path &folder) {
  TranslateManifest manifest;
  manifest.origin = folder.string();
  manifest.folder = folder;
  const Configuration configuration(folder);
  if (const nlohmann::json *is = configuration.config().find("is_encoder_decoder");
      is != nullptr && is->is_boolean() && !is->get<bool>()) {
    throw_model_error(configuration.config().file(),
                      ": this is no encoder-decoder model, so it does not translate");
  }
  read_graphs(folder, manifest);
  read_settings(configuration, manifest.task);
  list_ignored(configuration, manifest.warnings);
  required(folder, "source.spm", "the SentencePiece model of the source language");
  MarianTokenizers tokenizers = read_marian_tokenizers(folder, std::nullopt, std::nullopt);
  manifest.task.source = std::move(tokenizers.source);
  manifest.task.target = std::move(tokenizers.target);
  manifest.task.settings.source_prefix = -1;
  manifest.task.settings.source_suffix = tokenizers.end;
  if (manifest.task.settings.pad < 0) {
    manifest.task.settings.pad = tokenizers.pad;
  }
  manifest.task.settings.score_kind = SYL_LOGITS;
  return manifest;
}

}  // namespace sylvite
