// Which regions are kernels: the one place that reads kernel_traits.h for the fusing passes.
#include <algorithm>
#include <set>

#include "compiler/ir/kernel_traits.h"
#include "passes/fusion_cost.h"
#include "passes/kernel_fusion.h"
#include "passes/rewrite.h"

namespace sylvite {
namespace {

bool is_reordering(Op op) {
  return op == Op::Reshape || op == Op::Transpose;
}

// The size that indices of a lookup must stay below; nothing for tuples of indices.
std::optional<Dim> lookup_bound(const Node &lookup) {
  if (lookup.op == Op::GatherND) {
    return std::nullopt;
  }
  const Shape &data = lookup.input(0)->type.shape;
  const int64_t axis =
      normal_axis(lookup.attributes.integer_or("axis", 0), static_cast<int64_t>(data.size()));
  return data[static_cast<size_t>(axis)];
}

bool all_within(const std::vector<Dim> &dims, const Dim &bound, const SymbolTable &symbols) {
  return std::all_of(dims.begin(), dims.end(), [&](const Dim &dim) {
    return prove_le(-bound, dim, symbols) && prove_le(dim + 1, bound, symbols);
  });
}

// Positions that the compiler makes itself.
bool leaf_in_range(const Node &leaf, const Dim &bound, const SymbolTable &symbols) {
  switch (leaf.op) {
    case Op::Iota: {
      const Dim start = leaf.attributes.dims("start").front();
      const Dim step = leaf.attributes.dims("step").front();
      const Dim count = leaf.attributes.dims("count").front();
      return all_within({start, start + step * (count - 1)}, bound, symbols);
    }
    case Op::DimValues:
      return all_within(leaf.attributes.dims("values"), bound, symbols);
    case Op::Constant: {
      const Tensor &tensor = *leaf.attributes.tensor("value");
      if (tensor.count() == 0) {
        return true;
      }
      int64_t low = tensor.at_int(0), high = low;
      for (int64_t i = 1; i < tensor.count(); ++i) {
        low = std::min(low, tensor.at_int(i));
        high = std::max(high, tensor.at_int(i));
      }
      return all_within({Dim(low), Dim(high)}, bound, symbols);
    }
    default:
      return false;
  }
}

bool indices_are_safe(const Value *indices, const std::optional<Dim> &bound,
                      const SymbolTable &symbols) {
  const Node *node = indices->producer;
  if (node == nullptr) {
    return true;  // an input of the region: checked as a whole before the kernel runs
  }
  if (!bound) {
    return false;  // tuples: only as they stand in memory
  }
  switch (node->op) {
    case Op::Cast:
      if (!is_integer(node->input(0)->type.dtype) || !is_signed(node->output()->type.dtype)) {
        return false;
      }
      [[fallthrough]];
    case Op::Reshape:
    case Op::Transpose:
    case Op::Expand:
    case Op::Slice:
    case Op::Concat:
      return std::all_of(node->inputs.begin(), node->inputs.end(), [&](const Value *input) {
        return indices_are_safe(input, bound, symbols);
      });
    default:
      return leaf_in_range(*node, *bound, symbols);
  }
}

// Whether the value is computed, not only seen through views (or looked up as `rows`), from the
// region's inputs.
bool is_formula(const Value *value, bool rows, std::set<const Value *> &visited) {
  if (value->producer == nullptr || !visited.insert(value).second) {
    return false;
  }
  const Node &node = *value->producer;
  const OpClass op_class = class_of(node.op);
  return op_class == OpClass::Elementwise ||
         (op_class == OpClass::Lookup && !(rows && looks_up_rows(node))) ||
         std::any_of(node.inputs.begin(), node.inputs.end(),
                     [&](const Value *input) { return is_formula(input, rows, visited); });
}

bool is_formula(const Value *value, bool rows) {
  std::set<const Value *> visited;
  return is_formula(value, rows, visited);
}

// Operands that the templates read directly: packed weights, filters, parameters of a norm.
bool must_be_input(Op root, size_t operand) {
  return (root == Op::MatMulPanels || root == Op::Conv || root == Op::LayerNorm) && operand > 0;
}

// Masks and the like: operands of attention's own formulas.
bool is_read_by_formulas(Op root, size_t operand) {
  return root == Op::Attention && operand > 2;
}

std::string check_root(const Node &root) {
  const KernelTraits traits = kernel_traits(root.op);
  for (size_t i = 0; i < root.inputs.size(); ++i) {
    const Value *operand = root.input(i);
    if (must_be_input(root.op, i) && operand->producer != nullptr) {
      return "its operand " + std::to_string(i) + " is no input";
    }
    if (class_of(root.op) == OpClass::Library && operand->producer != nullptr) {
      return "a library op stands alone";
    }
    if (!traits.elementwise_prologue && !is_read_by_formulas(root.op, i) &&
        is_formula(operand, traits.row_prologue)) {
      return "its operand " + std::to_string(i) + " is computed";
    }
  }
  return "";
}

// A node behind the root.
std::string check_epilogue(const Node &node, const KernelTraits &traits,
                           const std::set<const Value *> &behind, const SymbolTable &symbols) {
  switch (class_of(node.op)) {
    case OpClass::Elementwise:
      if (!traits.elementwise_epilogue) {
        return "it takes no elementwise epilogue";
      }
      for (const Value *input : node.inputs) {
        if (behind.count(input) != 0 &&
            !same_shape(input->type.shape, node.output()->type.shape, symbols)) {
          return "its result would be broadcast";
        }
      }
      return "";
    case OpClass::View:
      return traits.view_epilogue && is_reordering(node.op) ? "" : "it takes no such view";
    default:
      return "its result is an operand of " + std::string(name_of(node.op));
  }
}

std::string check_outputs(const Graph &region, const Node *root,
                          const std::set<const Value *> &behind) {
  if (root != nullptr && class_of(root->op) == OpClass::Library) {
    return "";
  }
  if (root != nullptr && behind.count(region.output(0)) == 0) {
    return "its first output does not come from its root";
  }
  if (root != nullptr && kernel_traits(root->op).view_epilogue && !output_strides(region)) {
    return "a view divides an axis of its result";
  }
  if (region.output_count() == 1) {
    return "";
  }
  const bool second = root != nullptr && region.output_count() == 2 &&
                      kernel_traits(root->op).extra_first_operand_output &&
                      region.output(1) == root->input(0) && root->input(0)->producer != nullptr;
  return second ? "" : "it has too many outputs";
}

}  // namespace

std::string broken_kernel_rule(const Graph &region) {
  if (region.inputs().size() > kMostKernelInputs) {
    return "it has " + std::to_string(region.inputs().size()) + " inputs";
  }
  if (region.nodes().size() > kMostKernelNodes) {
    return "it has " + std::to_string(region.nodes().size()) + " ops";
  }
  if (region.nodes().size() > 1 && formula_cost(region, kMostFormulaCost) > kMostFormulaCost) {
    return "its formulas cost more than " + std::to_string(kMostFormulaCost);
  }
  const SymbolTable &symbols = region.symbol_table();
  const Node *root = root_of(region);
  const KernelTraits traits = kernel_traits(root == nullptr ? Op::Kernel : root->op);
  std::set<const Value *> behind;  // values that depend on the root
  for (const std::unique_ptr<Node> &node : region.nodes()) {
    const OpClass op_class = class_of(node->op);
    const bool depends = std::any_of(node->inputs.begin(), node->inputs.end(),
                                     [&](const Value *input) { return behind.count(input) != 0; });
    std::string broken;
    if (op_class == OpClass::Root || op_class == OpClass::Library) {
      broken = node.get() != root ? "it has two roots" : check_root(*node);
    } else if (op_class == OpClass::Region) {
      broken = "kernels do not nest";
    } else if (depends) {
      broken = check_epilogue(*node, traits, behind, symbols);
    } else if (op_class == OpClass::Lookup &&
               !indices_are_safe(node->input(1), lookup_bound(*node), symbols)) {
      broken = "its indices are computed";
    }
    if (!broken.empty()) {
      return broken;
    }
    if (depends || node.get() == root) {
      for (const std::unique_ptr<Value> &output : node->outputs) {
        behind.insert(output.get());
      }
    }
  }
  return check_outputs(region, root, behind);
}

}  // namespace sylvite
