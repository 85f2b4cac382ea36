// Dynamic shared memory on the host: that of the one block that runs.
#pragma once

#include "ait/gpu.hpp"

namespace ait::gpu {

inline char* dynamic_shared() {
  alignas(128) static char memory[227 << 10];
  return memory;
}

}  // namespace ait::gpu
