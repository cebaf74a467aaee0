// Every elementwise op, view and lookup as a kernel of its own, over the element types and the
// values that are awkward: NaN, infinities, signed zero, denormals, the ends of the integers.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "compiler/ir/error.h"
#include "tests/kernels/harness.h"

namespace sylvite {
namespace {

std::string replaced(std::string text, const std::string &what, const std::string &by) {
  for (size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += by.size()) {
    text.replace(at, what.size(), by);
  }
  return text;
}

// Random numbers of all magnitudes between special ones.
void sow_floats(Tensor &tensor, std::mt19937 &random, double limit) {
  const std::vector<double> special = {
      0.0,   -0.0,   1.0,   -1.0,   0.5,   2.0,          -2.5,         3.5,
      1e-3,  -1e-3,  1e-40, -1e-40, NAN,   INFINITY,     -INFINITY,    87.0,
      -87.0, -104.0, 89.5,  1e30,   -1e30, 3.4028235e38, 1.1754944e-38};
  std::normal_distribution<double> normal;
  for (int64_t i = 0; i < tensor.count(); ++i) {
    double value = normal(random) * std::exp2(static_cast<double>(random() % 12) - 6);
    if (random() % 4 == 0) {
      value = special[random() % special.size()];
    }
    if (std::fabs(value) > limit) {
      value = std::copysign(limit, value);
    }
    tensor.set(i, value);
  }
}

void sow_integers(Tensor &tensor, std::mt19937 &random) {
  for (int64_t i = 0; i < tensor.count(); ++i) {
    const int64_t small = static_cast<int64_t>(random() % 21) - 10;
    const int64_t large = static_cast<int64_t>((uint64_t{random()} << 32) | random());
    tensor.set_int(i, random() % 3 == 0 ? large : small);
  }
}

Comparison awkward(double tolerance, double limit = INFINITY) {
  return {.tolerance = tolerance,
          .adjust = [limit](std::vector<Tensor> &inputs, std::mt19937 &random) {
            for (Tensor &tensor : inputs) {
              if (is_float(tensor.dtype())) {
                sow_floats(tensor, random, limit);
              } else if (tensor.dtype() != DType::Bool) {
                sow_integers(tensor, random);
              }
            }
          }};
}

TEST(Formulas, FloatOpsOfOneOperand) {
  for (const std::string op : {"neg", "abs", "sign", "floor", "ceil", "round", "sqrt", "exp", "log",
                               "erf", "tanh", "is_nan", "is_inf"}) {
    for (const std::string type : {"f32", "f16"}) {
      TestKernel kernel("graph (x: " + type + "[n]) { y = " + op + "(x) return y }");
      expect_matches(kernel, {{"n", 701}}, awkward(type == "f16" ? 1e-3 : 1e-6));
    }
  }
  for (const std::string op : {"sin", "cos"}) {
    TestKernel kernel("graph (x: f32[n]) { y = " + op + "(x) return y }");
    expect_matches(kernel, {{"n", 701}}, awkward(1e-6, 5000));
  }
}

TEST(Formulas, DoubleOps) {
  for (const std::string op : {"neg", "abs", "sign", "floor", "ceil", "round", "sqrt"}) {
    TestKernel kernel("graph (x: f64[n]) { y = " + op + "(x) return y }");
    expect_matches(kernel, {{"n", 301}}, awkward(0));
  }
  for (const std::string op : {"add", "sub", "mul", "div", "min", "max"}) {
    TestKernel kernel("graph (x: f64[n], z: f64[n]) { y = " + op + "(x, z) return y }");
    expect_matches(kernel, {{"n", 301}}, awkward(0));
  }
}

TEST(Formulas, FunctionsOfDoubles) {
  Comparison how{.tolerance = 2e-15};
  how.adjust = [](std::vector<Tensor> &inputs, std::mt19937 &random) {
    sow_floats(inputs[0], random, 800);
    for (const double value : {744.0, -744.0, 709.7, -745.2, 1e-310, 5e-324, 1e300, 1 + 1e-12}) {
      inputs[0].set(static_cast<int64_t>(random() % 701), value);
    }
  };
  for (const std::string op : {"exp", "log", "tanh"}) {
    TestKernel kernel("graph (x: f64[n]) { y = " + op + "(x) return y }");
    expect_matches(kernel, {{"n", 701}}, how);
  }
  TestKernel power("graph (x: f64[n], z: f64[n]) { y = pow(x, z) return y }");
  expect_matches(power, {{"n", 701}}, awkward(1e-13, 8));
}

// 1 / y tells the zeros apart.
TEST(Formulas, PowersOfZerosOnesAndInfinities) {
  const std::vector<double> special = {0.0, -0.0, 1,  -1,       0.5,       -0.5,
                                       2,   -3,   17, INFINITY, -INFINITY, NAN};
  const auto count = static_cast<int64_t>(special.size());
  for (const std::string type : {"f32", "f64"}) {
    TestKernel kernel(replaced(R"(graph (x: TYPE[n], z: TYPE[n]) {
      one = constant {value = TYPE[] (1)}
      p = pow(x, z)
      y = div(one, p)
      return y })",
                               "TYPE", type));
    Comparison how;
    how.adjust = [&](std::vector<Tensor> &inputs, std::mt19937 &) {
      for (int64_t i = 0; i < count * count; ++i) {
        inputs[0].set(i, special[static_cast<size_t>(i / count)]);
        inputs[1].set(i, special[static_cast<size_t>(i % count)]);
      }
    };
    expect_matches(kernel, {{"n", count * count}}, how);
  }
}

TEST(Formulas, TanhKeepsTheSignOfZero) {
  for (const std::string type : {"f32", "f64"}) {
    TestKernel kernel(replaced(R"(graph (x: TYPE[n]) {
      one = constant {value = TYPE[] (1)}
      t = tanh(x)
      y = div(one, t)
      return y })",
                               "TYPE", type));
    Comparison how;
    how.adjust = [](std::vector<Tensor> &inputs, std::mt19937 &) {
      inputs[0].set(0, 0.0);
      inputs[0].set(1, -0.0);
    };
    expect_matches(kernel, {{"n", 9}}, how);
  }
}

TEST(Formulas, FunctionsOfDoublesThatAreMissing) {
  for (const std::string op : {"erf", "sin", "cos"}) {
    const TestKernel kernel("graph (x: f64[n]) { y = " + op + "(x) return y }");
    EXPECT_THROW(compile_kernel(kernel.node(), {}), ModelError);
  }
}

TEST(Formulas, FloatOpsOfTwoOperands) {
  for (const std::string op :
       {"add", "sub", "mul", "div", "min", "max", "equal", "less", "less_equal"}) {
    for (const std::string type : {"f32", "f16", "bf16"}) {
      TestKernel kernel("graph (x: " + type + "[n], z: " + type + "[n]) { y = " + op +
                        "(x, z) return y }");
      expect_matches(kernel, {{"n", 701}},
                     awkward(type == "f32"   ? 0
                             : type == "f16" ? 1e-3
                                             : 8e-3));
    }
  }
}

TEST(Formulas, PowAndMod) {
  for (const char *exponent : {"0", "1", "2", "3", "0.5", "-1", "-2", "1.5", "-0.5"}) {
    TestKernel kernel(replaced(R"(graph (x: f32[n]) {
      e = constant {value = f32[] (E)}
      y = pow(x, e)
      return y })",
                               "E)", std::string(exponent) + ")"));
    expect_matches(kernel, {{"n", 301}}, awkward(2e-5, 1e4));
  }
  TestKernel both("graph (x: f32[n], z: f32[n]) { y = pow(x, z) return y }");
  expect_matches(both, {{"n", 701}}, awkward(3e-5, 8));
  for (const char *type : {"i64", "i32", "u32", "i8", "u8"}) {
    TestKernel whole(
        replaced("graph (x: TYPE[n], z: TYPE[n]) { y = pow(x, z) return y }", "TYPE", type));
    expect_matches(whole, {{"n", 301}}, awkward(0));
  }
  TestKernel mixed("graph (x: u8[n], z: i32[n]) { y = pow(x, z) return y }");
  expect_matches(mixed, {{"n", 301}}, awkward(0));
  for (const char *sign : {"0", "1"}) {
    for (const char *type : {"f32", "f16", "bf16", "i32", "i64", "u8"}) {
      TestKernel kernel(replaced(
          replaced("graph (x: TYPE[n], z: TYPE[n]) { y = mod(x, z) {fmod = SIGN} return y }",
                   "TYPE", type),
          "SIGN", sign));
      expect_matches(kernel, {{"n", 701}}, awkward(0));
    }
  }
}

TEST(Formulas, IntegerOps) {
  for (const std::string type : {"i64", "i32", "i16", "i8", "u8", "u16", "u32"}) {
    for (const std::string op : {"add", "sub", "mul", "div", "min", "max", "equal", "less",
                                 "less_equal", "and", "or", "xor"}) {
      TestKernel kernel("graph (x: " + type + "[n], z: " + type + "[n]) { y = " + op +
                        "(x, z) return y }");
      expect_matches(kernel, {{"n", 301}}, awkward(0));
    }
  }
  for (const std::string op : {"neg", "abs", "sign"}) {
    for (const std::string type : {"i64", "i32", "i8"}) {
      TestKernel kernel("graph (x: " + type + "[n]) { y = " + op + "(x) return y }");
      expect_matches(kernel, {{"n", 301}}, awkward(0));
    }
  }
  for (const std::string op : {"and", "or", "xor", "equal"}) {
    TestKernel kernel("graph (x: bool[n], z: bool[n]) { y = " + op + "(x, z) return y }");
    expect_matches(kernel, {{"n", 301}});
  }
  TestKernel negation("graph (x: bool[n]) { y = not(x) return y }");
  expect_matches(negation, {{"n", 301}});
}

TEST(Formulas, Casts) {
  const std::vector<std::string> types = {"f32", "f64", "f16", "bf16", "i8",
                                          "u8",  "i16", "i32", "i64",  "bool"};
  for (const std::string &from : types) {
    for (const std::string &to : types) {
      TestKernel kernel("graph (x: " + from + "[n]) { y = cast(x) {to = " + to + "} return y }");
      // Out of range of the target is left open by ONNX.
      Comparison how{.tolerance = 0, .integer_limit = 100};
      how.adjust = [](std::vector<Tensor> &inputs, std::mt19937 &random) {
        for (int64_t i = 0; i < inputs[0].count(); ++i) {
          inputs[0].set(i, static_cast<double>(random() % 1000) / 10);
        }
      };
      expect_matches(kernel, {{"n", 67}}, how);
    }
  }
  // Between floats everything is defined.
  for (const std::string from : {"f32", "f64", "f16", "bf16"}) {
    for (const std::string to : {"f32", "f64", "f16", "bf16", "bool"}) {
      TestKernel kernel("graph (x: " + from + "[n]) { y = cast(x) {to = " + to + "} return y }");
      expect_matches(kernel, {{"n", 701}}, awkward(0));
    }
  }
}

TEST(Formulas, Slices) {
  TestKernel kernel(R"(graph (x: f32[n, 9, m]) {
    y = slice(x) {starts = [1, 8, 0], sizes = [n - 1, 4, m], steps = (1, -2, 1)}
    return y
  })");
  expect_matches(kernel, {{"n", 3}, {"m", 11}});
  TestKernel backwards(R"(graph (x: f32[n, m]) {
    y = slice(x) {starts = [0, m - 1], sizes = [n, m], steps = (1, -1)}
    return y
  })");
  expect_matches(backwards, {{"n", 3}, {"m", 37}});
}

TEST(Formulas, Pads) {
  for (const char *mode : {"constant", "edge", "reflect"}) {
    TestKernel kernel(replaced(R"(graph (x: f32[n, m]) {
      symbol n in [4, inf)
      symbol m in [4, inf)
      y = pad(x) {before = [1, 3], after = [2, 1], mode = MODE}
      return y
    })",
                               "MODE", mode));
    expect_matches(kernel, {{"n", 4}, {"m", 5}});
    expect_matches(kernel, {{"n", 5}, {"m", 40}});
  }
  TestKernel valued(R"(graph (x: i64[n], v: i64[]) {
    y = pad(x, v) {before = [2], after = [n], mode = constant}
    return y
  })");
  expect_matches(valued, {{"n", 5}}, {.integer_limit = 50});
}

TEST(Formulas, ReshapesAndTransposes) {
  TestKernel merge(R"(graph (x: f32[a, b, 3, c]) {
    t = transpose(x) {perm = (1, 0, 3, 2)}
    r = reshape(t) {shape = [b*a, c*3]}
    return r
  })");
  expect_matches(merge, {{"a", 2}, {"b", 5}, {"c", 7}});
  TestKernel cut(R"(graph (x: f32[a, 12]) {
    r = reshape(x) {shape = [a*2, 3, 2]}
    t = transpose(r) {perm = (2, 1, 0)}
    s = reshape(t) {shape = [a*12]}
    return s
  })");
  expect_matches(cut, {{"a", 5}});
  TestKernel expand(R"(graph (x: f32[b, 1, 5], m: bool[b, 1, 1], z: f32[n]) {
    e = expand(x) {shape = [b, n, 5]}
    w = where(m, e, e)
    i = iota {start = [3], step = [2], count = [n], dtype = f32}
    r = reshape(i) {shape = [1, n, 1]}
    s = add(w, r)
    return s
  })");
  expect_matches(expand, {{"b", 2}, {"n", 3}});
}

TEST(Formulas, Lookups) {
  TestKernel rows(R"(graph (t: f32[20, 9], i: i64[b, l]) {
    y = gather(t, i) {axis = 0}
    return y
  })");
  Comparison negative;
  negative.adjust = [](std::vector<Tensor> &inputs, std::mt19937 &random) {
    for (int64_t i = 0; i < inputs[1].count(); ++i) {
      inputs[1].set_int(i, static_cast<int64_t>(random() % 6) - 3);
    }
  };
  expect_matches(rows, {{"b", 2}, {"l", 7}}, negative);
  TestKernel columns(R"(graph (t: f32[b, 7, 9], i: i32[3]) {
    y = gather(t, i) {axis = 1}
    return y
  })");
  expect_matches(columns, {{"b", 2}}, negative);
  TestKernel elements(R"(graph (t: f32[b, 7], i: i64[b, 4]) {
    y = gather_elements(t, i) {axis = 1}
    return y
  })");
  expect_matches(elements, {{"b", 3}}, negative);
  TestKernel nested(R"(graph (t: f32[b, 5, 6, 4], i: i64[b, 3, 2]) {
    y = gather_nd(t, i) {batch_dims = 1}
    return y
  })");
  expect_matches(nested, {{"b", 3}}, negative);
  TestKernel scalar(R"(graph (t: f32[b, 5, 6]) {
    z = constant {value = i64[] (0)}
    y = gather(t, z) {axis = 1}
    return y
  })");
  expect_matches(scalar, {{"b", 3}});
}

TEST(Formulas, SizesBeyond32BitsAreRefused) {
  const TestKernel kernel(R"(graph (x: f32[n, 1]) {
    e = expand(x) {shape = [n, 4294967297]}
    y = reduce(e) {kind = max, axes = (1)}
    return y
  })");
  EXPECT_THROW(compile_kernel(kernel.node(), {}), ModelError);
}

// Of sizes, which fit 32 bits, in numbers that do not.
TEST(Formulas, MultiplesOfSizes) {
  TestKernel range(R"(graph (x: i64[n]) {
    r = iota {start = [0], step = [1000000], count = [n], dtype = i64}
    y = add(x, r)
    return y
  })");
  expect_matches(range, {{"n", 3000}});
  TestKernel square(R"(graph (x: f32[n]) {
    s = dim_values {values = [n*n*1000000, n*3000000000], shape = (2), dtype = i64}
    return s
  })");
  expect_matches(square, {{"n", 50}});
}

TEST(Formulas, Constants) {
  TestKernel kernel(R"(graph (x: f32[n, 3]) {
    c = constant {value = f32[3] (1, -2.5, 1e-30)}
    d = dim_values {values = [n, 7, n*2], shape = (3), dtype = f32}
    a = add(x, c)
    b = mul(a, d)
    return b
  })");
  expect_matches(kernel, {{"n", 6}});
}

}  // namespace
}  // namespace sylvite
