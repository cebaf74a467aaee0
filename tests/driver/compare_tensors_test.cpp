#include "compiler/driver/compare_tensors.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace sylvite {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

Tensor floats(const std::vector<double> &values) {
  return Tensor::of(DType::F32, {static_cast<int64_t>(values.size())}, values);
}

TEST(CompareTensors, AllowsWhatIsAllowed) {
  const Comparison found = compare_tensors(floats({1.0, 100.5}), floats({1.25, 100.0}), 0.01, 0.25);
  EXPECT_TRUE(found.ok());
  EXPECT_DOUBLE_EQ(found.largest, 0.5);
}

TEST(CompareTensors, NamesTheWorst) {
  const Comparison found = compare_tensors(floats({1, 2, 4}), floats({1, 3, 4.5}), 0, 0.1);
  EXPECT_FALSE(found.ok());
  EXPECT_EQ(found.wrong, 2);
  EXPECT_EQ(found.worst, 1);
  EXPECT_EQ(found.worst_got, 2);
  EXPECT_EQ(found.worst_expected, 3);
}

TEST(CompareTensors, NoNumberIsNear) {
  EXPECT_TRUE(compare_tensors(floats({NAN, kInfinity}), floats({NAN, kInfinity}), 0, 0).ok());
  EXPECT_FALSE(compare_tensors(floats({NAN}), floats({0}), 1, 1e9).ok());
  EXPECT_FALSE(compare_tensors(floats({0}), floats({NAN}), 1, 1e9).ok());
  EXPECT_FALSE(compare_tensors(floats({kInfinity}), floats({-kInfinity}), 1, 1e9).ok());
  EXPECT_FALSE(compare_tensors(floats({kInfinity}), floats({1}), 1, 1e9).ok());
}

TEST(CompareTensors, WholeNumbersMustBeEqual) {
  const Tensor a = Tensor::of(DType::I64, {2}, std::vector<int64_t>{1, int64_t{1} << 60});
  const Tensor b = Tensor::of(DType::I64, {2}, std::vector<int64_t>{1, (int64_t{1} << 60) + 1});
  EXPECT_TRUE(compare_tensors(a, a, 0, 0).ok());
  EXPECT_FALSE(compare_tensors(a, b, 1, 1e9).ok());
}

TEST(CompareTensors, TypesMustAgree) {
  EXPECT_FALSE(compare_tensors(floats({1}), floats({1, 2}), 1, 1).ok());
  EXPECT_FALSE(compare_tensors(floats({1}), floats({1}).converted(DType::F64), 1, 1).ok());
  EXPECT_EQ(describe_type(Tensor(DType::Bool, {2, 0})), "bool[2, 0]");
}

TEST(CompareTensors, Coordinates) {
  EXPECT_EQ(coordinates({2, 3, 4}, 17), "[1, 1, 1]");
  EXPECT_EQ(coordinates({}, 0), "[]");
}

}  // namespace
}  // namespace sylvite
