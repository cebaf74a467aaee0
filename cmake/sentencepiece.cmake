# sylvite_sentencepiece: from a SentencePiece model file to the lite form that programs read
# (runtime/tokens). SentencePiece's own converter, out of the sources that tools/setup put there.
if(NOT SYLVITE_SENTENCEPIECE)
  message(FATAL_ERROR "run tools/setup: it prepares SentencePiece, which this build folder does not know yet")
endif()
find_package(Protobuf MODULE REQUIRED)
add_library(sylvite_sentencepiece STATIC
  ${SYLVITE_SENTENCEPIECE}/convert/sentencepiece_model.pb.cc
  ${SYLVITE_SENTENCEPIECE}/convert/sentencepiece_model_converters.cc)
target_include_directories(sylvite_sentencepiece SYSTEM
  PUBLIC ${SYLVITE_SENTENCEPIECE}/convert ${CMAKE_CURRENT_LIST_DIR}/sentencepiece)
target_link_libraries(sylvite_sentencepiece PUBLIC sylvite_tokens protobuf::libprotobuf)
target_compile_options(sylvite_sentencepiece PRIVATE -w)
