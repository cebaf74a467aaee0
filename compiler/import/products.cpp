// Matrix products: MatMul, Gemm, Einsum.
//
// An einsum is contracted pair by pair from the left. Of two operands, labels that both have and
// that are still needed are batch dimensions, those that both have and nobody needs any more are
// contracted, the others are rows (first operand) or columns (second). With transposes and reshapes
// that is one batched matmul; without a contracted label it is a broadcast product. Labels are the
// letters' codes; the dimensions of an ellipsis get negative labels, aligned at the right as in
// broadcasting.
#include <algorithm>
#include <map>
#include <set>

#include "compiler/import/onnx_node.h"

namespace sylvite {

// numpy's rules for vectors: a row on the left, a column on the right, dropped again afterwards.
Value *numpy_product(OnnxNode &node, Value *a, Value *b) {
  if (a->type.rank() == 0 || b->type.rank() == 0) {
    node.fail("cannot multiply a scalar as a matrix");
  }
  const bool row = a->type.rank() == 1;
  const bool column = b->type.rank() == 1;
  a = row ? node.reshape(a, {1, a->type.shape[0]}) : a;
  b = column ? node.reshape(b, {b->type.shape[0], 1}) : b;
  Value *const product = node.add(Op::MatMul, {a, b});
  Shape shape = product->type.shape;
  if (column) {
    shape.pop_back();
  }
  if (row) {
    shape.erase(shape.end() - (column ? 1 : 2));
  }
  return node.reshape(product, shape);
}

Value *general_product(OnnxNode &node) {
  Value *a = node.input(0);
  Value *b = node.input(1);
  if (a->type.rank() != 2 || b->type.rank() != 2) {
    node.fail("multiplies shapes ", to_string(a->type.shape), " and ", to_string(b->type.shape),
              ", expected matrices");
  }
  a = node.integer("transA", 0) != 0 ? node.transpose(a, {1, 0}) : a;
  b = node.integer("transB", 0) != 0 ? node.transpose(b, {1, 0}) : b;
  Value *result = node.add(Op::MatMul, {a, b});
  const double alpha = node.real("alpha", 1);
  const double beta = node.real("beta", 1);
  if (alpha != 1) {
    result = node.add(Op::Mul, {result, node.like(result, alpha)});
  }
  if (node.has_input(2) && beta != 0) {
    Value *c = node.input(2);
    c = beta != 1 ? node.add(Op::Mul, {c, node.like(c, beta)}) : c;
    result = node.add(Op::Add, {result, c});
  }
  return result;
}

namespace {

void matmul(OnnxNode &node) {
  node.set_output(0, numpy_product(node, node.input(0), node.input(1)));
}

// An operand less its zero point, which may be one number a row of the left operand, or one a
// column of the right one.
Value *centred(OnnxNode &node, size_t operand) {
  Value *const x = node.cast(node.input(operand), DType::I32);
  if (!node.has_input(operand + 2)) {
    return x;
  }
  Value *zero = node.cast(node.input(operand + 2), DType::I32);
  const Shape &shape = zero->type.shape;
  if (shape.size() == 1 && x->type.rank() > 1) {
    zero = node.reshape(zero, operand == 0 ? Shape{shape[0], 1} : Shape{1, shape[0]});
  }
  Value *const result = node.add(Op::Sub, {x, zero});
  const bool fits = result->type.rank() == x->type.rank();
  for (size_t i = 0; fits && i < x->type.shape.size(); ++i) {
    node.assume_equal(x->type.shape[i], result->type.shape[i],
                      "axis " + std::to_string(i) + " of an operand and of its zero point");
  }
  if (!fits) {
    node.fail("has a zero point of ", zero->type.rank(), " dimensions for an operand of ",
              x->type.rank());
  }
  return result;
}

void matmul_integer(OnnxNode &node) {
  node.set_output(0, numpy_product(node, centred(node, 0), centred(node, 1)));
}

void gemm(OnnxNode &node) {
  node.set_output(0, general_product(node));
}

using Labels = std::vector<int>;

struct Operand {
  Value *value;
  Labels labels;
};

bool holds(const Labels &labels, int label) {
  return std::find(labels.begin(), labels.end(), label) != labels.end();
}

class Einsum {
 public:
  explicit Einsum(OnnxNode &node) : node_(node) {}

  Value *run() {
    parse(node_.text("equation", ""));
    for (Operand &operand : operands_) {
      take_diagonals(operand);
    }
    Operand result = operands_[0];
    for (size_t i = 1; i <= operands_.size(); ++i) {
      std::set<int> needed(output_.begin(), output_.end());
      for (size_t k = i; k < operands_.size(); ++k) {
        needed.insert(operands_[k].labels.begin(), operands_[k].labels.end());
      }
      result = sum_unneeded(result, needed);
      if (i < operands_.size()) {
        std::set<int> later(output_.begin(), output_.end());
        for (size_t k = i + 1; k < operands_.size(); ++k) {
          later.insert(operands_[k].labels.begin(), operands_[k].labels.end());
        }
        std::set<int> needed_of_second = later;
        needed_of_second.insert(result.labels.begin(), result.labels.end());
        result = contract(result, sum_unneeded(operands_[i], needed_of_second), later);
      }
    }
    return arranged(result, output_).value;
  }

 private:
  // "b i d, ... j -> b i": the labels of each operand and of the output.
  void parse(std::string equation) {
    std::erase(equation, ' ');
    const size_t arrow = equation.find("->");
    const std::string left = equation.substr(0, arrow);
    size_t begin = 0;
    for (size_t i = 0; i < node_.input_count(); ++i) {
      if (begin > left.size()) {
        node_.fail("equation '", equation, "' has fewer terms than there are inputs");
      }
      const size_t comma = std::min(left.find(',', begin), left.size());
      operands_.push_back(
          {node_.input(i), labels_of(left.substr(begin, comma - begin), node_.input(i))});
      begin = comma + 1;
    }
    if (begin <= left.size()) {
      node_.fail("equation '", equation, "' has more terms than there are inputs");
    }
    if (arrow == std::string::npos) {
      implicit_output();
    } else {
      output_ = labels_of(equation.substr(arrow + 2), nullptr);
      for (const int label : output_) {
        const auto has = [label](const Operand &o) { return holds(o.labels, label); };
        if (std::none_of(operands_.begin(), operands_.end(), has) ||
            std::count(output_.begin(), output_.end(), label) != 1) {
          node_.fail("equation '", equation,
                     "' has an output label that no input has, or has it twice");
        }
      }
    }
  }

  // The ellipsis of an operand stands for what its letters leave; that of the output (no operand)
  // for the longest.
  Labels labels_of(const std::string &term, const Value *operand) {
    Labels labels;
    const size_t dots = term.find("...");
    const auto letters =
        static_cast<int64_t>(dots == std::string::npos ? term.size() : term.size() - 3);
    const int64_t rank = operand != nullptr ? operand->type.rank() : letters + ellipsis_rank_;
    if (dots == std::string::npos ? letters != rank && operand != nullptr : letters > rank) {
      node_.fail("term '", term, "' does not fit an input with ", rank, " dimensions");
    }
    for (size_t i = 0; i < term.size(); ++i) {
      if (i == dots) {
        for (int64_t k = rank - letters; k > 0; --k) {
          labels.push_back(static_cast<int>(-k));
        }
        ellipsis_rank_ = std::max(ellipsis_rank_, rank - letters);
        i += 2;
      } else if (std::isalpha(static_cast<unsigned char>(term[i])) != 0) {
        labels.push_back(term[i]);
      } else {
        node_.fail("term '", term, "' has the character '", term[i],
                   "', expected a letter or '...'");
      }
    }
    return labels;
  }

  // The ellipsis, then in alphabetical order the labels that occur once.
  void implicit_output() {
    std::map<int, int> uses;
    for (const Operand &operand : operands_) {
      for (const int label : operand.labels) {
        ++uses[label];
      }
    }
    for (const auto &[label, count] : uses) {
      if (label < 0 || count == 1) {
        output_.push_back(label);
      }
    }
  }

  // A label that occurs twice in one term: where its two positions are equal, summed over one of
  // them.
  void take_diagonals(Operand &operand) {
    for (size_t second = 0; second < operand.labels.size(); ++second) {
      const auto found =
          std::find(operand.labels.begin(), operand.labels.end(), operand.labels[second]);
      const auto first = static_cast<size_t>(found - operand.labels.begin());
      if (first == second) {
        continue;
      }
      const Shape &shape = operand.value->type.shape;
      const auto along = [&](size_t axis) {
        Shape apart(shape.size(), Dim(1));
        apart[axis] = shape[axis];
        return node_.reshape(node_.iota(shape[axis]), apart);
      };
      Value *const same = node_.add(Op::Equal, {along(first), along(second)});
      Value *const diagonal =
          node_.add(Op::Where, {same, operand.value, node_.like(operand.value, 0)});
      operand.value = node_.reduce("sum", diagonal, {static_cast<int64_t>(second)}, false);
      operand.labels.erase(operand.labels.begin() + static_cast<int64_t>(second));
      --second;
    }
  }

  Operand sum_unneeded(const Operand &operand, const std::set<int> &needed) {
    std::vector<int64_t> axes;
    Labels kept;
    for (size_t i = 0; i < operand.labels.size(); ++i) {
      if (needed.count(operand.labels[i]) != 0) {
        kept.push_back(operand.labels[i]);
      } else {
        axes.push_back(static_cast<int64_t>(i));
      }
    }
    return axes.empty() ? operand : Operand{node_.reduce("sum", operand.value, axes, false), kept};
  }

  // The operand with its axes in the order of `labels`, which it all has.
  Operand arranged(const Operand &operand, const Labels &labels) {
    std::vector<int64_t> perm;
    for (const int label : labels) {
      const auto at = std::find(operand.labels.begin(), operand.labels.end(), label);
      perm.push_back(at - operand.labels.begin());
    }
    return {node_.transpose(operand.value, perm), labels};
  }

  Operand contract(const Operand &a, const Operand &b, const std::set<int> &later) {
    Labels batch, contracted, rows, columns;
    for (const int label : a.labels) {
      (!holds(b.labels, label)   ? rows
       : later.count(label) != 0 ? batch
                                 : contracted)
          .push_back(label);
    }
    for (const int label : b.labels) {
      if (!holds(a.labels, label)) {
        columns.push_back(label);
      }
    }
    const size_t shared = batch.size();
    Labels labels = batch;
    labels.insert(labels.end(), rows.begin(), rows.end());
    labels.insert(labels.end(), columns.begin(), columns.end());
    Value *const left = arranged(a, joined(batch, rows, contracted)).value;
    Value *const right = arranged(b, joined(batch, contracted, columns)).value;
    const auto row_sizes = [&] { return sizes(left, shared, rows.size()); };
    const auto column_sizes = [&] {
      return sizes(right, shared + contracted.size(), columns.size());
    };
    const Shape left_batch = sizes(left, 0, shared);
    const Shape right_batch = sizes(right, 0, shared);
    if (contracted.empty()) {
      const Shape ones(columns.size(), Dim(1));
      Value *const x = node_.reshape(left, joined(left_batch, row_sizes(), ones));
      const Shape gap(rows.size(), Dim(1));
      Value *const y = node_.reshape(right, joined(right_batch, gap, column_sizes()));
      return {node_.add(Op::Mul, {x, y}), labels};
    }
    const Dim depth = element_count(sizes(left, shared + rows.size(), contracted.size()));
    const Dim depth_b = element_count(sizes(right, shared, contracted.size()));
    Value *const x =
        node_.reshape(left, joined(left_batch, Shape{element_count(row_sizes())}, Shape{depth}));
    Value *const y = node_.reshape(
        right, joined(right_batch, Shape{depth_b}, Shape{element_count(column_sizes())}));
    Value *const product = node_.add(Op::MatMul, {x, y});
    // The product may have unified sizes: those of its operands are read again.
    const Shape batch_sizes = sizes(product, 0, shared);
    return {node_.reshape(product, joined(batch_sizes, row_sizes(), column_sizes())), labels};
  }

  template <typename List>
  static List joined(List a, const List &b, const List &c) {
    a.insert(a.end(), b.begin(), b.end());
    a.insert(a.end(), c.begin(), c.end());
    return a;
  }

  static Shape sizes(const Value *value, size_t from, size_t count) {
    const auto begin = value->type.shape.begin() + static_cast<int64_t>(from);
    return {begin, begin + static_cast<int64_t>(count)};
  }

  OnnxNode &node_;
  std::vector<Operand> operands_;
  Labels output_;
  int64_t ellipsis_rank_ = 0;
};

void einsum(OnnxNode &node) {
  node.set_output(0, Einsum(node).run());
}

constexpr OpRule kRules[] = {
    {"Einsum", 28, einsum},
    {"Gemm", 13, gemm},
    {"MatMul", 13, matmul},
    {"MatMulInteger", 10, matmul_integer},
};

}  // namespace

std::span<const OpRule> product_rules() {
  return kRules;
}

}  // namespace sylvite
