// Caches: attention reads keys through views of the pool (gather of blocks by the table, transposed
// and regrouped, cut at the length), so kernels that can read through views copy nothing. A row's
// old part is read from the pool after the append too: appending leaves it as it was.
#include "passes/decoding.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "compiler/ir/compose.h"
#include "compiler/ir/error.h"
#include "compiler/ir/kernel_traits.h"
#include "passes/rewrite.h"

namespace sylvite {
namespace {

Value *input_called(const Graph &graph, const std::string &name) {
  Value *input = find_input(graph, name);
  if (input == nullptr) {
    throw_model_error("there is no input '", name, "'");
  }
  return input;
}

// An input that takes the place and the name of another, which has no other users afterwards.
Value *replace_input(Graph &graph, Value *old, TensorType type) {
  std::string name = std::exchange(old->name, old->name + " (before)");
  return graph.add_input(name, std::move(type));
}

// An input of ours, which must not have the name of one of the user's.
Value *add_own_input(Graph &graph, const char *name, TensorType type) {
  if (find_input(graph, name) != nullptr) {
    throw_model_error("input '", name,
                      "' has a name that a translator needs for an input of its "
                      "own; rename it");
  }
  return graph.add_input(name, std::move(type));
}

// What the caches of a step have in common.
struct Table {
  Value *input = nullptr;
  std::string blocks;  // the symbol of the pools' first axis
  Dim batch, past, length;
};

// past with the new rows behind it: the node that makes `present`.
Node *joining_node(const Graph &graph, const CachePair &cache, const Value *past) {
  Value *present = find_output(graph, cache.present);
  if (present == nullptr) {
    throw_model_error("there is no output '", cache.present, "' for the past '", cache.past, "'");
  }
  Node *join = present->producer;
  const bool joins = join != nullptr && join->op == Op::Concat && join->inputs.size() == 2 &&
                     join->input(0) == past;
  if (!joins || past->type.rank() != 4) {
    throw_model_error("output '", cache.present, "' is not input '", cache.past,
                      "' with new rows behind it; only caches that grow so are supported");
  }
  const int64_t axis = normal_axis(join->attributes.integer("axis"), 4);
  if ((axis != 1 && axis != 2) || !past->type.shape[static_cast<size_t>(axis)].as_symbol()) {
    throw_model_error("input '", cache.past, "' of shape ", to_string(past->type.shape),
                      " grows on axis ", axis,
                      "; expected [batch, heads, past, size] or [batch, past, heads, size] with a "
                      "dynamic past");
  }
  return join;
}

void add_table(Graph &graph, const CachePair &cache, const Node &join, size_t axis, Table &table) {
  const Shape &past = join.input(0)->type.shape, &rows = join.input(1)->type.shape;
  if (table.input == nullptr) {
    table = {nullptr, "", past[0], past[axis], rows[axis]};
    const Dim columns = floor_div(table.past + table.length - 1, kCacheBlock) + 1;
    add_own_input(graph, kCachePast, {DType::Bool, {table.past}});
    table.input = add_own_input(graph, kCacheTable, {DType::I32, {table.batch, columns}});
    table.blocks = graph.symbols.fresh_name("blocks");
    graph.symbols.declare(table.blocks, {SymbolKind::Input, 1, {}});
  } else if (past[0] != table.batch || past[axis] != table.past || rows[axis] != table.length) {
    throw_model_error("input '", cache.past, "' is ", to_string(past), " with ", rows[axis].str(),
                      " new rows; the caches before it hold ", table.past.str(), " rows and get ",
                      table.length.str());
  }
}

void keep_cache(Graph &graph, const CachePair &cache, Table &table) {
  Value *past = input_called(graph, cache.past);
  Node *join = joining_node(graph, cache, past);
  const size_t axis = static_cast<size_t>(normal_axis(join->attributes.integer("axis"), 4));
  add_table(graph, cache, *join, axis, table);
  const bool heads_first = axis == 2;
  const std::vector<int64_t> swap =
      heads_first ? identity_permutation(4) : std::vector<int64_t>{0, 2, 1, 3};
  const Dim heads = past->type.shape[heads_first ? 1 : 2], size = past->type.shape[3];
  const Dim columns = table.input->type.shape[1];
  const Dim whole = table.past + table.length;

  Value *pool = replace_input(
      graph, past, {past->type.dtype, {Dim::symbol(table.blocks), heads, kCacheBlock, size}});
  Builder build(graph, join);
  Value *rows = build.transpose(join->input(1), swap);
  Value *kept =
      build.add(Op::Append, {pool, table.input, rows}, {{"past", std::vector<Dim>{table.past}}});
  Value *blocks = build.add(Op::Gather, {kept, table.input}, {{"axis", int64_t{0}}});
  Value *in_order = build.transpose(blocks, {0, 2, 1, 3, 4});
  Value *all = build.reshape(in_order, {table.batch, heads, columns * Dim(kCacheBlock), size});
  Value *present = build.slice(all, 2, 0, whole);
  Value *old = build.slice(all, 2, 0, table.past);
  graph.replace_uses(join->output(), build.transpose(present, swap));
  graph.replace_input(join, 0, build.transpose(old, swap));
  graph.replace_uses(past, build.transpose(old, swap));
  graph.erase_input(past);
}

}  // namespace

void keep_caches(Graph &graph, const std::vector<CachePair> &caches) {
  Table table;
  for (const CachePair &cache : caches) {
    keep_cache(graph, cache, table);
  }
  std::vector<std::string> outputs;
  for (size_t i = 0; i < graph.output_count(); ++i) {
    const std::string &name = graph.output_name(i);
    if (std::none_of(caches.begin(), caches.end(),
                     [&](const CachePair &cache) { return cache.present == name; })) {
      outputs.push_back(name);
    }
  }
  keep_outputs(graph, outputs);
}

bool pick_sources(Graph &graph, const std::vector<std::string> &inputs, const Dim &batch) {
  const std::optional<std::string> symbol = batch.as_symbol();
  std::vector<std::pair<Value *, size_t>> picked;  // and the batch's axis
  for (const std::string &name : inputs) {
    Value *input = input_called(graph, name);
    size_t mentioned = 0, axis = 0;
    for (size_t i = 0; i < input->type.shape.size(); ++i) {
      if (symbol && mentions(input->type.shape[i], *symbol)) {
        ++mentioned;
        axis = i;
      }
    }
    if (mentioned > 1 || (mentioned == 1 && input->type.shape[axis] != batch)) {
      return false;
    }
    if (mentioned == 1) {
      picked.emplace_back(input, axis);
    }
  }
  if (picked.empty() || graph.nodes().empty()) {
    return false;
  }
  const std::string sources = graph.symbols.fresh_name("sources");
  graph.symbols.declare(sources, {SymbolKind::Input, 1, {}});
  Value *rows = add_own_input(graph, kSourceRows, {DType::I32, {batch}});
  for (const auto &[old, axis] : picked) {
    TensorType type = old->type;
    type.shape[axis] = Dim::symbol(sources);
    Value *table = replace_input(graph, old, type);
    Builder build(graph, graph.nodes().front().get());
    graph.replace_uses(
        old, build.add(Op::Gather, {table, rows}, {{"axis", static_cast<int64_t>(axis)}}));
    graph.erase_input(old);
  }
  return true;
}

void keep_scores_of_one(Graph &graph, const std::string &scores, bool last) {
  Value *value = find_output(graph, scores);
  if (value == nullptr) {
    throw_model_error("there is no output '", scores, "'");
  }
  const Shape shape = value->type.shape;
  if ((shape.size() != 3 && shape.size() != 2) || !is_float(value->type.dtype)) {
    throw_model_error("output '", scores, "' is ", to_string(value->type),
                      "; expected scores [batch, length, vocabulary]");
  }
  const auto add = [&](Op op, std::vector<Value *> inputs, Attributes attributes) {
    return graph.add(op, std::move(inputs), std::move(attributes), {scores})->output();
  };
  if (shape.size() == 3) {
    if (!last) {
      Value *position = add_own_input(graph, kScorePosition, {DType::I32, {1}});
      value = add(Op::Gather, {value, position}, {{"axis", int64_t{1}}});
    } else if (!shape[1].is(1)) {
      value = add(Op::Slice, {value},
                  {{"starts", std::vector<Dim>{0, shape[1] - 1, 0}},
                   {"sizes", std::vector<Dim>{shape[0], 1, shape[2]}},
                   {"steps", std::vector<int64_t>{1, 1, 1}}});
    }
    value = add(Op::Reshape, {value}, {{"shape", std::vector<Dim>{shape[0], shape[2]}}});
  }
  if (value->type.dtype != DType::F32) {
    value = add(Op::Cast, {value}, {{"to", DType::F32}});
  }
  for (size_t i = 0; i < graph.output_count(); ++i) {
    if (graph.output_name(i) == scores) {
      graph.set_output(i, value);
    }
  }
}

void drop_unused_inputs(Graph &graph, const std::vector<std::string> &kept) {
  const std::vector<Value *> inputs = graph.inputs();
  for (Value *input : inputs) {
    const bool keep = std::find(kept.begin(), kept.end(), input->name) != kept.end();
    if (!keep && input->users.empty() && !graph.is_output(input)) {
      graph.erase_input(input);
    }
  }
}

void drop_unbound_guards(Graph &graph) {
  std::set<std::string> bound;
  for (const Value *input : graph.inputs()) {
    for (const Dim &dim : input->type.shape) {
      bound.merge(symbols_of(dim));
    }
  }
  std::erase_if(graph.guards, [&](const Guard &guard) {
    std::set<std::string> symbols = symbols_of(guard.left);
    symbols.merge(symbols_of(guard.right));
    return !std::includes(bound.begin(), bound.end(), symbols.begin(), symbols.end());
  });
}

void keep_outputs(Graph &graph, const std::vector<std::string> &outputs) {
  std::vector<std::pair<std::string, Value *>> kept;
  for (const std::string &name : outputs) {
    Value *value = find_output(graph, name);
    if (value == nullptr) {
      throw_model_error("there is no output '", name, "'");
    }
    kept.emplace_back(name, value);
  }
  graph.clear_outputs();
  for (const auto &[name, value] : kept) {
    graph.add_output(name, value);
  }
  graph.remove_dead();
}

}  // namespace sylvite
