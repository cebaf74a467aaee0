// What finds wrong rewrites must find them: behind each pass of the pipeline, one node of what it
// made is spoiled, as a slip of the pass would, and the check must name the pass and the node.
#include "passes/check_rewrites.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <set>
#include <stdexcept>

#include "compiler/import/import.h"
#include "compiler/ir/error.h"
#include "compiler/ir/evaluate.h"
#include "compiler/ir/text.h"
#include "passes/passes.h"
#include "tests/passes/golden_file.h"
#include "tests/passes/random_graphs.h"

namespace sylvite {
namespace {

using ::testing::HasSubstr;

const std::filesystem::path kModels =
    std::filesystem::path(SYLVITE_SOURCE_DIR) / "tests" / "models";

std::unique_ptr<Graph> imported(const std::string &name) {
  return std::move(import_onnx(kModels / name / "model.onnx").graph);
}

// The pipeline with the check behind each pass, as --check runs it.
int check_pipeline(Graph &graph, PipelineOptions options = {}) {
  RewriteCheck check(graph);
  for (const int64_t batch : {1, 2}) {
    check.add_sample("batch=" + std::to_string(batch),
                     random_inputs(graph, {{"batch", batch}}, 7 + static_cast<uint32_t>(batch)));
  }
  options.changed = [&](const std::string &pass, const Graph &changed) {
    check.step(pass, changed);
  };
  run_pipeline(graph, options);
  return check.steps();
}

class CheckRewrites : public ::testing::TestWithParam<const char *> {};

TEST_P(CheckRewrites, AgreesWithACorrectPipeline) {
  const std::unique_ptr<Graph> graph = imported(GetParam());
  EXPECT_GT(check_pipeline(*graph), 10);
}

INSTANTIATE_TEST_SUITE_P(Models, CheckRewrites,
                         ::testing::Values("digits-vit", "vit-ts17-sdpa", "vit-dynamo18-eager",
                                           "seed-vit-mean-ts14", "bert-ts14-eager",
                                           "bert-dynamo18-eager"),
                         [](const auto &info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST(CheckRewritesOfRandomGraphs, AgreesWithACorrectPipeline) {
  for (uint32_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    check_pipeline(*random_graph(seed));
  }
}

// ---- Planted errors ----

void flatten(const Graph &graph, std::vector<Node *> &nodes) {
  for (const std::unique_ptr<Node> &node : graph.nodes()) {
    nodes.push_back(node.get());
    for (const std::unique_ptr<Graph> &region : node->regions) {
      flatten(*region, nodes);
    }
  }
}

std::vector<Node *> inner_nodes(const Node &node) {
  std::vector<Node *> nodes;
  for (const std::unique_ptr<Graph> &region : node.regions) {
    flatten(*region, nodes);
  }
  return nodes;
}

// What a node is, reads and holds: how those that a pass made are told from those that stood there.
std::string signature(const Node &node) {
  std::string text = name_of(node.op);
  for (const std::unique_ptr<Value> &output : node.outputs) {
    text += " " + output->name + to_string(output->type);
  }
  for (const Value *input : node.inputs) {
    text += "," + input->name + (input->producer ? name_of(input->producer->op) : "");
  }
  for (const Node *inner : inner_nodes(node)) {
    text += ";" + signature(*inner);
  }
  return text;
}

std::set<std::string> signatures(const Graph &graph) {
  std::set<std::string> all;
  for (const std::unique_ptr<Node> &node : graph.nodes()) {
    all.insert(signature(*node));
  }
  return all;
}

// A node, and the one of the graph that it stands in.
struct Made {
  Node *node, *outer;
};
std::vector<Made> made_nodes(const Graph &graph, const std::set<std::string> &before) {
  std::vector<Made> made;
  for (const std::unique_ptr<Node> &node : graph.nodes()) {
    if (before.count(signature(*node)) == 0) {
      made.push_back({node.get(), node.get()});
      for (Node *inner : inner_nodes(*node)) {
        made.push_back({inner, node.get()});
      }
    }
  }
  return made;
}

// Makes a node compute something else of the same type. Whether it could.
bool spoil(Node &node) {
  if (node.outputs[0]->host || !is_float(node.output()->type.dtype)) {
    return false;  // sizes are not for slips
  }
  switch (node.op) {
    case Op::Add:
      node.op = Op::Mul;
      return true;
    case Op::Mul:
      node.op = Op::Add;
      return true;
    case Op::Sub:
    case Op::Div:
      std::swap(node.inputs[0], node.inputs[1]);
      return node.inputs[0] != node.inputs[1];
    case Op::Where:
      if (node.input(1)->type.dtype == node.input(2)->type.dtype) {
        std::swap(node.inputs[1], node.inputs[2]);
        return node.inputs[1] != node.inputs[2];
      }
      return false;
    case Op::Exp:
    case Op::Erf:
    case Op::Tanh:
    case Op::Sqrt:
      node.op = Op::Neg;
      return true;
    case Op::Transpose: {
      const Shape shape = node.output()->type.shape;
      node.op = Op::Reshape;
      node.attributes = {{"shape", shape}};
      return true;
    }
    case Op::LayerNorm:
      node.attributes.set("epsilon", node.attributes.real("epsilon") + 0.1);
      return true;
    case Op::Softmax: {
      const int64_t axis = node.attributes.integer("axis");
      node.attributes.set("axis", axis > 0 ? axis - 1 : axis + 1);
      return node.output()->type.rank() > 1;
    }
    case Op::Constant: {
      const Tensor &old = *node.attributes.tensor("value");
      Tensor reversed(old.dtype(), old.shape());
      for (int64_t i = 0; i < old.count(); ++i) {
        reversed.set(i, old.at(old.count() - 1 - i));
      }
      const bool changed = !same_tensor(old, reversed);
      node.attributes.set("value", std::make_shared<const Tensor>(std::move(reversed)));
      return changed;
    }
    default:
      return false;
  }
}

// Spoils the first of these nodes of this op that can be.
std::optional<Made> spoil_one(const std::vector<Made> &made, Op op) {
  for (const Made &each : made) {
    if (each.node->op == op && spoil(*each.node)) {
      return each;
    }
  }
  return std::nullopt;
}

std::set<Op> ops_of(const std::vector<Made> &made) {
  std::set<Op> ops;
  for (const Made &each : made) {
    ops.insert(each.node->op);
  }
  return ops;
}

std::string verdict(RewriteCheck &check, const std::string &pass, const Graph &graph) {
  try {
    check.step(pass, graph);
  } catch (const InternalError &error) {
    return error.what();
  }
  return "";
}

// The case's graph in front of the pass; null where the case is one in which it does nothing.
std::unique_ptr<Graph> prepared(const GoldenFile &file, const GoldenCase &one) {
  if (one.same) {
    return nullptr;
  }
  std::unique_ptr<Graph> graph = parse_graph(one.input);
  for (const std::string &name : file.prepare) {
    run_pass(*graph, *find_pass(name));
  }
  return graph;
}

// In every case of its own in which a pass does something, one node of each kind that it makes
// there is spoiled. Returns how many such errors were found.
int plant_in_cases(const Pass &pass) {
  int found = 0;
  const GoldenFile file = read_golden(golden_path(pass.name));
  for (const GoldenCase &one : file.cases) {
    SCOPED_TRACE(std::string(pass.name) + ": " + one.title);
    const std::unique_ptr<Graph> before = prepared(file, one);
    if (before == nullptr) {
      continue;
    }
    std::vector<Tensor> inputs, expected;
    try {
      inputs = random_inputs(*before, {}, 3);
      expected = evaluate(*before, inputs);
    } catch (const ModelError &) {
      continue;  // these inputs are none of it
    } catch (const std::out_of_range &) {
      continue;  // nor are these sizes
    }
    const std::unique_ptr<Graph> right = before->clone();
    run_pass(*right, pass);
    RewriteCheck once(*before);
    once.add_sample("3", inputs);
    EXPECT_EQ(verdict(once, pass.name, *right), "");
    for (const Op op : ops_of(made_nodes(*right, signatures(*before)))) {
      const std::unique_ptr<Graph> wrong = right->clone();
      if (!spoil_one(made_nodes(*wrong, signatures(*before)), op)) {
        continue;
      }
      verify(*wrong);
      RewriteCheck check(*before);
      check.add_sample("3", inputs);
      const std::string what = verdict(check, pass.name, *wrong);
      const bool harmless = largest_difference(evaluate(*wrong, inputs), expected) < 1e-5;
      EXPECT_EQ(what.empty(), harmless) << name_of(op) << " spoilt:\n" << print(*wrong) << what;
      if (!harmless) {
        ++found;
        EXPECT_THAT(what, HasSubstr("pass " + std::string(pass.name) + " changes what"));
      }
    }
  }
  return found;
}

TEST(PlantedErrors, AreFoundInTheCasesOfEachPass) {
  for (const Pass &pass : all_passes()) {
    const int found = plant_in_cases(pass);
    if (pass.kind == PassKind::Fusion) {
      EXPECT_GT(found, 0) << pass.name;
    }
  }
}

// What the check says of an error in a model, and which nodes it may speak of.
struct Planted {
  std::string found;
  std::set<std::string> nodes;
};

// The spoilt node's own names, those of the kernel or attention that holds it, and of what reads
// that, here or in the model: a pass need not keep the value itself.
std::set<std::string> names_around(const Made &spoilt, const Graph &model) {
  std::set<std::string> names(spoilt.node->sources.begin(), spoilt.node->sources.end());
  std::vector<const Node *> nodes = {spoilt.outer};
  for (int step = 0; step < 3; ++step) {
    std::vector<const Node *> readers;
    for (const Node *node : nodes) {
      names.insert(node->sources.begin(), node->sources.end());
      for (const std::unique_ptr<Value> &output : node->outputs) {
        readers.insert(readers.end(), output->users.begin(), output->users.end());
      }
    }
    nodes = std::move(readers);
  }
  const std::set<std::string> here = names;
  for (const std::unique_ptr<Node> &node : model.nodes()) {
    for (const Value *input : node->inputs) {
      if (input->producer != nullptr && !input->producer->sources.empty() &&
          here.count(input->producer->sources.front()) != 0) {
        names.insert(node->sources.begin(), node->sources.end());
      }
    }
  }
  return names;
}

// Spoils what the pipeline's step made of a model.
std::optional<Planted> plant_in_model(const Graph &model, size_t step, Op op) {
  const std::unique_ptr<Graph> graph = model.clone();
  std::optional<Planted> planted;
  size_t done = 0;
  std::set<std::string> before;
  PipelineOptions options;
  options.timed = [&](const std::string &, double) {  // stands between the pass and its check
    if (done == step) {
      const std::optional<Made> spoilt = spoil_one(made_nodes(*graph, before), op);
      if (spoilt) {
        planted = Planted{"", names_around(*spoilt, model)};
      }
    }
    if (++done == step) {
      before = signatures(*graph);
    }
  };
  try {
    check_pipeline(*graph, options);
  } catch (const InternalError &error) {
    if (!planted) {
      throw;
    }
    planted->found = error.what();
  }
  return planted;
}

TEST(PlantedErrors, AreNamedInAModel) {
  const std::unique_ptr<Graph> model = imported("bert-ts14-eager");
  int planted = 0;
  for (size_t step = 0; step < pipeline().size(); ++step) {
    const Pass &pass = pipeline()[step];
    if (pass.kind != PassKind::Fusion) {
      continue;
    }
    for (const Op op : {Op::Add, Op::Mul, Op::LayerNorm, Op::Transpose, Op::Constant}) {
      const std::optional<Planted> one = plant_in_model(*model, step, op);
      if (!one) {
        continue;
      }
      SCOPED_TRACE(std::string(pass.name) + ", " + name_of(op) + " spoilt: " + one->found);
      ++planted;
      EXPECT_THAT(one->found, HasSubstr("pass " + std::string(pass.name) + " changes what node '"));
      EXPECT_TRUE(std::any_of(one->nodes.begin(), one->nodes.end(), [&](const std::string &name) {
        return one->found.find("node '" + name + "' computes") != std::string::npos;
      }));
    }
  }
  EXPECT_GT(planted, 15);
}

}  // namespace
}  // namespace sylvite
