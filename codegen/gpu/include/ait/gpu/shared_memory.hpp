// The shared memory whose size the launch of a kernel says. The tests have a header of this name for
// the host.
#pragma once

#include "ait/gpu.hpp"

namespace ait::gpu {

/// The block's dynamic shared memory, aligned to 128 bytes.
__device__ __forceinline__ char* dynamic_shared() {
  extern __shared__ __align__(128) char memory[];
  return memory;
}

}  // namespace ait::gpu
