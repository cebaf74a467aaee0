// Names that Halide's objects may refer to, compiled as they are without Halide's runtime. Kernels
// get all their memory from the plan and check nothing at run time, so that being called here is a
// bug of the compiler's.
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

namespace {

[[noreturn]] void bug(const char *what) {
  fprintf(stderr, "sylvite: internal error: a kernel called %s\n", what);
  abort();
}

}  // namespace

extern "C" {

void *halide_malloc(void *, size_t) {
  bug("halide_malloc");
}
void halide_free(void *, void *) {
  bug("halide_free");
}
void halide_error(void *, const char *message) {
  bug(message);
}
int halide_error_out_of_memory(void *) {
  bug("halide_error_out_of_memory");
}

}  // extern "C"
