#include "tests/kernels/harness.h"

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>

#include "compiler/ir/error.h"
#include "compiler/ir/evaluate.h"
#include "compiler/ir/kernel_traits.h"
#include "compiler/ir/text.h"
#include "runtime/abi.h"
#include "tests/temporary_folder.h"

namespace sylvite {
namespace {

constexpr size_t kPage = 4096;

std::filesystem::path test_folder() {
  static const testing::TemporaryFolder folder;
  return folder.path();
}

syl_halide_buffer buffer_at(const void *host) {
  static syl_halide_dimension dimensions[8] = {};
  syl_halide_buffer buffer{};
  buffer.host = static_cast<uint8_t *>(const_cast<void *>(host));
  buffer.dim = dimensions;
  return buffer;
}

// Positions 0 = p0 <= p1 <= ... = extent, at multiples of the grain.
std::vector<int64_t> random_cuts(int64_t extent, int64_t grain, std::mt19937 &random) {
  std::vector<int64_t> cuts = {0, extent};
  const int64_t units = (extent + grain - 1) / grain;
  for (uint32_t i = random() % 3; i > 0 && units > 1; --i) {
    cuts.push_back(std::min<int64_t>(extent, static_cast<int64_t>(random()) % units * grain));
  }
  std::sort(cuts.begin(), cuts.end());
  return cuts;
}

// Of this thread alone: other work on the machine does not count.
double thread_nanoseconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

}  // namespace

GuardedBytes::GuardedBytes(size_t bytes, Edge edge, size_t alignment) {
  const size_t pages = (bytes + kPage - 1) / kPage * kPage + kPage;
  mapped_ = pages + 2 * kPage;
  mapping_ = mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  SYLVITE_CHECK(mapping_ != MAP_FAILED);
  std::byte *first = static_cast<std::byte *>(mapping_);
  mprotect(first, kPage, PROT_NONE);
  mprotect(first + mapped_ - kPage, kPage, PROT_NONE);
  data_ = first + kPage;
  if (edge == Edge::End) {
    const uintptr_t end = reinterpret_cast<uintptr_t>(first + mapped_ - kPage);
    data_ = reinterpret_cast<std::byte *>((end - bytes) / alignment * alignment);
  }
}

GuardedBytes::~GuardedBytes() {
  munmap(mapping_, mapped_);
}

std::vector<Isa> machine_isas() {
  std::vector<Isa> isas;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    isas.push_back(Isa::X86_64_V3);
  }
  if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512cd")) {
    isas.push_back(Isa::X86_64_V4);
  }
  return isas;
}

struct TestKernel::Loaded {
  std::string object;
  void *handle = nullptr;
  sylvite_kernel_function function = nullptr;
  ~Loaded() {
    if (handle != nullptr) {
      dlclose(handle);
    }
  }
};

TestKernel::TestKernel(const std::string &text) : region_(parse_graph(text)) {
  std::unique_ptr<Graph> body = parse_graph(text);
  outer_ = std::make_unique<Graph>();
  outer_->symbols = body->symbols;
  outer_->guards = body->guards;
  std::vector<Value *> inputs;
  for (const Value *input : body->inputs()) {
    inputs.push_back(outer_->add_input(input->name, input->type));
  }
  const Node *root = root_of(*body);
  std::vector<std::unique_ptr<Graph>> regions;
  regions.push_back(std::move(body));
  node_ = outer_->add(Op::Kernel, inputs, {{"root", root == nullptr ? "none" : name_of(root->op)}},
                      std::move(regions), {"test"});
  interface_ = kernel_interface(*node_);
}

TestKernel::~TestKernel() = default;

TestKernel::Loaded &TestKernel::load(Isa isa) {
  std::unique_ptr<Loaded> &loaded = loaded_[isa];
  if (loaded != nullptr) {
    return *loaded;
  }
  static int count = 0;
  KernelRequest request;
  request.isa = isa;
#ifdef __SANITIZE_ADDRESS__
  request.sanitize_address = true;
#endif
#ifdef __SANITIZE_THREAD__
  request.sanitize_thread = true;
#endif
  std::string text;
  const char *show = std::getenv("SYLVITE_SHOW");
  if (show != nullptr) {
    request.text = std::string(show) == "asm" ? KernelText::Assembly : KernelText::Statement;
  }
  const auto start = std::chrono::steady_clock::now();
  const KernelObject object = compile_kernel(*node_, request, show != nullptr ? &text : nullptr);
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  loaded = std::make_unique<Loaded>();
  const std::string base = (test_folder() / ("kernel" + std::to_string(count++))).string();
  loaded->object = base + ".o";
  std::ofstream(loaded->object, std::ios::binary)
      .write(object.object.data(), static_cast<std::streamsize>(object.object.size()));
  if (show != nullptr) {
    std::ofstream("/tmp/sylvite_kernel." + std::string(show) + name_of(isa)) << text;
  }
  if (std::getenv("SYLVITE_VERBOSE") != nullptr) {
    std::printf("    %s %s: %zu bytes, %.0f ms\n", interface_.root.c_str(), name_of(isa),
                object.object.size(), seconds * 1e3);
  }
  const std::string link = "ld -shared -o " + base + ".so " + loaded->object;
  SYLVITE_CHECK(std::system(link.c_str()) == 0);
  loaded->handle = dlopen((base + ".so").c_str(), RTLD_NOW | RTLD_LOCAL);
  SYLVITE_CHECK(loaded->handle != nullptr, std::string(dlerror()));
  loaded->function =
      reinterpret_cast<sylvite_kernel_function>(dlsym(loaded->handle, object.symbol.c_str()));
  SYLVITE_CHECK(loaded->function != nullptr, object.symbol);
  return *loaded;
}

const std::string &TestKernel::object_path(Isa isa) {
  return load(isa).object;
}

std::vector<Tensor> TestKernel::random_inputs(const SymbolValues &symbols, uint32_t seed,
                                              int64_t integer_limit) const {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal;
  std::vector<Tensor> tensors;
  for (const Value *input : region_->inputs()) {
    std::vector<int64_t> shape;
    for (const Dim &dim : input->type.shape) {
      shape.push_back(evaluate(dim, symbols));
    }
    Tensor tensor(input->type.dtype, shape);
    for (int64_t i = 0; i < tensor.count(); ++i) {
      if (is_float(input->type.dtype)) {
        tensor.set(i, normal(random));
      } else {
        tensor.set_int(i, static_cast<int64_t>(random() % static_cast<uint64_t>(integer_limit)));
      }
    }
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

std::vector<int32_t> TestKernel::symbol_values(const SymbolValues &symbols) const {
  std::vector<int32_t> values;
  for (const Dim &symbol : interface_.symbols) {
    values.push_back(static_cast<int32_t>(evaluate(symbol, symbols)));
  }
  return values;
}

std::vector<Tensor> TestKernel::run(Isa isa, const std::vector<Tensor> &inputs,
                                    const SymbolValues &symbols, uint32_t seed, bool whole) {
  const sylvite_kernel_function function = load(isa).function;
  std::mt19937 random(seed);
  const GuardedBytes::Edge edge =
      random() % 2 == 0 ? GuardedBytes::Edge::End : GuardedBytes::Edge::Begin;
  std::vector<std::unique_ptr<GuardedBytes>> guarded;
  std::vector<syl_halide_buffer> buffers;
  const Graph &region = *region_;
  // Weights are aligned to 64 bytes, model inputs only to their elements.
  const auto guard = [&](size_t bytes, size_t alignment) {
    guarded.push_back(std::make_unique<GuardedBytes>(bytes, edge, alignment));
    buffers.push_back(buffer_at(guarded.back()->data()));
    return guarded.back()->data();
  };
  const bool aligned = root_of(region) != nullptr && root_of(region)->op == Op::MatMulPanels;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const bool panels = aligned && root_of(region)->input(1) == region.inputs()[i];
    std::byte *bytes = guard(inputs[i].bytes().size(),
                             panels ? 64 : static_cast<size_t>(size_of(inputs[i].dtype())));
    std::memcpy(bytes, inputs[i].bytes().data(), inputs[i].bytes().size());
  }
  const int64_t scratch = evaluate(interface_.scratch_bytes, symbols);
  if (!interface_.scratch_bytes.is(0)) {
    guard(static_cast<size_t>(scratch), 64);
  }
  std::vector<Tensor> outputs;
  const size_t first_output = buffers.size();
  for (size_t i = 0; i < region.output_count(); ++i) {
    std::vector<int64_t> shape;
    for (const Dim &dim : region.output(i)->type.shape) {
      shape.push_back(evaluate(dim, symbols));
    }
    outputs.emplace_back(region.output(i)->type.dtype, shape);
    std::byte *bytes =
        guard(outputs.back().bytes().size(), static_cast<size_t>(size_of(outputs.back().dtype())));
    std::memset(bytes, 0xff, outputs.back().bytes().size());
  }
  std::vector<int32_t> values = symbol_values(symbols);
  const int64_t extent0 = evaluate(interface_.extent0, symbols);
  const int64_t extent1 = evaluate(interface_.extent1, symbols);
  const size_t level = static_cast<size_t>(isa);
  std::vector<int64_t> cuts0 = {0, extent0}, cuts1 = {0, extent1};
  if (!whole) {
    cuts0 = random_cuts(extent0, interface_.grain0[level], random);
    cuts1 = random_cuts(extent1, interface_.grain1[level], random);
  }
  for (size_t i = 0; i + 1 < cuts0.size(); ++i) {
    for (size_t k = 0; k + 1 < cuts1.size(); ++k) {
      int32_t bounds[4] = {static_cast<int32_t>(cuts0[i]), static_cast<int32_t>(cuts0[i + 1]),
                           static_cast<int32_t>(cuts1[k]), static_cast<int32_t>(cuts1[k + 1])};
      if (bounds[0] == bounds[1] || bounds[2] == bounds[3]) {
        continue;
      }
      std::vector<void *> arguments;
      for (int32_t &bound : bounds) {
        arguments.push_back(&bound);
      }
      for (int32_t &value : values) {
        arguments.push_back(&value);
      }
      for (syl_halide_buffer &buffer : buffers) {
        arguments.push_back(&buffer);
      }
      EXPECT_EQ(function(arguments.data()), 0);
    }
  }
  for (size_t i = 0; i < outputs.size(); ++i) {
    std::memcpy(outputs[i].mutable_bytes(), guarded[first_output + i]->data(),
                outputs[i].bytes().size());
  }
  return outputs;
}

double TestKernel::time(Isa isa, const std::vector<Tensor> &inputs, const SymbolValues &symbols) {
  const sylvite_kernel_function function = load(isa).function;
  std::vector<std::unique_ptr<GuardedBytes>> memory;
  std::vector<syl_halide_buffer> buffers;
  const auto allocate = [&](size_t bytes) {
    memory.push_back(std::make_unique<GuardedBytes>(bytes, GuardedBytes::Edge::Begin, 64));
    buffers.push_back(buffer_at(memory.back()->data()));
    return memory.back()->data();
  };
  for (const Tensor &input : inputs) {
    std::memcpy(allocate(input.bytes().size()), input.bytes().data(), input.bytes().size());
  }
  if (!interface_.scratch_bytes.is(0)) {
    allocate(static_cast<size_t>(evaluate(interface_.scratch_bytes, symbols)));
  }
  for (size_t i = 0; i < region_->output_count(); ++i) {
    const TensorType &type = region_->output(i)->type;
    allocate(
        static_cast<size_t>(evaluate(element_count(type.shape), symbols) * size_of(type.dtype)));
  }
  std::vector<int32_t> values = symbol_values(symbols);
  int32_t bounds[4] = {0, static_cast<int32_t>(evaluate(interface_.extent0, symbols)), 0,
                       static_cast<int32_t>(evaluate(interface_.extent1, symbols))};
  std::vector<void *> arguments;
  for (int32_t &bound : bounds) {
    arguments.push_back(&bound);
  }
  for (int32_t &value : values) {
    arguments.push_back(&value);
  }
  for (syl_halide_buffer &buffer : buffers) {
    arguments.push_back(&buffer);
  }
  double best = 1e300, total = 0;
  for (int i = 0; i < 100000 && total < 2e8; ++i) {
    const double start = thread_nanoseconds();
    function(arguments.data());
    const double taken = thread_nanoseconds() - start;
    best = std::min(best, taken);
    total += taken;
  }
  return best;
}

std::vector<Tensor> TestKernel::expected(const std::vector<Tensor> &inputs) const {
  return evaluate(*region_, inputs);
}

bool same_bits(const Tensor &a, const Tensor &b) {
  return a.bytes().size() == b.bytes().size() &&
         std::memcmp(a.bytes().data(), b.bytes().data(), a.bytes().size()) == 0;
}

namespace {

void expect_close(const Tensor &got, const Tensor &want, double tolerance,
                  const std::string &what) {
  ASSERT_EQ(got.shape(), want.shape()) << what;
  int64_t bad = 0;
  for (int64_t i = 0; i < want.count(); ++i) {
    const double a = got.at(i), b = want.at(i);
    const bool good = std::isnan(b)   ? std::isnan(a)
                      : std::isinf(b) ? a == b
                                      : std::fabs(a - b) <= tolerance * std::max(1.0, std::fabs(b));
    if (!good && bad++ < 3) {
      ADD_FAILURE() << what << ": element " << i << " is " << a << ", expected " << b;
    }
  }
  if (bad > 3) {
    ADD_FAILURE() << what << ": " << bad << " of " << want.count() << " elements differ";
  }
}

}  // namespace

void expect_matches(TestKernel &kernel, const SymbolValues &symbols, const Comparison &how) {
  std::string where;  // "sub(f16, f16)"
  for (const auto &node : kernel.region().nodes()) {
    where += (where.empty() ? "" : " ") + std::string(name_of(node->op));
  }
  for (const Value *input : kernel.region().inputs()) {
    where += (input->index == 0 ? "(" : ", ") + std::string(name_of(input->type.dtype));
  }
  where += ")";
  for (const auto &[symbol, value] : symbols) {
    where += " " + symbol + "=" + std::to_string(value);
  }
  std::vector<Tensor> inputs = kernel.random_inputs(symbols, 1, how.integer_limit);
  if (how.adjust) {
    std::mt19937 random(2);
    how.adjust(inputs, random);
  }
  const std::vector<Tensor> want = kernel.expected(inputs);
  std::vector<Tensor> first;
  for (const Isa isa : machine_isas()) {
    for (uint32_t seed = 0; seed < 4; ++seed) {
      const std::vector<Tensor> got = kernel.run(isa, inputs, symbols, seed, seed == 0);
      const std::string what = where + " " + name_of(isa) + " cut " + std::to_string(seed);
      if (first.empty()) {
        for (size_t i = 0; i < got.size(); ++i) {
          expect_close(got[i], want[i], how.tolerance, what + " output " + std::to_string(i));
        }
        first = got;
        continue;
      }
      for (size_t i = 0; i < got.size(); ++i) {
        EXPECT_TRUE(same_bits(got[i], first[i])) << what << ": output " << i << " differs from "
                                                 << name_of(machine_isas()[0]) << " whole";
      }
    }
  }
}

}  // namespace sylvite
