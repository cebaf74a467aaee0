// The one place of the driver that knows the version; compiled again after each change of the
// sources.
#include "compiler/driver/version.h"

#include "generated/notice.h"
#include "generated/version.h"

namespace sylvite {

std::string compiler_version() {
  return SYLVITE_VERSION " (build " SYLVITE_BUILD ")";
}

const char *licences() {
  return kNotice;
}

}  // namespace sylvite
