// Compiles a kernel region given as IR text for every ISA of this machine, runs it with each tensor
// between guard pages, cut into parts at random, and holds its results for comparison.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "compiler/ir/graph.h"
#include "compiler/kernels/kernels.h"

namespace sylvite {

using SymbolValues = std::map<std::string, int64_t>;

// Bytes that end at (or begin behind) a page which must not be touched.
class GuardedBytes {
 public:
  enum class Edge { End, Begin };
  GuardedBytes(size_t bytes, Edge edge, size_t alignment);
  ~GuardedBytes();
  GuardedBytes(const GuardedBytes &) = delete;
  GuardedBytes &operator=(const GuardedBytes &) = delete;
  std::byte *data() const { return data_; }

 private:
  void *mapping_ = nullptr;
  size_t mapped_ = 0;
  std::byte *data_ = nullptr;
};

// The levels that this machine runs.
std::vector<Isa> machine_isas();

class TestKernel {
 public:
  // `text`: a graph whose body is the kernel's region.
  explicit TestKernel(const std::string &text);
  ~TestKernel();

  const Graph &region() const { return *region_; }
  const Node &node() const { return *node_; }
  const KernelInterface &interface() const { return interface_; }
  const std::string &object_path(Isa isa);

  // Inputs of the region's types: normal floats; whole numbers from [0, integer_limit).
  std::vector<Tensor> random_inputs(const SymbolValues &symbols, uint32_t seed,
                                    int64_t integer_limit = 2) const;

  // Runs parts: a random cut of both axes at multiples of the grains; `whole`: one part.
  std::vector<Tensor> run(Isa isa, const std::vector<Tensor> &inputs, const SymbolValues &symbols,
                          uint32_t seed, bool whole = false);
  // Nanoseconds of the fastest of some calls of the whole kernel, no guard pages.
  double time(Isa isa, const std::vector<Tensor> &inputs, const SymbolValues &symbols);
  std::vector<Tensor> expected(const std::vector<Tensor> &inputs) const;

 private:
  struct Loaded;
  Loaded &load(Isa isa);
  std::vector<int32_t> symbol_values(const SymbolValues &symbols) const;

  std::unique_ptr<Graph> region_;  // as given, for the evaluator
  std::unique_ptr<Graph> outer_;
  const Node *node_ = nullptr;
  KernelInterface interface_;
  std::map<Isa, std::unique_ptr<Loaded>> loaded_;
};

// Whole comparison: every ISA against the evaluator, the ISAs among each other bit by bit, three
// random cuts, both edges. Reports with gtest. `relative` allows |a - b| <= tolerance * max(1,
// |b|).
struct Comparison {
  double tolerance = 1e-5;
  int64_t integer_limit = 2;
  // Changes the random inputs, e.g. to sow infinities.
  std::function<void(std::vector<Tensor> &, std::mt19937 &)> adjust = nullptr;
};
void expect_matches(TestKernel &kernel, const SymbolValues &symbols, const Comparison &how = {});
bool same_bits(const Tensor &a, const Tensor &b);

}  // namespace sylvite
