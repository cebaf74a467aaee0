// What the plan knows of a kernel: how its work is divided, its symbols, scratch and cost. Formulas
// of the region's shapes alone.
#include <algorithm>
#include <array>

#include "compiler/ir/error.h"
#include "compiler/ir/kernel_traits.h"
#include "compiler/kernels/kernels.h"
#include "compiler/kernels/region.h"

namespace sylvite {
namespace {

constexpr int64_t kElementGrain = 64;

const Shape &result_shape(const Node &root) {
  return root.output()->type.shape;
}

Dim leading(const Shape &shape, size_t trailing) {
  return product(shape, 0, shape.size() - trailing);
}

void set_grains(int32_t (&grains)[2], int32_t v3, int32_t v4) {
  grains[0] = v3;
  grains[1] = v4;
}

void divide_none(const Graph &region, KernelInterface &interface) {
  const Shape &shape = region.output(0)->type.shape;
  if (is_flat(region)) {
    interface.extent0 = element_count(shape);
    set_grains(interface.grain0, kElementGrain, kElementGrain);
    return;
  }
  const int64_t inner = inner_axis(shape);
  if (inner >= 0) {
    interface.extent0 = product(shape, 0, static_cast<size_t>(inner));
    interface.extent1 = shape[static_cast<size_t>(inner)];
    set_grains(interface.grain1, kElementGrain, kElementGrain);
  }
}

// Output elements beside the innermost one where that is vectorised; see reduce.cpp and cumsum.cpp.
void divide_reduce(const Node &root, KernelInterface &interface) {
  const Shape &from = root.input(0)->type.shape;
  const std::vector<int64_t> &axes = root.attributes.integers("axes");
  const auto is_reduced = [&](size_t axis) {
    return std::find(axes.begin(), axes.end(), static_cast<int64_t>(axis)) != axes.end();
  };
  interface.extent0 = element_count(result_shape(root));
  if (!from.empty() && !is_reduced(from.size() - 1)) {
    interface.extent0 = 1;
    for (size_t axis = 0; axis + 1 < from.size(); ++axis) {
      interface.extent0 *= is_reduced(axis) ? Dim(1) : from[axis];
    }
    interface.extent1 = from.back();
    set_grains(interface.grain1, kElementGrain, kElementGrain);
  }
}

void divide_along_axis(const Shape &shape, size_t axis, KernelInterface &interface) {
  interface.extent0 = product(shape, 0, axis);
  interface.extent1 = product(shape, axis + 1, shape.size());
  if (!interface.extent1.is(1)) {
    set_grains(interface.grain1, kElementGrain, kElementGrain);
  }
}

void divide(const Graph &region, const Node *root, KernelInterface &interface) {
  if (root == nullptr) {
    divide_none(region, interface);
    return;
  }
  const Shape &shape = result_shape(*root);
  const Shape &from = root->input(0)->type.shape;
  switch (root->op) {
    case Op::MatMulPanels:
      interface.extent0 = leading(shape, 1);
      interface.extent1 = ceil_div(shape.back(), kPanelColumns);
      set_grains(interface.grain0, matmul_tile(Isa::X86_64_V3).rows,
                 matmul_tile(Isa::X86_64_V4).rows);
      set_grains(interface.grain1, matmul_tile(Isa::X86_64_V3).panels,
                 matmul_tile(Isa::X86_64_V4).panels);
      interface.scratch_bytes = matmul_panels_scratch(region, *root);
      break;
    case Op::MatMul:
      interface.extent0 = leading(shape, 2);
      interface.extent1 = shape[shape.size() - 2];
      set_grains(interface.grain1, matmul_tile(Isa::X86_64_V3).rows,
                 matmul_tile(Isa::X86_64_V4).rows);
      interface.scratch_bytes = matmul_scratch(region, *root);
      break;
    case Op::Attention:
      interface.extent0 = leading(shape, 2);
      interface.extent1 = shape[shape.size() - 2];
      set_grains(interface.grain1, attention_tile(Isa::X86_64_V3).rows,
                 attention_tile(Isa::X86_64_V4).rows);
      interface.scratch_bytes = attention_scratch(region, *root);
      break;
    case Op::LayerNorm:
      interface.extent0 = product(from, 0, static_cast<size_t>(root->attributes.integer("axis")));
      interface.scratch_bytes = row_scratch(region, *root);
      break;
    case Op::Softmax:
      divide_along_axis(from, static_cast<size_t>(root->attributes.integer("axis")), interface);
      interface.scratch_bytes = row_scratch(region, *root);
      break;
    case Op::CumSum:
      divide_along_axis(from, static_cast<size_t>(root->attributes.integer("axis")), interface);
      interface.scratch_bytes = cumsum_scratch(region, *root);
      break;
    case Op::Reduce:
      divide_reduce(*root, interface);
      interface.scratch_bytes = reduce_scratch(region, *root);
      break;
    case Op::ArgReduce:
      interface.extent0 = element_count(shape);
      break;
    case Op::Conv:
    case Op::Pool:
      interface.extent0 = shape[0] * shape[1];
      interface.extent1 = product(shape, 2, shape.size() - 1);
      interface.scratch_bytes = window_scratch(region, *root);
      break;
    case Op::TopK:
      divide_along_axis(from, static_cast<size_t>(root->attributes.integer("axis")), interface);
      interface.extent0 *= interface.extent1;
      interface.extent1 = 1;
      set_grains(interface.grain1, 1, 1);
      break;
    case Op::ScatterND:
    case Op::ScatterElements:
    case Op::Append:
      break;
    default:
      SYLVITE_CHECK(false, "no kernel for " + describe(*root));
  }
}

Dim flops_of(const Node &node) {
  const Shape &shape = node.output()->type.shape;
  const Dim results = element_count(shape);
  switch (node.op) {
    case Op::MatMul:
      return results * node.input(0)->type.shape.back() * Dim(2);
    case Op::MatMulPanels:
      return results * node.input(0)->type.shape.back() * Dim(2);
    case Op::Conv:
      return results * product(node.input(1)->type.shape, 1, node.input(1)->type.shape.size()) *
             Dim(2);
    case Op::Pool: {
      Dim taps = 1;
      for (const int64_t size : node.attributes.integers("kernel")) {
        taps *= Dim(size);
      }
      return results * taps;
    }
    case Op::Attention: {
      const Shape &q = node.input(0)->type.shape, &k = node.input(1)->type.shape;
      const Dim scores = leading(shape, 1) * k[k.size() - 2];
      // Both products, and about ten operations a score for scale, mask, exp and sum.
      return scores * (q.back() + shape.back()) * Dim(2) + scores * Dim(10);
    }
    case Op::LayerNorm:
      return results * Dim(8);
    case Op::Softmax:
      return results * Dim(10);
    case Op::Reduce:
    case Op::ArgReduce:
    case Op::CumSum:
    case Op::TopK:
      return element_count(node.input(0)->type.shape);
    default:
      return results * Dim(op_cost(node.op));
  }
}

// Elements of an input that a kernel reads: those looked up where it is a table, else all.
Dim elements_read(const Value *input) {
  Dim looked_up = 0;
  for (const Node *user : input->users) {
    if (class_of(user->op) != OpClass::Lookup || user->input(0) != input) {
      return element_count(input->type.shape);
    }
    looked_up += element_count(user->output()->type.shape);
  }
  return looked_up;
}

const char *library_symbol_of(Op op) {
  switch (op) {
    case Op::TopK:
      return "sylvite_library_top_k";
    case Op::ScatterND:
      return "sylvite_library_scatter_nd";
    case Op::ScatterElements:
      return "sylvite_library_scatter_elements";
    case Op::Append:
      return "sylvite_library_append";
    default:
      SYLVITE_CHECK(false, name_of(op));
  }
}

}  // namespace

KernelInterface kernel_interface(const Node &kernel) {
  const Graph &region = *kernel.regions[0];
  const Node *root = root_of(region);
  KernelInterface interface;
  interface.root = root == nullptr ? "none" : name_of(root->op);
  if (root != nullptr && class_of(root->op) == OpClass::Library) {
    interface.library_symbol = library_symbol_of(root->op);
  }
  interface.symbols = kernel_symbols(region);
  divide(region, root, interface);
  for (const auto &node : region.nodes()) {
    interface.flops += flops_of(*node);
    for (const auto &nested : node->regions) {
      for (const auto &inside : nested->nodes()) {
        interface.flops += flops_of(*inside);
      }
    }
  }
  for (const Value *input : region.inputs()) {
    interface.bytes += elements_read(input) * Dim(size_of(input->type.dtype));
  }
  for (size_t i = 0; i < region.output_count(); ++i) {
    const TensorType &type = region.output(i)->type;
    interface.bytes += element_count(type.shape) * Dim(size_of(type.dtype));
  }
  return interface;
}

const char *name_of(Isa isa) {
  return isa == Isa::X86_64_V4 ? "x86-64-v4" : "x86-64-v3";
}

Schedule choose_schedule(const Graph &region, Isa isa) {
  Schedule schedule;
  schedule.vector_lanes = vector_lanes(isa);
  const Node *root = root_of(region);
  if (root != nullptr) {
    const bool attention = root->op == Op::Attention;
    if (attention || root->op == Op::MatMul || root->op == Op::MatMulPanels) {
      const TileShape tile = attention ? attention_tile(isa) : matmul_tile(isa);
      schedule.tile_rows = tile.rows;
      schedule.tile_columns = tile.panels * static_cast<int32_t>(kPanelColumns);
    }
  }
  return schedule;
}

}  // namespace sylvite
