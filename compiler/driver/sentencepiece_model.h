// A SentencePiece model file (.spm, .model) turned into the lite form that programs read.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sylvite {

struct SentencePieceModel {
  enum class Kind { Text, Byte, Control, Unknown, Unused };
  struct Piece {
    std::string text;
    Kind kind;
  };
  std::vector<Piece> pieces;  // by id
  int unknown = -1;           // -1: every character has a byte piece
  bool dummy_prefix = true, removes_spaces = true;
  std::string lite;
};

// `where`: the file, for messages. Throws ModelError for what is damaged, too large, or a kind that
// the lite runtime does not have.
SentencePieceModel read_sentencepiece_model(std::string_view bytes, const std::string &where);

}  // namespace sylvite
