#include "tests/runtime/allocation_counter.h"

#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <new>

namespace {

std::atomic<int64_t> g_allocations{0};

}  // namespace

// __wrap_f is called in place of f and __real_f is f.
#define WRAP(result, name, parameters, arguments) \
  extern "C" result __real_##name parameters;     \
  extern "C" result __wrap_##name parameters;     \
  extern "C" result __wrap_##name parameters {    \
    ++g_allocations;                              \
    return __real_##name arguments;               \
  }

WRAP(void *, malloc, (size_t a), (a))
WRAP(void *, calloc, (size_t a, size_t b), (a, b))
WRAP(void *, realloc, (void *a, size_t b), (a, b))
WRAP(void *, aligned_alloc, (size_t a, size_t b), (a, b))
WRAP(int, posix_memalign, (void **a, size_t b, size_t c), (a, b, c))
WRAP(void *, mmap, (void *a, size_t b, int c, int d, int e, off_t f), (a, b, c, d, e, f))
WRAP(void *, sbrk, (intptr_t a), (a))
WRAP(void *, halide_malloc, (void *a, size_t b), (a, b))
// operator new, new[], and both with std::nothrow, with an alignment, with both
WRAP(void *, _Znwm, (size_t a), (a))
WRAP(void *, _Znam, (size_t a), (a))
WRAP(void *, _ZnwmRKSt9nothrow_t, (size_t a, const std::nothrow_t &b), (a, b))
WRAP(void *, _ZnamRKSt9nothrow_t, (size_t a, const std::nothrow_t &b), (a, b))
WRAP(void *, _ZnwmSt11align_val_t, (size_t a, std::align_val_t b), (a, b))
WRAP(void *, _ZnamSt11align_val_t, (size_t a, std::align_val_t b), (a, b))
WRAP(void *, _ZnwmSt11align_val_tRKSt9nothrow_t,
     (size_t a, std::align_val_t b, const std::nothrow_t &c), (a, b, c))
WRAP(void *, _ZnamSt11align_val_tRKSt9nothrow_t,
     (size_t a, std::align_val_t b, const std::nothrow_t &c), (a, b, c))

// Sanitizers would end the test where it asks for more memory than there is.
extern "C" const char *__asan_default_options();
extern "C" const char *__asan_default_options() {
  return "allocator_may_return_null=1";
}
extern "C" const char *__tsan_default_options();
extern "C" const char *__tsan_default_options() {
  return "allocator_may_return_null=1";
}

namespace sylvite::testing {

int64_t allocation_count() {
  return g_allocations;
}

}  // namespace sylvite::testing
