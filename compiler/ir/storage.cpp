// Where the contents of tensors lie that the compiler makes itself: weights in panels, projections
// side by side, transposed or converted matrices.
//
// A model's own weights are borrowed from its mapped file, but what passes make of them is as large
// again. On the heap that was 2.4 GB for 2.5 GB of weights, memory that nothing but swap takes
// back. So the first 128 MiB of large tensors lie on the heap, and each further one in a file of
// its own without a name: its pages are the page cache's, which the kernel writes out and drops
// when memory is short, and they go with the tensor. Making 2.4 GB of panels takes 1.5 s more.
//
// Rejected: tensors that are made when they are read and forgotten afterwards. Every reader of
// bytes would have to say when it is done, and passes look at contents freely (equal constants,
// tied weights, the evaluator); here nobody knows the difference.
//
// The space is reserved before the file is mapped, so a full disk is an error and not a fault on
// the first write.
#include "compiler/ir/storage.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>

#include "compiler/ir/error.h"

namespace sylvite {
namespace {

constexpr size_t kLarge = size_t{1} << 20;
constexpr size_t kMostOnHeap = size_t{128} << 20;

std::atomic<size_t> on_heap{0};  // bytes of large tensors

// TMPDIR, else the folder for temporary files that may be large: /tmp is often memory itself.
std::string folder_for_large_files() {
  const char *folder = std::getenv("TMPDIR");
  if (folder != nullptr && *folder != '\0') {
    return folder;
  }
  return access("/var/tmp", W_OK | X_OK) == 0 ? "/var/tmp" : "/tmp";
}

[[noreturn]] void fail(const std::string &folder, size_t size, int error) {
  throw_model_error("cannot keep ", size, " bytes of weights in a temporary file in '", folder,
                    "': ", std::strerror(error),
                    "; set TMPDIR to a folder with room for as much as the model's weights");
}

// The file has no name from the start, or loses it at once: nothing is left of a killed compile.
int open_unnamed(const std::string &folder) {
  const int file = open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (file >= 0) {
    return file;
  }
  std::string name = folder + "/sylvite-XXXXXX";
  const int named = mkostemp(name.data(), O_CLOEXEC);
  if (named >= 0) {
    unlink(name.c_str());
  }
  return named;
}

std::shared_ptr<std::byte[]> allocate_in_file(size_t size) {
  const std::string folder = folder_for_large_files();
  const int file = open_unnamed(folder);
  if (file < 0) {
    fail(folder, size, errno);
  }
  const int reserved = posix_fallocate(file, 0, static_cast<off_t>(size));
  void *const pages =
      reserved == 0 ? mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0) : MAP_FAILED;
  const int error = reserved != 0 ? reserved : errno;
  close(file);
  if (pages == MAP_FAILED) {
    fail(folder, size, error);
  }
  return {static_cast<std::byte *>(pages), [size](std::byte *bytes) { munmap(bytes, size); }};
}

}  // namespace

std::shared_ptr<std::byte[]> allocate_zeroed(size_t size) {
  if (size < kLarge) {
    return std::shared_ptr<std::byte[]>(new std::byte[size + 1]());
  }
  if (on_heap.fetch_add(size) + size > kMostOnHeap) {
    on_heap -= size;
    return allocate_in_file(size);
  }
  const auto give_back = [size](const std::byte *bytes) {
    delete[] bytes;
    on_heap -= size;
  };
  std::byte *const bytes = new (std::nothrow) std::byte[size]();
  if (bytes == nullptr) {
    on_heap -= size;
    throw std::bad_alloc();
  }
  return {bytes, give_back};
}

}  // namespace sylvite
