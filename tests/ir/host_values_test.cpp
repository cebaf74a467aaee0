#include <gtest/gtest.h>

#include "compiler/ir/text.h"

namespace sylvite {
namespace {

// The host elements of the graph's only output, or "unknown". `body` may use x: f32[batch, length,
// 8] with batch >= 1, length in [0, 512], and data: i64[2] that nobody knows.
std::string host_of(const std::string &body) {
  const auto graph = parse_graph(
      "graph (x: f32[batch, length, 8], data: i64[2], flag: bool[3]) { symbol batch in [1, inf) "
      "symbol length in [0, 512] "
      "shape = dim_values {values = [batch, length, 8], shape = (3), dtype = i64} " +
      body + " return y }");
  verify(*graph);
  const auto &host = graph->output(0)->host;
  return host ? to_string(*host) : "unknown";
}

std::string i64(const std::string &name, const std::string &shape, const std::string &values) {
  return name + " = constant {value = i64" + shape + " (" + values + ")} ";
}

TEST(HostValues, Leaves) {
  EXPECT_EQ(host_of(i64("y", "[2]", "3, -1")), "[3, -1]");
  EXPECT_EQ(host_of(i64("y", "[]", "3")), "[3]");
  EXPECT_EQ(host_of(i64("y", "[0]", "")), "[]");
  EXPECT_EQ(host_of("y = constant {value = f32[1] (3)}"), "unknown");
  EXPECT_EQ(host_of("y = constant {value = bool[2] (0, 1)}"), "[0, 1]");
  EXPECT_EQ(host_of("y = iota {start = [length], step = [2], count = [3], dtype = i64}"),
            "[length, length + 2, length + 4]");
  EXPECT_EQ(host_of("y = iota {start = [0], step = [1], count = [length], dtype = i64}"),
            "unknown");
  EXPECT_EQ(host_of("y = iota {start = [0], step = [1], count = [1025], dtype = i64}"), "unknown");
  EXPECT_EQ(host_of("y = reshape(data) {shape = [2]}"), "unknown");
}

TEST(HostValues, Arithmetic) {
  const std::string two = i64("two", "[]", "2");
  EXPECT_EQ(host_of(two + "y = add(shape, two)"), "[batch + 2, length + 2, 10]");
  EXPECT_EQ(host_of(two + "y = sub(two, shape)"), "[-batch + 2, -length + 2, -6]");
  EXPECT_EQ(host_of(two + "y = mul(shape, shape)"), "[batch*batch, length*length, 64]");
  EXPECT_EQ(host_of(two + "y = div(shape, two)"), "[floor_div(batch, 2), floor_div(length, 2), 4]");
  EXPECT_EQ(host_of(two + "p = mul(shape, two) y = div(p, two)"), "[batch, length, 8]");
  EXPECT_EQ(host_of(two + "n = neg(shape) y = div(n, two)"), "unknown");  // rounds towards zero
  EXPECT_EQ(host_of("y = div(shape, shape)"), "[1, 1, 1]");
  EXPECT_EQ(host_of(i64("z", "[]", "0") + "y = div(shape, z)"), "unknown");
  EXPECT_EQ(host_of(i64("a", "[2]", "-7, 7") + two + "y = div(a, two)"), "[-3, 3]");
  EXPECT_EQ(host_of(i64("a", "[2]", "-7, 7") + two + "y = mod(a, two)"), "[1, 1]");
  EXPECT_EQ(host_of(i64("a", "[2]", "-7, 7") + two + "y = mod(a, two) {fmod = 1}"), "[-1, 1]");
  EXPECT_EQ(host_of(i64("e", "[3]", "1, 8, 8") + "y = mod(shape, e)"),
            "[0, length - floor_div(length, 8)*8, 0]");
  EXPECT_EQ(host_of(two + "y = pow(shape, two)"), "[batch*batch, length*length, 64]");
  EXPECT_EQ(host_of("y = neg(shape)"), "[-batch, -length, -8]");
  EXPECT_EQ(host_of("y = abs(shape)"), "[batch, length, 8]");
  EXPECT_EQ(host_of("n = neg(shape) y = abs(n)"), "[batch, length, 8]");
  EXPECT_EQ(host_of(two + "d = sub(shape, two) y = abs(d)"), "unknown");
  EXPECT_EQ(host_of("s = slice(shape) {starts = [0], sizes = [1], steps = (1)} y = sign(s)"),
            "[1]");
  EXPECT_EQ(host_of("y = sign(shape)"), "unknown");  // a length may be 0
}

TEST(HostValues, MinAndMaxUseRanges) {
  const std::string bounds = i64("b", "[3]", "0, 512, 5");
  EXPECT_EQ(host_of(bounds + "y = max(shape, b)"), "[batch, 512, 8]");
  EXPECT_EQ(host_of(bounds + "y = min(shape, b)"), "[0, length, 5]");
  EXPECT_EQ(host_of(i64("b", "[]", "5") + "y = min(shape, b)"),
            "[min(5, batch), min(5, length), 5]");
}

TEST(HostValues, Comparisons) {
  const std::string one = i64("one", "[]", "1");
  // The exporters' way to keep a -1 of an Expand target.
  EXPECT_EQ(host_of(i64("m", "[]", "-1") + "y = equal(shape, m)"), "[0, 0, 0]");
  EXPECT_EQ(host_of(i64("m", "[]", "-1") + one + "c = equal(shape, m) y = where(c, one, shape)"),
            "[batch, length, 8]");
  EXPECT_EQ(host_of(one + "y = equal(shape, one)"), "unknown");
  EXPECT_EQ(host_of("y = equal(shape, shape)"), "[1, 1, 1]");
  EXPECT_EQ(host_of(i64("b", "[3]", "1, 513, 8") + "y = less(shape, b)"), "[0, 1, 0]");
  EXPECT_EQ(host_of(i64("b", "[3]", "0, 512, 8") + "y = less_equal(shape, b)"), "[0, 1, 1]");
  EXPECT_EQ(host_of(i64("b", "[]", "3") + "y = less(shape, b)"), "unknown");
}

TEST(HostValues, Logic) {
  const std::string flags =
      "p = constant {value = bool[4] (0, 0, 1, 1)} "
      "q = constant {value = bool[4] (0, 1, 0, 1)} ";
  EXPECT_EQ(host_of(flags + "y = and(p, q)"), "[0, 0, 0, 1]");
  EXPECT_EQ(host_of(flags + "y = or(p, q)"), "[0, 1, 1, 1]");
  EXPECT_EQ(host_of(flags + "y = xor(p, q)"), "[0, 1, 1, 0]");
  const std::string bits = i64("c", "[3]", "12, 7, -1") + i64("d", "[3]", "10, 8, 5");
  EXPECT_EQ(host_of(bits + "y = and(c, d)"), "[8, 0, 5]");
  EXPECT_EQ(host_of(bits + "y = or(c, d)"), "[14, 15, -1]");
  EXPECT_EQ(host_of(bits + "y = xor(c, d)"), "[6, 15, -6]");
  EXPECT_EQ(host_of(flags + "y = not(p)"), "[1, 1, 0, 0]");
}

TEST(HostValues, WhereReadsOnlyTheBranchesThatItTakes) {
  const std::string c = "c = constant {value = bool[2] (1, 1)} ";
  EXPECT_EQ(host_of(c + i64("k", "[]", "4") + "y = where(c, k, data)"), "[4, 4]");
  EXPECT_EQ(host_of(c + i64("k", "[]", "4") + "y = where(c, data, k)"), "unknown");
  EXPECT_EQ(host_of("y = where(flag, shape, shape)"), "unknown");
}

TEST(HostValues, Casts) {
  EXPECT_EQ(host_of("y = cast(shape) {to = i32}"), "[batch, length, 8]");
  EXPECT_EQ(host_of("y = cast(shape) {to = f32}"), "unknown");
  EXPECT_EQ(host_of(i64("a", "[2]", "0, -3") + "y = cast(a) {to = bool}"), "[0, 1]");
  EXPECT_EQ(host_of("y = cast(shape) {to = bool}"), "unknown");  // a length of 0
  EXPECT_EQ(host_of("c = constant {value = f32[2] (2.7, -2.7)} y = cast(c) {to = i64}"), "[2, -2]");
  EXPECT_EQ(host_of(i64("a", "[]", "300") + "y = cast(a) {to = u8}"), "unknown");  // it would wrap
}

TEST(HostValues, WrappingEndsTheChain) {
  EXPECT_EQ(host_of("a = constant {value = i32[] (2147483647)} b = constant {value = i32[] (1)} "
                    "y = add(a, b)"),
            "unknown");
  EXPECT_EQ(host_of(i64("a", "[]", "9223372036854775807") + "y = add(a, a)"), "unknown");
}

TEST(HostValues, Views) {
  const std::string matrix =
      "m = dim_values {values = [batch, 1, 2, 3, 4, length], shape = (2, 3), dtype = i64} ";
  EXPECT_EQ(host_of(matrix + "y = transpose(m) {perm = (1, 0)}"), "[batch, 3, 1, 4, 2, length]");
  EXPECT_EQ(host_of(matrix + "y = reshape(m) {shape = [3, 2]}"), "[batch, 1, 2, 3, 4, length]");
  EXPECT_EQ(host_of(matrix + "y = slice(m) {starts = [1, 2], sizes = [1, 2], steps = (1, -2)}"),
            "[length, 3]");
  EXPECT_EQ(host_of(matrix + "y = slice(m) {starts = [1, 0], sizes = [0, 3], steps = (1, 1)}"),
            "[]");
  EXPECT_EQ(host_of(matrix + i64("c", "[2, 1]", "7, 8") + "y = concat(m, c) {axis = 1}"),
            "[batch, 1, 2, 7, 3, 4, length, 8]");
  EXPECT_EQ(host_of(i64("c", "[2, 1]", "7, 8") + "y = expand(c) {shape = [2, 3]}"),
            "[7, 7, 7, 8, 8, 8]");
  EXPECT_EQ(host_of(i64("c", "[]", "7") + "y = expand(c) {shape = [length]}"), "unknown");
  EXPECT_EQ(host_of(i64("c", "[2]", "7, 8") + i64("p", "[]", "5") +
                    "y = pad(c, p) {before = [1], after = [2]}"),
            "[5, 7, 8, 5, 5]");
  EXPECT_EQ(host_of("y = concat(shape, data) {axis = 0}"), "unknown");
}

TEST(HostValues, Lookups) {
  EXPECT_EQ(host_of(i64("i", "[]", "1") + "y = gather(shape, i) {axis = 0}"), "[length]");
  EXPECT_EQ(host_of(i64("i", "[2]", "-1, 0") + "y = gather(shape, i) {axis = 0}"), "[8, batch]");
  EXPECT_EQ(host_of(i64("i", "[]", "3") + "y = gather(shape, i) {axis = 0}"), "unknown");
  EXPECT_EQ(host_of("y = gather(shape, data) {axis = 0}"), "unknown");
  const std::string matrix =
      "m = dim_values {values = [0, 1, 2, 3, 4, length], shape = (2, 3), dtype = i64} ";
  EXPECT_EQ(host_of(matrix + i64("i", "[2]", "2, 0") + "y = gather(m, i) {axis = 1}"),
            "[2, 0, length, 3]");
  EXPECT_EQ(host_of(matrix + i64("i", "[1]", "1") + "y = gather(m, i) {axis = 0}"),
            "[3, 4, length]");
  EXPECT_EQ(host_of(matrix + i64("i", "[2, 1]", "-1, 0") + "y = gather_elements(m, i) {axis = 1}"),
            "[2, 3]");
}

TEST(HostValues, Reductions) {
  EXPECT_EQ(host_of("y = reduce(shape) {kind = prod, axes = (0)}"), "[batch*length*8]");
  EXPECT_EQ(host_of("y = reduce(shape) {kind = sum, axes = (0), keepdims = 1}"),
            "[batch + length + 8]");
  EXPECT_EQ(host_of("y = reduce(shape) {kind = mean, axes = (0)}"), "unknown");
  EXPECT_EQ(
      host_of(i64("m", "[2, 3]", "1, 5, 3, 4, 2, 6") + "y = reduce(m) {kind = max, axes = (0)}"),
      "[4, 5, 6]");
  EXPECT_EQ(
      host_of(i64("m", "[2, 3]", "1, 5, 3, 4, 2, 6") + "y = reduce(m) {kind = min, axes = (1)}"),
      "[1, 2]");
  EXPECT_EQ(host_of(i64("m", "[0]", "") + "y = reduce(m) {kind = prod, axes = (0)}"), "[1]");
  EXPECT_EQ(host_of(i64("m", "[0]", "") + "y = reduce(m) {kind = max, axes = (0)}"), "unknown");
}

// A million known elements are kept, not a hundred million.
TEST(HostValues, AreBoundedTogether) {
  Graph graph;
  std::vector<int64_t> values(1024, 1);
  Value *value = graph.add_constant(Tensor::of<int64_t>(DType::I64, {1024}, values));
  size_t kept = 0;
  for (int i = 0; i < 20000; ++i) {
    value = graph.add(Op::Neg, {value})->output();
    kept += value->host.has_value();
  }
  EXPECT_GT(kept, 1000u);
  EXPECT_LT(kept, 10000u);
}

}  // namespace
}  // namespace sylvite
