// translate-lines: English on standard input, German on standard output, a line each.
#include <cstdio>
#include <en_de/en_de.hpp>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

int main() {
  std::vector<std::string> lines;
  for (std::string line; std::getline(std::cin, line);) {
    lines.push_back(line);
  }
  const std::vector<std::string_view> texts(lines.begin(), lines.end());

  en_de::Translator translator;
  std::vector<sylvite::Translation> translations;
  sylvite::Status status = translator.create();
  if (status.ok()) {
    const auto show = [](const sylvite_translate_progress &now) {
      std::fprintf(stderr, "\r%d of %d", now.finished, now.texts);
      return true;  // false would cancel
    };
    status = translator.translate(texts, translator.defaults(), translations, show);
    std::fprintf(stderr, "\n");
  }
  if (!status.ok()) {
    std::fprintf(stderr, "translate-lines: %s\n", status.message().c_str());
    return 1;
  }
  for (const sylvite::Translation &translation : translations) {
    std::cout << translation.text << "\n";
  }
}
