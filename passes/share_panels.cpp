// Reads the rows of an embedding out of the panels of the product that shares its weights, so that
// tied weights are stored once.
//
//   gather(table[V, D], ids), matmul_panels(x, panels[ceil(V / 16), D, 16])
//     =>  gather(slice(reshape(transpose(panels, [0, 2, 1]), [.., D]), V), ids)
//
// where the panels hold the transposed table, bit for bit. A row is then D numbers 64 bytes apart:
// in a product each of them meets V others, so what the lookup loses is not seen.
//
// Needs: kernels (the views stay inside of the kernels that look rows up).   Keeps: each number.
// Declines: tables that something reads otherwise than by rows.
#include <algorithm>
#include <cstring>

#include "compiler/ir/error.h"
#include "compiler/ir/kernel_traits.h"
#include "passes/kernel_fusion.h"
#include "passes/passes.h"
#include "passes/rewrite.h"

namespace sylvite {
namespace {

bool holds_transposed(const Tensor &panels, const Tensor &table) {
  const int64_t rows = table.shape()[0], width = table.shape()[1];
  const size_t size = static_cast<size_t>(size_of(table.dtype()));
  if (panels.shape() !=
      std::vector<int64_t>{(rows + kPanelColumns - 1) / kPanelColumns, width, kPanelColumns}) {
    return false;
  }
  const std::byte *const packed = panels.bytes().data();
  const std::byte *number = table.bytes().data();
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t first = row / kPanelColumns * width * kPanelColumns + row % kPanelColumns;
    for (int64_t k = 0; k < width; ++k, number += size) {
      if (std::memcmp(packed + static_cast<size_t>(first + k * kPanelColumns) * size, number,
                      size) != 0) {
        return false;
      }
    }
  }
  return true;
}

// Whether a kernel reads a value as the table of lookups by row, and in no other way.
bool only_looks_up_rows(const Node &kernel, const Value *value) {
  const Graph &region = region_of(kernel);
  for (size_t i = 0; i < kernel.inputs.size(); ++i) {
    const Value *inside = region.inputs()[i];
    if (kernel.input(i) == value &&
        !std::all_of(inside->users.begin(), inside->users.end(), [&](const Node *user) {
          return user->op == Op::Gather && user->input(0) == inside && user->input(1) != inside &&
                 user->attributes.integer("axis") == 0;
        })) {
      return false;
    }
  }
  return true;
}

std::vector<Value *> tables_of(const Graph &graph) {
  std::vector<Value *> tables;
  for (const std::unique_ptr<Node> &node : graph.nodes()) {
    if (node->op != Op::Constant) {
      continue;
    }
    Value *value = node->output();
    const Tensor &tensor = *constant_of(value);
    if (tensor.rank() == 2 && tensor.dtype() == DType::F32 && tensor.count() > 0 &&
        !value->users.empty() && !graph.is_output(value) &&
        std::all_of(value->users.begin(), value->users.end(), [&](const Node *user) {
          return user->op == Op::Kernel && only_looks_up_rows(*user, value);
        })) {
      tables.push_back(value);
    }
  }
  return tables;
}

std::vector<TensorPtr> panels_of_products(const Graph &graph) {
  std::vector<TensorPtr> found;
  for (const std::unique_ptr<Node> &node : graph.nodes()) {
    if (node->op != Op::Kernel || root_op(*node) != Op::MatMulPanels) {
      continue;
    }
    for (const Value *input : node->inputs) {
      if (constant_of(input) != nullptr && constant_of(input)->rank() == 3) {
        found.push_back(input->producer->attributes.tensor("value"));
      }
    }
  }
  return found;
}

// The table's rows as a view of the panels, one kernel.
Node *rows_of_panels(Graph &graph, const TensorPtr &panels, const Value &table, Node *before) {
  const std::vector<int64_t> &shape = constant_of(&table)->shape();
  const int64_t rows = shape[0], padded = panels->shape()[0] * kPanelColumns;
  Builder build(graph, before);
  Value *packed = graph.add(Op::Constant, {}, {{"value", panels}}, {}, before)->output();
  packed->name = table.name + ".panels";
  Value *by_row = build.transpose(packed, {0, 2, 1});
  Value *view = build.reshape(by_row, {Dim(padded), Dim(shape[1])});
  if (padded != rows) {
    view = build.slice(view, 0, 0, Dim(rows));
  }
  Node *chain = nullptr;
  for (Node *node : build.created()) {
    Node *kernel = make_kernel(graph, node);
    chain = chain == nullptr ? kernel : fuse_kernels(graph, chain, kernel);
    SYLVITE_CHECK(chain != nullptr, "views of panels make no kernel");
  }
  return chain;
}

bool share(Graph &graph, const Graph &owner) {
  bool changed = false;
  const std::vector<TensorPtr> known = panels_of_products(owner);
  for (Value *table : tables_of(graph)) {
    const auto panels = std::find_if(known.begin(), known.end(), [&](const TensorPtr &one) {
      return holds_transposed(*one, *constant_of(table));
    });
    if (panels == known.end()) {
      continue;
    }
    for (Node *reader : readers_of(*table)) {
      Node *view = rows_of_panels(graph, *panels, *table, reader);
      for (size_t i = 0; i < reader->inputs.size(); ++i) {
        if (reader->input(i) == table) {
          graph.replace_input(reader, i, view->output());
        }
      }
      if (fuse_kernels(graph, view, reader) != nullptr) {
        changed = true;
        continue;
      }
      graph.replace_uses(view->output(), table);
      erase_unused(graph, view);
    }
  }
  graph.remove_dead();
  return changed;
}

}  // namespace

bool share_panels(Graph &graph) {
  return share(graph, graph);
}

bool share_panels(Graph &graph, const Graph &owner, const PipelineOptions &options) {
  if (is_disabled(*find_pass("share_panels"), options) || !share(graph, owner)) {
    return false;
  }
  verify(graph);
  return true;
}

}  // namespace sylvite
