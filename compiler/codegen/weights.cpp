// The weight image: a header, then each tensor at a multiple of 64 bytes, the self-test's tensors
// last. Tensors are written straight from where they lie (a mapped model file, usually), so the
// image is never in memory as a whole.
#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
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

}  // namespace

WeightImage make_weight_image(const Plan &plan, const ProgramInfo &info) {
  WeightImage image;
  image.model_hash = hash_text(info.model_hash);
  image.tensors = plan.weights;
  if (info.self_test) {
    for (const Tensor &tensor : info.self_test->tensors) {
      image.tensors.push_back(std::make_shared<const Tensor>(tensor));
    }
  }
  image.bytes = aligned(static_cast<int64_t>(sizeof(sylvite_weight_header)));
  for (const TensorPtr &tensor : image.tensors) {
    image.offsets.push_back(image.bytes);
    image.bytes = aligned(image.bytes + static_cast<int64_t>(tensor->bytes().size()));
  }
  return image;
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
  header.model_hash = model_hash;
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
