// Names that Halide's LLVM calls in kernels under the thread sanitizer and that GCC 12's sanitizer
// library lacks. The functions behind them are that library's: it intercepts memcpy and the rest.
// A shared library, so that kernels loaded into any test find them. Only in the tsan preset.
#include <stddef.h>
#include <string.h>

extern "C" {

void *__tsan_memcpy(void *to, const void *from, size_t size) {
  return memcpy(to, from, size);
}
void *__tsan_memmove(void *to, const void *from, size_t size) {
  return memmove(to, from, size);
}
void *__tsan_memset(void *to, int value, size_t size) {
  return memset(to, value, size);
}

}  // extern "C"
