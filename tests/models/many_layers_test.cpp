// Compiling takes as many kernels as there are different ones, however many layers a model has.
#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>
#include <utility>

#include "compiler/codegen/plan.h"
#include "compiler/ir/text.h"
#include "passes/passes.h"

namespace sylvite {
namespace {

class Stack {
 public:
  explicit Stack(bool post_norm) : post_norm_(post_norm) {}

  // `layers` encoder layers of width 8 that share a padding mask, each with weights of its own.
  std::string text(int layers) {
    lines_ =
        "graph stack (x: f32[batch, length, 8], mask: i64[batch, length]) {\n"
        "  symbol batch in [1, inf)\n  symbol length in [1, inf)\n";
    constant("one", "[]", 1);
    add("cast", "cast(mask) {to = f32}");
    add("drop", "sub(one, cast)");
    constant("lowest", "[]", -1e9);
    add("low", "mul(drop, lowest)");
    add("bias", "reshape(low) {shape = [batch, 1, 1, length]}");
    constant("scale", "[]", 0.5);
    constant("root2", "[]", 1.4142135);
    std::string x = "x";
    for (int i = 0; i < layers; ++i) {
      x = layer("l" + std::to_string(i), x);
    }
    return lines_ + "  return " + x + "\n}\n";
  }

 private:
  std::string add(const std::string &name, const std::string &formula) {
    lines_ += "  " + name + " = " + formula + "\n";
    return name;
  }

  std::string constant(const std::string &name, const std::string &shape, double value,
                       int count = 1) {
    std::string numbers;
    for (int i = 0; i < count; ++i) {
      numbers += (i == 0 ? "" : ", ") + std::to_string(value + 0.01 * i);
    }
    return add(name, "constant {value = f32" + shape + " (" + numbers + ")}");
  }

  std::string linear(const std::string &name, const std::string &x, int rows, int columns) {
    weight_ += 0.1;
    constant(name + "w", "[" + std::to_string(rows) + ", " + std::to_string(columns) + "]", weight_,
             rows * columns);
    constant(name + "b", "[" + std::to_string(columns) + "]", -weight_, columns);
    add(name + "m", "matmul(" + x + ", " + name + "w)");
    return add(name + "a", "add(" + name + "m, " + name + "b)");
  }

  std::string norm(const std::string &name, const std::string &x) {
    weight_ += 0.1;
    constant(name + "g", "[8]", weight_, 8);
    constant(name + "o", "[8]", -weight_, 8);
    return add(name,
               "layer_norm(" + x + ", " + name + "g, " + name + "o) {axis = 2, epsilon = 1e-5}");
  }

  std::string heads(const std::string &name, const std::string &x, const std::string &perm) {
    add(name + "r", "reshape(" + x + ") {shape = [batch, length, 2, 4]}");
    return add(name, "transpose(" + name + "r) {perm = " + perm + "}");
  }

  std::string attention(const std::string &l, const std::string &x) {
    const std::string q = heads(l + "qh", linear(l + "q", x, 8, 8), "(0, 2, 1, 3)");
    const std::string k = heads(l + "kh", linear(l + "k", x, 8, 8), "(0, 2, 3, 1)");
    const std::string v = heads(l + "vh", linear(l + "v", x, 8, 8), "(0, 2, 1, 3)");
    add(l + "s", "matmul(" + q + ", " + k + ")");
    add(l + "t", "mul(" + l + "s, scale)");
    add(l + "u", "add(" + l + "t, bias)");
    add(l + "p", "softmax(" + l + "u) {axis = 3}");
    add(l + "c", "matmul(" + l + "p, " + v + ")");
    add(l + "d", "transpose(" + l + "c) {perm = (0, 2, 1, 3)}");
    add(l + "e", "reshape(" + l + "d) {shape = [batch, length, 8]}");
    return linear(l + "o", l + "e", 8, 8);
  }

  std::string feed_forward(const std::string &l, const std::string &x) {
    const std::string up = linear(l + "up", x, 8, 12);
    add(l + "g1", "div(" + up + ", root2)");
    add(l + "g2", "erf(" + l + "g1)");
    add(l + "g3", "add(" + l + "g2, one)");
    add(l + "g4", "mul(" + up + ", " + l + "g3)");
    add(l + "g5", "mul(" + l + "g4, scale)");
    return linear(l + "down", l + "g5", 12, 8);
  }

  std::string layer(const std::string &l, const std::string &x) {
    if (post_norm_) {
      const std::string first =
          norm(l + "n1", add(l + "x1", "add(" + x + ", " + attention(l, x) + ")"));
      return norm(l + "n2", add(l + "x2", "add(" + first + ", " + feed_forward(l, first) + ")"));
    }
    const std::string attended = attention(l, norm(l + "n1", x));
    const std::string first = add(l + "x1", "add(" + x + ", " + attended + ")");
    const std::string fed = feed_forward(l, norm(l + "n2", first));
    return add(l + "x2", "add(" + first + ", " + fed + ")");
  }

  const bool post_norm_;
  std::string lines_;
  double weight_ = 0;
};

struct Counts {
  std::set<std::string> keys;  // of the kernels
  size_t calls = 0;
};

Counts counts_of(bool post_norm, int layers) {
  std::unique_ptr<Graph> graph = parse_graph(Stack(post_norm).text(layers));
  run_pipeline(*graph);
  const Plan plan = make_plan(*graph);
  Counts counts;
  for (const PlanKernel &kernel : plan.kernels) {
    counts.keys.insert(kernel.key);
  }
  counts.calls = plan.calls.size();
  return counts;
}

TEST(ManyLayers, HaveTheKernelsOfTwo) {
  for (const bool post_norm : {false, true}) {
    const Counts two = counts_of(post_norm, 2), three = counts_of(post_norm, 3);
    const Counts twelve = counts_of(post_norm, 12);
    EXPECT_EQ(twelve.keys, two.keys) << (post_norm ? "post" : "pre") << "-norm";
    EXPECT_EQ(twelve.keys, three.keys);
    const size_t a_layer = three.calls - two.calls;
    EXPECT_LE(a_layer, 7u);
    EXPECT_EQ(twelve.calls, two.calls + 10 * a_layer);
  }
}

}  // namespace
}  // namespace sylvite
