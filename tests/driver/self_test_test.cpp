// Inputs that are made from a plan must be ones that the model takes.
#include "compiler/driver/self_test.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <tuple>

#include "compiler/ir/error.h"

namespace sylvite {
namespace {

// ids [batch, length] index a table of 9 rows, mask and weights are read otherwise.
Plan bert_like() {
  Plan plan;
  const Dim batch = Dim::symbol("batch"), length = Dim::symbol("length");
  plan.inputs = {{"ids", {DType::I64, {batch, length}}},
                 {"mask", {DType::I64, {batch, length}}},
                 {"x", {DType::F32, {batch, 3}}}};
  plan.symbols.declare("batch", {SymbolKind::Input, 1, std::nullopt});
  plan.symbols.declare("length", {SymbolKind::Input, 1, 8});
  plan.bindings = {{"batch", 0, 0, 1, 0}, {"length", 0, 1, 1, 0}};
  PlanIndexCheck check;
  check.buffer = 0;
  check.bound = 9;
  plan.checks = {check};
  return plan;
}

TEST(GenerateInputs, RespectsWhatReadsThem) {
  const std::vector<Tensor> inputs = generate_inputs(bert_like(), {{"batch", 5}, {"length", 7}}, 1);
  ASSERT_EQ(inputs.size(), 3u);
  EXPECT_EQ(inputs[0].shape(), (std::vector<int64_t>{5, 7}));
  bool beyond_one = false;
  for (int64_t i = 0; i < inputs[0].count(); ++i) {
    EXPECT_GE(inputs[0].at_int(i), 0);
    EXPECT_LT(inputs[0].at_int(i), 9);
    beyond_one |= inputs[0].at_int(i) > 1;
  }
  EXPECT_TRUE(beyond_one);
  for (int64_t row = 0; row < 5; ++row) {  // 1s, then 0s
    EXPECT_EQ(inputs[1].at_int(row * 7), 1);
    for (int64_t i = 1; i < 7; ++i) {
      EXPECT_LE(inputs[1].at_int(row * 7 + i), inputs[1].at_int(row * 7 + i - 1));
    }
  }
  for (int64_t i = 0; i < inputs[2].count(); ++i) {
    EXPECT_LT(std::abs(inputs[2].at(i)), 1);
  }
}

TEST(GenerateInputs, IsDeterministic) {
  const SymbolSizes sizes = {{"batch", 2}, {"length", 4}};
  const std::vector<Tensor> once = generate_inputs(bert_like(), sizes, 1),
                            again = generate_inputs(bert_like(), sizes, 1),
                            other = generate_inputs(bert_like(), sizes, 2);
  EXPECT_TRUE(same_tensor(once[2], again[2]));
  EXPECT_FALSE(same_tensor(once[2], other[2]));
  EXPECT_TRUE(same_tensor(once[0], again[0]));
}

TEST(SmallSizes, FitRangesAndGuards) {
  Plan plan = bert_like();
  ASSERT_FALSE(small_sizes(plan).empty());
  for (const SymbolSizes &sizes : small_sizes(plan)) {
    EXPECT_LE(sizes.at("length"), 8);
    EXPECT_GE(sizes.at("batch"), 1);
  }
  EXPECT_NE(small_sizes(plan).front().at("batch"), small_sizes(plan).front().at("length"));
  plan.guards.push_back({Dim::symbol("batch"), Dim::symbol("length"), "they are added"});
  ASSERT_FALSE(small_sizes(plan).empty());
  for (const SymbolSizes &sizes : small_sizes(plan)) {
    EXPECT_EQ(sizes.at("batch"), sizes.at("length"));
  }
}

TEST(SmallSizes, TakeEachForTheSumOfTwoOthers) {
  Plan plan;
  for (const char *name : {"past", "total", "length"}) {
    plan.symbols.declare(name, {});
    plan.bindings.emplace_back().symbol = name;
  }
  for (const auto &[sum, a, b] : {std::tuple("past", "total", "length"),
                                  {"total", "past", "length"},
                                  {"length", "past", "total"}}) {
    const std::vector<SymbolSizes> all = small_sizes(plan);
    EXPECT_TRUE(std::any_of(all.begin(), all.end(),
                            [&, sum = sum, a = a, b = b](const SymbolSizes &sizes) {
                              return sizes.at(sum) == sizes.at(a) + sizes.at(b);
                            }))
        << sum;
  }
}

}  // namespace
}  // namespace sylvite
