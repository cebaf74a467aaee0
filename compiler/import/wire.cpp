// Bounds a model file before Protobuf allocates anything for it, and takes the tensors' bytes out.
//
// Protobuf copies every field. For weights of gigabytes that is memory and time for nothing,
// because the file is mapped anyway; for a hostile file it is an attack: two bytes announce a
// message of two hundred. So the file is walked once by hand. The walk knows which fields of ONNX
// are messages (kFields), checks every length against what encloses it, counts, and writes a
// *skeleton*: the same model in which the tensors' raw_data (and packed float_data and double_data,
// which have the same layout) are replaced by the index of a range of the mapping. Documentation,
// metadata, value_info and training graphs, which the importer does not read, are left out.
//
// Enclosing messages shrink, so their lengths are written as padded five-byte numbers and filled in
// when the message ends: the skeleton is written in one go.
#include "compiler/import/wire.h"

#include <cstring>
#include <optional>
#include <string_view>

#include "compiler/ir/error.h"

namespace sylvite {
namespace {

// Enough for models of a hundred thousand nodes; keeps Protobuf's share of memory below half a
// gigabyte.
constexpr size_t kMaxSkeletonBytes = size_t{64} << 20;
constexpr size_t kMaxMessages = 1'500'000;
constexpr size_t kMaxFields = 8'000'000;
// A graph in a graph takes three messages (node, attribute, graph).
constexpr int kMaxDepth = 100;
constexpr size_t kMinPackedRange = 1024;

enum class Message {
  None,  // bytes, text or packed numbers: copied
  Drop,
  Range,        // replaced by an index
  PackedRange,  // replaced by an index when long
  Model,
  Graph,
  Node,
  Attribute,
  Tensor,
  SparseTensor,
  ValueInfo,
  Type,
  TensorType,
  ElementType,  // of sequences, optionals: the type stands in field 1
  MapType,
  Shape,
  Function,
  Leaf,  // a message without messages that matter
};

struct FieldRule {
  Message parent;
  uint32_t field;
  Message kind;
};

// The length-delimited fields of onnx.proto that are more than bytes to copy.
constexpr FieldRule kFields[] = {
    {Message::Model, 6, Message::Drop},  // doc_string
    {Message::Model, 7, Message::Graph},
    {Message::Model, 8, Message::Leaf},
    {Message::Model, 14, Message::Drop},  // metadata_props
    {Message::Model, 20, Message::Drop},  // training_info
    {Message::Model, 25, Message::Function},
    {Message::Model, 26, Message::Drop},  // configuration
    {Message::Graph, 1, Message::Node},
    {Message::Graph, 5, Message::Tensor},
    {Message::Graph, 10, Message::Drop},  // doc_string
    {Message::Graph, 11, Message::ValueInfo},
    {Message::Graph, 12, Message::ValueInfo},
    {Message::Graph, 13, Message::Drop},  // value_info
    {Message::Graph, 14, Message::Drop},  // quantization_annotation
    {Message::Graph, 15, Message::SparseTensor},
    {Message::Graph, 16, Message::Drop},  // metadata_props
    {Message::Node, 5, Message::Attribute},
    {Message::Node, 6, Message::Drop},   // doc_string
    {Message::Node, 9, Message::Drop},   // metadata_props
    {Message::Node, 10, Message::Drop},  // device_configurations
    {Message::Attribute, 5, Message::Tensor},
    {Message::Attribute, 6, Message::Graph},
    {Message::Attribute, 10, Message::Tensor},
    {Message::Attribute, 11, Message::Graph},
    {Message::Attribute, 13, Message::Drop},  // doc_string
    {Message::Attribute, 14, Message::Type},
    {Message::Attribute, 15, Message::Type},
    {Message::Attribute, 22, Message::SparseTensor},
    {Message::Attribute, 23, Message::SparseTensor},
    {Message::Tensor, 3, Message::Leaf},          // segment
    {Message::Tensor, 4, Message::PackedRange},   // float_data
    {Message::Tensor, 9, Message::Range},         // raw_data
    {Message::Tensor, 10, Message::PackedRange},  // double_data
    {Message::Tensor, 12, Message::Drop},         // doc_string
    {Message::Tensor, 13, Message::Leaf},         // external_data
    {Message::Tensor, 16, Message::Drop},         // metadata_props
    {Message::SparseTensor, 1, Message::Tensor},
    {Message::SparseTensor, 2, Message::Tensor},
    {Message::ValueInfo, 2, Message::Type},
    {Message::ValueInfo, 3, Message::Drop},  // doc_string
    {Message::ValueInfo, 4, Message::Drop},  // metadata_props
    {Message::Type, 1, Message::TensorType},
    {Message::Type, 4, Message::ElementType},
    {Message::Type, 5, Message::MapType},
    {Message::Type, 7, Message::Leaf},
    {Message::Type, 8, Message::TensorType},
    {Message::Type, 9, Message::ElementType},
    {Message::TensorType, 2, Message::Shape},
    {Message::ElementType, 1, Message::Type},
    {Message::MapType, 2, Message::Type},
    {Message::Shape, 1, Message::Leaf},
    {Message::Function, 7, Message::Node},
    {Message::Function, 8, Message::Drop},  // doc_string
    {Message::Function, 9, Message::Leaf},
    {Message::Function, 11, Message::Attribute},
    {Message::Function, 12, Message::Drop},  // value_info
    {Message::Function, 14, Message::Drop},  // metadata_props
};

Message kind_of(Message parent, uint32_t field) {
  for (const FieldRule &rule : kFields) {
    if (rule.parent == parent && rule.field == field) {
      return rule.kind;
    }
  }
  return Message::None;
}

// The fields that onnx.proto gives ModelProto: anything else at the start is some other file.
bool is_model_field(uint32_t field) {
  return (field >= 1 && field <= 8) || field == 14 || field == 20 || field == 25 || field == 26;
}

class Walker {
 public:
  explicit Walker(std::span<const std::byte> file) : file_(file) {}

  ModelSkeleton run() {
    if (file_.empty()) {
      throw_model_error("the file is empty");
    }
    walk(Message::Model, file_.size(), 0);
    if (!has_graph_) {
      throw_model_error("not an ONNX model: it holds no graph");
    }
    return std::move(skeleton_);
  }

 private:
  enum WireType : uint32_t { Varint = 0, Fixed64 = 1, Delimited = 2, Fixed32 = 5 };

  void walk(Message message, size_t end, int depth) {
    if (depth > kMaxDepth) {
      throw_model_error("graphs or types are nested more than ", kMaxDepth / 3, " levels deep");
    }
    if (++messages_ > kMaxMessages) {
      throw_model_error("holds more than ", kMaxMessages, " nodes, attributes and tensors");
    }
    while (position_ < end) {
      field(message, end, depth);
    }
  }

  void field(Message message, size_t end, int depth) {
    if (++fields_ > kMaxFields) {
      throw_model_error("holds more than ", kMaxFields, " fields besides its tensors' data");
    }
    const size_t start = position_;
    const uint64_t tag = varint(end);
    const uint32_t number = static_cast<uint32_t>(tag >> 3);
    if (tag > UINT32_MAX || number == 0 || (message == Message::Model && !is_model_field(number))) {
      not_a_model(start);
    }
    switch (tag & 7) {
      case Varint:
        varint(end);
        break;
      case Fixed64:
        skip(8, end, start);
        break;
      case Fixed32:
        skip(4, end, start);
        break;
      case Delimited:
        delimited(message, number, start, end, depth);
        return;
      default:
        not_a_model(start);
    }
    copy(start, position_);
  }

  void delimited(Message message, uint32_t number, size_t start, size_t end, int depth) {
    const uint64_t length = varint(end);
    const size_t body = position_;
    if (length > end - body) {
      overrun(start, length, end - body, end);
    }
    const size_t body_end = body + static_cast<size_t>(length);
    const Message kind = kind_of(message, number);
    has_graph_ = has_graph_ || kind == Message::Graph;
    if (kind == Message::Drop) {
      position_ = body_end;
    } else if (kind == Message::Range ||
               (kind == Message::PackedRange && length >= kMinPackedRange)) {
      put_range(file_.subspan(body, body_end - body));
      position_ = body_end;
    } else if (kind == Message::None || kind == Message::PackedRange) {
      position_ = body_end;
      copy(start, body_end);
    } else {
      copy(start, tag_end(start));
      const size_t length_at = skeleton_.bytes.size();
      skeleton_.bytes.append(5, '\0');
      walk(kind, body_end, depth + 1);
      patch_length(length_at);
    }
  }

  size_t tag_end(size_t start) const {
    while ((std::to_integer<uint8_t>(file_[start]) & 0x80) != 0) {
      ++start;
    }
    return start + 1;
  }

  void put_range(std::span<const std::byte> range) {
    const uint64_t index = skeleton_.data.size();
    skeleton_.data.push_back(range);
    skeleton_.bytes.push_back(static_cast<char>(9 << 3 | Delimited));  // TensorProto.raw_data
    skeleton_.bytes.push_back(8);
    for (int i = 0; i < 8; ++i) {
      skeleton_.bytes.push_back(static_cast<char>(index >> (8 * i) & 0xff));
    }
    check_size();
  }

  void patch_length(size_t at) {
    uint64_t length = skeleton_.bytes.size() - at - 5;
    for (size_t i = 0; i < 5; ++i) {
      skeleton_.bytes[at + i] = static_cast<char>((length & 0x7f) | (i < 4 ? 0x80 : 0));
      length >>= 7;
    }
  }

  void copy(size_t from, size_t to) {
    skeleton_.bytes.append(reinterpret_cast<const char *>(file_.data()) + from, to - from);
    check_size();
  }

  void check_size() const {
    if (skeleton_.bytes.size() > kMaxSkeletonBytes) {
      throw_model_error("holds more than ", kMaxSkeletonBytes >> 20,
                        " MiB besides its tensors' raw data; store large tensors as raw_data");
    }
  }

  uint64_t varint(size_t end) {
    const size_t start = position_;
    uint64_t value = 0;
    for (int shift = 0; shift < 70; shift += 7) {
      if (position_ == end) {
        overrun(start, position_ - start + 1, position_ - start, end);
      }
      const uint8_t byte = std::to_integer<uint8_t>(file_[position_++]);
      value |= static_cast<uint64_t>(byte & 0x7f) << (shift < 64 ? shift : 63);
      if ((byte & 0x80) == 0) {
        return value;
      }
    }
    not_a_model(start);
  }

  void skip(size_t bytes, size_t end, size_t start) {
    if (bytes > end - position_) {
      overrun(start, bytes, end - position_, end);
    }
    position_ += bytes;
  }

  [[noreturn]] void not_a_model(size_t at) const {
    throw_model_error("not an ONNX model: byte ", at, " starts no field of one");
  }

  // `end` is that of the enclosing message: when it is the file's, the file was cut.
  [[noreturn]] void overrun(size_t at, uint64_t wanted, uint64_t left, size_t end) const {
    if (end != file_.size()) {
      throw_model_error("not an ONNX model: the field at byte ", at, " leaves its message");
    }
    if (!has_graph_ && skeleton_.bytes.size() < 2) {
      not_a_model(at);
    }
    throw_model_error("truncated: the field at byte ", at, " needs ", wanted,
                      " bytes, but the file ends after ", left);
  }

  std::span<const std::byte> file_;
  size_t position_ = 0;
  size_t messages_ = 0;
  size_t fields_ = 0;
  bool has_graph_ = false;
  ModelSkeleton skeleton_;
};

}  // namespace

ModelSkeleton read_skeleton(std::span<const std::byte> file) {
  return Walker(file).run();
}

}  // namespace sylvite
