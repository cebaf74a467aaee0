#include "compiler/ir/dims.h"

#include <gtest/gtest.h>

#include <random>

namespace sylvite {
namespace {

const Dim a = Dim::symbol("a");
const Dim b = Dim::symbol("b");
const Dim n = Dim::symbol("n");

SymbolTable table() {
  SymbolTable symbols;
  symbols.declare("a", {SymbolKind::Input, 1, std::nullopt});
  symbols.declare("b", {SymbolKind::Input, 0, std::nullopt});
  symbols.declare("n", {SymbolKind::Input, 2, 10});
  return symbols;
}

TEST(Dims, EqualPolynomialsAreEqualObjects) {
  EXPECT_EQ((a + b) * (a - b), a * a - b * b);
  EXPECT_EQ(a + a, 2 * a);
  EXPECT_EQ(a - a, Dim(0));
  EXPECT_TRUE((a * 0).is_constant());
  EXPECT_NE(a, b);
  EXPECT_EQ(max(a, b), max(b, a));
  EXPECT_EQ(Dim(3).constant(), 3);
  EXPECT_EQ(a.constant(), std::nullopt);
  EXPECT_EQ(a.as_symbol(), "a");
  EXPECT_EQ((a + 1).as_symbol(), std::nullopt);
  EXPECT_EQ((a * 2).as_symbol(), std::nullopt);
}

TEST(Dims, PrintsAndParses) {
  EXPECT_EQ((a * 197 + 1).str(), "a*197 + 1");
  EXPECT_EQ((b - a * 2 - 3).str(), "-a*2 + b - 3");
  EXPECT_EQ(Dim(0).str(), "0");
  EXPECT_EQ(floor_div(a, 16).str(), "floor_div(a, 16)");
  EXPECT_EQ(to_string(Shape{a, 2}), "[a, 2]");
  for (const Dim &dim : {a * 197 + 1, b - a * 2 - 3, Dim(0), Dim(-7), floor_div(a + 1, b + 2) * a,
                         max(a, min(b, n)) - 4, Dim::symbol("past length") * 2,
                         Dim::symbol("min") + 1, Dim::symbol("a\"b\\c"), Dim::symbol("")}) {
    EXPECT_EQ(parse_dim(dim.str()), dim) << dim.str();
  }
  EXPECT_EQ(parse_dim(" 2 * ( a + 1 ) "), a * 2 + 2);
  EXPECT_EQ(parse_dim("-a*-2"), a * 2);
}

TEST(Dims, RefusesWhatIsNoSize) {
  for (const std::string text : {"", "a +", "a b", "(a", "max(a)", "a)", "9999999999999999999",
                                 "\"a", "*", "floor_div(a, 0)", "a//2"}) {
    EXPECT_THROW(parse_dim(text), std::invalid_argument) << text;
  }
  EXPECT_THROW(parse_dim(std::string(100000, '(')), std::invalid_argument);
  EXPECT_THROW(parse_dim(std::string(100000, '-')), std::invalid_argument);
}

TEST(Dims, DividesWhereItCan) {
  EXPECT_EQ(floor_div(a * b, b), a);
  EXPECT_EQ(floor_div(a * 12 + 5, 4), a * 3 + 1);
  EXPECT_EQ(floor_div(a - 16, 16), floor_div(a, 16) - 1);
  EXPECT_EQ(floor_div(floor_div(a, 2), 3), floor_div(a, 6));
  EXPECT_EQ(floor_div(a * 2, 4), floor_div(a, 2));
  EXPECT_EQ(floor_div(a * b + n, b), a + floor_div(n, b));
  EXPECT_EQ(floor_div(a * 6, b * 4), floor_div(a * 3, b * 2));
  EXPECT_EQ(floor_div(-7, 2), Dim(-4));
  EXPECT_EQ(ceil_div(7, 2), Dim(4));
  EXPECT_EQ(ceil_div(a * 4, 2), a * 2);
  EXPECT_EQ(modulo(a * 4 + 3, 4), Dim(3));
  EXPECT_EQ(exact_div(a * a - b * b, a + b), a - b);
  EXPECT_EQ(exact_div(a * 3, 2), std::nullopt);
  EXPECT_EQ(exact_div(a, 0), std::nullopt);
  EXPECT_EQ(exact_div(a * 4, -2), a * -2);
}

TEST(Dims, MinAndMaxKeepOnlyWhatIsOpen) {
  EXPECT_EQ(min(a, a + 3), a);
  EXPECT_EQ(max(a, a + 3), a + 3);
  EXPECT_EQ(max(max(a, b), b), max(a, b));
  EXPECT_EQ(min(3, 5), Dim(3));
}

// Whatever the constructors simplify, the value at any point stays.
TEST(Dims, ArithmeticAgreesWithNumbers) {
  std::mt19937 random(1);
  for (int round = 0; round < 3000; ++round) {
    std::map<std::string, int64_t> values{{"a", random() % 9 + 1}, {"b", random() % 9}};
    std::vector<Dim> dims{a, b, Dim(static_cast<int64_t>(random() % 7) - 3)};
    std::vector<int64_t> numbers{values["a"], values["b"], *dims[2].constant()};
    for (int step = 0; step < 6; ++step) {
      const size_t i = random() % dims.size();
      const size_t k = random() % dims.size();
      const int64_t x = numbers[i];
      const int64_t y = numbers[k];
      const int64_t quotient = y == 0 ? 0 : x / y - (x % y != 0 && (x < 0) != (y < 0));
      // A symbolic divisor may be zero at this point; only those with a value can be compared.
      switch (random() % 6) {
        case 0:
          dims.push_back(dims[i] + dims[k]);
          numbers.push_back(x + y);
          break;
        case 1:
          dims.push_back(dims[i] - dims[k]);
          numbers.push_back(x - y);
          break;
        case 2:
          if (std::abs(x) < 1000 && std::abs(y) < 1000 && dims[i].terms().size() < 8) {
            dims.push_back(dims[i] * dims[k]);
            numbers.push_back(x * y);
          }
          break;
        case 3:
          if (y != 0) {
            dims.push_back(floor_div(dims[i], dims[k]));
            numbers.push_back(quotient);
          }
          break;
        case 4:
          dims.push_back(min(dims[i], dims[k]));
          numbers.push_back(std::min(x, y));
          break;
        default:
          dims.push_back(max(dims[i], dims[k]));
          numbers.push_back(std::max(x, y));
          break;
      }
      int64_t value = 0;
      try {
        value = evaluate(dims.back(), values);
      } catch (const DimOverflow &) {
        break;  // divides by something that is zero here
      }
      ASSERT_EQ(value, numbers.back()) << dims.back().str();
      ASSERT_EQ(parse_dim(dims.back().str()), dims.back()) << dims.back().str();
    }
  }
}

// Bounds hold at every point of the symbols' ranges.
TEST(Dims, BoundsAreSound) {
  const SymbolTable symbols = table();
  const std::vector<Dim> dims{a - b,
                              a * b - a,
                              n * a - a,
                              a - floor_div(a, 3) * 3,
                              floor_div(a + n, 4) - 1,
                              max(a, n) - min(a, n),
                              min(a, b) - a,
                              floor_div(b - 7, 2),
                              floor_div(b * b, n),
                              max(b - 3, 0) * min(n, a),
                              a - max(a - n, 0)};
  for (const Dim &dim : dims) {
    const std::optional<int64_t> lower = symbols.lower_bound(dim);
    const std::optional<int64_t> upper = symbols.upper_bound(dim);
    for (int64_t x = 1; x < 20; ++x) {
      for (int64_t y = 0; y < 20; ++y) {
        for (int64_t z = 2; z <= 10; ++z) {
          const int64_t value = evaluate(dim, {{"a", x}, {"b", y}, {"n", z}});
          EXPECT_TRUE(!lower || value >= *lower) << dim.str();
          EXPECT_TRUE(!upper || value <= *upper) << dim.str();
        }
      }
    }
  }
}

TEST(Dims, ProvesWhatRangesDecide) {
  const SymbolTable symbols = table();
  EXPECT_EQ(symbols.lower_bound(a * 2 + n), 4);
  EXPECT_EQ(symbols.upper_bound(n - 1), 9);
  EXPECT_EQ(symbols.upper_bound(a), std::nullopt);
  EXPECT_EQ(symbols.lower_bound(Dim::symbol("unknown")), std::nullopt);
  EXPECT_TRUE(prove_le(a, a * n, symbols));
  EXPECT_TRUE(prove_le(a + n, a * n + 2, symbols));
  EXPECT_FALSE(prove_le(b, a, symbols));
  EXPECT_TRUE(prove_le(modulo(b, 4), 3, symbols));
  EXPECT_TRUE(prove_le(0, modulo(b, 4), symbols));
  EXPECT_TRUE(prove_le(floor_div(b, 2) * 2, b, symbols));
  EXPECT_TRUE(prove_le(min(a, b), a, symbols));
  EXPECT_TRUE(prove_le(0, a - min(a, n), symbols));
  EXPECT_TRUE(prove_equal(max(b, 0), b, symbols));
  EXPECT_TRUE(prove_equal(max(a + b, a), a + b, symbols));
  EXPECT_FALSE(prove_equal(a, b, symbols));
}

TEST(Dims, SimplifiesByRanges) {
  const SymbolTable symbols = table();
  EXPECT_EQ(simplify(max(b, 0) + min(n, 100), symbols), b + n);
  EXPECT_EQ(simplify(floor_div(n, 11), symbols), Dim(0));
  EXPECT_EQ(simplify(max(a, b), symbols), max(a, b));
}

TEST(Dims, SubstitutesInside) {
  EXPECT_EQ(substitute(floor_div(a + b, 4) + max(a, n), {{"a", Dim(4)}, {"b", b * 4}}),
            b + 1 + max(Dim(4), n));
  EXPECT_TRUE(mentions(max(floor_div(a, 3), 1), "a"));
  EXPECT_FALSE(mentions(max(floor_div(a, 3), 1), "b"));
  EXPECT_EQ(symbols_of(floor_div(a, b)), (std::set<std::string>{"a", "b"}));
  EXPECT_THROW(evaluate(a, {}), std::out_of_range);
}

TEST(Dims, OverflowThrows) {
  const Dim large = int64_t{1} << 62;
  EXPECT_THROW(large + large, DimOverflow);
  EXPECT_THROW(large * 4, DimOverflow);
  EXPECT_THROW(a * large * 4, DimOverflow);
  EXPECT_THROW(floor_div(a, 0), DimOverflow);
  EXPECT_THROW(-Dim(std::numeric_limits<int64_t>::min()), DimOverflow);
  EXPECT_THROW(floor_div(Dim(std::numeric_limits<int64_t>::min()), -1), DimOverflow);
  EXPECT_EQ(table().lower_bound(n * (int64_t{1} << 62)), std::nullopt);
}

// Trees of doubling size, deep nesting, many terms and high powers stop instead of eating the
// machine.
TEST(Dims, HostileExpressionsAreRefused) {
  EXPECT_THROW(
      {
        Dim dim = a;
        for (int i = 0; i < 1000; ++i) {
          dim = max(dim * 2, dim + b);
        }
      },
      DimOverflow);
  EXPECT_THROW(
      {
        Dim dim = a;
        for (int i = 0; i < 1000; ++i) {
          dim = floor_div(dim + b, 2 + i);
        }
      },
      DimOverflow);
  EXPECT_THROW(
      {
        Dim dim = 0;
        for (int i = 0; i < 1000; ++i) {
          dim += Dim::symbol("s" + std::to_string(i));
        }
      },
      DimOverflow);
  EXPECT_THROW(
      {
        Dim dim = a;
        for (int i = 0; i < 1000; ++i) {
          dim *= a;
        }
      },
      DimOverflow);
}

TEST(Symbols, DeclarationsNarrow) {
  SymbolTable symbols;
  symbols.declare("a", {SymbolKind::Input, 0, std::nullopt});
  symbols.declare("a", {SymbolKind::Input, 1, 512});
  symbols.declare("a", {SymbolKind::Input, 0, 1000});
  EXPECT_EQ(symbols.find("a")->lower, 1);
  EXPECT_EQ(symbols.find("a")->upper, 512);
  EXPECT_EQ(symbols.find("b"), nullptr);
  EXPECT_EQ(symbols.fresh_name("a"), "a_2");
  EXPECT_EQ(symbols.fresh_name("b"), "b");
}

}  // namespace
}  // namespace sylvite
