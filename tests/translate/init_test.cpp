// `sylvite init`: its manifest is compiled as it is, and gives the tokens that the folder should
// give.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/translate/translators.h"

namespace sylvite::testing {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::HasSubstr;

TEST(Init, WritesWhatAnExportedFolderIsTakenFor) {
  const FolderOfLinks folder(example_folder());
  const CommandResult result = run_sylvite({"init", folder.path()});
  ASSERT_EQ(result.status, 0) << result.err;
  EXPECT_EQ(result.out, "");
  EXPECT_THAT(result.err, HasSubstr("written by Hugging Face's exporter"));
  const json manifest = read_json(folder.path("sylvite.json"));
  EXPECT_EQ(manifest.at("tokenizer").at("kind"), "marian");
  EXPECT_EQ(manifest.at("decoder_with_past").at("caches").size(), 4u);
  EXPECT_EQ(manifest.at("tokens").at("banned"), json({7999}));

  // The manifest says all that config.json did.
  folder.remove("config.json");
  folder.remove("generation_config.json");
  const std::string program = compile_translator(folder.path(), folder.path("translate"));
  ASSERT_FALSE(program.empty());
  for (const json &row : read_json(fs::path(SYLVITE_SOURCE_DIR) / "tests/translate/en-de.json")) {
    EXPECT_EQ(run_command({program, row.at("en")}).out, row.at("greedy").get<std::string>() + "\n");
    EXPECT_EQ(run_command({program, "--beam", "4", row.at("en")}).out,
              row.at("beam4").get<std::string>() + "\n");
  }
}

TEST(Init, GuessesOneGraphWithListsOfWords) {
  const std::string model = "seed-transformer-n2-ts11-annotated";
  const FolderOfLinks folder(model_called(model).value());
  const json words = word_list_case(model);
  const int end =
      std::stoi(words.at("manifest").at("tokens").at("end").get<std::string>().substr(1));
  for (const char *const name : {"source_words.txt", "target_words.txt"}) {
    std::string list;
    for (int i = 0; i < words.at("words").get<int>(); ++i) {
      list += (i == 0     ? "<pad>"
               : i == 1   ? "<s>"
               : i == 3   ? "<unk>"
               : i == end ? "</s>"
                          : "w" + std::to_string(i)) +
              "\n";
    }
    folder.write(name, list);
  }
  const CommandResult result = run_sylvite({"init", folder.path()});
  ASSERT_EQ(result.status, 0) << result.err;
  for (const char *const reason :
       {"model: model.onnx is the only graph; 'src' is taken for the source, 'tgt' for the target",
        "scores_are: output ", "tokenizer: source_words.txt for the source, target_words.txt for",
        "tokens.start: '<s>'", "tokens.end: '</s>'", "tokens.pad: '<pad>'",
        "tokenizer.unknown: '<unk>'", "tokenizer.skipped: '<pad>', '<s>', '</s>': not text"}) {
    EXPECT_THAT(result.err, HasSubstr(reason));
  }

  // One thing no file says: whether sources end with a token too.
  json manifest = read_json(folder.path("sylvite.json"));
  EXPECT_EQ(manifest.at("tokens").at("source_end"), end);
  manifest["tokens"].erase("source_end");
  manifest["decoding"]["max_length"] = words.at("manifest").at("decoding").at("max_length");
  folder.write("sylvite.json", manifest);
  const std::string program = compile_translator(folder.path(), folder.path("translate"));
  ASSERT_FALSE(program.empty());
  for (size_t i = 0; i < words.at("sources").size(); ++i) {
    std::string text = lines_of_words(json::array({words["sources"][i]}));
    text.pop_back();
    if (text.find("w" + std::to_string(end)) != std::string::npos) {
      continue;  // has another name here
    }
    const CommandResult run = run_command({program, "--json", text});
    ASSERT_EQ(run.status, 0) << run.err;
    std::vector<int> ids = json::parse(run.out).at("ids").get<std::vector<int>>();
    if (!ids.empty() && ids.back() == end) {
      ids.pop_back();
    }
    EXPECT_EQ(ids, words["targets"][i].get<std::vector<int>>());
  }
  EXPECT_EQ(run_command({program, "no such words"}).status, 0);  // unknown, not refused
}

// Graphs that all call their tokens input_ids, and a decoder that is two in one file.
TEST(Init, KnowsExportersNamesWithoutTheirConfiguration) {
  for (const char *const model : {"marian-encdec-ts14", "marian-optimum-merged"}) {
    SCOPED_TRACE(model);
    const FolderOfLinks folder(model_called(model).value());
    const json words = word_list_case(model);
    add_word_list(folder, words);
    const json right = read_json(folder.path("sylvite.json"));
    folder.remove("sylvite.json");
    const CommandResult result = run_sylvite({"init", folder.path()});
    ASSERT_EQ(result.status, 0) << result.err;
    const json guessed = read_json(folder.path("sylvite.json"));
    for (const char *const key : {"encoder", "decoder", "decoder_with_past"}) {
      EXPECT_EQ(guessed.at(key), right.at(key)) << key;
    }
  }
}

TEST(Init, ExplainsAnEmptyFolder) {
  const FolderOfLinks folder;
  const CommandResult result = run_sylvite({"init", folder.path()});
  EXPECT_EQ(result.status, 1);
  EXPECT_THAT(result.err, HasSubstr(folder.path() + ": there is no .onnx file"));
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  EXPECT_TRUE(fs::is_empty(folder.path()));

  const CommandResult none = run_sylvite({"init", folder.path("nothing")});
  EXPECT_EQ(none.status, 1);
  EXPECT_THAT(none.err, HasSubstr(folder.path("nothing") + ": is no folder"));
}

TEST(Init, SaysWhatIsMissing) {
  const FolderOfLinks folder(model_called("seed-transformer-n2-ts11-annotated").value());
  const CommandResult result = run_sylvite({"init", folder.path()});
  EXPECT_EQ(result.status, 1);
  EXPECT_THAT(result.err, HasSubstr("there is no tokenizer: expected SentencePiece models"));
  EXPECT_FALSE(fs::exists(folder.path("sylvite.json")));
}

TEST(Init, OverwritesNothingUnasked) {
  const FolderOfLinks folder(example_folder());
  folder.write("sylvite.json", std::string("mine"));
  const CommandResult refused = run_sylvite({"init", folder.path()});
  EXPECT_EQ(refused.status, 2);
  EXPECT_THAT(refused.err, HasSubstr("--force overwrites it"));
  EXPECT_EQ(read_file_text(folder.path("sylvite.json")), "mine");
  const CommandResult shown = run_sylvite({"init", folder.path(), "-o", "-"});
  EXPECT_EQ(shown.status, 0) << shown.err;
  EXPECT_EQ(json::parse(shown.out).at("task"), "translate");
  EXPECT_EQ(read_file_text(folder.path("sylvite.json")), "mine");
  EXPECT_EQ(run_sylvite({"init", folder.path(), "--force"}).status, 0);
  EXPECT_EQ(read_file_text(folder.path("sylvite.json")), shown.out);
}

TEST(Init, HelpsItself) {
  const CommandResult result = run_sylvite({"init", "--help"});
  EXPECT_EQ(result.status, 0);
  for (const char *const text : {"FOLDER", "sylvite.json", "--output", "--force"}) {
    EXPECT_THAT(result.out, HasSubstr(text));
  }
  EXPECT_EQ(run_sylvite({"init"}).status, 2);
}

}  // namespace
}  // namespace sylvite::testing
