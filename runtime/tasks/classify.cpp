// The program's main job: a thin shell around sylvite/classifier.h that finds files, queues them
// and prints.
#include "runtime/tasks/classify.h"

#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/images/decode.h"
#include "runtime/include/sylvite/classifier.h"
#include "runtime/io/file.h"
#include "runtime/io/result.h"
#include "runtime/io/text.h"
#include "runtime/json.h"
#include "runtime/model.h"

namespace sylvite {
namespace {

bool is_folder(const std::string &path) {
  struct stat status{};
  return stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

bool has_image_suffix(std::string_view name) {
  const size_t dot = name.rfind('.');
  if (dot == std::string_view::npos || dot == 0) {
    return false;
  }
  std::string suffix(name.substr(dot + 1));
  for (char &c : suffix) {
    c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  return suffix == "png" || suffix == "jpg" || suffix == "jpeg";
}

// A folder, a pipe, a device: no image, and reading it might never end.
bool is_no_file(const std::string &path) {
  struct stat status{};
  return stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode);
}

// Names of the images in a folder, sorted; hidden ones are left out, as the shell does, and what is
// no file, whatever its name.
Result<std::vector<std::string>> list_images(const std::string &folder) {
  DIR *const stream = opendir(folder.c_str());
  if (stream == nullptr) {
    return bad_input(folder, ": cannot be read: ", std::strerror(errno));
  }
  std::vector<std::string> names;
  while (const dirent *const entry = readdir(stream)) {
    if (entry->d_name[0] != '.' && has_image_suffix(entry->d_name) &&
        !is_no_file(text_of(folder, "/", entry->d_name))) {
      names.emplace_back(entry->d_name);
    }
  }
  closedir(stream);
  if (names.empty()) {
    return bad_input(folder, ": has no *.png, *.jpg or *.jpeg files");
  }
  std::sort(names.begin(), names.end());
  return names;
}

class ClassifyRun {
 public:
  ClassifyRun(const char *program_name, sylvite_classifier *classifier,
              const ClassifyOptions &options)
      : program_name_(program_name), classifier_(classifier), options_(options) {
    options_.top_k = std::clamp(options.top_k, 1, sylvite_classifier_label_count(classifier));
    options_.batch = std::clamp(options.batch, 1, 4096);
  }

  void add_path(const std::string &path) {
    if (!is_folder(path)) {
      add_file(path);
      return;
    }
    const Result<std::vector<std::string>> names = list_images(path);
    if (!names.ok()) {
      report(names.error());
      return;
    }
    for (const std::string &name : names.value()) {
      add_file(text_of(path, path.ends_with('/') ? "" : "/", name));
    }
  }

  void add_listed(FILE *list) {
    constexpr size_t kLongestPath = 65536;
    std::string line;
    bool too_long = false;
    for (int c = 0; c != EOF;) {
      c = std::getc(list);
      if (c != EOF && c != '\n') {
        too_long |= line.size() >= kLongestPath;
        if (!too_long) {
          line += static_cast<char>(c);
        }
        continue;
      }
      if (line.ends_with('\r')) {
        line.pop_back();
      }
      if (too_long || line.find('\0') != std::string::npos) {
        report(bad_input("standard input: a line is not a path"));
      } else if (!line.empty()) {
        add_path(line);
      }
      line.clear();
      too_long = false;
    }
    if (std::ferror(list) != 0) {
      report(bad_input("standard input: cannot be read: ", std::strerror(errno)));
    }
  }

  // Classifies what waits. Results appear at once, also in a pipe.
  void flush() {
    if (files_.empty()) {
      return;
    }
    std::vector<sylvite_label> labels(files_.size() * static_cast<size_t>(options_.top_k));
    const sylvite_result result =
        sylvite_classifier_run(classifier_, options_.top_k, labels.data());
    if (result == SYLVITE_OK) {
      for (size_t i = 0; i < files_.size(); ++i) {
        print(files_[i], &labels[i * static_cast<size_t>(options_.top_k)]);
      }
    } else {
      report({result, text_of(files_.front(), ": ", sylvite_classifier_error(classifier_))});
    }
    files_.clear();
    if ((std::fflush(stdout) != 0 || std::ferror(stdout) != 0) && !broken_) {
      broken_ = true;
      report(bad_input("standard output cannot be written: ", std::strerror(errno)));
      std::clearerr(stdout);  // reported
    }
  }

  int exit_code() const { return exit_code_; }

 private:
  void add_file(const std::string &file) {
    if (broken_) {
      return;
    }
    const Result<std::vector<std::byte>> bytes = read_file(file, kMaxImageFileBytes);
    if (!bytes.ok()) {
      report(bytes.error());
      return;
    }
    const sylvite_image image{bytes.value().data(), bytes.value().size(), 0, 0, 0, file.c_str()};
    const sylvite_result result = sylvite_classifier_add(classifier_, &image);
    if (result != SYLVITE_OK) {
      report({result, sylvite_classifier_error(classifier_)});
      return;
    }
    files_.push_back(file);
    if (static_cast<int32_t>(files_.size()) >= options_.batch) {
      flush();
    }
  }

  void print(const std::string &file, const sylvite_label *labels) {
    if (labels[0].index < 0) {
      report(bad_input(file, ": the model's output is not finite"));
      return;
    }
    std::string line =
        options_.json ? "{\"file\": " + json_string(file) + ", \"top\": [" : one_line(file) + ":";
    for (int32_t k = 0; k < options_.top_k; ++k) {
      char score[32];
      if (options_.json) {
        std::snprintf(score, sizeof score, "%.9g", double{labels[k].score});
        line += text_of(k > 0 ? ", " : "", "{\"label\": ", json_string(labels[k].text),
                        ", \"score\": ", score, "}");
      } else {
        std::snprintf(score, sizeof score, "%.4f", double{labels[k].score});
        line += text_of(k > 0 ? ", " : " ", one_line(labels[k].text), " ", score);
      }
    }
    line += options_.json ? "]}\n" : "\n";
    std::fwrite(line.data(), 1, line.size(), stdout);
  }

  void report(const Error &error) {
    std::fprintf(stderr, "%s: %s\n", program_name_, one_line(error.message).c_str());
    exit_code_ = error.code == SYLVITE_INTERNAL || exit_code_ == SYLVITE_INTERNAL
                     ? int{SYLVITE_INTERNAL}
                     : 1;
  }

  const char *program_name_;
  sylvite_classifier *classifier_;
  ClassifyOptions options_;
  std::vector<std::string> files_;  // those that wait in the classifier
  bool broken_ = false;             // nobody reads the results any more
  int exit_code_ = 0;
};

}  // namespace

bool is_classifier(const sylvite_model *model) {
  return model->program->classify != nullptr;
}

int classify_main(const char *program_name, const sylvite_model *model,
                  const ClassifyOptions &options, std::span<const char *const> paths) {
  sylvite_context_options context_options{};
  context_options.threads = options.threads;
  sylvite_classifier *classifier = nullptr;
  char message[512] = "";
  const sylvite_result result =
      sylvite_classifier_create(model, &context_options, &classifier, message, sizeof message);
  if (result != SYLVITE_OK) {
    std::fprintf(stderr, "%s: %s\n", program_name, message);
    return result == SYLVITE_INTERNAL ? int{SYLVITE_INTERNAL} : 1;
  }
  ClassifyRun run(program_name, classifier, options);
  for (const char *const path : paths) {
    if (std::strcmp(path, "-") == 0) {
      run.add_listed(stdin);
    } else {
      run.add_path(path);
    }
  }
  run.flush();
  sylvite_classifier_destroy(classifier);
  return run.exit_code();
}

}  // namespace sylvite
