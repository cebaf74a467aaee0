// Names first, types second: an input of whole numbers [batch, length] is a tokens' input, and
// which one it is says its name. Whatever has been decided so is told to the user, together with
// what spoke for it.
#include "compiler/driver/guess_manifest.h"

#include <algorithm>
#include <cctype>
#include <memory>
#include <optional>
#include <system_error>
#include <tuple>
#include <utility>

#include "compiler/driver/tokenizer_files.h"
#include "compiler/import/import.h"
#include "compiler/ir/compose.h"
#include "compiler/ir/error.h"

namespace sylvite {
namespace {

namespace fs = std::filesystem;
using Words = std::vector<std::string>;

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

bool says(const std::string &name, const Words &words) {
  const std::string text = lower(name);
  return std::any_of(words.begin(), words.end(),
                     [&](const std::string &word) { return text.find(word) != std::string::npos; });
}

std::vector<fs::path> files_with(const fs::path &folder, const std::string &extension) {
  std::vector<fs::path> files;
  std::error_code error;
  for (const fs::directory_entry &entry : fs::directory_iterator(folder, error)) {
    if (entry.path().extension() == extension && entry.is_regular_file(error)) {
      files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

const Words kSourceWords = {"src", "source", "encoder", "input"};
const Words kTargetWords = {"tgt", "target", "trg", "decoder", "output"};
const Words kMaskWords = {"mask"};
const Words kNoTokens = {"mask", "type", "position", "segment"};
// The input that chooses a merged decoder's branch, as exporters call it.
constexpr const char *kBranchInput = "use_cache_branch";
const Words kStarts = {"<s>", "<bos>", "<sos>", "[CLS]", "<S>", "<BOS>", "<start>"};
const Words kEnds = {"</s>", "<eos>", "[SEP]", "</S>", "<EOS>", "<end>"};
const Words kPads = {"<pad>", "[PAD]", "<PAD>", "<blank>"};

class Guess {
 public:
  explicit Guess(const fs::path &folder) : folder_(folder) {
    manifest_.origin = folder.string();
    manifest_.folder = folder;
  }

  GuessedManifest run() {
    std::error_code error;
    if (fs::exists(folder_ / "config.json", error) &&
        fs::exists(folder_ / "encoder_model.onnx", error)) {
      return {read_exported_folder(folder_),
              {folder_.string() + ": config.json and encoder_model.onnx: written by Hugging Face's "
                                  "exporter, all names are its own"}};
    }
    guess_graphs();
    guess_tokenizers();
    guess_tokens();
    manifest_.task.settings.beams = 1;
    manifest_.task.settings.max_length = 128;
    manifest_.task.settings.length_penalty = 1;
    because("decoding", "greedy, at most 128 tokens: nothing says otherwise");
    return {std::move(manifest_), std::move(reasons_)};
  }

 private:
  void because(const std::string &key, const std::string &reason) {
    reasons_.push_back(key + ": " + reason);
  }

  [[noreturn]] void give_up(const std::string &what) const {
    throw_model_error(folder_.string(), ": ", what);
  }

  // The graph's whole-number inputs [batch, length], but for masks.
  static std::vector<const Value *> token_inputs(const Graph &graph) {
    std::vector<const Value *> inputs;
    for (const Value *input : graph.inputs()) {
      if (is_integer(input->type.dtype) && input->type.rank() == 2 &&
          !says(input->name, kNoTokens)) {
        inputs.push_back(input);
      }
    }
    return inputs;
  }

  // The mask whose name says so; else one whose name says nothing of the other side.
  static std::string mask_input(const Graph &graph, const Words &words, const Words &others) {
    for (const bool named : {true, false}) {
      for (const Value *input : graph.inputs()) {
        if (says(input->name, kMaskWords) &&
            (named ? says(input->name, words) : !others.empty() && !says(input->name, others))) {
          return input->name;
        }
      }
    }
    return "";
  }

  const Value *choose(const std::vector<const Value *> &inputs, const Words &words) const {
    for (const Value *input : inputs) {
      if (says(input->name, words)) {
        return input;
      }
    }
    return nullptr;
  }

  void guess_scores(const Graph &graph, std::string &scores) {
    for (size_t i = 0; i < graph.output_count() && scores.empty(); ++i) {
      const TensorType &type = graph.output(i)->type;
      if (is_float(type.dtype) && (type.rank() == 3 || type.rank() == 2)) {
        scores = graph.output_name(i);
      }
    }
    if (scores.empty()) {
      give_up("no output looks like scores [batch, length, vocabulary]");
    }
    int32_t &kind = manifest_.task.settings.score_kind;
    kind = says(scores, {"log_prob", "logprob", "log_softmax"}) ? SYL_LOG_PROBABILITIES
           : says(scores, {"prob", "softmax"})                  ? SYL_PROBABILITIES
                                                                : SYL_LOGITS;
    const std::string output = "output '" + scores + "' is ";
    because("scores_are", kind == SYL_PROBABILITIES       ? output + "named like probabilities"
                          : kind == SYL_LOG_PROBABILITIES ? output + "named like log-probabilities"
                          : says(scores, {"logit"})       ? output + "named like logits"
                                                    : output + "taken for logits: check this");
  }

  void guess_combined(const fs::path &file) {
    const std::unique_ptr<Graph> graph = import_onnx(file, {}).graph;
    const std::vector<const Value *> inputs = token_inputs(*graph);
    // The target first: "decoder_input_ids" has a word of each.
    const Value *target = choose(inputs, kTargetWords);
    std::vector<const Value *> others = inputs;
    std::erase(others, target);
    const Value *source = choose(others, kSourceWords);
    if (inputs.size() == 2 && (source == nullptr || target == nullptr || source == target)) {
      source = inputs[0];
      target = inputs[1];
      because("model", "the first of the two inputs of tokens is taken for the source");
    }
    if (source == nullptr || target == nullptr || source == target) {
      give_up(file.filename().string() +
              " is the only graph, but does not take both a source and "
              "a target: expected two inputs of whole numbers [batch, length]");
    }
    manifest_.combined = true;
    manifest_.encoder = {file, source->name, mask_input(*graph, kSourceWords, kTargetWords)};
    manifest_.step.file = file;
    manifest_.step.tokens = target->name;
    manifest_.step.mask = mask_input(*graph, kTargetWords, {});
    because("model", file.filename().string() + " is the only graph; '" + source->name +
                         "' is taken for the source, '" + target->name + "' for the target");
    guess_scores(*graph, manifest_.step.scores);
  }

  // Of a decoder's inputs of tokens the one that is named like the target's; else the one that the
  // encoder does not have, or, where all graphs call theirs alike, the only one.
  std::string target_tokens(const Graph &encoder, const Graph &graph) const {
    const std::vector<const Value *> inputs = token_inputs(graph);
    if (const Value *named = choose(inputs, kTargetWords)) {
      return named->name;
    }
    for (const Value *input : inputs) {
      if (find_input(encoder, input->name) == nullptr) {
        return input->name;
      }
    }
    return inputs.size() == 1 ? inputs.front()->name : "";
  }

  void guess_decoder(const Graph &encoder, const Graph &graph,
                     TranslateManifest::Decoder &decoder) {
    decoder.tokens = target_tokens(encoder, graph);
    if (decoder.tokens.empty()) {
      give_up(decoder.file.filename().string() + " has no input for the target's tokens");
    }
    for (const Value *input : graph.inputs()) {
      const std::string &name = input->name;
      const std::string present =
          "present" + (name.find('.') == std::string::npos ? name : name.substr(name.find('.')));
      if (name == decoder.tokens || decoder.branches.count(name) != 0) {
        continue;
      }
      if (says(name, {"past"})) {
        if (name.find(".encoder.") != std::string::npos) {
          decoder.sources[name] = present;
        } else {
          decoder.caches.push_back({name, present});
        }
      } else if (find_output(encoder, name) != nullptr || find_input(encoder, name) != nullptr) {
        decoder.sources[name] = name;
      } else if (says(name, kMaskWords)) {
        if (says(name, kSourceWords) && !manifest_.encoder.mask.empty()) {
          decoder.sources[name] = manifest_.encoder.mask;
        } else {
          decoder.mask = name;
        }
      } else if (is_float(input->type.dtype) && encoder.output_count() > 0) {
        decoder.sources[name] = encoder.output_name(0);
        because("decoder",
                "'" + name + "' is taken for the encoder's '" + encoder.output_name(0) + "'");
      }
    }
    guess_scores(graph, decoder.scores);
  }

  static std::unique_ptr<Graph> graph_of(const TranslateManifest::Decoder &decoder) {
    ImportOptions options;
    options.fixed_inputs = decoder.branches;
    return import_onnx(decoder.file, options).graph;
  }

  void guess_graphs() {
    const std::vector<fs::path> graphs = files_with(folder_, ".onnx");
    if (graphs.empty()) {
      give_up("there is no .onnx file: expected the graphs of a translation model");
    }
    if (graphs.size() == 1) {
      guess_combined(graphs.front());
      return;
    }
    fs::path encoder, decoder, with_past, merged;
    for (const fs::path &file : graphs) {
      const std::string name = file.stem().string();
      fs::path &role = says(name, {"encoder"})   ? encoder
                       : says(name, {"past"})    ? with_past
                       : says(name, {"merged"})  ? merged
                       : says(name, {"decoder"}) ? decoder
                                                 : unknown_;
      role = file;
    }
    const bool both_in_one = decoder.empty() && !merged.empty();
    if (both_in_one) {
      decoder = with_past = merged;
    }
    if (encoder.empty() || decoder.empty()) {
      give_up("of several graphs, one must be called encoder and one decoder");
    }
    const std::unique_ptr<Graph> graph = import_onnx(encoder, {}).graph;
    const std::vector<const Value *> inputs = token_inputs(*graph);
    if (inputs.empty()) {
      give_up(encoder.filename().string() + " has no input of whole numbers [batch, length]");
    }
    manifest_.encoder = {encoder, inputs.front()->name,
                         mask_input(*graph, kSourceWords, {"decoder"})};
    because("encoder", encoder.filename().string() + ", by its name");
    TranslateManifest::Decoder first;
    first.file = decoder;
    if (both_in_one) {
      first.branches = {{kBranchInput, 0}};
      manifest_.step.branches = {{kBranchInput, 1}};
      because("branches", std::string("'") + kBranchInput + "' of " + decoder.filename().string() +
                              " chooses between the first decoder and the one with past");
    }
    guess_decoder(*graph, *graph_of(first), first);
    if (both_in_one) {  // its own past is not read
      first.caches.clear();
      std::erase_if(first.sources, [](const auto &source) { return says(source.first, {"past"}); });
    }
    because("decoder", decoder.filename().string() + ", by its name");
    if (with_past.empty()) {
      manifest_.step = std::move(first);
      return;
    }
    manifest_.step.file = with_past;
    guess_decoder(*graph, *graph_of(manifest_.step), manifest_.step);
    because("decoder_with_past", with_past.filename().string() + ", by its name");
    manifest_.first = std::move(first);
  }

  // Files of the two languages: by name, or one for both.
  std::pair<fs::path, fs::path> two_of(const std::vector<fs::path> &files) const {
    fs::path source = files.front(), target = files.back();
    for (const fs::path &file : files) {
      if (says(file.stem().string(), kTargetWords)) {
        target = file;
      } else if (says(file.stem().string(), kSourceWords)) {
        source = file;
      }
    }
    return {source, target};
  }

  void guess_tokenizers() {
    TranslateManifest::Tokenizers &files = manifest_.tokenizers;
    std::vector<fs::path> models = files_with(folder_, ".spm");
    const std::vector<fs::path> others = files_with(folder_, ".model");
    models.insert(models.end(), others.begin(), others.end());
    std::error_code error;
    if (!models.empty() && fs::exists(folder_ / "vocab.json", error) &&
        fs::exists(folder_ / "source.spm", error)) {
      files.kind = "marian";
      MarianTokenizers marian = read_marian_tokenizers(folder_, {}, {});
      manifest_.task.source = std::move(marian.source);
      manifest_.task.target = std::move(marian.target);
      because("tokenizer", "source.spm and vocab.json, as MarianTokenizer has them");
      return;
    }
    const std::vector<fs::path> lists = files_with(folder_, ".txt");
    if (models.empty() && lists.empty()) {
      give_up(
          "there is no tokenizer: expected SentencePiece models (.spm, .model) or lists of words "
          "(.txt, a word a line)");
    }
    files.kind = models.empty() ? "words" : "sentencepiece";
    std::tie(files.source, files.target) = two_of(models.empty() ? lists : models);
    because("tokenizer", files.source.filename().string() + " for the source, " +
                             files.target.filename().string() + " for the target");
    const auto read = [&] {
      TokenizerManifest one;
      one.unknown = files.unknown;
      one.skipped = files.skipped;
      (models.empty() ? one.vocabulary : one.model) = files.source;
      manifest_.task.source = read_tokenizer(one);
      (models.empty() ? one.vocabulary : one.model) = files.target;
      manifest_.task.target = read_tokenizer(one);
    };
    read();
    if (models.empty()) {
      guess_special_words();
      read();
    }
  }

  // Of lists of words: which of them are no text. SentencePiece models say so themselves.
  void guess_special_words() {
    const TranslateTask &task = manifest_.task;
    TranslateManifest::Tokenizers &files = manifest_.tokenizers;
    const auto in_both = [&](const std::string &word) {
      return find_id(task.source, word) && find_id(task.target, word);
    };
    for (const std::string word : {"<unk>", "[UNK]", "<UNK>"}) {
      if (files.unknown.empty() && in_both(word)) {
        files.unknown = word;
        because("tokenizer.unknown", "'" + word + "' is in both lists");
      }
    }
    std::string skipped;
    for (const Words &words : {kPads, kStarts, kEnds}) {
      for (const std::string &word : words) {
        if (in_both(word)) {
          files.skipped.push_back(word);
          skipped += (skipped.empty() ? "'" : ", '") + word + "'";
        }
      }
    }
    if (!skipped.empty()) {
      because("tokenizer.skipped", skipped + ": not text");
    }
  }

  static std::optional<int32_t> find_id(const TranslateTask::Tokenizer &tokenizer,
                                        const std::string &word) {
    try {
      return token_id(tokenizer, word, "");
    } catch (const ModelError &) {
      return std::nullopt;
    }
  }

  int32_t token(const char *key, const TranslateTask::Tokenizer &tokenizer, const Words &words) {
    for (const std::string &word : words) {
      if (const std::optional<int32_t> id = find_id(tokenizer, word)) {
        because(key, "'" + word + "' of the vocabulary");
        return *id;
      }
    }
    return -1;
  }

  void guess_tokens() {
    const TranslateTask &task = manifest_.task;
    sylvite_translate_task &settings = manifest_.task.settings;
    settings.pad = token("tokens.pad", task.source, kPads);
    settings.end = token("tokens.end", task.target, kEnds);
    settings.start = token("tokens.start", task.target, kStarts);
    settings.source_prefix = -1;
    settings.source_suffix = token("tokens.source_end", task.source, kEnds);
    settings.forced_start = settings.forced_end = -1;
    if (settings.pad < 0) {
      settings.pad = 0;
      because("tokens.pad", "0, for want of a word that says so: check this");
    }
    if (settings.start < 0) {
      settings.start = settings.pad;
      because("tokens.start", "the padding, for want of a word that says so: check this");
    }
    if (settings.end < 0) {
      because("tokens.end", "none, for want of a word that says so: check this");
    }
  }

  const fs::path &folder_;
  fs::path unknown_;
  TranslateManifest manifest_;
  std::vector<std::string> reasons_;
};

}  // namespace

GuessedManifest guess_manifest(const std::filesystem::path &folder) {
  return Guess(folder).run();
}

}  // namespace sylvite
