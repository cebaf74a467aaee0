// SentencePiece's lite runtime does the hard part. What is here is what stands around it in
// transformers' MarianTokenizer: added tokens ("</s>" in a text is that token) are cut out first, a
// language code is taken off, and the pieces' ids are looked up in a vocabulary that is not
// SentencePiece's. A piece that the model does not know can stand in that vocabulary all the same,
// because source and target share one; hence the search by text.
//
// Decoding joins pieces by their text, as SentencePiece's DecodePieces does, rather than by the
// model's ids: the vocabulary may hold pieces of the other language's model.
#include "runtime/tokens/tokenizer.h"

#include <sentencepiece_lite.h>

#include <algorithm>
#include <bitset>
#include <climits>
#include <cstring>
#include <utility>

#include "runtime/tokens/tokenizer_data.h"
#include "runtime/tokens/unicode.h"

namespace sylvite {
namespace {

namespace lite = sentencepiece::lite;

constexpr std::string_view kSpaceSymbol = "\u2581";
constexpr int kControlPiece = 3, kBytePiece = 6;  // of lite's piece_type

struct AddedToken {
  std::string_view text;
  int32_t id;
  uint32_t flags;
};

// A stretch of a source text, or an added token in it.
struct Segment {
  std::string_view text;
  const AddedToken *added = nullptr;
};

void replace_all(std::string &text, std::string_view from, std::string_view to) {
  std::string result;
  size_t start = 0;
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, start)) {
    result.append(text, start, at - start);
    result += to;
    start = at + from.size();
  }
  if (start > 0) {
    result.append(text, start);
    text = std::move(result);
  }
}

// transformers' clean_up_tokenization.
void clean_up(std::string &text) {
  static constexpr std::pair<std::string_view, std::string_view> kRules[] = {
      {" .", "."},     {" ?", "?"},   {" !", "!"},   {" ,", ","},     {" ' ", "'"},
      {" n't", "n't"}, {" 'm", "'m"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
  for (const auto &[from, to] : kRules) {
    replace_all(text, from, to);
  }
}

// "<0xE2>" -> 0xe2; -1 for other texts.
int byte_of_piece(std::string_view piece) {
  const auto digit = [&](size_t i) {
    const char c = piece[i];
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
  };
  if (piece.size() != 6 || !piece.starts_with("<0x") || piece[5] != '>' || digit(3) < 0 ||
      digit(4) < 0) {
    return -1;
  }
  return digit(3) * 16 + digit(4);
}

Error damaged(std::string_view what) {
  return {SYLVITE_INTERNAL, text_of("the tokenizer in this program is damaged: ", what)};
}

}  // namespace

struct Tokenizer::Parts {
  int32_t unknown = -1;
  TokenizerHeader header{};
  const char *word_bytes = nullptr;
  std::span<const uint32_t> word_starts;
  std::span<const int32_t> word_order, word_of_piece, piece_of_word;
  std::vector<AddedToken> added;      // the longest first
  std::bitset<256> added_beginnings;  // first bytes of those that split
  std::vector<int32_t> skipped;       // ids, sorted
  std::unique_ptr<const lite::SentencePieceLiteProcessor> model;

  Error read(const sylvite_tokenizer &settings, std::span<const std::byte> image);
  Error check_words(std::span<const std::byte> bytes) const;
  Error read_added(std::span<const AddedTokenEntry> entries);

  bool has(uint32_t flag) const { return (header.flags & flag) != 0; }
  int32_t size() const {
    return static_cast<int32_t>(header.words > 0 ? header.words : header.pieces);
  }
  bool is_skipped(int32_t id) const {
    return std::binary_search(skipped.begin(), skipped.end(), id);
  }
  std::string_view word(int32_t id) const {
    const uint32_t start = word_starts[static_cast<size_t>(id)];
    return {word_bytes + start, word_starts[static_cast<size_t>(id) + 1] - start - 1};
  }
  std::string_view token(int32_t id) const { return header.words > 0 ? word(id) : piece(id); }
  std::string_view piece(int32_t id) const { return model->IdToPiece(id); }
  int32_t find_word(std::string_view text) const;

  void add(int32_t id, Tokens &tokens) const;
  std::vector<Segment> split_at_added(std::string_view text) const;
  void encode_words(std::string_view text, Tokens &tokens) const;
  Error encode_pieces(std::string_view text, Tokens &tokens) const;
  std::string decode_words(std::span<const int32_t> ids) const;
  std::string decode_vocabulary(std::span<const int32_t> ids) const;
  std::string decode_pieces(std::span<const int32_t> ids) const;
};

// --- Opening ---------------------------------------------------------------------------------

namespace {

// The bytes of a range in `whole`, or nothing where it reaches out of it.
bool take(std::span<const std::byte> whole, uint64_t place, uint64_t bytes,
          std::span<const std::byte> &range) {
  if (place > whole.size() || bytes > whole.size() - place) {
    return false;
  }
  range = whole.subspan(place, bytes);
  return reinterpret_cast<uintptr_t>(range.data()) % 16 == 0;
}

template <typename T>
bool take_table(std::span<const std::byte> whole, uint64_t place, uint64_t count,
                std::span<const T> &table) {
  std::span<const std::byte> range;
  if (!take(whole, place, count * sizeof(T), range)) {
    return false;
  }
  table = {reinterpret_cast<const T *>(range.data()), static_cast<size_t>(count)};
  return true;
}

bool all_within(std::span<const int32_t> table, int32_t least, uint32_t bound) {
  return std::all_of(table.begin(), table.end(), [&](int32_t value) {
    return value >= least && value < static_cast<int64_t>(bound);
  });
}

}  // namespace

Error Tokenizer::Parts::read(const sylvite_tokenizer &settings, std::span<const std::byte> image) {
  std::span<const std::byte> data, words, model_bytes;
  if (settings.data < 0 || settings.data_bytes < static_cast<int64_t>(sizeof header) ||
      !take(image, static_cast<uint64_t>(settings.data), static_cast<uint64_t>(settings.data_bytes),
            data)) {
    return damaged("its place");
  }
  std::memcpy(&header, data.data(), sizeof header);
  const bool is_words = settings.kind == SYL_WORDS;
  if (std::memcmp(header.magic, kTokenizerMagic, sizeof header.magic) != 0 ||
      header.words > INT32_MAX || header.pieces > INT32_MAX || is_words != (header.pieces == 0) ||
      (is_words && header.words == 0)) {
    return damaged("its header");
  }
  std::span<const AddedTokenEntry> entries;
  if (!take_table(data, header.added_tokens, header.added, entries)) {
    return damaged("its tables");
  }
  if (header.words > 0) {
    if (settings.words < 0 || settings.words_bytes < 0 ||
        !take(image, static_cast<uint64_t>(settings.words),
              static_cast<uint64_t>(settings.words_bytes), words) ||
        !take_table(data, header.word_starts, uint64_t{header.words} + 1, word_starts) ||
        !take_table(data, header.word_order, header.words, word_order) ||
        !all_within(word_order, 0, header.words)) {
      return damaged("its tables");
    }
    word_bytes = reinterpret_cast<const char *>(words.data());
    if (Error error = check_words(words); !error.ok()) {
      return error;
    }
  }
  if (header.words > 0 && header.pieces > 0 &&
      (!take_table(data, header.word_of_piece, header.pieces, word_of_piece) ||
       !take_table(data, header.piece_of_word, header.words, piece_of_word) ||
       !all_within(word_of_piece, -1, header.words) ||
       !all_within(piece_of_word, -1, header.pieces))) {
    return damaged("its tables");
  }
  if (header.pieces > 0) {
    if (!take(data, header.model, header.model_bytes, model_bytes)) {
      return damaged("its model");
    }
    model = std::make_unique<lite::SentencePieceLiteProcessor>(
        std::string_view(reinterpret_cast<const char *>(model_bytes.data()), model_bytes.size()));
    if (model->status() != lite::StatusCode::kOk || model->vocab_size() != header.pieces) {
      return damaged("its model");
    }
  }
  unknown = settings.unknown;
  if (unknown < -1 || unknown >= size()) {
    return damaged("its unknown token");
  }
  return read_added(entries);
}

Error Tokenizer::Parts::check_words(std::span<const std::byte> bytes) const {
  bool good = word_starts.front() == 0 && word_starts.back() == bytes.size();
  for (size_t i = 0; good && i + 1 < word_starts.size(); ++i) {
    good = word_starts[i] < word_starts[i + 1] && word_starts[i + 1] <= bytes.size() &&
           word_bytes[word_starts[i + 1] - 1] == '\0';
  }
  return good ? Error{} : damaged("its words");
}

Error Tokenizer::Parts::read_added(std::span<const AddedTokenEntry> entries) {
  for (const AddedTokenEntry &entry : entries) {
    if (entry.id < 0 || entry.id >= size()) {
      return damaged("its added tokens");
    }
    if ((entry.flags & kSkipped) != 0) {
      skipped.push_back(entry.id);
    }
    const std::string_view text = token(entry.id);
    if ((entry.flags & kSplits) != 0 && !text.empty()) {
      added.push_back({text, entry.id, entry.flags});
      added_beginnings.set(static_cast<uint8_t>(text[0]));
    }
  }
  std::sort(skipped.begin(), skipped.end());
  std::stable_sort(added.begin(), added.end(), [](const AddedToken &a, const AddedToken &b) {
    return a.text.size() > b.text.size();
  });
  return {};
}

Result<Tokenizer> Tokenizer::open(const sylvite_tokenizer &settings,
                                  std::span<const std::byte> image) {
  auto parts = std::make_unique<Parts>();
  if (Error error = parts->read(settings, image); !error.ok()) {
    return error;
  }
  return Tokenizer(std::move(parts));
}

Tokenizer::Tokenizer(std::unique_ptr<const Parts> parts) : parts_(std::move(parts)) {}
Tokenizer::Tokenizer(Tokenizer &&) noexcept = default;
Tokenizer &Tokenizer::operator=(Tokenizer &&) noexcept = default;
Tokenizer::~Tokenizer() = default;

// --- The vocabulary --------------------------------------------------------------------------

int32_t Tokenizer::vocabulary_size() const {
  return parts_->size();
}

std::string_view Tokenizer::token(int32_t id) const {
  return id >= 0 && id < parts_->size() ? parts_->token(id) : std::string_view();
}

int32_t Tokenizer::find(std::string_view token) const {
  if (parts_->header.words > 0) {
    return parts_->find_word(token);
  }
  const int32_t id = parts_->model->PieceToId(token);
  return id >= 0 && parts_->piece(id) == token ? id : -1;
}

int32_t Tokenizer::Parts::find_word(std::string_view text) const {
  const auto found =
      std::lower_bound(word_order.begin(), word_order.end(), text,
                       [&](int32_t id, std::string_view wanted) { return word(id) < wanted; });
  return found != word_order.end() && !text.empty() && word(*found) == text ? *found : -1;
}

// --- Text to tokens --------------------------------------------------------------------------

// id -1: a piece or word that the vocabulary lacks.
void Tokenizer::Parts::add(int32_t id, Tokens &tokens) const {
  if (id < 0 || id == unknown) {
    ++tokens.unknown;
    id = unknown;
  }
  if (id >= 0) {
    tokens.ids.push_back(id);
  }
}

// The longest added token at the first place where one stands, and so on from its end.
std::vector<Segment> Tokenizer::Parts::split_at_added(std::string_view text) const {
  std::vector<Segment> segments;
  size_t start = 0;
  for (size_t at = 0; at < text.size();) {
    const AddedToken *here = nullptr;
    if (added_beginnings[static_cast<uint8_t>(text[at])]) {
      const auto found = std::find_if(added.begin(), added.end(), [&](const AddedToken &token) {
        return text.substr(at).starts_with(token.text);
      });
      here = found != added.end() ? &*found : nullptr;
    }
    if (here == nullptr) {
      ++at;
      continue;
    }
    segments.push_back({text.substr(start, at - start)});
    segments.push_back({here->text, here});
    start = at += here->text.size();
  }
  segments.push_back({text.substr(start)});
  // Text stands at the even places, added tokens between them.
  for (size_t i = 1; i < segments.size(); i += 2) {
    if ((segments[i].added->flags & kStripsLeft) != 0) {
      segments[i - 1].text = strip_right(segments[i - 1].text);
    }
    if ((segments[i].added->flags & kStripsRight) != 0) {
      segments[i + 1].text = strip_left(segments[i + 1].text);
    }
  }
  return segments;
}

void Tokenizer::Parts::encode_words(std::string_view text, Tokens &tokens) const {
  for (text = strip_left(text); !text.empty(); text = strip_left(text)) {
    size_t length = 0;
    while (length < text.size() && space_length(text.substr(length)) == 0) {
      ++length;
    }
    add(find_word(text.substr(0, length)), tokens);
    text.remove_prefix(length);
  }
}

Error Tokenizer::Parts::encode_pieces(std::string_view text, Tokens &tokens) const {
  if (has(kLanguageCodes) && text.starts_with(">>")) {
    if (const size_t end = text.find("<<"); end != std::string_view::npos) {
      add(find_word(text.substr(0, end + 2)), tokens);
      text.remove_prefix(end + 2);
    }
  }
  std::string normalized;
  std::vector<int> ids;
  std::vector<std::string_view> pieces;
  if (model->Normalize(text, &normalized) != lite::StatusCode::kOk ||
      model->EncodeNormalized(normalized, &ids, &pieces) != lite::StatusCode::kOk) {
    return {SYLVITE_INTERNAL, "SentencePiece refuses a text"};
  }
  for (size_t i = 0; i < ids.size(); ++i) {
    if (header.words == 0) {
      add(ids[i], tokens);
    } else if (ids[i] < 0 || ids[i] == model->unk_id()) {
      add(find_word(pieces[i]), tokens);
    } else {
      add(word_of_piece[static_cast<size_t>(ids[i])], tokens);
    }
  }
  return {};
}

Result<Tokens> Tokenizer::encode(std::string_view text) const {
  if (text.size() > kMaxTextBytes) {
    return bad_input("a text of ", text.size(), " bytes; at most ", kMaxTextBytes,
                     " are translated at once");
  }
  Tokens tokens;
  std::string storage;
  text = replace_bad_utf8(text, storage, tokens.bad_utf8);
  for (const Segment &segment : parts_->split_at_added(text)) {
    if (segment.added != nullptr) {
      parts_->add(segment.added->id, tokens);
    } else if (segment.text.empty()) {
      continue;
    } else if (parts_->model == nullptr) {
      parts_->encode_words(segment.text, tokens);
    } else if (Error error = parts_->encode_pieces(segment.text, tokens); !error.ok()) {
      return error;
    }
  }
  return tokens;
}

// --- Tokens to text --------------------------------------------------------------------------

std::string Tokenizer::decode(std::span<const int32_t> ids) const {
  std::vector<int32_t> shown;
  shown.reserve(ids.size());
  for (const int32_t id : ids) {
    if (!token(id).empty() && !parts_->is_skipped(id)) {
      shown.push_back(id);
    }
  }
  std::string text = parts_->model == nullptr    ? parts_->decode_words(shown)
                     : parts_->header.words == 0 ? parts_->decode_pieces(shown)
                                                 : parts_->decode_vocabulary(shown);
  if (parts_->has(kCleansUp)) {
    clean_up(text);
  }
  return text;
}

std::string Tokenizer::Parts::decode_words(std::span<const int32_t> ids) const {
  std::string text;
  for (const int32_t id : ids) {
    text += text.empty() ? "" : " ";
    text += word(id);
  }
  return text;
}

std::string Tokenizer::Parts::decode_pieces(std::span<const int32_t> ids) const {
  std::string text;
  model->Decode(ids, &text);  // fails for ids out of range only
  return text;
}

// DecodePieces: the first piece's space is dropped (every one before the first text, where the
// model removes extra spaces), runs of bytes become characters, control pieces vanish. Then as
// MarianTokenizer does: what is left of space symbols becomes spaces, and the ends are stripped.
std::string Tokenizer::Parts::decode_vocabulary(std::span<const int32_t> ids) const {
  std::string text, bytes;
  const auto flush_bytes = [&] {
    for (std::string_view rest = bytes; !rest.empty();) {
      const size_t length = utf8_length(rest);
      text += length > 0 ? rest.substr(0, length) : "\ufffd";
      rest.remove_prefix(length > 0 ? length : 1);
    }
    bytes.clear();
  };
  bool at_beginning = has(kDummyPrefix) || has(kRemovesSpaces);
  for (const int32_t id : ids) {
    std::string_view shown = word(id);
    const int32_t own = piece_of_word[static_cast<size_t>(id)];
    const int type = own < 0 ? 0 : model->piece_type(own);
    if (const int byte = type == kBytePiece ? byte_of_piece(shown) : -1; byte >= 0) {
      bytes += static_cast<char>(byte);
      continue;
    }
    flush_bytes();
    at_beginning = at_beginning && text.empty();
    if (type == kControlPiece) {
      continue;
    }
    if (own >= 0 && own == model->unk_id()) {
      std::string surface;
      model->Decode(lite::Span<const int>(&own, 1), &surface);
      text += surface;
      continue;
    }
    if (own >= 0 && at_beginning && shown.starts_with(kSpaceSymbol)) {
      shown.remove_prefix(kSpaceSymbol.size());
      at_beginning = has(kRemovesSpaces);
    }
    text += shown;
  }
  flush_bytes();
  replace_all(text, kSpaceSymbol, " ");
  return std::string(strip_left(strip_right(text)));
}

}  // namespace sylvite
