#include "compiler/ir/text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <set>
#include <sstream>

#include "compiler/ir/error.h"

namespace sylvite {
namespace {

using testing::HasSubstr;

// Every op once, with all of its attributes.
constexpr const char *kEveryOp =
    R"(graph "every op" (x: f32[batch, length, 8], y: f32[batch, length, 8], i: i64[batch, length],
    b: bool[batch, length, 8], w: f32[8, 16], panels: f32[1, 8, 16], image: f32[batch, 3, h, 32],
    filter: f32[4, 3, 5, 5], scale: f32[8], at: i64[batch, 2], updates: f32[batch, 8], "odd name": f32[],
    blocks: f32[16, 2, 16, 8], table: i32[batch, 4], rows: f32[batch, 2, length, 8],
    flag: bool[], count: i64[2] = [count_0, count_1]) {
  symbol batch in [1, inf)
  symbol length in [2, 512]
  symbol h in [16, inf)
  symbol found in [0, 100] data
  symbol turn in [0, inf) data
  guard h == length*2 "they say so, \"all\" of them\nand more"
  warning "size 'h' is odd"
  near_miss "attention" "/layer/MatMul" "the scores are read twice"
  constant = constant {value = f32[2, 2] (1.5, -0, inf, nan)}
  small = constant {value = i8[3] (-1, 0, 127)}
  wide = constant {value = u64[1] (18446744073709551615)}
  flags = constant {value = bool[2] (0, 1)}
  halves = constant {value = f16[2] (0.333251953125, -2)}
  brains = constant {value = bf16[2] (0.33203125, 1e+10)}
  doubles = constant {value = f64[1] (0.1)}
  none = constant {value = f32[0, 3] ()}
  iota = iota {start = [0], step = [2], count = [length], dtype = i64}
  dims = dim_values {values = [batch, length*2, 3], shape = (3), dtype = i64}
  neg = neg(x)
  abs = abs(x)
  sign = sign(x)
  floor = floor(x)
  ceil = ceil(x)
  round = round(x)
  sqrt = sqrt(x)
  exp = exp(x)
  log = log(x)
  erf = erf(x)
  tanh = tanh(x)
  sin = sin(x)
  cos = cos(x)
  not = not(b)
  is_nan = is_nan(x)
  is_inf = is_inf(x) {negative = 0, positive = 1}
  cast = cast(x) {to = f16}
  add = add(x, y)
  sub = sub(x, y)
  mul = mul(x, "odd name")
  div = div(x, y)
  mod = mod(x, y) {fmod = 1}
  pow = pow(x, y)
  min = min(x, y)
  max = max(x, y)
  equal = equal(x, y)
  less = less(x, y)
  less_equal = less_equal(x, y)
  and = and(b, b)
  or = or(b, b)
  xor = xor(b, b)
  where = where(b, x, y)
  reshape = reshape(x) {shape = [batch*length, 8]}
  transpose = transpose(x) {perm = (2, 0, 1)}
  expand = expand(scale) {shape = [batch, 8]}
  slice = slice(x) {starts = [0, 1, 7], sizes = [batch, length - 1, 4], steps = (1, 1, -2)}
  concat = concat(x, y, x) {axis = 1}
  pad = pad(x, "odd name") {before = [0, 1, 0], after = [0, length, 0], mode = constant}
  gather = gather(w, i) {axis = 0}
  gather_elements = gather_elements(i, i) {axis = 1}
  gather_nd = gather_nd(x, at) {batch_dims = 0}
  matmul = matmul(x, w)
  scores = matmul(x, y) {transpose_b = 1}
  matmul_panels = matmul_panels(x, panels) {n = 12}
  conv = conv(image, filter) {strides = (2, 2), pads = (0, 1, 2, 3), dilations = (1, 2), group = 1}
  pool = pool(image) {kind = average, kernel = (3, 3), strides = (2, 2), pads = (1, 1, 1, 1), dilations = (1, 1), count_include_pad = 1}
  reduce = reduce(x) {kind = mean, axes = (1, 2), keepdims = 1}
  arg_reduce = arg_reduce(x) {kind = max, axis = 2, keepdims = 0, last = 1}
  cumsum = cumsum(x) {axis = 1, exclusive = 1, reverse = 0}
  softmax = softmax(x) {axis = 2}
  layer_norm = layer_norm(x, scale, scale) {axis = 2, epsilon = 1e-05, rms = 0, variance_factor = 2.0, outer_epsilon = 0.5}
  attention = attention(x, y, y, "odd name") [
    graph (s: f32[batch, length, length], m: f32[]) { t = mul(s, m) return t },
    graph (p: f32[batch, length, length], m: f32[]) { return p }
  ] @ "/layer.0/MatMul", "/layer.0/Softmax"
  best, places = topk(x) {axis = 2, k = [3], largest = 1, sorted = 1}
  scatter_nd = scatter_nd(x, at, updates) {reduction = add}
  scatter_elements = scatter_elements(i, i, i) {axis = 0, reduction = none}
  append = append(blocks, table, rows) {past = [3]}
  if = if(flag, x) [
    graph (p: f32[batch, length, 8]) { q = neg(p) return q },
    graph (p: f32[batch, length, 8]) { return p }
  ]
  loop, heads = loop(x, y) {carried = 1, iteration = turn, trip = [length]} [
    graph (p: f32[batch, length + turn, 8], q: f32[batch, length, 8]) {
      one = slice(q) {starts = [0, 0, 0], sizes = [batch, 1, 8], steps = (1, 1, 1)}
      r = concat(p, one) {axis = 1}
      return r, one
    }
  ]
  kernel, also = kernel(x, scale) {root = layer_norm, note = "two words", like = f32, cost = 2.0, word = "f32"} [
    graph (p: f32[batch, length, 8], q: f32[8]) {
      r = neg(p)
      n = layer_norm(r, q) {axis = 2, epsilon = 0.5}
      e = exp(n)
      return e, r
    }
  ]
  return attention as "log its", kernel, x, "odd name"
})";

TEST(Text, EveryOpMakesTheRoundTrip) {
  const auto graph = parse_graph(kEveryOp);
  verify(*graph);
  std::set<Op> seen;
  for (const auto &node : graph->nodes()) {
    seen.insert(node->op);
  }
#define OP(kind, text, min_inputs, max_inputs, outputs, op_class) \
  EXPECT_EQ(seen.count(Op::kind), 1u) << #text;
#include "compiler/ir/ops.def"
#undef OP
  const std::string text = print(*graph);
  const auto again = parse_graph(text);
  verify(*again);
  EXPECT_EQ(print(*again), text);
  // What the text does not show is equal too.
  ASSERT_EQ(again->nodes().size(), graph->nodes().size());
  auto other = again->nodes().begin();
  for (const auto &node : graph->nodes()) {
    EXPECT_TRUE(node->attributes == (*other)->attributes) << describe(*node);
    EXPECT_EQ(node->sources, (*other)->sources);
    EXPECT_EQ(node->output()->type, (*other)->output()->type);
    EXPECT_EQ(node->output()->host, (*other)->output()->host);
    ++other;
  }
  EXPECT_EQ(again->guards.size(), graph->guards.size());
  EXPECT_EQ(again->guards[0].reason, "they say so, \"all\" of them\nand more");
  EXPECT_EQ(again->symbols.find("length")->upper, 512);
  EXPECT_EQ(again->symbols.find("found")->kind, SymbolKind::Data);
  EXPECT_EQ(again->output_name(0), "log its");
  EXPECT_EQ(again->name, "every op");
}

TEST(Text, PrintsAsDocumented) {
  const auto graph = parse_graph(R"(
    graph g (x: f32[n, 2]) {  // n has no line of its own: at least 1
      w = constant {value = f32[2, 2] (1, 2, 3, 4)}
      y = matmul(x, w) @ "/MatMul"
      return y as logits
    })");
  EXPECT_EQ(print(*graph), R"(graph g (x: f32[n, 2]) {
  symbol n in [1, inf)
  w = constant {value = f32[2, 2] (1, 2, 3, 4)}  // f32[2, 2]
  y = matmul(x, w) @ "/MatMul"  // f32[n, 2]
  return y as logits
}
)");
  EXPECT_EQ(print(*graph, {.sources = false, .types = false}), R"(graph g (x: f32[n, 2]) {
  symbol n in [1, inf)
  w = constant {value = f32[2, 2] (1, 2, 3, 4)}
  y = matmul(x, w)
  return y as logits
}
)");
}

TEST(Text, NamesAreReadableAndUnique) {
  Graph graph;
  Value *x = graph.add_input("x", {DType::F32, {2}});
  Value *a = graph.add(Op::Neg, {x})->output();
  Value *b = graph.add(Op::Neg, {a})->output();
  Value *c = graph.add(Op::Neg, {b})->output();
  Value *d = graph.add(Op::Neg, {c})->output();
  Value *e = graph.add(Op::Neg, {d})->output();
  a->name = "/encoder/layer.0/MatMul_output_0";
  c->name = "x";
  d->name = "return";
  e->name = "3";
  graph.add_output("x", e);
  const std::string text = print(graph, {.types = false});
  EXPECT_EQ(text, R"(graph (x: f32[2]) {
  encoder_layer.0_MatMul_output_0 = neg(x)
  neg = neg(encoder_layer.0_MatMul_output_0)
  x_2 = neg(neg)
  "return" = neg(x_2)
  v3 = neg("return")
  return v3 as x
}
)");
  EXPECT_EQ(print(*parse_graph(text), {.types = false}), text);
}

TEST(Text, LargeConstantsPrintAsAHash) {
  Graph graph;
  const auto add = [&](float last) {
    std::vector<float> values(100, 1.0f);
    values.back() = last;
    return graph.add_constant(Tensor::of<float>(DType::F32, {100}, values));
  };
  graph.add_output("a", add(1));
  graph.add_output("b", add(2));
  const std::string text = print(graph);
  EXPECT_THAT(text, HasSubstr("f32[100] #"));
  EXPECT_NE(text.substr(text.find('#'), 17), text.substr(text.rfind('#'), 17));
  EXPECT_THROW(parse_graph(text), ModelError);
  const std::string whole = print(graph, {.max_constant_elements = 100});
  EXPECT_EQ(print(*parse_graph(whole), {.max_constant_elements = 100}), whole);
}

TEST(Text, FloatsKeepTheirBits) {
  Graph graph;
  const std::vector<double> values{0.1f,   1e-45f, 3.4028234663852886e38f, 16777217, -0.0, 1.0f / 3,
                                   5e-324, 0.1};
  graph.add_constant(Tensor::of<double>(DType::F32, {8}, values));
  graph.add_constant(Tensor::of<double>(DType::F64, {8}, values));
  graph.add_constant(Tensor::of<double>(DType::F16, {8}, values));
  graph.add_constant(Tensor::of<double>(DType::BF16, {8}, values));
  const auto again = parse_graph(print(graph));
  auto other = again->nodes().begin();
  for (const auto &node : graph.nodes()) {
    EXPECT_TRUE(
        same_tensor(*node->attributes.tensor("value"), *(*other++)->attributes.tensor("value")))
        << print(graph);
  }
}

// docs/ir.md is the reference of the text form: it names every op.
TEST(Text, DocumentationNamesEveryOp) {
  std::ifstream file(SYLVITE_SOURCE_DIR "/docs/ir.md");
  std::stringstream page;
  page << file.rdbuf();
#define OP(kind, text, min_inputs, max_inputs, outputs, op_class) \
  EXPECT_THAT(page.str(), HasSubstr("`" #text "`"));
#include "compiler/ir/ops.def"
#undef OP
}

struct Wrong {
  const char *text;
  const char *message;
};

TEST(Text, SaysWhatIsWrong) {
  const Wrong cases[] = {
      {"", "line 1, column 1: expected 'graph'"},
      {"graph (x: f32[2]) { return x } more", "column 32: expected the end of the text"},
      {"graph (x: f31[2]) { return x }", "column 11: unknown element type 'f31'"},
      {"graph (x: f32[2, ]) { return x }", "column 18: expected a number, a name"},
      {"graph (x: f32[2], x: f32[2]) { return x }", "column 19: 'x' stands twice"},
      {"graph (x: f32[2]) {\n  y = negg(x)\n  return y }", "line 2, column 7: unknown op 'negg'"},
      {"graph (x: f32[2]) {\n  y = neg(z)\n  return y }", "line 2, column 11: unknown value 'z'"},
      {"graph (x: f32[2]) {\n  x = neg(x)\n  return x }", "line 2, column 3: 'x' stands twice"},
      {"graph (x: f32[2]) { y = neg(x, x) return y }", "expected 1 inputs, got 2"},
      {"graph (x: f32[2]) { y = neg return y }", "expected '('"},
      {"graph (x: f32[2]) { y, z = neg(x) return y }", "'neg' has 1 results, 2 are named"},
      {"graph (x: f32[2]) { y = neg(x) {speed = 1} return y }", "no such attribute: 'speed'"},
      {"graph (x: f32[2]) { y = softmax(x) return y }", "has no attribute 'axis'"},
      {"graph (x: f32[2]) { y = softmax(x) {axis = 0.5} return y }",
       "attribute 'axis' must be an integer"},
      {"graph (x: f32[2]) { y = softmax(x) {axis = 0, axis = 0} return y }", "stands twice"},
      {"graph (x: f32[2]) { y = reshape(x) {shape = [k]} return y }", "size 'k' is not declared"},
      {"graph (x: f32[2]) { guard a == 2 \"\" return x }", "size 'a' is not declared"},
      {"graph (x: f32[n]) { symbol n in [1, 2) return x }", "expected ']'"},
      {"graph (x: f32[n]) { symbol n in [1, 2] symbol n in [1, 2] return x }", "declared twice"},
      {"graph (x: f32[2]) { y = neg(x)", "expected a result, 'return' or '}'"},
      {"graph (x: f32[2]) { return x as \"y }", "expected a closing quote"},
      {"graph () { y = constant {value = f32[2] (1)} return y }", "expected ','"},
      {"graph () { y = constant {value = f32[2] (1, a)} return y }",
       "expected a number, found 'a'"},
      {"graph () { y = constant {value = i64[1] (1.5)} return y }", "expected an integer"},
      {"graph () { y = constant {value = f32[99999999, 99999999] ()} return y }", "too large"},
      {"graph (x: f32[2]) { y = kernel(x) {root = none} [graph (p: f32[2]) { symbol n in [1, 2] "
       "return p }] return y }",
       "'symbol' stands in the outermost graph only"},
  };
  for (const Wrong &wrong : cases) {
    try {
      parse_graph(wrong.text);
      ADD_FAILURE() << "accepted: " << wrong.text;
    } catch (const ModelError &error) {
      EXPECT_THAT(error.what(), HasSubstr(wrong.message)) << wrong.text;
    }
  }
}

TEST(Text, RegionsNestOnlySoDeep) {
  std::string text;
  for (int i = 0; i < 1000; ++i) {
    text += "graph (x: f32[2]) { y = kernel(x) {root = none} [";
  }
  EXPECT_THROW(parse_graph(text), ModelError);
}

// Whatever is cut off or changed, the parser refuses it or makes a sound graph.
TEST(Text, DamagedTextsNeverCrash) {
  const std::string text = kEveryOp;
  for (size_t length = 0; length < text.size(); length += 7) {
    EXPECT_THROW(parse_graph(text.substr(0, length)), ModelError);
  }
  constexpr char kCharacters[] = "(){}[],.\"0-x#@=";
  for (size_t at = 0; at < text.size(); at += 5) {
    std::string changed = text;
    changed[at] = kCharacters[at % (sizeof(kCharacters) - 1)];
    try {
      verify(*parse_graph(changed));
    } catch (const ModelError &error) {
      EXPECT_STRNE(error.what(), "");
    }
  }
}

}  // namespace
}  // namespace sylvite
