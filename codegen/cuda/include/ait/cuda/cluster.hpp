// How kernels begin whose blocks tell each other something.
#pragma once

#include "ait/cuda/hopper.hpp"

namespace ait::cuda {

/// Before all else in a block of a cluster: `has_come` gets ready for what the others send, and they are
/// told; none may send before it has waited (`wait_cluster`) for all to be so far. All threads call it.
__device__ __forceinline__ void begin_cluster(Barrier* has_come) {
  if (threadIdx.x == 0) {
    init_barrier(has_come, 1);
    fence_barriers();
  }
  __syncwarp();  // the barrier of the cluster is one of whole warps
  arrive_cluster();
}

}  // namespace ait::cuda
