// Whole texts: what --emit writes and `passes` reads.
#include "compiler/driver/text_file.h"

#include <fstream>
#include <iostream>
#include <iterator>

#include "compiler/ir/error.h"
#include "runtime/io/file.h"

namespace sylvite {

void write_text(const std::string &file, const std::string &text) {
  if (file.empty() || file == "-") {
    std::cout << text;  // main checks the stream
    return;
  }
  Result<OutputFile> output = OutputFile::create(file);
  if (!output.ok()) {
    throw ModelError(output.error().message);
  }
  Error error = output.value().write(std::as_bytes(std::span(text)));
  error = error.ok() ? output.value().commit() : error;
  if (!error.ok()) {
    throw ModelError(error.message);
  }
}

std::string read_text(const std::string &file) {
  if (file == "-") {
    return std::string(std::istreambuf_iterator<char>(std::cin), {});
  }
  std::ifstream stream(file, std::ios::binary);
  std::string text(std::istreambuf_iterator<char>(stream), {});
  if (!stream.is_open() || stream.bad()) {
    throw_model_error(file, ": cannot be read");
  }
  return text;
}

}  // namespace sylvite
