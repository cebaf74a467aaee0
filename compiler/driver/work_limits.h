// Sizes on a command line may be any number: what would take hours or all memory is refused before
// it begins, unless --no-limit says that it is meant.
#pragma once

#include <string>

#include "compiler/driver/compile_model.h"
#include "compiler/driver/self_test.h"

namespace CLI {
class App;
}

namespace sylvite {

void add_limit_flag(CLI::App &command, bool &no_limit);

// Throw ModelError, with the sizes, for a run of the compiled model, and for one of the reference
// evaluator.
void check_run_limit(const Plan &plan, const SymbolSizes &sizes);
void check_reference_limit(const LoweredModel &model, const SymbolSizes &sizes);
// Why the evaluator cannot do the model so many times; nothing where it can.
std::string reference_excess(const LoweredModel &model, const SymbolSizes &sizes, int evaluations);

}  // namespace sylvite
