// Loops and branches as machine code, beside the evaluator: how often they run, what they carry,
// and that nothing is placed or allocated while they do.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "compiler/driver/flags.h"
#include "compiler/driver/loaded_model.h"
#include "compiler/ir/error.h"
#include "compiler/ir/evaluate.h"
#include "compiler/ir/text.h"
#include "tests/runtime/allocation_counter.h"

namespace sylvite::testing {
namespace {

using ::testing::HasSubstr;

class CompiledGraph {
 public:
  explicit CompiledGraph(const char *text) {
    model_.graph = parse_graph(text);
    model_.name = "control";
    lower_graph(model_, {});
    ProgressLine progress("");
    compiled_ =
        compile_lowered(model_, program_info(model_), in_process_options(TargetFlags(), progress));
    loaded_ = std::make_unique<LoadedModel>(compiled_);
    for (const int threads : {1, 2}) {
      contexts_.push_back(std::make_unique<ModelContext>(*loaded_, threads));
    }
  }

  const Plan &plan() const { return model_.plan; }
  ModelContext &context() { return *contexts_[0]; }

  // Runs it with one thread and with two, and the evaluator; all must agree, to the bit between
  // threads.
  std::vector<Tensor> expect_right(const std::vector<Tensor> &inputs) {
    const std::vector<Tensor> expected = evaluate(*model_.source, inputs);
    const std::vector<Tensor> found = contexts_[0]->run(inputs);
    const std::vector<Tensor> other = contexts_[1]->run(inputs);
    EXPECT_EQ(found.size(), expected.size());
    for (size_t i = 0; i < found.size(); ++i) {
      EXPECT_EQ(found[i].shape(), expected[i].shape());
      EXPECT_TRUE(same_tensor(found[i], other[i])) << "output " << i << " with two threads";
      for (int64_t k = 0; k < found[i].count() && k < expected[i].count(); ++k) {
        const double value = expected[i].at(k);
        EXPECT_NEAR(found[i].at(k), value, 1e-5 * std::max(1.0, std::abs(value)))
            << "output " << i << " at " << k;
      }
    }
    return found;
  }

  std::string error_of(const std::vector<Tensor> &inputs) {
    try {
      contexts_[0]->run(inputs);
      return "";
    } catch (const ModelError &error) {
      return error.what();
    }
  }

 private:
  LoweredModel model_;
  CompiledModel compiled_;
  std::unique_ptr<LoadedModel> loaded_;
  std::vector<std::unique_ptr<ModelContext>> contexts_;
};

Tensor floats(std::vector<int64_t> shape, const std::vector<float> &values) {
  return Tensor::of<float>(DType::F32, std::move(shape), values);
}
Tensor number(int64_t value) {
  return Tensor::of<int64_t>(DType::I64, {}, {value});
}

// Appends the mean of all so far times a weight of the outer graph, and collects the means.
constexpr const char *kGrow = R"(graph (x: f32[batch, 1], w: f32[1, 3], steps: i64[] = [steps]) {
  symbol batch in [1, inf)
  symbol steps in [0, 2147483647]
  symbol i in [0, inf) data
  e = exp(x)
  y, means = loop(e, w) {carried = 1, iteration = i, trip = [steps]} [
    graph (all: f32[batch, i + 1], v: f32[1, 3]) {
      half = constant {value = f32[1] (0.5)}
      mean = reduce(all) {kind = mean, axes = (1), keepdims = 1}
      wide = matmul(mean, v)
      first = slice(wide) {starts = [0, 0], sizes = [batch, 1], steps = (1, 1)}
      scaled = mul(first, half)
      next = concat(all, scaled) {axis = 1}
      return next, wide
    }
  ]
  z = neg(y)
  return y, z, means
})";

TEST(CompiledLoop, GrowsAsOftenAsAnInputSays) {
  CompiledGraph graph(kGrow);
  const Tensor w = floats({1, 3}, {2, 3, 4});
  for (const int64_t batch : {1, 3}) {
    Tensor x(DType::F32, {batch, 1});
    for (int64_t i = 0; i < batch; ++i) {
      x.set(i, 0.25 * static_cast<double>(i));
    }
    for (const int64_t steps : {0, 1, 5, 2, 40}) {
      SCOPED_TRACE(steps);
      const std::vector<Tensor> results = graph.expect_right({x, w, number(steps)});
      EXPECT_EQ(results[0].shape(), (std::vector<int64_t>{batch, steps + 1}));
      EXPECT_EQ(results[2].shape(), (std::vector<int64_t>{steps, batch, 3}));
    }
  }
}

TEST(CompiledLoop, RefusesNumbersOfIterations) {
  CompiledGraph graph(kGrow);
  const Tensor x = floats({1, 1}, {1}), w = floats({1, 3}, {1, 2, 3});
  EXPECT_EQ(graph.error_of({x, w, number(-1)}), "input 'steps' is -1, expected at least 0");
  EXPECT_EQ(graph.error_of({x, w, number(int64_t{1} << 31)}),
            "input 'steps' is 2147483648, expected at most 2147483647");
  EXPECT_THAT(graph.error_of({x, w, number(INT64_MIN)}), HasSubstr("expected at least 0"));
  EXPECT_THAT(graph.error_of({floats({2, 1}, {1, 2}), w, number(2'000'000'000)}),
              HasSubstr("would have 2^31 elements or more at these sizes"));
  // And works afterwards.
  graph.expect_right({x, w, number(3)});
}

TEST(CompiledLoop, AllocatesNothingAfterTheFirstRun) {
  CompiledGraph graph(kGrow);
  const Tensor x = floats({2, 1}, {1, 2}), w = floats({1, 3}, {1, 2, 3});
  const std::vector<Tensor> inputs = {x, w, number(7)}, fewer = {x, w, number(4)};
  const std::vector<sylvite_tensor> views = tensor_views(inputs), less = tensor_views(fewer);
  graph.context().run(views);
  graph.context().run(less);
  const int64_t before = allocation_count();
  graph.context().run(views);
  graph.context().run(less);
  graph.context().run(views);
  EXPECT_EQ(allocation_count(), before);
}

TEST(CompiledLoop, StopsWhereDataSay) {
  CompiledGraph graph(R"(graph (x: f32[n], limit: f32[], most: i64[] = [most]) {
    symbol n in [1, inf)
    symbol most in [0, 1000]
    symbol i in [0, 999] data
    symbol made in [0, 1000] data
    start = reduce(x) {kind = max, axes = (0)}
    go = less(start, limit)
    last, seen, grown = loop(go, x, x, limit) {carried = 2, iteration = i, trip = [most], made = made} [
      graph (now: f32[n], all: f32[n*i + n], top: f32[]) {
        next = add(now, now)
        largest = reduce(next) {kind = max, axes = (0)}
        again = less(largest, top)
        more = concat(all, next) {axis = 0}
        return next, more, largest, again
      }
    ]
    largest = reduce(grown) {kind = sum, axes = (0), keepdims = 1}
    return last, seen, grown, largest
  })");
  const Tensor x = floats({3}, {0.5, 1, -2});
  for (const float limit : {0.0F, 1.5F, 5.0F, 100.0F, 1e30F}) {
    for (const int64_t most : {0, 1, 4, 30}) {
      SCOPED_TRACE(limit);
      graph.expect_right({x, floats({}, {limit}), number(most)});
    }
  }
}

TEST(CompiledLoop, CarriesInEveryWay) {
  CompiledGraph graph(R"(graph (a: f32[2, n], b: f32[2, n], c: f32[2, n], k: i64[] = [k]) {
    symbol n in [1, inf)
    symbol k in [0, 100]
    symbol i in [0, 99] data
    p, q, same, known, outer, view, rows = loop(a, b, a, b, b, c, c) {carried = 6, iteration = i, trip = [k]} [
      graph (p: f32[2, n], q: f32[2, n], s: f32[2, n], t: f32[2, n], o: f32[2, n], v: f32[2, n],
             x: f32[2, n]) {
        zero = constant {value = f32[1, 1] (3)}
        three = expand(zero) {shape = [2, n]}
        r = reshape(v) {shape = [n, 2]}
        u = reshape(r) {shape = [2, n]}
        return q, p, s, three, x, u, p
      }
    ]
    return p, q, same, known, outer, view, rows
  })");
  const Tensor a = floats({2, 2}, {1, 2, 3, 4}), b = floats({2, 2}, {5, 6, 7, 8}),
               c = floats({2, 2}, {9, 10, 11, 12});
  for (const int64_t k : {0, 1, 2, 3}) {
    SCOPED_TRACE(k);
    graph.expect_right({a, b, c, number(k)});
  }
}

TEST(CompiledLoop, ShrinksWhatItCarries) {
  CompiledGraph graph(R"(graph (x: f32[n, 2], k: i64[] = [k]) {
    symbol n in [1, inf)
    symbol k in [0, inf)
    symbol i in [0, inf) data
    guard min(k, n) == k "'loop' takes rows away"
    rest, sums = loop(x) {carried = 1, iteration = i, trip = [k]} [
      graph (all: f32[n - i, 2]) {
        s = reduce(all) {kind = sum, axes = (0)}
        next = slice(all) {starts = [1, 0], sizes = [n - i - 1, 2], steps = (1, 1)}
        return next, s
      }
    ]
    return rest, sums
  })");
  const Tensor x = floats({4, 2}, {1, 2, 3, 4, 5, 6, 7, 8});
  for (const int64_t k : {0, 1, 3, 4}) {
    SCOPED_TRACE(k);
    graph.expect_right({x, number(k)});
  }
  EXPECT_THAT(graph.error_of({x, number(5)}), HasSubstr("'loop' takes rows away"));
}

TEST(CompiledLoop, HoldsLoopsAndBranches) {
  CompiledGraph graph(
      R"(graph (x: f32[n], outer: i64[] = [outer], inner: i64[] = [inner], t: f32[]) {
    symbol n in [1, inf)
    symbol outer in [0, 100]
    symbol inner in [0, 100]
    symbol i in [0, 99] data
    symbol j in [0, 99] data
    y = loop(x, t) {carried = 1, iteration = i, trip = [outer]} [
      graph (a: f32[n], u: f32[]) {
        b = loop(a, u) {carried = 1, iteration = j, trip = [inner + i]} [
          graph (p: f32[n], v: f32[]) {
            s = reduce(p) {kind = sum, axes = (0)}
            c = less(s, v)
            q = if(c, p) [
              graph (r: f32[n]) {
                ij = dim_values {values = [i + j], shape = (), dtype = i64}
                f = cast(ij) {to = f32}
                z = add(r, f)
                return z
              },
              graph (r: f32[n]) {
                quarter = constant {value = f32[] (0.25)}
                z = mul(r, quarter)
                return z
              }
            ]
            return q
          }
        ]
        return b
      }
    ]
    return y
  })");
  for (const auto &[outer, inner] :
       std::vector<std::pair<int, int>>{{0, 3}, {1, 0}, {3, 0}, {4, 3}}) {
    graph.expect_right({floats({3}, {1, 2, 3}), number(outer), number(inner), floats({}, {20})});
  }
}

// Results whose sizes differ alike have one symbol for them, and can be added.
TEST(CompiledIf, GivesOtherSizesToSeveralResults) {
  CompiledGraph graph(R"(graph (x: f32[n, 2], c: bool[]) {
    symbol n in [1, inf)
    symbol size in [0, inf) data
    y, z = if(c, x) {sizes = [size, 2, 2, size]} [
      graph (a: f32[n, 2]) {
        p = concat(a, a) {axis = 0}
        q = transpose(p) {perm = (1, 0)}
        r = exp(q)
        return p, r
      },
      graph (a: f32[n, 2]) { q = transpose(a) {perm = (1, 0)} return a, q }
    ]
    t = transpose(z) {perm = (1, 0)}
    s = add(y, t)
    return s
  })");
  const Tensor x = floats({3, 2}, {-1, -2, -3, 0, 1, 2});
  for (const int64_t c : {1, 0}) {
    graph.expect_right({x, Tensor::of<int64_t>(DType::Bool, {}, {c})});
  }
}

TEST(CompiledIf, GivesOtherSizes) {
  CompiledGraph graph(R"(graph (x: f32[n, 2], z: f32[m, 2], c: bool[], k: i64[] = [k]) {
    symbol n in [1, inf)
    symbol m in [1, inf)
    symbol k in [0, 100]
    symbol size in [0, inf) data
    symbol inner in [0, inf) data
    symbol i in [0, 99] data
    y = if(c, x, z) {sizes = [size, 2]} [
      graph (a: f32[n, 2], b: f32[m, 2]) {
        p = concat(a, b) {axis = 0}
        d = constant {value = bool[] (1)}
        q = if(d, p, b) {sizes = [inner, 2]} [
          graph (e: f32[n + m, 2], f: f32[m, 2]) { g = neg(e) return g },
          graph (e: f32[n + m, 2], f: f32[m, 2]) { return f }
        ]
        return q
      },
      graph (a: f32[n, 2], b: f32[m, 2]) { return b }
    ]
    r = exp(y)
    s = reduce(r) {kind = sum, axes = (0)}
    t = loop(r) {carried = 1, iteration = i, trip = [k]} [
      graph (u: f32[size, 2]) { v = neg(u) return v }
    ]
    return y, r, s, t
  })");
  const Tensor x = floats({1, 2}, {1, 2}), z = floats({3, 2}, {-1, -2, -3, 0, 1, 2});
  for (const int64_t c : {1, 0, 1}) {
    const std::vector<Tensor> results =
        graph.expect_right({x, z, Tensor::of<int64_t>(DType::Bool, {}, {c}), number(3)});
    EXPECT_EQ(results[1].shape(), (std::vector<int64_t>{c != 0 ? 4 : 3, 2}));
  }
}

TEST(CompiledIf, TakesOneBranch) {
  CompiledGraph graph(R"(graph (x: f32[n, 4], c: bool[], w: f32[4, 4]) {
    symbol n in [1, inf)
    e = exp(x)
    t = transpose(e) {perm = (1, 0)}
    p, q, r = if(c, t, w, x) [
      graph (a: f32[4, n], b: f32[4, 4], d: f32[n, 4]) {
        m = matmul(b, a)
        return m, a, m
      },
      graph (a: f32[4, n], b: f32[4, 4], d: f32[n, 4]) {
        s = neg(a)
        u = transpose(d) {perm = (1, 0)}
        return s, u, u
      }
    ]
    y = add(p, q)
    return y, p, r
  })");
  const Tensor x = floats({2, 4}, {1, 2, 3, 4, -1, -2, -3, -4});
  Tensor w(DType::F32, {4, 4});
  for (int64_t i = 0; i < 16; ++i) {
    w.set(i, 0.125 * static_cast<double>(i % 5));
  }
  for (const int64_t c : {0, 1, 0}) {
    graph.expect_right({x, Tensor::of<int64_t>(DType::Bool, {}, {c}), w});
  }
}

}  // namespace
}  // namespace sylvite::testing
