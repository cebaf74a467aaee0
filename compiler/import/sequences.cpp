// Sequences: lists of values whose lengths and places are known while compiling. They leave nothing
// behind in the graph.
#include <algorithm>
#include <iterator>

#include "compiler/import/importer.h"
#include "compiler/ir/error.h"

namespace sylvite {
namespace {

constexpr int64_t kMostElements = 4096;

constexpr OwnOperator kOwnOperators[] = {
    {"ConcatFromSequence", "direct"},
    {"If", "direct"},
    {"Loop", "direct; what it carries may grow by the same amount in each iteration"},
    {"Scan", "direct"},
    {"SequenceAt", "direct, at a place that is known while compiling"},
    {"SequenceConstruct", "direct"},
    {"SequenceEmpty", "direct"},
    {"SequenceErase", "direct, at a place that is known while compiling"},
    {"SequenceInsert", "direct, at a place that is known while compiling"},
    {"SequenceLength", "direct"},
    {"SplitToSequence", "direct, into parts whose number is known while compiling"},
};

// Element `place` of `count`, which may count from the end; `most` is the last place that there is.
size_t checked_place(const OnnxNode &view, int64_t place, size_t count, int64_t most) {
  const int64_t given = place;
  place += place < 0 ? static_cast<int64_t>(count) : 0;
  if (place < 0 || place > most) {
    view.fail("place ", given, " is out of range for a sequence of ", count, " tensors");
  }
  return static_cast<size_t>(place);
}

// SplitToSequence's parts.
std::vector<Value *> split(OnnxNode &view) {
  Value *const x = view.input(0);
  const int64_t axis = view.axis(view.integer("axis", 0), x->type.rank());
  const Dim &size = x->type.shape[static_cast<size_t>(axis)];
  const std::optional<int64_t> known = size.constant();
  std::vector<Dim> parts;
  if (view.has_input(1) && view.input(1)->type.rank() == 1) {
    parts = view.dims(1, "sizes");
    Dim all;
    for (const Dim &part : parts) {
      all += part;
    }
    view.assume_equal(all, size, "the sizes of its parts and of the whole");
  } else {
    const int64_t each = view.has_input(1) ? view.number(1, "size") : 1;
    if (each < 1) {
      view.fail("splits into parts of ", each);
    }
    if (!known || (*known + each - 1) / each > kMostElements) {
      view.fail("splits an axis of size ", size.str(), " into parts of ", each,
                "; their number must be known while compiling, and at most ", kMostElements);
    }
    for (int64_t begin = 0; begin < *known; begin += each) {
      parts.emplace_back(std::min(each, *known - begin));
    }
  }
  const bool keeps_axis = view.has_input(1) || view.integer("keepdims", 1) != 0;
  std::vector<Value *> result;
  Dim begin;
  for (const Dim &part : parts) {
    Value *piece = view.slice(x, axis, begin, part);
    begin += part;
    if (!keeps_axis) {
      Shape shape = piece->type.shape;
      shape.erase(shape.begin() + axis);
      piece = view.reshape(piece, shape);
    }
    result.push_back(piece);
  }
  return result;
}

// ConcatFromSequence.
Value *joined(OnnxNode &view, std::vector<Value *> parts) {
  if (parts.empty()) {
    view.fail("joins an empty sequence");
  }
  const bool new_axis = view.integer("new_axis", 0) != 0;
  const int64_t rank = parts.front()->type.rank() + (new_axis ? 1 : 0);
  const int64_t axis = view.axis(view.integer("axis"), rank);
  if (new_axis) {
    for (Value *&part : parts) {
      if (part->type.rank() + 1 != rank) {
        view.fail("joins tensors of different ranks");
      }
      Shape shape = part->type.shape;
      shape.insert(shape.begin() + axis, 1);
      part = view.reshape(part, shape);
    }
  }
  return view.concat(parts, axis);
}

}  // namespace

std::span<const OwnOperator> own_operators() {
  return kOwnOperators;
}

bool is_sequence_operator(const std::string &op_type) {
  return op_type.find("Sequence") != std::string::npos &&
         std::any_of(std::begin(kOwnOperators), std::end(kOwnOperators),
                     [&](const OwnOperator &own) { return op_type == own.name; });
}

void Importer::import_sequence(const onnx::NodeProto &node, OnnxNode &view, Scope &scope,
                               Results &results) {
  const std::string &op = node.op_type();
  const auto give = [&](Sequence sequence) {
    if (static_cast<int64_t>(sequence.size()) > kMostElements) {
      throw_model_error("makes a sequence of more than ", kMostElements, " tensors");
    }
    results.push_back({nullptr, nullptr, std::make_shared<const Sequence>(std::move(sequence))});
  };
  if (op == "SequenceEmpty") {
    return give({});
  }
  if (op == "SequenceConstruct") {
    Sequence all;
    for (size_t i = 0; i < view.input_count(); ++i) {
      all.push_back(view.input(i));
    }
    return give(std::move(all));
  }
  if (op == "SplitToSequence") {
    return give(split(view));
  }
  if (node.input_size() < 1 || node.input(0).empty()) {
    throw_model_error("input 0 is missing");
  }
  const Binding from = resolve(scope, node.input(0));
  if (from.sequence == nullptr) {
    throw_model_error("takes a sequence, but '", printable(node.input(0)), "' is a tensor");
  }
  Sequence sequence = *from.sequence;
  const auto count = static_cast<int64_t>(sequence.size());
  if (op == "ConcatFromSequence") {
    results.push_back({joined(view, sequence)});
  } else if (op == "SequenceLength") {
    results.push_back({view.constant(Tensor::of<int64_t>(DType::I64, {}, {count}))});
  } else if (op == "SequenceAt") {
    results.push_back(
        {sequence[checked_place(view, view.number(1, "place"), sequence.size(), count - 1)]});
  } else if (op == "SequenceInsert") {
    const size_t place = view.has_input(2)
                             ? checked_place(view, view.number(2, "place"), sequence.size(), count)
                             : sequence.size();
    sequence.insert(sequence.begin() + static_cast<std::ptrdiff_t>(place), view.input(1));
    give(std::move(sequence));
  } else {  // SequenceErase
    const int64_t last = view.has_input(1) ? view.number(1, "place") : -1;
    const size_t place = checked_place(view, last, sequence.size(), count - 1);
    sequence.erase(sequence.begin() + static_cast<std::ptrdiff_t>(place));
    give(std::move(sequence));
  }
}

}  // namespace sylvite
