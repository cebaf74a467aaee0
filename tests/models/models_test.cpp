// Every model of working.txt in every respect that a release promises.
//
// Each respect is a test of its own, so that one that breaks is seen by its name; the kernel cache
// in the build folder makes the second compilation of a model cheap.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <cstring>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "compiler/driver/compare_tensors.h"
#include "compiler/driver/fusion_names.h"
#include "compiler/driver/inspect_report.h"
#include "compiler/driver/self_test.h"
#include "compiler/driver/tensor_npz.h"
#include "compiler/ir/error.h"
#include "compiler/ir/evaluate.h"
#include "tests/models/compiled_variant.h"
#include "tests/models/model_folder.h"
#include "tests/runtime/allocation_counter.h"

namespace sylvite::testing {
namespace {

namespace fs = std::filesystem;
using Sizes = std::map<std::string, int64_t>;

bool same_bits(const Tensor &a, const Tensor &b) {
  return a.dtype() == b.dtype() && a.shape() == b.shape() &&
         std::memcmp(a.bytes().data(), b.bytes().data(), a.bytes().size()) == 0;
}

void expect_close(const std::vector<Tensor> &got, const std::vector<Tensor> &expected,
                  const Plan &plan, double rtol, double atol) {
  ASSERT_EQ(got.size(), expected.size());
  for (size_t i = 0; i < got.size(); ++i) {
    const Comparison found = compare_tensors(got[i], expected[i], rtol, atol);
    EXPECT_TRUE(found.ok()) << plan.outputs[i].name << ": " << describe_type(got[i])
                            << ", expected " << describe_type(expected[i]) << "; " << found.wrong
                            << " of " << found.count << " are off, the worst at "
                            << coordinates(expected[i].shape(), found.worst) << ": "
                            << found.worst_got << ", expected " << found.worst_expected;
  }
}

void expect_same_bits(const std::vector<Tensor> &got, const std::vector<Tensor> &expected,
                      const Plan &plan) {
  ASSERT_EQ(got.size(), expected.size());
  for (size_t i = 0; i < got.size(); ++i) {
    EXPECT_TRUE(same_bits(got[i], expected[i])) << plan.outputs[i].name;
  }
}

// Rows [begin, end) of a tensor along `axis`.
Tensor cut(const Tensor &tensor, size_t axis, int64_t begin, int64_t end) {
  std::vector<int64_t> shape = tensor.shape();
  const int64_t size = shape[axis];
  shape[axis] = end - begin;
  Tensor part(tensor.dtype(), shape);
  const int64_t inner = std::accumulate(shape.begin() + static_cast<std::ptrdiff_t>(axis) + 1,
                                        shape.end(), size_of(tensor.dtype()), std::multiplies<>());
  const int64_t outer =
      std::accumulate(shape.begin(), shape.begin() + static_cast<std::ptrdiff_t>(axis), int64_t{1},
                      std::multiplies<>());
  for (int64_t i = 0; i < outer; ++i) {
    std::memcpy(part.mutable_bytes() + i * (end - begin) * inner,
                tensor.bytes().data() + (i * size + begin) * inner,
                static_cast<size_t>((end - begin) * inner));
  }
  return part;
}

// The axis of a type that has exactly one of these symbols as its size.
std::optional<size_t> axis_of(const TensorType &type, const std::set<std::string> &symbols) {
  for (size_t axis = 0; axis < type.shape.size(); ++axis) {
    const std::optional<std::string> symbol = type.shape[axis].as_symbol();
    if (symbol && symbols.count(*symbol) != 0) {
      return axis;
    }
  }
  return std::nullopt;
}

// The symbols that the dynamic axes called `name` have in the plan: exporters may give one size
// several.
std::set<std::string> symbols_called(const Plan &plan, const GraphFile &graph,
                                     const std::string &name) {
  std::set<std::string> found;
  for (const PlanTensor &input : plan.inputs) {
    const auto axes = graph.dynamic.find(input.name);
    for (const auto &[axis, called] :
         axes == graph.dynamic.end() ? std::map<int, std::string>() : axes->second) {
      const std::optional<std::string> symbol =
          input.type.shape[static_cast<size_t>(axis)].as_symbol();
      if (called == name && symbol) {
        found.insert(*symbol);
      }
    }
  }
  return found;
}

class Model : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (fs::exists(bundled_models() / GetParam())) {
      folder_ = read_model_folder(bundled_models() / GetParam());
      return;
    }
    const std::map<std::string, fs::path> corpus = corpus_folders();
    if (corpus.count(GetParam()) == 0) {
      GTEST_SKIP() << "SYLVITE_CORPUS is not set or does not hold it";
    }
    folder_ = read_model_folder(corpus.at(GetParam()));
  }

  std::vector<Tensor> inputs_of(const Plan &plan, const GraphFile &graph,
                                const std::string &which) const {
    const fs::path &file = graph.cases.at(which).first;
    return match_tensors(plan.inputs, read_tensors(file), file.string());
  }
  std::vector<Tensor> expected_of(const Plan &plan, const GraphFile &graph,
                                  const std::string &which) const {
    const fs::path &file = graph.cases.at(which).second;
    return match_tensors(plan.outputs, read_tensors(file), file.string());
  }

  ModelFolder folder_;
};

// ---- Right answers
// --------------------------------------------------------------------------------------

class Answers : public Model {
 protected:
  void check(Fusion fusion) {
    for (const GraphFile &graph : folder_.graphs) {
      SCOPED_TRACE(graph.file.filename());
      const std::unique_ptr<CompiledVariant> variant = compile_variant(graph.file, fusion);
      const Plan &plan = variant->model.plan;
      for (const std::string isa : {"x86-64-v3", ""}) {
        const std::unique_ptr<LoadedModel> loaded = load(*variant, isa);
        for (const int threads : {1, 2}) {
          SCOPED_TRACE(loaded->isa() + ", threads " + std::to_string(threads));
          ModelContext context(*loaded, threads);
          for (const auto &[which, files] : graph.cases) {
            SCOPED_TRACE("case " + which);
            expect_close(context.run(inputs_of(plan, graph, which)),
                         expected_of(plan, graph, which), plan, folder_.rtol, folder_.atol);
          }
        }
      }
    }
  }
};

TEST_P(Answers, WithEveryFusion) {
  check(Fusion::All);
}

TEST_P(Answers, WithoutFusions) {
  check(Fusion::None);
}

// Sizes that no exporter or npz file knows, against the reference evaluator on the graph as
// imported. What the evaluator refuses (a length beyond the position table), the program must
// refuse too.
TEST_P(Answers, AtOtherSizes) {
  for (const GraphFile &graph : folder_.graphs) {
    const std::unique_ptr<CompiledVariant> variant = compile_variant(graph.file, Fusion::All);
    const LoweredModel &model = variant->model;
    const std::unique_ptr<LoadedModel> loaded = load(*variant);
    ModelContext context(*loaded, 2);
    int compared = 0;
    for (const int64_t batch : {1, 2, 7}) {
      for (const int64_t length : {1, 5, 13, 24}) {
        Sizes sizes;
        for (const auto &[input, axes] : graph.dynamic) {
          for (const auto &[axis, name] : axes) {
            sizes[name] = axis == 0 ? batch : length;
          }
        }
        SCOPED_TRACE(graph.file.filename().string() + " at batch " + std::to_string(batch) +
                     ", other sizes " + std::to_string(length));
        const std::vector<Tensor> inputs =
            generate_inputs(model.plan, plan_sizes(model.plan, graph, sizes), 7);
        std::vector<Tensor> expected;
        try {
          expected = evaluate(*model.source, inputs);
        } catch (const ModelError &) {
          EXPECT_THROW(context.run(inputs), ModelError);
          continue;
        }
        expect_close(context.run(inputs), expected, model.plan, folder_.rtol, folder_.atol);
        ++compared;
      }
    }
    EXPECT_GE(compared, 3);
  }
}

// ---- Fusions
// --------------------------------------------------------------------------------------------

TEST_P(Model, IsFusedAsOftenAsItCanBe) {
  for (const GraphFile &graph : folder_.graphs) {
    const LoweredModel model = lower_model(graph.file);
    std::map<std::string, int> found;
    for (const auto &[kind, count] : fusion_names(model.fused)) {
      found[kind] = count;
    }
    std::string misses;
    for (const NearMiss &miss : model.graph->near_misses) {
      misses += "\nnearly " + miss.kind + " at " + miss.node + ": " + miss.condition;
    }
    for (const char *kind : {"attention", "add_norm", "ffn"}) {
      // Where each head is a module of its own, one by one is right, and all as one.
      const auto merged = graph.expect.find(std::string(kind) + "_if_heads_merged");
      if (graph.expect.count(kind) != 0 &&
          (merged == graph.expect.end() || found[kind] != merged->second)) {
        EXPECT_EQ(found[kind], graph.expect.at(kind)) << kind << misses;
      }
    }
  }
}

// ---- The same bits
// --------------------------------------------------------------------------------------

class Bits : public Model {
 protected:
  // Calls `check` with each graph compiled, its inputs at a batch of 7, and the outputs for them.
  void for_each_graph(const std::function<void(const GraphFile &, const CompiledVariant &,
                                               const std::vector<Tensor> &inputs,
                                               const std::vector<Tensor> &outputs)> &check) {
    for (const GraphFile &graph : folder_.graphs) {
      SCOPED_TRACE(graph.file.filename());
      const std::unique_ptr<CompiledVariant> variant = compile_variant(graph.file, Fusion::All);
      const Plan &plan = variant->model.plan;
      Sizes sizes;
      for (const auto &[input, axes] : graph.dynamic) {
        for (const auto &[axis, name] : axes) {
          sizes[name] = axis == 0 ? 7 : 11;
        }
      }
      const std::vector<Tensor> inputs = generate_inputs(plan, plan_sizes(plan, graph, sizes), 3);
      const std::unique_ptr<LoadedModel> loaded = load(*variant, "x86-64-v3");
      ModelContext context(*loaded, 1);
      check(graph, *variant, inputs, context.run(inputs));
    }
  }
};

TEST_P(Bits, DoNotDependOnThreads) {
  for_each_graph([](const GraphFile &, const CompiledVariant &variant,
                    const std::vector<Tensor> &inputs, const std::vector<Tensor> &outputs) {
    const std::unique_ptr<LoadedModel> loaded = load(variant, "x86-64-v3");
    for (const int threads : {2, 3}) {
      ModelContext context(*loaded, threads);
      expect_same_bits(context.run(inputs), outputs, variant.model.plan);
    }
  });
}

TEST_P(Bits, DoNotDependOnTheIsa) {
  if (!host_has_v4()) {
    GTEST_SKIP() << "this machine has no AVX-512";
  }
  for_each_graph([](const GraphFile &, const CompiledVariant &variant,
                    const std::vector<Tensor> &inputs, const std::vector<Tensor> &outputs) {
    const std::unique_ptr<LoadedModel> loaded = load(variant, "x86-64-v4");
    ASSERT_EQ(loaded->isa(), "x86-64-v4");
    ModelContext context(*loaded, 2);
    expect_same_bits(context.run(inputs), outputs, variant.model.plan);
  });
}

// Rows of the batch, alone and in smaller batches, at other positions.
TEST_P(Bits, DoNotDependOnTheRestOfTheBatch) {
  for_each_graph([](const GraphFile &graph, const CompiledVariant &variant,
                    const std::vector<Tensor> &inputs, const std::vector<Tensor> &outputs) {
    const Plan &plan = variant.model.plan;
    const std::set<std::string> batch = symbols_called(plan, graph, "batch");
    ASSERT_FALSE(batch.empty());
    for (const std::string isa : {"x86-64-v3", ""}) {
      const std::unique_ptr<LoadedModel> loaded = load(variant, isa);
      ModelContext context(*loaded, 2);
      for (const auto &[begin, end] :
           std::vector<std::pair<int64_t, int64_t>>{{0, 1}, {3, 4}, {5, 7}}) {
        SCOPED_TRACE(loaded->isa() + ", rows from " + std::to_string(begin));
        std::vector<Tensor> part = inputs;
        for (size_t i = 0; i < part.size(); ++i) {
          if (const std::optional<size_t> axis = axis_of(plan.inputs[i].type, batch)) {
            part[i] = cut(part[i], *axis, begin, end);
          }
        }
        const std::vector<Tensor> found = context.run(part);
        int compared = 0;
        for (size_t i = 0; i < found.size(); ++i) {
          if (const std::optional<size_t> axis = axis_of(plan.outputs[i].type, batch)) {
            EXPECT_TRUE(same_bits(found[i], cut(outputs[i], *axis, begin, end)))
                << plan.outputs[i].name;
            ++compared;
          }
        }
        EXPECT_GT(compared, 0);
      }
    }
  });
}

// A batch makes the shorter sequence longer by masked positions: what is not masked keeps its bits.
TEST_P(Bits, DoNotDependOnPadding) {
  if (std::none_of(folder_.graphs.begin(), folder_.graphs.end(), [](const GraphFile &graph) {
        return graph.dynamic.count("attention_mask") != 0;
      })) {
    GTEST_SKIP() << "its inputs have no padding";
  }
  for_each_graph([](const GraphFile &graph, const CompiledVariant &variant,
                    const std::vector<Tensor> &inputs, const std::vector<Tensor> &) {
    const Plan &plan = variant.model.plan;
    const std::set<std::string> length = symbols_called(plan, graph, "length");
    const auto is_mask = [](const PlanTensor &tensor) { return tensor.name == "attention_mask"; };
    if (length.empty() || std::none_of(plan.inputs.begin(), plan.inputs.end(), is_mask)) {
      return;  // another graph of the folder
    }
    constexpr int64_t kShort = 6;
    std::vector<Tensor> padded = inputs, alone = inputs;
    for (size_t i = 0; i < inputs.size(); ++i) {
      const std::optional<size_t> axis = axis_of(plan.inputs[i].type, length);
      if (axis && is_mask(plan.inputs[i])) {
        Tensor mask(inputs[i].dtype(), inputs[i].shape());
        for (int64_t k = 0; k < mask.count(); ++k) {
          mask.set_int(k, k % mask.shape()[*axis] < kShort ? 1 : 0);
        }
        padded[i] = mask;
      }
      if (axis) {
        alone[i] = cut(padded[i], *axis, 0, kShort);
      }
    }
    for (const std::string isa : {"x86-64-v3", ""}) {
      const std::unique_ptr<LoadedModel> loaded = load(variant, isa);
      ModelContext context(*loaded, 2);
      const std::vector<Tensor> with = context.run(padded), without = context.run(alone);
      for (size_t i = 0; i < with.size(); ++i) {
        const std::optional<size_t> axis = axis_of(plan.outputs[i].type, length);
        EXPECT_TRUE(same_bits(axis ? cut(with[i], *axis, 0, kShort) : with[i], without[i]))
            << plan.outputs[i].name << " on " << loaded->isa();
      }
    }
  });
}

// ---- Memory and threads
// ---------------------------------------------------------------------------------

TEST_P(Model, AllocatesNothingAfterTheFirstRun) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers allocate";
#endif
  for (const GraphFile &graph : folder_.graphs) {
    const std::unique_ptr<CompiledVariant> variant = compile_variant(graph.file, Fusion::All);
    const std::unique_ptr<LoadedModel> loaded = load(*variant);
    for (const int threads : {1, 2}) {
      ModelContext context(*loaded, threads);
      for (const auto &[which, files] : graph.cases) {
        const std::vector<Tensor> inputs = inputs_of(variant->model.plan, graph, which);
        const std::vector<sylvite_tensor> views = tensor_views(inputs);
        context.run(views);
        const int64_t before = allocation_count();
        context.run(views);
        context.run(views);
        EXPECT_EQ(allocation_count(), before) << "case " << which << ", threads " << threads;
      }
    }
  }
}

// What `inspect` says of the arena is what a run takes.
TEST_P(Model, TakesTheArenaThatIsReported) {
  for (const GraphFile &graph : folder_.graphs) {
    const std::unique_ptr<CompiledVariant> variant = compile_variant(graph.file, Fusion::All);
    const Plan &plan = variant->model.plan;
    const std::unique_ptr<LoadedModel> loaded = load(*variant);
    ModelContext context(*loaded, 1);
    for (const auto &[which, files] : graph.cases) {
      const std::vector<Tensor> inputs = inputs_of(plan, graph, which);
      context.run(inputs);
      Sizes sizes;
      for (const PlanBinding &binding : plan.bindings) {
        const Tensor &input = inputs[static_cast<size_t>(binding.input)];
        const int64_t size = binding.contents ? input.at_int(binding.axis)
                                              : input.shape()[static_cast<size_t>(binding.axis)];
        sizes[binding.symbol] = (size - evaluate(binding.offset, sizes)) / binding.coefficient;
      }
      const nlohmann::json report = nlohmann::json::parse(inspect_json(variant->model, sizes));
      EXPECT_EQ(report["arena_bytes"]["at"]["bytes"], sylvite_context_arena_bytes(context.handle()))
          << "case " << which;
    }
  }
}

// Kernels get their memory from the plan: none may refer to Halide's allocator.
TEST_P(Model, HasNoKernelThatAllocates) {
  for (const GraphFile &graph : folder_.graphs) {
    const std::unique_ptr<CompiledVariant> variant = compile_variant(graph.file, Fusion::All);
    for (const std::vector<char> &object : variant->compiled.objects) {
      const std::string_view bytes(object.data(), object.size());
      EXPECT_EQ(bytes.find("halide_malloc"), std::string_view::npos);
    }
  }
}

TEST_P(Model, RunsInTwoThreadsAtOnce) {
  for (const GraphFile &graph : folder_.graphs) {
    const std::unique_ptr<CompiledVariant> variant = compile_variant(graph.file, Fusion::All);
    const Plan &plan = variant->model.plan;
    const std::unique_ptr<LoadedModel> loaded = load(*variant);
    std::map<std::string, std::vector<Tensor>> alone;
    ModelContext context(*loaded, 1);
    for (const auto &[which, files] : graph.cases) {
      alone[which] = context.run(inputs_of(plan, graph, which));
    }
    // The threads run different cases at the same time, each several times and in turns.
    const auto work = [&](bool backwards, bool &right) {
      ModelContext own(*loaded, 2);
      std::vector<std::string> order;
      for (const auto &[which, files] : graph.cases) {
        order.insert(backwards ? order.begin() : order.end(), which);
      }
      right = true;
      for (int round = 0; round < 10; ++round) {
        for (const std::string &which : order) {
          const std::vector<Tensor> found = own.run(inputs_of(plan, graph, which));
          for (size_t i = 0; i < found.size(); ++i) {
            right &= same_bits(found[i], alone.at(which)[i]);
          }
        }
      }
    };
    bool first = false, second = false;
    {
      std::jthread other([&] { work(true, second); });
      work(false, first);
    }
    EXPECT_TRUE(first && second);
  }
}

std::string test_name(const ::testing::TestParamInfo<std::string> &info) {
  std::string name = info.param;
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Models, Model, ::testing::ValuesIn(working_models()), test_name);
INSTANTIATE_TEST_SUITE_P(Models, Answers, ::testing::ValuesIn(working_models()), test_name);
INSTANTIATE_TEST_SUITE_P(Models, Bits, ::testing::ValuesIn(working_models()), test_name);

}  // namespace
}  // namespace sylvite::testing
