// The self-test's inputs must be ones that the model takes: an id beyond the vocabulary is refused,
// a mask of 17s means nothing. What is known of an input stands in the plan already: each check of
// indices names the buffer that it reads and its bound. An input that reaches a check only through
// arithmetic is not known by it; the evaluator then decides: where it refuses the inputs (an index
// out of range, a size that a Reshape does not take), the next sizes are tried.
#include "compiler/driver/self_test.h"

#include <algorithm>

#include "compiler/ir/error.h"
#include "compiler/ir/evaluate.h"

namespace sylvite {
namespace {

// SplitMix64: a few lines that give the same numbers everywhere, unlike <random>'s distributions.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t next() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  int64_t below(int64_t bound) {
    return static_cast<int64_t>(next() % static_cast<uint64_t>(bound));
  }
  // (-1, 1) in steps that every float type but bfloat16 holds exactly.
  double signed_unit() { return (static_cast<double>(below(2047)) - 1023.0) / 1024.0; }

 private:
  uint64_t state_;
};

// The smallest bound of the checks that read this input, or nothing.
std::optional<int64_t> index_bound(const Plan &plan, int input, const SymbolSizes &sizes) {
  std::optional<int64_t> bound;
  const SymbolSizes all = with_variables(plan, sizes);
  for (const PlanIndexCheck &check : plan.checks) {
    if (check.buffer == input) {
      const int64_t found = evaluate(check.bound, all);
      bound = bound ? std::min(*bound, found) : found;
    }
  }
  return bound;
}

void fill_indices(Tensor &tensor, int64_t bound, Random &random) {
  for (int64_t i = 0; i < tensor.count(); ++i) {
    tensor.set_int(i, random.below(std::max<int64_t>(bound, 1)));
  }
}

// Elements that are used as sizes.
void fill_contents(Tensor &tensor, const Plan &plan, int input, const SymbolSizes &sizes) {
  for (const PlanBinding &binding : plan.bindings) {
    if (binding.contents && binding.input == input) {
      tensor.set_int(binding.axis, binding.coefficient * sizes.at(binding.symbol) +
                                       evaluate(binding.offset, sizes));
    }
  }
  for (const PlanSizeCheck &check : plan.size_checks) {
    if (check.contents && check.input == input) {
      tensor.set_int(check.axis, evaluate(check.expected, sizes));
    }
  }
}

void fill_floats(Tensor &tensor, Random &random) {
  for (int64_t i = 0; i < tensor.count(); ++i) {
    tensor.set(i, random.signed_unit());
  }
}

// Each row: 1s for at least half of it, then 0s, as padding looks.
void fill_mask(Tensor &tensor, Random &random) {
  const int64_t length = tensor.rank() > 0 ? tensor.shape().back() : 1;
  for (int64_t begin = 0; begin < tensor.count(); begin += length) {
    const int64_t ones = length - random.below(length / 2 + 1);
    for (int64_t i = 0; i < length; ++i) {
      tensor.set_int(begin + i, i < ones ? 1 : 0);
    }
  }
}

bool within(const SymbolInfo &info, int64_t size) {
  return size >= info.lower && (!info.upper || size <= *info.upper);
}

}  // namespace

std::vector<Tensor> generate_inputs(const Plan &plan, const SymbolSizes &sizes, uint64_t seed) {
  std::vector<Tensor> inputs;
  for (size_t i = 0; i < plan.inputs.size(); ++i) {
    const PlanTensor &wanted = plan.inputs[i];
    std::vector<int64_t> shape;
    for (const Dim &dim : wanted.type.shape) {
      shape.push_back(evaluate(dim, sizes));
      if (shape.back() < 0) {
        throw_model_error("'", wanted.name, "' would have the size ", shape.back());
      }
    }
    Tensor tensor(wanted.type.dtype, shape);
    Random random(seed * 1000003 + i);
    const std::optional<int64_t> bound = index_bound(plan, static_cast<int>(i), sizes);
    if (std::find(plan.contents.begin(), plan.contents.end(), static_cast<int>(i)) !=
        plan.contents.end()) {
      fill_contents(tensor, plan, static_cast<int>(i), sizes);
    } else if (is_float(wanted.type.dtype)) {
      fill_floats(tensor, random);
    } else if (bound) {
      fill_indices(tensor, *bound, random);
    } else {
      fill_mask(tensor, random);
    }
    inputs.push_back(std::move(tensor));
  }
  return inputs;
}

int64_t flops_at(const Plan &plan, const SymbolSizes &sizes) {
  const SymbolSizes all = with_variables(plan, sizes);
  double flops = 0;
  for (size_t i = 0; i < plan.calls.size(); ++i) {
    flops += static_cast<double>(evaluate(plan.calls[i].flops, all)) *
             static_cast<double>(times_called(plan, i, sizes));
  }
  return static_cast<int64_t>(std::min(flops, 1e18));
}

bool sizes_fit(const Plan &plan, const SymbolSizes &sizes) {
  for (const auto &[name, info] : plan.symbols.all()) {
    SymbolSizes::const_iterator size = sizes.find(name);
    if (size != sizes.end() && !within(info, size->second)) {
      return false;
    }
  }
  for (const Guard &guard : plan.guards) {
    if (evaluate(guard.left, sizes) != evaluate(guard.right, sizes)) {
      return false;
    }
  }
  return true;
}

std::optional<SymbolSizes> fitting_sizes(const Plan &plan,
                                         const std::function<int64_t(size_t)> &size_of_symbol) {
  SymbolSizes sizes;
  for (size_t i = 0; i < plan.bindings.size(); ++i) {
    const SymbolInfo *info = plan.symbols.find(plan.bindings[i].symbol);
    int64_t size = size_of_symbol(i);
    if (info != nullptr) {
      size = std::max(size, info->lower);
      size = info->upper ? std::min(size, *info->upper) : size;
    }
    sizes[plan.bindings[i].symbol] = size;
  }
  return sizes_fit(plan, sizes) ? std::optional(sizes) : std::nullopt;
}

std::vector<SymbolSizes> small_sizes(const Plan &plan) {
  static constexpr int64_t kDistinct[] = {2, 3, 5, 7, 11, 13, 17, 19};
  std::vector<SymbolSizes> candidates;
  const auto consider = [&](const std::function<int64_t(size_t)> &size_of_symbol) {
    const std::optional<SymbolSizes> sizes = fitting_sizes(plan, size_of_symbol);
    if (sizes && std::find(candidates.begin(), candidates.end(), *sizes) == candidates.end()) {
      candidates.push_back(*sizes);
    }
  };
  // Batches stand first: the first symbol is the smallest.
  consider([&](size_t i) { return kDistinct[i % std::size(kDistinct)]; });
  for (const int64_t same : {2, 1, 4, 8, 16, 32, 64, 128, 224}) {
    consider([&](size_t) { return same; });
  }
  // Exporters may give past + length a name of its own: each symbol as the sum of two others.
  const size_t symbols = std::min<size_t>(plan.bindings.size(), 6);
  for (const size_t first : {1, 2}) {
    for (size_t sum = 0; sum < symbols; ++sum) {
      for (size_t a = 0; a < symbols; ++a) {
        for (size_t b = a + 1; b < symbols; ++b) {
          if (a != sum && b != sum) {
            consider([&](size_t i) {
              return static_cast<int64_t>(i == sum ? 2 * first + a + b : first + i);
            });
          }
        }
      }
    }
  }
  return candidates;
}

GeneratedSelfTest generate_self_test(const LoweredModel &model) {
  GeneratedSelfTest result;
  result.note = "no small sizes are valid ones for it";
  for (const SymbolSizes &sizes : small_sizes(model.plan)) {
    const int64_t flops = flops_at(model.plan, sizes);
    if (flops > kSelfTestFlops) {
      result.note = "the model is too large for the reference evaluator (" +
                    std::to_string(flops / 1'000'000) + " MFLOP at its smallest; the limit is " +
                    std::to_string(kSelfTestFlops / 1'000'000) + ")";
      continue;
    }
    try {
      SelfTest test;
      test.tensors = generate_inputs(model.plan, sizes, 1);
      std::vector<Tensor> expected = evaluate(*model.source, test.tensors);
      std::move(expected.begin(), expected.end(), std::back_inserter(test.tensors));
      result.test = std::move(test);
      result.note.clear();
      return result;
    } catch (const ModelError &error) {
      result.note = std::string("generated inputs do not fit it: ") + error.what();
    }
  }
  return result;
}

}  // namespace sylvite
