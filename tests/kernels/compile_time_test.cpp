// Formulas are graphs in which values are shared: nothing between the region and the object may
// walk them as trees.
#include <gtest/gtest.h>

#include <ctime>

#include "tests/kernels/harness.h"

namespace sylvite {
namespace {

// Processor time of this process: other work on the machine hardly counts.
double seconds_to_compile(const std::string &text) {
  const TestKernel kernel(text);
  const std::clock_t start = std::clock();
  compile_kernel(kernel.node(), {.isa = Isa::X86_64_V3});
  return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
}

// t0 = x, t1 = op(t0), ...: `op` says what step i does with the names of the values before it.
std::string chain(int steps, const std::function<std::string(int, const std::string &)> &op) {
  std::string text = "graph (x: f32[n]) {\n", last = "x";
  for (int i = 0; i < steps; ++i) {
    const std::string name = "t" + std::to_string(i);
    text += name + " = " + op(i, last) + "\n";
    last = name;
  }
  return text + "return " + last + " }";
}

// These take a second or two. What grows with the tree takes hours, so a bound that the slowest
// machine and sanitizers keep tells them apart as well.
constexpr double kMostSeconds = 60;

TEST(CompileTime, SharedSums) {
  const std::string text =
      chain(28, [](int, const std::string &last) { return "add(" + last + ", " + last + ")"; });
  EXPECT_LT(seconds_to_compile(text), kMostSeconds);
}

TEST(CompileTime, LongChain) {
  const std::string text = chain(100, [](int i, const std::string &last) {
    return (i % 2 == 0 ? "neg(" : "exp(") + last + ")";
  });
  EXPECT_LT(seconds_to_compile(text), kMostSeconds);
}

TEST(CompileTime, Mixed) {
  const std::string text = chain(120, [](int i, const std::string &last) {
    switch (i % 6) {
      case 0:
        return "add(" + last + ", " + last + ")";
      case 1:
        return "tanh(" + last + ")";
      case 2:
        return "max(" + last + ", x)";
      case 3:
        return "mul(" + last + ", " + last + ")";
      case 4:
        return "erf(" + last + ")";
      default:
        return "sub(x, " + last + ")";
    }
  });
  EXPECT_LT(seconds_to_compile(text), kMostSeconds);
}

}  // namespace
}  // namespace sylvite
