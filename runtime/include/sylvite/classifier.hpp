// Image classification in C++: a thin, header-only form of classifier.h, as sylvite.hpp is of
// sylvite.h.
//
//   sylvite::Model model;            // opened as in sylvite.hpp
//   sylvite::Classifier classifier;
//   std::vector<sylvite_label> best;
//   sylvite::Status status = classifier.create(model);
//   if (status.ok()) {
//     status = classifier.classify(bytes_of_a_png_file, 3, best);
//   }
//   // best[0].text, best[0].score, or status.message()
#ifndef SYLVITE_CLASSIFIER_HPP_
#define SYLVITE_CLASSIFIER_HPP_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "classifier.h"
#include "sylvite.hpp"

namespace sylvite {
inline namespace v1 {

// Pixels, rows from top to bottom; channels: 1 (grey) or 3 (RGB).
inline sylvite_image pixels(std::span<const std::uint8_t> data, int32_t width, int32_t height,
                            int32_t channels) {
  return {data.data(), data.size(), width, height, channels, nullptr};
}
// The bytes of a PNG or JPEG file.
inline sylvite_image image_file(std::span<const std::byte> data, const char *name = nullptr) {
  return {data.data(), data.size(), 0, 0, 0, name};
}

class Classifier {
 public:
  Status create(const Model &model) { return create(model, Context::Options{}); }
  Status create(const Model &model, const Context::Options &options) {
    char message[512] = "";
    const sylvite_context_options raw = {options.threads, options.profile ? 1 : 0};
    sylvite_classifier *classifier = nullptr;
    const sylvite_result code =
        sylvite_classifier_create(model.get(), &raw, &classifier, message, sizeof message);
    classifier_ = {classifier, Destroy{model}};
    return Status(code, message);
  }

  sylvite_classifier *get() const { return classifier_.get(); }
  int32_t label_count() const { return sylvite_classifier_label_count(get()); }

  // The `top_k` best labels of an image, the best first.
  Status classify(const sylvite_image &image, int32_t top_k, std::vector<sylvite_label> &labels) {
    labels.clear();
    Status status = add(image);
    return status.ok() ? run(top_k, labels) : status;
  }
  Status classify(std::span<const std::byte> file, int32_t top_k,
                  std::vector<sylvite_label> &labels) {
    return classify(image_file(file), top_k, labels);
  }

  // Several images in one run: add each, then run, which gives top_k labels for each in turn.
  Status add(const sylvite_image &image) { return status(sylvite_classifier_add(get(), &image)); }
  int32_t pending() const { return sylvite_classifier_pending(get()); }
  Status run(int32_t top_k, std::vector<sylvite_label> &labels) {
    labels.resize(static_cast<size_t>(pending()) * static_cast<size_t>(top_k > 0 ? top_k : 0));
    Status result = status(sylvite_classifier_run(get(), top_k, labels.data()));
    if (!result.ok()) {
      labels.clear();
    }
    return result;
  }

 private:
  struct Destroy {
    Model model;  // open for as long as the classifier is there
    void operator()(sylvite_classifier *classifier) const {
      sylvite_classifier_destroy(classifier);
    }
  };
  Status status(sylvite_result code) const {
    return code == SYLVITE_OK ? Status() : Status(code, sylvite_classifier_error(get()));
  }

  std::unique_ptr<sylvite_classifier, Destroy> classifier_;
};

}  // namespace v1
}  // namespace sylvite

#endif
