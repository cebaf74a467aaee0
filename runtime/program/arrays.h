// The actions of a program on arrays in files: running, the self-test.
#pragma once

#include <vector>

#include "runtime/io/result.h"
#include "runtime/io/tensor_file.h"
#include "runtime/model.h"
#include "runtime/program/options.h"

namespace sylvite {

// The model's inputs, in its order, from the files that the options name.
Result<std::vector<HostTensor>> read_inputs(const sylvite_program &program,
                                            const ProgramOptions &options);

Error run_arrays(const sylvite_model &model, const ProgramOptions &options);

// Prints the largest error of each output of each entry point; an error when one is beyond the
// tolerance.
Error run_self_test(const sylvite_model &model, const ProgramOptions &options);

}  // namespace sylvite
