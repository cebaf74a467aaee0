// See ../../abseil_names.h.
#pragma once
#include "abseil_names.h"
