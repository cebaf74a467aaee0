// Element types: sizes and the names that messages use.
#pragma once

#include <cstdint>

#include "runtime/include/sylvite/sylvite.h"

namespace sylvite {

int64_t dtype_size(sylvite_dtype dtype);      // bytes an element; 0 for what is no element type
const char *dtype_name(sylvite_dtype dtype);  // "float32", "int64", "bool": NumPy's names

}  // namespace sylvite
