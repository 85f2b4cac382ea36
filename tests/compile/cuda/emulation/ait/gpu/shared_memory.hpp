// Dynamic shared memory on the host.
#pragma once

#include "ait/gpu.hpp"

namespace ait::gpu {

/// Of each block of a cluster.
inline char* shared_of(unsigned block) {
  constexpr std::size_t kSize = 256 << 10;
  alignas(1024) static char memory[16 * kSize];
  return memory + block * kSize;
}

inline char* dynamic_shared() { return shared_of(emulation::current->block); }

}  // namespace ait::gpu
