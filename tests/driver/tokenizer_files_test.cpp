// Tokenizer files that mean harm, or do not belong together: one line each that names the file.
#include "compiler/driver/tokenizer_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>

#include "compiler/ir/error.h"
#include "tests/runtime/tokenizer_image.h"
#include "tests/temporary_folder.h"

namespace sylvite {
namespace {

namespace fs = std::filesystem;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::Not;

const fs::path kTokens = SYLVITE_SOURCE_DIR "/tests/runtime/tokens";

std::string content_of(const fs::path &file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

// Field `number` with a length, as Protobuf writes it.
std::string field(int number, const std::string &content) {
  std::string bytes(1, static_cast<char>(number * 8 + 2));
  size_t length = content.size();
  for (; length >= 128; length /= 128) {
    bytes += static_cast<char>(length % 128 + 128);
  }
  return bytes + static_cast<char>(length) + content;
}

// type: 1 normal, 2 unknown, 3 control, 6 byte
std::string piece(const std::string &text, int type = 1) {
  return field(1, field(1, text) + "\x18" + static_cast<char>(type));
}

std::string simple_vocabulary(const std::string &more) {
  return R"({"</s>": 0, "<unk>": 1, "<pad>": 2, "▁a": 3, "▁b": 4)" + more + "}";
}

class TokenizerFiles : public ::testing::Test {
 protected:
  void SetUp() override {
    write("source.spm", model_);
    write("target.spm", model_);
    write("vocab.json", simple_vocabulary(""));
  }

  void write(const std::string &name, const std::string &content) { folder_.write(name, content); }
  // What reading the folder says; empty when it is good. Always one line.
  std::string error(std::optional<int64_t> ids = {}) {
    try {
      read_marian_tokenizers(folder_.path(), ids, ids);
      return "";
    } catch (const ModelError &error) {
      const std::string what = error.what();
      EXPECT_THAT(what, Not(HasSubstr("\n")));
      EXPECT_LT(what.size(), 600u);
      return what;
    }
  }
  std::string model_error(const std::string &model) {
    write("source.spm", model);
    const std::string what = error();
    write("source.spm", model_);
    EXPECT_THAT(what, AnyOf("", HasSubstr("source.spm: ")));
    return what;
  }
  std::string vocabulary_error(const std::string &vocabulary, std::optional<int64_t> ids = {}) {
    write("vocab.json", vocabulary);
    const std::string what = error(ids);
    EXPECT_THAT(what, AnyOf("", HasSubstr("vocab.json: ")));
    return what;
  }
  std::string config_error(const std::string &config) {
    write("tokenizer_config.json", config);
    const std::string what = error();
    fs::remove(folder_.path("tokenizer_config.json"));
    return what;
  }
  std::string list_error(const std::string &list, const std::string &unknown = "",
                         std::optional<int64_t> ids = {}) {
    write("words.txt", list);
    TokenizerManifest manifest;
    manifest.vocabulary = folder_.path("words.txt");
    manifest.unknown = unknown;
    manifest.ids = ids;
    try {
      read_tokenizer(manifest);
      return "";
    } catch (const ModelError &error) {
      EXPECT_THAT(error.what(), HasSubstr("words.txt: "));
      return error.what();
    }
  }

  testing::TemporaryFolder folder_;
  const std::string model_ = piece("<unk>", 2) + piece("▁a") + piece("▁b") + piece("</s>", 3);
};

TEST_F(TokenizerFiles, SmallestModel) {
  EXPECT_EQ(error(), "");
  EXPECT_EQ(error(5), "");
  const MarianTokenizers tokenizers = read_marian_tokenizers(folder_.path(), 5, 5);
  EXPECT_EQ(tokenizers.end, 0);
  EXPECT_EQ(tokenizers.pad, 2);
  const TokenizerImage image(tokenizers.source);
  const Result<Tokenizer> tokenizer = image.open();
  ASSERT_TRUE(tokenizer.ok());
  // Without a normalizer_spec its defaults hold: a space in front, extra ones removed.
  EXPECT_THAT(tokenizer.value().encode("a  b c").value().ids, ::testing::ElementsAre(3, 4, 1));
  EXPECT_EQ(id_count(tokenizers.source), 5);
  EXPECT_EQ(token_id(tokenizers.source, "▁b", "manifest"), 4);
  EXPECT_THROW(token_id(tokenizers.source, "▁c", "manifest"), ModelError);
}

TEST_F(TokenizerFiles, MissingFiles) {
  for (const char *const name : {"source.spm", "target.spm", "vocab.json"}) {
    const std::string content = content_of(folder_.path(name));
    fs::remove(folder_.path(name));
    EXPECT_THAT(error(), HasSubstr(folder_.path(name) + ": does not exist; expected "));
    write(name, content);
  }
  fs::remove(folder_.path("source.spm"));
  fs::create_directory(folder_.path("source.spm"));
  EXPECT_THAT(error(), HasSubstr("source.spm: is a folder"));
}

TEST_F(TokenizerFiles, ModelsThatAreNone) {
  const std::string whole = content_of(kTokens / "bpe_bytes.model");
  const char *const no_model = "is not a SentencePiece model";
  EXPECT_THAT(model_error(""), HasSubstr("it has no pieces"));
  EXPECT_THAT(model_error("Lorem ipsum dolor sit amet"), HasSubstr(no_model));
  EXPECT_THAT(model_error("{\"model\": {}}"), HasSubstr(no_model));
  EXPECT_THAT(model_error(std::string(100, '\0')), HasSubstr(no_model));
  EXPECT_THAT(model_error(std::string(100, '\xff')), HasSubstr(no_model));
  EXPECT_THAT(model_error(whole.substr(0, whole.size() / 2)), HasSubstr(no_model));
  EXPECT_THAT(model_error(whole.substr(0, whole.size() - 1)), HasSubstr(no_model));
  // A length beyond the end, and one beyond everything.
  EXPECT_THAT(model_error("\x0a\x7f"
                          "abc"),
              HasSubstr(no_model));
  EXPECT_THAT(model_error("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"
                          "abc"),
              HasSubstr(no_model));
  EXPECT_THAT(model_error(field(1,
                                "\x0a\xff\xff\xff\xff\x07"
                                "abc")),
              HasSubstr(no_model));
}

TEST_F(TokenizerFiles, ModelsThatAreTooLarge) {
  std::string many;
  for (int i = 0; i < 1'000'001; ++i) {
    many += std::string("\x0a\x00", 2);
  }
  EXPECT_THAT(model_error(many), HasSubstr("is larger than expected: at most 1000000 pieces"));
  EXPECT_THAT(model_error(model_ + field(2, std::string(size_t{5} << 20, '\x0a'))),
              HasSubstr("is larger than expected"));
  EXPECT_THAT(model_error(std::string(size_t{17} << 20, 'x')),
              HasSubstr("is larger than 16777216 bytes"));
}

TEST_F(TokenizerFiles, ModelsThatDoNotWork) {
  EXPECT_THAT(model_error(model_ + piece("▁a")), HasSubstr("Duplicate key"));
  EXPECT_THAT(model_error(model_ + piece("")), HasSubstr("Piece at index 4 is invalid"));
  EXPECT_THAT(model_error(model_ + piece(std::string("x\0y", 3))), HasSubstr("null byte"));
  EXPECT_THAT(model_error(model_ + piece(std::string(5000, 'x'))), HasSubstr("too long"));
  EXPECT_THAT(model_error(model_ + piece("\xff")), HasSubstr("piece 4 is not UTF-8"));
  EXPECT_THAT(model_error(model_ + field(2, "\x18\x03")), HasSubstr("Unsupported model type"));
  EXPECT_THAT(model_error(model_ + field(2, "\x18\x04")), HasSubstr("Unsupported model type"));
  EXPECT_THAT(model_error(model_ + field(5, field(2, "x"))), HasSubstr("has a denormaliser"));
  // Bytes that are no trie as the normalisation's.
  EXPECT_THAT(model_error(model_ + field(3, field(2, std::string(2000, '\x01')))),
              HasSubstr("is damaged"));
  // A score that is no number; an unknown id beyond the pieces; byte pieces with gaps.
  EXPECT_THAT(
      model_error(model_ + field(1, field(1, "x") + std::string("\x15\x00\x00\xc0\x7f", 5))),
      HasSubstr("is damaged"));
  EXPECT_THAT(model_error(model_ + field(2, std::string("\xc0\x02\x63", 3))),
              HasSubstr("is damaged"));
  EXPECT_THAT(model_error(model_ + piece("<0x00>", 6) + piece("<0x02>", 6)),
              HasSubstr("is damaged"));
}

TEST_F(TokenizerFiles, VocabulariesThatAreNone) {
  const char *const no_object = "expected an object of words and ids, found ";
  EXPECT_THAT(vocabulary_error(""), HasSubstr("is not JSON: parse error"));
  EXPECT_THAT(vocabulary_error("{\"a\": 1"), HasSubstr("is not JSON"));
  EXPECT_THAT(vocabulary_error("{\"\xff\": 1}"), HasSubstr("is not JSON"));
  EXPECT_THAT(vocabulary_error("[\"a\", \"b\"]"), HasSubstr(std::string(no_object) + "a list"));
  EXPECT_THAT(vocabulary_error("12"), HasSubstr(std::string(no_object) + "12"));
  EXPECT_THAT(vocabulary_error("null"), HasSubstr(std::string(no_object) + "null"));
  EXPECT_THAT(vocabulary_error("{}"), HasSubstr(std::string(no_object) + "none"));
  EXPECT_THAT(vocabulary_error(std::string(1'000'000, '[')), HasSubstr(no_object));
  std::string deep;
  for (int i = 0; i < 100'000; ++i) {
    deep += "{\"a\":";
  }
  EXPECT_THAT(vocabulary_error(deep), HasSubstr("'a': expected an id"));
}

TEST_F(TokenizerFiles, IdsThatAreNone) {
  const auto with = [&](const std::string &id) {
    return vocabulary_error(simple_vocabulary(", \"x\": " + id));
  };
  EXPECT_EQ(with("5"), "");
  EXPECT_THAT(with("-1"), HasSubstr("'x': expected an id of 0 to 1999999, found -1"));
  EXPECT_THAT(with("2000000"), HasSubstr("'x': expected an id of 0 to 1999999, found 2000000"));
  EXPECT_THAT(with("99999999999999999999"), HasSubstr("'x': expected an id"));
  EXPECT_THAT(with("1.5"), HasSubstr("found 1.5"));
  EXPECT_THAT(with("5.0"), HasSubstr("found 5.0"));
  EXPECT_THAT(with("\"5\""), HasSubstr("found '5'"));
  EXPECT_THAT(with("true"), HasSubstr("found true or false"));
  EXPECT_THAT(with("null"), HasSubstr("found null"));
  EXPECT_THAT(with("[5]"), HasSubstr("found a list"));
  EXPECT_THAT(with("{\"y\": 5}"), HasSubstr("found an object"));
  EXPECT_THAT(with("3"), HasSubstr("'▁a' and 'x' have the same id 3"));
  EXPECT_THAT(vocabulary_error(simple_vocabulary(", \"\": 5")), HasSubstr("id 5 is empty"));
  EXPECT_THAT(vocabulary_error(simple_vocabulary(", \"a\\u0000b\": 5")),
              HasSubstr("id 5 holds a zero byte"));
  // A word that stands twice has its last id, as in Python.
  EXPECT_EQ(vocabulary_error(simple_vocabulary(", \"x\": 5, \"x\": 6, \"y\": 5")), "");
}

TEST_F(TokenizerFiles, VocabulariesThatDoNotFit) {
  EXPECT_THAT(vocabulary_error(simple_vocabulary(", \"x\": 9"), 9),
              HasSubstr("'x' has id 9, but the model has only 9 ids"));
  EXPECT_EQ(vocabulary_error(simple_vocabulary(", \"x\": 9"), 10), "");
  EXPECT_THAT(vocabulary_error(R"({"</s>": 0, "<pad>": 1, "▁a": 2, "▁b": 3})"),
              HasSubstr("has no '<unk>', which the tokenizer needs"));
  EXPECT_THAT(vocabulary_error(R"({"</s>": 0, "<unk>": 1, "▁a": 2, "▁b": 3})"),
              HasSubstr("has no '<pad>'"));
  EXPECT_EQ(vocabulary_error(R"({"</s>": 0, "<unk>": 1, "<pad>": 2, "▁a": 3})"), "");
  EXPECT_THAT(vocabulary_error(R"({"</s>": 0, "<unk>": 1, "<pad>": 2, "a": 3})"),
              HasSubstr("has only 0 of the 2 pieces of " + folder_.path("source.spm") +
                        ": they do not belong together"));
}

TEST_F(TokenizerFiles, Configuration) {
  EXPECT_EQ(config_error("{}"), "");
  EXPECT_EQ(config_error(R"({"unk_token": {"content": "<unk>"}, "eos_token": "▁b"})"), "");
  EXPECT_THAT(config_error("[]"), HasSubstr("tokenizer_config.json: expected a JSON object"));
  EXPECT_THAT(config_error(R"({"unk_token": 5})"),
              HasSubstr("tokenizer_config.json: key 'unk_token': expected a token's text"));
  EXPECT_THAT(config_error(R"({"eos_token": "<eos>"})"), HasSubstr("vocab.json: has no '<eos>'"));
  EXPECT_THAT(config_error(R"({"separate_vocabs": true})"),
              HasSubstr("target_vocab.json: does not exist"));
  EXPECT_THAT(config_error(R"({"separate_vocabs": 1})"), HasSubstr("key 'separate_vocabs'"));
  EXPECT_THAT(config_error(R"({"sp_model_kwargs": {"enable_sampling": true}})"),
              HasSubstr("key 'sp_model_kwargs'"));
  EXPECT_THAT(config_error(R"({"additional_special_tokens": "x"})"),
              HasSubstr("key 'additional_special_tokens': expected a list"));
  const auto added = [&](const std::string &tokens) {
    return config_error("{\"added_tokens_decoder\": " + tokens + "}");
  };
  EXPECT_EQ(added(R"({"0": {"content": "</s>", "special": true}, "9": {"content": "<x>"}})"), "");
  EXPECT_THAT(added("[]"), HasSubstr("key 'added_tokens_decoder'"));
  EXPECT_THAT(added(R"({"x": {"content": "</s>"}})"), HasSubstr("expected ids and tokens"));
  EXPECT_THAT(added(R"({"-1": {"content": "</s>"}})"), HasSubstr("expected ids and tokens"));
  EXPECT_THAT(added(R"({"0": "</s>"})"), HasSubstr("expected ids and tokens"));
  EXPECT_THAT(added(R"({"0": {"content": ""}})"), HasSubstr("expected a token's text"));
  EXPECT_THAT(added(R"({"0": {"content": "</s>", "special": 1}})"), HasSubstr("'special'"));
  EXPECT_THAT(added(R"({"0": {"content": "</s>", "single_word": true}})"),
              HasSubstr("single_word"));
  EXPECT_THAT(added(R"({"1": {"content": "</s>"}})"), HasSubstr("'</s>' has id 1, but 0 in "));
  EXPECT_THAT(added(R"({"3": {"content": "<x>"}})"),
              HasSubstr("id 3 of '<x>' is that of another word"));
  EXPECT_THAT(added(R"({"9999999": {"content": "<x>"}})"), HasSubstr("id 9999999 of '<x>'"));
}

TEST_F(TokenizerFiles, SeparateVocabularies) {
  write("tokenizer_config.json", R"({"separate_vocabs": true})");
  write("target_vocab.json", R"({"<pad>": 0, "▁b": 1, "▁a": 2, "</s>": 3, "<unk>": 4})");
  const MarianTokenizers tokenizers = read_marian_tokenizers(folder_.path(), 5, 5);
  EXPECT_EQ(token_id(tokenizers.source, "▁a", ""), 3);
  EXPECT_EQ(token_id(tokenizers.target, "▁a", ""), 2);
  EXPECT_EQ(tokenizers.end, 0);  // the source's
}

// The older file holds where the newer does not list the added tokens.
TEST_F(TokenizerFiles, SpecialTokensMap) {
  write("vocab.json", simple_vocabulary(R"(, "<end>": 5, "<sep>": 6)"));
  write("special_tokens_map.json",
        R"({"eos_token": "<end>", "additional_special_tokens": ["<sep>"]})");
  EXPECT_EQ(read_marian_tokenizers(folder_.path(), {}, {}).end, 5);
  write("tokenizer_config.json",
        R"({"added_tokens_decoder": {"0": {"content": "</s>", "special": true}}})");
  EXPECT_EQ(read_marian_tokenizers(folder_.path(), {}, {}).end, 0);
}

TEST_F(TokenizerFiles, WordLists) {
  EXPECT_EQ(list_error("a\nb\n"), "");
  EXPECT_EQ(list_error("a\n\nb", "b", 3), "");
  EXPECT_THAT(list_error(""), HasSubstr("expected a word a line, found none"));
  EXPECT_THAT(list_error("\n\r\n\n"), HasSubstr("found none"));
  EXPECT_THAT(list_error("a\nb\na\n"), HasSubstr("line 3 repeats line 1, 'a'"));
  EXPECT_THAT(list_error("the 123\nof 45\n"), HasSubstr("line 1: expected one word, found 'the 1"));
  EXPECT_THAT(list_error("a\nx\u3000y"), HasSubstr("line 2: expected one word"));
  EXPECT_THAT(list_error("a\n\xff\n"), HasSubstr("line 2 is not UTF-8 text"));
  EXPECT_THAT(list_error(std::string("a\nb\0c\n", 6)), HasSubstr("line 2 is not UTF-8 text"));
  EXPECT_THAT(list_error("a\nb\n", "<unk>"), HasSubstr("has no '<unk>'"));
  EXPECT_THAT(list_error("a\nb\nc\n", "", 2), HasSubstr("'c' has id 2, but the model has only 2"));
}

TEST_F(TokenizerFiles, ModelWithItsOwnIds) {
  TokenizerManifest manifest;
  manifest.model = kTokens / "bpe.model";
  manifest.skipped = {"<lang>"};
  const TranslateTask::Tokenizer tokenizer = read_tokenizer(manifest);
  EXPECT_EQ(token_id(tokenizer, "<unk>", ""), 0);
  EXPECT_EQ(id_count(tokenizer), 420);
  manifest.ids = 419;
  EXPECT_THROW(read_tokenizer(manifest), ModelError);
  manifest.ids = {};
  manifest.skipped = {"<nothing>"};
  EXPECT_THROW(read_tokenizer(manifest), ModelError);
}

// Whatever is in a model file: it is read, or one line says what is wrong; what was read works.
TEST_F(TokenizerFiles, RandomDamage) {
  std::mt19937 random(1);
  int read = 0, refused = 0;
  for (const char *const name :
       {"unigram.model", "unigram_bytes.model", "bpe.model", "bpe_bytes.model"}) {
    const std::string whole = content_of(kTokens / name);
    for (int round = 0; round < 150; ++round) {
      std::string damaged = round % 5 == 0 ? whole.substr(0, random() % whole.size()) : whole;
      for (uint32_t flips = random() % 6; flips > 0 && !damaged.empty(); --flips) {
        // The settings at the end, or anywhere.
        const size_t window =
            round % 2 == 0 ? damaged.size() : std::min<size_t>(damaged.size(), 90);
        damaged[damaged.size() - 1 - random() % window] ^= static_cast<char>(1 << random() % 8);
      }
      write("random.model", damaged);
      TokenizerManifest manifest;
      manifest.model = folder_.path("random.model");
      try {
        const TokenizerImage image(read_tokenizer(manifest));
        const Result<Tokenizer> tokenizer = image.open();
        ASSERT_TRUE(tokenizer.ok());
        const Result<Tokens> tokens = tokenizer.value().encode("Straße, don't \xff 東京 ▁  x<sep>");
        tokenizer.value().decode(tokens.value().ids);
        ++read;
      } catch (const ModelError &error) {
        EXPECT_THAT(error.what(), HasSubstr("random.model: "));
        ++refused;
      }
    }
  }
  EXPECT_GT(read, 50);
  EXPECT_GT(refused, 100);
}

TEST_F(TokenizerFiles, RandomVocabularies) {
  const std::string whole = simple_vocabulary(R"(, "\u00e4": 5, "x": 6)");
  std::mt19937 random(2);
  for (int round = 0; round < 400; ++round) {
    std::string damaged = whole.substr(0, round % 4 == 0 ? random() % whole.size() : whole.size());
    for (uint32_t flips = random() % 4; flips > 0 && !damaged.empty(); --flips) {
      damaged[random() % damaged.size()] ^= static_cast<char>(1 << random() % 8);
    }
    vocabulary_error(damaged);  // nothing but a ModelError is thrown
  }
}

}  // namespace
}  // namespace sylvite
