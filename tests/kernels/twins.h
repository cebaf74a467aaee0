// What the kernels' results are by definition, in plain loops over float: the same multiply-adds,
// blocks and trees as compiler/ir/kernel_traits.h says, compared bit by bit.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <vector>

#include "compiler/ir/kernel_traits.h"

namespace sylvite {

// Contracted by the compiler into nothing else: the tests are built with -ffp-contract=off.
__attribute__((target("avx2,fma"))) inline void add_row(float *sums, const float *row, float factor,
                                                        int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    sums[i] = __builtin_fmaf(factor, row[i], sums[i]);
  }
}

// result[n] = sum over k of a[k] * row(k)[n], in blocks of kContractionBlock.
inline std::vector<float> contract(const float *a, int64_t depth, int64_t columns,
                                   const std::function<const float *(int64_t)> &row) {
  std::vector<float> result;
  for (int64_t first = 0; first < depth; first += kContractionBlock) {
    std::vector<float> sums(static_cast<size_t>(columns), 0.0f);
    for (int64_t k = first; k < std::min(depth, first + kContractionBlock); ++k) {
      add_row(sums.data(), row(k), a[k], columns);
    }
    if (first == 0) {
      result = sums;
    } else {
      for (size_t i = 0; i < result.size(); ++i) {
        result[i] += sums[i];
      }
    }
  }
  return result;
}

template <typename Join>
float tree_of(std::vector<float> lanes, const Join &join) {
  for (size_t half = lanes.size() / 2; half > 0; half /= 2) {
    for (size_t i = 0; i < half; ++i) {
      lanes[i] = join(lanes[i], lanes[i + half]);
    }
  }
  return lanes[0];
}

inline float sum_of(const std::vector<float> &row) {
  std::vector<float> lanes(kSumLanes, 0.0f);
  for (size_t i = 0; i < row.size(); ++i) {
    lanes[i % kSumLanes] += row[i];
  }
  return tree_of(lanes, [](float a, float b) { return a + b; });
}

inline float maximum_of(const std::vector<float> &row) {
  std::vector<float> lanes(kSumLanes, -INFINITY);
  for (size_t i = 0; i < row.size(); ++i) {
    lanes[i % kSumLanes] = lanes[i % kSumLanes] < row[i] ? row[i] : lanes[i % kSumLanes];
  }
  return tree_of(lanes, [](float a, float b) { return a < b ? b : a; });
}

// exp for x <= 0, see compiler/kernels/rows.h.
inline float exp_twin(float x) {
  const float y = x < -87.3f ? -87.3f : x;
  const float shifted = std::fma(y, 1.44269504088896341f, 12582912.0f);
  const float n = shifted - 12582912.0f;
  float r = std::fma(n, -0.693145751953125f, y);
  r = std::fma(n, -1.42860682030941723212e-6f, r);
  float p = 1.0f / 720;
  for (const float coefficient : {1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f}) {
    p = std::fma(p, r, coefficient);
  }
  uint32_t bits = 0;
  std::memcpy(&bits, &shifted, sizeof bits);
  bits = (bits << 23) + (127u << 23);
  float scale = 0;
  std::memcpy(&scale, &bits, sizeof scale);
  return x < -87.3f ? 0.0f : p * scale;
}

}  // namespace sylvite
