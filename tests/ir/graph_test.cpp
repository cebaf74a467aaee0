#include "compiler/ir/graph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "compiler/ir/error.h"
#include "compiler/ir/kernel_traits.h"
#include "compiler/ir/text.h"

namespace sylvite {
namespace {

using testing::HasSubstr;

Value *find(const Graph &graph, const std::string &name) {
  for (Value *input : graph.inputs()) {
    if (input->name == name) {
      return input;
    }
  }
  for (const std::unique_ptr<Node> &node : graph.nodes()) {
    for (const std::unique_ptr<Value> &value : node->outputs) {
      if (value->name == name) {
        return value.get();
      }
    }
  }
  return nullptr;
}

std::string text_of(const Graph &graph) {
  return print(graph, {.types = false});
}

TEST(Ops, TableIsComplete) {
  int count = 0;
#define OP(kind, text, min_inputs, max_inputs, outputs, op_class) \
  EXPECT_EQ(parse_op(#text), Op::kind);                           \
  EXPECT_STREQ(name_of(Op::kind), #text);                         \
  EXPECT_EQ(class_of(Op::kind), OpClass::op_class);               \
  ++count;
#include "compiler/ir/ops.def"
#undef OP
  EXPECT_GT(count, 50);
  EXPECT_EQ(parse_op("no_such_op"), std::nullopt);
}

TEST(Attributes, GettersCheck) {
  const Attributes attributes{{"axis", int64_t{1}}, {"kind", std::string("sum")}};
  EXPECT_EQ(attributes.integer("axis"), 1);
  EXPECT_EQ(attributes.integer_or("other", 7), 7);
  EXPECT_EQ(attributes.text("kind"), "sum");
  EXPECT_THROW(attributes.integer("other"), InternalError);
  EXPECT_THROW(attributes.real("axis"), InternalError);
}

TEST(Attributes, CompareTensorsByContent) {
  const auto tensor = [](float value) {
    return std::make_shared<const Tensor>(Tensor::of<float>(DType::F32, {1}, {value}));
  };
  EXPECT_EQ((Attributes{{"value", tensor(1)}}), (Attributes{{"value", tensor(1)}}));
  EXPECT_FALSE((Attributes{{"value", tensor(1)}}) == (Attributes{{"value", tensor(2)}}));
  EXPECT_EQ((Attributes{{"x", std::nan("")}}), (Attributes{{"x", std::nan("")}}));
  EXPECT_FALSE((Attributes{{"x", 0.0}}) == (Attributes{{"x", -0.0}}));
}

TEST(Graph, KeepsUsesExact) {
  const auto graph = parse_graph("graph (x: f32[2]) { y = mul(x, x) z = add(y, x) return z }");
  Value *x = graph->inputs()[0];
  Node *multiply = find(*graph, "y")->producer;
  Node *sum = find(*graph, "z")->producer;
  EXPECT_THAT(x->users, testing::ElementsAre(multiply, multiply, sum));
  graph->replace_input(multiply, 1, multiply->input(0));
  EXPECT_EQ(x->users.size(), 3u);
  graph->replace_input(sum, 0, x);
  EXPECT_TRUE(multiply->output()->users.empty());
  graph->erase(multiply);
  EXPECT_THAT(x->users, testing::ElementsAre(sum, sum));
  verify(*graph);
}

TEST(Graph, ReplacesUsesAndOutputs) {
  const auto graph =
      parse_graph("graph (x: f32[2]) { y = neg(x) z = mul(y, y) w = abs(x) return z, y as out }");
  graph->replace_uses(find(*graph, "y"), find(*graph, "w"));
  graph->sort();
  graph->remove_dead();
  verify(*graph);
  EXPECT_EQ(text_of(*graph), R"(graph (x: f32[2]) {
  w = abs(x)
  z = mul(w, w)
  return z, w as out
}
)");
}

TEST(Graph, ReplacementMustHaveTheSameType) {
  const auto graph = parse_graph("graph (x: f32[2], y: f32[3]) { z = neg(x) return z }");
  EXPECT_THROW(graph->replace_uses(graph->inputs()[0], graph->inputs()[1]), InternalError);
}

TEST(Graph, ErasesOnlyWhatIsUnused) {
  const auto graph = parse_graph("graph (x: f32[2]) { y = neg(x) z = neg(y) return z }");
  EXPECT_THROW(graph->erase(find(*graph, "y")->producer), InternalError);
  EXPECT_THROW(graph->erase(find(*graph, "z")->producer), InternalError);
}

TEST(Graph, ErasesInputs) {
  const auto graph =
      parse_graph("graph (x: f32[2], y: f32[2], z: f32[2]) { w = add(x, z) return w }");
  EXPECT_THROW(graph->erase_input(graph->inputs()[0]), InternalError);
  graph->erase_input(graph->inputs()[1]);
  ASSERT_EQ(graph->inputs().size(), 2u);
  EXPECT_EQ(graph->inputs()[1]->name, "z");
  verify(*graph);
}

TEST(Graph, InsertsBefore) {
  const auto graph = parse_graph("graph (x: f32[2]) { y = neg(x) return y }");
  Node *negate = find(*graph, "y")->producer;
  Node *added = graph->add(Op::Abs, {graph->inputs()[0]}, {}, {"source"}, negate);
  graph->replace_input(negate, 0, added->output());
  verify(*graph);
  EXPECT_EQ(text_of(*graph), R"(graph (x: f32[2]) {
  abs = abs(x) @ "source"
  y = neg(abs)
  return y
}
)");
}

TEST(Graph, FailedNodeLeavesNoTrace) {
  const auto graph = parse_graph("graph (x: f32[2], y: f32[3]) { return x }");
  EXPECT_THROW(graph->add(Op::Add, {graph->inputs()[0], graph->inputs()[1]}), ModelError);
  EXPECT_TRUE(graph->nodes().empty());
  EXPECT_TRUE(graph->inputs()[0]->users.empty());
  verify(*graph);
}

TEST(Graph, SortKeepsTheOrderWhereItCan) {
  const auto graph = parse_graph(
      "graph (x: f32[2]) { a = neg(x) b = abs(x) c = exp(b) d = tanh(x) return a, c, d }");
  // a now reads c, which stands later.
  graph->replace_input(find(*graph, "a")->producer, 0, find(*graph, "c"));
  EXPECT_THROW(verify(*graph), InternalError);
  graph->sort();
  verify(*graph);
  EXPECT_EQ(text_of(*graph), R"(graph (x: f32[2]) {
  b = abs(x)
  c = exp(b)
  a = neg(c)
  d = tanh(x)
  return a, c, d
}
)");
}

TEST(Graph, SortFindsCycles) {
  const auto graph = parse_graph("graph (x: f32[2]) { a = neg(x) b = abs(a) return b }");
  graph->replace_input(find(*graph, "a")->producer, 0, find(*graph, "b"));
  EXPECT_THROW(graph->sort(), InternalError);
}

TEST(Graph, RemovesDeadNodesInRegionsToo) {
  const auto graph = parse_graph(R"(graph (x: f32[2]) {
    unused = neg(x)
    also = neg(unused)
    y = kernel(x) {root = none} [graph (p: f32[2]) { q = neg(p) r = abs(p) return r }]
    return y
  })");
  EXPECT_TRUE(graph->remove_dead());
  EXPECT_FALSE(graph->remove_dead());
  verify(*graph);
  EXPECT_EQ(text_of(*graph), R"(graph (x: f32[2]) {
  y = kernel(x) {root = none} [
    graph (p: f32[2]) {
      r = abs(p)
      return r
    }
  ]
  return y
}
)");
}

TEST(Graph, SubstitutesASymbolEverywhere) {
  const auto graph = parse_graph(R"(graph (x: f32[n, m], y: f32[n*2]) {
    s = dim_values {values = [n, m], shape = (2), dtype = i64}
    r = reshape(x) {shape = [n*m]}
    k = kernel(r) {root = none} [graph (p: f32[m*n]) { q = neg(p) return q }]
    return k, s
  })");
  graph->guards.push_back({Dim::symbol("n") * 2, Dim::symbol("m"), "because"});
  graph->guards.push_back({Dim::symbol("n") + 1, Dim(5), "because"});
  graph->substitute_symbol("n", 4);
  verify(*graph);
  const std::string text = text_of(*graph);
  EXPECT_EQ(text.find("n*"), std::string::npos) << text;
  EXPECT_THAT(text, HasSubstr("x: f32[4, m], y: f32[8]"));
  EXPECT_THAT(text, HasSubstr("values = [4, m]"));
  EXPECT_THAT(text, HasSubstr("p: f32[m*4]"));
  ASSERT_EQ(graph->guards.size(), 1u);
  EXPECT_EQ(graph->guards[0].left, Dim(8));
  EXPECT_EQ(graph->symbols.find("n"), nullptr);
  EXPECT_EQ((*find(*graph, "s")->host)[0], Dim(4));
}

TEST(Graph, CloneIsEqualAndIndependent) {
  const auto graph = parse_graph(R"(graph g (x: f32[n]) {
    w = constant {value = f32[] (2)}
    y = kernel(x, w) {root = none} [graph (p: f32[n], q: f32[]) { r = mul(p, q) return r }]
    return y, x as same
  })");
  const std::unique_ptr<Graph> copy = graph->clone();
  verify(*copy);
  EXPECT_EQ(print(*copy), print(*graph));
  graph->substitute_symbol("n", 3);
  EXPECT_THAT(print(*copy), HasSubstr("x: f32[n]"));
}

// Chains and fans of a hundred thousand nodes: no recursion over depth, nothing quadratic.
TEST(Graph, LargeGraphs) {
  Graph graph;
  Value *x = graph.add_input("x", {DType::F32, {4}});
  Value *one = graph.add_constant(Tensor::of<float>(DType::F32, {}, {1}), "one");
  Value *value = x;
  constexpr int kNodes = 100000;
  for (int i = 0; i < kNodes; ++i) {
    value = graph.add(Op::Add, {value, one})->output();
  }
  graph.add_output("y", value);
  EXPECT_EQ(one->users.size(), static_cast<size_t>(kNodes));
  graph.sort();
  verify(graph);
  const auto copy = graph.clone();
  EXPECT_EQ(parse_graph(print(*copy))->nodes().size(), static_cast<size_t>(kNodes) + 1);
  graph.clear_outputs();
  graph.add_output("y", x);
  EXPECT_TRUE(graph.remove_dead());
  EXPECT_TRUE(graph.nodes().empty());
}

TEST(KernelTraits, RootOfARegion) {
  const auto graph = parse_graph(R"(graph (x: f32[2, 4]) {
    y = kernel(x) {root = softmax} [graph (p: f32[2, 4]) { q = neg(p) r = softmax(q) {axis = 1} return r }]
    z = kernel(y) {root = none} [graph (p: f32[2, 4]) { q = neg(p) return q }]
    return z
  })");
  EXPECT_EQ(root_of(*find(*graph, "y")->producer->regions[0])->op, Op::Softmax);
  EXPECT_EQ(root_of(*find(*graph, "z")->producer->regions[0]), nullptr);
  EXPECT_TRUE(kernel_traits(Op::LayerNorm).extra_first_operand_output);
  EXPECT_FALSE(kernel_traits(Op::MatMul).elementwise_prologue);
  EXPECT_FALSE(kernel_traits(Op::TopK).elementwise_epilogue);
}

}  // namespace
}  // namespace sylvite
