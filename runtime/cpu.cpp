// CPU detection by cpuid, and by xgetbv: the operating system must save the wide registers, or a
// context switch would lose them (some virtual machines mask one but not the other). Levels are
// those of the x86-64 psABI; as far as kernels go, v3 is AVX2 with FMA and v4 adds five parts of
// AVX-512.
#include "runtime/cpu.h"

#include <cpuid.h>
#include <xmmintrin.h>

#include <cstdint>

namespace sylvite {
namespace {

enum class Word { Leaf1Ecx, Leaf7Ebx, ExtendedEcx, SavedRegisters };

struct Feature {
  const char *name;
  sylvite_isa isa;  // the first level that needs it
  Word word;
  uint64_t bits;  // all of them
};

constexpr Feature kFeatures[] = {
    {"avx", SYL_X86_64_V3, Word::Leaf1Ecx, 1u << 28},
    {"avx2", SYL_X86_64_V3, Word::Leaf7Ebx, 1u << 5},
    {"fma", SYL_X86_64_V3, Word::Leaf1Ecx, 1u << 12},
    {"bmi1", SYL_X86_64_V3, Word::Leaf7Ebx, 1u << 3},
    {"bmi2", SYL_X86_64_V3, Word::Leaf7Ebx, 1u << 8},
    {"f16c", SYL_X86_64_V3, Word::Leaf1Ecx, 1u << 29},
    {"lzcnt", SYL_X86_64_V3, Word::ExtendedEcx, 1u << 5},
    {"movbe", SYL_X86_64_V3, Word::Leaf1Ecx, 1u << 22},
    {"256-bit registers saved by the operating system", SYL_X86_64_V3, Word::SavedRegisters, 0x6},
    {"avx512f", SYL_X86_64_V4, Word::Leaf7Ebx, 1u << 16},
    {"avx512dq", SYL_X86_64_V4, Word::Leaf7Ebx, 1u << 17},
    {"avx512cd", SYL_X86_64_V4, Word::Leaf7Ebx, 1u << 28},
    {"avx512bw", SYL_X86_64_V4, Word::Leaf7Ebx, 1u << 30},
    {"avx512vl", SYL_X86_64_V4, Word::Leaf7Ebx, 1u << 31},
    {"512-bit registers saved by the operating system", SYL_X86_64_V4, Word::SavedRegisters, 0xe6},
};

uint64_t word_of(const CpuFeatures &cpu, Word word) {
  switch (word) {
    case Word::Leaf1Ecx:
      return cpu.leaf1_ecx;
    case Word::Leaf7Ebx:
      return cpu.leaf7_ebx;
    case Word::ExtendedEcx:
      return cpu.extended_ecx;
    case Word::SavedRegisters:
      return cpu.saved_registers;
  }
  return 0;
}

constexpr unsigned kDefaultMxcsr = 0x1f80;  // all exceptions masked, nearest, no flush to zero

}  // namespace

CpuFeatures detect_cpu() {
  CpuFeatures cpu;
  uint32_t a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid(1, &a, &b, &c, &d) != 0) {
    cpu.leaf1_ecx = c;
  }
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) != 0) {
    cpu.leaf7_ebx = b;
  }
  if (__get_cpuid(0x80000001u, &a, &b, &c, &d) != 0) {
    cpu.extended_ecx = c;
  }
  constexpr uint32_t kOsxsave = 1u << 27;
  if ((cpu.leaf1_ecx & kOsxsave) != 0) {
    uint32_t low = 0, high = 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    cpu.saved_registers = static_cast<uint64_t>(high) << 32 | low;
  }
  return cpu;
}

const char *missing_feature(const CpuFeatures &cpu, sylvite_isa isa) {
  for (const Feature &feature : kFeatures) {
    if (feature.isa <= isa && (word_of(cpu, feature.word) & feature.bits) != feature.bits) {
      return feature.name;
    }
  }
  return nullptr;
}

const char *missing_feature(sylvite_isa isa) {
  return missing_feature(detect_cpu(), isa);
}

std::optional<sylvite_isa> parse_isa(std::string_view name) {
  for (int i = 0; i < kSylviteIsaCount; ++i) {
    if (name == kIsaNames[i]) {
      return static_cast<sylvite_isa>(i);
    }
  }
  return std::nullopt;
}

DefaultFloatControl::DefaultFloatControl() : saved_(_mm_getcsr()) {
  _mm_setcsr(kDefaultMxcsr);
}
DefaultFloatControl::~DefaultFloatControl() {
  _mm_setcsr(saved_);
}

}  // namespace sylvite
