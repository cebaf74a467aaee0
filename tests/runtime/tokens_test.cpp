// Tokenizers against what Python's said (tokens/*.jsonl, see make_token_goldens.py), and against
// damage.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "compiler/driver/tokenizer_files.h"
#include "runtime/tokens/tokenizer.h"
#include "runtime/tokens/tokenizer_data.h"
#include "runtime/tokens/unicode.h"
#include "tests/runtime/tokenizer_image.h"

namespace sylvite {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const fs::path kFolder = SYLVITE_SOURCE_DIR "/tests/runtime/tokens";
const fs::path kTranslate = SYLVITE_SOURCE_DIR "/examples/translate";

// Keeps the bytes that the tokenizer reads.
class Loaded {
 public:
  explicit Loaded(const TranslateTask::Tokenizer &written)
      : image_(written), opened_(image_.open()) {
    if (!opened_.ok()) {
      throw std::runtime_error(opened_.error().message);
    }
  }
  const Tokenizer *operator->() const { return &opened_.value(); }
  const Tokenizer &operator*() const { return opened_.value(); }

 private:
  TokenizerImage image_;
  Result<Tokenizer> opened_;
};

std::vector<nlohmann::json> rows_of(const std::string &name) {
  std::ifstream file(kFolder / name);
  std::vector<nlohmann::json> rows;
  for (std::string line; std::getline(file, line);) {
    rows.push_back(nlohmann::json::parse(line));
  }
  return rows;
}

std::string bytes_of(const std::string &hex) {
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  }
  return bytes;
}

void expect_rows(const std::string &name, const Tokenizer &source, const Tokenizer &target) {
  size_t texts = 0, decoded = 0;
  for (const nlohmann::json &row : rows_of(name)) {
    const auto ids = row["ids"].get<std::vector<int32_t>>();
    if (row.contains("hex")) {
      const Result<Tokens> tokens = source.encode(bytes_of(row["hex"]));
      ASSERT_TRUE(tokens.ok());
      EXPECT_EQ(tokens.value().ids, ids) << row;
      ++texts;
    }
    EXPECT_EQ(target.decode(ids), row["text"].get<std::string>()) << row;
    ++decoded;
  }
  EXPECT_GT(texts, 250u);
  EXPECT_GT(decoded, 400u);
}

TEST(Tokens, MarianAsPython) {
  const MarianTokenizers tokenizers = read_marian_tokenizers(kTranslate, 8000, 8000);
  EXPECT_EQ(tokenizers.end, 0);
  EXPECT_EQ(tokenizers.pad, 7999);
  const Loaded source(tokenizers.source), target(tokenizers.target);
  EXPECT_EQ(source->vocabulary_size(), 8000);
  expect_rows("marian.jsonl", *source, *target);
}

// Language codes, an added token that strips, two models, a vocabulary with gaps that lacks pieces
// and has some that no model has, spaces cleaned up.
TEST(Tokens, MarianWithLanguagesAsPython) {
  const MarianTokenizers tokenizers = read_marian_tokenizers(kFolder / "lang", {}, {});
  const Loaded source(tokenizers.source), target(tokenizers.target);
  expect_rows("lang.jsonl", *source, *target);
}

class PlainModel : public testing::TestWithParam<const char *> {};

TEST_P(PlainModel, AsPython) {
  TokenizerManifest manifest;
  manifest.model = kFolder / (std::string(GetParam()) + ".model");
  const Loaded tokenizer(read_tokenizer(manifest));
  expect_rows(std::string(GetParam()) + ".jsonl", *tokenizer, *tokenizer);
}

INSTANTIATE_TEST_SUITE_P(Tokens, PlainModel,
                         testing::Values("unigram", "unigram_bytes", "bpe", "bpe_bytes"),
                         [](const auto &model) { return std::string(model.param); });

// The reference's own tokens of all test sentences, decoded.
TEST(Tokens, CorpusDecodes) {
  const char *const corpus = std::getenv("SYLVITE_CORPUS");
  if (corpus == nullptr) {
    GTEST_SKIP() << "no SYLVITE_CORPUS";
  }
  const fs::path folder = fs::path(corpus) / "translate-en-de";
  const MarianTokenizers tokenizers = read_marian_tokenizers(folder, {}, {});
  const Loaded source(tokenizers.source), target(tokenizers.target);
  std::ifstream ids_file(folder / "expected-ids.txt"), texts(folder / "expected-greedy.txt");
  std::ifstream sentences(folder / "test.en");
  size_t lines = 0;
  for (std::string ids_line, text, sentence;
       std::getline(ids_file, ids_line) && std::getline(texts, text) &&
       std::getline(sentences, sentence);
       ++lines) {
    std::istringstream numbers(ids_line);
    std::vector<int32_t> ids;
    for (int32_t id = 0; numbers >> id;) {
      ids.push_back(id);
    }
    EXPECT_EQ(target->decode(ids), text) << lines;
    // Text that is all in the vocabulary comes back as it was, but for what NFKC and spaces change.
    const Result<Tokens> tokens = source->encode(sentence);
    ASSERT_TRUE(tokens.ok());
    const Result<Tokens> again = source->encode(source->decode(tokens.value().ids));
    if (tokens.value().unknown == 0) {
      EXPECT_EQ(again.value().ids, tokens.value().ids) << sentence;
    }
  }
  EXPECT_EQ(lines, 1000u);
}

TEST(Tokens, Counts) {
  const Loaded source(read_marian_tokenizers(kTranslate, {}, {}).source);
  const auto counts = [&](const std::string &text) {
    const Result<Tokens> tokens = source->encode(text);
    return std::pair(tokens.value().unknown, tokens.value().bad_utf8);
  };
  EXPECT_EQ(counts(""), std::pair(int64_t{0}, int64_t{0}));
  EXPECT_EQ(counts("Hello."), std::pair(int64_t{0}, int64_t{0}));
  EXPECT_EQ(counts("東京"), std::pair(int64_t{1}, int64_t{0}));  // one piece
  EXPECT_EQ(counts("東 x 京"), std::pair(int64_t{2}, int64_t{0}));
  EXPECT_EQ(counts("a\xff").second, 1);
  EXPECT_EQ(counts("a\xe2\x96 b\xe2\x96").second, 2);  // what breaks off counts once
}

TEST(Tokens, SinglesAndBounds) {
  const Loaded source(read_marian_tokenizers(kTranslate, {}, {}).source);
  EXPECT_EQ(source->token(0), "</s>");
  EXPECT_EQ(source->find("</s>"), 0);
  EXPECT_EQ(source->find(""), -1);
  EXPECT_EQ(source->find("no such token"), -1);
  for (int32_t id = 0; id < source->vocabulary_size(); ++id) {
    EXPECT_EQ(source->find(source->token(id)), id);
  }
  for (const int32_t id : {-1, 8000, INT32_MAX, INT32_MIN}) {
    EXPECT_EQ(source->token(id), "");
    EXPECT_EQ(source->decode(std::vector<int32_t>{id, id}), "");
  }
  const std::string longest(kMaxTextBytes, 'x');
  EXPECT_TRUE(source->encode(longest).ok());
  const Result<Tokens> refused = source->encode(longest + "x");
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().message,
            "a text of 1048577 bytes; at most 1048576 are translated at once");
}

class WordList : public testing::Test {
 protected:
  TokenizerManifest manifest(const std::string &list) {
    const fs::path file = fs::path(testing::TempDir()) /
                          (std::string("words-") +
                           testing::UnitTest::GetInstance()->current_test_info()->name() + ".txt");
    std::ofstream(file, std::ios::binary) << list;
    TokenizerManifest manifest;
    manifest.vocabulary = file;
    return manifest;
  }
};

TEST_F(WordList, SplitsAtWhiteSpace) {
  TokenizerManifest words = manifest("\ufeff<pad>\r\nthe\r\ncat\r\n\r\nKäse\r\n<unk>\r\n\r\n");
  words.unknown = "<unk>";
  words.skipped = {"<pad>"};
  const Loaded tokenizer(read_tokenizer(words));
  EXPECT_EQ(tokenizer->vocabulary_size(), 6);
  const Tokens tokens = tokenizer->encode(" the\u3000cat\t\tThe\u00a0 Käse\n<pad> ").value();
  EXPECT_THAT(tokens.ids, ElementsAre(1, 2, 5, 4, 0));
  EXPECT_EQ(tokens.unknown, 1);
  EXPECT_THAT(tokenizer->encode("").value().ids, IsEmpty());
  EXPECT_THAT(tokenizer->encode(" \u2003\x1c").value().ids, IsEmpty());
  EXPECT_EQ(tokenizer->encode("the\xff cat").value().bad_utf8, 1);
  EXPECT_EQ(tokenizer->decode(std::vector<int32_t>{0, 1, 3, 2, 5, 99, 0}), "the cat <unk>");
  EXPECT_EQ(tokenizer->find("Käse"), 4);
}

TEST_F(WordList, UnknownWordsWithoutAWordForThem) {
  const Loaded tokenizer(read_tokenizer(manifest("a\nb")));
  const Tokens tokens = tokenizer->encode("a c b").value();
  EXPECT_THAT(tokens.ids, ElementsAre(0, 1));
  EXPECT_EQ(tokens.unknown, 1);
}

TEST(Unicode, ReplacesAsPython) {
  for (const nlohmann::json &row : rows_of("unigram_bytes.jsonl")) {
    if (!row.contains("hex")) {
      continue;
    }
    const std::string bytes = bytes_of(row["hex"]);
    std::string storage;
    int64_t replaced = 0;
    const std::string_view good = replace_bad_utf8(bytes, storage, replaced);
    EXPECT_TRUE(is_utf8(good)) << row;
    EXPECT_EQ(replaced == 0, good == bytes) << row;
  }
  const auto replaced = [](std::string_view text) {
    std::string storage;
    int64_t count = 0;
    std::string good(replace_bad_utf8(text, storage, count));
    return good + std::to_string(count);
  };
  EXPECT_EQ(replaced("\xed\xa0\x80x"), "\ufffd\ufffd\ufffdx3");  // a surrogate
  EXPECT_EQ(replaced("\xf0\x9f\x98"), "\ufffd1");
  EXPECT_EQ(replaced("\xc0\xaf"), "\ufffd\ufffd2");
  EXPECT_EQ(replaced("\xf4\x90\x80\x80"), "\ufffd\ufffd\ufffd\ufffd4");
  EXPECT_EQ(replaced("\xe2\x28\xa1"), "\ufffd(\ufffd2");
}

TEST(Unicode, Strips) {
  EXPECT_EQ(strip_left(" \t\u00a0\u3000x "), "x ");
  EXPECT_EQ(strip_right(" x\u2028\u0085 \x1f"), " x");
  EXPECT_EQ(strip_right("\u3000"), "");
  EXPECT_EQ(strip_right("x\u200b"), "x\u200b");  // no space for Python either
  EXPECT_EQ(strip_right("\x80\x80"), "\x80\x80");
}

// --- Damage ----------------------------------------------------------------------------------

void use(const Tokenizer &tokenizer) {
  std::vector<int32_t> ids;
  for (int32_t id = -1; id <= tokenizer.vocabulary_size() && id < 700; ++id) {
    ids.push_back(id);
    EXPECT_LE(tokenizer.token(id).size(), size_t{1} << 20);
  }
  tokenizer.decode(ids);
  for (const char *const text :
       {"Hello there, one <sep> two</s>.", ">>de<< 東京 \xff don't ﬁne", "", "▁ \u3000x  y"}) {
    const Result<Tokens> tokens = tokenizer.encode(text);
    if (tokens.ok()) {
      tokenizer.decode(tokens.value().ids);
    }
  }
}

// A program whose file is damaged opens its tokenizer, or says that it is damaged.
TEST(DamagedTokenizer, NeverCrashes) {
  std::vector<TranslateTask::Tokenizer> written = {
      read_marian_tokenizers(kFolder / "lang", {}, {}).source,
      read_marian_tokenizers(kFolder / "lang", {}, {}).target};
  for (const char *const name : {"unigram_bytes.model", "bpe.model"}) {
    TokenizerManifest manifest;
    manifest.model = kFolder / name;
    written.push_back(read_tokenizer(manifest));
  }
  std::mt19937 random(1);
  int opened = 0, refused = 0;
  for (int round = 0; round < 3000; ++round) {
    TokenizerImage image(written[static_cast<size_t>(round) % written.size()]);
    const size_t data_end = static_cast<size_t>(image.settings.data + image.settings.data_bytes);
    // The header and the tables are small against the model: a third of the rounds each.
    const size_t begin = 64, end = round % 3 == 0   ? begin + sizeof(TokenizerHeader)
                                   : round % 3 == 1 ? data_end
                                                    : image.bytes.size();
    for (uint32_t flips = 1 + random() % 4; flips > 0; --flips) {
      image.bytes[begin + random() % (end - begin)] ^= static_cast<std::byte>(1 << random() % 8);
    }
    if (round % 50 == 0) {
      image.bytes.resize(random() % image.bytes.size());
    }
    const Result<Tokenizer> tokenizer = image.open();
    if (tokenizer.ok()) {
      ++opened;
      use(tokenizer.value());
    } else {
      ++refused;
      EXPECT_THAT(tokenizer.error().message,
                  HasSubstr("the tokenizer in this program is damaged: its "));
    }
  }
  EXPECT_GT(opened, 100);
  EXPECT_GT(refused, 1000);
}

TEST(DamagedTokenizer, Settings) {
  const TokenizerImage good(read_marian_tokenizers(kFolder / "lang", {}, {}).source);
  ASSERT_TRUE(good.open().ok());
  const auto with = [&](auto &&change) {
    TokenizerImage image = good;
    change(image.settings);
    return image.open().ok();
  };
  EXPECT_FALSE(with([](sylvite_tokenizer &settings) { settings.kind = SYL_WORDS; }));
  EXPECT_FALSE(with([](sylvite_tokenizer &settings) { settings.data = -64; }));
  EXPECT_FALSE(with([](sylvite_tokenizer &settings) { settings.data += 8; }));
  EXPECT_FALSE(with([](sylvite_tokenizer &settings) { settings.data = INT64_MAX; }));
  EXPECT_FALSE(with([](sylvite_tokenizer &settings) { settings.data_bytes = 16; }));
  EXPECT_FALSE(with([](sylvite_tokenizer &settings) { settings.data_bytes = INT64_MAX; }));
  EXPECT_FALSE(with([](sylvite_tokenizer &settings) { settings.words_bytes -= 1; }));
  EXPECT_FALSE(with([](sylvite_tokenizer &settings) { settings.words += 64; }));
  EXPECT_FALSE(with([](sylvite_tokenizer &settings) { settings.unknown = 1 << 20; }));
}

}  // namespace
}  // namespace sylvite
