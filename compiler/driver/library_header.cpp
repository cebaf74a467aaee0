// A C header with the descriptor, the numbers of the tensors and a function that opens the model;
// a C++ header with a structure each for inputs and outputs, or the task's class. Both are thin:
// the work is done behind the runtime's interface.
//
// Tensors are called what the model calls them, as far as C++ lets them (library_names.h). Their
// names come from a file that anybody may have written, so that they are made harmless wherever
// they enter a comment or a string.
#include "compiler/driver/library_header.h"

#include <cstddef>
#include <cstdio>
#include <map>

#include "compiler/driver/fill_template.h"
#include "compiler/driver/library_names.h"
#include "compiler/ir/error.h"

namespace sylvite {
namespace {

struct ElementType {
  const char *constant, *type;  // in the headers
  const char *note = "";
};

ElementType element_type(DType dtype) {
  switch (dtype) {
    case DType::F32:
      return {"SYLVITE_F32", "float"};
    case DType::F64:
      return {"SYLVITE_F64", "double"};
    case DType::F16:
      return {"SYLVITE_F16", "std::uint16_t", ": the bits of an IEEE half"};
    case DType::BF16:
      return {"SYLVITE_BF16", "std::uint16_t", ": the upper half of a float's bits"};
    case DType::I8:
      return {"SYLVITE_I8", "std::int8_t"};
    case DType::U8:
      return {"SYLVITE_U8", "std::uint8_t"};
    case DType::I16:
      return {"SYLVITE_I16", "std::int16_t"};
    case DType::U16:
      return {"SYLVITE_U16", "std::uint16_t"};
    case DType::I32:
      return {"SYLVITE_I32", "std::int32_t"};
    case DType::U32:
      return {"SYLVITE_U32", "std::uint32_t"};
    case DType::I64:
      return {"SYLVITE_I64", "std::int64_t"};
    case DType::U64:
      return {"SYLVITE_U64", "std::uint64_t"};
    case DType::Bool:
      return {"SYLVITE_BOOL", "bool"};
  }
  SYLVITE_CHECK(false);
}

// In a comment of either kind: on one line, ending nothing, continuing nothing.
std::string comment_text(const std::string &text) {
  std::string safe;
  for (const char c : text) {
    const bool ends_comment = c == '/' && !safe.empty() && safe.back() == '*';
    safe += static_cast<unsigned char>(c) < 32 || c == 127 || c == '\\' || ends_comment ? '?' : c;
  }
  return safe;
}

std::string string_literal(const std::string &text) {
  std::string literal = "\"";
  for (const char c : text) {
    const unsigned char byte = static_cast<unsigned char>(c);
    if (byte < 32 || byte == 127 || c == '"' || c == '\\' || c == '?') {  // ?: no trigraphs
      char octal[8];
      std::snprintf(octal, sizeof octal, "\\%03o", byte);
      literal += octal;
    } else {
      literal += c;
    }
  }
  return literal + "\"";
}

constexpr const char *kCHeader = R"(/* @ORIGIN@
 * C11; @NAME@.hpp is the C++ form.
 *
 *   sylvite_model *model;
 *   char message[512];
 *   if (@NAME@_open(&model, message, sizeof message) != SYLVITE_OK) { ... }
 *   @EXAMPLE@
 *
@TENSORS@@RULES@ */
#ifndef SYLVITE_MODEL_@NAME@_H_
#define SYLVITE_MODEL_@NAME@_H_

#include <stddef.h>
#include @INCLUDED@

#ifdef __cplusplus
extern "C" {
#endif

/* The compiled model, for sylvite_model_open. */
extern const struct sylvite_program @NAME@_program;

/* Opens the model: looks at the CPU and at the weights' header, and reads nothing else. On failure
 * `message` (may be null) receives the reason, at most `size` bytes. End: sylvite_model_close. */
static inline sylvite_result @NAME@_open(sylvite_model **model, char *message, size_t size) {
  return sylvite_model_open(&@NAME@_program, NULL, model, message, size);
}
@NUMBERS@
#ifdef __cplusplus
}
#endif
#endif
)";

constexpr const char *kCppHeader = R"(// @ORIGIN@
//
@EXAMPLE@//
@RULES@#ifndef SYLVITE_MODEL_@NAME@_HPP_
#define SYLVITE_MODEL_@NAME@_HPP_

#include <array>
#include <cstdint>
#include @INCLUDED@

#include "@NAME@.h"

namespace @NAME@ {

// Opens the model: looks at the CPU and at the weights' header, and reads nothing else.
// A model may be opened any number of times, and one open model shared by all threads.
inline sylvite::Status open(sylvite::Model &model) {
  return model.open(&@NAME@_program);
}
@CLASSES@
}  // namespace @NAME@

#endif
)";

constexpr const char *kContext = R"(
// What the model takes. Read during the run only.
@SIZES@struct Inputs {
@INPUTS@};

// What it gives: in the context's memory, until its next run or its end.
struct Outputs {
@OUTPUTS@};

// Runs the model. After the first run at a set of sizes, runs at these allocate nothing.
class Context : public sylvite::Context {
 public:
@CREATE@
  sylvite::Status run(const Inputs &inputs, Outputs &results) {
    std::array<sylvite_tensor, @INPUT_COUNT@> tensors{};
    sylvite::Status status;
@GIVE@    if (status.ok()) {
      status = sylvite::Context::run(tensors);
    }
    if (status.ok()) {
@TAKE@    }
    return status;
  }
  using sylvite::Context::run;
};
)";

constexpr const char *kGiveInput = R"(    if (status.ok()) {
      status = sylvite::as_input(@NAME@, inputs.@MEMBER@, @DTYPE@, tensors[@NUMBER@]);
    }
)";

constexpr const char *kTask = R"(
// @COMMENT@ @INCLUDED@ says what it does.
class @TASK@ : public sylvite::@TASK@ {
 public:
@CREATE@};
)";

constexpr const char *kCreate = R"(  // threads = 0: as many as the process may use.
  sylvite::Status create(const sylvite::Context::Options &options = {}) {
    sylvite::Model model;
    const sylvite::Status status = open(model);
    return status.ok() ? sylvite::@TASK@::create(model, options) : status;
  }
  using sylvite::@TASK@::create;  // of a model that is open
)";

// How a model is used, in a comment.
constexpr const char *kRunExample = R"(//   @NAME@::Context context;
//   @NAME@::Inputs inputs;
//   @NAME@::Outputs outputs;
@INPUTS@//   sylvite::Status status = context.create();
//   if (status.ok()) {
//     status = context.run(inputs, outputs);
//   }
//   // outputs, or status.message()
)";
constexpr const char *kClassifyExample = R"(//   @NAME@::Classifier classifier;
//   std::vector<sylvite_label> best;
//   sylvite::Status status = classifier.create();
//   if (status.ok()) {
//     status = classifier.classify(bytes_of_a_png_file, 3, best);
//   }
//   // best[0].text and best[0].score, or status.message()
)";
constexpr const char *kTranslateExample = R"(//   @NAME@::Translator translator;
//   std::string translation;
//   sylvite::Status status = translator.create();
//   if (status.ok()) {
//     status = translator.translate("Good morning", translation);
//   }
//   // translation, or status.message()
)";

struct NamedTensorType {
  std::string identifier, name;
  TensorType type;
};

std::vector<NamedTensorType> named(const std::vector<PlanTensor> &tensors,
                                   const std::string &fallback) {
  std::vector<std::string> names;
  for (const PlanTensor &tensor : tensors) {
    names.push_back(tensor.name);
  }
  const std::vector<std::string> identifiers = identifiers_of(names, fallback);
  std::vector<NamedTensorType> result;
  for (size_t i = 0; i < tensors.size(); ++i) {
    result.push_back({identifiers[i], tensors[i].name, tensors[i].type});
  }
  return result;
}

class HeaderWriter {
 public:
  explicit HeaderWriter(const LibraryInterface &library)
      : library_(library),
        inputs_(named(library.plan.inputs, "input")),
        outputs_(named(library.plan.outputs, "output")) {}

  std::string c_header() const {
    const char *const example = classifies()   ? "sylvite_classifier_create(model, ...)"
                                : translates() ? "sylvite_translator_create(model, ...)"
                                               : "sylvite_context_create(model, ...)";
    return fill_template(kCHeader, {{"ORIGIN", origin()},
                                    {"NAME", library_.prefix},
                                    {"EXAMPLE", example},
                                    {"TENSORS", numbered_tensors()},
                                    {"RULES", rules(" * ")},
                                    {"INCLUDED", included(".h")},
                                    {"NUMBERS", enumerators()}});
  }

  std::string cpp_header() const {
    return fill_template(kCppHeader, {{"ORIGIN", origin()},
                                      {"NAME", library_.prefix},
                                      {"EXAMPLE", example()},
                                      {"RULES", rules("// ")},
                                      {"INCLUDED", included(".hpp")},
                                      {"CLASSES", classes()}});
  }

 private:
  bool classifies() const { return library_.info.classify.has_value(); }
  bool translates() const { return library_.info.translate.has_value(); }
  // The runtime's header behind this one.
  std::string included(const std::string &suffix) const {
    return std::string("<sylvite/") +
           (classifies()   ? "classifier"
            : translates() ? "translator"
                           : "sylvite") +
           suffix + ">";
  }

  std::string origin() const {
    std::string levels;
    for (const Isa isa : library_.isas) {
      levels += (levels.empty() ? "" : " and ") + std::string(name_of(isa));
    }
    return comment_text(library_.info.model_name) + " (" + comment_text(library_.info.model_hash) +
           "), compiled by Sylvite " + comment_text(library_.info.compiler_version) + " for " +
           levels + ".";
  }

  // What holds in either language; each line after `begin`.
  std::string rules(const std::string &begin) const {
    std::vector<std::string> lines = {
        "Tensors are dense and row-major. Inputs stay the caller's and need the alignment of their",
        "elements only. Outputs are in the context's memory, until its next run or its end."};
    if (translates()) {
      lines = {"Texts are UTF-8, and read during a call only."};
    }
    lines.insert(
        lines.end(),
        {"Threads: a model is immutable and may be shared; whatever runs it has the memory of one",
         "run and its own threads, and is used by one caller at a time.",
         "Errors are values with one line of text; nothing throws."});
    std::string text;
    for (const std::string &line : lines) {
      text += begin + line + "\n";
    }
    return text;
  }

  static std::string type_text(const TensorType &type) {
    return comment_text(to_string(type)) + element_type(type.dtype).note;
  }

  // "batch: 1 or more" for each size that is the caller's to choose.
  std::string size_lines(const std::string &begin) const {
    std::string lines;
    for (const PlanBinding &binding : library_.plan.bindings) {
      const SymbolInfo *info = library_.plan.symbols.find(binding.symbol);
      lines +=
          begin + comment_text(binding.symbol) + ": " +
          std::to_string(info == nullptr ? 0 : info->lower) +
          (info != nullptr && info->upper ? " to " + std::to_string(*info->upper) : " or more") +
          "\n";
    }
    return lines;
  }

  // A translator's encoder and decoder are its own affair.
  std::string numbered_tensors() const {
    if (translates()) {
      return "";
    }
    std::string text;
    for (const auto *list : {&inputs_, &outputs_}) {
      text += list == &inputs_ ? " * Inputs of sylvite_run:\n" : " * Outputs:\n";
      for (size_t i = 0; i < list->size(); ++i) {
        text += " *   " + std::to_string(i) + "  " + comment_text((*list)[i].name) + ": " +
                type_text((*list)[i].type) + "\n";
      }
    }
    const std::string sizes = size_lines(" *   ");
    return text + (sizes.empty() ? "" : " * Sizes:\n") + sizes + " *\n";
  }

  std::string enumerators() const {
    if (translates()) {
      return "";
    }
    std::string lines;
    for (const auto *list : {&inputs_, &outputs_}) {
      for (size_t i = 0; i < list->size(); ++i) {
        lines += "  " + library_.prefix + (list == &inputs_ ? "_input_" : "_output_") +
                 (*list)[i].identifier + " = " + std::to_string(i) + ",\n";
      }
    }
    return "\n/* Numbers of inputs and outputs. */\nenum {\n" + lines + "};\n";
  }

  std::string example() const {
    std::string inputs;
    for (const NamedTensorType &input : inputs_) {
      const std::string shape = to_string(input.type.shape);
      inputs += "//   inputs." + input.identifier + " = {data, {" +
                comment_text(shape.substr(1, shape.size() - 2)) + "}};\n";
    }
    return fill_template(classifies()   ? kClassifyExample
                         : translates() ? kTranslateExample
                                        : kRunExample,
                         {{"NAME", library_.prefix}, {"INPUTS", inputs}});
  }

  std::string classes() const {
    if (translates()) {
      return task("Translator", "Texts in, translations out.");
    }
    if (!classifies()) {
      return context();
    }
    return context() + task("Classifier",
                            "Images in, labels and scores out: " +
                                std::to_string(library_.info.classify->labels.size()) + " labels.");
  }

  static std::string create(const std::string &name) {
    return fill_template(kCreate, {{"TASK", name}});
  }
  std::string task(const std::string &name, const std::string &comment) const {
    return fill_template(kTask, {{"TASK", name},
                                 {"COMMENT", comment},
                                 {"INCLUDED", included(".hpp")},
                                 {"CREATE", create(name)}});
  }

  static std::string element_and_rank(const TensorType &type) {
    return std::string(element_type(type.dtype).type) + ", " + std::to_string(type.rank());
  }
  static std::string members(const std::vector<NamedTensorType> &tensors) {
    std::string text;
    for (const NamedTensorType &tensor : tensors) {
      const bool same = tensor.identifier == tensor.name;
      text += "  // " + (same ? "" : comment_text(tensor.name) + ": ") + type_text(tensor.type) +
              "\n  sylvite::TensorView<const " + element_and_rank(tensor.type) + "> " +
              tensor.identifier + ";\n";
    }
    return text;
  }

  std::string context() const {
    std::string give = inputs_.empty() ? "    static_cast<void>(inputs);\n" : "", take;
    for (size_t i = 0; i < inputs_.size(); ++i) {
      give += fill_template(kGiveInput, {{"NAME", string_literal(inputs_[i].name)},
                                         {"MEMBER", inputs_[i].identifier},
                                         {"DTYPE", element_type(inputs_[i].type.dtype).constant},
                                         {"NUMBER", std::to_string(i)}});
    }
    for (size_t i = 0; i < outputs_.size(); ++i) {
      take += "      results." + outputs_[i].identifier + " = sylvite::as_view<" +
              element_and_rank(outputs_[i].type) + ">(outputs()[" + std::to_string(i) + "]);\n";
    }
    return fill_template(kContext, {{"SIZES", size_lines("//   ")},
                                    {"INPUTS", members(inputs_)},
                                    {"OUTPUTS", members(outputs_)},
                                    {"CREATE", create("Context")},
                                    {"INPUT_COUNT", std::to_string(inputs_.size())},
                                    {"GIVE", give},
                                    {"TAKE", take}});
  }

  const LibraryInterface &library_;
  std::vector<NamedTensorType> inputs_, outputs_;
};

}  // namespace

std::string c_header(const LibraryInterface &library) {
  return HeaderWriter(library).c_header();
}

std::string cpp_header(const LibraryInterface &library) {
  return HeaderWriter(library).cpp_header();
}

}  // namespace sylvite
