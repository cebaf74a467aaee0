/* The C interface compiles as C11 and links from C; runtime_test.cpp calls this. */
#include "runtime/abi.h"
#include "sylvite/sylvite.h"
#include "sylvite/translator.h"

int sylvite_test_c_header(void);

int sylvite_test_c_header(void) {
  char message[256] = "";
  sylvite_model *model = NULL;
  /* No descriptor: an error value, not a crash. */
  if (sylvite_model_open(NULL, NULL, &model, message, sizeof message) != SYLVITE_BAD_INPUT) {
    return 1;
  }
  return model == NULL && message[0] != 0 && sizeof(struct syl_halide_buffer) == 56 ? 0 : 2;
}
