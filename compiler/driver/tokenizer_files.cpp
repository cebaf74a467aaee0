// Three kinds of files are read here (SentencePiece models, vocabularies in JSON, lists of words),
// compared with each other, and written down as runtime/tokens/tokenizer_data.h lays out. The
// result is opened once the way that a program will, so a tokenizer that a program would refuse is
// never put into one.
#include "compiler/driver/tokenizer_files.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>
#include <span>
#include <system_error>
#include <unordered_map>
#include <utility>

#include "compiler/driver/json_settings.h"
#include "compiler/driver/sentencepiece_model.h"
#include "compiler/ir/error.h"
#include "runtime/tokens/tokenizer.h"
#include "runtime/tokens/tokenizer_data.h"
#include "runtime/tokens/unicode.h"

namespace sylvite {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

constexpr size_t kLargestModelFile = size_t{16} << 20;
constexpr size_t kLargestVocabularyFile = size_t{64} << 20;
constexpr int64_t kMostIds = 2'000'000;

bool stands(const fs::path &file) {
  std::error_code error;
  return fs::exists(file, error);
}

void expect_file(const fs::path &file, const char *what) {
  if (!stands(file)) {
    throw_model_error(file.string(), ": does not exist; expected ", what);
  }
}

std::string read_bounded(const fs::path &file, size_t limit) {
  std::error_code error;
  if (fs::is_directory(file, error)) {
    throw_model_error(file.string(), ": is a folder");
  }
  if (fs::exists(file, error) && !fs::is_regular_file(file, error)) {
    throw_model_error(file.string(), ": is a pipe or a device; expected a file");
  }
  std::ifstream stream(file, std::ios::binary);
  if (!stream) {
    throw_model_error(file.string(), ": cannot be opened");
  }
  std::string bytes;
  std::vector<char> piece(size_t{1} << 16);
  while (stream && bytes.size() <= limit) {
    stream.read(piece.data(), static_cast<std::streamsize>(piece.size()));
    bytes.append(piece.data(), static_cast<size_t>(stream.gcount()));
  }
  if (stream.bad()) {
    throw_model_error(file.string(), ": cannot be read");
  }
  if (bytes.size() > limit) {
    throw_model_error(file.string(), ": is larger than ", limit, " bytes");
  }
  return bytes;
}

// --- Vocabularies ----------------------------------------------------------------------------

struct Vocabulary {
  std::string file;
  std::vector<std::string> words;  // by id; ids without a word are empty
  std::unordered_map<std::string, int32_t> ids;

  std::optional<int32_t> find(const std::string &word) const {
    const auto found = ids.find(word);
    return found == ids.end() ? std::nullopt : std::optional(found->second);
  }
  void put(const std::string &word, int32_t id) {
    if (words.size() <= static_cast<size_t>(id)) {
      words.resize(static_cast<size_t>(id) + 1);
    }
    words[static_cast<size_t>(id)] = word;
    ids[word] = id;
  }
};

void check_size(const Vocabulary &vocabulary, std::optional<int64_t> ids) {
  const int64_t size = std::ssize(vocabulary.words);
  if (ids && size > *ids) {
    throw_model_error(vocabulary.file, ": '", shortened(vocabulary.words.back()), "' has id ",
                      size - 1, ", but the model has only ", *ids, " ids");
  }
}

// Reads {"word": id, ...} as it comes, so that a hostile file makes no tree in memory.
class VocabularyReader : public nlohmann::json_sax<json> {
 public:
  explicit VocabularyReader(const fs::path &file) { vocabulary_.file = file.string(); }

  Vocabulary read() {
    const std::string text = read_bounded(vocabulary_.file, kLargestVocabularyFile);
    json::sax_parse(text, this);
    if (vocabulary_.words.empty()) {
      throw_model_error(vocabulary_.file, ": expected an object of words and ids, found none");
    }
    return std::move(vocabulary_);
  }

  bool null() override { return refuse("null"); }
  bool boolean(bool) override { return refuse("true or false"); }
  bool number_float(double, const std::string &text) override { return refuse(text); }
  bool string(std::string &text) override { return refuse("'" + shortened(text) + "'"); }
  bool binary(json::binary_t &) override { return refuse("bytes"); }
  bool start_array(size_t) override { return refuse("a list"); }
  bool end_array() override { return true; }
  bool end_object() override { return true; }
  bool number_integer(json::number_integer_t number) override {
    return refuse(std::to_string(number));  // the negative ones
  }
  bool start_object(size_t) override {
    return std::exchange(inside_, true) ? refuse("an object") : true;
  }
  bool key(std::string &text) override {
    word_ = text;
    return true;
  }
  bool number_unsigned(json::number_unsigned_t number) override {
    if (!inside_ || number >= uint64_t{kMostIds}) {
      return refuse(std::to_string(number));
    }
    const auto id = static_cast<int32_t>(number);
    if (word_.find('\0') != std::string::npos || word_.empty()) {
      throw_model_error(vocabulary_.file, ": the word with id ", id,
                        word_.empty() ? " is empty" : " holds a zero byte");
    }
    // A word that stands twice: the last one counts, as in Python.
    if (const std::optional<int32_t> earlier = vocabulary_.find(word_)) {
      vocabulary_.words[static_cast<size_t>(*earlier)].clear();
    }
    if (static_cast<size_t>(id) < vocabulary_.words.size() &&
        !vocabulary_.words[static_cast<size_t>(id)].empty()) {
      throw_model_error(vocabulary_.file, ": '",
                        shortened(vocabulary_.words[static_cast<size_t>(id)]), "' and '",
                        shortened(word_), "' have the same id ", id);
    }
    vocabulary_.put(word_, id);
    return true;
  }
  bool parse_error(size_t, const std::string &, const json::exception &error) override {
    const std::string what = error.what();
    const size_t end = what.find("] ");  // "[json.exception.parse_error.101] "
    throw_model_error(vocabulary_.file, ": is not JSON: ",
                      shortened(end == std::string::npos ? what : what.substr(end + 2)));
  }

 private:
  bool refuse(const std::string &found) const {
    if (!inside_) {
      throw_model_error(vocabulary_.file, ": expected an object of words and ids, found ", found);
    }
    throw_model_error(vocabulary_.file, ": '", shortened(word_), "': expected an id of 0 to ",
                      kMostIds - 1, ", found ", found);
  }

  Vocabulary vocabulary_;
  std::string word_;
  bool inside_ = false;
};

// A word a line.
Vocabulary read_word_list(const fs::path &file) {
  Vocabulary vocabulary;
  vocabulary.file = file.string();
  const std::string text = read_bounded(file, kLargestVocabularyFile);
  std::string_view rest = text;
  if (rest.starts_with("\ufeff")) {
    rest.remove_prefix(3);
  }
  for (int64_t line = 1; !rest.empty(); ++line) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    std::string_view word = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (word.ends_with('\r')) {
      word.remove_suffix(1);
    }
    if (line > kMostIds) {
      throw_model_error(vocabulary.file, ": has more than ", kMostIds, " words");
    }
    if (!is_utf8(word) || word.find('\0') != std::string_view::npos) {
      throw_model_error(vocabulary.file, ": line ", line, " is not UTF-8 text");
    }
    for (std::string_view left = word; !left.empty(); left.remove_prefix(utf8_length(left))) {
      if (space_length(left) > 0) {
        throw_model_error(vocabulary.file, ": line ", line, ": expected one word, found '",
                          shortened(std::string(word)), "'");
      }
    }
    if (const std::optional<int32_t> earlier = vocabulary.find(std::string(word))) {
      throw_model_error(vocabulary.file, ": line ", line, " repeats line ", *earlier + 1, ", '",
                        shortened(std::string(word)), "'");
    }
    if (word.empty()) {
      vocabulary.words.emplace_back();  // an id that no word has
    } else {
      vocabulary.put(std::string(word), static_cast<int32_t>(line - 1));
    }
  }
  while (!vocabulary.words.empty() && vocabulary.words.back().empty()) {
    vocabulary.words.pop_back();
  }
  if (vocabulary.words.empty()) {
    throw_model_error(vocabulary.file, ": expected a word a line, found none");
  }
  return vocabulary;
}

SentencePieceModel read_model(const fs::path &file) {
  return read_sentencepiece_model(read_bounded(file, kLargestModelFile), file.string());
}

// A vocabulary of another model has few of this one's pieces. One that belongs to it may lack some:
// those that never occurred in its training.
void check_share(const SentencePieceModel &model, const std::string &file,
                 const Vocabulary &vocabulary) {
  int64_t pieces = 0, known = 0;
  for (const SentencePieceModel::Piece &piece : model.pieces) {
    if (piece.kind == SentencePieceModel::Kind::Text) {
      ++pieces;
      known += vocabulary.ids.contains(piece.text) ? 1 : 0;
    }
  }
  if (known * 2 < pieces) {
    throw_model_error(vocabulary.file, ": has only ", known, " of the ", pieces, " pieces of ",
                      file, ": they do not belong together");
  }
}

// --- The form that programs carry ------------------------------------------------------------

class DataWriter {
 public:
  DataWriter() { bytes_.resize(sizeof(TokenizerHeader)); }

  uint64_t put(const void *content, size_t size) {
    bytes_.resize((bytes_.size() + 15) / 16 * 16);
    const size_t place = bytes_.size();
    const auto *const begin = static_cast<const std::byte *>(content);
    bytes_.insert(bytes_.end(), begin, begin + size);
    return place;
  }
  template <typename T>
  uint64_t put(const std::vector<T> &table) {
    return put(table.data(), table.size() * sizeof(T));
  }
  std::vector<std::byte> finish(const TokenizerHeader &header) {
    std::memcpy(bytes_.data(), &header, sizeof header);
    return std::move(bytes_);
  }

 private:
  std::vector<std::byte> bytes_;
};

struct Parts {
  const SentencePieceModel *model = nullptr;  // or words alone
  const Vocabulary *vocabulary = nullptr;     // or the model's own ids
  std::vector<AddedTokenEntry> added;
  uint32_t flags = 0;
  int32_t unknown = -1;
};

void put_words(const Parts &parts, TokenizerHeader &header, DataWriter &writer) {
  const std::vector<std::string> &words = parts.vocabulary->words;
  std::vector<uint32_t> starts = {0};
  for (const std::string &word : words) {
    starts.push_back(starts.back() + static_cast<uint32_t>(word.size()) + 1);
  }
  std::vector<int32_t> order(words.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return words[static_cast<size_t>(a)] < words[static_cast<size_t>(b)];
  });
  header.words = static_cast<uint32_t>(words.size());
  header.word_starts = writer.put(starts);
  header.word_order = writer.put(order);
  if (parts.model == nullptr) {
    return;
  }
  std::vector<int32_t> word_of_piece, piece_of_word(words.size(), -1);
  for (const SentencePieceModel::Piece &piece : parts.model->pieces) {
    word_of_piece.push_back(parts.vocabulary->find(piece.text).value_or(-1));
    if (word_of_piece.back() >= 0) {
      piece_of_word[static_cast<size_t>(word_of_piece.back())] =
          static_cast<int32_t>(word_of_piece.size() - 1);
    }
  }
  header.word_of_piece = writer.put(word_of_piece);
  header.piece_of_word = writer.put(piece_of_word);
}

// The words' bytes as the image will hold them, and the tokenizer over both.
struct OpenTokenizer {
  std::vector<std::byte> image;
  std::optional<Tokenizer> tokenizer;
};

OpenTokenizer open(const TranslateTask::Tokenizer &written) {
  OpenTokenizer result;
  std::vector<std::byte> &image = result.image;
  image = written.data;
  image.resize((image.size() + 15) / 16 * 16);
  sylvite_tokenizer settings = written.settings;
  settings.data_bytes = std::ssize(written.data);
  settings.words = std::ssize(image);
  for (const std::string &word : written.words) {
    const std::span<const std::byte> bytes =
        std::as_bytes(std::span(word.c_str(), word.size() + 1));
    image.insert(image.end(), bytes.begin(), bytes.end());
  }
  settings.words_bytes = std::ssize(image) - settings.words;
  Result<Tokenizer> tokenizer = Tokenizer::open(settings, image);
  SYLVITE_CHECK(tokenizer.ok(), tokenizer.error().message);
  result.tokenizer = std::move(tokenizer.value());
  return result;
}

TranslateTask::Tokenizer write(const Parts &parts) {
  TokenizerHeader header{};
  std::memcpy(header.magic, kTokenizerMagic, sizeof header.magic);
  header.flags = parts.flags;
  DataWriter writer;
  TranslateTask::Tokenizer written;
  if (parts.vocabulary != nullptr) {
    put_words(parts, header, writer);
    written.words = parts.vocabulary->words;
  }
  if (parts.model != nullptr) {
    header.flags |= parts.model->dummy_prefix ? kDummyPrefix : 0;
    header.flags |= parts.model->removes_spaces ? kRemovesSpaces : 0;
    header.pieces = static_cast<uint32_t>(parts.model->pieces.size());
    header.model = writer.put(parts.model->lite.data(), parts.model->lite.size());
    header.model_bytes = parts.model->lite.size();
  }
  header.added = static_cast<uint32_t>(parts.added.size());
  header.added_tokens = writer.put(parts.added);
  written.data = writer.finish(header);
  written.settings.kind = parts.model != nullptr ? SYL_SENTENCEPIECE : SYL_WORDS;
  written.settings.size = static_cast<int32_t>(written.words.size());
  written.settings.unknown = parts.unknown;
  open(written);
  return written;
}

// --- transformers' files ---------------------------------------------------------------------

struct AddedToken {
  std::string text;
  uint32_t flags;
  std::optional<int32_t> id;  // as the configuration says
};

// A token is a string, or an object with "content".
AddedToken token_of(const JsonSettings &settings, const std::string &key, const json &value) {
  AddedToken token{"", kSplits | kSkipped, {}};
  if (value.is_string()) {
    token.text = value.get<std::string>();
  } else if (value.is_object() && value.contains("content") && value["content"].is_string()) {
    token.text = value["content"].get<std::string>();
    const auto flag = [&](const char *name) {
      const auto found = value.find(name);
      if (found != value.end() && !found->is_boolean()) {
        settings.fail(key, std::string("true or false for '") + name + "'");
      }
      return found != value.end() && found->get<bool>();
    };
    token.flags |= flag("lstrip") ? kStripsLeft : 0;
    token.flags |= flag("rstrip") ? kStripsRight : 0;
    if (flag("single_word")) {
      settings.fail(key, "no single_word (it is not supported)");
    }
    if (value.contains("special") && !flag("special")) {
      token.flags &= ~uint32_t{kSkipped};
    }
  }
  if (token.text.empty() || token.text.find('\0') != std::string::npos) {
    settings.fail(key, "a token's text");
  }
  return token;
}

struct MarianSettings {
  std::string unknown = "<unk>", end = "</s>", pad = "<pad>";
  bool cleans_up = false, separate = false;
  std::vector<AddedToken> added;

  void add(AddedToken token) {
    const auto same = std::find_if(added.begin(), added.end(), [&](const AddedToken &other) {
      return other.text == token.text;
    });
    if (same == added.end()) {
      added.push_back(std::move(token));
    }
  }
};

// "0": {"content": "</s>", ...}, ...
void read_added_tokens(const JsonSettings &settings, MarianSettings &marian) {
  const std::string key = "added_tokens_decoder";
  const json *const table = settings.find(key);
  if (table == nullptr) {
    return;
  }
  if (!table->is_object() || table->size() > 10'000) {
    settings.fail(key, "an object of at most 10000 tokens");
  }
  for (const auto &[id, value] : table->items()) {
    const bool digits =
        !id.empty() && id.size() <= 7 &&
        std::all_of(id.begin(), id.end(), [](char c) { return c >= '0' && c <= '9'; });
    if (!digits || !value.is_object()) {
      settings.fail(key, "ids and tokens");
    }
    AddedToken token = token_of(settings, key, value);
    token.flags &= value.value("special", false) ? ~uint32_t{0} : ~uint32_t{kSkipped};
    token.id = static_cast<int32_t>(std::stol(id));
    marian.add(std::move(token));
  }
}

// unk_token, eos_token, pad_token and further special tokens.
void read_named_tokens(const JsonSettings &settings, MarianSettings &marian,
                       std::vector<AddedToken> &named) {
  const std::pair<const char *, std::string *> kNamed[] = {
      {"unk_token", &marian.unknown}, {"eos_token", &marian.end}, {"pad_token", &marian.pad}};
  for (const auto &[key, text] : kNamed) {
    if (const json *const value = settings.find(key)) {
      named.push_back(token_of(settings, key, *value));
      *text = named.back().text;
    }
  }
  for (const char *const key : {"additional_special_tokens", "extra_special_tokens"}) {
    const json *const list = settings.find(key);
    if (list != nullptr && !list->is_structured()) {
      settings.fail(key, "a list of tokens");
    }
    for (const json &value : list != nullptr ? *list : json::array()) {
      named.push_back(token_of(settings, key, value));
    }
  }
}

MarianSettings read_marian_settings(const fs::path &folder) {
  MarianSettings marian;
  std::vector<AddedToken> named;
  const fs::path config = folder / "tokenizer_config.json";
  const fs::path map = folder / "special_tokens_map.json";
  if (stands(config)) {
    const JsonSettings settings(config);
    marian.cleans_up = settings.boolean("clean_up_tokenization_spaces", false);
    marian.separate = settings.boolean("separate_vocabs", false);
    if (const json *const extras = settings.find("sp_model_kwargs");
        extras != nullptr && !extras->empty()) {
      settings.fail("sp_model_kwargs", "nothing in it (it is not supported)");
    }
    read_added_tokens(settings, marian);
    read_named_tokens(settings, marian, named);
  }
  // transformers reads the older file only where the newer one does not list the added tokens.
  if (marian.added.empty() && stands(map)) {
    named.clear();
    read_named_tokens(JsonSettings(map), marian, named);
  }
  for (AddedToken &token : named) {
    marian.add(std::move(token));
  }
  for (const std::string &text : {marian.unknown, marian.end, marian.pad}) {
    marian.add({text, kSplits | kSkipped, {}});
  }
  // Special however they came in.
  for (AddedToken &token : marian.added) {
    if (token.text == marian.unknown || token.text == marian.end || token.text == marian.pad) {
      token.flags |= kSkipped;
    }
  }
  return marian;
}

int32_t id_of(const Vocabulary &vocabulary, const std::string &word) {
  const std::optional<int32_t> id = vocabulary.find(word);
  if (!id) {
    throw_model_error(vocabulary.file, ": has no '", shortened(word),
                      "', which the tokenizer needs");
  }
  return *id;
}

// Added tokens that the vocabulary lacks become part of it, with the ids that were given to them.
std::vector<AddedTokenEntry> place_added(const MarianSettings &marian, const fs::path &folder,
                                         Vocabulary &vocabulary) {
  std::vector<AddedTokenEntry> entries;
  for (const AddedToken &token : marian.added) {
    const std::optional<int32_t> known = vocabulary.find(token.text);
    const std::string config = (folder / "tokenizer_config.json").string();
    if (!known && !token.id) {
      id_of(vocabulary, token.text);
    }
    if (known && token.id && *known != *token.id) {
      throw_model_error(config, ": key 'added_tokens_decoder': '", shortened(token.text),
                        "' has id ", *token.id, ", but ", *known, " in ", vocabulary.file);
    }
    const int32_t id = known ? *known : *token.id;
    if (!known) {
      const std::vector<std::string> &words = vocabulary.words;
      if (id >= kMostIds ||
          (static_cast<size_t>(id) < words.size() && !words[static_cast<size_t>(id)].empty())) {
        throw_model_error(config, ": key 'added_tokens_decoder': id ", id, " of '",
                          shortened(token.text), "' is that of another word in ", vocabulary.file);
      }
      vocabulary.put(token.text, id);
    }
    entries.push_back({id, token.flags});
  }
  return entries;
}

}  // namespace

MarianTokenizers read_marian_tokenizers(const fs::path &folder, std::optional<int64_t> source_ids,
                                        std::optional<int64_t> target_ids) {
  const MarianSettings marian = read_marian_settings(folder);
  const auto read_side = [&](const char *model_name, const char *vocabulary_name,
                             std::optional<int64_t> ids, MarianTokenizers &tokenizers) {
    const fs::path model_file = folder / model_name;
    expect_file(model_file, "a SentencePiece model");
    expect_file(folder / vocabulary_name, "the ids of the SentencePiece models' pieces");
    const SentencePieceModel model = read_model(model_file);
    Vocabulary vocabulary = VocabularyReader(folder / vocabulary_name).read();
    Parts parts;
    parts.model = &model;
    parts.vocabulary = &vocabulary;
    parts.added = place_added(marian, folder, vocabulary);
    parts.unknown = id_of(vocabulary, marian.unknown);
    parts.flags = kLanguageCodes | (marian.cleans_up ? kCleansUp : 0);
    check_size(vocabulary, ids);
    check_share(model, model_file.string(), vocabulary);
    tokenizers.end = id_of(vocabulary, marian.end);
    tokenizers.pad = id_of(vocabulary, marian.pad);
    return write(parts);
  };
  MarianTokenizers tokenizers, target;
  tokenizers.source = read_side("source.spm", "vocab.json", source_ids, tokenizers);
  tokenizers.target = read_side("target.spm", marian.separate ? "target_vocab.json" : "vocab.json",
                                target_ids, target);
  return tokenizers;
}

TranslateTask::Tokenizer read_tokenizer(const TokenizerManifest &manifest) {
  SYLVITE_CHECK(!manifest.model.empty() || !manifest.vocabulary.empty());
  Parts parts;
  SentencePieceModel model;
  Vocabulary vocabulary;
  if (!manifest.model.empty()) {
    model = read_model(manifest.model);
    parts.model = &model;
    parts.unknown = model.unknown;
  }
  if (!manifest.vocabulary.empty()) {
    vocabulary = parts.model != nullptr ? VocabularyReader(manifest.vocabulary).read()
                                        : read_word_list(manifest.vocabulary);
    parts.vocabulary = &vocabulary;
    check_size(vocabulary, manifest.ids);
    if (parts.model != nullptr) {
      check_share(model, manifest.model.string(), vocabulary);
    }
    parts.unknown = manifest.unknown.empty() ? -1 : id_of(vocabulary, manifest.unknown);
  } else {
    // The model's pieces are the vocabulary.
    vocabulary.file = manifest.model.string();
    for (const SentencePieceModel::Piece &piece : model.pieces) {
      vocabulary.put(piece.text, static_cast<int32_t>(vocabulary.words.size()));
    }
    check_size(vocabulary, manifest.ids);
    if (!manifest.unknown.empty()) {
      parts.unknown = id_of(vocabulary, manifest.unknown);
    }
  }
  for (const std::string &word : manifest.skipped) {
    parts.added.push_back({id_of(vocabulary, word), kSkipped});
  }
  return write(parts);
}

int32_t id_count(const TranslateTask::Tokenizer &tokenizer) {
  return open(tokenizer).tokenizer->vocabulary_size();
}

int32_t token_id(const TranslateTask::Tokenizer &tokenizer, std::string_view token,
                 const std::string &where) {
  const int32_t id = open(tokenizer).tokenizer->find(token);
  if (id < 0) {
    throw_model_error(where, ": the vocabulary has no '", shortened(std::string(token)), "'");
  }
  return id;
}

}  // namespace sylvite
