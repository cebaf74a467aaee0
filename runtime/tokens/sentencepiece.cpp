// The one place where SentencePiece's lite runtime is compiled, in the same way by every compiler.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wall"
#include <sentencepiece_lite.cc>  // NOLINT(bugprone-suspicious-include)
#pragma GCC diagnostic pop
