// Compiled kernels on disk. Internal to compiler/codegen.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "compiler/kernels/kernels.h"

namespace sylvite {

class KernelCache {
 public:
  // Makes the folder, for its owner alone. Throws ModelError for a folder that somebody else could
  // have written to. A folder that cannot be made, or an empty path, gives a cache that holds
  // nothing.
  explicit KernelCache(std::filesystem::path folder);

  // Nothing where there is no entry, or a damaged one.
  std::optional<KernelObject> load(const std::string &key) const;
  // A failure to write is no error: the next compile will do the work again.
  void store(const std::string &key, const KernelObject &kernel) const;

 private:
  std::filesystem::path entry(const std::string &key) const;
  std::filesystem::path folder_;
};

}  // namespace sylvite
