// The files of tests/runtime/images and what Pillow and transformers make of them
// (make_image_goldens.py).
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/io/file.h"
#include "runtime/io/tensor_file.h"

namespace sylvite {

inline std::string golden_path(const std::string &name) {
  return SYLVITE_SOURCE_DIR "/tests/runtime/images/" + name;
}

inline std::vector<std::byte> golden_file(const std::string &name) {
  Result<std::vector<std::byte>> bytes = read_file(golden_path(name), int64_t{1} << 20);
  EXPECT_TRUE(bytes.ok()) << bytes.error().message;
  return bytes.ok() ? bytes.value() : std::vector<std::byte>{};
}

// All arrays whose name starts with `prefix`.
inline std::vector<HostTensor> golden_arrays(std::string_view prefix) {
  Result<std::vector<HostTensor>> all = read_npz(golden_path("expected.npz"));
  EXPECT_TRUE(all.ok()) << all.error().message;
  std::vector<HostTensor> found;
  if (all.ok()) {
    for (HostTensor &tensor : all.value()) {
      if (tensor.name.starts_with(prefix)) {
        found.push_back(std::move(tensor));
      }
    }
  }
  EXPECT_FALSE(found.empty()) << prefix;
  return found;
}

// "a/b/c" -> a, b, c
inline std::vector<std::string> split_path(std::string_view text) {
  std::vector<std::string> parts(1);
  for (const char c : text) {
    if (c == '/') {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

}  // namespace sylvite
