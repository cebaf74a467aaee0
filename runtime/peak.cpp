// Peaks by measurement, not from a table of CPUs: clock rates differ by load and virtual machines
// hide them. The functions for wide registers carry their own target attributes; the file is
// compiled for the baseline.
#include "runtime/peak.h"

#include <immintrin.h>
#include <time.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "runtime/memory.h"

namespace sylvite {
namespace {

constexpr int kRounds = 9;                  // the best one counts: others share the machine
constexpr int64_t kIterations = 1'000'000;  // of the loop of multiply-adds: a few milliseconds
constexpr int kChains = 12;                 // independent ones: covers two units of latency 4 to 5
constexpr int64_t kBytes = int64_t{256} << 20;  // beyond every cache

int64_t now() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

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

// Nanoseconds of the fastest of some rounds in which each thread does one part.
int64_t fastest(ThreadPool &pool, ThreadPool::Task task, void *argument) {
  int64_t best = INT64_MAX;
  for (int round = 0; round < kRounds; ++round) {
    const int64_t begin = now();
    pool.run(pool.threads(), task, argument);
    best = std::min(best, now() - begin);
  }
  return std::max<int64_t>(best, 1);
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

void touch_part(void *argument, int part, int) {
  const Reading &reading = *static_cast<const Reading *>(argument);
  auto *at = const_cast<std::byte *>(reading.data) + part * reading.bytes_a_part;
  std::fill_n(at, reading.bytes_a_part, std::byte{1});
}

double measure_bandwidth(ThreadPool &pool) {
  Block block;
  if (!block.reserve(kBytes)) {
    return 0;
  }
  Reading reading{block.data(), kBytes / pool.threads() / 64 * 64};
  pool.run(pool.threads(), touch_part, &reading);
  const int64_t nanoseconds = fastest(pool, read_part, &reading);
  return static_cast<double>(reading.bytes_a_part * pool.threads()) /
         static_cast<double>(nanoseconds) * 1e9;
}

}  // namespace

Peak measure_peak(sylvite_isa isa, ThreadPool &pool) {
  const bool v4 = isa == SYL_X86_64_V4;
  const auto task_v3 = [](void *, int, int) { multiply_add_v3(kIterations); };
  const auto task_v4 = [](void *, int, int) { multiply_add_v4(kIterations); };
  const int64_t nanoseconds =
      v4 ? fastest(pool, task_v4, nullptr) : fastest(pool, task_v3, nullptr);
  const int lanes = v4 ? 16 : 8;
  const double flops = 2.0 * lanes * kChains * static_cast<double>(kIterations) * pool.threads();
  return {flops / static_cast<double>(nanoseconds) * 1e9, measure_bandwidth(pool)};
}

}  // namespace sylvite
