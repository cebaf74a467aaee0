// two-models BATCH LENGTH IDS MASK TYPES OUT IMAGE: runs bert over the raw tensors in three files,
// writes its output's bytes to OUT, and prints the sizes and what digits sees in IMAGE.
#include <bert/bert.hpp>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <digits/digits.hpp>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

namespace {

std::string content(const char *name) {
  std::ifstream file(name, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

std::vector<std::int64_t> numbers(const char *name) {
  const std::string bytes = content(name);
  const auto *first = reinterpret_cast<const std::int64_t *>(bytes.data());
  return {first, first + bytes.size() / sizeof(std::int64_t)};
}

int fail(const sylvite::Status &status) {
  std::fprintf(stderr, "%s\n", status.message().c_str());
  return 1;
}

}  // namespace

int main(int, char **argv) {
  const std::int64_t batch = std::atoll(argv[1]), length = std::atoll(argv[2]);
  const std::vector<std::int64_t> ids = numbers(argv[3]), mask = numbers(argv[4]),
                                  types = numbers(argv[5]);
  bert::Inputs inputs;
  inputs.input_ids = {ids, {batch, length}};
  inputs.attention_mask = {mask, {batch, length}};
  inputs.token_type_ids = {types, {batch, length}};

  // One model, a context for each of two threads.
  sylvite::Model model;
  bert::Context contexts[2];
  bert::Outputs outputs[2];
  sylvite::Status statuses[2] = {bert::open(model), {}};
  if (!statuses[0].ok()) {
    return fail(statuses[0]);
  }
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&, i] {
      statuses[i] = contexts[i].create(model, {.threads = i + 1});
      if (statuses[i].ok()) {
        statuses[i] = contexts[i].run(inputs, outputs[i]);
      }
    });
  }
  for (std::thread &thread : threads) {
    thread.join();
  }
  for (const sylvite::Status &status : statuses) {
    if (!status.ok()) {
      return fail(status);
    }
  }
  std::ofstream out(argv[6], std::ios::binary);
  for (const bert::Outputs &each : outputs) {
    out.write(reinterpret_cast<const char *>(each.last_hidden_state.data.data()),
              static_cast<std::streamsize>(each.last_hidden_state.data.size_bytes()));
  }
  std::printf("[%lld, %lld, %lld]\n", static_cast<long long>(outputs[0].last_hidden_state.dims[0]),
              static_cast<long long>(outputs[0].last_hidden_state.dims[1]),
              static_cast<long long>(outputs[0].last_hidden_state.dims[2]));

  // Sizes that do not fit are an error that names the input.
  inputs.input_ids.dims[0] = batch + 1;
  std::printf("%s\n", contexts[0].run(inputs, outputs[0]).message().c_str());

  digits::Classifier classifier;
  sylvite::Status status = classifier.create({.threads = 1});
  std::vector<sylvite_label> best;
  if (status.ok()) {
    const std::string image = content(argv[7]);
    status = classifier.classify(std::as_bytes(std::span(image)), 1, best);
  }
  if (!status.ok()) {
    return fail(status);
  }
  std::printf("%s %.4f\n", best[0].text, best[0].score);
}
