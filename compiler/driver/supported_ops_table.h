// docs/supported-ops.md, generated from the importer's own table.
#pragma once

#include <string>

namespace sylvite {

std::string supported_ops_table();

}  // namespace sylvite
