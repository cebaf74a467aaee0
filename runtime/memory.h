// Memory whose absence is a value: the runtime never throws and never ends the process when the
// system has no more memory, so what may be large comes from here and not from std::vector.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <utility>

namespace sylvite {

// A zeroed array of fixed length.
template <typename T>
class Array {
 public:
  [[nodiscard]] bool allocate(int64_t count) {
    items_.reset(new (std::nothrow) T[static_cast<size_t>(count > 0 ? count : 1)]());
    size_ = items_ ? count : 0;
    return items_ != nullptr;
  }
  T &operator[](int64_t i) { return items_[static_cast<size_t>(i)]; }
  const T &operator[](int64_t i) const { return items_[static_cast<size_t>(i)]; }
  T *data() { return items_.get(); }
  const T *data() const { return items_.get(); }
  int64_t size() const { return size_; }

 private:
  std::unique_ptr<T[]> items_;
  int64_t size_ = 0;
};

// Aligned bytes that can be replaced by more of them; the contents are not kept.
class Block {
 public:
  Block() = default;
  Block(const Block &) = delete;
  Block &operator=(const Block &) = delete;
  ~Block();
  // At least `bytes`, at a multiple of 64; of large pages where they help. False: no memory, and
  // the block is empty.
  [[nodiscard]] bool reserve(int64_t bytes);
  std::byte *data() const { return data_; }
  int64_t bytes() const { return bytes_; }
  void swap(Block &other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
  }

 private:
  std::byte *data_ = nullptr;
  int64_t bytes_ = 0;
};

}  // namespace sylvite
