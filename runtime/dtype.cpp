// Element types: one table, in the order of sylvite_dtype.
#include "runtime/dtype.h"

namespace sylvite {
namespace {

struct Entry {
  const char *name;
  int64_t size;
};

constexpr Entry kEntries[] = {
    {"float32", 4}, {"float64", 8}, {"float16", 2}, {"bfloat16", 2}, {"int8", 1},
    {"uint8", 1},   {"int16", 2},   {"uint16", 2},  {"int32", 4},    {"uint32", 4},
    {"int64", 8},   {"uint64", 8},  {"bool", 1},
};
static_assert(sizeof(kEntries) / sizeof(kEntries[0]) == SYLVITE_BOOL + 1);

// Callers of the C interface may pass any number.
const Entry *find(sylvite_dtype dtype) {
  const int64_t code = static_cast<int64_t>(dtype);
  return code >= 0 && code <= SYLVITE_BOOL ? &kEntries[code] : nullptr;
}

}  // namespace

int64_t dtype_size(sylvite_dtype dtype) {
  const Entry *entry = find(dtype);
  return entry != nullptr ? entry->size : 0;
}

const char *dtype_name(sylvite_dtype dtype) {
  const Entry *entry = find(dtype);
  return entry != nullptr ? entry->name : "an unknown element type";
}

}  // namespace sylvite
