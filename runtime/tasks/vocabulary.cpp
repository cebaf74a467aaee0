// Passes over a row of scores: 8,000 to 250,000 floats for each row of each step, so they must cost
// little beside the products that made them. This file is built for the baseline x86-64 (programs
// start on any CPU), four lanes of SSE; vectors of the compiler's own make the sixteen partial
// results explicit, so the order of additions is the same whoever compiles.
//
// log_sum_exp: exp is a polynomial (Cephes, 2 ulp) of x - max <= 0; partial sums are added up in
// double after every 1024 scores, so their error does not grow with the vocabulary.
#include "runtime/tasks/vocabulary.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <limits>

namespace sylvite {
namespace {

using Floats = float __attribute__((vector_size(16)));
using Ints = int32_t __attribute__((vector_size(16)));
constexpr size_t kLanes = 4, kVectors = 4, kStep = kLanes * kVectors;
constexpr float kNone = -std::numeric_limits<float>::infinity();

Floats load(const float *from) {
  Floats values;
  std::memcpy(&values, from, sizeof values);
  return values;
}

Floats repeat(float value) {
  return Floats{value, value, value, value};
}

// NaN in `b` gives `a`.
Floats greater(Floats a, Floats b) {
  return b > a ? b : a;
}

// exp of numbers that are not positive; what is below -87 counts as that, 1.6e-38.
Floats exp_of(Floats x) {
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it leaves an integer in the low bits
  x = greater(repeat(-87.0f), x);
  const Floats shifted = x * 1.44269504f + kRound;
  const Floats n = shifted - kRound;
  const Floats r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
  Floats y = r * 1.9875691500e-4f + 1.3981999507e-3f;
  y = y * r + 8.3334519073e-3f;
  y = y * r + 4.1665795894e-2f;
  y = y * r + 1.6666665459e-1f;
  y = y * r + 5.0000001201e-1f;
  y = (y * (r * r) + r) + 1.0f;
  Ints exponent;
  std::memcpy(&exponent, &shifted, sizeof exponent);
  exponent = ((exponent - 0x4b400000) + 127) << 23;
  Floats power;
  std::memcpy(&power, &exponent, sizeof power);
  return y * power;
}

// Calls work(vectors) for each kStep scores, the last ones filled up with minus infinity.
template <typename Work>
void for_each_step(std::span<const float> scores, const Work &work) {
  size_t at = 0;
  for (; at + kStep <= scores.size(); at += kStep) {
    const Floats vectors[kVectors] = {load(&scores[at]), load(&scores[at + 4]),
                                      load(&scores[at + 8]), load(&scores[at + 12])};
    work(vectors, at);
  }
  if (at < scores.size()) {
    float rest[kStep];
    std::fill(rest, rest + kStep, kNone);
    std::copy(scores.begin() + static_cast<ptrdiff_t>(at), scores.end(), rest);
    const Floats vectors[kVectors] = {load(rest), load(rest + 4), load(rest + 8), load(rest + 12)};
    work(vectors, at);
  }
}

float greatest(Floats a) {
  return std::max(std::max(a[0], a[1]), std::max(a[2], a[3]));
}

float greatest(std::span<const float> scores) {
  Floats best[kVectors] = {repeat(kNone), repeat(kNone), repeat(kNone), repeat(kNone)};
  for_each_step(scores, [&](const Floats *vectors, size_t) {
    for (size_t i = 0; i < kVectors; ++i) {
      best[i] = greater(best[i], vectors[i]);
    }
  });
  return greatest(greater(greater(best[0], best[1]), greater(best[2], best[3])));
}

float sum_of(const Floats *parts) {
  const Floats sums = (parts[0] + parts[1]) + (parts[2] + parts[3]);
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

}  // namespace

LogSum log_sum_exp(std::span<const float> scores) {
  constexpr size_t kBlock = 1024;
  const float max = greatest(scores);
  double sum = 0;
  for (size_t begin = 0; begin < scores.size(); begin += kBlock) {
    Floats parts[kVectors] = {};
    for_each_step(scores.subspan(begin, std::min(kBlock, scores.size() - begin)),
                  [&](const Floats *vectors, size_t) {
                    for (size_t i = 0; i < kVectors; ++i) {
                      parts[i] += exp_of(vectors[i] - max);
                    }
                  });
    sum += static_cast<double>(sum_of(parts));
  }
  return {max, static_cast<float>(std::log(sum))};
}

TokenScore best_token(std::span<const float> scores) {
  const float max = greatest(scores);
  if (max == kNone) {
    return {kNone, -1};
  }
  return {max, static_cast<int32_t>(std::find(scores.begin(), scores.end(), max) - scores.begin())};
}

int32_t best_tokens(std::span<const float> scores, std::span<TokenScore> best) {
  if (best.empty()) {
    return 0;
  }
  size_t count = 0;
  float bar = kNone;  // what a score must exceed
  const auto insert = [&](float score, size_t token) {
    size_t at = count < best.size() ? count++ : count - 1;
    for (; at > 0 && best[at - 1].score < score; --at) {
      best[at] = best[at - 1];
    }
    best[at] = {score, static_cast<int32_t>(token)};
    bar = count == best.size() ? best[count - 1].score : kNone;
  };
  for_each_step(scores, [&](const Floats *vectors, size_t at) {
    const Floats most =
        greater(greater(repeat(kNone), vectors[0]), greater(repeat(kNone), vectors[1]));
    const Floats rest =
        greater(greater(repeat(kNone), vectors[2]), greater(repeat(kNone), vectors[3]));
    if (!(greatest(greater(most, rest)) > bar)) {
      return;
    }
    for (size_t i = 0; i < kStep; ++i) {
      const float score = vectors[i / kLanes][i % kLanes];
      if (score > bar) {
        insert(score, at + i);
      }
    }
  });
  return static_cast<int32_t>(count);
}

}  // namespace sylvite
