// What each root's kernel template can take in. Kept in one switch, so that fuse passes and
// templates read the same facts.
#include "compiler/ir/kernel_traits.h"

namespace sylvite {
namespace {

bool is_trailing_view(const Node &node) {
  return node.op == Op::Reshape || node.op == Op::Transpose;
}

}  // namespace

KernelTraits kernel_traits(Op root) {
  KernelTraits traits;
  switch (root) {
    case Op::MatMul:
    case Op::MatMulPanels:
    case Op::Conv:
      // Operands are read many times: a formula would be computed as often.
      traits.elementwise_epilogue = true;
      break;
    case Op::LayerNorm:
      traits.extra_first_operand_output = true;
      [[fallthrough]];
    case Op::Softmax:
    case Op::Reduce:
      traits.elementwise_prologue = true;
      traits.elementwise_epilogue = true;
      break;
    case Op::Attention:
      traits.view_epilogue = true;
      traits.row_prologue = true;  // each row is read once, into panels
      break;
    case Op::ArgReduce:
    case Op::CumSum:
    case Op::Pool:
      traits.elementwise_prologue = true;
      break;
    case Op::Kernel:
      traits.elementwise_prologue = true;
      traits.elementwise_epilogue = true;
      traits.view_epilogue = true;
      break;
    default:
      break;  // library ops stand alone
  }
  return traits;
}

int64_t op_cost(Op op) {
  switch (op) {
    case Op::Sqrt:
    case Op::Div:
      return 5;
    case Op::Exp:
    case Op::Log:
    case Op::Erf:
    case Op::Tanh:
    case Op::Sin:
    case Op::Cos:
      return 20;
    case Op::Pow:
    case Op::Mod:
      return 50;
    default:
      return class_of(op) == OpClass::Elementwise ? 1 : 0;
  }
}

const Node *root_of(const Graph &region) {
  for (const std::unique_ptr<Node> &node : region.nodes()) {
    const OpClass op_class = class_of(node->op);
    if (op_class == OpClass::Root || op_class == OpClass::Library) {
      return node.get();
    }
  }
  return nullptr;
}

bool looks_up_rows(const Node &node) {
  const int64_t rank = node.op == Op::Gather ? node.input(0)->type.rank() : 0;
  const int64_t axis = rank > 0 ? node.attributes.integer("axis") : 0;
  return rank > 1 && (axis < 0 ? axis + rank : axis) < rank - 1;
}

std::vector<const Node *> trailing_views(const Graph &region) {
  std::vector<const Node *> views;
  const Value *value = region.output(0);
  while (!value->is_graph_input() && is_trailing_view(*value->producer)) {
    views.insert(views.begin(), value->producer);
    value = value->producer->input(0);
  }
  return views;
}

const Value *epilogue_value(const Graph &region) {
  const std::vector<const Node *> views = trailing_views(region);
  return views.empty() ? region.output(0) : views.front()->input(0);
}

std::optional<std::vector<Dim>> output_strides(const Graph &region) {
  const Shape &shape = epilogue_value(region)->type.shape;
  // The root's axes that each axis is made of, outermost first.
  std::vector<std::vector<size_t>> axes;
  for (size_t axis = 0; axis < shape.size(); ++axis) {
    axes.push_back({axis});
  }
  for (const Node *view : trailing_views(region)) {
    std::vector<std::vector<size_t>> next;
    if (view->op == Op::Transpose) {
      for (const int64_t axis : view->attributes.integers("perm")) {
        next.push_back(axes[static_cast<size_t>(axis)]);
      }
    } else {
      std::vector<size_t> order;
      for (const std::vector<size_t> &group : axes) {
        for (const size_t axis : group) {
          if (!shape[axis].is(1)) {
            order.push_back(axis);
          }
        }
      }
      size_t taken = 0;
      for (const Dim &size : view->output()->type.shape) {
        std::vector<size_t> group;
        Dim together = 1;
        while (together != size) {
          if (taken == order.size()) {
            return std::nullopt;
          }
          together *= shape[order[taken]];
          group.push_back(order[taken++]);
        }
        next.push_back(std::move(group));
      }
      if (taken != order.size()) {
        return std::nullopt;
      }
    }
    axes = std::move(next);
  }
  std::vector<Dim> strides(shape.size(), Dim(0));
  Dim stride = 1;
  for (size_t i = axes.size(); i-- > 0;) {
    for (size_t k = axes[i].size(); k-- > 0;) {
      strides[axes[i][k]] = stride;
      stride *= shape[axes[i][k]];
    }
  }
  return strides;
}

}  // namespace sylvite
