// Facts of kernel regions, see region.h.
#include "compiler/kernels/region.h"

#include <algorithm>
#include <set>

#include "compiler/ir/error.h"
#include "compiler/ir/kernel_traits.h"

namespace sylvite {
namespace {

// A product or quotient of sizes, the smaller of two, or a sum with such a term.
bool is_worked_out(const Dim &dim) {
  return std::any_of(dim.terms().begin(), dim.terms().end(), [](const DimTerm &term) {
    return term.factors.size() > 1 ||
           (term.factors.size() == 1 && term.factors[0].kind != AtomKind::Symbol);
  });
}

class SymbolCollector {
 public:
  void visit(const Graph &graph) {
    for (const Value *input : graph.inputs()) {
      visit_shape(input->type.shape);
    }
    for (const auto &node : graph.nodes()) {
      for (const auto &[name, value] : node->attributes.all()) {
        if (const auto *dims = std::get_if<std::vector<Dim>>(&value)) {
          visit(*dims);
        }
      }
      for (const auto &region : node->regions) {
        visit(*region);
      }
      for (const auto &output : node->outputs) {
        visit_shape(output->type.shape);
      }
    }
  }
  std::vector<std::string> symbols;
  std::vector<Dim> sizes;  // that are worked out of them

 private:
  void visit_shape(const Shape &shape) {
    visit(shape);
    for (const Dim &dim : shape) {
      if (is_worked_out(dim) && std::find(sizes.begin(), sizes.end(), dim) == sizes.end()) {
        sizes.push_back(dim);
      }
    }
  }
  void visit(const std::vector<Dim> &dims) {
    for (const Dim &dim : dims) {
      for (const std::string &symbol : symbols_of(dim)) {
        if (seen_.insert(symbol).second) {
          symbols.push_back(symbol);
        }
      }
    }
  }
  std::set<std::string> seen_;
};

// Whether a transpose moves only axes of size 1.
bool moves_nothing(const Node &transpose) {
  int64_t last = -1;
  for (const int64_t axis : transpose.attributes.integers("perm")) {
    if (transpose.input(0)->type.shape[static_cast<size_t>(axis)].is(1)) {
      continue;
    }
    if (axis < last) {
      return false;
    }
    last = axis;
  }
  return true;
}

bool keeps_elements(const Node &node) {
  switch (node.op) {
    case Op::Reshape:
      return true;
    case Op::Expand:
      return element_count(node.input(0)->type.shape) == element_count(node.output()->type.shape);
    case Op::Transpose:
      return moves_nothing(node);
    default:
      return false;
  }
}

}  // namespace

std::vector<std::string> symbols_of_region(const Graph &region) {
  SymbolCollector collector;
  collector.visit(region);
  return collector.symbols;
}

std::vector<Dim> kernel_symbols(const Graph &region) {
  SymbolCollector collector;
  collector.visit(region);
  std::vector<Dim> result;
  for (const std::string &symbol : collector.symbols) {
    result.push_back(Dim::symbol(symbol));
  }
  result.insert(result.end(), collector.sizes.begin(), collector.sizes.end());
  return result;
}

const Value *plain_input(const Value *value) {
  while (!value->is_graph_input()) {
    if (!keeps_elements(*value->producer)) {
      return nullptr;
    }
    value = value->producer->input(0);
  }
  return value;
}

bool is_flat(const Graph &region) {
  const Shape &shape = region.output(0)->type.shape;
  const Dim count = element_count(shape);
  for (size_t i = 1; i < region.output_count(); ++i) {
    if (element_count(region.output(i)->type.shape) != count) {
      return false;
    }
  }
  for (const Value *input : region.inputs()) {
    const Dim elements = element_count(input->type.shape);
    if (elements != count && !elements.is(1)) {
      return false;
    }
  }
  for (const auto &node : region.nodes()) {
    const Dim elements = element_count(node->output()->type.shape);
    switch (class_of(node->op)) {
      case OpClass::Leaf:
        if (!elements.is(1)) {
          return false;
        }
        break;
      case OpClass::Elementwise:
        // Operands of the result's shape stand in its order; of [3] and [3, 1] they do not.
        for (const Value *operand : node->inputs) {
          const Dim own = element_count(operand->type.shape);
          if (!own.is(1) && operand->type.shape != node->output()->type.shape) {
            const Shape &large = node->output()->type.shape;
            const size_t extra = large.size() - operand->type.shape.size();
            if (product(large, 0, extra) != Dim(1) ||
                Shape(large.begin() + static_cast<int64_t>(extra), large.end()) !=
                    operand->type.shape) {
              return false;
            }
          }
        }
        break;
      default:
        if (!keeps_elements(*node)) {
          return false;
        }
    }
    if (elements != count && !elements.is(1)) {
      return false;
    }
  }
  return true;
}

int64_t inner_axis(const Shape &shape) {
  int64_t axis = static_cast<int64_t>(shape.size()) - 1;
  while (axis >= 0 && shape[static_cast<size_t>(axis)].is(1)) {
    --axis;
  }
  return axis;
}

Dim product(const Shape &shape, size_t begin, size_t end) {
  Dim result = 1;
  for (size_t i = begin; i < end; ++i) {
    result *= shape[i];
  }
  return result;
}

int vector_lanes(Isa isa) {
  return isa == Isa::X86_64_V4 ? 16 : 8;
}

TileShape matmul_tile(Isa isa) {
  return isa == Isa::X86_64_V4 ? TileShape{8, 3} : TileShape{6, 1};
}

TileShape attention_tile(Isa isa) {
  return isa == Isa::X86_64_V4 ? TileShape{12, 2} : TileShape{6, 1};
}

int64_t compute_bytes(DType dtype) {
  return dtype == DType::F16 || dtype == DType::BF16 ? 4 : size_of(dtype);
}

Dim scratch_of(const Dim &elements, int64_t element_bytes) {
  // Halide pads by at most a vector (64 bytes); then the next multiple of 64.
  return floor_div(elements * Dim(element_bytes) + Dim(63), 64) * Dim(64) + Dim(128);
}

}  // namespace sylvite
