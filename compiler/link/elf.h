// A linked program made ready for its weights. Internal to compiler/link.
#pragma once

#include <cstdint>
#include <vector>

namespace sylvite {

// Edits a linked ELF program in memory: drops the section table and turns the note's program header
// into a read-only loadable segment of `bytes`, the last one. Returns where in the file the segment
// starts.
int64_t add_weight_segment(std::vector<char> &program, int64_t bytes);

}  // namespace sylvite
