// Aligned blocks. From 4 MiB on they start at a multiple of 2 MiB and ask for large pages: kernels
// walk over them row by row, and address translation would otherwise cost more than the loads.
#include "runtime/memory.h"

#include <stdlib.h>
#include <sys/mman.h>

namespace sylvite {
namespace {

constexpr int64_t kAlignment = 64;
constexpr int64_t kLargePage = int64_t{2} << 20;

}  // namespace

Block::~Block() {
  free(data_);
}

bool Block::reserve(int64_t bytes) {
  if (bytes <= bytes_) {
    return true;
  }
  free(data_);
  data_ = nullptr;
  bytes_ = 0;
  const bool large = bytes >= 2 * kLargePage;
  void *data = nullptr;
  if (posix_memalign(&data, static_cast<size_t>(large ? kLargePage : kAlignment),
                     static_cast<size_t>(bytes)) != 0) {
    return false;
  }
  if (large) {
    madvise(data, static_cast<size_t>(bytes), MADV_HUGEPAGE);  // advice: may be refused
  }
  data_ = static_cast<std::byte *>(data);
  bytes_ = bytes;
  return true;
}

}  // namespace sylvite
