// Which of the artifact's instruction set levels this CPU and its operating system can run.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "runtime/abi.h"

namespace sylvite {

inline constexpr const char *kIsaNames[kSylviteIsaCount] = {"x86-64-v3", "x86-64-v4"};

// What cpuid and xgetbv tell.
struct CpuFeatures {
  uint32_t leaf1_ecx = 0, leaf7_ebx = 0, extended_ecx = 0;
  uint64_t saved_registers = 0;  // XCR0
};
CpuFeatures detect_cpu();

// A feature of `isa` that is missing, such as "avx2"; null when there is none.
const char *missing_feature(const CpuFeatures &cpu, sylvite_isa isa);
const char *missing_feature(sylvite_isa isa);  // of this CPU

std::optional<sylvite_isa> parse_isa(std::string_view name);

// The control word of floating-point arithmetic, for the extent of a scope: round to nearest,
// subnormal numbers kept, no traps, whatever the caller has set; then as it was.
class DefaultFloatControl {
 public:
  DefaultFloatControl();
  ~DefaultFloatControl();
  DefaultFloatControl(const DefaultFloatControl &) = delete;
  DefaultFloatControl &operator=(const DefaultFloatControl &) = delete;

 private:
  unsigned saved_;
};

}  // namespace sylvite
