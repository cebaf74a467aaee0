// Image classification, C++17 over classifier.h. Errors are values: no exceptions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "classifier.h"

namespace sylvite {

class Classifier {
 public:
  // When this fails ok() is false and error() tells why. The model must outlive the classifier.
  explicit Classifier(const sylvite_model *model, const sylvite_context_options &options = {}) {
    char message[512] = "";
    sylvite_classifier *classifier = nullptr;
    if (sylvite_classifier_create(model, &options, &classifier, message, sizeof message) !=
        SYLVITE_OK) {
      error_ = message;
    }
    handle_.reset(classifier);
  }

  bool ok() const { return handle_ != nullptr; }
  // Of the constructor, or of the last call that failed.
  std::string error() const {
    return handle_ != nullptr ? sylvite_classifier_error(handle_.get()) : error_;
  }
  int32_t label_count() const { return sylvite_classifier_label_count(handle_.get()); }

  // The best labels of an image, the best first; empty on failure.
  std::vector<sylvite_label> classify(const sylvite_image &image, int32_t top_k = 1) {
    return add(image) ? run(top_k) : std::vector<sylvite_label>();
  }
  // Of the bytes of a PNG or JPEG file.
  std::vector<sylvite_label> classify_file(const void *data, std::size_t size, int32_t top_k = 1) {
    return classify({data, size, 0, 0, 0, nullptr}, top_k);
  }

  // Several images in one run: add each, then run, which gives top_k labels for each in turn.
  bool add(const sylvite_image &image) {
    return sylvite_classifier_add(handle_.get(), &image) == SYLVITE_OK;
  }
  std::vector<sylvite_label> run(int32_t top_k = 1) {
    std::vector<sylvite_label> labels(
        static_cast<std::size_t>(sylvite_classifier_pending(handle_.get())) *
        static_cast<std::size_t>(top_k > 0 ? top_k : 0));
    if (sylvite_classifier_run(handle_.get(), top_k, labels.data()) != SYLVITE_OK) {
      labels.clear();
    }
    return labels;
  }

 private:
  struct Destroy {
    void operator()(sylvite_classifier *classifier) const {
      sylvite_classifier_destroy(classifier);
    }
  };
  std::unique_ptr<sylvite_classifier, Destroy> handle_;
  std::string error_;
};

}  // namespace sylvite
