// Every model of working.txt in every respect that a release promises.
//
// Each respect is a test of its own, so that one that breaks is seen by its name; the kernel cache
// in the build folder makes the second compilation of a model cheap.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
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
#include "compiler/driver/inspect_report.h"
#include "compiler/driver/self_test.h"
#include "compiler/driver/tensor_npz.h"
#include "compiler/ir/error.h"
#include "compiler/ir/evaluate.h"
#include "passes/passes.h"
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

// What the first axis of the first input is called where it may have any size.
std::string batch_name(const Plan &plan, const GraphFile &graph) {
  for (const PlanTensor &input : plan.inputs) {
    const auto axes = graph.dynamic.find(input.name);
    if (axes != graph.dynamic.end() && axes->second.count(0) != 0) {
      return axes->second.at(0);
    }
  }
  return "";
}

// The dynamic sizes that a case has, by name.
Sizes sizes_of_case(const GraphFile &graph, const fs::path &inputs) {
  Sizes sizes;
  for (const NamedTensor &input : read_tensors(inputs.string())) {
    const auto axes = graph.dynamic.find(input.name);
    for (const auto &[axis, name] :
         axes == graph.dynamic.end() ? std::map<int, std::string>() : axes->second) {
      sizes[name] = input.tensor.shape()[static_cast<size_t>(axis)];
    }
  }
  return sizes;
}

// This batch, and `other` for every other size; but what was the sum of two others in all cases
// ("total" = "past" + "length") is it here.
Sizes sizes_at(const GraphFile &graph, int64_t batch, int64_t other) {
  Sizes sizes;
  for (const auto &[input, axes] : graph.dynamic) {
    for (const auto &[axis, name] : axes) {
      sizes.try_emplace(name, other);
    }
  }
  for (const auto &[input, axes] : graph.dynamic) {
    if (axes.count(0) != 0) {
      sizes[axes.at(0)] = batch;
    }
  }
  std::vector<Sizes> cases;
  for (const auto &[which, files] : graph.cases) {
    cases.push_back(sizes_of_case(graph, files.first));
  }
  const Sizes plain = sizes;
  for (const auto &[sum, size] : plain) {
    for (const auto &[a, size_a] : plain) {
      for (const auto &[b, size_b] : plain) {
        if (a < b && cases.size() > 1 &&
            std::all_of(cases.begin(), cases.end(),
                        [&, &sum = sum, &a = a, &b = b](const Sizes &found) {
                          return found.at(sum) == found.at(a) + found.at(b);
                        })) {
          sizes[sum] = size_a + size_b;
        }
      }
    }
  }
  return sizes;
}

class Model : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { folder_ = read_model_folder(find_model_folder(GetParam())); }

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
  void check(const std::vector<std::string> &disabled) {
    for (const GraphFile &graph : folder_.graphs) {
      SCOPED_TRACE(graph.file.filename());
      const std::unique_ptr<CompiledVariant> variant = compile_variant(graph.file, disabled);
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
  check({});
}

TEST_P(Answers, WithoutFusions) {
  check({kAllFusions});
}

// Sizes that no exporter or npz file knows, against the reference evaluator on the graph as
// imported. What the evaluator refuses (a length beyond the position table), the program must
// refuse too.
TEST_P(Answers, AtOtherSizes) {
  for (const GraphFile &graph : folder_.graphs) {
    const std::unique_ptr<CompiledVariant> variant = compile_variant(graph.file);
    const LoweredModel &model = variant->model;
    const std::unique_ptr<LoadedModel> loaded = load(*variant);
    ModelContext context(*loaded, 2);
    std::vector<Sizes> choices;
    for (const int64_t batch : {1, 2, 7}) {
      for (const int64_t other : {1, 5, 13, 24}) {
        choices.push_back(sizes_at(graph, batch, other));
      }
      // Where the model knows one size only (its images', say), another batch.
      choices.push_back(sizes_of_case(graph, graph.cases.begin()->second.first));
      choices.back()[batch_name(model.plan, graph)] = batch;
    }
    int compared = 0;
    for (const Sizes &sizes : choices) {
      SCOPED_TRACE(graph.file.filename().string() + ::testing::PrintToString(sizes));
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
    EXPECT_GE(compared, 3);
  }
}

// Each fusing pass left out alone: what the others make of the graph then.
class WithoutOneFusion : public Answers {
 protected:
  void SetUp() override {
    Answers::SetUp();
    for (const GraphFile &graph : folder_.graphs) {
      try {
        lower_model(graph.file);
      } catch (const ModelError &error) {
        GTEST_SKIP() << "refused: " << error.what();
      }
    }
  }
};

TEST_P(WithoutOneFusion, IsRight) {
  for (const Pass &pass : all_passes()) {
    if (pass.kind == PassKind::Fusion) {
      SCOPED_TRACE(pass.name);
      check({pass.name});
    }
  }
}

// An encoder with masks, a vision model and a decoder with past; tools/soak takes all that there
// are.
std::vector<std::string> models_without_one_fusion() {
  if (std::getenv("SYLVITE_SOAK") == nullptr) {
    return {"bert-ts14-eager", "vit-ts17-sdpa", "llama-past-ts17"};
  }
  std::vector<std::string> names = bundled_names();
  for (const auto &[name, folder] : corpus_folders()) {
    if (find_model_folder(name) == folder) {
      names.push_back(name);
    }
  }
  return names;
}

// ---- Fusions
// --------------------------------------------------------------------------------------------

TEST_P(Model, IsFusedAsOftenAsItCanBe) {
  for (const GraphFile &graph : folder_.graphs) {
    expect_fused(lower_model(graph.file), graph);
  }
}

// ---- The same bits
// --------------------------------------------------------------------------------------

bool is_refused(const LoweredModel &model, const std::vector<Tensor> &inputs) {
  try {
    evaluate(*model.source, inputs);
    return false;
  } catch (const ModelError &) {
    return true;
  }
}

class Bits : public Model {
 protected:
  // Calls `check` with each graph compiled, its inputs at a batch of 7, and the outputs for them.
  void for_each_graph(const std::function<void(const GraphFile &, const CompiledVariant &,
                                               const std::vector<Tensor> &inputs,
                                               const std::vector<Tensor> &outputs)> &check) {
    for (const GraphFile &graph : folder_.graphs) {
      SCOPED_TRACE(graph.file.filename());
      const std::unique_ptr<CompiledVariant> variant = compile_variant(graph.file);
      const Plan &plan = variant->model.plan;
      std::vector<Tensor> inputs =
          generate_inputs(plan, plan_sizes(plan, graph, sizes_at(graph, 7, 11)), 3);
      if (is_refused(variant->model, inputs)) {  // it knows one size only
        Sizes sizes = sizes_of_case(graph, graph.cases.begin()->second.first);
        sizes[batch_name(plan, graph)] = 7;
        inputs = generate_inputs(plan, plan_sizes(plan, graph, sizes), 3);
      }
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
  if (std::all_of(folder_.graphs.begin(), folder_.graphs.end(), [](const GraphFile &graph) {
        return std::none_of(graph.dynamic.begin(), graph.dynamic.end(),
                            [](const auto &axes) { return axes.second.count(0) != 0; });
      })) {
    GTEST_SKIP() << "its batch has one size";
  }
  for_each_graph([](const GraphFile &graph, const CompiledVariant &variant,
                    const std::vector<Tensor> &inputs, const std::vector<Tensor> &outputs) {
    const Plan &plan = variant.model.plan;
    const std::set<std::string> batch = symbols_called(plan, graph, batch_name(plan, graph));
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
    const auto is_mask = [](const PlanTensor &tensor) { return tensor.name == "attention_mask"; };
    const auto axes = graph.dynamic.find("attention_mask");
    if (axes == graph.dynamic.end() || axes->second.count(1) == 0) {
      return;  // another graph of the folder
    }
    const std::set<std::string> length = symbols_called(plan, graph, axes->second.at(1));
    if (std::all_of(plan.inputs.begin(), plan.inputs.end(), [&](const PlanTensor &input) {
          return is_mask(input) || !axis_of(input.type, length);
        })) {
      return;  // the mask covers a cache as well
    }
    constexpr int64_t kShort = 6;
    std::vector<Tensor> padded = inputs, alone = inputs;
    for (size_t i = 0; i < inputs.size(); ++i) {
      const std::optional<size_t> axis = axis_of(plan.inputs[i].type, length);
      if (axis && *axis + 1 == inputs[i].shape().size() && is_integer(inputs[i].dtype())) {
        for (int64_t k = 0; k < inputs[i].count(); ++k) {
          const bool real = k % inputs[i].shape()[*axis] < kShort;
          padded[i].set_int(k, !real ? 0 : is_mask(plan.inputs[i]) ? 1 : inputs[i].at_int(k));
        }
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
    const std::unique_ptr<CompiledVariant> variant = compile_variant(graph.file);
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
    const std::unique_ptr<CompiledVariant> variant = compile_variant(graph.file);
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
    const std::unique_ptr<CompiledVariant> variant = compile_variant(graph.file);
    for (const std::vector<char> &object : variant->compiled.objects) {
      const std::string_view bytes(object.data(), object.size());
      EXPECT_EQ(bytes.find("halide_malloc"), std::string_view::npos);
    }
  }
}

TEST_P(Model, RunsInTwoThreadsAtOnce) {
  for (const GraphFile &graph : folder_.graphs) {
    const std::unique_ptr<CompiledVariant> variant = compile_variant(graph.file);
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

INSTANTIATE_TEST_SUITE_P(Models, Model, ::testing::ValuesIn(working_models()), test_name);
INSTANTIATE_TEST_SUITE_P(Models, Answers, ::testing::ValuesIn(working_models()), test_name);
INSTANTIATE_TEST_SUITE_P(Models, WithoutOneFusion, ::testing::ValuesIn(models_without_one_fusion()),
                         test_name);
INSTANTIATE_TEST_SUITE_P(Models, Bits, ::testing::ValuesIn(working_models()), test_name);

}  // namespace
}  // namespace sylvite::testing
