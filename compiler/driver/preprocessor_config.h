// preprocessor_config.json, as transformers writes it, to the runtime's classify task.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "compiler/driver/json_settings.h"
#include "runtime/abi.h"

namespace sylvite {

inline constexpr int64_t kLargestImageSide = 16384;

struct ImageSize {
  int64_t height = 0, width = 0, shortest_edge = 0;  // shortest_edge > 0: the others are void
};

void set_resize(sylvite_classify_task &task, const ImageSize &size);
void set_crop(sylvite_classify_task &task, const ImageSize &size);
std::optional<sylvite_resample> parse_resample(std::string_view name);  // "bicubic"

// Sets all of the preprocessing; `task` knows its number of channels. Throws ModelError with file
// and key.
void read_preprocessor(const JsonSettings &settings, sylvite_classify_task &task);

}  // namespace sylvite
