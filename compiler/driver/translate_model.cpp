// encode is the encoder with everything behind it that does not change from token to token: where a
// first decoder is told apart, the keys and values of cross-attention that it makes. step is the
// decoder with its caches in pools, its sources picked by row, and the last position's scores
// alone.
//
// Each graph is imported twice where its sizes need other bounds than usual (a past may be empty, a
// step has one token): the names of these sizes are only known after the first time.
#include "compiler/driver/translate_model.h"

#include <algorithm>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "compiler/driver/check_translator.h"
#include "compiler/ir/closest.h"
#include "compiler/ir/compose.h"
#include "compiler/ir/error.h"

namespace sylvite {
namespace {

// What is wrong with a graph begins with its file.
template <typename Work>
auto in_file(const std::filesystem::path &file, const Work &work) {
  try {
    return work();
  } catch (const ModelError &error) {
    const std::string path = file.string();
    const std::string_view what = error.what();
    throw_model_error(what.substr(0, path.size()) == path ? "" : path + ": ", what);
  }
}

int32_t place_of_input(const Plan &plan, const std::string &name) {
  for (size_t i = 0; i < plan.inputs.size(); ++i) {
    if (plan.inputs[i].name == name) {
      return static_cast<int32_t>(i);
    }
  }
  return -1;
}

int32_t place_of_output(const Plan &plan, const std::string &name) {
  for (size_t i = 0; i < plan.outputs.size(); ++i) {
    if (plan.outputs[i].name == name) {
      return static_cast<int32_t>(i);
    }
  }
  return -1;
}

// What a manifest wants from the encoder and the first decoder, but neither has.
[[noreturn]] void no_such_source(const TranslateManifest &manifest,
                                 const TranslateManifest::Decoder &decoder,
                                 const std::string &input, const std::string &name,
                                 const Graph &encoder,
                                 const std::map<std::string, Value *> &first_outputs) {
  std::vector<std::string> known;
  for (size_t i = 0; i < encoder.output_count(); ++i) {
    known.push_back(encoder.output_name(i));
  }
  for (const Value *value : encoder.inputs()) {
    known.push_back(value->name);
  }
  for (const auto &[output, value] : first_outputs) {
    known.push_back(output);
  }
  throw_model_error(manifest.origin, ": '", name, "', which input '", input, "' of ",
                    decoder.file.filename().string(), " should get, is no output or input of the ",
                    manifest.first ? "encoder or the first decoder" : "encoder", "; did you mean '",
                    closest(name, known), "'?");
}

// The encoder's tensors that the first decoder's `sources` name: outputs, or inputs.
std::map<std::string, Value *> bindings(const Graph &encoder, const TranslateManifest &manifest) {
  std::map<std::string, Value *> bound;
  for (const auto &[input, name] : manifest.first->sources) {
    Value *value = find_output(encoder, name);
    value = value == nullptr ? find_input(encoder, name) : value;
    if (value == nullptr) {
      no_such_source(manifest, *manifest.first, input, name, encoder, {});
    }
    bound[input] = value;
  }
  return bound;
}

LoweredModel import_decoder(const TranslateManifest::Decoder &decoder, LowerOptions options) {
  options.import.fixed_inputs = decoder.branches;
  LoweredModel model = import_model(decoder.file, options);
  in_file(decoder.file, [&] { check_decoder(*model.graph, decoder); });
  return model;
}

// Imports with the sizes of a step: one token, a past that may be empty.
LoweredModel import_step(const TranslateManifest::Decoder &decoder, const LowerOptions &options) {
  LoweredModel model = import_decoder(decoder, options);
  if (decoder.caches.empty()) {
    return model;
  }
  LowerOptions again = options;
  const Shape &tokens = input_of(*model.graph, decoder.tokens).type.shape;
  if (const std::optional<std::string> length = tokens[1].as_symbol()) {
    again.import.fixed_symbols[*length] = 1;
  }
  for (const CachePair &cache : decoder.caches) {
    for (const Dim &dim : input_of(*model.graph, cache.past).type.shape) {
      if (const std::optional<std::string> symbol = dim.as_symbol();
          symbol && *symbol != tokens[0].as_symbol()) {
        again.import.least_sizes[*symbol] = 0;
      }
    }
  }
  return import_decoder(decoder, again);
}

// Names of what step takes from encode, by its own input.
std::vector<std::string> names_of(const std::map<std::string, std::string> &sources) {
  std::vector<std::string> inputs;
  for (const auto &[input, from] : sources) {
    inputs.push_back(input);
  }
  return inputs;
}

// Outputs of encode: all that step takes, but for encode's own inputs.
void add_encoder_outputs(Graph &encoder, const std::map<std::string, Value *> &first_outputs,
                         const TranslateManifest &manifest) {
  std::vector<std::pair<std::string, Value *>> outputs;
  for (const auto &[input, name] : manifest.step.sources) {
    const auto later = first_outputs.find(name);
    Value *value = later != first_outputs.end() ? later->second : find_output(encoder, name);
    const bool known = std::any_of(outputs.begin(), outputs.end(),
                                   [&](const auto &output) { return output.first == name; });
    if (value != nullptr && !known) {
      outputs.emplace_back(name, value);
    } else if (value == nullptr && find_input(encoder, name) == nullptr) {
      no_such_source(manifest, manifest.step, input, name, encoder, first_outputs);
    }
  }
  encoder.clear_outputs();
  for (const auto &[name, value] : outputs) {
    encoder.add_output(name, value);
  }
  encoder.remove_dead();
}

// What is known of a model's file, for another graph that is made of it.
LoweredModel described_as(const LoweredModel &model) {
  LoweredModel other;
  other.file = model.file;
  other.files = model.files;
  other.name = model.name;
  other.model_hash = model.model_hash;
  other.producer = model.producer;
  other.opset = model.opset;
  return other;
}

// One graph of both: encode and step are its parts. What step takes from encode is found, not said.
void split_combined(const TranslateManifest &manifest, const LowerOptions &options,
                    LoweredTranslator &translator, std::map<std::string, std::string> &links) {
  LoweredModel whole = import_model(manifest.step.file, options);
  std::vector<std::string> sources = {manifest.encoder.tokens};
  if (!manifest.encoder.mask.empty()) {
    sources.push_back(manifest.encoder.mask);
  }
  in_file(manifest.step.file, [&] {
    check_encoder(*whole.graph, manifest.encoder);
    check_decoder(*whole.graph, manifest.step);
    keep_outputs(*whole.graph, {manifest.step.scores});
    SplitGraph split = split_at_sources(*whole.graph, sources);
    links = std::move(split.links);
    translator.encode = described_as(whole);
    translator.encode.graph = std::move(split.encode);
    translator.step = std::move(whole);
    translator.step.graph = std::move(split.step);
  });
}

// Cuts the first decoder down to what later steps take from it, which is the source's alone: its
// own tokens have the name of the encoder's, usually, and are not the same.
void keep_what_lasts(Graph &first, const Graph &encoder, const TranslateManifest &manifest) {
  std::vector<std::string> wanted;
  for (const auto &[input, name] : manifest.step.sources) {
    const bool known = std::find(wanted.begin(), wanted.end(), name) != wanted.end();
    if (!known && find_output(encoder, name) == nullptr && find_output(first, name) != nullptr) {
      wanted.push_back(name);
    }
  }
  keep_outputs(first, wanted);
  drop_unused_inputs(first, {});
  drop_unbound_guards(first);
  if (find_input(first, manifest.first->tokens) != nullptr) {
    throw_model_error("what later steps take from it unchanged depends on its tokens, '",
                      manifest.first->tokens, "'");
  }
}

LoweredModel lower_encode(const TranslateManifest &manifest, const LowerOptions &options) {
  LoweredModel model = import_model(manifest.encoder.file, options);
  Graph &graph = *model.graph;
  in_file(manifest.encoder.file, [&] { check_encoder(graph, manifest.encoder); });
  std::map<std::string, Value *> outputs;
  if (manifest.first) {
    const LoweredModel first = import_decoder(*manifest.first, options);
    in_file(manifest.first->file, [&] { check_decoder(*first.graph, *manifest.first); });
    std::map<std::string, Value *> bound = bindings(graph, manifest);
    in_file(manifest.first->file, [&] {
      keep_what_lasts(*first.graph, graph, manifest);
      std::erase_if(bound, [&](const auto &input) {
        return find_input(*first.graph, input.first) == nullptr;
      });
      outputs = add_part(graph, *first.graph, bound);
    });
    model.model_hash += first.model_hash;
  }
  add_encoder_outputs(graph, outputs, manifest);
  drop_unused_inputs(graph, {manifest.encoder.tokens, manifest.encoder.mask});
  lower_graph(model, options);
  return model;
}

// Where encode's tensors have its batch, step's have its own: two graphs may call it by two names.
void align_batches(const TranslateManifest &manifest, const TranslateManifest::Decoder &decoder,
                   const Plan &encode, Graph &step) {
  const int32_t tokens = place_of_input(encode, manifest.encoder.tokens);
  const Dim batch = encode.inputs[static_cast<size_t>(tokens)].type.shape.at(0);
  const Dim own = input_of(step, decoder.tokens).type.shape.at(0);
  for (const auto &[input, name] : decoder.sources) {
    const int32_t output = place_of_output(encode, name), place = place_of_input(encode, name);
    const Value *to = find_input(step, input);
    if (to == nullptr || (output < 0 && place < 0)) {
      continue;
    }
    const TensorType &from = output >= 0 ? encode.outputs[static_cast<size_t>(output)].type
                                         : encode.inputs[static_cast<size_t>(place)].type;
    for (size_t axis = 0; axis < from.shape.size() && from.rank() == to->type.rank(); ++axis) {
      const std::optional<std::string> symbol = to->type.shape[axis].as_symbol();
      if (from.shape[axis] == batch && batch.as_symbol() && symbol && own.as_symbol() &&
          own != to->type.shape[axis]) {
        step.substitute_symbol(*symbol, own);
      }
    }
  }
}

// Turns the decoder's graph into a step.
void lower_step(const TranslateManifest::Decoder &decoder, const LowerOptions &options,
                LoweredModel &model) {
  Graph &graph = *model.graph;
  in_file(decoder.file, [&] {
    if (!decoder.caches.empty()) {
      keep_caches(graph, decoder.caches);
    }
    pick_sources(graph, names_of(decoder.sources),
                 input_of(graph, decoder.tokens).type.shape.at(0));
    const Shape tokens = input_of(graph, decoder.tokens).type.shape;
    keep_scores_of_one(graph, decoder.scores, !decoder.caches.empty() || !tokens[1].constant());
    keep_outputs(graph, {decoder.scores});
  });
  lower_graph(model, options);
}

// A length that the graph fixes.
int32_t fixed_length(const Plan &plan, int32_t input) {
  const Shape &shape = plan.inputs[static_cast<size_t>(input)].type.shape;
  return static_cast<int32_t>(shape.size() == 2 ? shape[1].constant().value_or(0) : 0);
}

void fill_places(const TranslateManifest::Encoder &encoder,
                 const TranslateManifest::Decoder &decoder, LoweredTranslator &translator) {
  const Plan &encode = translator.encode.plan, &step = translator.step.plan;
  TranslateTask &task = translator.task;
  sylvite_translate_task &settings = task.settings;
  settings.source_tokens = place_of_input(encode, encoder.tokens);
  settings.source_mask = place_of_input(encode, encoder.mask);
  settings.step_tokens = place_of_input(step, decoder.tokens);
  settings.step_mask = place_of_input(step, decoder.mask);
  settings.rows = place_of_input(step, kSourceRows);
  settings.past = place_of_input(step, kCachePast);
  settings.table = place_of_input(step, kCacheTable);
  settings.position = place_of_input(step, kScorePosition);
  settings.scores = place_of_output(step, decoder.scores);
  settings.fixed_source = fixed_length(encode, settings.source_tokens);
  settings.fixed_target = decoder.caches.empty() ? fixed_length(step, settings.step_tokens) : 0;
  for (const auto &[input, name] : decoder.sources) {
    const int32_t to = place_of_input(step, input), output = place_of_output(encode, name);
    const int32_t place = place_of_input(encode, name);
    if (to >= 0 && output < 0 && place != settings.source_tokens &&
        (place < 0 || place != settings.source_mask)) {
      throw_model_error("input '", input, "' of the decoder should get '", name,
                        "', which is no output of the encoder, nor its tokens or mask");
    }
    if (to >= 0) {
      task.links.push_back({output >= 0 ? output : -1 - place, to});
    }
  }
  for (const CachePair &cache : decoder.caches) {
    task.caches.push_back(place_of_input(step, cache.past));
  }
}

}  // namespace

LoweredTranslator lower_translator(const TranslateManifest &manifest, const LowerOptions &options) {
  LoweredTranslator translator;
  TranslateManifest::Decoder decoder = manifest.step;
  if (manifest.combined) {
    split_combined(manifest, options, translator, decoder.sources);
    lower_graph(translator.encode, options);
  } else {
    translator.encode = lower_encode(manifest, options);
    translator.step = import_step(decoder, options);
    align_batches(manifest, decoder, translator.encode.plan, *translator.step.graph);
  }
  lower_step(decoder, options, translator.step);
  if (share_panels(*translator.encode.graph, *translator.step.graph, options.pipeline)) {
    plan_again(translator.encode);
  }
  translator.task = manifest.task;
  in_file(manifest.origin, [&] { fill_places(manifest.encoder, decoder, translator); });
  check_translator(manifest, translator);
  return translator;
}

}  // namespace sylvite
