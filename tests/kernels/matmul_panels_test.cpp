// Packed products against std::fma, bit by bit: row counts from 1 to 130 at the sizes of the models
// that must work, cut at random, between guard pages.
#include <gtest/gtest.h>

#include <string>
#include <tuple>
#include <vector>

#include "tests/kernels/harness.h"
#include "tests/kernels/twins.h"

namespace sylvite {
namespace {

enum class Epilogue { None, Bias, Residual };

std::string product(int64_t depth, int64_t columns, Epilogue epilogue) {
  const std::string k = std::to_string(depth), n = std::to_string(columns);
  std::string text = "graph (x: f32[m, " + k + "], w: f32[" + std::to_string((columns + 15) / 16) +
                     ", " + k + ", 16]";
  std::string body = "y = matmul_panels(x, w) {n = " + n + "}\n", result = "y";
  if (epilogue != Epilogue::None) {
    text += ", b: f32[" + n + "]";
    body += "z = add(y, b)\n";
    result = "z";
  }
  if (epilogue == Epilogue::Residual) {
    text += ", r: f32[m, " + n + "]";
    body += "q = add(z, r)\n";
    result = "q";
  }
  return text + ") {\n symbol m in [0, inf)\n" + body + "return " + result + " }";
}

const float *floats(const Tensor &tensor) {
  return reinterpret_cast<const float *>(tensor.bytes().data());
}

Tensor twin(const std::vector<Tensor> &inputs, int64_t columns) {
  const int64_t rows = inputs[0].shape()[0], depth = inputs[0].shape()[1];
  const int64_t panels = inputs[1].shape()[0];
  // Panels as whole rows of all columns.
  std::vector<float> weights(static_cast<size_t>(depth * panels * kPanelColumns));
  for (int64_t p = 0; p < panels; ++p) {
    for (int64_t k = 0; k < depth; ++k) {
      std::memcpy(&weights[static_cast<size_t>((k * panels + p) * kPanelColumns)],
                  floats(inputs[1]) + (p * depth + k) * kPanelColumns,
                  kPanelColumns * sizeof(float));
    }
  }
  Tensor result(DType::F32, {rows, columns});
  float *out = reinterpret_cast<float *>(result.mutable_bytes());
  for (int64_t m = 0; m < rows; ++m) {
    const std::vector<float> sums =
        contract(floats(inputs[0]) + m * depth, depth, columns,
                 [&](int64_t k) { return weights.data() + k * panels * kPanelColumns; });
    for (int64_t n = 0; n < columns; ++n) {
      float value = sums[static_cast<size_t>(n)];
      value = inputs.size() > 2 ? value + floats(inputs[2])[n] : value;
      value = inputs.size() > 3 ? value + floats(inputs[3])[m * columns + n] : value;
      out[m * columns + n] = value;
    }
  }
  return result;
}

void expect_twin(int64_t depth, int64_t columns, Epilogue epilogue,
                 const std::vector<int64_t> &row_counts) {
  TestKernel kernel(product(depth, columns, epilogue));
  uint32_t seed = 0;
  for (const int64_t rows : row_counts) {
    const SymbolValues symbols = {{"m", rows}};
    const std::vector<Tensor> inputs = kernel.random_inputs(symbols, ++seed);
    const Tensor want = twin(inputs, columns);
    for (const Isa isa : machine_isas()) {
      const Tensor got = kernel.run(isa, inputs, symbols, ++seed)[0];
      EXPECT_TRUE(same_bits(got, want))
          << depth << " x " << columns << ", " << rows << " rows, " << name_of(isa);
    }
  }
}

const std::vector<int64_t> kManyRows = {1,  2,  3,  4,  5,  6,   7,   8,   9,  10,
                                        11, 12, 13, 14, 15, 16,  17,  23,  31, 32,
                                        33, 40, 47, 64, 96, 100, 127, 129, 130};

TEST(MatMulPanels, EveryRowCountSmall) {
  std::vector<int64_t> rows;
  for (int64_t m = 0; m <= 130; ++m) {
    rows.push_back(m);
  }
  expect_twin(64, 48, Epilogue::Residual, rows);
}

TEST(MatMulPanels, SizesOfSmallModels) {
  for (const auto &[depth, columns] : std::vector<std::pair<int64_t, int64_t>>{
           {96, 96}, {96, 288}, {96, 384}, {384, 96}, {192, 96}, {64, 256}, {128, 64}, {32, 96}}) {
    expect_twin(depth, columns, Epilogue::Bias, kManyRows);
  }
}

TEST(MatMulPanels, SizesOfViTAndBert) {
  const std::vector<int64_t> rows = {1, 7, 64, 130};
  expect_twin(768, 768, Epilogue::Residual, rows);
  expect_twin(768, 2304, Epilogue::Bias, rows);
  expect_twin(3072, 768, Epilogue::Residual, {1, 9, 65});
  expect_twin(768, 3072, Epilogue::Bias, {3, 66});
}

TEST(MatMulPanels, OddSizes) {
  const std::vector<int64_t> rows = {1, 2, 5, 8, 13, 21, 50};
  for (const auto &[depth, columns] : std::vector<std::pair<int64_t, int64_t>>{
           {96, 10}, {768, 1000}, {37, 30}, {3, 16}, {1, 1}, {500, 100}, {385, 17}, {1000, 49}}) {
    expect_twin(depth, columns, Epilogue::None, rows);
    expect_twin(depth, columns, Epilogue::Residual, {1, 9});
  }
}

TEST(MatMulPanels, GeluOverLeadingAxes) {
  TestKernel kernel(R"(graph (x: f32[b, l, 96], w: f32[6, 96, 16], b: f32[96]) {
    y = matmul_panels(x, w) {n = 96}
    z = add(y, b)
    c = constant {value = f32[] (0.70710678118654757)}
    h = constant {value = f32[] (0.5)}
    o = constant {value = f32[] (1)}
    t = mul(z, c)
    e = erf(t)
    a = add(e, o)
    s = mul(z, h)
    g = mul(s, a)
    return g
  })");
  for (const int64_t l : {1, 5, 37}) {
    expect_matches(kernel, {{"b", 3}, {"l", l}}, {.tolerance = 1e-4});
  }
}

// The epilogue reads tensors of other shapes than the result's, by the result's own index.
TEST(MatMulPanels, BroadcastEpilogue) {
  TestKernel kernel(R"(graph (x: f32[b, l, 32], w: f32[2, 32, 16], p: f32[l, 32], s: f32[b, 1, 1]) {
    y = matmul_panels(x, w) {n = 32}
    z = add(y, p)
    q = mul(z, s)
    return q
  })");
  expect_matches(kernel, {{"b", 3}, {"l", 7}}, {.tolerance = 1e-4});
}

// A is a formula: the patches of an image, here 4 x 4, and other shapes that do not divide by 16.
TEST(MatMulPanels, PatchGather) {
  for (const int channels : {1, 3}) {
    const std::string c = std::to_string(channels), k = std::to_string(16 * channels);
    TestKernel kernel("graph (x: f32[b, " + c + ", 4*h, 4*w], f: f32[2, " + k + R"(, 16]) {
      r = reshape(x) {shape = [b, )" +
                      c + R"(, h, 4, w, 4]}
      t = transpose(r) {perm = (0, 2, 4, 1, 3, 5)}
      p = reshape(t) {shape = [b, h*w, )" +
                      k + R"(]}
      y = matmul_panels(p, f) {n = 20}
      return y })");
    expect_matches(kernel, {{"b", 2}, {"h", 3}, {"w", 5}}, {.tolerance = 1e-4});
    expect_matches(kernel, {{"b", 1}, {"h", 1}, {"w", 1}}, {.tolerance = 1e-4});
  }
  TestKernel odd(R"(graph (x: f32[b, 21, l], f: f32[2, 21, 16]) {
    t = transpose(x) {perm = (0, 2, 1)}
    y = matmul_panels(t, f) {n = 32}
    return y
  })");
  expect_matches(odd, {{"b", 2}, {"l", 9}}, {.tolerance = 1e-4});
  TestKernel narrow(R"(graph (x: f32[b, 5, l], f: f32[2, 5, 16]) {
    t = transpose(x) {perm = (0, 2, 1)}
    y = matmul_panels(t, f) {n = 32}
    return y
  })");
  expect_matches(narrow, {{"b", 2}, {"l", 9}}, {.tolerance = 1e-4});
}

// Nothing hides NaN and infinity, and they stay in their row.
TEST(MatMulPanels, NotANumberAndInfinity) {
  TestKernel kernel(product(100, 48, Epilogue::Residual));
  Comparison how{.tolerance = 1e-4};
  how.adjust = [](std::vector<Tensor> &inputs, std::mt19937 &) {
    inputs[0].set(3, NAN);                 // row 0
    inputs[0].set(2 * 100 + 5, INFINITY);  // row 2
    inputs[0].set(2 * 100 + 6, -INFINITY);
    inputs[0].set(9 * 100 + 99, -INFINITY);
    inputs[3].set(4 * 48 + 1, NAN);
  };
  expect_matches(kernel, {{"m", 13}}, how);
}

// Half types and doubles are summed in float and double.
TEST(MatMulPanels, ElementTypes) {
  for (const std::string type : {"f16", "bf16", "f64", "i32"}) {
    TestKernel kernel("graph (x: " + type + "[m, 20], w: " + type + R"([2, 20, 16]) {
      y = matmul_panels(x, w) {n = 25}
      return y })");
    expect_matches(kernel, {{"m", 7}}, {.tolerance = type == "bf16" ? 5e-2 : 1e-2});
  }
}

}  // namespace
}  // namespace sylvite
