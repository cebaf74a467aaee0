#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "tests/kernels/harness.h"
#include "tests/kernels/twins.h"

namespace sylvite {
namespace {

// Packed q, k, v as [batch, length, 3 * heads * size], heads merged behind.
std::string packed_attention(int heads, int size, const std::string &mask_input,
                             const std::string &score_region) {
  const std::string h = std::to_string(heads), d = std::to_string(size);
  const std::string all = std::to_string(heads * size), three = std::to_string(3 * heads * size);
  std::string text = "graph (x: f32[b, l, " + three + "]" + mask_input + ") {\n";
  const char *names[] = {"q", "k", "v"};
  for (int i = 0; i < 3; ++i) {
    const std::string n = names[i];
    text += n + "1 = slice(x) {starts = [0, 0, " + std::to_string(i * heads * size) +
            "], sizes = [b, l, " + all + "], steps = (1, 1, 1)}\n";
    text += n + "2 = reshape(" + n + "1) {shape = [b, l, " + h + ", " + d + "]}\n";
    text += n + " = transpose(" + n + "2) {perm = (0, 2, 1, 3)}\n";
  }
  const std::string scores = "f32[b, " + h + ", l, l]";
  text += "a = attention(q, k, v" + std::string(mask_input.empty() ? "" : ", m") +
          ") [ graph (s: " + scores + mask_input + ") {\n" + score_region +
          "}, graph (p: " + scores + mask_input + ") { return p } ]\n";
  text += "t = transpose(a) {perm = (0, 2, 1, 3)}\n";
  text += "r = reshape(t) {shape = [b, l, " + all + "]}\n return r }";
  return text;
}

constexpr const char *kScaleAndAdd = R"(c = constant {value = f32[] (0.17)}
  t = mul(s, c)
  r = add(t, m)
  return r
)";

TEST(Attention, PackedWithMask) {
  TestKernel kernel(packed_attention(2, 64, ", m: f32[b, 1, 1, l]", kScaleAndAdd));
  for (const int64_t l : {1, 2, 5, 11, 12, 13, 16, 17, 33, 100, 197}) {
    expect_matches(kernel, {{"b", 2}, {"l", l}});
  }
}

TEST(Attention, LongerThanABlock) {
  TestKernel kernel(packed_attention(1, 16, ", m: f32[b, 1, l, l]", kScaleAndAdd));
  for (const int64_t l : {384, 385, 770}) {
    expect_matches(kernel, {{"b", 1}, {"l", l}});
  }
}

TEST(Attention, OddHeadSizes) {
  for (const int size : {20, 32, 48, 7}) {
    TestKernel kernel(packed_attention(3, size, ", m: f32[b, 1, l, l]", kScaleAndAdd));
    for (const int64_t l : {1, 9, 31}) {
      expect_matches(kernel, {{"b", 2}, {"l", l}});
    }
  }
}

TEST(Attention, BoolMaskAndInfinities) {
  TestKernel kernel(packed_attention(2, 16, ", m: bool[b, 1, 1, l]",
                                     R"(c = constant {value = f32[] (0.25)}
    i = constant {value = f32[] (-inf)}
    t = mul(s, c)
    r = where(m, t, i)
    return r
  )"));
  for (const int64_t l : {1, 5, 17, 40}) {
    expect_matches(kernel, {{"b", 3}, {"l", l}});
  }
}

TEST(Attention, OverAnImagesPositions) {
  TestKernel kernel(
      R"(graph (image: f32[h, w], x: f32[b, floor_div(h + 1, 2)*floor_div(w + 1, 2), 24]) {
    q = slice(x) {starts = [0, 0, 0], sizes = [b, floor_div(h + 1, 2)*floor_div(w + 1, 2), 8], steps = (1, 1, 1)}
    k = slice(x) {starts = [0, 0, 8], sizes = [b, floor_div(h + 1, 2)*floor_div(w + 1, 2), 8], steps = (1, 1, 1)}
    v = slice(x) {starts = [0, 0, 16], sizes = [b, floor_div(h + 1, 2)*floor_div(w + 1, 2), 8], steps = (1, 1, 1)}
    a = attention(q, k, v) [
      graph (s: f32[b, floor_div(h + 1, 2)*floor_div(w + 1, 2), floor_div(h + 1, 2)*floor_div(w + 1, 2)]) { return s },
      graph (p: f32[b, floor_div(h + 1, 2)*floor_div(w + 1, 2), floor_div(h + 1, 2)*floor_div(w + 1, 2)]) { return p } ]
    return a
  })");
  for (const auto &[h, w] : std::vector<std::array<int64_t, 2>>{{1, 1}, {5, 8}, {40, 41}}) {
    expect_matches(kernel, {{"b", 2}, {"h", h}, {"w", w}});
  }
}

TEST(Attention, CrossWithBroadcastKeysAndProbabilityRegion) {
  TestKernel kernel(R"(graph (q: f32[b, 4, lq, 16], k: f32[b, 1, lk, 16], v: f32[b, 1, lk, 24]) {
    symbol lk in [0, inf)
    a = attention(q, k, v) [
      graph (s: f32[b, 4, lq, lk]) { return s },
      graph (p: f32[b, 4, lq, lk]) {
        z = constant {value = f32[] (0)}
        n = is_nan(p)
        r = where(n, z, p)
        return r
      } ]
    return a
  })");
  for (const auto &[lq, lk] :
       std::vector<std::pair<int64_t, int64_t>>{{1, 1}, {2, 0}, {3, 40}, {25, 7}, {13, 400}}) {
    expect_matches(kernel, {{"b", 2}, {"lq", lq}, {"lk", lk}});
  }
}

TEST(Attention, HalfTypes) {
  for (const std::string type : {"f16", "bf16"}) {
    for (const std::string probabilities : {"return p", "r = add(p, m) return r"}) {
      const std::string scores = type + "[b, 3, l, l], m: " + type + "[b, 1, 1, l]";
      TestKernel kernel("graph (q: " + type + "[b, 3, l, 16], k: " + type +
                        "[b, 3, l, 16], v: " + type + "[b, 3, l, 8], m: " + type +
                        "[b, 1, 1, l]) { a = attention(q, k, v, m) [ graph (s: " + scores +
                        ") { r = add(s, m) return r }, graph (p: " + scores + ") { " +
                        probabilities + " } ] return a }");
      for (const int64_t l : {1, 9, 33}) {
        expect_matches(kernel, {{"b", 2}, {"l", l}}, {.tolerance = type == "f16" ? 4e-3 : 3e-2});
      }
    }
  }
}

TEST(Attention, SoftmaxOfFloatsBetweenHalves) {
  TestKernel kernel(R"(graph (q: f16[b, 3, l, 16], k: f16[b, 3, l, 16], v: f16[b, 3, l, 8],
                              m: f32[b, 1, 1, l]) {
    a = attention(q, k, v, m) [
      graph (s: f16[b, 3, l, l], m: f32[b, 1, 1, l]) {
        c = cast(s) {to = f32}
        r = add(c, m)
        return r
      },
      graph (p: f32[b, 3, l, l], m: f32[b, 1, 1, l]) { r = cast(p) {to = f16} return r }
    ]
    return a
  })");
  for (const int64_t l : {1, 9, 33}) {
    expect_matches(kernel, {{"b", 2}, {"l", l}}, {.tolerance = 4e-3});
  }
}

const float *floats(const Tensor &tensor) {
  return reinterpret_cast<const float *>(tensor.bytes().data());
}

// Scores, maximum, exponentials, sum and product with v as attention.cpp promises them.
Tensor attention_twin(const Tensor &x, const Tensor &mask, int64_t heads, int64_t size) {
  const int64_t batch = x.shape()[0], length = x.shape()[1], all = heads * size;
  Tensor result(DType::F32, {batch, length, all});
  float *out = reinterpret_cast<float *>(result.mutable_bytes());
  std::vector<float> keys(static_cast<size_t>(size * length));
  for (int64_t b = 0; b < batch; ++b) {
    for (int64_t h = 0; h < heads; ++h) {
      const auto at = [&](int64_t row, int64_t part) {
        return floats(x) + ((b * length + row) * 3 + part) * all + h * size;
      };
      for (int64_t j = 0; j < length; ++j) {
        for (int64_t d = 0; d < size; ++d) {
          keys[static_cast<size_t>(d * length + j)] = at(j, 1)[d];
        }
      }
      for (int64_t i = 0; i < length; ++i) {
        std::vector<float> scores =
            contract(at(i, 0), size, length, [&](int64_t d) { return keys.data() + d * length; });
        for (int64_t j = 0; j < length; ++j) {
          float &score = scores[static_cast<size_t>(j)];
          score = score * 0.17f;
          score = score + floats(mask)[b * length + j];
        }
        const float largest = maximum_of(scores);
        for (float &score : scores) {
          score = exp_twin(score - largest);
        }
        const float factor = 1.0f / sum_of(scores);
        // In blocks even when there is one: 0 + sum.
        const std::vector<float> row =
            contract(scores.data(), length, size, [&](int64_t j) { return at(j, 2); });
        for (int64_t d = 0; d < size; ++d) {
          out[(b * length + i) * all + h * size + d] = row[static_cast<size_t>(d)] * factor;
        }
      }
    }
  }
  return result;
}

bool same_but_for_nan(const Tensor &a, const Tensor &b) {
  for (int64_t i = 0; i < a.count(); ++i) {
    const float x = floats(a)[i], y = floats(b)[i];
    if (std::isnan(x) ? !std::isnan(y) : std::bit_cast<uint32_t>(x) != std::bit_cast<uint32_t>(y)) {
      return false;
    }
  }
  return a.shape() == b.shape();
}

TEST(Attention, Twin) {
  for (const int size : {24, 64}) {
    TestKernel kernel(packed_attention(2, size, ", m: f32[b, 1, 1, l]", kScaleAndAdd));
    for (const int64_t length : {1, 2, 5, 12, 13, 16, 17, 37, 100, 197, 384, 385, 770}) {
      const SymbolValues symbols = {{"b", 2}, {"l", length}};
      std::vector<Tensor> inputs = kernel.random_inputs(symbols, 3);
      for (int64_t j = 0; j < length; ++j) {  // masked keys; every key of one sequence
        inputs[1].set(j, j % 3 == 1 ? -1e9 : 0);
        inputs[1].set(length + j, length % 2 == 0 ? -INFINITY : j % 2 == 0 ? -3.4e38 : 0.5);
      }
      if (length == 37) {
        inputs[0].set(5, NAN);
        inputs[0].set(700, INFINITY);
      }
      const Tensor want = attention_twin(inputs[0], inputs[1], 2, size);
      for (const Isa isa : machine_isas()) {
        for (uint32_t seed = 0; seed < 3; ++seed) {
          const Tensor got = kernel.run(isa, inputs, symbols, seed)[0];
          EXPECT_TRUE(same_but_for_nan(got, want))
              << size << ", " << length << ", " << name_of(isa);
        }
      }
    }
  }
}

// Padding that a batch adds: rows of a sequence stay what they are when masked keys follow.
TEST(Attention, PaddingChangesNothing) {
  TestKernel kernel(packed_attention(2, 16, ", m: f32[b, 1, 1, l]", kScaleAndAdd));
  for (const int64_t length : {1, 7, 16, 40, 383}) {
    const std::vector<Tensor> alone = kernel.random_inputs({{"b", 1}, {"l", length}}, 5);
    for (const int64_t added : {1, 9, 16, 400}) {
      for (const double masked : {-1e9, -3.4e38, -static_cast<double>(INFINITY)}) {
        const SymbolValues padded = {{"b", 2}, {"l", length + added}};
        std::vector<Tensor> inputs = kernel.random_inputs(padded, 6);
        for (int64_t i = 0; i < alone[0].count(); ++i) {
          inputs[0].set(inputs[0].count() / 2 + i, alone[0].at(i));
        }
        for (int64_t j = 0; j < length + added; ++j) {
          inputs[1].set(length + added + j, j < length ? alone[1].at(j) : masked);
        }
        for (const Isa isa : machine_isas()) {
          const Tensor want = kernel.run(isa, alone, {{"b", 1}, {"l", length}}, 0)[0];
          const Tensor got = kernel.run(isa, inputs, padded, 1)[0];
          EXPECT_EQ(0,
                    std::memcmp(floats(got) + got.count() / 2, floats(want), want.bytes().size()))
              << length << " + " << added << ", " << name_of(isa);
        }
      }
    }
  }
}

}  // namespace
}  // namespace sylvite
