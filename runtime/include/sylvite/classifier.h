/* Image classification with a model that was compiled with --task=classify: images in, labels out.
 * C11, over sylvite.h; classifier.hpp is the C++ form. A classifier has one context: one thread at
 * a time. */
#ifndef SYLVITE_CLASSIFIER_H_
#define SYLVITE_CLASSIFIER_H_

#include <stddef.h>
#include <stdint.h>

#include "sylvite.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sylvite_classifier sylvite_classifier;

/* A PNG or JPEG file in memory when width is 0; else pixels, rows from top to bottom, channels
 * bytes each: 1 (grey) or 3 (RGB). They are read during the call only. */
typedef struct sylvite_image {
  const void *data;
  size_t size; /* bytes of data */
  int32_t width, height, channels;
  const char *name; /* for messages; may be null */
} sylvite_image;

/* The score is the softmax over all labels. When the model's output is not finite: index -1, text
 * "", score 0. */
typedef struct sylvite_label {
  const char *text; /* belongs to the model */
  int32_t index;
  float score;
} sylvite_label;

/* The model must outlive the classifier. `message` (may be null) receives the reason of a failure.
 */
sylvite_result sylvite_classifier_create(const sylvite_model *model,
                                         const sylvite_context_options *options,
                                         sylvite_classifier **classifier, char *message,
                                         size_t size);
void sylvite_classifier_destroy(sylvite_classifier *classifier);
const char *sylvite_classifier_error(
    const sylvite_classifier *classifier); /* of the last failed call */
int32_t sylvite_classifier_label_count(const sylvite_classifier *classifier);

/* Decodes an image, resizes and normalises it as the model's preprocessor would, and queues it. On
 * failure nothing is queued. */
sylvite_result sylvite_classifier_add(sylvite_classifier *classifier, const sylvite_image *image);
int32_t sylvite_classifier_pending(const sylvite_classifier *classifier);

/* Runs what is queued in as few runs as possible and empties the queue, also on failure. labels:
 * `top_k` for each image, in the order in which they were added, the best first, of equal ones the
 * lower index; top_k: 1 to the number of labels. */
sylvite_result sylvite_classifier_run(sylvite_classifier *classifier, int32_t top_k,
                                      sylvite_label *labels);

#ifdef __cplusplus
}
#endif
#endif
