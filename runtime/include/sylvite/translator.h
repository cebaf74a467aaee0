/* Translation with a model that was compiled as a translator: texts in, texts out. C11, over
 * sylvite.h; translator.hpp is the C++ form. A translator runs one call at a time. */
#ifndef SYLVITE_TRANSLATOR_H_
#define SYLVITE_TRANSLATOR_H_

#include <stddef.h>
#include <stdint.h>

#include "sylvite.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sylvite_translator sylvite_translator;

/* UTF-8 that need not end with a zero. What is not UTF-8 is read as U+FFFD. */
typedef struct sylvite_text {
  const char *data;
  size_t size;
} sylvite_text;

typedef struct sylvite_translate_progress {
  int32_t texts, finished; /* of this call */
  int64_t steps;           /* tokens in a row that were computed, for a whole batch each */
} sylvite_translate_progress;

/* early_stopping as transformers has it: 0 ("false"): the search ends when no running beam looks
 * better than the finished ones; 1 ("true"): as soon as there are as many finished ones as beams;
 * 2 ("never"): when no running beam can become better. */
typedef struct sylvite_translate_options {
  int32_t beams;          /* 1: the best token each time (greedy); at most 64 */
  int32_t n_best;         /* translations of each text, at most `beams` */
  int32_t max_length;     /* tokens of a translation, its end among them; the model may have less */
  float length_penalty;   /* score = sum of log probabilities / length ^ penalty */
  int32_t early_stopping; /* with beams */
  int32_t batch;          /* texts that are translated together; never changes a result */
  int32_t scores;         /* 0: without beams scores are not computed, and are 0 */
  int32_t reserve;        /* 1: take the memory for max_length at once, not as sentences grow */
  /* Called after each step; not 0 ends the call with SYLVITE_CANCELLED. Must not throw. May be
   * null. */
  int32_t (*progress)(void *user, const sylvite_translate_progress *progress);
  void *user;
} sylvite_translate_options;

/* Text and tokens belong to the translator, until its next run. */
typedef struct sylvite_translation {
  const char *text; /* ends with a zero */
  size_t size;
  const int32_t *tokens; /* of the target's vocabulary, without start and end */
  int32_t token_count;
  float score;
  int32_t ended;         /* 0: cut at max_length */
  int32_t source_tokens; /* with what the model wants around them */
  int32_t unknown;       /* of the source's tokens: not in the vocabulary */
  int32_t bad_utf8;      /* places in the source that were not UTF-8 */
  const char *problem;   /* null, or why there is no translation: too long, cancelled */
} sylvite_translation;

/* The model must outlive the translator. `message` (may be null) receives the reason of a failure.
 */
sylvite_result sylvite_translator_create(const sylvite_model *model,
                                         const sylvite_context_options *options,
                                         sylvite_translator **translator, char *message,
                                         size_t size);
void sylvite_translator_destroy(sylvite_translator *translator);
const char *sylvite_translator_error(
    const sylvite_translator *translator); /* of the last failed call */

/* What the model wants: its own beams, length and penalty. To be changed and handed to run. */
void sylvite_translator_defaults(const sylvite_translator *translator,
                                 sylvite_translate_options *options);

/* Translates `count` texts; options: null for the defaults. translations: n_best for each text, in
 * the order of the texts, the best first; where there are fewer, the rest have empty texts and a
 * score of minus infinity. A text without words has an empty translation. A text that cannot be
 * translated has a `problem`, the others are translated all the same. With SYLVITE_CANCELLED the
 * texts that were done have their translations; on other failures none has. */
sylvite_result sylvite_translator_run(sylvite_translator *translator, const sylvite_text *texts,
                                      int32_t count, const sylvite_translate_options *options,
                                      sylvite_translation *translations);

/* A token as it stands in the target's vocabulary; empty for one that it does not have. */
sylvite_text sylvite_translator_token(const sylvite_translator *translator, int32_t token);
/* The most tokens that a text may have; 0: no limit but memory. */
int32_t sylvite_translator_max_source(const sylvite_translator *translator);

#ifdef __cplusplus
}
#endif
#endif
