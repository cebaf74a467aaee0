// The command line of a translator, linked with zig's libraries as `sylvite compile` links: what
// comes out for what goes in, and what happens when something is wrong.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "runtime/cpu.h"
#include "runtime/include/sylvite/translator.hpp"
#include "tests/runtime/translate/toy_translator.h"
#include "tests/temporary_folder.h"

namespace sylvite {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::StartsWith;

struct Outcome {
  int code = -1;
  std::string out, error;
};

std::string text_in(const std::filesystem::path &file) {
  std::ifstream stream(file);
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

// The program while it runs, with a pipe to its standard input and one from its standard output.
class Running {
 public:
  Running(const std::vector<std::string> &arguments, const std::string &error_file) {
    int to[2], from[2];
    EXPECT_EQ(pipe(to), 0);
    EXPECT_EQ(pipe(from), 0);
    child_ = fork();
    if (child_ == 0) {
      dup2(to[0], 0);
      dup2(from[1], 1);
      dup2(open(error_file.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644), 2);
      for (const int end : {to[0], to[1], from[0], from[1]}) {
        close(end);
      }
      std::vector<char *> argv = {const_cast<char *>("a/path/toy")};
      for (const std::string &argument : arguments) {
        argv.push_back(const_cast<char *>(argument.c_str()));
      }
      argv.push_back(nullptr);
      execv(SYLVITE_TOY_PROGRAM, argv.data());
      _exit(99);
    }
    close(to[0]);
    close(from[1]);
    in_ = to[1];
    out_ = from[0];
  }
  Running(const Running &) = delete;
  Running &operator=(const Running &) = delete;
  ~Running() {
    close_input();
    close_output();
  }

  void write(const std::string &text) const {
    EXPECT_EQ(::write(in_, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  // What comes until so many line ends, or the end.
  std::string read(int lines) const {
    std::string text;
    char c = 0;
    pollfd entry{out_, POLLIN, 0};
    while (lines > 0 && poll(&entry, 1, 20000) == 1 && ::read(out_, &c, 1) == 1) {
      text += c;
      lines -= c == '\n' ? 1 : 0;
    }
    return text;
  }
  // And some time to work on it.
  void wait_until_read() const {
    int waiting = 1;
    for (int i = 0; i < 2000 && ioctl(in_, FIONREAD, &waiting) == 0 && waiting > 0; ++i) {
      usleep(10000);
    }
    usleep(300000);
  }
  void close_input() {
    if (in_ >= 0) {
      close(in_);
      in_ = -1;
    }
  }
  void close_output() {
    if (out_ >= 0) {
      close(out_);
      out_ = -1;
    }
  }
  void signal(int number) const { kill(child_, number); }
  int wait() const {
    int status = 0;
    EXPECT_EQ(waitpid(child_, &status, 0), child_);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  }

 private:
  pid_t child_ = -1;
  int in_ = -1, out_ = -1;
};

class TranslateProgram : public ::testing::Test {
 protected:
  void SetUp() override {
    if (missing_feature(SYL_X86_64_V3) != nullptr) {
      GTEST_SKIP() << "this CPU is below x86-64-v3";
    }
    ASSERT_TRUE(model_.open(&toy_.program(), testing::ToyTranslator::weights()).ok());
    ASSERT_TRUE(translator_.create(model_).ok());
  }

  std::string file(const std::string &name) const { return folder_.path(name); }

  // input: what standard input is, a file.
  Outcome run(const std::vector<std::string> &arguments, const std::string &input = "",
              const std::string &environment = "", const std::string &out = "") {
    std::ofstream(file("in")) << input;
    std::string command = "env " + environment + " '" SYLVITE_TOY_PROGRAM "'";
    for (const std::string &argument : arguments) {
      command += " '" + argument + "'";
    }
    command += " < '" + file("in") + "' > '" + (out.empty() ? file("out") : out) + "' 2> '" +
               file("err") + "'";
    const int status = std::system(command.c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, out.empty() ? text_in(file("out")) : "",
            text_in(file("err"))};
  }

  // By the library.
  std::string translated(std::string_view text) {
    std::string result;
    EXPECT_TRUE(translator_.translate(text, result).ok());
    return result;
  }

  void expect_usage(const std::vector<std::string> &arguments, const std::string &line) {
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.code, 2);
    EXPECT_EQ(outcome.error, "toy: " + line + "; see toy --help\n");
    EXPECT_EQ(outcome.out, "");
  }

  std::string many_lines(int count) {
    std::string text;
    for (int i = 0; i < count; ++i) {
      text += std::string(i % 3 == 0   ? "haus baum "
                          : i % 3 == 1 ? "ja "
                                       : "mein haus ist rot ") +
              testing::toy_word(2 + i % 19) + "\n";
    }
    return text;
  }

  testing::TemporaryFolder folder_;
  testing::ToyTranslator toy_;
  Model model_;
  Translator translator_;
};

TEST_F(TranslateProgram, SentencesAsArguments) {
  const Outcome outcome = run({"haus baum", "", "ja", "--", "-- nacht"});
  EXPECT_EQ(outcome.code, 0) << outcome.error;
  EXPECT_EQ(outcome.out, translated("haus baum") + "\n\n" + translated("ja") + "\n" +
                             translated("-- nacht") + "\n");
  EXPECT_EQ(outcome.error, "");
}

TEST_F(TranslateProgram, LinesKeepTheirPlacesAndEnds) {
  const Outcome outcome = run({}, "\xef\xbb\xbfhaus\r\n\n \t\r\nja da\nrot und warm");
  EXPECT_EQ(outcome.code, 0) << outcome.error;
  EXPECT_EQ(outcome.out, translated("haus") + "\r\n\n\r\n" + translated("ja da") + "\n" +
                             translated("rot und warm") + "\n");
  EXPECT_EQ(run({"-"}, "haus").out, translated("haus") + "\n");
  EXPECT_EQ(run({}, "").out, "");
  EXPECT_EQ(run({}, "\n").out, "\n");
}

TEST_F(TranslateProgram, FilesInAndOut) {
  std::ofstream(file("text")) << "haus\nbaum\n";
  const Outcome outcome = run({"--input", file("text"), "--output", file("result")});
  EXPECT_EQ(outcome.code, 0) << outcome.error;
  EXPECT_EQ(outcome.out, "");
  EXPECT_EQ(text_in(file("result")), translated("haus") + "\n" + translated("baum") + "\n");
  EXPECT_EQ(run({"--input", file("text"), "--output", file("text")}).code, 0);
  EXPECT_EQ(text_in(file("text")), text_in(file("result")));
  const Outcome missing = run({"--input", file("none")});
  EXPECT_EQ(missing.code, 1);
  EXPECT_EQ(missing.error,
            "toy: " + file("none") + ": cannot be opened: No such file or directory\n");
  EXPECT_EQ(run({"--input", folder_.path()}).error,
            "toy: " + folder_.path().string() + ": is a folder\n");
  const Outcome nowhere = run({"--output", file("none/out"), "haus"});
  EXPECT_EQ(nowhere.code, 1);
  EXPECT_THAT(nowhere.error, StartsWith("toy: " + file("none/out")));
}

TEST_F(TranslateProgram, BatchesAndThreadsChangeNothing) {
  const std::string text = many_lines(700);
  const std::string once = run({"--batch", "1"}, text).out;
  EXPECT_EQ(std::count(once.begin(), once.end(), '\n'), 700);
  EXPECT_EQ(run({}, text).out, once);
  EXPECT_EQ(run({"--batch", "7", "--threads", "2"}, text).out, once);
  EXPECT_EQ(run({"--batch", "500", "--reserve"}, text).out, once);
  const std::string beams = run({"--beam", "3", "--batch", "1"}, text).out;
  EXPECT_NE(beams, once);
  EXPECT_EQ(run({"--beam", "3", "--batch", "40", "--threads", "2"}, text).out, beams);
}

TEST_F(TranslateProgram, OptionsReachTheSearch) {
  EXPECT_EQ(run({"--max-length", "2", "--json", "haus"}).out.find("\"ended\": true"),
            std::string::npos);
  sylvite_translate_options options = translator_.defaults();
  options.beams = 5;
  options.length_penalty = -0.5f;
  options.early_stopping = 2;
  options.max_length = 7;
  std::vector<Translation> found;
  const std::vector<std::string_view> texts = {"mein haus"};
  ASSERT_TRUE(translator_.translate(texts, options, found).ok());
  EXPECT_EQ(run({"--beam=5", "--length-penalty=-0.5", "--early-stopping=never", "--max-length=7",
                 "mein haus"})
                .out,
            found[0].text + "\n");
}

TEST_F(TranslateProgram, Json) {
  const Outcome outcome = run({"--json"}, "haus xyz\n\nja \"\\ da\n", "SYLVITE_TOY_LIMIT=3");
  EXPECT_EQ(outcome.code, 1);
  EXPECT_EQ(outcome.error, "toy: line 3: is too long: 4 tokens, and the model takes at most 3\n");
  std::istringstream lines(outcome.out);
  std::vector<nlohmann::json> objects;
  for (std::string line; std::getline(lines, line);) {
    objects.push_back(nlohmann::json::parse(line));
  }
  ASSERT_EQ(objects.size(), 3u);
  EXPECT_EQ(objects[0]["line"], 1);
  EXPECT_EQ(objects[0]["source"], "haus xyz");
  EXPECT_EQ(objects[0]["text"], translated("haus xyz"));
  EXPECT_LT(objects[0]["score"], 0);
  EXPECT_EQ(objects[0]["unknown"], 1);
  EXPECT_EQ(objects[0]["source_tokens"], 3);
  ASSERT_EQ(objects[0]["tokens"].size(), objects[0]["ids"].size());
  EXPECT_EQ(objects[0]["tokens"][0], testing::toy_word(objects[0]["ids"][0]));
  EXPECT_EQ(objects[1]["text"], "");
  EXPECT_EQ(objects[1]["ended"], true);
  EXPECT_EQ(objects[2]["source"], "ja \"\\ da");
  EXPECT_THAT(objects[2]["problem"].get<std::string>(), HasSubstr("too long"));
}

TEST_F(TranslateProgram, OddLinesAreReportedWithTheirNumbers) {
  const std::string long_line((1 << 20) + 7, 'x');
  std::ofstream(file("text")) << "haus\nja \xff\xc3 da\n" << long_line << "\r\nhaus ja da\nbaum\n";
  const Outcome outcome = run({"--input", file("text")}, "", "SYLVITE_TOY_LIMIT=5");
  EXPECT_EQ(outcome.code, 1);
  EXPECT_EQ(outcome.out, translated("haus") + "\n" + translated("ja \xff\xc3 da") + "\n\r\n" +
                             translated("haus ja da") + "\n" + translated("baum") + "\n");
  EXPECT_EQ(outcome.error,
            "toy: " + file("text") + ":2: 2 places that are not UTF-8, read as U+FFFD\n" +
                "toy: " + file("text") +
                ":3: is too long: 1048583 bytes, and at most 1048576 are translated\n");
  EXPECT_EQ(run({"ja \xff"}).error, "toy: sentence 1: 1 place that is not UTF-8, read as U+FFFD\n");
  EXPECT_EQ(run({"ja \xff"}).code, 0);
  EXPECT_EQ(run({}, std::string("haus\0ja\n", 8)).code, 0);
}

TEST_F(TranslateProgram, LinesThatTheModelRefusesDoNotEndIt) {
  std::ofstream(file("text")) << "haus\nja da ja da ja\nbaum\nrot\n";
  const Outcome outcome = run({"--input", file("text")}, "", "SYLVITE_TOY_WIDTH=4");
  EXPECT_EQ(outcome.code, 1);
  EXPECT_EQ(outcome.out,
            translated("haus") + "\n\n" + translated("baum") + "\n" + translated("rot") + "\n");
  EXPECT_EQ(outcome.error, "toy: " + file("text") + ":2: width is 6, at most 4\n");
}

TEST_F(TranslateProgram, StatsAreOnStandardError) {
  const Outcome outcome = run({"--stats"}, "haus baum\nja\n\n");
  EXPECT_EQ(outcome.code, 0);
  EXPECT_THAT(outcome.error, HasSubstr("lines:          3\n"));
  EXPECT_THAT(outcome.error, HasSubstr("source words:   3, "));
  EXPECT_THAT(outcome.error, HasSubstr("source tokens:  5, 0 not in the vocabulary\n"));
  EXPECT_THAT(outcome.error,
              ::testing::ContainsRegex("target tokens:  [0-9]+, [0-9.]+ per second"));
}

TEST_F(TranslateProgram, APipeGetsEachLineAtOnce) {
  Running running({}, file("err"));
  for (const char *const text : {"haus", "ja da", "rot"}) {
    running.write(std::string(text) + "\n");
    EXPECT_EQ(running.read(1), translated(text) + "\n");
  }
  running.write("no line");
  running.write(" end\n\n");
  EXPECT_EQ(running.read(2), translated("no line end") + "\n\n");
  running.write("last");
  running.close_input();
  EXPECT_EQ(running.read(9), translated("last") + "\n");
  EXPECT_EQ(running.wait(), 0);
  EXPECT_EQ(text_in(file("err")), "");
}

// A terminal: what is written to it, until the program ends.
std::string on_terminal(const std::vector<std::string> &arguments, bool as_input,
                        const std::string &typed, int *code) {
  const int master = posix_openpt(O_RDWR | O_NOCTTY);
  EXPECT_TRUE(grantpt(master) == 0 && unlockpt(master) == 0);
  const std::string name = ptsname(master);
  const pid_t child = fork();
  if (child == 0) {
    const int terminal = open(name.c_str(), O_RDWR | O_NOCTTY);
    dup2(as_input ? terminal : open("/dev/null", O_RDONLY), 0);
    dup2(as_input ? terminal : open("/dev/null", O_WRONLY), 1);
    dup2(terminal, 2);
    close(master);
    std::vector<char *> argv = {const_cast<char *>("toy")};
    for (const std::string &argument : arguments) {
      argv.push_back(const_cast<char *>(argument.c_str()));
    }
    argv.push_back(nullptr);
    execv(SYLVITE_TOY_PROGRAM, argv.data());
    _exit(99);
  }
  std::string text;
  char buffer[4096];
  pollfd entry{master, POLLIN, 0};
  bool sent = false;
  while (poll(&entry, 1, 20000) == 1) {
    const ssize_t got = read(master, buffer, sizeof buffer);
    if (got <= 0) {
      break;  // the child was the last who had it open
    }
    text.append(buffer, static_cast<size_t>(got));
    if (!sent && as_input && text.find('\n') != std::string::npos) {
      sent = write(master, typed.data(), typed.size()) > 0;
    }
  }
  int status = 0;
  waitpid(child, &status, 0);
  *code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  close(master);
  return text;
}

TEST_F(TranslateProgram, ATerminalShowsProgress) {
  std::ofstream(file("text")) << many_lines(100000);
  int code = -1;
  const std::string shown =
      on_terminal({"--input", file("text"), "--output", file("result")}, false, "", &code);
  EXPECT_EQ(code, 0) << shown;
  EXPECT_THAT(shown, ::testing::ContainsRegex("\r\\[#*\\.*\\] +[0-9]+ %  [0-9]+ lines"));
  EXPECT_TRUE(shown.ends_with("\r\x1b[K")) << shown;  // and leaves nothing behind
  const std::string small = run({"--input", file("text")}).error;
  EXPECT_EQ(small, "");  // no terminal, no progress
}

TEST_F(TranslateProgram, ATerminalIsAskedForSentences) {
  int code = -1;
  const std::string shown = on_terminal({}, true, "haus\nja\n\x04", &code);
  EXPECT_EQ(code, 0);
  EXPECT_THAT(shown, StartsWith("toy: a sentence a line; Ctrl-D ends\r\n"));
  EXPECT_THAT(shown, HasSubstr("\n" + translated("haus") + "\r\n"));
  EXPECT_THAT(shown, HasSubstr("\n" + translated("ja") + "\r\n"));
  EXPECT_EQ(shown.find('%'), std::string::npos);
}

TEST_F(TranslateProgram, SignalsEndItWithWhatIsDone) {
  Running waiting({}, file("err"));
  waiting.write("haus\nja\nunfinished");
  EXPECT_EQ(waiting.read(2), translated("haus") + "\n" + translated("ja") + "\n");
  waiting.signal(SIGINT);
  EXPECT_EQ(waiting.read(9), "");
  EXPECT_EQ(waiting.wait(), 130);
  EXPECT_EQ(text_in(file("err")), "toy: stopped after 2 lines\n");
  // In the middle of a long text: whole lines, in order, from the first.
  const std::string text = many_lines(200000);
  std::ofstream(file("text")) << text;
  Running busy({"--input", file("text"), "--batch", "8"}, file("err"));
  std::string out = busy.read(200);
  busy.signal(SIGTERM);
  out += busy.read(1 << 30);
  EXPECT_EQ(busy.wait(), 128 + SIGTERM);
  std::istringstream sources(text), results(out);
  int64_t lines = 0;
  for (std::string source, result; std::getline(results, result); ++lines) {
    std::getline(sources, source);
    ASSERT_EQ(result, translated(source)) << lines;
  }
  EXPECT_TRUE(out.ends_with('\n'));
  EXPECT_LT(lines, 200000);
  EXPECT_EQ(text_in(file("err")), "toy: stopped after " + std::to_string(lines) + " lines\n");
  // What is written to a file stays too.
  Running to_file({"--output", file("result")}, file("err"));
  to_file.write("haus\n");
  to_file.wait_until_read();
  to_file.signal(SIGINT);
  EXPECT_EQ(to_file.wait(), 130);
  EXPECT_EQ(text_in(file("result")), translated("haus") + "\n");
  // But where nothing is done, what the file held before stays.
  Running idle({"--output", file("result")}, file("err"));
  idle.write("unfinished");
  idle.wait_until_read();
  idle.signal(SIGHUP);
  EXPECT_EQ(idle.wait(), 128 + SIGHUP);
  EXPECT_EQ(text_in(file("result")), translated("haus") + "\n");
}

TEST_F(TranslateProgram, OutputThatCannotBeWritten) {
  const Outcome full = run({"haus"}, "", "", "/dev/full");
  EXPECT_EQ(full.code, 1);
  EXPECT_EQ(full.error, "toy: standard output cannot be written: No space left on device\n");
  const Outcome full_file = run({"--output", "/dev/full", "haus"});
  EXPECT_EQ(full_file.code, 1);
  EXPECT_EQ(full_file.error, "toy: /dev/full: cannot be written: No space left on device\n");
  Running running({}, file("err"));
  running.close_output();
  running.write("haus\n");
  EXPECT_EQ(running.wait(), 1);
  EXPECT_EQ(text_in(file("err")), "toy: standard output cannot be written: Broken pipe\n");
}

TEST_F(TranslateProgram, Usage) {
  expect_usage({"--inptu", "x"}, "unknown option '--inptu' (-- before a sentence)");
  expect_usage({"--beam"}, "--beam needs a value");
  expect_usage({"--beam", "65"}, "--beam: expected a number from 1 to 64, got '65'");
  expect_usage({"--batch", "0"}, "--batch: expected a number from 1 to 4096, got '0'");
  expect_usage({"--length-penalty", "much"}, "--length-penalty: expected a number, got 'much'");
  expect_usage({"--early-stopping", "maybe"},
               "--early-stopping: expected no, yes or never, got 'maybe'");
  expect_usage({"--input", "a", "haus"}, "sentences and --input exclude each other");
  expect_usage({"--input", "a", "--input", "b"}, "--input is given twice");
  expect_usage({"--output", ""}, "--output: expected a file, got nothing");
  const Outcome two = run({"--info", "--version"});
  EXPECT_EQ(two.code, 2);
  EXPECT_THAT(two.error, HasSubstr("exclude each other"));
  expect_usage({"--version", "haus"}, "unexpected argument 'haus'");
}

TEST_F(TranslateProgram, SaysWhatItIs) {
  const Outcome help = run({"--help"});
  EXPECT_EQ(help.code, 0);
  EXPECT_THAT(help.out, StartsWith("toy translates text with the model 'toy'"));
  EXPECT_THAT(help.out, HasSubstr("toy --input in.txt --output out.txt"));
  EXPECT_THAT(help.out, HasSubstr("the best word each time, at most 40 tokens"));
  EXPECT_THAT(run({"--version"}).out, HasSubstr("model:    toy"));
  EXPECT_EQ(run({"--licences"}).out, "the licences\n");
  EXPECT_THAT(run({"--info"}).out, HasSubstr("input tokens: int64 [batch, width]\n"));
}

}  // namespace
}  // namespace sylvite
