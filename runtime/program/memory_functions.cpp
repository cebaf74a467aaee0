// What a program brings in place of parts of the C++ library. operator new and delete: malloc
// without exceptions. The C++ library's own would bring the whole machinery of throwing and
// unwinding into programs that never throw, a third of their size.
//
// The runtime for applications (runtime/library.cmake) has the same under local names: the
// application's own operators and exceptions are not touched.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <new>

namespace {

// Of what is small: large memory is asked for in ways that may be refused (runtime/memory.h).
[[noreturn]] void out_of_memory() {
  fprintf(stderr, "%s: out of memory\n", program_invocation_short_name);
#ifdef SYLVITE_LIBRARY
  abort();  // as an application ends that does not catch std::bad_alloc
#else
  _exit(1);
#endif
}

void *aligned(size_t size, std::align_val_t alignment) {
  void *memory = nullptr;
  return posix_memalign(&memory, static_cast<size_t>(alignment), size) == 0 ? memory : nullptr;
}

void *required(void *memory) {
  if (memory == nullptr) {
    out_of_memory();
  }
  return memory;
}

}  // namespace

// The C++ library was built to throw on errors that programs built without exceptions cannot meet
// or do not survive (a string of more than 2^63 characters). Its references to the machinery of
// exceptions end here, which keeps the unwinder and the demangler of type names out of programs: a
// third of their size.
extern "C" {

#define SYLVITE_NEVER_CALLED(name) \
  [[noreturn]] void name();        \
  void name() {                    \
    abort();                       \
  }

SYLVITE_NEVER_CALLED(__cxa_allocate_exception)
SYLVITE_NEVER_CALLED(__cxa_begin_catch)
SYLVITE_NEVER_CALLED(__cxa_end_catch)
SYLVITE_NEVER_CALLED(__cxa_free_exception)
SYLVITE_NEVER_CALLED(__cxa_get_globals)
SYLVITE_NEVER_CALLED(__cxa_get_globals_fast)
SYLVITE_NEVER_CALLED(__cxa_rethrow)
SYLVITE_NEVER_CALLED(__cxa_throw)
SYLVITE_NEVER_CALLED(__gxx_personality_v0)
SYLVITE_NEVER_CALLED(_Unwind_Resume)

}  // extern "C"

namespace std {
void terminate() noexcept {
  abort();
}
}  // namespace std

void *operator new(size_t size) {
  return required(malloc(size));
}
void *operator new[](size_t size) {
  return required(malloc(size));
}
void *operator new(size_t size, const std::nothrow_t &) noexcept {
  return malloc(size);
}
void *operator new[](size_t size, const std::nothrow_t &) noexcept {
  return malloc(size);
}
void *operator new(size_t size, std::align_val_t alignment) {
  return required(aligned(size, alignment));
}
void *operator new[](size_t size, std::align_val_t alignment) {
  return required(aligned(size, alignment));
}
void *operator new(size_t size, std::align_val_t alignment, const std::nothrow_t &) noexcept {
  return aligned(size, alignment);
}
void *operator new[](size_t size, std::align_val_t alignment, const std::nothrow_t &) noexcept {
  return aligned(size, alignment);
}
void operator delete(void *memory) noexcept {
  free(memory);
}
void operator delete[](void *memory) noexcept {
  free(memory);
}
void operator delete(void *memory, size_t) noexcept {
  free(memory);
}
void operator delete[](void *memory, size_t) noexcept {
  free(memory);
}
void operator delete(void *memory, const std::nothrow_t &) noexcept {
  free(memory);
}
void operator delete[](void *memory, const std::nothrow_t &) noexcept {
  free(memory);
}
void operator delete(void *memory, std::align_val_t) noexcept {
  free(memory);
}
void operator delete[](void *memory, std::align_val_t) noexcept {
  free(memory);
}
void operator delete(void *memory, size_t, std::align_val_t) noexcept {
  free(memory);
}
void operator delete[](void *memory, size_t, std::align_val_t) noexcept {
  free(memory);
}
void operator delete(void *memory, std::align_val_t, const std::nothrow_t &) noexcept {
  free(memory);
}
void operator delete[](void *memory, std::align_val_t, const std::nothrow_t &) noexcept {
  free(memory);
}
