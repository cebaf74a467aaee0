#include "tests/passes/random_graphs.h"

#include <cmath>
#include <limits>
#include <random>

namespace sylvite {
namespace {

constexpr int64_t kWidth = 8;

class Maker {
 public:
  explicit Maker(uint32_t seed) : random_(seed), graph_(std::make_unique<Graph>()) {
    graph_->name = "random";
    graph_->symbols.declare("batch", {SymbolKind::Input, 1, {}});
    graph_->symbols.declare("length", {SymbolKind::Input, 1, {}});
    shape_ = {Dim::symbol("batch"), Dim::symbol("length"), Dim(kWidth)};
    pool_ = {graph_->add_input("x", {DType::F32, shape_}),
             graph_->add_input("y", {DType::F32, shape_})};
    ids_ = graph_->add_input("ids", {DType::I64, {shape_[0], shape_[1]}});
  }

  std::unique_ptr<Graph> make() {
    const int steps = 6 + pick(14);
    for (int i = 0; i < steps; ++i) {
      pool_.push_back(step());
    }
    graph_->add_output("last", pool_.back());
    graph_->add_output("other", pool_[pool_.size() - 1 - static_cast<size_t>(pick(3))]);
    if (pick(2) == 0) {
      graph_->add_output("middle", pool_[pool_.size() / 2]);
    }
    return std::move(graph_);
  }

 private:
  int pick(int count) { return std::uniform_int_distribution<int>(0, count - 1)(random_); }
  double real() { return std::uniform_real_distribution<double>(-1, 1)(random_); }

  Value *any() {  // rather a recent one
    const size_t back = static_cast<size_t>(pick(4));
    return pool_[pool_.size() - 1 - std::min(back, pool_.size() - 1)];
  }

  Value *add(Op op, std::vector<Value *> inputs, Attributes attributes = {}) {
    Node *node = graph_->add(op, std::move(inputs), std::move(attributes),
                             {"node_" + std::to_string(++nodes_)});
    node->output()->name = "v" + std::to_string(nodes_);
    return node->output();
  }

  Value *constant(std::vector<int64_t> shape) {
    Tensor tensor(DType::F32, std::move(shape));
    for (int64_t i = 0; i < tensor.count(); ++i) {
      tensor.set(i, real());
    }
    return graph_->add_constant(std::move(tensor), "c" + std::to_string(++nodes_));
  }

  Value *number(double value) {
    return graph_->add_constant(Tensor::of<double>(DType::F32, {}, {value}), "");
  }

  Value *unary(Value *x) {
    static constexpr Op kOps[] = {Op::Neg, Op::Abs, Op::Tanh, Op::Erf, Op::Sin, Op::Cos};
    return add(kOps[pick(6)], {x});
  }

  // A second operand that broadcasts to the pool's shape.
  Value *operand() {
    switch (pick(6)) {
      case 0:
        return number(pick(3));
      case 1:
        return number(real());
      case 2:
        return constant({kWidth});
      case 3:
        return constant({1, 1, kWidth});
      case 4:
        return add(Op::Expand, {constant({1, 1, kWidth})}, {{"shape", shape_}});
      default:
        return any();
    }
  }

  Value *binary(Value *x) {
    static constexpr Op kOps[] = {Op::Add, Op::Mul, Op::Sub, Op::Max, Op::Min};
    std::vector<Value *> inputs = {x, operand()};
    if (pick(3) == 0) {
      std::swap(inputs[0], inputs[1]);
    }
    Value *result = add(kOps[pick(5)], inputs);
    // Two constants make a constant of their own shape.
    return result->type.shape == shape_ ? result : add(Op::Add, {x, result});
  }

  Value *project(Value *x) {
    Value *product = nullptr;
    if (pick(3) == 0) {  // through rows
      Value *rows = add(Op::Reshape, {x}, {{"shape", Shape{shape_[0] * shape_[1], Dim(kWidth)}}});
      product = add(Op::MatMul, {rows, constant({kWidth, kWidth})});
      product = add(Op::Reshape, {product}, {{"shape", shape_}});
    } else if (pick(2) == 0) {
      Value *weights =
          add(Op::Transpose, {constant({kWidth, kWidth})}, {{"perm", std::vector<int64_t>{1, 0}}});
      product = add(Op::MatMul, {x, weights});
    } else {
      product = add(Op::MatMul, {x, constant({kWidth, kWidth})});
    }
    Value *scaled = add(Op::Mul, {product, number(0.4)});
    return pick(2) == 0 ? add(Op::Add, {constant({kWidth}), scaled}) : scaled;
  }

  Value *norm(Value *x) {
    const Attributes mean = {
        {"kind", std::string("mean")}, {"axes", std::vector<int64_t>{2}}, {"keepdims", int64_t{1}}};
    switch (pick(3)) {
      case 0:
        return add(Op::LayerNorm, {x, constant({kWidth}), constant({kWidth})},
                   {{"axis", int64_t{2}}, {"epsilon", 0.1}});
      case 1: {
        Value *centred = add(Op::Sub, {x, add(Op::Reduce, {x}, mean)});
        Value *squares = add(Op::Pow, {centred, number(2)});
        Value *variance = add(Op::Add, {add(Op::Reduce, {squares}, mean), number(0.1)});
        Value *root = add(Op::Sqrt, {variance});
        Value *result = pick(2) == 0 ? add(Op::Div, {centred, root})
                                     : add(Op::Mul, {add(Op::Div, {number(1), root}), centred});
        return add(Op::Mul, {result, constant({kWidth})});
      }
      default:
        return add(Op::Softmax, {x}, {{"axis", int64_t{pick(3)}}});
    }
  }

  Value *views(Value *x) {
    switch (pick(5)) {
      case 0: {
        Value *split = add(Op::Reshape, {x}, {{"shape", Shape{shape_[0], shape_[1], 2, 4}}});
        Value *turned = add(Op::Transpose, {split}, {{"perm", std::vector<int64_t>{0, 2, 1, 3}}});
        turned = add(Op::Mul, {turned, number(0.5)});
        turned = add(Op::Transpose, {turned}, {{"perm", std::vector<int64_t>{0, 2, 1, 3}}});
        return add(Op::Reshape, {turned}, {{"shape", shape_}});
      }
      case 1: {
        Value *left = slice(x, 0, 3), *right = slice(any(), 3, 5);
        return add(Op::Concat, {left, right}, {{"axis", int64_t{2}}});
      }
      case 2: {
        Value *turned = add(Op::Transpose, {x}, {{"perm", std::vector<int64_t>{1, 0, 2}}});
        turned = unary(turned);
        return add(Op::Transpose, {turned}, {{"perm", std::vector<int64_t>{1, 0, 2}}});
      }
      case 3: {
        Value *first = slice(x, 0, 1);
        return add(Op::Mul, {add(Op::Tanh, {first}), any()});
      }
      default: {
        Value *wide =
            add(Op::Pad, {slice(x, 2, 4)},
                {{"before", std::vector<Dim>{0, 0, 1}}, {"after", std::vector<Dim>{0, 0, 3}}});
        return add(Op::Add, {wide, any()});
      }
    }
  }

  Value *slice(Value *x, int64_t start, int64_t size) {
    return add(Op::Slice, {x},
               {{"starts", std::vector<Dim>{0, 0, Dim(start)}},
                {"sizes", std::vector<Dim>{shape_[0], shape_[1], Dim(size)}},
                {"steps", std::vector<int64_t>{1, 1, 1}}});
  }

  Value *lookup(Value *x) {
    if (pick(2) == 0) {
      Value *rows = add(Op::Gather, {constant({2, kWidth}), ids_}, {{"axis", int64_t{0}}});
      return add(Op::Add, {x, rows});
    }
    Value *zero = graph_->add_constant(Tensor::of<int64_t>(DType::I64, {}, {0}), "");
    Value *row = add(Op::Gather, {x, zero}, {{"axis", int64_t{1}}});
    Value *kept = add(Op::Reshape, {row}, {{"shape", Shape{shape_[0], 1, Dim(kWidth)}}});
    return add(Op::Sub, {any(), kept});
  }

  // Running sums and products, and factors made of the bits of whole numbers.
  Value *accumulate(Value *x) {
    if (pick(2) == 0) {
      return add(Op::CumSum, {add(Op::Tanh, {x})},
                 {{"axis", int64_t{pick(3)}},
                  {"exclusive", int64_t{pick(2)}},
                  {"kind", std::string(pick(2) == 0 ? "sum" : "prod")}});
    }
    static constexpr Op kOps[] = {Op::And, Op::Or, Op::Xor};
    Value *mask = graph_->add_constant(Tensor::of<int64_t>(DType::I64, {}, {pick(4)}), "");
    Value *bits = add(Op::Cast, {add(kOps[pick(3)], {ids_, mask})}, {{"to", DType::F32}});
    bits = add(Op::Reshape, {bits}, {{"shape", Shape{shape_[0], shape_[1], 1}}});
    return add(Op::Mul, {add(Op::Mul, {bits, number(0.4)}), x});
  }

  Value *attend(Value *x) {
    Value *q = project(x), *k = project(pick(2) == 0 ? x : any()), *v = project(x);
    const bool heads = pick(2) == 0;
    if (heads) {
      for (Value **value : {&q, &k, &v}) {
        *value = add(Op::Reshape, {*value}, {{"shape", Shape{shape_[0], shape_[1], 2, 4}}});
        *value = add(Op::Transpose, {*value}, {{"perm", std::vector<int64_t>{0, 2, 1, 3}}});
      }
    }
    q = pick(2) == 0 ? add(Op::Mul, {q, number(0.7)}) : q;
    Value *kt =
        add(Op::Transpose, {k},
            {{"perm", heads ? std::vector<int64_t>{0, 1, 3, 2} : std::vector<int64_t>{0, 2, 1}}});
    Value *scores = add(Op::MatMul, {q, kt});
    scores = pick(2) == 0 ? add(Op::Div, {scores, number(2)}) : scores;
    if (pick(2) == 0) {
      Value *keep = add(Op::Cast, {ids_}, {{"to", DType::Bool}});
      const Shape shape =
          heads ? Shape{shape_[0], 1, 1, shape_[1]} : Shape{shape_[0], 1, shape_[1]};
      keep = add(Op::Reshape, {keep}, {{"shape", shape}});
      scores = add(Op::Where, {keep, scores, number(-1e9)});
    }
    const int64_t last = heads ? 3 : 2;
    Value *p = add(Op::Softmax, {scores}, {{"axis", pick(8) == 0 ? last - 1 : last}});
    Value *result = add(Op::MatMul, {p, v});
    if (heads) {
      result = add(Op::Transpose, {result}, {{"perm", std::vector<int64_t>{0, 2, 1, 3}}});
      result = add(Op::Reshape, {result}, {{"shape", shape_}});
    }
    if (pick(8) == 0) {  // the probabilities are read elsewhere too
      Value *sum = add(Op::Reduce, {p},
                       {{"kind", std::string("max")},
                        {"axes", heads ? std::vector<int64_t>{1, 3} : std::vector<int64_t>{2}},
                        {"keepdims", int64_t{0}}});
      sum = add(Op::Reshape, {sum}, {{"shape", Shape{shape_[0], shape_[1], 1}}});
      result = add(Op::Add, {result, sum});
    }
    return result;
  }

  Value *step() {
    Value *x = any();
    switch (pick(10)) {
      case 0:
        return unary(x);
      case 1:
      case 2:
        return binary(x);
      case 3:
      case 4:
        return project(x);
      case 5:
        return norm(x);
      case 6:
        return views(x);
      case 7:
        return lookup(x);
      case 8:
        return accumulate(x);
      default:
        return attend(x);
    }
  }

  std::mt19937 random_;
  std::unique_ptr<Graph> graph_;
  Shape shape_;
  std::vector<Value *> pool_;
  Value *ids_ = nullptr;
  int nodes_ = 0;
};

}  // namespace

std::unique_ptr<Graph> random_graph(uint32_t seed) {
  return Maker(seed).make();
}

std::vector<Tensor> random_inputs(const Graph &graph, const std::map<std::string, int64_t> &sizes,
                                  uint32_t seed, int64_t largest_id) {
  std::mt19937 random(seed);
  std::map<std::string, int64_t> values;
  for (const auto &[name, info] : graph.symbols.all()) {
    const auto found = sizes.find(name);
    values[name] = found == sizes.end() ? 3 : found->second;
  }
  std::vector<Tensor> inputs;
  for (const Value *input : graph.inputs()) {
    std::vector<int64_t> shape;
    for (const Dim &dim : input->type.shape) {
      shape.push_back(evaluate(dim, values));
    }
    Tensor tensor(input->type.dtype, shape);
    for (int64_t i = 0; i < tensor.count(); ++i) {
      if (is_float(tensor.dtype())) {
        tensor.set(i, std::uniform_real_distribution<double>(-1, 1)(random));
      } else {
        tensor.set_int(i, std::uniform_int_distribution<int64_t>(0, largest_id - 1)(random));
      }
    }
    // A mask that keeps nothing would compare rounding noise.
    if (!is_float(tensor.dtype()) && tensor.count() > 0) {
      tensor.set_int(0, 1);
    }
    inputs.push_back(std::move(tensor));
  }
  return inputs;
}

double largest_difference(const std::vector<Tensor> &values, const std::vector<Tensor> &expected) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  if (values.size() != expected.size()) {
    return kInfinity;
  }
  double largest = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    if (values[i].dtype() != expected[i].dtype() || values[i].shape() != expected[i].shape()) {
      return kInfinity;
    }
    for (int64_t j = 0; j < values[i].count(); ++j) {
      const double value = values[i].at(j), wanted = expected[i].at(j);
      if (std::isnan(value) || std::isnan(wanted) || std::isinf(value) || std::isinf(wanted)) {
        if (!(std::isnan(value) && std::isnan(wanted)) && value != wanted) {
          return kInfinity;
        }
        continue;
      }
      largest = std::max(largest, std::abs(value - wanted) / std::max(1.0, std::abs(wanted)));
    }
  }
  return largest;
}

}  // namespace sylvite
