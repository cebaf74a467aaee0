// The weight image: a header, then each tensor at a multiple of 64 bytes, the self-test's tensors
// last. Tensors are written straight from where they lie (a mapped model file, usually), so the
// image is never in memory as a whole.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "compiler/codegen/compile.h"
#include "compiler/codegen/hash.h"

namespace sylvite {
namespace {

constexpr int64_t kAlignment = 64;

int64_t aligned(int64_t offset) {
  return (offset + kAlignment - 1) / kAlignment * kAlignment;
}

// Puts each tensor in the image once, however many entry points hold it, as one tensor or as equal
// ones.
class ImageWriter {
 public:
  int64_t place(const TensorPtr &tensor) {
    const std::span<const std::byte> content = tensor->bytes();
    const auto [first, last] = known_.equal_range(content.size());
    for (auto known = first; known != last; ++known) {
      const std::span<const std::byte> other = image_.tensors[known->second]->bytes();
      if (std::equal(other.begin(), other.end(), content.begin(), content.end())) {
        return image_.offsets[known->second];
      }
    }
    known_.emplace(content.size(), image_.tensors.size());
    image_.tensors.push_back(tensor);
    image_.offsets.push_back(image_.bytes);
    image_.bytes = aligned(image_.bytes + static_cast<int64_t>(content.size()));
    return image_.offsets.back();
  }

  int64_t place(std::span<const std::byte> bytes) {
    Tensor tensor(DType::U8, {std::ssize(bytes)});
    std::ranges::copy(bytes, tensor.mutable_bytes());
    return place(std::make_shared<const Tensor>(std::move(tensor)));
  }

  WeightImage take() { return std::move(image_); }
  WeightImage &image() { return image_; }

 private:
  WeightImage image_ = empty();
  std::multimap<size_t, size_t> known_;  // by size: different contents differ early

  static WeightImage empty() {
    WeightImage image;
    image.bytes = aligned(static_cast<int64_t>(sizeof(sylvite_weight_header)));
    return image;
  }
};

// Zero-terminated, one after the other.
std::vector<std::byte> word_bytes(const std::vector<std::string> &words) {
  std::vector<std::byte> bytes;
  for (const std::string &word : words) {
    const std::byte *text = reinterpret_cast<const std::byte *>(word.c_str());
    bytes.insert(bytes.end(), text, text + word.size() + 1);
  }
  return bytes;
}

void place_tokenizer(const TranslateTask::Tokenizer &tokenizer, ImageWriter &writer) {
  const std::vector<std::byte> words = word_bytes(tokenizer.words);
  writer.image().task_data.push_back(writer.place(tokenizer.data));
  writer.image().task_data.push_back(writer.place(words));
}

// Another model, other options or another compiler give other weights, another order of them, or
// other padding: all of it is seen here.
uint64_t content_hash(const WeightImage &image) {
  std::vector<uint64_t> parts;
  for (size_t i = 0; i < image.tensors.size(); ++i) {
    const std::span<const std::byte> content = image.tensors[i]->bytes();
    parts.push_back(static_cast<uint64_t>(image.offsets[i]));
    parts.push_back(hash_bytes(content.data(), content.size()));
  }
  return hash_bytes(parts.data(), parts.size() * sizeof(uint64_t));
}

}  // namespace

WeightImage make_weight_image(std::span<const EntryPoint> entries) {
  ImageWriter writer;
  WeightImage &image = writer.image();
  for (const EntryPoint &entry : entries) {
    WeightImage::Places &places = image.entries.emplace_back();
    for (const TensorPtr &weight : entry.plan->weights) {
      places.weights.push_back(writer.place(weight));
    }
  }
  for (size_t i = 0; i < entries.size(); ++i) {
    if (entries[i].info->self_test) {
      for (const Tensor &tensor : entries[i].info->self_test->tensors) {
        image.entries[i].self_test.push_back(writer.place(std::make_shared<const Tensor>(tensor)));
      }
    }
  }
  if (const std::optional<TranslateTask> &task = entries.front().info->translate) {
    place_tokenizer(task->source, writer);
    place_tokenizer(task->target, writer);
  }
  image.content_hash = content_hash(image);
  return writer.take();
}

WeightImage make_weight_image(const Plan &plan, const ProgramInfo &info) {
  const EntryPoint entry{&plan, &info};
  return make_weight_image(std::span(&entry, 1));
}

bool WeightImage::write_to(const std::function<bool(const void *, size_t)> &write) const {
  static constexpr std::array<char, kAlignment> kZeroes{};
  int64_t written = 0;
  const auto put = [&](const void *data, size_t size) {
    written += static_cast<int64_t>(size);
    return size == 0 || write(data, size);
  };
  const auto pad_to = [&](int64_t offset) {
    return put(kZeroes.data(), static_cast<size_t>(offset - written));
  };
  sylvite_weight_header header{};
  std::memcpy(header.magic, "sylvite weights", sizeof header.magic);
  header.bytes = static_cast<uint64_t>(bytes);
  header.content_hash = content_hash;
  if (!put(&header, sizeof header)) {
    return false;
  }
  for (size_t i = 0; i < tensors.size(); ++i) {
    const std::span<const std::byte> content = tensors[i]->bytes();
    if (!pad_to(offsets[i]) || !put(content.data(), content.size())) {
      return false;
    }
  }
  return pad_to(bytes);
}

}  // namespace sylvite
