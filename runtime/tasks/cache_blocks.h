// The memory of a decoder's caches: pools of blocks of kSylviteCacheBlock positions, and for each
// row of the batch a table that says which blocks are its own. Rows that begin alike share blocks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "runtime/abi.h"
#include "runtime/io/result.h"
#include "runtime/memory.h"

namespace sylvite {

// A pool is [blocks, heads, 16, size]. All pools have the same blocks.
struct CacheShape {
  int64_t heads, row_bytes;  // row_bytes: of the `size` elements
};

class CacheBlocks {
 public:
  explicit CacheBlocks(std::span<const CacheShape> shapes);

  // No rows; the memory stays.
  void clear();
  // Room for so many rows of so many positions.
  Error reserve(int64_t rows, int64_t positions);
  // Makes the rows of the next step, in which row i continues row parents[i] of the step before,
  // and gives each a place of its own for position `past`: 0 after clear(), then one more each
  // time. At 0 there are no parents yet; only their number counts. After an error: clear().
  Error advance(std::span<const int32_t> parents, int64_t past);

  // [rows, columns()]
  const std::vector<int32_t> &table() const { return table_; }
  int64_t columns() const { return columns_; }
  int64_t capacity() const { return static_cast<int64_t>(users_.size()); }
  int64_t used() const { return capacity() - static_cast<int64_t>(free_.size()); }
  std::byte *pool(size_t cache) const { return pools_[cache].memory.data(); }

 private:
  struct Pool {
    CacheShape shape;
    Block memory;
    int64_t block_bytes() const { return shape.heads * kSylviteCacheBlock * shape.row_bytes; }
  };
  Error grow(int64_t blocks);
  Error take(int32_t *block);
  void release(int32_t block);
  void copy(int32_t to, int32_t from, int64_t positions);

  std::vector<Pool> pools_;
  std::vector<int32_t> users_;  // of each block: rows that have it
  std::vector<int32_t> free_;   // the last one is taken next
  int64_t touched_ = 0;         // blocks below were in use before
  int64_t rows_ = 0, columns_ = 0;
  std::vector<int32_t> table_, next_table_;
};

}  // namespace sylvite
