// Greedy by size: the largest buffer is placed first, each next one into the smallest gap that it
// fits between the buffers that live when it does, or behind them. On transformers this comes
// within a few percent of the largest sum of live bytes; orders by time of first use leave holes
// that the wide feed-forward buffers then do not fit. Quadratic in the number of buffers, which is
// in the hundreds.
#include "runtime/arena.h"

#include <algorithm>
#include <limits>

namespace sylvite {
namespace {

constexpr int64_t kMaxBytes = int64_t{1} << 60;

int64_t aligned(int64_t bytes) {
  return (bytes + kArenaAlignment - 1) / kArenaAlignment * kArenaAlignment;
}

bool live_together(const ArenaBuffer &a, const ArenaBuffer &b) {
  return a.first <= b.last && b.first <= a.last;
}

// `placed` is sorted by offset.
int64_t best_place(const ArenaBuffer &buffer, std::span<const ArenaBuffer> buffers,
                   std::span<const int64_t> offsets, std::span<const int32_t> placed) {
  int64_t best = -1, best_gap = std::numeric_limits<int64_t>::max();
  int64_t end = 0;  // of the live buffers seen so far
  for (const int32_t other : placed) {
    const size_t i = static_cast<size_t>(other);
    if (!live_together(buffer, buffers[i])) {
      continue;
    }
    const int64_t gap = offsets[i] - end;
    if (gap >= aligned(buffer.bytes) && gap < best_gap) {
      best = end;
      best_gap = gap;
    }
    end = std::max(end, offsets[i] + aligned(buffers[i].bytes));
  }
  return best >= 0 ? best : end;
}

}  // namespace

int64_t place_buffers(std::span<const ArenaBuffer> buffers, std::span<int64_t> offsets,
                      std::span<int32_t> order) {
  for (size_t i = 0; i < buffers.size(); ++i) {
    if (buffers[i].bytes < 0 || buffers[i].bytes > kMaxBytes) {
      return -1;
    }
    order[i] = static_cast<int32_t>(i);
  }
  std::sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    const int64_t bytes_a = buffers[static_cast<size_t>(a)].bytes;
    const int64_t bytes_b = buffers[static_cast<size_t>(b)].bytes;
    return bytes_a != bytes_b ? bytes_a > bytes_b : a < b;
  });
  // The front of `order` holds what is placed, by offset; the rest what is not, by size.
  int64_t total = 0;
  for (size_t done = 0; done < order.size(); ++done) {
    const int32_t next = order[done];
    const size_t i = static_cast<size_t>(next);
    const std::span<int32_t> placed = order.first(done);
    offsets[i] = best_place(buffers[i], buffers, offsets, placed);
    if (offsets[i] > kMaxBytes) {
      return -1;
    }
    total = std::max(total, offsets[i] + aligned(buffers[i].bytes));
    const auto by_offset = [&](int64_t offset, int32_t other) {
      return offset < offsets[static_cast<size_t>(other)];
    };
    const auto at = std::upper_bound(placed.begin(), placed.end(), offsets[i], by_offset);
    std::move_backward(at, placed.end(), placed.end() + 1);
    *at = next;
  }
  return total;
}

}  // namespace sylvite
