// What a manifest says of graphs against the graphs themselves. Whatever does not fit is a
// ModelError of one line that says what, and what was probably meant.
#pragma once

#include "compiler/driver/translate_manifest.h"
#include "compiler/driver/translate_model.h"
#include "compiler/ir/graph.h"

namespace sylvite {

// The graph's input, or output, of this name.
const Value &input_of(const Graph &graph, const std::string &name);
const Value &output_of(const Graph &graph, const std::string &name);

// As imported, before anything is changed: every name that is said of the graph is its own.
void check_encoder(const Graph &graph, const TranslateManifest::Encoder &encoder);
void check_decoder(const Graph &graph, const TranslateManifest::Decoder &decoder);

// As lowered: what a program would refuse when it starts, and tokens and tokenizers against the
// numbers of ids that encoder and decoder have.
void check_translator(const TranslateManifest &manifest, const LoweredTranslator &translator);

}  // namespace sylvite
