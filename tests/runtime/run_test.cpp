// Models, contexts and runs through the public interface, over a program written by hand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <string.h>
#include <xmmintrin.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "runtime/cpu.h"
#include "runtime/dim_text.h"
#include "runtime/model.h"
#include "sylvite/sylvite.hpp"
#include "tests/runtime/allocation_counter.h"
#include "tests/runtime/fake_program.h"

extern "C" int sylvite_test_c_header(void);

namespace sylvite {
namespace {

using testing::fake_program;
using testing::fake_state;
using testing::fake_weights;
using ::testing::HasSubstr;

TEST(CHeader, CompilesAndLinksFromC) {
  EXPECT_EQ(sylvite_test_c_header(), 0);
}

// ---- opening ----

std::string open_error(const sylvite_program &program, const void *weights) {
  char message[256] = "";
  sylvite_model *model = nullptr;
  EXPECT_EQ(sylvite_model_open(&program, weights, &model, message, sizeof message),
            SYLVITE_BAD_INPUT);
  EXPECT_EQ(model, nullptr);
  return message;
}

// The level that is chosen, or why none is.
std::string level(const CpuFeatures &cpu, int32_t mask, const char *forced) {
  sylvite_program program = fake_program();
  program.isa_mask = mask;
  char message[256] = "";
  sylvite_isa isa{};
  const bool ok = choose_isa(program, cpu, forced, &isa, message, sizeof message) == SYLVITE_OK;
  return ok ? kIsaNames[isa] : message;
}

TEST(Open, RefusesWhatIsNotItsOwn) {
  sylvite_program program = fake_program();
  program.abi_version = 999;
  EXPECT_THAT(open_error(program, fake_weights()), HasSubstr("version 999"));
  program = fake_program();
  program.weight_hash = 78;
  EXPECT_EQ(open_error(program, fake_weights()), "the weights belong to another model");
  program = fake_program();
  program.weight_bytes += 1;
  EXPECT_EQ(open_error(program, fake_weights()), "the weights belong to another model");
  // This test's own last segment holds no weights.
  EXPECT_EQ(open_error(fake_program(), nullptr), "the weights are missing");
}

constexpr CpuFeatures kEverything = {~0u, ~0u, ~0u, ~uint64_t{0}};

TEST(Open, TheBestLevelThatBothHave) {
  EXPECT_EQ(level(kEverything, 3, nullptr), "x86-64-v4");
  EXPECT_EQ(level(kEverything, 1, nullptr), "x86-64-v3");
  CpuFeatures cpu = kEverything;
  cpu.leaf7_ebx &= ~(1u << 31);  // no avx512vl
  EXPECT_EQ(level(cpu, 3, nullptr), "x86-64-v3");
  EXPECT_EQ(level(cpu, 2, nullptr),
            "the program holds code for x86-64-v4, and this CPU lacks avx512vl");
  cpu = kEverything;
  cpu.saved_registers = 0x7;  // the system saves 256 bits only
  EXPECT_EQ(level(cpu, 3, nullptr), "x86-64-v3");
  cpu.saved_registers = 0x3;
  EXPECT_EQ(
      level(cpu, 3, nullptr),
      "the program holds code for x86-64-v3 and x86-64-v4, and this CPU lacks 256-bit registers "
      "saved by the "
      "operating system");
  EXPECT_EQ(level({}, 3, nullptr),
            "the program holds code for x86-64-v3 and x86-64-v4, and this CPU lacks avx");
  // Each feature of v3 is asked for.
  for (uint32_t bit : {28u, 12u, 29u, 22u}) {
    cpu = kEverything;
    cpu.leaf1_ecx &= ~(1u << bit);
    EXPECT_THAT(level(cpu, 3, nullptr), HasSubstr("this CPU lacks"));
  }
  for (uint32_t bit : {5u, 3u, 8u}) {
    cpu = kEverything;
    cpu.leaf7_ebx &= ~(1u << bit);
    EXPECT_THAT(level(cpu, 3, nullptr), HasSubstr("this CPU lacks"));
  }
}

TEST(Open, ALevelCanBeForced) {
  EXPECT_EQ(level(kEverything, 3, "x86-64-v3"), "x86-64-v3");
  EXPECT_EQ(level(kEverything, 3, ""), "x86-64-v4");
  EXPECT_EQ(level(kEverything, 3, "x86-64-v2"),
            "SYLVITE_ISA is 'x86-64-v2': expected x86-64-v3 or x86-64-v4");
  EXPECT_EQ(level(kEverything, 1, "x86-64-v4"),
            "SYLVITE_ISA is 'x86-64-v4', but the program holds code for x86-64-v3 only");
  CpuFeatures cpu = kEverything;
  cpu.leaf7_ebx &= ~(1u << 16);
  EXPECT_EQ(level(cpu, 3, "x86-64-v4"), "SYLVITE_ISA is 'x86-64-v4', but this CPU lacks avx512f");
}

// ---- running ----

struct Tensors {
  std::vector<float> x, y, tail;
  std::vector<int64_t> ids;
  std::vector<sylvite_tensor> list;

  Tensors(int64_t batch, int64_t length) {
    for (int64_t i = 0; i < batch * 4; ++i) {
      x.push_back(static_cast<float>(i));
      y.push_back(1);
    }
    for (int64_t i = 0; i < batch * length; ++i) {
      ids.push_back(i % 5);
    }
    tail.resize(static_cast<size_t>(length + 1));
    list = {tensor(std::span(x), {batch, 4}), tensor(std::span(y), {batch, 4}),
            tensor(std::span(ids), {batch, length}), tensor(std::span(tail), {length + 1})};
  }

  std::vector<float> expected() const {
    std::vector<float> result;
    const float table[] = {1, 10, 100, 1000, 10000};
    const size_t length = tail.size() - 1;
    for (size_t i = 0; i < x.size(); ++i) {
      float factor = 0;
      for (size_t k = 0; k < length; ++k) {
        const int64_t id = ids[i / 4 * length + k];
        factor += table[id < 0 ? id + 5 : id];
      }
      result.push_back((x[i] + y[i]) * factor);
    }
    return result;
  }
};

class Run : public ::testing::Test {
 protected:
  void SetUp() override {
    if (missing_feature(SYL_X86_64_V3) != nullptr) {
      GTEST_SKIP() << "this CPU is below x86-64-v3";
    }
    fake_state().cost = 0;
    fake_state().scratch_bytes = 256;
    fake_state().kernel_result = 0;
    ASSERT_TRUE(model_.open(&fake_program(), fake_weights()).ok());
    start({.threads = 1});
  }

  void start(const Context::Options &options) {
    ASSERT_TRUE(context_.create(model_, options).ok());
  }

  void expect_right(Tensors &tensors) {
    const Status status = context_.run(tensors.list);
    ASSERT_TRUE(status.ok()) << status.message();
    const std::span<const float> scaled = context_.output<float>(0),
                                 echo = context_.output<float>(1);
    EXPECT_EQ(std::vector<float>(scaled.begin(), scaled.end()), tensors.expected());
    EXPECT_EQ(std::vector<float>(echo.begin(), echo.end()), tensors.x);
  }

  std::string error_of(const Tensors &tensors) {
    const Status status = context_.run(tensors.list);
    EXPECT_EQ(status.code(), SYLVITE_BAD_INPUT);
    return status.message();
  }

  Model model_;
  Context context_;
};

TEST_F(Run, GivesTheResultAtEverySize) {
  for (const int64_t batch : {1, 2, 7, 64}) {
    for (const int64_t length : {0, 1, 5, 13}) {
      Tensors tensors(batch, length);
      expect_right(tensors);
    }
  }
}

TEST_F(Run, ThreadsGiveTheSameResult) {
  fake_state().cost = int64_t{1} << 40;
  start({.threads = 4});
  EXPECT_EQ(context_.threads(), 4);
  const int before = fake_state().parts;
  Tensors tensors(64, 3);
  expect_right(tensors);
  EXPECT_EQ(fake_state().parts - before, 8);
  for (int i = 0; i < 200; ++i) {
    expect_right(tensors);
  }
}

TEST_F(Run, TwoContextsInTwoThreadsShareAModel) {
  fake_state().cost = int64_t{1} << 40;
  const auto work = [&](int64_t batch) {
    Context context;
    ASSERT_TRUE(context.create(model_, {.threads = 2}).ok());
    for (int i = 0; i < 300; ++i) {
      Tensors tensors(batch + i % 11, 2);
      ASSERT_TRUE(context.run(tensors.list).ok());
      const std::span<const float> scaled = context.output<float>(0);
      ASSERT_EQ(std::vector<float>(scaled.begin(), scaled.end()), tensors.expected());
    }
  };
  std::thread other(work, 3);
  work(20);
  other.join();
}

TEST_F(Run, TheCallersFlushToZeroDoesNotReachKernels) {
  fake_state().cost = int64_t{1} << 40;
  start({.threads = 2});
  const unsigned before = _mm_getcsr();
  _mm_setcsr(before | 0x8040);
  Tensors tensors(64, 2);
  fake_state().flushing_parts = 0;
  const Status status = context_.run(tensors.list);
  EXPECT_EQ(_mm_getcsr() & 0x8040, 0x8040u);
  _mm_setcsr(before);
  EXPECT_TRUE(status.ok());
  EXPECT_EQ(fake_state().flushing_parts, 0);
}

TEST_F(Run, RemembersTheLastEightSizes) {
  const auto prepares = [&](int64_t batch) {
    const int before = fake_state().prepares;
    Tensors tensors(batch, 2);
    expect_right(tensors);
    return fake_state().prepares - before;
  };
  for (int64_t batch = 1; batch <= 8; ++batch) {
    EXPECT_EQ(prepares(batch), 1);
  }
  for (int64_t batch = 8; batch >= 1; --batch) {
    EXPECT_EQ(prepares(batch), 0);
  }
  EXPECT_EQ(prepares(9), 1);  // in the place of 8, the longest unused
  EXPECT_EQ(prepares(1), 0);
  EXPECT_EQ(prepares(8), 1);
  EXPECT_EQ(prepares(7), 1);
  EXPECT_EQ(prepares(1), 0);
}

TEST_F(Run, AllocatesNothingAfterTheFirstRunAtASize) {
  fake_state().cost = int64_t{1} << 40;
  for (const int threads : {1, 2}) {
    start({.threads = threads, .profile = true});
    Tensors small(3, 2), large(5000, 3);
    for (Tensors *tensors : {&small, &large}) {
      ASSERT_TRUE(context_.run(tensors->list).ok());
    }
    const int64_t before = testing::allocation_count();
    for (int i = 0; i < 50; ++i) {
      for (Tensors *tensors : {&small, &large}) {
        const bool ok = context_.run(tensors->list).ok();
        ASSERT_TRUE(ok);
      }
    }
    EXPECT_EQ(testing::allocation_count() - before, 0);
  }
  // The counter does count.
  const int64_t before = testing::allocation_count();
  void *volatile block = malloc(1);  // volatile: or the compiler leaves it out
  free(block);
  const auto one = std::make_unique<std::string>(100, 'x');
  EXPECT_EQ(testing::allocation_count() - before, 3);
}

TEST_F(Run, TheArenaHoldsOutputsAndIntermediates) {
  Tensors tensors(100, 2);
  expect_right(tensors);
  EXPECT_EQ(context_.arena_bytes(), 3 * 1600);  // scaled, echo, sum
}

TEST_F(Run, ProfileCountsRunsAndCosts) {
  start({.threads = 1, .profile = true});
  Tensors tensors(10, 2);
  expect_right(tensors);
  expect_right(tensors);
  ASSERT_EQ(context_.profile_row_count(), 2);
  const sylvite_profile_row row = context_.profile_row(1);
  EXPECT_STREQ(row.kernel, "k1_scale");
  EXPECT_STREQ(row.sources, "gather_2,mul_3");
  EXPECT_EQ(row.runs, 2);
  EXPECT_EQ(row.flops, 120);
  EXPECT_GT(row.nanoseconds, 0);
  context_.reset_profile();
  EXPECT_EQ(context_.profile_row(1).runs, 0);
}

// ---- the user's mistakes ----

TEST_F(Run, WrongElementType) {
  Tensors tensors(2, 2);
  tensors.list[0].dtype = SYLVITE_I32;
  EXPECT_EQ(error_of(tensors), "input 'x': expected float32, got int32");
  const int32_t no_dtype = 99;  // as a C program might
  memcpy(&tensors.list[0].dtype, &no_dtype, sizeof no_dtype);
  EXPECT_EQ(error_of(tensors), "input 'x': expected float32, got an unknown element type");
}

TEST_F(Run, WrongShape) {
  Tensors tensors(2, 2);
  tensors.list[1].dims[1] = 5;
  EXPECT_EQ(error_of(tensors), "input 'y': expected shape [batch, 4], got [2, 5]");
  tensors.list[1].rank = 1;
  EXPECT_EQ(error_of(tensors), "input 'y': expected shape [batch, 4], got [2]");
  tensors.list[1].rank = 9;
  EXPECT_EQ(error_of(tensors), "input 'y': a rank of 9 is out of range");
  tensors.list[1].rank = -1;
  EXPECT_EQ(error_of(tensors), "input 'y': a rank of -1 is out of range");
}

TEST_F(Run, SizesThatContradictEachOther) {
  Tensors tensors(2, 2);
  tensors.list[1].dims[0] = 1;
  EXPECT_EQ(error_of(tensors),
            "input 'y': dimension 0 (batch) is 1, but dimension 0 of input 'x' is 2");
  Tensors short_tail(2, 2);
  short_tail.list[3].dims[0] = 2;
  EXPECT_EQ(error_of(short_tail), "input 'tail': dimension 0 is 2, expected length + 1 = 3");
  expect_right(tensors = Tensors(2, 2));
}

TEST_F(Run, SizesOutOfRange) {
  Tensors tensors(2, 2);
  for (int i = 0; i < 3; ++i) {
    tensors.list[static_cast<size_t>(i)].dims[0] = 0;
  }
  EXPECT_EQ(error_of(tensors), "input 'x': dimension 0 (batch) is 0, expected at least 1");
  tensors.list[0].dims[0] = -1;
  EXPECT_EQ(error_of(tensors), "input 'x': dimension 0 is negative: -1");
  tensors.list[0].dims[0] = int64_t{1} << 40;
  EXPECT_EQ(error_of(tensors), "input 'x': shape [1099511627776, 4] has 2^31 elements or more");
  tensors.list[0].dims[0] = INT64_MAX;
  EXPECT_THAT(error_of(tensors), HasSubstr("has 2^31 elements or more"));
}

TEST_F(Run, WrongCountsAndData) {
  Tensors tensors(2, 2);
  sylvite_tensor outputs[2];
  sylvite_context *context = context_.get();
  EXPECT_EQ(sylvite_run(context, tensors.list.data(), 3, outputs, 2), SYLVITE_BAD_INPUT);
  EXPECT_STREQ(sylvite_context_error(context), "expected 4 inputs, got 3");
  EXPECT_EQ(sylvite_run(context, tensors.list.data(), 4, outputs, 1), SYLVITE_BAD_INPUT);
  EXPECT_STREQ(sylvite_context_error(context), "expected room for 2 outputs, got 1");
  tensors.list[0].data = nullptr;
  EXPECT_EQ(error_of(tensors), "input 'x': no data");
  tensors.list[0].data = reinterpret_cast<char *>(tensors.x.data()) + 1;
  EXPECT_EQ(error_of(tensors), "input 'x': the data is not aligned to its element's size");
}

TEST_F(Run, AnIndexOutOfRange) {
  for (const int64_t bad : {int64_t{5}, int64_t{-6}, INT64_MAX, INT64_MIN}) {
    Tensors tensors(2, 3);
    tensors.ids[4] = bad;
    EXPECT_EQ(error_of(tensors), "ids: index " + std::to_string(bad) +
                                     " at [1, 1] is out of range for 'table' (5 rows)");
  }
  Tensors tensors(2, 3);
  tensors.ids = {0, -1, -5, 4, 2, 2};
  expect_right(tensors);
}

TEST_F(Run, AKernelThatFailsIsOurBug) {
  fake_state().kernel_result = -3;
  Tensors tensors(2, 3);
  const Status status = context_.run(tensors.list);
  EXPECT_EQ(status.code(), SYLVITE_INTERNAL);
  EXPECT_EQ(status.message(), "kernel k1_scale of gather_2,mul_3 failed with code -3");
}

TEST_F(Run, NoMemoryIsAnErrorAndTheContextStaysUsable) {
  fake_state().scratch_bytes = INT64_MAX - 100;
  Tensors tensors(2, 3);
  const Status status = context_.run(tensors.list);
  EXPECT_EQ(status.code(), SYLVITE_OUT_OF_MEMORY);
  EXPECT_THAT(status.message(), HasSubstr("out of memory: "));
  fake_state().scratch_bytes = 64;
  expect_right(tensors);
}

// ---- sizes as text ----

TEST(DimText, Expressions) {
  const int64_t symbols[] = {7, 3};  // batch, length
  const auto value = [&](const char *text) { return evaluate_dim(fake_program(), text, symbols); };
  EXPECT_EQ(value("12"), 12);
  EXPECT_EQ(value("batch"), 7);
  EXPECT_EQ(value("batch*length*2 + length - 4"), 41);
  EXPECT_EQ(value("-batch + 10"), 3);
  EXPECT_EQ(value("floor_div(batch*10 + 1, length)"), 23);
  EXPECT_EQ(value("floor_div(-batch, 2)"), -4);
  EXPECT_EQ(value("max(batch, length*4) - min(batch, 5)"), 7);
  EXPECT_EQ(value("2*(batch + 1)"), 16);
  for (const char *bad :
       {"", "batches", "batch +", "floor_div(batch, 0)", "9223372036854775807 + batch",
        "99999999999999999999", "max(1)", "(1", "1 2"}) {
    EXPECT_EQ(value(bad), std::nullopt) << bad;
  }
  EXPECT_EQ(value(std::string(100000, '(').c_str()), std::nullopt);
  EXPECT_EQ(value(std::string(100000, '-').c_str()), std::nullopt);
}

}  // namespace
}  // namespace sylvite
