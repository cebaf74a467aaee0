// Places of buffers: no two that live at the same time overlap, whatever their sizes and lifetimes.
#include "runtime/arena.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace sylvite {
namespace {

struct Placement {
  std::vector<int64_t> offsets;
  int64_t total = 0;
};

Placement place(const std::vector<ArenaBuffer> &buffers) {
  Placement placement;
  placement.offsets.resize(buffers.size());
  std::vector<int32_t> order(buffers.size());
  placement.total = place_buffers(buffers, placement.offsets, order);
  return placement;
}

int64_t rounded(int64_t bytes) {
  return (bytes + 63) / 64 * 64;
}

TEST(Arena, LiveBuffersNeverOverlap) {
  std::mt19937 random(7);
  for (int round = 0; round < 300; ++round) {
    std::vector<ArenaBuffer> buffers(random() % 60);
    for (ArenaBuffer &buffer : buffers) {
      buffer.bytes = random() % 5 == 0 ? 0 : static_cast<int64_t>(random() % 3000);
      buffer.first = static_cast<int32_t>(random() % 40);
      buffer.last = buffer.first + static_cast<int32_t>(random() % 10);
    }
    const Placement placement = place(buffers);
    int64_t needed = 0;  // the most that lives at one time
    for (int32_t call = 0; call < 50; ++call) {
      int64_t live = 0;
      for (const ArenaBuffer &buffer : buffers) {
        live += buffer.first <= call && call <= buffer.last ? rounded(buffer.bytes) : 0;
      }
      needed = std::max(needed, live);
    }
    EXPECT_GE(placement.total, needed);
    for (size_t i = 0; i < buffers.size(); ++i) {
      EXPECT_EQ(placement.offsets[i] % kArenaAlignment, 0);
      EXPECT_LE(placement.offsets[i] + buffers[i].bytes, placement.total);
      for (size_t j = 0; j < i; ++j) {
        if (buffers[i].first > buffers[j].last || buffers[j].first > buffers[i].last) {
          continue;
        }
        EXPECT_TRUE(placement.offsets[i] + buffers[i].bytes <= placement.offsets[j] ||
                    placement.offsets[j] + buffers[j].bytes <= placement.offsets[i]);
      }
    }
  }
}

TEST(Arena, DeadBuffersGiveTheirPlaceAway) {
  // A chain: each buffer is read by the call after the one that writes it, so that two live at a
  // time.
  std::vector<ArenaBuffer> buffers;
  for (int32_t i = 0; i < 20; ++i) {
    buffers.push_back({.bytes = 1024, .first = i, .last = i + 1});
  }
  EXPECT_EQ(place(buffers).total, 2048);
}

TEST(Arena, TheSmallestGapIsTaken) {
  // Behind one long-lived buffer two gaps open, of 4096 and 1024 bytes; the small buffer must not
  // break the large one.
  const std::vector<ArenaBuffer> buffers = {
      {.bytes = 8192, .first = 0, .last = 9},
      {.bytes = 4096, .first = 0, .last = 4},
      {.bytes = 4096, .first = 5, .last = 9},
      {.bytes = 512, .first = 0, .last = 9},
  };
  EXPECT_EQ(place(buffers).total, 8192 + 4096 + 512);
}

TEST(Arena, SizesThatCannotBeCountedAreAnError) {
  EXPECT_EQ(place({{.bytes = -1, .first = 0, .last = 0}}).total, -1);
  EXPECT_EQ(place({{.bytes = int64_t{1} << 62, .first = 0, .last = 0}}).total, -1);
  EXPECT_EQ(place({{.bytes = int64_t{1} << 60, .first = 0, .last = 0},
                   {.bytes = int64_t{1} << 60, .first = 0, .last = 0},
                   {.bytes = int64_t{1} << 60, .first = 0, .last = 0}})
                .total,
            -1);
}

TEST(Arena, NothingIsPlacedInNoBytes) {
  EXPECT_EQ(place({}).total, 0);
  EXPECT_EQ(place({{.bytes = 0, .first = 0, .last = 3}, {.bytes = 0, .first = 0, .last = 3}}).total,
            0);
}

}  // namespace
}  // namespace sylvite
