// A C header with the descriptor, the numbers of the tensors and a function that opens the model;
// a C++ header with a structure each for inputs and outputs, or the task's class. Both are thin:
// the work is done behind the runtime's interface.
//
// Tensors are called what the model calls them, as far as C++ lets them (library_names.h). Their
// names come from a file that anybody may have written, so that they are made harmless wherever
// they enter a comment or a string.
#include "compiler/driver/library_header.h"

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <optional>

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
        prefix_(library.prefix),
        inputs_(named(library.plan.inputs, "input")),
        outputs_(named(library.plan.outputs, "output")) {}

  std::string c_header() const {
    const std::string guard = "SYLVITE_MODEL_" + prefix_ + "_H_";
    return "/* " + origin() + "\n * C11; " + prefix_ + ".hpp is the C++ form.\n *\n" + c_example() +
           " *\n" + c_tensors() + " * " + kRules[0] + "\n * " + kRules[1] + "\n * " + kRules[2] +
           "\n * " + kRules[3] + "\n */\n#ifndef " + guard + "\n#define " + guard +
           "\n\n#include <stddef.h>\n" + include("sylvite.h") + task_include(".h") +
           "\n#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n"
           "/* The compiled model, for sylvite_model_open. */\n"
           "extern const struct sylvite_program " +
           prefix_ + "_program;\n\n" + c_open() + c_numbers() +
           "\n#ifdef __cplusplus\n}\n#endif\n#endif\n";
  }

  std::string cpp_header() const {
    const std::string guard = "SYLVITE_MODEL_" + prefix_ + "_HPP_";
    std::string text = "// " + origin() + "\n//\n" + cpp_example() + "//\n";
    for (const char *rule : kRules) {
      text += "// " + std::string(rule) + "\n";
    }
    text +=
        "#ifndef " + guard + "\n#define " + guard + "\n\n#include <array>\n#include <cstdint>\n" +
        include("sylvite.hpp") + task_include(".hpp") + "\n#include \"" + prefix_ +
        ".h\"\n\nnamespace " + prefix_ +
        " {\n\n"
        "// Opens the model: looks at the CPU and at the weights' header, and reads nothing else.\n"
        "// A model may be opened any number of times, and one open model shared by all threads.\n"
        "inline sylvite::Status open(sylvite::Model &model) {\n  return model.open(&" +
        prefix_ + "_program);\n}\n";
    if (!library_.info.translate) {
      text += structure("Inputs", inputs_, "What the model takes. Read during the run only.") +
              structure("Outputs", outputs_,
                        "What it gives: in the context's memory, until its next run or its end.") +
              context_class();
    }
    if (library_.info.classify) {
      text += task_class("Classifier", "Images in, labels and scores out: " +
                                           std::to_string(library_.info.classify->labels.size()) +
                                           " labels. <sylvite/classifier.hpp> says what it does.");
    }
    if (library_.info.translate) {
      text += task_class("Translator",
                         "Texts in, translations out. <sylvite/translator.hpp> says what it does.");
    }
    return text + "\n}  // namespace " + prefix_ + "\n\n#endif\n";
  }

 private:
  static constexpr const char *kRules[] = {
      "Tensors are dense and row-major. Inputs need the alignment of their elements only.",
      "Threads: a model is immutable and may be shared; whatever runs it has the memory of one run",
      "and its own threads, and is used by one caller at a time.",
      "Errors are values with one line of text; nothing throws."};

  std::string origin() const {
    std::string levels;
    for (const Isa isa : library_.isas) {
      levels += (levels.empty() ? "" : " and ") + std::string(name_of(isa));
    }
    return comment_text(library_.info.model_name) + " (" + comment_text(library_.info.model_hash) +
           "), compiled by Sylvite " + comment_text(library_.info.compiler_version) + " for " +
           levels + ".";
  }

  std::string task_include(const std::string &suffix) const {
    return (library_.info.classify ? include("classifier" + suffix) : "") +
           (library_.info.translate ? include("translator" + suffix) : "");
  }
  static std::string include(const std::string &header) {
    return "#include <sylvite/" + header + ">\n";
  }

  static std::string type_text(const TensorType &type) {
    return comment_text(to_string(type)) + element_type(type.dtype).note;
  }

  // "batch: 1 or more" for each size that is the caller's to choose.
  std::vector<std::string> size_lines() const {
    std::vector<std::string> lines;
    for (const PlanBinding &binding : library_.plan.bindings) {
      const SymbolInfo *info = library_.plan.symbols.find(binding.symbol);
      const int64_t lower = info == nullptr ? 0 : info->lower;
      lines.push_back(
          comment_text(binding.symbol) + ": " + std::to_string(lower) +
          (info != nullptr && info->upper ? " to " + std::to_string(*info->upper) : " or more"));
    }
    return lines;
  }

  std::string c_example() const {
    const char *const indent = " *   ";
    return indent + std::string("sylvite_model *model;\n") + indent + "char message[512];\n" +
           indent + "if (" + prefix_ +
           "_open(&model, message, sizeof message) != SYLVITE_OK) { ... }\n" + indent +
           (library_.info.classify    ? "sylvite_classifier_create(model, ...)"
            : library_.info.translate ? "sylvite_translator_create(model, ...)"
                                      : "sylvite_context_create(model, ...); sylvite_run(...)") +
           "\n";
  }

  // A translator's encoder and decoder are its own affair.
  std::string c_tensors() const {
    if (library_.info.translate) {
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
    const std::vector<std::string> sizes = size_lines();
    text += sizes.empty() ? "" : " * Sizes:\n";
    for (const std::string &line : sizes) {
      text += " *   " + line + "\n";
    }
    return text + " *\n";
  }

  std::string c_open() const {
    return "/* Opens the model: looks at the CPU and at the weights' header, and reads nothing "
           "else. On failure\n * `message` (may be null) receives the reason, at most `size` "
           "bytes. End: sylvite_model_close. */\nstatic inline sylvite_result " +
           prefix_ +
           "_open(sylvite_model **model, char *message, size_t size) {\n"
           "  return sylvite_model_open(&" +
           prefix_ + "_program, NULL, model, message, size);\n}\n";
  }

  std::string c_numbers() const {
    std::string lines;
    for (const auto *list : {&inputs_, &outputs_}) {
      for (size_t i = 0; i < list->size() && !library_.info.translate; ++i) {
        lines += "  " + prefix_ + (list == &inputs_ ? "_input_" : "_output_") +
                 (*list)[i].identifier + " = " + std::to_string(i) + ",\n";
      }
    }
    return lines.empty() ? "" : "\n/* Numbers of inputs and outputs. */\nenum {\n" + lines + "};\n";
  }

  std::string cpp_example() const {
    if (library_.info.classify) {
      return "//   " + prefix_ +
             "::Classifier classifier;\n"
             "//   std::vector<sylvite_label> best;\n"
             "//   sylvite::Status status = classifier.create();\n"
             "//   if (status.ok()) {\n"
             "//     status = classifier.classify(bytes_of_a_png_file, 3, best);\n"
             "//   }\n"
             "//   // best[0].text and best[0].score, or status.message()\n";
    }
    if (library_.info.translate) {
      return "//   " + prefix_ +
             "::Translator translator;\n"
             "//   std::string translation;\n"
             "//   sylvite::Status status = translator.create();\n"
             "//   if (status.ok()) {\n"
             "//     status = translator.translate(\"Good morning\", translation);\n"
             "//   }\n"
             "//   // translation, or status.message()\n";
    }
    std::string text = "//   " + prefix_ + "::Context context;\n//   " + prefix_ +
                       "::Inputs inputs;\n//   " + prefix_ + "::Outputs outputs;\n";
    for (const NamedTensorType &input : inputs_) {
      text +=
          "//   inputs." + input.identifier + " = {data, {" + sizes_in_words(input.type) + "}};\n";
    }
    return text +
           "//   sylvite::Status status = context.create();\n"
           "//   if (status.ok()) {\n"
           "//     status = context.run(inputs, outputs);\n"
           "//   }\n"
           "//   // outputs, or status.message()\n";
  }
  static std::string sizes_in_words(const TensorType &type) {
    const std::string text = to_string(type.shape);
    return comment_text(text.substr(1, text.size() - 2));
  }

  static std::string view_type(const TensorType &type) {
    return std::string(element_type(type.dtype).type) + ", " + std::to_string(type.rank());
  }

  std::string structure(const std::string &name, const std::vector<NamedTensorType> &tensors,
                        const std::string &comment) const {
    std::string text = "\n// " + comment + "\n";
    if (&tensors == &inputs_) {
      for (const std::string &line : size_lines()) {
        text += "//   " + line + "\n";
      }
    }
    text += "struct " + name + " {\n";
    for (const NamedTensorType &tensor : tensors) {
      const bool same = tensor.identifier == tensor.name;
      text += "  // " + (same ? "" : comment_text(tensor.name) + ": ") + type_text(tensor.type) +
              "\n  sylvite::TensorView<const " + view_type(tensor.type) + "> " + tensor.identifier +
              ";\n";
    }
    return text + "};\n";
  }

  static std::string create_function(const std::string &base) {
    return "  // threads = 0: as many as the process may use.\n"
           "  sylvite::Status create(const sylvite::Context::Options &options = {}) {\n"
           "    sylvite::Model model;\n"
           "    const sylvite::Status status = open(model);\n"
           "    return status.ok() ? sylvite::" +
           base + "::create(model, options) : status;\n  }\n  using sylvite::" + base +
           "::create;  // of a model that is open\n";
  }

  std::string context_class() const {
    std::string text =
        "\n// Runs the model. After the first run at a set of sizes, runs at these allocate "
        "nothing.\n"
        "class Context : public sylvite::Context {\n public:\n" +
        create_function("Context") +
        "\n  sylvite::Status run(const Inputs &inputs, Outputs &results) {\n"
        "    std::array<sylvite_tensor, " +
        std::to_string(inputs_.size()) + "> tensors{};\n    sylvite::Status status;\n";
    if (inputs_.empty()) {
      text += "    static_cast<void>(inputs);\n";
    }
    for (size_t i = 0; i < inputs_.size(); ++i) {
      const NamedTensorType &input = inputs_[i];
      text += "    if (status.ok()) {\n      status = sylvite::as_input(" +
              string_literal(input.name) + ", inputs." + input.identifier + ", " +
              element_type(input.type.dtype).constant + ", tensors[" + std::to_string(i) +
              "]);\n    }\n";
    }
    text +=
        "    if (status.ok()) {\n      status = sylvite::Context::run(tensors);\n    }\n"
        "    if (status.ok()) {\n";
    for (size_t i = 0; i < outputs_.size(); ++i) {
      text += "      results." + outputs_[i].identifier + " = sylvite::as_view<" +
              view_type(outputs_[i].type) + ">(outputs()[" + std::to_string(i) + "]);\n";
    }
    return text + "    }\n    return status;\n  }\n  using sylvite::Context::run;\n};\n";
  }

  static std::string task_class(const std::string &name, const std::string &comment) {
    return "\n// " + comment + "\nclass " + name + " : public sylvite::" + name + " {\n public:\n" +
           create_function(name) + "};\n";
  }

  const LibraryInterface &library_;
  const std::string &prefix_;
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
