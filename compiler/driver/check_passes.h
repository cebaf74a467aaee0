// `compile --check`: the passes once more, and behind each of them the reference evaluator.
#pragma once

#include "compiler/driver/compile_model.h"
#include "compiler/driver/progress.h"
#include "compiler/driver/translate_model.h"

namespace sylvite {

// Prints, on stderr, what was checked ("31 passes changed the graph, all agree at batch=1, length=2
// and batch=2, length=3") or why nothing was. Throws InternalError that names the first pass that
// changes what the model computes, and the node.
void report_check(const LoweredModel &model, const PipelineOptions &options,
                  ProgressLine &progress);
// The same for both entry points.
void report_check(const LoweredTranslator &translator, const PipelineOptions &options,
                  ProgressLine &progress);

}  // namespace sylvite
