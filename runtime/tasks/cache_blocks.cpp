// A step costs one pass over the table. All rows are at the same position, so the table is a
// rectangle; each step makes the next one from the parents' rows, counts who uses a block, and
// frees those that nobody continues. Where two rows share the block into which both would now
// write, all but one of them get a copy of what it holds so far.
//
// Pools double when they are full, so a whole sentence allocates a logarithmic number of times, and
// their blocks return for the next one.
#include "runtime/tasks/cache_blocks.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace sylvite {
namespace {

Error no_memory(int64_t blocks) {
  return {SYLVITE_OUT_OF_MEMORY,
          text_of("out of memory: ", blocks, " blocks for the tokens so far")};
}

}  // namespace

CacheBlocks::CacheBlocks(std::span<const CacheShape> shapes) : pools_(shapes.size()) {
  for (size_t i = 0; i < shapes.size(); ++i) {
    pools_[i].shape = shapes[i];
  }
}

void CacheBlocks::clear() {
  std::fill(users_.begin(), users_.end(), 0);
  free_.resize(users_.size());
  for (size_t i = 0; i < free_.size(); ++i) {
    free_[i] = static_cast<int32_t>(free_.size() - 1 - i);
  }
  rows_ = columns_ = 0;
}

Error CacheBlocks::reserve(int64_t rows, int64_t positions) {
  const int64_t columns = (positions + kSylviteCacheBlock - 1) / kSylviteCacheBlock;
  int64_t blocks = 0;
  if (__builtin_mul_overflow(rows, columns, &blocks) || blocks > INT32_MAX) {
    return no_memory(blocks);
  }
  table_.reserve(static_cast<size_t>(blocks));
  next_table_.reserve(static_cast<size_t>(blocks));
  return blocks > capacity() ? grow(blocks) : Error{};
}

Error CacheBlocks::grow(int64_t blocks) {
  const int64_t before = capacity();
  for (Pool &pool : pools_) {
    Block larger;
    int64_t bytes = 0;
    if (blocks > INT32_MAX || __builtin_mul_overflow(blocks, pool.block_bytes(), &bytes) ||
        !larger.reserve(bytes)) {
      return no_memory(blocks);
    }
    if (touched_ > 0) {
      std::memcpy(larger.data(), pool.memory.data(),
                  static_cast<size_t>(touched_ * pool.block_bytes()));
    }
    pool.memory.swap(larger);
  }
  users_.resize(static_cast<size_t>(blocks));
  free_.reserve(users_.size());
  for (int64_t block = blocks - 1; block >= before; --block) {
    free_.push_back(static_cast<int32_t>(block));
  }
  return {};
}

// A block that was never used is zeroed: a kernel may multiply what it masks.
Error CacheBlocks::take(int32_t *block) {
  if (free_.empty()) {
    if (Error error = grow(2 * capacity()); !error.ok()) {
      return error;
    }
  }
  *block = free_.back();
  free_.pop_back();
  users_[static_cast<size_t>(*block)] = 1;
  for (; touched_ <= *block; ++touched_) {
    for (Pool &pool : pools_) {
      std::memset(pool.memory.data() + touched_ * pool.block_bytes(), 0,
                  static_cast<size_t>(pool.block_bytes()));
    }
  }
  return {};
}

void CacheBlocks::release(int32_t block) {
  if (--users_[static_cast<size_t>(block)] == 0) {
    free_.push_back(block);
  }
}

void CacheBlocks::copy(int32_t to, int32_t from, int64_t positions) {
  for (Pool &pool : pools_) {
    const int64_t head_bytes = kSylviteCacheBlock * pool.shape.row_bytes;
    for (int64_t head = 0; head < pool.shape.heads; ++head) {
      std::memcpy(pool.memory.data() + to * pool.block_bytes() + head * head_bytes,
                  pool.memory.data() + from * pool.block_bytes() + head * head_bytes,
                  static_cast<size_t>(positions * pool.shape.row_bytes));
    }
  }
}

Error CacheBlocks::advance(std::span<const int32_t> parents, int64_t past) {
  const int64_t rows = static_cast<int64_t>(parents.size());
  const int64_t old_columns = columns_, columns = past / kSylviteCacheBlock + 1;
  next_table_.resize(static_cast<size_t>(rows * columns));
  for (int64_t row = 0; row < rows && old_columns > 0; ++row) {
    const int32_t *from = table_.data() + parents[static_cast<size_t>(row)] * old_columns;
    std::copy_n(from, old_columns, next_table_.data() + row * columns);
    for (int64_t i = 0; i < old_columns; ++i) {
      ++users_[static_cast<size_t>(from[i])];
    }
  }
  for (int64_t i = 0; i < rows_ * old_columns; ++i) {
    release(table_[static_cast<size_t>(i)]);
  }
  table_.swap(next_table_);
  rows_ = rows;
  columns_ = columns;
  const int64_t filled = past % kSylviteCacheBlock;
  if (filled == 0 && static_cast<int64_t>(free_.size()) < rows) {  // each row takes one
    if (Error error = grow(std::max(2 * capacity(), used() + rows)); !error.ok()) {
      return error;
    }
  }
  for (int64_t row = 0; row < rows; ++row) {
    int32_t &last = table_[static_cast<size_t>((row + 1) * columns - 1)];
    if (filled > 0 && users_[static_cast<size_t>(last)] == 1) {
      continue;
    }
    int32_t block = 0;
    if (Error error = take(&block); !error.ok()) {
      return error;
    }
    if (filled > 0) {
      copy(block, last, filled);
      release(last);
    }
    last = block;
  }
  return {};
}

}  // namespace sylvite
