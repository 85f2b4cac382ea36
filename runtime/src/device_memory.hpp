// Owned device memory.
#pragma once

#include <memory>

#include "ait/device.hpp"

namespace ait {

inline Status allocate_shared(std::size_t bytes, std::shared_ptr<void>* buffer) {
  void* memory = nullptr;
  AIT_TRY(device::allocate(bytes, &memory));
  buffer->reset(memory, device::release);
  return ok();
}

}  // namespace ait
