// How many ids a graph takes stands in its plan: embeddings are lookups, and the plan checks a
// lookup's indices against its bound. So nothing here needs to know how a model is built.
#include "compiler/driver/check_translator.h"

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "compiler/driver/tokenizer_files.h"
#include "compiler/ir/closest.h"
#include "compiler/ir/compose.h"
#include "compiler/ir/error.h"

namespace sylvite {
namespace {

// "; did you mean 'logits'?"
std::string suggestion(const std::string &name, const std::vector<std::string> &known) {
  return known.empty() ? "; there are none" : "; did you mean '" + closest(name, known) + "'?";
}

bool is_tokens(const TensorType &type) {
  return type.rank() == 2 && (type.dtype == DType::I64 || type.dtype == DType::I32);
}

void check_tokens_input(const Graph &graph, const std::string &name) {
  const TensorType &type = input_of(graph, name).type;
  if (!is_tokens(type)) {
    throw_model_error("input '", name, "' is ", to_string(type),
                      "; expected tokens, i64 or i32 [batch, length]");
  }
}

void check_mask_input(const Graph &graph, const std::string &name) {
  if (name.empty()) {
    return;
  }
  const TensorType &type = input_of(graph, name).type;
  if (type.rank() != 2) {
    throw_model_error("input '", name, "' is ", to_string(type),
                      "; expected a mask [batch, length]");
  }
}

// The number of ids that an input of tokens may hold; nothing where the plan bounds none.
std::optional<int64_t> ids_of_input(const Plan &plan, int32_t input) {
  std::optional<int64_t> ids;
  for (const PlanIndexCheck &check : plan.checks) {
    const std::optional<int64_t> bound = check.bound.constant();
    if (check.buffer == input && bound) {
      ids = std::min(ids.value_or(*bound), *bound);
    }
  }
  return ids;
}

// An id beyond `ids`, which `of` describes, in what `where` names.
void check_id(const std::string &where, int64_t id, std::optional<int64_t> ids, const char *of) {
  if (ids && id >= *ids) {
    throw_model_error(where, " has id ", id, ", but ", of, " has only ", *ids, " ids");
  }
}

class Checker {
 public:
  Checker(const TranslateManifest &manifest, const LoweredTranslator &translator)
      : manifest_(manifest),
        task_(translator.task),
        encode_(translator.encode.plan),
        step_(translator.step.plan) {}

  void check() const {
    check_encode_inputs();
    check_step_inputs();
    check_links();
    check_caches();
    const PlanTensor &scores = step_.outputs.at(static_cast<size_t>(task_.settings.scores));
    const std::optional<int64_t> vocabulary = scores.type.shape.back().constant();
    if (!vocabulary) {
      throw_model_error(manifest_.step.file.string(), ": output '", scores.name, "' is ",
                        to_string(scores.type), "; the vocabulary's size must be fixed");
    }
    check_ids(*vocabulary);
  }

 private:
  void check_encode_inputs() const {
    if (manifest_.encoder.mask == manifest_.encoder.tokens) {
      throw_model_error(manifest_.encoder.file.string(), ": input '", manifest_.encoder.tokens,
                        "' is named twice in ", kManifestName, ", as tokens and as mask");
    }
    for (const PlanTensor &input : encode_.inputs) {
      if (input.name != manifest_.encoder.tokens && input.name != manifest_.encoder.mask) {
        without_meaning(manifest_.encoder.file, input.name, "tokens or mask");
      }
    }
  }

  void check_step_inputs() const {
    const sylvite_translate_task &t = task_.settings;
    std::vector<int32_t> known = {t.step_tokens, t.step_mask, t.rows, t.past, t.table, t.position};
    known.insert(known.end(), task_.caches.begin(), task_.caches.end());
    for (const sylvite_link &link : task_.links) {
      known.push_back(link.input);
    }
    for (size_t i = 0; i < step_.inputs.size(); ++i) {
      const auto meanings = std::count(known.begin(), known.end(), static_cast<int32_t>(i));
      if (meanings == 0) {
        without_meaning(manifest_.step.file, step_.inputs[i].name,
                        manifest_.combined ? "source, target or a mask"
                                           : "tokens, mask, or one of sources or caches");
      } else if (meanings > 1) {
        throw_model_error(manifest_.step.file.string(), ": input '", step_.inputs[i].name,
                          "' is named twice in ", kManifestName, ", as two different things");
      }
    }
  }

  // Rows of what comes from encode are told apart by the batch, which must be an axis of its own:
  // of heads and sources on one axis nothing says in which order they stand there.
  void check_links() const {
    const Shape tokens =
        encode_.inputs.at(static_cast<size_t>(task_.settings.source_tokens)).type.shape;
    const std::string batch = tokens[0].as_symbol().value_or("");
    for (const sylvite_link &link : task_.links) {
      if (link.output < 0) {
        continue;
      }
      const PlanTensor &output = encode_.outputs.at(static_cast<size_t>(link.output));
      for (const Dim &dim : output.type.shape) {
        if (dim != tokens[0] && mentions(dim, batch)) {
          throw_model_error(manifest_.encoder.file.string(), ": output '", output.name, "' is ",
                            to_string(output.type), "; which part of ", dim.str(),
                            " belongs to which sentence cannot be told: export it with the batch "
                            "as an axis of its own");
        }
      }
    }
  }

  // Pools have blocks of a fixed size, and their rows come and go.
  void check_caches() const {
    const auto shape_of = [&](int32_t input) {
      return step_.inputs.at(static_cast<size_t>(input)).type.shape;
    };
    const Dim batch = shape_of(task_.settings.step_tokens)[0];
    if (!task_.caches.empty() && batch.constant().value_or(1) != 1) {
      throw_model_error(manifest_.step.file.string(), ": input '", manifest_.step.tokens,
                        "' has a batch of ", batch.str(), "; with caches it must be dynamic, or 1");
    }
    for (size_t i = 0; i < task_.caches.size(); ++i) {
      const Shape pool = shape_of(task_.caches[i]);
      if (!pool[1].is_constant() || !pool[3].is_constant()) {
        throw_model_error(manifest_.step.file.string(), ": input '", manifest_.step.caches[i].past,
                          "' has ", pool[1].str(), " heads of size ", pool[3].str(),
                          "; both must be fixed");
      }
    }
  }

  [[noreturn]] static void without_meaning(const std::filesystem::path &file,
                                           const std::string &name, const char *expected) {
    throw_model_error(file.string(), ": nothing says what input '", name, "' is: name it as ",
                      expected, " in ", kManifestName);
  }

  std::string vocabulary_of(bool source) const {
    const TranslateManifest::Tokenizers &files = manifest_.tokenizers;
    const std::filesystem::path &model = source ? files.source : files.target;
    const std::filesystem::path &ids = source ? files.source_vocabulary : files.target_vocabulary;
    return !ids.empty()     ? ids.string()
           : !model.empty() ? model.string()
                            : (manifest_.folder / "vocab.json").string();
  }

  void check_ids(int64_t vocabulary) const {
    const sylvite_translate_task &t = task_.settings;
    const std::optional<int64_t> source = ids_of_input(encode_, t.source_tokens);
    const std::optional<int64_t> target = ids_of_input(step_, t.step_tokens);
    check_id(vocabulary_of(true) + ": its last word", id_count(task_.source) - 1, source,
             "the encoder");
    // The words that a decoder takes or gives: those beyond its scores are never generated, but
    // then the list is another model's.
    const std::string last = vocabulary_of(false) + ": its last word";
    check_id(last, id_count(task_.target) - 1, target, "the decoder");
    check_id(last, id_count(task_.target) - 1, vocabulary, "the decoder's scores");
    const auto check_token = [&](const char *key, int64_t id, std::optional<int64_t> ids,
                                 const char *of) {
      check_id(manifest_.origin + ": the " + key + " token", id, ids, of);
    };
    check_token("padding", t.pad, source, "the encoder");
    check_token("source's first", t.source_prefix, source, "the encoder");
    check_token("source's last", t.source_suffix, source, "the encoder");
    const std::pair<const char *, int32_t> targets[] = {{"start", t.start},
                                                        {"end", t.end},
                                                        {"forced first", t.forced_start},
                                                        {"forced last", t.forced_end}};
    for (const auto &[key, id] : targets) {
      check_token(key, id, target, "the decoder");
      check_token(key, id, vocabulary, "the decoder's scores");
    }
    for (const int32_t id : task_.banned) {
      check_token("banned", id, vocabulary, "the decoder's scores");
    }
  }

  const TranslateManifest &manifest_;
  const TranslateTask &task_;
  const Plan &encode_, &step_;
};

}  // namespace

const Value &input_of(const Graph &graph, const std::string &name) {
  const Value *input = find_input(graph, name);
  if (input == nullptr) {
    std::vector<std::string> known;
    for (const Value *each : graph.inputs()) {
      known.push_back(each->name);
    }
    throw_model_error("there is no input '", name, "'", suggestion(name, known));
  }
  return *input;
}

const Value &output_of(const Graph &graph, const std::string &name) {
  const Value *output = find_output(graph, name);
  if (output == nullptr) {
    std::vector<std::string> known;
    for (size_t i = 0; i < graph.output_count(); ++i) {
      known.push_back(graph.output_name(i));
    }
    throw_model_error("there is no output '", name, "'", suggestion(name, known));
  }
  return *output;
}

void check_encoder(const Graph &graph, const TranslateManifest::Encoder &encoder) {
  check_tokens_input(graph, encoder.tokens);
  check_mask_input(graph, encoder.mask);
}

void check_decoder(const Graph &graph, const TranslateManifest::Decoder &decoder) {
  check_tokens_input(graph, decoder.tokens);
  check_mask_input(graph, decoder.mask);
  const TensorType &scores = output_of(graph, decoder.scores).type;
  if ((scores.rank() != 3 && scores.rank() != 2) || !is_float(scores.dtype)) {
    throw_model_error("output '", decoder.scores, "' is ", to_string(scores),
                      "; expected scores [batch, length, vocabulary]");
  }
  for (const auto &[input, from] : decoder.sources) {
    input_of(graph, input);
  }
  for (const CachePair &cache : decoder.caches) {
    input_of(graph, cache.past);
    if (find_output(graph, cache.present) == nullptr) {
      try {
        output_of(graph, cache.present);
      } catch (const ModelError &error) {
        throw_model_error("the past '", cache.past, "' has no present: ", error.what());
      }
    }
  }
}

void check_translator(const TranslateManifest &manifest, const LoweredTranslator &translator) {
  Checker(manifest, translator).check();
}

}  // namespace sylvite
