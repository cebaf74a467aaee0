// Memory for the contents of tensors. Internal to compiler/ir.
#pragma once

#include <cstddef>
#include <memory>

namespace sylvite {

// Zeroed bytes, `size` of them and at least one. Throws ModelError when there is no room.
std::shared_ptr<std::byte[]> allocate_zeroed(size_t size);

}  // namespace sylvite
