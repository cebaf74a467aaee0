// read-digits IMAGE...: names the digit in each PNG or JPEG file.
#include <cstddef>
#include <cstdio>
#include <digits/digits.hpp>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

int main(int argc, char **argv) {
  digits::Classifier classifier;
  sylvite::Status status = classifier.create();
  for (int i = 1; i < argc && status.ok(); ++i) {
    std::ifstream file(argv[i], std::ios::binary);
    const std::string bytes(std::istreambuf_iterator<char>(file), {});
    std::vector<sylvite_label> best;
    status =
        classifier.classify(sylvite::image_file(std::as_bytes(std::span(bytes)), argv[i]), 1, best);
    if (status.ok()) {
      std::printf("%s: %s (%.1f%%)\n", argv[i], best[0].text, 100 * best[0].score);
    }
  }
  if (!status.ok()) {
    std::fprintf(stderr, "read-digits: %s\n", status.message().c_str());
    return 1;
  }
}
