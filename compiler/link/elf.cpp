// Room for the weights in a program that LLD has linked.
//
// The weights are to be one more loadable segment, mapped by the kernel with the rest, but must not
// pass through the linker, which would read and write gigabytes. A segment needs a program header,
// and the table of these cannot grow: code follows it. So the plan's object holds a small note
// (compiler/codegen/llvm.cpp); notes get a program header of their own, which nobody reads in a
// static program, and this header is made the segment's. It moves behind the last PT_LOAD, since
// loadable segments must stand in ascending order.
//
// The alternatives: a linker script with PHDRS has to repeat the linker's whole layout;
// PT_GNU_STACK cannot be spared, without it the stack is executable.
//
// The section table goes: a stripped program does not need it, and without it no tool mistakes the
// weights for rubbish behind the last section (`strip` refuses the file instead of cutting it).
#include "compiler/link/elf.h"

#include <elf.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <vector>

#include "compiler/ir/error.h"

namespace sylvite {
namespace {

// The segment's place in the file and in memory agree modulo this, so that the kernel may use large
// pages.
constexpr uint64_t kLargePage = uint64_t{2} << 20;
constexpr uint64_t kLargestBasePage = uint64_t{64} << 10;
constexpr uint64_t kPage = 4096;

uint64_t aligned(uint64_t value, uint64_t alignment) {
  return (value + alignment - 1) / alignment * alignment;
}

template <typename T>
T read_at(const std::vector<char> &bytes, uint64_t offset) {
  SYLVITE_CHECK(offset <= bytes.size() && sizeof(T) <= bytes.size() - offset);
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

template <typename T>
void write_at(std::vector<char> &bytes, uint64_t offset, const T &value) {
  SYLVITE_CHECK(offset <= bytes.size() && sizeof(T) <= bytes.size() - offset);
  std::memcpy(bytes.data() + offset, &value, sizeof value);
}

}  // namespace

int64_t add_weight_segment(std::vector<char> &program, int64_t bytes) {
  Elf64_Ehdr header = read_at<Elf64_Ehdr>(program, 0);
  SYLVITE_CHECK(std::memcmp(header.e_ident, ELFMAG, SELFMAG) == 0 && header.e_type == ET_EXEC);
  std::vector<Elf64_Phdr> segments;
  segments.reserve(header.e_phnum);
  for (int i = 0; i < header.e_phnum; ++i) {
    segments.push_back(read_at<Elf64_Phdr>(
        program, header.e_phoff + static_cast<uint64_t>(i) * sizeof(Elf64_Phdr)));
  }
  const auto note = std::find_if(segments.begin(), segments.end(),
                                 [](const Elf64_Phdr &s) { return s.p_type == PT_NOTE; });
  SYLVITE_CHECK(note != segments.end(), "the linked program has no note");
  segments.erase(note);
  uint64_t file_end = header.e_phoff + header.e_phnum * sizeof(Elf64_Phdr);
  uint64_t memory_end = 0;
  auto after_last = segments.begin();
  for (auto segment = segments.begin(); segment != segments.end(); ++segment) {
    if (segment->p_type == PT_LOAD) {
      file_end = std::max(file_end, segment->p_offset + segment->p_filesz);
      memory_end = std::max(memory_end, segment->p_vaddr + segment->p_memsz);
      after_last = segment + 1;
    }
  }
  Elf64_Phdr weights{};
  weights.p_type = PT_LOAD;
  weights.p_flags = PF_R;
  weights.p_offset = aligned(file_end, kPage);
  weights.p_vaddr = aligned(memory_end, kLargePage) + weights.p_offset % kLargePage;
  weights.p_paddr = weights.p_vaddr;
  weights.p_filesz = weights.p_memsz = static_cast<uint64_t>(bytes);
  weights.p_align = kLargestBasePage;
  segments.insert(after_last, weights);

  SYLVITE_CHECK(file_end <= program.size());
  program.resize(file_end);
  header.e_shoff = 0;
  header.e_shnum = header.e_shstrndx = 0;
  write_at(program, 0, header);
  for (size_t i = 0; i < segments.size(); ++i) {
    write_at(program, header.e_phoff + i * sizeof(Elf64_Phdr), segments[i]);
  }
  return static_cast<int64_t>(weights.p_offset);
}

}  // namespace sylvite
