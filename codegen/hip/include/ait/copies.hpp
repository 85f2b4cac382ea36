// Copies to shared memory that threads start before they wait for all of them, for HIP, where they pass
// through registers. Its CUDA twin has the same names.
#pragma once

#include "ait/gpu/access.hpp"

namespace ait::gpu {

/// Copies 16 aligned bytes to shared memory.
__device__ __forceinline__ void start_copy(void* to, const void* from) {
  using Words = Pack<std::uint32_t, 4>;
  *static_cast<Words*>(to) = *static_cast<const Words*>(from);
}

__device__ __forceinline__ void wait_for_copies() {}

}  // namespace ait::gpu
