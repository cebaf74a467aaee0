// Translation in C++: a thin, header-only form of translator.h, as sylvite.hpp is of sylvite.h.
//
//   sylvite::Model model;            // opened as in sylvite.hpp
//   sylvite::Translator translator;
//   std::string german;
//   sylvite::Status status = translator.create(model);
//   if (status.ok()) {
//     status = translator.translate("How are you?", german);
//   }
#ifndef SYLVITE_TRANSLATOR_HPP_
#define SYLVITE_TRANSLATOR_HPP_

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sylvite.hpp"
#include "translator.h"

namespace sylvite {
inline namespace v1 {

struct Translation {
  std::string text;
  std::vector<int32_t> tokens;
  float score = 0;
  bool ended = false;  // false: cut at max_length
  int32_t source_tokens = 0;
  int32_t unknown = 0;  // source tokens that are not in the vocabulary
  std::string problem;  // why there is no translation; empty: there is one
};

class Translator {
 public:
  // False cancels. Must not throw.
  using Progress = std::function<bool(const sylvite_translate_progress &)>;

  Status create(const Model &model) { return create(model, Context::Options{}); }
  Status create(const Model &model, const Context::Options &options) {
    char message[512] = "";
    const sylvite_context_options raw = {options.threads, options.profile ? 1 : 0};
    sylvite_translator *translator = nullptr;
    const sylvite_result code =
        sylvite_translator_create(model.get(), &raw, &translator, message, sizeof message);
    translator_ = {translator, Destroy{model}};
    return Status(code, message);
  }

  sylvite_translator *get() const { return translator_.get(); }
  sylvite_translate_options defaults() const {
    sylvite_translate_options options;
    sylvite_translator_defaults(get(), &options);
    return options;
  }

  // options.n_best translations for each text in turn. When the call is cancelled, those that were
  // done stand there all the same.
  Status translate(std::span<const std::string_view> texts,
                   const sylvite_translate_options &options, std::vector<Translation> &translations,
                   const Progress &progress = nullptr) {
    std::vector<sylvite_text> raw_texts;
    for (const std::string_view text : texts) {
      raw_texts.push_back({text.data(), text.size()});
    }
    sylvite_translate_options raw_options = options;
    if (progress) {
      raw_options.progress = [](void *user, const sylvite_translate_progress *now) {
        return (*static_cast<const Progress *>(user))(*now) ? 0 : 1;
      };
      raw_options.user = const_cast<Progress *>(&progress);
    }
    std::vector<sylvite_translation> found(
        texts.size() * static_cast<size_t>(options.n_best > 0 ? options.n_best : 0));
    const sylvite_result code = sylvite_translator_run(
        get(), raw_texts.data(), static_cast<int32_t>(texts.size()), &raw_options, found.data());
    translations.clear();
    if (code != SYLVITE_OK && code != SYLVITE_CANCELLED) {
      return Status(code, sylvite_translator_error(get()));
    }
    for (const sylvite_translation &one : found) {
      translations.push_back({std::string(one.text, one.size),
                              std::vector<int32_t>(one.tokens, one.tokens + one.token_count),
                              one.score, one.ended != 0, one.source_tokens, one.unknown,
                              one.problem != nullptr ? one.problem : ""});
    }
    return code == SYLVITE_OK ? Status() : Status(code, sylvite_translator_error(get()));
  }

  // One text, as the model wants it translated.
  Status translate(std::string_view text, std::string &translation) {
    std::vector<Translation> found;
    Status status = translate(std::span(&text, 1), defaults(), found);
    if (status.ok() && !found[0].problem.empty()) {
      status = Status(SYLVITE_BAD_INPUT, found[0].problem);
    }
    translation = status.ok() ? found[0].text : std::string();
    return status;
  }

 private:
  struct Destroy {
    Model model;  // open for as long as the translator is there
    void operator()(sylvite_translator *translator) const {
      sylvite_translator_destroy(translator);
    }
  };
  std::unique_ptr<sylvite_translator, Destroy> translator_;
};

}  // namespace v1
}  // namespace sylvite

#endif
