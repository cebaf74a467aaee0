#include <gtest/gtest.h>

#include <limits>

#include "tests/kernels/harness.h"

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
  text += "a = attention(q, k, v" + std::string(mask_input.empty() ? "" : ", m") + ") [ graph (s: " +
          scores + mask_input + ") {\n" + score_region + "}, graph (p: " + scores +
          mask_input + ") { return p } ]\n";
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

TEST(Attention, CrossWithBroadcastKeysAndProbabilityRegion) {
  TestKernel kernel(R"(graph (q: f32[b, 4, lq, 16], k: f32[b, 1, lk, 16], v: f32[b, 1, lk, 24]) {
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
  for (const auto &[lq, lk] : std::vector<std::pair<int64_t, int64_t>>{{1, 1}, {3, 40}, {25, 7}, {13, 400}}) {
    expect_matches(kernel, {{"b", 2}, {"lq", lq}, {"lk", lk}});
  }
}

}  // namespace
}  // namespace sylvite
