// Protobuf parses, SentencePiece's own converter builds the lite form, and the lite runtime, which
// checks everything that it later relies on, has the last word. Before all that the file is walked
// once by hand, because Protobuf makes a hundred bytes of memory out of two of a hostile file.
#include "compiler/driver/sentencepiece_model.h"

#include <sentencepiece_lite.h>
#include <sentencepiece_model.pb.h>
#include <sentencepiece_model_converters.h>

#include <cstddef>
#include <cstdint>
#include <exception>

#include "compiler/driver/json_settings.h"
#include "compiler/ir/error.h"
#include "runtime/tokens/unicode.h"

namespace sylvite {
namespace {

namespace lite = sentencepiece::lite;

constexpr size_t kMostPieces = 1'000'000;
constexpr size_t kLargestSpecification = size_t{4} << 20;  // training and normalisation settings

// A number in Protobuf's variable-length form; false where the file breaks off.
bool take_number(std::string_view &bytes, uint64_t &number) {
  number = 0;
  for (int shift = 0; shift < 64 && !bytes.empty(); shift += 7) {
    const uint8_t byte = static_cast<uint8_t>(bytes[0]);
    bytes.remove_prefix(1);
    number |= uint64_t{byte & 0x7fU} << shift;
    if (byte < 0x80) {
      return true;
    }
  }
  return false;
}

// The model's fields, of which all that matter have a length: pieces (1), trainer_spec (2),
// normalizer_spec (3), self_test_data (4), denormalizer_spec (5).
void check_outline(std::string_view bytes, const std::string &where) {
  size_t pieces = 0, specifications = 0;
  for (uint64_t tag = 0, length = 0; !bytes.empty(); bytes.remove_prefix(length)) {
    if (!take_number(bytes, tag) || tag % 8 != 2 || tag / 8 == 0 || !take_number(bytes, length) ||
        length > bytes.size()) {
      throw_model_error(where, ": is not a SentencePiece model, or a damaged one");
    }
    pieces += tag / 8 == 1 ? 1 : 0;
    specifications += tag / 8 == 1 ? 0 : length;
  }
  if (pieces == 0) {
    throw_model_error(where, ": is not a SentencePiece model: it has no pieces");
  }
  if (pieces > kMostPieces || specifications > kLargestSpecification) {
    throw_model_error(where, ": is larger than expected: at most ", kMostPieces, " pieces and ",
                      kLargestSpecification, " bytes of settings");
  }
}

SentencePieceModel::Kind kind_of(const sentencepiece::ModelProto::SentencePiece &piece) {
  using Proto = sentencepiece::ModelProto::SentencePiece;
  switch (piece.type()) {
    case Proto::BYTE:
      return SentencePieceModel::Kind::Byte;
    case Proto::CONTROL:
      return SentencePieceModel::Kind::Control;
    case Proto::UNKNOWN:
      return SentencePieceModel::Kind::Unknown;
    case Proto::UNUSED:
      return SentencePieceModel::Kind::Unused;
    default:
      return SentencePieceModel::Kind::Text;
  }
}

std::string convert(const sentencepiece::ModelProto &proto, const std::string &where) {
  std::string reason;
  try {
    absl::StatusOr<std::string> converted = lite::ToFlatbuffer(proto);
    if (converted.ok()) {
      return std::move(*converted);
    }
    reason = converted.status().message();
  } catch (const std::exception &error) {  // the trie's builder
    reason = error.what();
  }
  throw_model_error(where, ": ", shortened(reason));
}

}  // namespace

SentencePieceModel read_sentencepiece_model(std::string_view bytes, const std::string &where) {
  check_outline(bytes, where);
  sentencepiece::ModelProto proto;
  if (!proto.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    throw_model_error(where, ": is not a SentencePiece model, or a damaged one");
  }
  if (!proto.denormalizer_spec().precompiled_charsmap().empty()) {
    throw_model_error(where, ": has a denormaliser, which is not supported");
  }
  // What is missing has defaults, which the lite form knows only of specifications that exist.
  proto.mutable_trainer_spec();
  proto.mutable_normalizer_spec();
  SentencePieceModel model;
  model.dummy_prefix = proto.normalizer_spec().add_dummy_prefix();
  model.removes_spaces = proto.normalizer_spec().remove_extra_whitespaces();
  for (const sentencepiece::ModelProto::SentencePiece &piece : proto.pieces()) {
    if (!is_utf8(piece.piece())) {
      throw_model_error(where, ": piece ", model.pieces.size(), " is not UTF-8");
    }
    model.pieces.push_back({piece.piece(), kind_of(piece)});
  }
  model.lite = convert(proto, where);
  const lite::SentencePieceLiteProcessor check{std::string_view(model.lite)};
  if (check.status() != lite::StatusCode::kOk) {
    throw_model_error(where, ": is damaged: its pieces, scores and normalisation do not fit");
  }
  model.unknown = check.unk_id();
  return model;
}

}  // namespace sylvite
