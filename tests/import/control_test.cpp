// Loops, branches and sequences: what the importer makes of them, against values worked out by
// hand, and what it refuses.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "compiler/ir/control.h"
#include "compiler/ir/error.h"
#include "compiler/ir/evaluate.h"
#include "tests/import/onnx_text.h"

namespace sylvite::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

int64_t count_of(const Graph &graph, Op op) {
  int64_t count = 0;
  for (const Graph *each : with_control_bodies(graph)) {
    for (const auto &node : each->nodes()) {
      count += node->op == op ? 1 : 0;
    }
  }
  return count;
}

// A sequence that grows by what it last held plus the iteration's number and a captured value.
onnx::ModelProto growing_loop() {
  return graph(R"((float[batch, 1] x, int64[1] steps, float step) => (y)
    <int64[1] one = {1}, bool go = {1}, int64 last = {-1}> {
      trip = Squeeze(steps)
      [loop] y = Loop (trip, go, x) <body = grow (int64 i, bool c, float[b, n] all)
        => (bool again, float[b, m] next) {
          again = Identity(c)
          tail = Gather<axis = 1>(all, last)
          number = Cast<to = 1>(i)
          sum = Add(tail, number)
          more = Add(sum, step)
          column = Unsqueeze(more, one)
          next = Concat<axis = 1>(all, column)
        }>
    })");
}

TEST(ImportLoop, CarriesAValueThatGrows) {
  const ImportedModel model = import_model(growing_loop());
  const Node *const loop = model.graph->output(0)->producer;
  ASSERT_EQ(loop->op, Op::Loop);
  EXPECT_EQ(to_string(loop->output()->type), "f32[batch, steps + 1]");
  EXPECT_EQ(to_string(loop->regions[0]->inputs()[0]->type), "f32[batch, iteration + 1]");
  EXPECT_EQ(model.graph->symbols.find("steps")->lower, 0);
  const Tensor x = floats({2, 1}, {1, 10}), step = floats({}, {0.5});
  EXPECT_THAT(values_of(run_model(growing_loop(), {x, integers({1}, {3}), step})[0]),
              ElementsAre(1, 1.5, 3, 5.5, 10, 10.5, 12, 14.5));
  EXPECT_THAT(values_of(run_model(growing_loop(), {x, integers({1}, {1}), step})[0]),
              ElementsAre(1, 1.5, 10, 10.5));
  EXPECT_THAT(values_of(run_model(growing_loop(), {x, integers({1}, {0}), step})[0]),
              ElementsAre(1, 10));
  EXPECT_THROW(run_model(growing_loop(), {x, integers({1}, {-1}), step}), ModelError);
}

TEST(ImportLoop, StopsWhereItsConditionSays) {
  const onnx::ModelProto model = graph(R"((float x, float limit) => (y, seen)
    <int64 most = {10}> {
      go = Less(x, limit)
      y, seen = Loop (most, go, x) <body = grow (int64 i, bool c, float now)
        => (bool again, float next, float each) {
          next = Add(now, now)
          again = Less(next, limit)
          each = Identity(now)
        }>
    })");
  const auto run = [&](double x, double limit) {
    return run_model(model, {floats({}, {x}), floats({}, {limit})});
  };
  EXPECT_THAT(values_of(run(1, 5)[0]), ElementsAre(8));
  EXPECT_THAT(values_of(run(1, 5)[1]), ElementsAre(1, 2, 4));
  EXPECT_THAT(values_of(run(7, 5)[0]), ElementsAre(7));
  EXPECT_THAT(values_of(run(7, 5)[1]), IsEmpty());
  EXPECT_THAT(values_of(run(1, 1e9)[0]), ElementsAre(1024));
}

TEST(ImportLoop, OfFewIterationsIsUnrolled) {
  const onnx::ModelProto model = graph(R"((float[n] x) => (y, rows)
    <int64 trip = {3}, float[3, 2] table = {1, 2, 3, 4, 5, 6}> {
      [layers] y, rows = Loop (trip, , x) <body = layer (int64 i, bool c, float[n] now)
        => (bool again, float[n] next, float[2] row) {
          again = Identity(c)
          [pick] row = Gather(table, i)
          total = ReduceSum<keepdims = 0>(row)
          [scale] next = Mul(now, total)
        }>
    })");
  const ImportedModel imported = import_model(model);
  EXPECT_EQ(count_of(*imported.graph, Op::Loop), 0);
  EXPECT_THAT(imported.graph->output(0)->producer->sources, ElementsAre("layers[2]/scale"));
  const std::vector<Tensor> results = run_model(model, {floats({1}, {2})});
  EXPECT_THAT(values_of(results[0]), ElementsAre(2 * 3 * 7 * 11));
  EXPECT_THAT(values_of(results[1]), ElementsAre(1, 2, 3, 4, 5, 6));
}

TEST(ImportLoop, SwapsWhatItCarries) {
  const onnx::ModelProto model = graph(R"((float[2] a, float[2] b, int64 n) => (c, d)
    <bool go = {1}> {
      c, d = Loop (n, go, a, b) <body = swap (int64 i, bool g, float[2] p, float[2] q)
        => (bool again, float[2] q_, float[2] p_) {
          again = Identity(g)
          q_ = Identity(q)
          p_ = Identity(p)
        }>
    })");
  const std::vector<Tensor> results =
      run_model(model, {floats({2}, {1, 2}), floats({2}, {3, 4}), integers({}, {3})});
  EXPECT_THAT(values_of(results[0]), ElementsAre(3, 4));
  EXPECT_THAT(values_of(results[1]), ElementsAre(1, 2));
}

TEST(ImportLoop, InALoopSeesBothAroundIt) {
  const onnx::ModelProto model = graph(R"((float[n] x, int64 outer, int64 inner) => (y)
    <bool go = {1}> {
      y = Loop (outer, go, x) <body = o (int64 i, bool c, float[k] p) => (bool a, float[k] q) {
        a = Identity(c)
        q = Loop (inner, c, p) <body = n (int64 j, bool d, float[l] r) => (bool b, float[l] s) {
          b = Identity(d)
          ij = Add(i, j)
          f = Cast<to = 1>(ij)
          t = Add(r, f)
          s = Add(t, x)
        }>
      }>
    })");
  // Two times three iterations; i + j sums up to 0+1+2 + 1+2+3 = 9.
  EXPECT_THAT(
      values_of(run_model(model, {floats({1}, {100}), integers({}, {2}), integers({}, {3})})[0]),
      ElementsAre(100 + 6 * 100 + 9));
}

TEST(ImportScan, OverWhatHasAnyLength) {
  const onnx::ModelProto model = graph(R"((float[2] start, float[length, 2] x) => (last, sums) {
      last, sums = Scan <num_scan_inputs = 1, scan_input_directions = [1],
          scan_output_directions = [1], scan_output_axes = [1],
          body = add (float[2] state, float[2] row) => (float[2] next, float[2] out) {
            next = Add(state, row)
            out = Identity(next)
          }> (start, x)
    })");
  const std::vector<Tensor> results =
      run_model(model, {floats({2}, {0, 100}), floats({3, 2}, {1, 2, 3, 4, 5, 6})});
  EXPECT_THAT(values_of(results[0]), ElementsAre(9, 112));
  EXPECT_EQ(results[1].shape(), (std::vector<int64_t>{2, 3}));
  EXPECT_THAT(values_of(results[1]), ElementsAre(9, 8, 5, 112, 110, 106));
}

TEST(ImportIf, ThatOnlyARunDecides) {
  const onnx::ModelProto model = graph(R"((float[n] x, bool flag) => (y, z) {
      y, z = If (flag) <
        then_branch = t () => (float[n] p, float[n] same) { p = Neg(x)  same = Identity(x) },
        else_branch = e () => (float[n] q, float[n] r) <float two = {2}> {
          q = Mul(x, two)
          r = Abs(x)
        }>
    })");
  EXPECT_EQ(count_of(*import_model(model).graph, Op::If), 1);
  const Tensor x = floats({2}, {-1, 3});
  EXPECT_THAT(values_of(run_model(model, {x, bools({}, {1})})[0]), ElementsAre(1, -3));
  EXPECT_THAT(values_of(run_model(model, {x, bools({}, {1})})[1]), ElementsAre(-1, 3));
  EXPECT_THAT(values_of(run_model(model, {x, bools({}, {0})})[0]), ElementsAre(-2, 6));
  EXPECT_THAT(values_of(run_model(model, {x, bools({}, {0})})[1]), ElementsAre(1, 3));
}

TEST(ImportIf, WhoseResultsHaveTheSameOtherSizes) {
  const onnx::ModelProto model = graph(R"((float[n] x, bool flag) => (r) {
      y, s = If (flag) <
        then_branch = t () => (float[k] p, float[k] u) { p = Concat<axis = 0>(x, x)  u = Neg(p) },
        else_branch = e () => (float[k] q, float[k] v) { q = Abs(x)  v = Identity(x) }>
      r = Sub(y, s)
    })");
  const Tensor x = floats({2}, {-1, 3});
  EXPECT_THAT(values_of(run_model(model, {x, bools({}, {1})})[0]), ElementsAre(-2, 6, -2, 6));
  EXPECT_THAT(values_of(run_model(model, {x, bools({}, {0})})[0]), ElementsAre(2, 0));
}

TEST(ImportIf, WhoseBranchesGiveOtherSizes) {
  const onnx::ModelProto model = graph(R"((float[n] x, float[m] z, bool flag) => (y, r, s) {
      y, s = If (flag) <
        then_branch = t () => (float[k] p, float[n] u) {
          p = Concat<axis = 0>(x, z)
          u = Neg(x)
        },
        else_branch = e () => (float[k] q, float[n] v) { q = Abs(x)  v = Identity(x) }>
      r = Neg(y)
    })");
  EXPECT_EQ(to_string(import_model(model).graph->output(1)->type), "f32[branch_size]");
  EXPECT_EQ(to_string(import_model(model).graph->output(2)->type), "f32[n]");
  const Tensor x = floats({1}, {-1}), z = floats({2}, {2, 3});
  EXPECT_THAT(values_of(run_model(model, {x, z, bools({}, {1})})[1]), ElementsAre(1, -2, -3));
  EXPECT_THAT(values_of(run_model(model, {x, z, bools({}, {0})})[1]), ElementsAre(-1));
}

TEST(ImportSequences, AreListsOfValues) {
  const onnx::ModelProto model = graph(R"((float[n, 5] x, float[n, 1] z) => (y, first, count)
    <int64 two = {2}, int64 at = {-1}, int64 zero = {0}> {
      parts = SplitToSequence<axis = 1>(x, two)
      more = SequenceInsert(parts, z, zero)
      first = SequenceAt(more, zero)
      fewer = SequenceErase(more, at)
      count = SequenceLength(fewer)
      y = ConcatFromSequence<axis = 1>(fewer)
    })");
  const std::vector<Tensor> results =
      run_model(model, {floats({1, 5}, {1, 2, 3, 4, 5}), floats({1, 1}, {9})});
  EXPECT_THAT(values_of(results[0]), ElementsAre(9, 1, 2, 3, 4));
  EXPECT_THAT(values_of(results[1]), ElementsAre(9));
  EXPECT_THAT(values_of(results[2]), ElementsAre(3));
}

TEST(ImportContents, OfSmallInputsAreSizes) {
  const onnx::ModelProto model =
      graph("(float[6] x, int64[2] shape) => (y) { [a] y = Reshape(x, shape) }");
  const ImportedModel imported = import_model(model);
  EXPECT_EQ(to_string(imported.graph->output(0)->type), "f32[shape_0, shape_1]");
  EXPECT_EQ(run_model(model, {floats({6}, {1, 2, 3, 4, 5, 6}), integers({2}, {3, 2})})[0].shape(),
            (std::vector<int64_t>{3, 2}));
  EXPECT_THROW(run_model(model, {floats({6}, {1, 2, 3, 4, 5, 6}), integers({2}, {4, 2})}),
               ModelError);
}

TEST(ImportContents, StayDataWhereNothingAsksForASize) {
  const ImportedModel imported =
      import_model(graph("(int64[2] ids, float[4, 3] t) => (y) { y = Gather(t, ids) }"));
  EXPECT_FALSE(imported.graph->inputs()[0]->host);
}

TEST(ImportPasts, MayBeEmpty) {
  const ImportedModel imported = import_model(graph(R"((float[b, past, 4] old, float[b, new, 4] x)
      => (all) { all = Concat<axis = 1>(old, x) })"));
  // Both are only ever joined; a size that something else reads is at least 1.
  EXPECT_EQ(imported.graph->symbols.find("past")->lower, 0);
  EXPECT_EQ(imported.graph->symbols.find("b")->lower, 1);
  const ImportedModel read = import_model(graph(R"((float[b, past, 4] old, float[b, new, 4] x)
      => (all, y) { all = Concat<axis = 1>(old, x)  y = Relu(old) })"));
  EXPECT_EQ(read.graph->symbols.find("past")->lower, 1);
}

// ---- errors ----

std::string loop_with(const std::string &head, const std::string &body) {
  return "(float[n] x, float t, int64 trip, bool go) => (y) { [a] y = Loop (" + head +
         ", x) <body = " + body + "> }";
}

TEST(ImportControlErrors, BodiesThatDoNotFit) {
  EXPECT_EQ(error_of(graph(loop_with("trip, go",
                                     "b (int64 i, bool c) => (bool d) {"
                                     " d = Identity(c) }"))),
            "node 'a' (Loop): has 3 inputs and 1 outputs, but its body has 2 and 1; expected 3 "
            "and 2");
  EXPECT_EQ(error_of(graph(loop_with("trip, go",
                                     "b (int64 i, bool c, float[n] p) => (bool d, int64 q) {"
                                     " d = Identity(c)  q = Identity(i) }"))),
            "node 'a' (Loop): carries 'p', which is f32[n] before an iteration and i64[] behind "
            "it; element type and rank must stay");
  EXPECT_THAT(error_of(graph(loop_with("trip, go",
                                       "b (int64 i, bool c, float[n] p) => (bool d, float[m] q) {"
                                       " d = Identity(c)  q = Concat<axis = 0>(p, p) }"))),
              HasSubstr("node 'a' (Loop): "));
  EXPECT_THAT(error_of(graph(loop_with("trip, go",
                                       "b (int64 i, bool c, float[n] p) => (bool d, float[n] q) {"
                                       " d = Identity(c)  q = Add(p, nowhere) }"))),
              HasSubstr("reads 'nowhere', which no node, input or initializer defines"));
  EXPECT_EQ(error_of(graph("(float[2] x, bool c) => (y) { [a] y = If (c) <"
                           "then_branch = t () => (float[2] p) { p = Relu(x) },"
                           "else_branch = e () => (float[1, 3] q) <float[1, 3] k = {1, 2, 3}>"
                           " { q = Abs(k) }> }")),
            "node 'a' (If): the types that its branches give to output 0 must be equal, but are "
            "[2] and [1, 3]");
  EXPECT_EQ(error_of(graph("(float[2] x, bool c) => (y) { [a] y = If (c) <"
                           "then_branch = t () => (float[2] p) { p = Relu(x) },"
                           "else_branch = e () => (float[2] q, float[2] r)"
                           " { q = Abs(x)  r = Abs(x) }> }")),
            "node 'a' (If): else_branch has 0 inputs and 2 outputs, expected 0 and 1");
}

TEST(ImportControlErrors, LoopsWithoutBound) {
  const std::string body =
      "b (int64 i, bool c, float[n] p) => (bool d, float[n] q) { q = Add(p, p)"
      " s = ReduceSum<keepdims = 0>(q)  d = Less(s, t) }";
  EXPECT_EQ(error_of(graph(loop_with(", go", body))),
            "node 'a' (Loop): goes on until its condition is false; only loops with a largest "
            "number of iterations (its first input) are supported");
}

TEST(ImportControlErrors, TooDeep) {
  std::string body =
      "(int64 i, bool c, float[n] p) => (bool d, float[n] q) {"
      " d = Identity(c)  q = Add(p, p) }";
  for (int depth = 0; depth < 9; ++depth) {
    body = "(int64 i" + std::to_string(depth) +
           ", bool c, float[n] p) => (bool d, float[n] q) {"
           " d = Identity(c)  q = Loop (trip, c, p) <body = b " +
           body + "> }";
  }
  EXPECT_THAT(error_of(graph(loop_with("trip, go", "b " + body))),
              HasSubstr("loops and branches stand in each other more than 8 levels deep"));
}

TEST(ImportControlErrors, TooMany) {
  std::string nodes;
  std::string last = "x";
  for (int i = 0; i < 1100; ++i) {
    const std::string next = "v" + std::to_string(i);
    nodes += next + " = Loop (trip, go, " + last + ") <body = b (int64 i" + next +
             ", bool c, float[n] p) => (bool d, float[n] q) { d = Identity(c)  q = Add(p, p) }> ";
    last = next;
  }
  EXPECT_THAT(error_of(graph("(float[n] x, int64 trip, bool go) => (y) { " + nodes +
                             " y = Identity(" + last + ") }")),
              HasSubstr("the model has more than 1024 loops"));
  // Ever more copies of copies.
  std::string body =
      "(int64 i, bool c, float[n] p) => (bool d, float[n] q) {"
      " d = Identity(c)  q = Add(p, p) }";
  for (int depth = 0; depth < 7; ++depth) {
    body = "(int64 i" + std::to_string(depth) +
           ", bool c, float[n] p) => (bool d, float[n] q) {"
           " d = Identity(c)  q = Loop (many, c, p) <body = b " +
           body + "> }";
  }
  EXPECT_THAT(error_of(graph("(float[n] x) => (y) <int64 many = {64}> {"
                             " y = Loop (many, , x) <body = b " +
                             body + "> }")),
              ::testing::AnyOf(HasSubstr("the model grows beyond"),
                               HasSubstr("the model has more than 1024 loops")));
}

TEST(ImportControlErrors, Sequences) {
  EXPECT_EQ(
      error_of(graph("(float[n, 4] x) => (y) <int64 p = {4}> { s = SplitToSequence<axis = 1>(x)"
                     "  [a] y = SequenceAt(s, p) }")),
      "node 'a' (SequenceAt): place 4 is out of range for a sequence of 4 tensors");
  EXPECT_EQ(error_of(graph("(float[n, 4] x) => (y) { [a] s = SplitToSequence(x)"
                           "  y = ConcatFromSequence<axis = 0>(s) }")),
            "node 'a' (SplitToSequence): splits an axis of size n into parts of 1; their number "
            "must be known while compiling, and at most 4096");
  EXPECT_EQ(error_of(graph("(float[n, 4] x) => (y) { s = SequenceConstruct(x)"
                           "  [a] y = Relu(s) }")),
            "node 'a' (Relu): reads 's', which is a sequence, not a tensor");
}

}  // namespace
}  // namespace sylvite::testing
