// Chains of fused multiply-adds in registers: more chains than latency x throughput, so that the units are
// always busy (4 cycles x 2 units: 8; twelve leave some slack, and 16 registers hold them all on AVX2).
// Nothing is loaded or stored inside, so this is a ceiling that no kernel can pass.
#include "compiler/driver/fma_peak.h"

#include <immintrin.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

namespace sylvite {
namespace {

constexpr int kChains = 12;
constexpr int64_t kSteps = 400'000;

// The sums go out so that the compiler keeps the loop.
__attribute__((target("avx2,fma"))) float chains_of_8(int64_t steps) {
  __m256 sums[kChains];
  for (int i = 0; i < kChains; ++i) {
    sums[i] = _mm256_set1_ps(static_cast<float>(i));
  }
  const __m256 factor = _mm256_set1_ps(0.999F), term = _mm256_set1_ps(0.001F);
  for (int64_t step = 0; step < steps; ++step) {
#pragma GCC unroll 12
    for (int i = 0; i < kChains; ++i) {
      sums[i] = _mm256_fmadd_ps(sums[i], factor, term);
    }
  }
  __m256 total = sums[0];
  for (int i = 1; i < kChains; ++i) {
    total = _mm256_add_ps(total, sums[i]);
  }
  return _mm256_cvtss_f32(total);
}

__attribute__((target("avx512f"))) float chains_of_16(int64_t steps) {
  __m512 sums[kChains];
  for (int i = 0; i < kChains; ++i) {
    sums[i] = _mm512_set1_ps(static_cast<float>(i));
  }
  const __m512 factor = _mm512_set1_ps(0.999F), term = _mm512_set1_ps(0.001F);
  for (int64_t step = 0; step < steps; ++step) {
#pragma GCC unroll 12
    for (int i = 0; i < kChains; ++i) {
      sums[i] = _mm512_fmadd_ps(sums[i], factor, term);
    }
  }
  __m512 total = sums[0];
  for (int i = 1; i < kChains; ++i) {
    total = _mm512_add_ps(total, sums[i]);
  }
  return _mm512_cvtss_f32(total);
}

double round_of_chains(Isa isa, int threads) {
  std::atomic<int> waiting{threads};
  std::atomic<float> sink{0};
  const auto work = [&] {
    --waiting;
    while (waiting.load() > 0) {
    }
    sink = isa == Isa::X86_64_V4 ? chains_of_16(kSteps) : chains_of_8(kSteps);
  };
  std::vector<std::jthread> others;
  for (int i = 1; i < threads; ++i) {
    others.emplace_back(work);
  }
  --waiting;
  while (waiting.load() > 0) {
  }
  const std::chrono::steady_clock::time_point start = std::chrono::steady_clock::now();
  sink = isa == Isa::X86_64_V4 ? chains_of_16(kSteps) : chains_of_8(kSteps);
  others.clear();  // joins
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const double lanes = isa == Isa::X86_64_V4 ? 16 : 8;
  return 2.0 * lanes * kChains * static_cast<double>(kSteps) * threads / seconds / 1e9;
}

}  // namespace

double measure_fma_peak(Isa isa, int threads) {
  double best = 0;
  for (int round = 0; round < 12; ++round) {
    best = std::max(best, round_of_chains(isa, threads));
  }
  return best;
}

}  // namespace sylvite
