// Library kernels against plain loops over the ONNX definitions.
#include "runtime/library_kernels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include "runtime/half.h"

namespace sylvite {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// An argument list as the runtime makes it.
class Call {
 public:
  Call(int32_t begin, int32_t end, std::vector<int32_t> symbols) : numbers_{begin, end, 0, 1} {
    numbers_.insert(numbers_.end(), symbols.begin(), symbols.end());
  }
  template <typename T>
  Call &buffer(std::vector<T> &data) {
    syl_halide_buffer buffer{};
    buffer.host = reinterpret_cast<uint8_t *>(data.data());
    buffers_.push_back(buffer);
    return *this;
  }
  int32_t run(sylvite_kernel_function function) {
    std::vector<void *> arguments;
    for (int32_t &number : numbers_) {
      arguments.push_back(&number);
    }
    for (syl_halide_buffer &buffer : buffers_) {
      arguments.push_back(&buffer);
    }
    return function(arguments.data());
  }

 private:
  std::vector<int32_t> numbers_;
  std::vector<syl_halide_buffer> buffers_;
};

// ---- top_k ----

struct TopK {
  std::vector<float> values;
  std::vector<int64_t> indices;
};

TopK top_k(std::vector<float> data, int32_t size, int32_t inner, int32_t k, bool largest) {
  const size_t rows = size == 0 ? 0 : data.size() / static_cast<size_t>(size);
  TopK result{std::vector<float>(rows * static_cast<size_t>(k)),
              std::vector<int64_t>(rows * static_cast<size_t>(k))};
  Call call(0, static_cast<int32_t>(rows), {SYL_F32, size, inner, k, largest, 1});
  EXPECT_EQ(
      call.buffer(data).buffer(result.values).buffer(result.indices).run(sylvite_library_top_k), 0);
  return result;
}

TopK naive_top_k(const std::vector<float> &data, size_t size, size_t inner, size_t k,
                 bool largest) {
  const size_t outer = data.size() / size / inner;
  TopK result{std::vector<float>(outer * k * inner), std::vector<int64_t>(outer * k * inner)};
  for (size_t row = 0; row < outer * inner; ++row) {
    const size_t base = row / inner * size * inner + row % inner;
    std::vector<size_t> order(size);
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
      const float x = data[base + a * inner], y = data[base + b * inner];
      const auto less = [](float p, float q) { return std::isnan(q) ? !std::isnan(p) : p < q; };
      return largest ? less(y, x) : less(x, y);
    });
    for (size_t i = 0; i < k; ++i) {
      const size_t to = row / inner * k * inner + row % inner + i * inner;
      result.values[to] = data[base + order[i] * inner];
      result.indices[to] = static_cast<int64_t>(order[i]);
    }
  }
  return result;
}

bool same_bits(const std::vector<float> &a, const std::vector<float> &b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](float x, float y) {
           return std::bit_cast<uint32_t>(x) == std::bit_cast<uint32_t>(y);
         });
}

TEST(TopK, AgreesWithASort) {
  std::mt19937 random(11);
  for (int round = 0; round < 500; ++round) {
    const size_t outer = 1 + random() % 4, size = 1 + random() % 40, inner = 1 + random() % 4;
    const size_t k = random() % (size + 1);
    std::vector<float> data(outer * size * inner);
    for (float &x : data) {  // few values, so that many are equal
      const uint32_t pick = random() % 12;
      x = pick == 0   ? kNaN
          : pick == 1 ? kInfinity
          : pick == 2 ? -kInfinity
                      : static_cast<float>(pick) - 6.0f;
    }
    const bool largest = random() % 2 == 0;
    const TopK expected = naive_top_k(data, size, inner, k, largest);
    const TopK got = top_k(data, static_cast<int32_t>(size), static_cast<int32_t>(inner),
                           static_cast<int32_t>(k), largest);
    ASSERT_EQ(got.indices, expected.indices) << "round " << round;
    ASSERT_TRUE(same_bits(got.values, expected.values)) << "round " << round;
  }
}

TEST(TopK, EqualValuesStandInOrderOfTheirIndex) {
  EXPECT_EQ(top_k({1, 3, 3, 2, 3}, 5, 1, 4, true).indices, (std::vector<int64_t>{1, 2, 4, 3}));
  EXPECT_EQ(top_k({1, 3, 1, 2, 1}, 5, 1, 4, false).indices, (std::vector<int64_t>{0, 2, 4, 3}));
  EXPECT_EQ(top_k({0.0f, -0.0f, 0.0f}, 3, 1, 3, true).indices, (std::vector<int64_t>{0, 1, 2}));
}

TEST(TopK, OnlyItsRowsAreWritten) {
  std::vector<float> data = {1, 2, 3, 4}, values(2, -1);
  std::vector<int64_t> indices(2, -1);
  Call call(1, 2, {SYL_F32, 2, 1, 1, 1, 1});
  call.buffer(data).buffer(values).buffer(indices).run(sylvite_library_top_k);
  EXPECT_EQ(values, (std::vector<float>{-1, 4}));
  EXPECT_EQ(indices, (std::vector<int64_t>{-1, 1}));
}

TEST(TopK, OtherElementTypes) {
  std::vector<int64_t> wide = {1, int64_t{1} << 60, (int64_t{1} << 60) + 1}, values(2), indices(2);
  Call(0, 1, {SYL_I64, 3, 1, 2, 1, 1})
      .buffer(wide)
      .buffer(values)
      .buffer(indices)
      .run(sylvite_library_top_k);
  EXPECT_EQ(values, (std::vector<int64_t>{(int64_t{1} << 60) + 1, int64_t{1} << 60}));
  std::vector<uint16_t> halves = {half_of_float(-2), half_of_float(1.5f), half_of_float(-8)},
                        best(1);
  std::vector<int64_t> index(1);
  Call(0, 1, {SYL_F16, 3, 1, 1, 0, 1})
      .buffer(halves)
      .buffer(best)
      .buffer(index)
      .run(sylvite_library_top_k);
  EXPECT_EQ(float_of_half(best[0]), -8.0f);
  EXPECT_EQ(index[0], 2);
}

// ---- scatter_nd ----

float reduced(float a, float b, int32_t reduction) {
  switch (reduction) {
    case SYL_REDUCE_ADD:
      return a + b;
    case SYL_REDUCE_MUL:
      return a * b;
    case SYL_REDUCE_MIN:
      return std::min(a, b);
    case SYL_REDUCE_MAX:
      return std::max(a, b);
    default:
      return b;
  }
}

TEST(ScatterND, AgreesWithPlainLoops) {
  std::mt19937 random(5);
  for (int round = 0; round < 300; ++round) {
    const int32_t reduction = static_cast<int32_t>(random() % 5);
    const size_t d0 = 1 + random() % 4, d1 = 1 + random() % 4, slice = 1 + random() % 5;
    const size_t depth = 1 + random() % 2, tuples = random() % 6;
    const size_t whole_slice = depth == 2 ? slice : d1 * slice;
    std::vector<float> data(d0 * d1 * slice), updates(tuples * whole_slice),
        output(data.size(), -9);
    for (float &x : data) {
      x = static_cast<float>(random() % 9);
    }
    for (float &x : updates) {
      x = static_cast<float>(random() % 9);
    }
    std::vector<int64_t> indices;
    std::vector<float> expected = data;
    for (size_t t = 0; t < tuples; ++t) {
      const size_t i = random() % d0, j = random() % d1;
      const bool from_end = random() % 2 == 0;
      indices.push_back(static_cast<int64_t>(i) - (from_end ? static_cast<int64_t>(d0) : 0));
      if (depth == 2) {
        indices.push_back(static_cast<int64_t>(j));
      }
      const size_t at = depth == 2 ? (i * d1 + j) * slice : i * whole_slice;
      for (size_t s = 0; s < whole_slice; ++s) {
        expected[at + s] = reduced(expected[at + s], updates[t * whole_slice + s], reduction);
      }
    }
    std::vector<int32_t> symbols = {SYL_F32,
                                    SYL_I64,
                                    reduction,
                                    static_cast<int32_t>(depth),
                                    static_cast<int32_t>(tuples),
                                    static_cast<int32_t>(whole_slice),
                                    static_cast<int32_t>(d0)};
    if (depth == 2) {
      symbols.push_back(static_cast<int32_t>(d1));
    }
    Call call(0, 1, symbols);
    ASSERT_EQ(call.buffer(data).buffer(indices).buffer(updates).buffer(output).run(
                  sylvite_library_scatter_nd),
              0);
    ASSERT_EQ(output, expected) << "round " << round;
  }
}

TEST(ScatterND, AnIndexOutOfRangeIsAnError) {
  for (const int64_t bad : {int64_t{3}, int64_t{-4}, std::numeric_limits<int64_t>::max(),
                            std::numeric_limits<int64_t>::min()}) {
    std::vector<float> data(3), updates(2), output(3);
    std::vector<int64_t> indices = {2, bad};
    Call call(0, 1, {SYL_F32, SYL_I64, 0, 1, 2, 1, 3});
    EXPECT_EQ(call.buffer(data).buffer(indices).buffer(updates).buffer(output).run(
                  sylvite_library_scatter_nd),
              kLibraryBadIndex);
    EXPECT_EQ(last_bad_index().index, bad);
    EXPECT_EQ(last_bad_index().position, 1);
    EXPECT_EQ(last_bad_index().bound, 3);
  }
}

// ---- scatter_elements ----

TEST(ScatterElements, AgreesWithPlainLoops) {
  std::mt19937 random(9);
  for (int round = 0; round < 300; ++round) {
    const int32_t reduction = static_cast<int32_t>(random() % 5),
                  axis = static_cast<int32_t>(random() % 3);
    size_t dims[3], index_dims[3];
    for (int d = 0; d < 3; ++d) {
      dims[d] = 1 + random() % 4;
      index_dims[d] = d == axis ? random() % 6 : 1 + random() % dims[d];
    }
    std::vector<float> data(dims[0] * dims[1] * dims[2]), output(data.size());
    std::vector<float> updates(index_dims[0] * index_dims[1] * index_dims[2]);
    std::vector<int32_t> indices(updates.size());
    for (float &x : data) {
      x = static_cast<float>(random() % 9);
    }
    std::vector<float> expected = data;
    size_t n = 0;
    for (size_t i = 0; i < index_dims[0]; ++i) {
      for (size_t j = 0; j < index_dims[1]; ++j) {
        for (size_t k = 0; k < index_dims[2]; ++k, ++n) {
          updates[n] = static_cast<float>(random() % 9);
          const size_t index = random() % dims[axis];
          indices[n] = static_cast<int32_t>(index) -
                       (random() % 2 == 0 ? static_cast<int32_t>(dims[axis]) : 0);
          const size_t a = axis == 0 ? index : i, b = axis == 1 ? index : j,
                       c = axis == 2 ? index : k;
          float &to = expected[(a * dims[1] + b) * dims[2] + c];
          to = reduced(to, updates[n], reduction);
        }
      }
    }
    std::vector<int32_t> symbols = {SYL_F32, SYL_I32, reduction, axis, 3};
    for (const size_t d : dims) {
      symbols.push_back(static_cast<int32_t>(d));
    }
    for (const size_t d : index_dims) {
      symbols.push_back(static_cast<int32_t>(d));
    }
    Call call(0, 1, symbols);
    ASSERT_EQ(call.buffer(data).buffer(indices).buffer(updates).buffer(output).run(
                  sylvite_library_scatter_elements),
              0);
    ASSERT_EQ(output, expected) << "round " << round;
  }
}

TEST(ScatterElements, AnIndexOutOfRangeIsAnError) {
  std::vector<float> data(4), updates(1), output(4);
  std::vector<int32_t> indices = {-5};
  Call call(0, 1, {SYL_F32, SYL_I32, 0, 0, 1, 4, 1});
  EXPECT_EQ(call.buffer(data).buffer(indices).buffer(updates).buffer(output).run(
                sylvite_library_scatter_elements),
            kLibraryBadIndex);
}

TEST(ScatterElements, EachTypeIsReducedAsItself) {
  std::vector<int64_t> index = {0, 0};
  const auto add = [&](auto data, auto updates, int32_t dtype, int32_t reduction) {
    auto output = data;
    Call(0, 1, {dtype, SYL_I64, reduction, 0, 1, 1, 2})
        .buffer(data)
        .buffer(index)
        .buffer(updates)
        .buffer(output)
        .run(sylvite_library_scatter_elements);
    return output[0];
  };
  using Bytes = std::vector<uint8_t>;
  EXPECT_EQ(add(Bytes{250}, Bytes{4, 5}, SYL_U8, SYL_REDUCE_ADD), 3);  // wraps around
  EXPECT_EQ(add(Bytes{1}, Bytes{1, 0}, SYL_BOOL, SYL_REDUCE_ADD), 1);
  EXPECT_EQ(add(Bytes{1}, Bytes{1, 0}, SYL_BOOL, SYL_REDUCE_MUL), 0);
  EXPECT_EQ(
      add(std::vector<double>{0.5}, std::vector<double>{0.25, 1e-12}, SYL_F64, SYL_REDUCE_ADD),
      0.75 + 1e-12);
  using Halves = std::vector<uint16_t>;
  EXPECT_EQ(add(Halves{half_of_float(1)}, Halves{half_of_float(2), half_of_float(0.5f)}, SYL_F16,
                SYL_REDUCE_ADD),
            half_of_float(3.5f));
  EXPECT_EQ(add(Halves{bfloat16_of_float(1)}, Halves{bfloat16_of_float(2), bfloat16_of_float(4)},
                SYL_BF16, SYL_REDUCE_MUL),
            bfloat16_of_float(8));
  EXPECT_EQ(add(std::vector<float>{1}, std::vector<float>{kNaN, 2}, SYL_F32, SYL_REDUCE_MAX), 2.0f);
}

// ---- 16-bit floats ----

TEST(Half, EveryHalfComesBack) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = float_of_half(static_cast<uint16_t>(bits));
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(float_of_half(half_of_float(value))));
    } else {
      ASSERT_EQ(half_of_float(value), bits);
    }
  }
}

TEST(Half, RoundsToNearestEven) {
  for (uint32_t bits = 0; bits < 0x7bff; ++bits) {  // between each two neighbours
    const float low = float_of_half(static_cast<uint16_t>(bits));
    const float high = float_of_half(static_cast<uint16_t>(bits + 1));
    const float middle = (low + high) / 2;
    ASSERT_EQ(half_of_float(middle), bits % 2 == 0 ? bits : bits + 1);
    ASSERT_EQ(half_of_float(std::nextafter(middle, low)), bits);
    ASSERT_EQ(half_of_float(std::nextafter(middle, high)), bits + 1);
  }
  EXPECT_EQ(half_of_float(65519.0f), 0x7bff);
  EXPECT_EQ(half_of_float(65520.0f), 0x7c00);
  EXPECT_EQ(half_of_float(-kInfinity), 0xfc00);
}

}  // namespace
}  // namespace sylvite
