// What stands in the objects: deterministic bytes, no approximate instructions, no calls but to
// what a runtime without Halide offers; and the keys that share them.
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <set>
#include <sstream>
#include <thread>

#include "tests/kernels/harness.h"

namespace sylvite {
namespace {

// The harness gives kernels the sanitizer of the build.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

const std::vector<std::string> &sample_regions() {
  static const std::vector<std::string> regions = {
      R"(graph (x: f32[b, l, 96], w: f32[18, 96, 16], c: f32[288]) {
        y = matmul_panels(x, w) {n = 288}
        z = add(y, c)
        return z })",
      R"(graph (x: f32[b, l, 40], g: f32[40], r: f32[b, l, 40]) {
        s = add(x, r)
        n = layer_norm(s, g) {axis = 2, epsilon = 1e-05}
        return n, s })",
      R"(graph (x: f32[b, l, w]) { y = softmax(x) {axis = 2} return y })",
      R"(graph (q: f32[b, h, l, 32], k: f32[b, h, l, 32], v: f32[b, h, l, 32]) {
        a = attention(q, k, v) [
          graph (s: f32[b, h, l, l]) {
            c = constant {value = f32[] (0.18)}
            t = mul(s, c)
            return t },
          graph (p: f32[b, h, l, l]) { return p } ]
        return a })",
      R"(graph (x: f32[b, l]) { a = sqrt(x) o = constant {value = f32[] (1)} y = div(o, a) e = exp(y) t = tanh(e) return t })",
      R"(graph (a: f32[b, m, k], c: f32[b, k, n]) { y = matmul(a, c) return y })",
      R"(graph (x: f32[b, l, w]) { y = reduce(x) {kind = mean, axes = (1), keepdims = 0} return y })",
  };
  return regions;
}

std::string output_of(const std::string &command) {
  std::string text;
  FILE *pipe = popen(command.c_str(), "r");
  std::array<char, 4096> buffer;
  for (size_t n = 0; (n = fread(buffer.data(), 1, buffer.size(), pipe)) > 0;) {
    text.append(buffer.data(), n);
  }
  EXPECT_EQ(pclose(pipe), 0) << command;
  return text;
}

TEST(Objects, NoApproximateInstructions) {
  for (const std::string &text : sample_regions()) {
    TestKernel kernel(text);
    for (const Isa isa : machine_isas()) {
      const std::string code =
          output_of("objdump -d --no-show-raw-insn " + kernel.object_path(isa));
      for (const char *mnemonic : {"vrsqrt", "vrcp", "rsqrtps", "rcpps", "vexp2"}) {
        EXPECT_EQ(code.find(mnemonic), std::string::npos) << mnemonic << " in " << text;
      }
    }
  }
}

TEST(Objects, CallNothingButTheLibrary) {
  const std::set<std::string> allowed = {"memset", "memcpy", "memmove"};
  for (const std::string &text : sample_regions()) {
    TestKernel kernel(text);
    for (const Isa isa : machine_isas()) {
      std::istringstream lines(output_of("nm -u " + kernel.object_path(isa)));
      std::string kind, symbol;
      while (lines >> kind >> symbol) {
        const bool sanitizer = symbol.starts_with("__asan_") || symbol.starts_with("__tsan_");
        EXPECT_TRUE(allowed.count(symbol) != 0 || (kSanitized && sanitizer))
            << symbol << " in " << text;
      }
    }
  }
}

TEST(Objects, SameBytesEveryTime) {
  std::vector<std::unique_ptr<TestKernel>> kernels;
  std::vector<KernelObject> first;
  for (const std::string &text : sample_regions()) {
    kernels.push_back(std::make_unique<TestKernel>(text));
    first.push_back(compile_kernel(kernels.back()->node(), {.isa = Isa::X86_64_V3}));
    EXPECT_LT(first.back().object.size(), 30000u) << text;
  }
  std::vector<KernelObject> again(kernels.size());
  std::vector<std::thread> threads;
  for (size_t i = kernels.size(); i-- > 0;) {
    threads.emplace_back(
        [&, i] { again[i] = compile_kernel(kernels[i]->node(), {.isa = Isa::X86_64_V3}); });
  }
  for (std::thread &thread : threads) {
    thread.join();
  }
  for (size_t i = 0; i < kernels.size(); ++i) {
    EXPECT_EQ(first[i].symbol, again[i].symbol);
    EXPECT_TRUE(first[i].object == again[i].object) << sample_regions()[i];
  }
}

TEST(Objects, TextForms) {
  TestKernel kernel(sample_regions()[4]);
  std::string text;
  compile_kernel(kernel.node(), {.isa = Isa::X86_64_V3, .text = KernelText::Statement}, &text);
  EXPECT_NE(text.find("produce out0"), std::string::npos);
  compile_kernel(kernel.node(), {.isa = Isa::X86_64_V3, .text = KernelText::Assembly}, &text);
  EXPECT_NE(text.find("vsqrtps"), std::string::npos);
}

TEST(Objects, Sanitized) {
  TestKernel kernel(sample_regions()[1]);
  const KernelRequest address = {.isa = Isa::X86_64_V3, .sanitize_address = true};
  const KernelRequest thread = {.isa = Isa::X86_64_V3, .sanitize_thread = true};
  const auto mentions = [&](const KernelRequest &request, const std::string &what) {
    const KernelObject object = compile_kernel(kernel.node(), request);
    return std::string(object.object.begin(), object.object.end()).find(what) != std::string::npos;
  };
  EXPECT_TRUE(mentions(address, "__asan_report"));
  EXPECT_TRUE(mentions(thread, "__tsan_"));
}

std::string key_of(const std::string &text, Isa isa = Isa::X86_64_V3, bool sanitize = false) {
  return kernel_key(TestKernel(text).node(), isa, sanitize);
}

TEST(Keys, NamesDoNotCount) {
  const char *one = R"(graph (x: f32[batch, length]) { y = exp(x) return y })";
  const char *other = R"(graph (hidden: f32[n, a]) { result = exp(hidden) return result })";
  EXPECT_EQ(key_of(one), key_of(other));
  EXPECT_EQ(TestKernel(one).interface().symbols,
            (std::vector<Dim>{Dim::symbol("batch"), Dim::symbol("length")}));
  EXPECT_EQ(TestKernel(other).interface().symbols,
            (std::vector<Dim>{Dim::symbol("n"), Dim::symbol("a")}));
}

TEST(Keys, EverythingElseCounts) {
  const std::set<std::string> keys = {
      key_of(R"(graph (x: f32[n, m]) { y = exp(x) return y })"),
      key_of(R"(graph (x: f32[n, n]) { y = exp(x) return y })"),
      key_of(R"(graph (x: f32[n, 4]) { y = exp(x) return y })"),
      key_of(R"(graph (x: f64[n, m]) { y = exp(x) return y })"),
      key_of(R"(graph (x: f32[n, m]) { y = tanh(x) return y })"),
      key_of(R"(graph (x: f32[n, m]) { y = softmax(x) {axis = 0} return y })"),
      key_of(R"(graph (x: f32[n, m]) { y = softmax(x) {axis = 1} return y })"),
      key_of(R"(graph (x: f32[n, m]) { c = constant {value = f32[] (1)} y = add(x, c) return y })"),
      key_of(R"(graph (x: f32[n, m]) { c = constant {value = f32[] (2)} y = add(x, c) return y })"),
      key_of(R"(graph (x: f32[n, m]) { y = exp(x) return y })", Isa::X86_64_V4),
      key_of(R"(graph (x: f32[n, m]) { y = exp(x) return y })", Isa::X86_64_V3, true),
  };
  EXPECT_EQ(keys.size(), 11u);
}

}  // namespace
}  // namespace sylvite
