// What is wrong with a translator's folder, in one line that says what would be right; and no
// program, nor a part of one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <onnx/defs/parser.h>
#include <sys/stat.h>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "tests/translate/translators.h"

namespace sylvite::testing {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Matcher;
using ::testing::StartsWith;

void expect_refused(const std::string &path, const Matcher<std::string> &message, int status = 1) {
  const TemporaryFolder out;
  const CommandResult result = run_sylvite({"compile", path, "-o", out.path("translate")});
  EXPECT_EQ(result.status, status);
  EXPECT_THAT(result.err, message);
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  EXPECT_EQ(result.out, "");
  EXPECT_TRUE(fs::is_empty(out.path()));
}

// A model in ONNX's own text form.
std::string serialized(const std::string &text) {
  onnx::ModelProto model;
  const auto status =
      onnx::OnnxParser::Parse(model, ("<ir_version: 8, opset_import: [\"\" : 17]>" + text).c_str());
  EXPECT_TRUE(status.IsOK()) << status.ErrorMessage();
  return model.SerializeAsString();
}

// ---- A folder as the exporter writes it ----

TEST(ExportedFolder, SaysWhichFileIsMissing) {
  const std::pair<const char *, const char *> files[] = {
      {"config.json", "neither a sylvite.json (sylvite init writes one) nor the config.json"},
      {"encoder_model.onnx", "encoder_model.onnx is missing: the encoder's graph"},
      {"decoder_model.onnx", "decoder_model.onnx is missing: the decoder's graph for the first"},
      {"source.spm", "source.spm is missing: the SentencePiece model of the source language"},
      {"target.spm", "target.spm: does not exist; expected a SentencePiece model"},
      {"vocab.json", "vocab.json: does not exist; expected the ids of"}};
  for (const auto &[file, message] : files) {
    SCOPED_TRACE(file);
    const FolderOfLinks folder(example_folder());
    folder.remove(file);
    expect_refused(folder.path(), AllOf(HasSubstr(folder.path()), HasSubstr(message)));
  }
}

TEST(ExportedFolder, MayBeEmpty) {
  const FolderOfLinks folder;
  expect_refused(folder.path(), HasSubstr(folder.path() + ": holds no translator"));
}

TEST(ExportedFolder, MustBeAnEncoderDecoder) {
  const FolderOfLinks folder(example_folder());
  json config = read_json(folder.path("config.json"));
  config["is_encoder_decoder"] = false;
  folder.write("config.json", config);
  expect_refused(folder.path(), HasSubstr("config.json: this is no encoder-decoder model"));
}

TEST(ExportedFolder, HasAConfigurationThatIsChecked) {
  const std::pair<json, const char *> wrong[] = {
      {{{"eos_token_id", "end"}}, "key 'eos_token_id': expected a token's id, found \"end\""},
      {{{"eos_token_id", -4}}, "key 'eos_token_id': expected a token's id, found -4"},
      {{{"eos_token_id", 8000}}, "the end token has id 8000, but the decoder has only 8000 ids"},
      {{{"num_beams", 0}}, "key 'num_beams': expected a whole number from 1 to 64, found 0"},
      {{{"bad_words_ids", json::array({json::array({1, 2})})}},
       "key 'bad_words_ids': expected a list of lists of one token's id each, found [[1,2]]"},
      {{{"bad_words_ids", json::array({json::array({123456})})}},
       "the banned token has id 123456, but the decoder's scores has only 8000 ids"},
      {{{"early_stopping", "sometimes"}}, "key 'early_stopping': expected true, false or"},
      {{{"max_length", 1.5}}, "key 'max_length': expected a whole number"},
      {{{"decoder_start_token_id", 1e300}}, "key 'decoder_start_token_id': expected a token's id"}};
  for (const auto &[changes, message] : wrong) {
    SCOPED_TRACE(message);
    const FolderOfLinks folder(example_folder());
    json config = read_json(folder.path("generation_config.json"));
    config.update(changes);
    folder.write("generation_config.json", config);
    expect_refused(folder.path(), HasSubstr(message));
  }
}

TEST(ExportedFolder, HasFilesThatAreHostileUntilChecked) {
  const std::string deep = std::string(200'000, '[') + std::string(200'000, ']');
  for (const char *const file :
       {"config.json", "generation_config.json", "vocab.json", "tokenizer_config.json"}) {
    SCOPED_TRACE(file);
    const FolderOfLinks folder(example_folder());
    const Matcher<std::string> named = HasSubstr(folder.path(file) + ": ");
    folder.write(file, "{\"a\": " + deep + "}");
    expect_refused(folder.path(), named);
    folder.write(file, std::string("{\"eos_token_id\": 0"));
    expect_refused(folder.path(), named);
    folder.write(file, std::string("\x7f"
                                   "ELF\0\0\xff",
                                   7));
    expect_refused(folder.path(), named);
    folder.write(file, std::string("[1, 2]"));
    expect_refused(folder.path(), named);
    folder.write(file, std::string());
    expect_refused(folder.path(), named);
  }
  for (const char *const file : {"source.spm", "target.spm", "encoder_model.onnx",
                                 "decoder_model.onnx", "decoder_with_past_model.onnx"}) {
    SCOPED_TRACE(file);
    const FolderOfLinks folder(example_folder());
    const std::string content = read_file_text(folder.path(file));
    const Matcher<std::string> named = HasSubstr(folder.path(file) + ": ");
    folder.write(file, content.substr(0, content.size() / 2));
    expect_refused(folder.path(), named);
    folder.write(file, std::string("no model"));
    expect_refused(folder.path(), named);
  }
}

// What transformers would search otherwise by, and what cannot be read, is said.
TEST(ExportedFolder, HasSettingsThatAreFollowedOrNamed) {
  const FolderOfLinks folder(example_folder());
  json config = read_json(folder.path("generation_config.json"));
  config["repetition_penalty"] = 1.5;
  config["no_repeat_ngram_size"] = 0;
  folder.write("generation_config.json", config);
  const CommandResult compiled =
      run_sylvite({"compile", folder.path(), "-o", folder.path("translate")});
  EXPECT_EQ(compiled.status, 0) << compiled.err;
  EXPECT_EQ(compiled.err, "sylvite: warning: " + folder.path("generation_config.json") +
                              ": key 'repetition_penalty' is not supported: translations are as "
                              "without it\n");
  folder.remove("generation_config.json");
  fs::create_directory(folder.path("generation_config.json"));
  expect_refused(folder.path(), HasSubstr("generation_config.json: is a folder"));
  folder.remove("generation_config.json");
  folder.remove("vocab.json");
  ASSERT_EQ(::mkfifo(folder.path("vocab.json").c_str(), 0600), 0);
  expect_refused(folder.path(), HasSubstr("vocab.json: is a pipe or a device; expected a file"));
}

TEST(ExportedFolder, IsNoSingleModel) {
  const FolderOfLinks folder(example_folder());
  const CommandResult result =
      run_sylvite({"compile", folder.path(), "-o", folder.path("translate"), "--task=classify"});
  EXPECT_EQ(result.status, 2);
  EXPECT_THAT(result.err, HasSubstr("--task is for a single model"));
}

// A vocabulary of another model: ids that no embedding has a row for.
TEST(ExportedFolder, HasATokenizerThatFits) {
  const FolderOfLinks folder(example_folder());
  json vocabulary = read_json(folder.path("vocab.json"));
  vocabulary["zebra"] = 8123;
  folder.write("vocab.json", vocabulary);
  expect_refused(folder.path(), HasSubstr(folder.path("vocab.json") +
                                          ": its last word has id 8123, but the encoder has only "
                                          "8000 ids"));
  json other = json::object();
  for (const auto &[word, id] : vocabulary.items()) {
    if (id < 1000 || id == 7999) {
      other[word] = id;
    }
  }
  folder.write("vocab.json", other);
  expect_refused(folder.path(), AllOf(HasSubstr(folder.path("vocab.json") + ": has only "),
                                      HasSubstr("they do not belong together")));
}

TEST(ExportedFolder, MayHaveTokensThatNothingEnds) {
  const FolderOfLinks folder(example_folder());
  for (const char *const file : {"config.json", "generation_config.json"}) {
    json config = read_json(folder.path(file));
    config.erase("eos_token_id");
    config.erase("forced_eos_token_id");
    config["max_length"] = 9;
    folder.write(file, config);
  }
  const CommandResult compiled =
      run_sylvite({"compile", folder.path(), "-o", folder.path("translate")});
  EXPECT_EQ(compiled.status, 0) << compiled.err;
  EXPECT_THAT(compiled.err, HasSubstr("warning: " + folder.path() + ": no token ends a sentence"));
  EXPECT_THAT(compiled.err, HasSubstr("8 tokens"));
  const CommandResult run = run_command({folder.path("translate"), "--json", "Run!"});
  EXPECT_EQ(run.status, 0) << run.err;
  EXPECT_EQ(json::parse(run.out).at("ids").size(), 8u);
}

TEST(ExportedFolder, IsNotWrittenOver) {
  const FolderOfLinks folder(example_folder());
  for (const char *const name :
       {"encoder_model.onnx", "decoder_model.onnx", "vocab.json", "source.spm", "config.json"}) {
    const std::string before = read_file_text(folder.path(name));
    const CommandResult result = run_sylvite({"compile", folder.path(), "-o", folder.path(name)});
    EXPECT_EQ(result.status, 2) << name;
    EXPECT_THAT(result.err, HasSubstr("would overwrite"));
    EXPECT_TRUE(read_file_text(folder.path(name)) == before) << name;
  }
}

// ---- sylvite.json ----

class Manifest : public ::testing::Test {
 protected:
  // Expects that a change of a model's manifest is refused.
  void expect(const std::string &model, const std::function<void(json &)> &change,
              const Matcher<std::string> &message) {
    SCOPED_TRACE(::testing::PrintToString(message));
    const FolderOfLinks folder(model_called(model).value());
    json words = word_list_case(model);
    change(words["manifest"]);
    add_word_list(folder, words);
    expect_refused(folder.path(), AllOf(StartsWith("sylvite: "), message));
  }

  static constexpr const char *kSeparate = "seed-transformer-n2-encdec-dynamo18";
  static constexpr const char *kCombined = "seed-transformer-n2-ts11-annotated";
  static constexpr const char *kCached = "marian-encdec-ts14";
  static constexpr const char *kMerged = "marian-optimum-merged";
};

TEST_F(Manifest, HasKnownKeys) {
  expect(
      kSeparate, [](json &m) { m["decoderr"] = 1; },
      HasSubstr("sylvite.json: unknown key 'decoderr'; did you mean 'decoder'?"));
  expect(
      kSeparate, [](json &m) { m["decoder"]["token"] = "tgt"; },
      HasSubstr("unknown key 'decoder.token'; did you mean 'decoder.tokens'?"));
  expect(
      kSeparate, [](json &m) { m["tokenizer"]["kinds"] = "words"; },
      HasSubstr("unknown key 'tokenizer.kinds'; did you mean 'tokenizer.kind'?"));
  expect(
      kSeparate, [](json &m) { m["decoding"]["beam"] = 2; },
      HasSubstr("unknown key 'decoding.beam'; did you mean 'decoding.beams'?"));
  expect(
      kSeparate, [](json &m) { m.erase("encoder"); },
      HasSubstr("expected either 'model' (one graph of source and target) or 'encoder'"));
  expect(
      kSeparate, [](json &m) { m["task"] = "translation"; },
      HasSubstr("key 'task': expected \"translate\", found \"translation\""));
  expect(
      kSeparate, [](json &m) { m["decoder"].erase("scores"); },
      HasSubstr("key 'decoder.scores': expected the output that has the scores, found nothing"));
  expect(kSeparate, [](json &m) { m["decoder"] = 5; }, HasSubstr("key 'decoder': expected"));
  expect(
      kSeparate, [](json &m) { m["scores_are"] = "raw"; },
      HasSubstr("key 'scores_are': expected \"logits\", \"probabilities\" or"));
  expect(kSeparate, [](json &m) { m["decoding"]["beams"] = 0; }, HasSubstr("key 'decoding.beams'"));
  expect(
      kSeparate, [](json &m) { m["tokenizer"]["kind"] = "bytes"; },
      HasSubstr("key 'tokenizer.kind': expected \"marian\", \"sentencepiece\" or \"words\""));
}

TEST_F(Manifest, NamesFilesThatAreThere) {
  expect(
      kSeparate, [](json &m) { m["encoder"]["file"] = "encodr.onnx"; },
      AllOf(HasSubstr("key 'encoder.file': there is no file "),
            HasSubstr("/encodr.onnx; did you mean 'encoder.onnx'?")));
  expect(
      kSeparate, [](json &m) { m["tokenizer"]["target"] = "wörds.txt"; },
      AllOf(HasSubstr("key 'tokenizer.target'"), HasSubstr("did you mean 'words.txt'?")));
  expect(kSeparate, [](json &m) { m["encoder"]["file"] = "words.txt"; }, HasSubstr("words.txt: "));
}

TEST_F(Manifest, NamesTensorsThatAreThere) {
  expect(
      kSeparate, [](json &m) { m["encoder"]["tokens"] = "scr"; },
      HasSubstr("encoder.onnx: there is no input 'scr'; did you mean 'src'?"));
  expect(
      kSeparate, [](json &m) { m["encoder"]["mask"] = "mask"; },
      HasSubstr("encoder.onnx: there is no input 'mask'; did you mean "));
  expect(
      kSeparate, [](json &m) { m["decoder"]["tokens"] = "tgtt"; },
      HasSubstr("decoder.onnx: there is no input 'tgtt'; did you mean 'tgt'?"));
  expect(
      kSeparate, [](json &m) { m["decoder"]["scores"] = "log_prob"; },
      HasSubstr("decoder.onnx: there is no output 'log_prob'; did you mean 'log_probs'?"));
  expect(
      kSeparate, [](json &m) { m["decoder"]["sources"]["memry"] = "memory"; },
      HasSubstr("decoder.onnx: there is no input 'memry'; did you mean 'memory'?"));
  expect(
      kSeparate, [](json &m) { m["decoder"]["sources"]["memory"] = "memorie"; },
      AllOf(HasSubstr("sylvite.json: 'memorie', which input 'memory' of decoder.onnx should"),
            HasSubstr("did you mean 'memory'?")));
  expect(
      kSeparate, [](json &m) { m["decoder"]["sources"].erase("memory"); },
      HasSubstr("decoder.onnx: nothing says what input 'memory' is: name it as tokens, mask,"));
  expect(
      kSeparate, [](json &m) { m["decoder"]["tokens"] = "memory"; },
      AllOf(HasSubstr("decoder.onnx: input 'memory' is f32["), HasSubstr("expected tokens")));
  expect(
      kCombined, [](json &m) { m["model"]["source"] = "sources"; },
      HasSubstr("model.onnx: there is no input 'sources'; did you mean 'src'?"));
  expect(
      kCombined, [](json &m) { m["model"]["scores"] = "scores"; },
      HasSubstr("model.onnx: there is no output 'scores'; did you mean '"));
  expect(
      kMerged, [](json &m) { m["decoder"]["branches"] = {{"use_cache", true}}; },
      HasSubstr("decoder_merged.onnx: there is no input 'use_cache' to fix"));
}

TEST_F(Manifest, HasPastsWithTheirPresents) {
  const std::string key = "past_key_values.0.decoder.key";
  expect(
      kCached, [&](json &m) { m["decoder_with_past"]["caches"][key] = "presnt.0.decoder.key"; },
      HasSubstr("decoder_with_past.onnx: the past '" + key +
                "' has no present: there is no output 'presnt.0.decoder.key'; did you mean "
                "'present.0.decoder.key'?"));
  expect(
      kCached, [&](json &m) { m["decoder_with_past"]["caches"][key] = "present.0.decoder.value"; },
      HasSubstr("decoder_with_past.onnx: output 'present.0.decoder.value' is not input '" + key +
                "' with new rows behind it"));
  expect(
      kCached, [&](json &m) { m["decoder_with_past"]["caches"][key] = "logits"; },
      HasSubstr("output 'logits' is not input '" + key + "' with new rows behind it"));
  expect(
      kCached, [&](json &m) { m["decoder_with_past"]["caches"].erase(key); },
      HasSubstr("decoder_with_past.onnx: "));
  expect(
      kCached, [](json &m) { m["decoder_with_past"].erase("caches"); },
      HasSubstr("key 'decoder_with_past.caches': expected the inputs that hold earlier"));
  expect(
      kCached,
      [](json &m) {
        m["decoder_with_past"]["sources"]["past_key_values.1.encoder.key"] =
            "present.7.encoder.key";
      },
      HasSubstr("is no output or input of the encoder or the first decoder; did you mean "));
}

// Two heads of each sentence on the batch's axis: in which order, nothing says.
TEST(SeparateGraphs, HaveTheBatchOnAnAxisOfItsOwn) {
  const FolderOfLinks folder;
  folder.write("encoder.onnx", serialized(R"(
      encoder (int64[batch, n] source) => (float[heads, n] memory) {
        both = Concat <axis = 0> (source, source)
        memory = Cast <to = 1> (both)
      })"));
  folder.write("decoder.onnx", serialized(R"(
      decoder (int64[batch, t] target, float[heads, n] memory) => (float[batch, t, 4] scores)
      <float[1, 4] row = {0.1, 0.2, 0.4, 0.3}, int64[1] last = {2}> {
        numbers = Cast <to = 1> (target)
        columns = Unsqueeze (numbers, last)
        sum = ReduceSum <keepdims = 0> (memory)
        products = Mul (columns, row)
        scores = Add (products, sum)
      })"));
  folder.write("words.txt", std::string("a\nb\nc\nd\n"));
  folder.write("sylvite.json", json::parse(R"({"task": "translate",
      "encoder": {"file": "encoder.onnx", "tokens": "source"},
      "decoder": {"file": "decoder.onnx", "tokens": "target", "scores": "scores",
                  "sources": {"memory": "memory"}},
      "tokenizer": {"kind": "words", "source": "words.txt", "target": "words.txt", "unknown": "a"},
      "tokens": {"start": "a", "end": "b", "pad": "a"}})"));
  expect_refused(folder.path(),
                 AllOf(HasSubstr("encoder.onnx: output 'memory' is f32[batch*2, n]; which part of "
                                 "batch*2 belongs to which sentence cannot be told"),
                       HasSubstr("export it with the batch as an axis of its own")));
}

TEST_F(Manifest, NamesTokensOfTheVocabulary) {
  expect(
      kSeparate, [](json &m) { m["tokens"]["end"] = "</s>"; },
      HasSubstr("sylvite.json: key 'tokens.end': the vocabulary has no '</s>'"));
  expect(
      kSeparate, [](json &m) { m["tokens"]["start"] = 80; },
      HasSubstr("the start token has id 80, but the decoder has only 80 ids"));
  expect(
      kSeparate, [](json &m) { m["tokens"]["pad"] = 4000; },
      HasSubstr("the padding token has id 4000, but the encoder has only 80 ids"));
  expect(
      kSeparate, [](json &m) { m["tokens"].erase("start"); },
      HasSubstr("key 'tokens.start': expected the target's first token"));
  expect(
      kSeparate, [](json &m) { m["tokens"]["banned"] = {1, "two"}; },
      HasSubstr("key 'tokens.banned': expected a list of ids"));
  expect(
      kSeparate, [](json &m) { m["tokens"]["banned"] = {80}; },
      HasSubstr("the banned token has id 80, but the decoder's scores has only 80 ids"));
  expect(
      kSeparate, [](json &m) { m["tokenizer"]["unknown"] = "<unk>"; },
      HasSubstr("words.txt: has no '<unk>'"));
}

TEST_F(Manifest, HasAsManyWordsAsTheModel) {
  const FolderOfLinks folder(model_called(kSeparate).value());
  json words = word_list_case(kSeparate);
  words["words"] = 84;
  add_word_list(folder, words);
  expect_refused(folder.path(), HasSubstr(folder.path("words.txt") +
                                          ": its last word has id 83, but the encoder has only "
                                          "80 ids"));
}

TEST_F(Manifest, MayHaveNoEnd) {
  const FolderOfLinks folder(model_called(kSeparate).value());
  json words = word_list_case(kSeparate);
  words["manifest"]["tokens"].erase("end");
  add_word_list(folder, words);
  const CommandResult compiled =
      run_sylvite({"compile", folder.path(), "-o", folder.path("translate")});
  EXPECT_EQ(compiled.status, 0) << compiled.err;
  EXPECT_THAT(compiled.err, HasSubstr("no token ends a sentence: every translation is as long as"));
  const CommandResult run = run_command({folder.path("translate"), "--json", "w5 w6"});
  EXPECT_EQ(run.status, 0) << run.err;
  EXPECT_EQ(json::parse(run.out).at("ids").size(), 20u);
}

TEST_F(Manifest, IsJson) {
  const FolderOfLinks folder;
  const Matcher<std::string> named = HasSubstr(folder.path("sylvite.json") + ": ");
  for (const std::string &text :
       {std::string(), std::string("task: translate"), std::string("{\"task\": \"translate\""),
        std::string("[]"), std::string("{}"), std::string("\0\1\2", 3),
        "{\"task\": " + std::string(100'000, '[')}) {
    folder.write("sylvite.json", text);
    expect_refused(folder.path(), named);
    expect_refused(folder.path("sylvite.json"), named);
  }
  folder.write("sylvite.json",
               "{\"task\": " + std::string(1000, '[') + std::string(1000, ']') + "}");
  expect_refused(folder.path(), AllOf(named, HasSubstr("is nested deeper than 32 levels")));
  folder.remove("sylvite.json");
  fs::create_directory(folder.path("sylvite.json"));
  expect_refused(folder.path(), named);
}

}  // namespace
}  // namespace sylvite::testing
