// The machine's ceiling: fused multiply-adds per second, measured here and now.
#pragma once

#include "compiler/kernels/kernels.h"

namespace sylvite {

// GFLOP/s (a multiply-add counts two) of all threads together, best of a few short rounds. Measured in the
// same run as the kernels that are compared with it: clocks and neighbours of a virtual machine change.
double measure_fma_peak(Isa isa, int threads);

}  // namespace sylvite
