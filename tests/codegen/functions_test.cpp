// prepare, run, costs and the descriptor, as the runtime would see them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "compiler/codegen/plan_parts.h"
#include "compiler/ir/error.h"
#include "compiler/ir/text.h"
#include "sylvite/sylvite.h"
#include "tests/codegen/sample_plan.h"

namespace sylvite {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const Dim kN = Dim::symbol("n"), kM = Dim::symbol("m");

// A plan without calls: inputs and outputs of these shapes.
Plan shapes_only(const std::vector<Shape> &inputs, const std::vector<Shape> &outputs) {
  Plan plan;
  plan.name = "shapes";
  for (const std::string symbol : {"n", "m"}) {
    plan.symbols.declare(symbol, {});
  }
  for (const Shape &shape : inputs) {
    plan.inputs.push_back(
        {std::string(1, static_cast<char>('a' + plan.inputs.size())), {DType::F32, shape}});
  }
  for (const Shape &shape : outputs) {
    plan.outputs.push_back({"out", {DType::F32, shape}});
  }
  add_bindings(plan);
  return plan;
}

TEST(Prepare, ReadsSymbolsAndWritesSizes) {
  const LoadedPlan loaded(sample_plan());
  const Prepared result = prepare(loaded.program(), {2, 7, 2, 7, 4});
  EXPECT_EQ(result.status, 0) << result.message;
  EXPECT_THAT(result.symbols, ElementsAre(2, 7));
  EXPECT_THAT(result.intermediate_bytes, ElementsAre(2 * 7 * 4 * 4));
  EXPECT_THAT(result.output_dims, ElementsAre(2, 7, 4, 2, 7));
}

TEST(Prepare, NamesWhatIsWrong) {
  const LoadedPlan loaded(sample_plan());
  const auto message = [&](const std::vector<int64_t> &dims) {
    const Prepared result = prepare(loaded.program(), dims);
    EXPECT_EQ(result.status, SYL_BAD_INPUT);
    return result.message;
  };
  EXPECT_EQ(message({2, 7, 2, 7, 5}), "input 'mask' has size 5 at axis 2, expected 4");
  EXPECT_EQ(message({2, 7, 2, 9, 4}),
            "inputs 'ids' axis 1 (7) and 'mask' axis 1 (9) must be equal");
  EXPECT_EQ(message({0, 7, 0, 7, 4}), "input 'ids' has size 0 at axis 0, expected at least 1");
  EXPECT_EQ(message({1, 513, 1, 513, 4}),
            "input 'ids' has size 513 at axis 1, expected at most 512");
  EXPECT_EQ(message({-1, 7, -1, 7, 4}), "input 'ids' has size -1 at axis 0, which is out of range");
  EXPECT_THAT(message({int64_t{1} << 31, 1, int64_t{1} << 31, 1, 4}), HasSubstr("out of range"));
  EXPECT_EQ(
      message({2000000, 512, 2000000, 512, 4}),
      "'mask' would have 2^31 elements or more at these sizes; take a smaller batch or length");
}

TEST(Prepare, AnEmptyLengthIsFine) {
  const LoadedPlan loaded(sample_plan());
  EXPECT_EQ(prepare(loaded.program(), {1, 0, 1, 0, 4}).status, 0);
}

TEST(Prepare, SolvesForSymbolsInExpressions) {
  const LoadedPlan loaded(shapes_only({{Dim(2) * kN + Dim(1)}, {kM + kN}}, {{kN, kM}}));
  const Prepared result = prepare(loaded.program(), {7, 5});
  EXPECT_EQ(result.status, 0) << result.message;
  EXPECT_THAT(result.output_dims, ElementsAre(3, 2));
  EXPECT_EQ(prepare(loaded.program(), {8, 5}).message,
            "input 'a' has size 8 at axis 0, which is not n*2 + 1 for any n");
  EXPECT_EQ(prepare(loaded.program(), {7, 2}).message,
            "input 'b' has size 2 at axis 0, expected m + n with m at least 0");
}

TEST(Prepare, ComparesWhatItCannotSolve) {
  const LoadedPlan loaded(shapes_only({{kN}, {floor_div(kN, 2), kN * kN}}, {{kN}}));
  EXPECT_EQ(prepare(loaded.program(), {7, 3, 49}).status, 0);
  EXPECT_EQ(prepare(loaded.program(), {7, 4, 49}).message,
            "input 'b' has size 4 at axis 0, expected floor_div(n, 2) = 3");
  EXPECT_EQ(prepare(loaded.program(), {7, 3, 48}).message,
            "input 'b' has size 48 at axis 1, expected n*n = 49");
}

TEST(Prepare, ComputesEveryKindOfDim) {
  const LoadedPlan loaded(shapes_only({{kN, kM}}, {{floor_div(kN, 3), min(kN, kM), max(kN, kM),
                                                    floor_div(kN, kM + Dim(1)), kN * kM * kM}}));
  const std::vector<std::pair<int64_t, int64_t>> cases = {{7, 2}, {2, 7}, {0, 0}, {6, 5}};
  for (const auto &[n, m] : cases) {
    const Prepared result = prepare(loaded.program(), {n, m});
    ASSERT_EQ(result.status, 0) << result.message;
    EXPECT_THAT(result.output_dims,
                ElementsAre(n / 3, std::min(n, m), std::max(n, m), n / (m + 1), n * m * m));
  }
}

// Floor, not truncation, below zero: the difference is checked through a bound that it reaches.
TEST(Prepare, FloorsTowardsMinusInfinity) {
  const LoadedPlan loaded(shapes_only({{kN, kM}}, {{floor_div(kN - kM, 4) + Dim(10)}}));
  for (const int64_t difference : {-9, -8, -7, -4, -1, 0, 1, 3, 4}) {
    const Prepared result = prepare(loaded.program(), {20 + difference, 20});
    const int64_t floor = difference >= 0 ? difference / 4 : -((3 - difference) / 4);
    ASSERT_EQ(result.status, 0) << result.message;
    EXPECT_THAT(result.output_dims, ElementsAre(floor + 10)) << difference;
  }
}

TEST(Prepare, DivisionByZeroAndOverflowAreErrors) {
  const LoadedPlan division(shapes_only({{kN, kM}}, {{floor_div(kN, kM)}}));
  EXPECT_EQ(prepare(division.program(), {7, 2}).status, 0);
  EXPECT_EQ(prepare(division.program(), {7, 0}).status, SYL_BAD_INPUT);
  const LoadedPlan overflow(shapes_only({{kN}, {kM}}, {{kN * kN * kM * kM}, {kN, kN, kM, kM}}));
  const int64_t large = std::numeric_limits<int32_t>::max();
  EXPECT_EQ(prepare(overflow.program(), {large, large}).status, SYL_BAD_INPUT);
  EXPECT_EQ(prepare(overflow.program(), {3, 5}).status, 0);
}

TEST(Prepare, RefusesNegativeSizes) {
  const LoadedPlan loaded(shapes_only({{kN}}, {{kN - Dim(5)}}));
  EXPECT_EQ(prepare(loaded.program(), {5}).status, 0);
  EXPECT_EQ(prepare(loaded.program(), {4}).message, "'out' would have size n - 5 = -1 at axis 0");
}

// Values that only exist inside a kernel are counted in 32 bits too.
TEST(Prepare, RefusesWhatAKernelCannotCount) {
  const std::unique_ptr<Graph> graph = parse_graph(
      "graph g (a: f32[batch]) { k = kernel(a) {root = none} [graph (a: f32[batch]) {"
      " p = reshape(a) {shape = [batch, 1]} q = mul(p, a) r = reshape(q) {shape = [batch*batch]}"
      " return r }] return k as k }");
  Plan plan = sample_plan();
  plan.calls[0].node = graph->nodes().front().get();
  const LoadedPlan loaded(std::move(plan));
  EXPECT_EQ(prepare(loaded.program(), {40000, 1, 40000, 1, 4}).status, 0);
  EXPECT_EQ(prepare(loaded.program(), {50000, 1, 50000, 1, 4}).message,
            "'r' would have 2^31 elements or more at these sizes; take a smaller batch or length");
}

TEST(Prepare, ChecksGuards) {
  Plan plan = shapes_only({{kN}, {kM}}, {{kN}});
  plan.guards.push_back({kN, kM, "'Add_1' adds a and b"});
  plan.guards.push_back({kN * kM, Dim(2) * kN + Dim(3), "'Reshape_2'"});
  const LoadedPlan loaded(std::move(plan));
  EXPECT_EQ(prepare(loaded.program(), {3, 3}).status, 0);
  EXPECT_EQ(prepare(loaded.program(), {3, 4}).message,
            "inputs 'a' axis 0 (3) and 'b' axis 0 (4) must be equal: 'Add_1' adds a and b");
  EXPECT_EQ(prepare(loaded.program(), {5, 5}).message,
            "sizes m*n = 25 and n*2 + 3 = 13 must be equal: 'Reshape_2'");
}

// How "at most" is written as a guard.
TEST(Prepare, ChecksUpperBounds) {
  Plan plan = shapes_only({{kN}, {kM}}, {{kN}});
  plan.guards.push_back({min(kN, 5), kN, "'Slice_3' reads a table"});
  plan.guards.push_back({min(kM, 3), 3, "'TopK_4'"});
  plan.guards.push_back({min(kM, kN + Dim(1)), kM, ""});
  const LoadedPlan loaded(std::move(plan));
  EXPECT_EQ(prepare(loaded.program(), {5, 6}).status, 0);
  EXPECT_EQ(prepare(loaded.program(), {6, 6}).message,
            "size n = 6 must be at most 5: 'Slice_3' reads a table");
  EXPECT_EQ(prepare(loaded.program(), {5, 2}).message, "size 3 must be at most m = 2: 'TopK_4'");
  EXPECT_EQ(prepare(loaded.program(), {3, 5}).message, "size m = 5 must be at most n + 1 = 4");
}

TEST(Prepare, BracesInTheUsersNamesAreNotNumbers) {
  Plan plan = shapes_only({{4}}, {});
  plan.inputs[0].name = "x{}\n";
  const LoadedPlan loaded(std::move(plan));
  EXPECT_EQ(prepare(loaded.program(), {5}).message,
            "input 'x{ }?' has size 5 at axis 0, expected 4");
}

TEST(Bindings, ASymbolThatNoInputGivesIsAnError) {
  try {
    shapes_only({{kN * kM}}, {{kN}});
    FAIL();
  } catch (const ModelError &error) {
    EXPECT_THAT(error.what(), HasSubstr("input 'a' has size m*n at axis 0"));
  }
}

TEST(Run, MakesChecksCallsAndCopiesInOrder) {
  const LoadedPlan loaded(sample_plan());
  Recorder recorder;
  const std::vector<int64_t> symbols = {2, 7};
  EXPECT_EQ(loaded.program().run(recorder.context(), recorder.api(), symbols.data()), 0);
  EXPECT_THAT(recorder.lines,
              ElementsAre("check b0 dtype 10 from 0 step 1 of 14 below 10: "
                          "ids: index {} at {} is out of range for 'table' (10 rows)",
                          "call 0: 4 over 14 x 1 scratch 0 cost 4480",
                          "call 1: over 56 x 1 scratch 0 cost 112", "copy b3 from b0 112 bytes"));
}

TEST(Run, StopsAtTheFirstFailure) {
  const LoadedPlan loaded(sample_plan());
  Recorder recorder;
  recorder.fail_at = 0;
  const std::vector<int64_t> symbols = {2, 7};
  EXPECT_EQ(loaded.program().run(recorder.context(), recorder.api(), symbols.data()), SYL_INTERNAL);
  EXPECT_EQ(recorder.lines.size(), 2u);
}

// Two calls of the sample kernels in a loop that an input's contents and a condition end.
Plan loop_plan() {
  Plan plan = sample_plan();
  const Dim turn = Dim::symbol("turn");
  plan.symbols.declare("most", {SymbolKind::Input, 0, 9});
  plan.symbols.declare("turn", {SymbolKind::Data, 0, {}});
  plan.symbols.declare("made", {SymbolKind::Data, 0, {}});
  plan.inputs.push_back({"most", {DType::I64, {}}, {Dim::symbol("most")}});
  plan.outputs.push_back({"more", {DType::F32, {Dim::symbol("made")}}});
  plan.size_checks.clear();
  plan.bindings.clear();
  add_bindings(plan);
  // One input and one output more: the buffers behind them move up.
  for (PlanCall &call : plan.calls) {
    for (std::vector<int> *buffers : {&call.inputs, &call.outputs}) {
      for (int &buffer : *buffers) {
        buffer += buffer >= 4 ? 2 : buffer >= 2 ? 1 : 0;
      }
    }
  }
  plan.copies.clear();
  plan.checks.clear();
  plan.calls[1].extent0 = turn + 1;
  plan.calls[1].flops = 10 * turn;
  plan.variables = {{"turn", 0, max(Dim::symbol("most") - 1, 0)}, {"made", 0, Dim::symbol("most")}};
  PlanEvent begin, part, test, end;
  begin.kind = PlanEvent::Kind::LoopBegin;
  begin.before = 1;
  begin.symbol = "turn";
  begin.made = "made";
  begin.trip = Dim::symbol("most");
  begin.condition = 0;
  test.kind = PlanEvent::Kind::LoopTest;
  test.condition = 1;
  part.to = 5;
  part.from = 3;
  part.bytes = 4;
  part.offset = 4 * turn;
  end.kind = PlanEvent::Kind::LoopEnd;
  part.before = test.before = end.before = 2;
  plan.events = {begin, test, part, end};
  return plan;
}

TEST(Run, LoopsUntilACountOrAConditionEndsIt) {
  const LoadedPlan loaded(loop_plan());
  const auto lines = [&](int64_t most, int truths) {
    Recorder recorder;
    recorder.truths = truths;
    const std::vector<int64_t> symbols = {2, 7, most};
    EXPECT_EQ(loaded.program().run(recorder.context(), recorder.api(), symbols.data()), 0);
    recorder.lines.erase(recorder.lines.begin());  // the call in front of the loop
    return recorder.lines;
  };
  EXPECT_THAT(lines(3, 0), ElementsAre("is b0 true", "output 2 axis 0 is 0"));
  EXPECT_THAT(lines(0, 9), ElementsAre("is b0 true", "output 2 axis 0 is 0"));
  EXPECT_THAT(lines(3, 2), ElementsAre("is b0 true",                                 //
                                       "call 1: over 1 x 1 scratch 0 cost 0",        //
                                       "is b1 true", "copy b5 + 0 from b3 4 bytes",  //
                                       "call 1: over 2 x 1 scratch 0 cost 10",       //
                                       "is b1 true", "copy b5 + 4 from b3 4 bytes",  //
                                       "output 2 axis 0 is 2"));
  EXPECT_THAT(lines(1, 9),
              ElementsAre("is b0 true", "call 1: over 1 x 1 scratch 0 cost 0", "is b1 true",
                          "copy b5 + 0 from b3 4 bytes", "output 2 axis 0 is 1"));
}

TEST(Prepare, ReadsSizesOffContents) {
  const LoadedPlan loaded(loop_plan());
  EXPECT_EQ(loaded.program().content_count, 1);
  EXPECT_EQ(loaded.program().contents[0], 2);
  const Prepared result = prepare(loaded.program(), {2, 7, 2, 7, 4, 9});
  EXPECT_EQ(result.status, 0) << result.message;
  EXPECT_THAT(result.symbols, ElementsAre(2, 7, 9));
  // The largest that it may become.
  EXPECT_EQ(result.output_dims.back(), 9);
  EXPECT_EQ(prepare(loaded.program(), {2, 7, 2, 7, 4, 10}).message,
            "input 'most' is 10, expected at most 9");
  EXPECT_EQ(prepare(loaded.program(), {2, 7, 2, 7, 4, -1}).message,
            "input 'most' is -1, expected at least 0");
}

TEST(Costs, OfALoopAreThoseOfAllItsIterations) {
  const LoadedPlan loaded(loop_plan());
  std::vector<int64_t> flops(2), bytes(2), symbols = {2, 7, 4};
  loaded.program().costs(symbols.data(), flops.data(), bytes.data());
  EXPECT_THAT(flops, ElementsAre(0, 10 * (0 + 1 + 2 + 3)));
  EXPECT_EQ(bytes[0], 560);
}

TEST(Costs, CountsAndSaturates) {
  Plan plan = sample_plan();
  const Dim batch = Dim::symbol("batch");
  plan.calls[1].flops = batch * batch * batch * batch;
  const LoadedPlan loaded(std::move(plan));
  std::vector<int64_t> flops(2), bytes(2), symbols = {2, 7};
  loaded.program().costs(symbols.data(), flops.data(), bytes.data());
  EXPECT_THAT(flops, ElementsAre(0, 16));
  EXPECT_THAT(bytes, ElementsAre(560, 0));
  symbols[0] = int64_t{1} << 30;
  loaded.program().costs(symbols.data(), flops.data(), bytes.data());
  EXPECT_EQ(flops[1], std::numeric_limits<int64_t>::max());
}

TEST(Descriptor, SaysWhatThePlanHolds) {
  ProgramInfo info = sample_info();
  info.classify.emplace();
  info.classify->labels = {"zero", "one"};
  info.classify->settings.height = 48;
  info.classify->settings.mean[3] = 0.25f;
  info.classify->settings.output = 1;
  info.self_test.emplace();
  info.self_test->tensors.push_back(Tensor::of<int64_t>(DType::I64, {1, 2}, {3, 4}));
  info.self_test->rtol = 0.5f;
  const LoadedPlan loaded(sample_plan(), info);
  const sylvite_program &program = loaded.program();
  EXPECT_EQ(program.abi_version, kSylviteAbiVersion);
  EXPECT_STREQ(program.model_name, "sample");
  EXPECT_STREQ(program.licences, "none");
  EXPECT_EQ(program.isa_mask, 3);
  EXPECT_EQ(program.input_count, 2);
  EXPECT_STREQ(program.inputs[1].name, "mask");
  EXPECT_EQ(program.inputs[1].rank, 3);
  EXPECT_STREQ(program.inputs[1].dims[1], "length");
  EXPECT_EQ(program.outputs[1].dtype, SYL_I64);
  ASSERT_EQ(program.symbol_count, 2);
  EXPECT_STREQ(program.symbols[1].name, "length");
  EXPECT_EQ(program.symbols[1].upper, 512);
  EXPECT_EQ(program.symbols[0].upper, INT64_MAX);
  EXPECT_EQ(program.symbols[0].lower, 1);
  ASSERT_EQ(program.kernel_count, 2);
  EXPECT_NE(program.kernels[0].function[SYL_X86_64_V3], nullptr);
  EXPECT_EQ(program.kernels[0].symbols, 1);
  EXPECT_EQ(program.kernels[0].inputs, 2);
  EXPECT_EQ(program.kernels[0].outputs, 1);
  EXPECT_EQ(program.kernels[1].grain0[1], 4);
  EXPECT_EQ(program.kernels[1].has_scratch, 0);
  ASSERT_EQ(program.call_count, 2);
  EXPECT_EQ(program.calls[1].kernel, 1);
  EXPECT_STREQ(program.calls[1].sources, "/Mul,/Add");
  EXPECT_EQ(program.calls[1].buffers[2], 2);
  EXPECT_EQ(program.buffer_count, 6);
  EXPECT_EQ(program.intermediates[0].last, 1);
  EXPECT_EQ(program.weight_offsets[0], 64);
  ASSERT_NE(program.classify, nullptr);
  EXPECT_STREQ(program.classify->labels[1], "one");
  EXPECT_EQ(program.classify->height, 48);
  EXPECT_EQ(program.classify->mean[3], 0.25f);
  EXPECT_EQ(program.classify->output, 1);
  ASSERT_NE(program.self_test, nullptr);
  EXPECT_EQ(program.self_test->rtol, 0.5f);
  EXPECT_EQ(program.self_test->shapes[0][1], 2);
  const char *image = static_cast<const char *>(loaded.loaded->weights());
  sylvite_weight_header header;
  std::memcpy(&header, image, sizeof header);
  EXPECT_STREQ(header.magic, "sylvite weights");
  EXPECT_EQ(static_cast<int64_t>(header.bytes), program.weight_bytes);
  EXPECT_EQ(header.content_hash, program.weight_hash);
  int64_t stored[2];
  std::memcpy(stored, image + program.self_test->offsets[0], sizeof stored);
  EXPECT_EQ(stored[1], 4);
}

// The same objects under the real runtime.
TEST(Run, ComputesUnderTheRuntime) {
  const LoadedPlan loaded(sample_plan());
  char message[200] = "";
  sylvite_model *model = nullptr;
  ASSERT_EQ(sylvite_model_open(loaded.loaded->program(), loaded.loaded->weights(), &model, message,
                               sizeof message),
            SYLVITE_OK)
      << message;
  sylvite_context *context = nullptr;
  ASSERT_EQ(sylvite_context_create(model, nullptr, &context, message, sizeof message), SYLVITE_OK)
      << message;
  int64_t ids[2] = {3, -1};
  float mask[8] = {0, 0, 0, 0, 1, 1, 1, 1};
  sylvite_tensor inputs[2] = {{ids, SYLVITE_I64, 2, {1, 2}}, {mask, SYLVITE_F32, 3, {1, 2, 4}}};
  sylvite_tensor outputs[2];
  ids[1] = 9;
  ASSERT_EQ(sylvite_run(context, inputs, 2, outputs, 2), SYLVITE_OK)
      << sylvite_context_error(context);
  const float *doubled = static_cast<const float *>(outputs[0].data);
  for (int i = 0; i < 8; ++i) {
    EXPECT_EQ(doubled[i], i < 4 ? 2 * (12 + i) : 2 * (36 + i - 4) + 1) << i;
  }
  EXPECT_EQ(static_cast<const int64_t *>(outputs[1].data)[1], 9);
  ids[1] = 10;
  EXPECT_EQ(sylvite_run(context, inputs, 2, outputs, 2), SYLVITE_BAD_INPUT);
  EXPECT_THAT(sylvite_context_error(context), HasSubstr("ids: index 10 at"));
  EXPECT_THAT(sylvite_context_error(context), HasSubstr("out of range for 'table' (10 rows)"));
  sylvite_context_destroy(context);
  sylvite_model_close(model);
}

TEST(Objects, AreTheSameBytesEachTime) {
  const auto bytes = [] {
    Plan plan = sample_plan();
    const ProgramInfo info = sample_info();
    return compile_objects(plan, make_weight_image(plan, info), info, {});
  };
  EXPECT_EQ(bytes(), bytes());
}

TEST(Objects, LlvmTextNamesTheFunctions) {
  const Plan plan = sample_plan();
  const ProgramInfo info = sample_info();
  const std::string text = plan_llvm_ir(plan, make_weight_image(plan, info), info);
  EXPECT_THAT(text, HasSubstr("define internal i32 @sylvite_prepare"));
  EXPECT_THAT(text, HasSubstr("@sylvite_program_descriptor = constant"));
}

}  // namespace
}  // namespace sylvite
