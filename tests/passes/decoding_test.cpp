// Making a step of a decoder: the evaluator says before and after what the graph computes.
#include "passes/decoding.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "compiler/ir/compose.h"
#include "compiler/ir/error.h"
#include "compiler/ir/evaluate.h"
#include "compiler/ir/kernel_traits.h"
#include "compiler/ir/text.h"
#include "passes/passes.h"
#include "tests/passes/random_graphs.h"

namespace sylvite {
namespace {

constexpr double kTolerance = 2e-5;

// One layer of self-attention over a past, and of cross-attention over a source; 2 heads of 4.
constexpr const char *kDecoder = R"(graph decoder (
    x: f32[batch, 1, 8],
    keys: f32[batch, 2, past, 4],
    values: f32[batch, 2, past, 4],
    source: f32[batch, 2, length, 4]) {
  symbol batch in [1, inf)
  symbol length in [1, inf)
  symbol past in [0, inf)
  heads = reshape(x) {shape = [batch, 1, 2, 4]}
  q = transpose(heads) {perm = (0, 2, 1, 3)}
  new_k = neg(q)
  new_v = abs(q)
  all_k = concat(keys, new_k) {axis = 2} @ "join_keys"
  all_v = concat(values, new_v) {axis = 2} @ "join_values"
  turned = transpose(all_k) {perm = (0, 1, 3, 2)}
  scores = matmul(q, turned)
  p = softmax(scores) {axis = 3}
  seen = matmul(p, all_v)
  source_turned = transpose(source) {perm = (0, 1, 3, 2)}
  cross_scores = matmul(seen, source_turned)
  cross_p = softmax(cross_scores) {axis = 3}
  answer = matmul(cross_p, source)
  back = transpose(answer) {perm = (0, 2, 1, 3)}
  logits = reshape(back) {shape = [batch, 1, 8]}
  return logits, all_k as new_keys, all_v as new_values
}
)";

Tensor random_tensor(const std::vector<int64_t> &shape, int seed) {
  Tensor tensor(DType::F32, shape);
  for (int64_t i = 0; i < tensor.count(); ++i) {
    tensor.set(i, static_cast<double>((i * 37 + seed * 101) % 23) / 11.0 - 1);
  }
  return tensor;
}

// The past [batch, heads, past, size] in blocks, in an order of no meaning.
struct Pool {
  Tensor blocks, table;
};
Pool pool_of(const Tensor &past) {
  const int64_t batch = past.shape()[0], heads = past.shape()[1], length = past.shape()[2],
                size = past.shape()[3];
  const int64_t columns = length / kCacheBlock + 1, count = batch * columns + 3;
  Pool pool{random_tensor({count, heads, kCacheBlock, size}, 5),
            Tensor(DType::I32, {batch, columns})};
  for (int64_t b = 0; b < batch; ++b) {
    for (int64_t column = 0; column < columns; ++column) {
      const int64_t block = count - 1 - (b * columns + column);
      pool.table.set_int(b * columns + column, block);
      for (int64_t head = 0; head < heads; ++head) {
        for (int64_t at = 0; at < kCacheBlock && column * kCacheBlock + at < length; ++at) {
          for (int64_t i = 0; i < size; ++i) {
            const int64_t from =
                ((b * heads + head) * length + column * kCacheBlock + at) * size + i;
            pool.blocks.set(((block * heads + head) * kCacheBlock + at) * size + i, past.at(from));
          }
        }
      }
    }
  }
  return pool;
}

// The tensors in the order of the graph's inputs.
std::vector<Tensor> ordered(const Graph &graph, const std::map<std::string, Tensor> &tensors) {
  std::vector<Tensor> inputs;
  for (const Value *input : graph.inputs()) {
    inputs.push_back(tensors.at(input->name));
  }
  return inputs;
}

struct Step : testing::TestWithParam<int64_t> {
  void make(int64_t past) {
    const int64_t batch = 3, length = 5;
    tensors = {{"x", random_tensor({batch, 1, 8}, 1)},
               {"keys", random_tensor({batch, 2, past, 4}, 2)},
               {"values", random_tensor({batch, 2, past, 4}, 3)},
               {"source", random_tensor({batch, 2, length, 4}, 4)}};
    expected = evaluate(*graph, ordered(*graph, tensors))[0];
    const Pool keys = pool_of(tensors.at("keys")), values = pool_of(tensors.at("values"));
    tensors.at("keys") = keys.blocks;
    tensors.at("values") = values.blocks;
    tensors[kCacheTable] = keys.table;
    tensors[kCachePast] = Tensor(DType::Bool, {past});
  }

  std::unique_ptr<Graph> graph = parse_graph(kDecoder);
  std::map<std::string, Tensor> tensors;
  Tensor expected;
};

TEST_P(Step, KeepsItsPastInBlocks) {
  make(GetParam());
  keep_caches(*graph, {{"keys", "new_keys"}, {"values", "new_values"}});
  verify(*graph);
  ASSERT_EQ(graph->output_count(), 1U);
  const std::vector<Tensor> inputs = ordered(*graph, tensors);
  EXPECT_LE(largest_difference(evaluate(*graph, inputs), {expected}), kTolerance) << print(*graph);
  run_pipeline(*graph);
  EXPECT_LE(largest_difference(evaluate(*graph, inputs), {expected}), kTolerance) << print(*graph);
  // Both attentions are kernels that read the blocks themselves: nothing is gathered before.
  EXPECT_EQ(count_fusions(*graph).attention, 2);
}

TEST_P(Step, PicksSourcesByRow) {
  make(GetParam());
  keep_caches(*graph, {{"keys", "new_keys"}, {"values", "new_values"}});
  ASSERT_TRUE(pick_sources(*graph, {"source"}, Dim::symbol("batch")));
  verify(*graph);
  // Rows 2, 0, 0 of three sources are what the plain graph would be given as its rows.
  const std::vector<int64_t> rows = {2, 0, 0};
  const Tensor sources = tensors.at("source");
  Tensor picked(DType::F32, sources.shape());
  const int64_t row_size = sources.count() / 3;
  for (int64_t i = 0; i < picked.count(); ++i) {
    picked.set(i, sources.at(rows[static_cast<size_t>(i / row_size)] * row_size + i % row_size));
  }
  const std::unique_ptr<Graph> plain = parse_graph(kDecoder);
  keep_caches(*plain, {{"keys", "new_keys"}, {"values", "new_values"}});
  std::map<std::string, Tensor> given = tensors;
  given.at("source") = picked;
  const std::vector<Tensor> wanted = evaluate(*plain, ordered(*plain, given));
  tensors[kSourceRows] = Tensor::of<int64_t>(DType::I32, {3}, rows);
  run_pipeline(*graph);
  EXPECT_LE(largest_difference(evaluate(*graph, ordered(*graph, tensors)), wanted), kTolerance);
}

INSTANTIATE_TEST_SUITE_P(Pasts, Step, testing::Values(0, 1, 15, 16, 17, 40));

std::string error_of(const std::string &text, const std::vector<CachePair> &caches) {
  try {
    keep_caches(*parse_graph(text), caches);
    return "no error";
  } catch (const ModelError &error) {
    return error.what();
  }
}

TEST(Caches, MustBelongTogether) {
  EXPECT_EQ(
      error_of(kDecoder, {{"keys", "new_values"}}),
      "output 'new_values' is not input 'keys' with new rows behind it; only caches that grow "
      "so are supported");
  EXPECT_EQ(error_of(kDecoder, {{"keys", "presents"}}),
            "there is no output 'presents' for the past 'keys'");
  EXPECT_EQ(error_of(kDecoder, {{"kyes", "new_keys"}}), "there is no input 'kyes'");
}

TEST(Caches, RowsThatAreNoRowsCannotBePicked) {
  const std::unique_ptr<Graph> graph = parse_graph(R"(graph g (x: f32[batch*2, 4]) {
  symbol batch in [1, inf)
  y = neg(x)
  return y
}
)");
  const std::string before = print(*graph);
  EXPECT_FALSE(pick_sources(*graph, {"x"}, Dim::symbol("batch")));
  EXPECT_EQ(print(*graph), before);
}

TEST(Scores, OfOnePosition) {
  constexpr const char *kText = R"(graph g (x: f64[batch, 3, 4]) {
  symbol batch in [1, inf)
  y = neg(x)
  return y
}
)";
  const Tensor x = random_tensor({2, 3, 4}, 9).converted(DType::F64);
  for (const bool last : {true, false}) {
    const std::unique_ptr<Graph> graph = parse_graph(kText);
    keep_scores_of_one(*graph, "y", last);
    std::vector<Tensor> inputs = {x};
    if (!last) {
      inputs.push_back(Tensor::of<int64_t>(DType::I32, {1}, {1}));
    }
    const Tensor y = evaluate(*graph, inputs)[0];
    ASSERT_EQ(y.shape(), (std::vector<int64_t>{2, 4}));
    EXPECT_EQ(y.dtype(), DType::F32);
    EXPECT_FLOAT_EQ(static_cast<float>(y.at(5)),
                    static_cast<float>(-x.at((1 * 3 + (last ? 2 : 1)) * 4 + 1)));
  }
}

TEST(Split, IsTheWholeAgain) {
  const std::unique_ptr<Graph> whole = parse_graph(R"(graph g (
    src: f32[batch, m, 4], keep: bool[batch, m], tgt: f32[batch, n, 4]) {
  symbol batch in [1, inf)
  symbol m in [1, inf)
  symbol n in [1, inf)
  memory = neg(src)
  k = abs(memory)
  turned = transpose(k) {perm = (0, 2, 1)}
  scores = matmul(tgt, turned)
  mask = reshape(keep) {shape = [batch, 1, m]}
  wide = expand(mask) {shape = [batch, n, m]}
  low = constant {value = f32[] (-100)}
  masked = where(wide, scores, low)
  p = softmax(masked) {axis = 2}
  y = matmul(p, memory)
  return y as out
}
)");
  SplitGraph split = split_at_sources(*whole, {"src", "keep"});
  verify(*split.encode);
  verify(*split.step);
  // The keys' transpose is the last thing that the source alone decides; the mask is cut before it
  // takes the target's length.
  std::map<std::string, Tensor> tensors = {{"src", random_tensor({2, 5, 4}, 1)},
                                           {"keep", Tensor(DType::Bool, {2, 5})},
                                           {"tgt", random_tensor({2, 3, 4}, 2)}};
  for (const int64_t i : {0, 1, 5, 7}) {
    tensors.at("keep").set_int(i, 1);
  }
  const std::vector<Tensor> expected = evaluate(*whole, ordered(*whole, tensors));
  const std::vector<Tensor> states = evaluate(*split.encode, ordered(*split.encode, tensors));
  ASSERT_EQ(states.size(), 3U) << print(*split.encode);
  for (size_t i = 0; i < states.size(); ++i) {
    tensors[split.encode->output_name(i)] = states[i];
  }
  EXPECT_EQ(split.links.size(), 3U);
  EXPECT_LE(largest_difference(evaluate(*split.step, ordered(*split.step, tensors)), expected), 0);
  EXPECT_EQ(find_input(*split.step, "src"), nullptr);
  EXPECT_EQ(find_input(*split.encode, "tgt"), nullptr);
}

// The source's length reaches step as a number alone; what is cut has no such axis.
TEST(Split, PassesOnAnInputForItsSize) {
  const std::unique_ptr<Graph> whole = parse_graph(R"(graph g (
    src: f32[batch, m, 4], tgt: f32[batch, n, 4]) {
  symbol batch in [1, inf)
  symbol m in [1, inf)
  symbol n in [1, inf)
  mean = reduce(src) {kind = "mean", axes = (1), keepdims = 1}
  one = constant {value = f32[] (1)}
  ones = expand(one) {shape = [m]}
  length = reduce(ones) {kind = "sum", axes = (0), keepdims = 0}
  moved = add(tgt, mean)
  y = mul(moved, length)
  return y as out
}
)");
  SplitGraph split = split_at_sources(*whole, {"src"});
  verify(*split.encode);
  verify(*split.step);
  EXPECT_EQ(split.links.at("src"), "src");
  std::map<std::string, Tensor> tensors = {{"src", random_tensor({2, 5, 4}, 1)},
                                           {"tgt", random_tensor({2, 3, 4}, 2)}};
  const std::vector<Tensor> expected = evaluate(*whole, ordered(*whole, tensors));
  tensors[split.encode->output_name(0)] =
      evaluate(*split.encode, ordered(*split.encode, tensors))[0];
  EXPECT_LE(largest_difference(evaluate(*split.step, ordered(*split.step, tensors)), expected), 0);
}

// Heads in the batch's axis: in which order they stand there nothing says, so rows could not be
// picked.
TEST(Split, CutsWhereTheBatchStandsAlone) {
  const std::unique_ptr<Graph> whole = parse_graph(R"(graph g (
    src: f32[batch, m, 4], tgt: f32[batch, m, 4]) {
  symbol batch in [1, inf)
  symbol m in [1, inf)
  memory = neg(src)
  apart = reshape(memory) {shape = [batch, m, 2, 2]}
  first = transpose(apart) {perm = (2, 0, 1, 3)}
  heads = reshape(first) {shape = [2 * batch, m, 2]}
  keys = abs(heads)
  tgt_apart = reshape(tgt) {shape = [batch, m, 2, 2]}
  tgt_first = transpose(tgt_apart) {perm = (2, 0, 1, 3)}
  tgt_heads = reshape(tgt_first) {shape = [2 * batch, m, 2]}
  y = mul(tgt_heads, keys)
  return y as out
}
)");
  SplitGraph split = split_at_sources(*whole, {"src"});
  verify(*split.encode);
  verify(*split.step);
  ASSERT_EQ(split.encode->output_count(), 1U);
  EXPECT_EQ(to_string(split.encode->output(0)->type), "f32[2, batch, m, 2]");
  std::map<std::string, Tensor> tensors = {{"src", random_tensor({3, 5, 4}, 1)},
                                           {"tgt", random_tensor({3, 5, 4}, 2)}};
  const std::vector<Tensor> expected = evaluate(*whole, ordered(*whole, tensors));
  tensors[split.encode->output_name(0)] =
      evaluate(*split.encode, ordered(*split.encode, tensors))[0];
  EXPECT_LE(largest_difference(evaluate(*split.step, ordered(*split.step, tensors)), expected), 0);
}

// A frozen batch: which axis it is nothing says, but of the tokens.
TEST(Split, LeavesAFrozenBatchWhole) {
  const std::unique_ptr<Graph> whole = parse_graph(R"(graph g (
    src: f32[4, 4, 4], tgt: f32[4, n, 4]) {
  symbol n in [1, inf)
  memory = neg(src)
  turned = transpose(memory) {perm = (1, 0, 2)}
  y = matmul(tgt, turned)
  return y as out
}
)");
  SplitGraph split = split_at_sources(*whole, {"src"});
  verify(*split.step);
  EXPECT_EQ(split.encode->output_count(), 0U);
  EXPECT_EQ(split.links, (std::map<std::string, std::string>{{"src", "src"}}));
}

TEST(Compose, APartIsBoundByName) {
  const std::unique_ptr<Graph> into = parse_graph(R"(graph a (x: f32[n, 4]) {
  symbol n in [1, inf)
  y = neg(x)
  return y
}
)");
  const std::unique_ptr<Graph> part =
      parse_graph(R"(graph b (hidden: f32[m, 4], n_is_mine: f32[n, 1]) {
  symbol m in [1, inf)
  symbol n in [2, 9]
  wide = expand(n_is_mine) {shape = [n, 4]}
  z = abs(hidden)
  return z, wide
}
)");
  const std::map<std::string, Value *> outputs =
      add_part(*into, *part, {{"hidden", into->output(0)}});
  into->add_output("z", outputs.at("z"));
  into->add_output("wide", outputs.at("wide"));
  verify(*into);
  EXPECT_EQ(to_string(outputs.at("z")->type), "f32[n, 4]");
  EXPECT_EQ(to_string(outputs.at("wide")->type), "f32[n_2, 4]");
  const Tensor x = random_tensor({3, 4}, 1);
  const std::vector<Tensor> values = evaluate(*into, {x, random_tensor({5, 1}, 2)});
  EXPECT_EQ(values[1].at(7), std::abs(x.at(7)));
}

TEST(Compose, NewNamesAreFreeInBoth) {
  const std::unique_ptr<Graph> into = parse_graph(R"(graph a (x: f32[n, n_2_]) {
  symbol n in [1, inf)
  symbol n_2_ in [1, inf)
  y = neg(x)
  return y
}
)");
  const std::unique_ptr<Graph> part = parse_graph(R"(graph b (h: f32[n, n_2]) {
  symbol n in [1, inf)
  symbol n_2 in [1, inf)
  z = abs(h)
  return z
}
)");
  into->add_output("z", add_part(*into, *part, {}).at("z"));
  verify(*into);
  EXPECT_EQ(into->symbols.all().size(), 4U);
  const std::vector<Tensor> values =
      evaluate(*into, {random_tensor({2, 3}, 1), random_tensor({4, 5}, 2)});
  EXPECT_EQ(values[1].shape(), (std::vector<int64_t>{4, 5}));
}

TEST(Compose, RangesOfThePartBecomeGuards) {
  const std::unique_ptr<Graph> into = parse_graph(
      "graph a (x: f32[n, 4]) {\n  symbol n in [1, inf)\n  y = neg(x)\n  return y\n}\n");
  const std::unique_ptr<Graph> part =
      parse_graph("graph b (h: f32[m, 4]) {\n  symbol m in [1, 64]\n  z = abs(h)\n  return z\n}\n");
  add_part(*into, *part, {{"h", into->output(0)}});
  ASSERT_EQ(into->guards.size(), 1U);
  EXPECT_EQ(into->guards[0].left.str(), "min(64, n)");
  EXPECT_EQ(into->guards[0].right.str(), "n");
  EXPECT_EQ(into->guards[0].reason, "axis 0 of 'h'");
}

TEST(Compose, SizesThatCannotAgree) {
  const std::unique_ptr<Graph> into =
      parse_graph("graph a (x: f32[4]) {\n  y = neg(x)\n  return y\n}\n");
  const std::unique_ptr<Graph> part =
      parse_graph("graph b (h: f32[5]) {\n  z = abs(h)\n  return z\n}\n");
  EXPECT_THROW(add_part(*into, *part, {{"h", into->output(0)}}), ModelError);
}

}  // namespace
}  // namespace sylvite
