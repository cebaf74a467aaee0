// Kernel regions are built anew for each fusion and thrown away when a rule is broken: they hold a
// handful of nodes, and so the rules need to look at finished regions only.
#include "passes/kernel_fusion.h"

#include <algorithm>
#include <map>
#include <set>

#include "compiler/ir/error.h"
#include "compiler/ir/kernel_traits.h"
#include "passes/passes.h"
#include "passes/rewrite.h"

namespace sylvite {
namespace {

// A region under construction and what the values of the graph are called inside.
struct RegionBuilder {
  explicit RegionBuilder(Graph &graph) : region(std::make_unique<Graph>()) {
    region->parent = &graph;
  }

  Value *input(Value *outer) {
    Value *&value = inside[outer];
    if (value == nullptr) {
      value = region->add_input(outer->name, outer->type);
      inputs.push_back(outer);
    }
    return value;
  }

  Node *copy(const Node &node, std::vector<Value *> operands) {
    std::vector<std::unique_ptr<Graph>> regions;
    for (const std::unique_ptr<Graph> &nested : node.regions) {
      regions.push_back(nested->clone());
    }
    Node *duplicate = region->add(node.op, std::move(operands), node.attributes, std::move(regions),
                                  node.sources);
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      duplicate->output(i)->name = node.output(i)->name;
    }
    return duplicate;
  }

  // Copies another kernel's region, whose inputs are `values` of this one; gives its outputs.
  std::vector<Value *> splice(const Graph &other, const std::vector<Value *> &values) {
    std::map<const Value *, Value *> copies;
    for (size_t i = 0; i < values.size(); ++i) {
      copies[other.inputs()[i]] = values[i];
    }
    for (const std::unique_ptr<Node> &node : other.nodes()) {
      std::vector<Value *> operands;
      for (const Value *operand : node->inputs) {
        operands.push_back(copies.at(operand));
      }
      const Node *duplicate = copy(*node, operands);
      for (size_t i = 0; i < node->outputs.size(); ++i) {
        copies[node->output(i)] = duplicate->output(i);
      }
    }
    std::vector<Value *> outputs;
    for (size_t i = 0; i < other.output_count(); ++i) {
      outputs.push_back(copies.at(other.output(i)));
    }
    return outputs;
  }

  std::unique_ptr<Graph> region;
  std::vector<Value *> inputs;
  std::map<const Value *, Value *> inside;
};

void merge_sources(std::vector<std::string> &sources, const std::vector<std::string> &more) {
  for (const std::string &source : more) {
    if (std::find(sources.begin(), sources.end(), source) == sources.end()) {
      sources.push_back(source);
    }
  }
}

// Whether the operand is a number that the formula holds, instead of an input: all layers that
// compute the same with other weights share one kernel, so weights, however small, stay outside.
bool may_be_inner(const Node &node, size_t i) {
  const Tensor *tensor = constant_of(node.input(i));
  const OpClass op_class = class_of(node.op);
  return tensor != nullptr && tensor->count() == 1 && op_class != OpClass::Root &&
         op_class != OpClass::Library && !(op_class == OpClass::Lookup && i == 0);
}

Node *add_kernel(Graph &graph, RegionBuilder &&built, std::vector<std::string> sources,
                 Node *before) {
  const Node *root = root_of(*built.region);
  const std::string name = root == nullptr ? "none" : name_of(root->op);
  std::vector<std::unique_ptr<Graph>> regions;
  regions.push_back(std::move(built.region));
  return graph.add(Op::Kernel, std::move(built.inputs), {{"root", name}}, std::move(regions),
                   std::move(sources), before);
}

std::string label_of(const Value &value) {
  return value.name.empty() ? name_of(value.producer->op) : value.name;
}

// Whether the consumer also depends on the producer through a third node.
bool depends_otherwise(const Node *producer, const Node *consumer) {
  const bool read_elsewhere =
      std::any_of(producer->outputs.begin(), producer->outputs.end(), [&](const auto &value) {
        return std::any_of(value->users.begin(), value->users.end(),
                           [&](const Node *user) { return user != consumer; });
      });
  if (!read_elsewhere) {
    return false;
  }
  std::set<const Node *> visited;
  std::vector<const Node *> pending;
  for (const Value *input : consumer->inputs) {
    if (input->producer != nullptr && input->producer != producer) {
      pending.push_back(input->producer);
    }
  }
  while (!pending.empty()) {
    const Node *node = pending.back();
    pending.pop_back();
    if (node == producer) {
      return true;
    }
    if (visited.insert(node).second) {
      for (const Value *input : node->inputs) {
        if (input->producer != nullptr) {
          pending.push_back(input->producer);
        }
      }
    }
  }
  return false;
}

// The region of two kernels as one, or why there is none.
struct FusedRegion {
  RegionBuilder built;
  Value *kept = nullptr;  // what others read of the producer
  std::string obstacle;
};

FusedRegion fuse_regions(Graph &graph, const Node *producer, const Node *consumer,
                         bool keep_operand) {
  FusedRegion fused{RegionBuilder(graph), nullptr, ""};
  // Where the producer stays for the third kernel's sake, its result is there to be read; where it
  // goes, the fused kernel would wait for a reader of its own. Views alone are never stored.
  const bool stays_view = only_views(*producer) && !keep_operand;
  if (!stays_view && depends_otherwise(producer, consumer)) {
    fused.obstacle = "it also depends on " + describe(*producer) + " through a third kernel";
    return fused;
  }
  for (Value *input : consumer->inputs) {
    if (input->producer != producer) {
      fused.built.input(input);
      continue;
    }
    for (Value *behind : producer->inputs) {
      fused.built.input(behind);
    }
  }
  const auto inside = [&fused](const Node &kernel) {
    std::vector<Value *> values;
    for (const Value *input : kernel.inputs) {
      values.push_back(fused.built.inside.at(input));
    }
    return values;
  };
  const std::vector<Value *> made = fused.built.splice(region_of(*producer), inside(*producer));
  for (size_t i = 0; i < made.size(); ++i) {
    fused.built.inside[producer->output(i)] = made[i];
  }
  const std::vector<Value *> results = fused.built.splice(region_of(*consumer), inside(*consumer));
  for (size_t i = 0; i < results.size(); ++i) {
    fused.built.region->add_output(region_of(*consumer).output_name(i), results[i]);
  }
  // What others read of the producer: the operand to keep, or its own second output.
  fused.kept = keep_operand ? producer->output() : nullptr;
  if (producer->outputs.size() == 2) {
    fused.kept = producer->output(1);
  }
  if (fused.kept != nullptr) {
    fused.built.region->add_output(fused.kept->name, fused.built.inside.at(fused.kept));
  }
  common_subexpressions(*fused.built.region);
  fused.built.region->remove_dead();
  fused.obstacle = broken_kernel_rule(*fused.built.region);
  return fused;
}

}  // namespace

const Graph &region_of(const Node &kernel) {
  SYLVITE_CHECK(kernel.op == Op::Kernel, describe(kernel));
  return *kernel.regions[0];
}

Op root_op(const Node &kernel) {
  const Node *root = root_of(region_of(kernel));
  return root == nullptr ? Op::Kernel : root->op;
}

bool has_root(const Node &kernel) {
  return root_of(region_of(kernel)) != nullptr;
}

bool only_views(const Node &kernel) {
  const Graph::NodeList &nodes = region_of(kernel).nodes();
  return std::all_of(nodes.begin(), nodes.end(), [](const std::unique_ptr<Node> &node) {
    return class_of(node->op) == OpClass::View || class_of(node->op) == OpClass::Leaf;
  });
}

std::vector<Node *> readers_of(const Value &value) {
  std::vector<Node *> readers;
  for (Node *user : value.users) {
    if (std::find(readers.begin(), readers.end(), user) == readers.end()) {
      readers.push_back(user);
    }
  }
  return readers;
}

std::vector<Node *> kernels_in_order(const Graph &graph) {
  std::vector<Node *> kernels;
  for (const std::unique_ptr<Node> &node : graph.nodes()) {
    if (node->op == Op::Kernel) {
      kernels.push_back(node.get());
    }
  }
  return kernels;
}

Node *make_kernel(Graph &graph, Node *node) {
  // Twice at most: a constant index that may be out of range must be an input, where the plan
  // checks it.
  for (const bool inner_constants : {true, false}) {
    RegionBuilder built(graph);
    std::vector<Value *> operands;
    for (size_t i = 0; i < node->inputs.size(); ++i) {
      Value *input = node->input(i);
      operands.push_back(inner_constants && may_be_inner(*node, i)
                             ? built.region->add_constant(*constant_of(input), input->name)
                             : built.input(input));
    }
    const Node *copy = built.copy(*node, operands);
    for (size_t i = 0; i < copy->outputs.size(); ++i) {
      built.region->add_output(label_of(*node->output(i)), copy->output(i));
    }
    const std::string broken = broken_kernel_rule(*built.region);
    if (!broken.empty() && inner_constants) {
      continue;
    }
    SYLVITE_CHECK(broken.empty(), describe(*node) + " makes no kernel: " + broken);
    Node *kernel = add_kernel(graph, std::move(built), node->sources, node);
    for (size_t i = 0; i < node->outputs.size(); ++i) {
      kernel->output(i)->name = label_of(*node->output(i));
      graph.replace_uses(node->output(i), kernel->output(i));
    }
    erase_unused(graph, node);
    return kernel;
  }
  return nullptr;
}

Node *fuse_kernels(Graph &graph, Node *producer, Node *consumer, bool keep_operand) {
  FusedRegion region = fuse_regions(graph, producer, consumer, keep_operand);
  if (!region.obstacle.empty()) {
    return nullptr;
  }
  Value *kept = region.kept;
  // The kernel's root is its most telling op.
  std::vector<std::string> sources = has_root(*producer) ? producer->sources : consumer->sources;
  merge_sources(sources, producer->sources);
  merge_sources(sources, consumer->sources);
  Node *fused = add_kernel(graph, std::move(region.built), std::move(sources), consumer);
  const auto take_over = [&](Value *from, Value *to) {
    to->name = from->name;
    graph.replace_uses(from, to);
  };
  for (size_t i = 0; i < consumer->outputs.size(); ++i) {
    take_over(consumer->output(i), fused->output(i));
  }
  if (kept != nullptr) {
    take_over(kept, fused->output(consumer->outputs.size()));
  }
  graph.erase(consumer);
  erase_unused(graph, producer);
  if (kept != nullptr) {
    graph.sort();  // readers of the second output may have stood in front of the consumer
  }
  return fused;
}

std::string fusion_obstacle(Graph &graph, const Node &producer, const Node &consumer,
                            bool keep_operand) {
  return fuse_regions(graph, &producer, &consumer, keep_operand).obstacle;
}

}  // namespace sylvite
