// One canonical form: an encoder layer that is written in another way, and means the same, is the
// same text behind the passes, kernel for kernel and constant for constant.
//
// What varies is drawn at random: where the scale stands, the order of operands, how the mask, the
// norm and the activation are spelt, how heads are split, and what does nothing: casts to the same
// type, transposes and reshapes there and back, products with one.
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "compiler/ir/text.h"
#include "passes/passes.h"

namespace sylvite {
namespace {

class Speller {
 public:
  // Seed 0: the plain way.
  explicit Speller(uint32_t seed) : plain_(seed == 0), random_(seed) {}

  std::string layer() {
    text_ =
        "graph layer (x: f32[batch, length, 8], mask: i64[batch, length]) {\n"
        "  symbol batch in [1, inf)\n"
        "  symbol length in [1, inf)\n";
    const std::string attended = attention("x");
    const std::string middle = norm(sum(attended, noise("x")), 1);
    const std::string fed = feed_forward(middle);
    const std::string result = norm(sum(fed, middle), 2);
    return text_ + "  return " + result + " as y\n}\n";
  }

 private:
  int choose(int count) {
    return plain_ ? 0 : static_cast<int>(random_() % static_cast<uint32_t>(count));
  }

  std::string add(const std::string &expression) {
    const std::string name = "v" + std::to_string(++count_);
    text_ += "  " + name + " = " + expression + "\n";
    return name;
  }

  std::string commutative(const std::string &op, const std::string &a, const std::string &b) {
    return add(choose(2) == 0 ? op + "(" + a + ", " + b + ")" : op + "(" + b + ", " + a + ")");
  }
  std::string sum(const std::string &a, const std::string &b) { return commutative("add", a, b); }
  std::string product(const std::string &a, const std::string &b) {
    return commutative("mul", a, b);
  }

  std::string number(const std::string &value) {
    return add("constant {value = f32[] (" + value + ")}");
  }

  // Numbers that depend on the shape and on how many there were, not on the spelling.
  std::string weights(const std::vector<int> &shape) {
    int count = 1;
    std::string dims;
    for (const int size : shape) {
      count *= size;
      dims += (dims.empty() ? "" : ", ") + std::to_string(size);
    }
    std::string numbers;
    uint32_t state = 77u * ++tensors_;
    for (int i = 0; i < count; ++i) {
      state = state * 1664525u + 1013904223u;
      numbers += (i == 0 ? "" : ", ") + std::to_string((state >> 8) % 1000) + "e-3";
    }
    return add("constant {value = f32[" + dims + "] (" + numbers + ")}");
  }

  // What changes nothing, for a value [batch, length, 8].
  std::string noise(const std::string &x) {
    switch (choose(6)) {
      case 1:
        return add("cast(" + x + ") {to = f32}");
      case 2:
        return add("transpose(" + add("transpose(" + x + ") {perm = (0, 2, 1)}") +
                   ") {perm = (0, 2, 1)}");
      case 3:
        return add("reshape(" + add("reshape(" + x + ") {shape = [batch*length, 8]}") +
                   ") {shape = [batch, length, 8]}");
      case 4:
        return product(x, number("1"));
      default:
        return x;
    }
  }

  // x @ w + b
  std::string linear(const std::string &x, int from, int to) {
    const std::string w = weights({from, to}), b = weights({to});
    if (choose(3) == 1) {  // as a Gemm over all rows
      const std::string rows =
          add("reshape(" + x + ") {shape = [batch*length, " + std::to_string(from) + "]}");
      return add("reshape(" + sum(add("matmul(" + rows + ", " + w + ")"), b) +
                 ") {shape = [batch, length, " + std::to_string(to) + "]}");
    }
    return sum(add("matmul(" + x + ", " + w + ")"), b);
  }

  std::string keep() {
    std::string keep;
    switch (choose(3)) {
      case 1:
        keep = add("not(" + add("equal(mask, " + add("constant {value = i64[] (0)}") + ")") + ")");
        break;
      case 2:
        keep = add("cast(" + add("cast(" + add("cast(mask) {to = bool}") + ") {to = i64}") +
                   ") {to = bool}");
        break;
      default:
        keep = add("cast(mask) {to = bool}");
    }
    keep = choose(2) == 0
               ? add("reshape(" + keep + ") {shape = [batch, 1, 1, length]}")
               : add("reshape(" + add("reshape(" + keep + ") {shape = [batch, 1, length]}") +
                     ") {shape = [batch, 1, 1, length]}");
    return choose(2) == 0 ? keep : add("expand(" + keep + ") {shape = [batch, 1, length, length]}");
  }

  std::string masked(const std::string &scores) {
    const std::string low = number("-1e9"), kept = keep();
    return choose(2) == 0
               ? add("where(" + kept + ", " + scores + ", " + low + ")")
               : add("where(" + add("not(" + kept + ")") + ", " + low + ", " + scores + ")");
  }

  std::string attention(const std::string &x) {
    const std::string q = linear(noise(x), 8, 8), k = linear(noise(x), 8, 8), v = linear(x, 8, 8);
    const auto split = [&](const std::string &value, const std::string &perm) {
      return add("transpose(" + add("reshape(" + value + ") {shape = [batch, length, 2, 4]}") +
                 ") {perm = (" + perm + ")}");
    };
    const int scale = choose(6);  // 0.5, wherever it stands
    std::string qh = split(scale == 1 ? product(q, number("0.5")) : q, "0, 2, 1, 3");
    qh = scale == 2 ? add("div(" + qh + ", " + number("2") + ")") : qh;
    qh = scale == 3 ? product(qh, number("0.25")) : qh;
    std::string scores;
    const auto scaled_key = [&](const std::string &kh) {
      return scale == 3 ? product(kh, number("2")) : scale == 4 ? product(kh, number("0.5")) : kh;
    };
    if (choose(2) == 0) {
      scores = add("matmul(" + qh + ", " + scaled_key(split(k, "0, 2, 3, 1")) + ")");
    } else {
      const std::string kh = scaled_key(split(k, "0, 2, 1, 3"));
      scores =
          add("matmul(" + qh + ", " + add("transpose(" + kh + ") {perm = (0, 1, 3, 2)}") + ")");
    }
    scores = scale == 5   ? add("div(" + scores + ", " + number("2") + ")")
             : scale == 0 ? product(scores, number("0.5"))
                          : scores;
    const std::string p = softmax(masked(scores));
    const std::string merged =
        add("transpose(" + add("matmul(" + p + ", " + split(v, "0, 2, 1, 3") + ")") +
            ") {perm = (0, 2, 1, 3)}");
    return linear(add("reshape(" + merged + ") {shape = [batch, length, 8]}"), 8, 8);
  }

  std::string softmax(const std::string &x) {
    if (choose(2) == 0) {
      return add("softmax(" + x + ") {axis = 3}");
    }
    const std::string most = add("reduce(" + x + ") {kind = max, axes = (3), keepdims = 1}");
    const std::string e = add("exp(" + add("sub(" + x + ", " + most + ")") + ")");
    const std::string total = add("reduce(" + e + ") {kind = sum, axes = (3), keepdims = 1}");
    return choose(2) == 0 ? add("div(" + e + ", " + total + ")")
                          : product(e, add("div(" + number("1") + ", " + total + ")"));
  }

  std::string mean(const std::string &x) {
    switch (choose(3)) {
      case 1:
        return add("reshape(" + add("reduce(" + x + ") {kind = mean, axes = (2)}") +
                   ") {shape = [batch, length, 1]}");
      case 2:
        return product(add("reduce(" + x + ") {kind = sum, axes = (2), keepdims = 1}"),
                       number("0.125"));
      default:
        return add("reduce(" + x + ") {kind = mean, axes = (2), keepdims = 1}");
    }
  }

  std::string norm(const std::string &x, int) {
    const std::string g = weights({8}), b = weights({8});
    const int spelling = choose(5);
    if (spelling == 0) {
      return add("layer_norm(" + x + ", " + g + ", " + b + ") {axis = 2, epsilon = " + kEpsilon +
                 ", rms = 0}");
    }
    const std::string m = mean(x);
    const std::string c = add("sub(" + x + ", " + m + ")");
    const std::string squares = choose(2) == 0 ? add("mul(" + c + ", " + c + ")")
                                               : add("pow(" + c + ", " + number("2") + ")");
    const std::string root = add("sqrt(" + sum(mean(squares), number(kEpsilon)) + ")");
    if (spelling == 1) {
      return sum(product(add("div(" + c + ", " + root + ")"), g), b);
    }
    if (spelling == 2) {
      return sum(add("div(" + product(c, g) + ", " + root + ")"), b);
    }
    const std::string inverse = product(add("div(" + number("1") + ", " + root + ")"), g);
    return spelling == 3
               ? sum(product(c, inverse), b)
               : sum(product(x, inverse), add("sub(" + b + ", " + product(m, inverse) + ")"));
  }

  std::string feed_forward(const std::string &x) {
    const std::string h = linear(noise(x), 8, 12);
    const std::string e =
        add("erf(" +
            (choose(2) == 0 ? product(h, number("0.70710677")) : product(number("0.70710677"), h)) +
            ")");
    const std::string step = sum(e, number("1"));
    std::string inner;
    switch (choose(3)) {
      case 1:
        inner = product(product(h, number("0.5")), step);
        break;
      case 2:
        inner = product(h, product(step, number("0.5")));
        break;
      default:
        inner = product(product(h, step), number("0.5"));
    }
    return noise(linear(inner, 12, 8));
  }

  static constexpr const char *kEpsilon =
      "0.0009765625";  // the same in single and double precision

  bool plain_;
  std::mt19937 random_;
  std::string text_;
  int count_ = 0;
  uint32_t tensors_ = 0;
};

// The graph without what comes from the spelling alone: names, and the order of nodes and of the
// inputs of kernels. These follow from the outputs here: an operand stands in front of its reader.
class InOrder {
 public:
  // `used`: the region's inputs in the order in which they are needed; null to keep all as they
  // are.
  static std::unique_ptr<Graph> copy(const Graph &graph, Graph *parent, std::vector<size_t> *used) {
    InOrder order;
    order.result_->parent = parent;
    if (parent == nullptr) {
      order.result_->symbols = graph.symbols;
    }
    for (size_t i = 0; used == nullptr && i < graph.inputs().size(); ++i) {
      order.visit_input(graph.inputs()[i], parent == nullptr);
    }
    for (size_t i = 0; i < graph.output_count(); ++i) {
      Value *value = order.visit(graph.output(i));
      order.result_->add_output(parent == nullptr ? graph.output_name(i) : "result", value);
    }
    if (used != nullptr) {
      *used = order.used_;
    }
    return std::move(order.result_);
  }

 private:
  InOrder() : result_(std::make_unique<Graph>()) {}

  void visit_input(const Value *input, bool named) {
    copies_[input] = result_->add_input(named ? input->name : "", input->type);
    used_.push_back(static_cast<size_t>(input->index));
  }

  Value *visit(const Value *value) {
    if (copies_.count(value) == 0 && value->producer == nullptr) {
      visit_input(value, false);
    } else if (copies_.count(value) == 0) {
      visit_node(*value->producer);
    }
    return copies_.at(value);
  }

  void visit_node(const Node &node) {
    std::vector<std::unique_ptr<Graph>> regions;
    std::vector<Value *> inputs = node.inputs;
    for (const std::unique_ptr<Graph> &region : node.regions) {
      std::vector<size_t> used;
      regions.push_back(copy(*region, result_.get(), node.op == Op::Kernel ? &used : nullptr));
      for (size_t i = 0; i < used.size(); ++i) {
        inputs[i] = node.input(used[i]);
      }
    }
    for (Value *&input : inputs) {
      input = visit(input);
    }
    const Node *made = result_->add(node.op, inputs, node.attributes, std::move(regions), {});
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      copies_[node.output(i)] = made->output(i);
    }
  }

  std::unique_ptr<Graph> result_;
  std::map<const Value *, Value *> copies_;
  std::vector<size_t> used_;
};

std::string canonical(const std::string &layer) {
  const std::unique_ptr<Graph> graph = parse_graph(layer);
  run_pipeline(*graph);
  return print(*InOrder::copy(*graph, nullptr, nullptr),
               {.max_constant_elements = 256, .sources = false, .types = false});
}

TEST(Spelling, DoesNotMatter) {
  const std::string expected = canonical(Speller(0).layer());
  for (uint32_t seed = 1; seed <= 200; ++seed) {
    const std::string layer = Speller(seed).layer();
    ASSERT_EQ(canonical(layer), expected) << "seed " << seed << "\n" << layer;
  }
}

// What must not be taken for the same: one number, one axis, one operand of another meaning.
TEST(Spelling, MeaningDoes) {
  const std::string plain = Speller(0).layer();
  const std::string expected = canonical(plain);
  const auto changed = [&](const std::string &from, const std::string &to) {
    std::string text = plain;
    const size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    text.replace(at, from.size(), to);
    return canonical(text);
  };
  EXPECT_NE(changed("{axis = 3}", "{axis = 2}"), expected);
  EXPECT_NE(changed("epsilon = 0.0009765625", "epsilon = 0.001953125"), expected);
  EXPECT_NE(changed("rms = 0", "rms = 1"), expected);
  EXPECT_NE(changed("f32[] (-1e9)", "f32[] (-1e4)"), expected);
  EXPECT_NE(changed("f32[] (0.5)", "f32[] (0.25)"), expected);
  EXPECT_NE(changed("= erf(", "= tanh("), expected);
}

}  // namespace
}  // namespace sylvite
