// Copies to shared memory that threads start before they wait for all of them, for CUDA. Its HIP twin has the
// same names.
#pragma once

#include "ait/cuda/warp.hpp"

namespace ait::gpu {

/// Starts a copy of 16 aligned bytes to shared memory, which neighbours of the thread continue.
__device__ __forceinline__ void start_copy(void* to, const void* from) {
  cuda::copy_async_line(to, from);
}

/// Waits for the copies that the thread has started.
__device__ __forceinline__ void wait_for_copies() {
  cuda::commit_copies();
  cuda::wait_for_copies<0>();
}

}  // namespace ait::gpu
