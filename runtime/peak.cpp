// Peaks by measurement, not from a table of CPUs: clock rates differ by load and virtual machines
// hide them. The functions for wide registers carry their own target attributes; the file is
// compiled for the baseline.
#include "runtime/peak.h"

#include <immintrin.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "runtime/clock.h"
#include "runtime/memory.h"

namespace sylvite {
namespace {

// Short rounds, of which the best one counts: others share the machine, and a round should fit into
// the time that the system gives a thread.
constexpr int kRounds = 40;
constexpr int64_t kIterations = 200'000;  // of the loop of multiply-adds: half a millisecond
constexpr int kChains = 12;               // independent ones: covers two units of latency 4 to 5
constexpr int64_t kBytes = int64_t{256} << 20;  // beyond every cache
constexpr int64_t kChunk = int64_t{16} << 20;   // read in a round; the others evict it

volatile float g_factor = 0.999f, g_sink;
volatile int64_t g_sum;

__attribute__((target("avx2,fma"))) void multiply_add_v3(int64_t iterations) {
  const __m256 factor = _mm256_set1_ps(g_factor);
  __m256 sums[kChains];
  for (__m256 &sum : sums) {
    sum = factor;
  }
  for (int64_t i = 0; i < iterations; ++i) {
#pragma GCC unroll 12
    for (int chain = 0; chain < kChains; ++chain) {
      sums[chain] = _mm256_fmadd_ps(sums[chain], factor, factor);
    }
  }
  for (const __m256 &sum : sums) {
    g_sink = _mm256_cvtss_f32(sum);
  }
}

// clang has a switch of its own for the 512-bit registers, which gcc 12 does not know.
#if defined(__clang__)
__attribute__((target("avx512f,evex512")))
#else
__attribute__((target("avx512f")))
#endif
void multiply_add_v4(int64_t iterations) {
  const __m512 factor = _mm512_set1_ps(g_factor);
  __m512 sums[kChains];
  for (__m512 &sum : sums) {
    sum = factor;
  }
  for (int64_t i = 0; i < iterations; ++i) {
#pragma GCC unroll 12
    for (int chain = 0; chain < kChains; ++chain) {
      sums[chain] = _mm512_fmadd_ps(sums[chain], factor, factor);
    }
  }
  for (const __m512 &sum : sums) {
    g_sink = _mm512_cvtss_f32(sum);
  }
}

// Each thread does one part.
int64_t nanoseconds_of(ThreadPool &pool, ThreadPool::Task task, void *argument) {
  const int64_t begin = now_in_nanoseconds();
  pool.run(pool.threads(), task, argument);
  return std::max<int64_t>(now_in_nanoseconds() - begin, 1);
}

double measure_multiply_adds(sylvite_isa isa, ThreadPool &pool) {
  const bool v4 = isa == SYL_X86_64_V4;
  const ThreadPool::Task task_v3 = [](void *, int, int) { multiply_add_v3(kIterations); };
  const ThreadPool::Task task_v4 = [](void *, int, int) { multiply_add_v4(kIterations); };
  int64_t best = INT64_MAX;
  for (int round = 0; round < kRounds; ++round) {
    best = std::min(best, nanoseconds_of(pool, v4 ? task_v4 : task_v3, nullptr));
  }
  const double flops =
      2.0 * (v4 ? 16 : 8) * kChains * static_cast<double>(kIterations) * pool.threads();
  return flops / static_cast<double>(best) * 1e9;
}

struct Reading {
  const std::byte *data;
  int64_t bytes_a_part;
};

void read_part(void *argument, int part, int) {
  const Reading &reading = *static_cast<const Reading *>(argument);
  const auto *at = reinterpret_cast<const __m128i *>(reading.data + part * reading.bytes_a_part);
  __m128i sums[4] = {};
  for (int64_t i = 0; i < reading.bytes_a_part / 16; i += 4) {
    for (int k = 0; k < 4; ++k) {
      sums[k] = _mm_add_epi64(sums[k], _mm_load_si128(at + i + k));
    }
  }
  for (const __m128i &sum : sums) {
    g_sum = _mm_cvtsi128_si64(sum);
  }
}

double measure_bandwidth(ThreadPool &pool) {
  Block block;
  if (!block.reserve(kBytes)) {
    return 0;
  }
  std::fill_n(block.data(), kBytes, std::byte{1});
  const int64_t part = kChunk / pool.threads() / 64 * 64;
  int64_t best = INT64_MAX;
  for (int round = 0; round < kRounds; ++round) {
    Reading reading{block.data() + round * kChunk % kBytes, part};
    best = std::min(best, nanoseconds_of(pool, read_part, &reading));
  }
  return static_cast<double>(part * pool.threads()) / static_cast<double>(best) * 1e9;
}

}  // namespace

Peak measure_peak(sylvite_isa isa, ThreadPool &pool) {
  return {measure_multiply_adds(isa, pool), measure_bandwidth(pool)};
}

}  // namespace sylvite
