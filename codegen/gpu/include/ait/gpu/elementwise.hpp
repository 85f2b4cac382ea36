// Kernels that visit each index of a domain once, in a grid-stride loop.
#pragma once

#include <algorithm>
#include <cstdint>

#include "ait/gpu/access.hpp"

namespace ait::gpu {

constexpr int kElementwiseThreads = 256;
constexpr int kElementwiseBlocksPerMultiprocessor = 8;

/// `Kernel` is generated: `Index`, `Arguments` (pointers, extents and `count` steps), and
/// `step(arguments, i)`, which does the i-th step (one element, or one pack of neighbours).
template <class Kernel>
__global__ void __launch_bounds__(kElementwiseThreads)
    elementwise(const __grid_constant__ typename Kernel::Arguments arguments) {
  wait_for_inputs();
  let_next_start();
  using Index = typename Kernel::Index;
  // 64 bits: the step past the last one may not fit the index.
  const int64_t stride = int64_t{gridDim.x} * kElementwiseThreads;
  for (int64_t i = int64_t{blockIdx.x} * kElementwiseThreads + threadIdx.x; i < arguments.count;
       i += stride) {
    Kernel::step(arguments, static_cast<Index>(i));
  }
}

template <class Kernel>
ait::Status run_elementwise(const ait::Launch& launch,
                            const typename Kernel::Arguments& arguments) {
  const int64_t count = arguments.count;
  if (count <= 0) return ait::ok();
  const int64_t blocks = (count + kElementwiseThreads - 1) / kElementwiseThreads;
  const int64_t most = int64_t{multiprocessors()} * kElementwiseBlocksPerMultiprocessor;
  return gpu::launch(launch, elementwise<Kernel>, dim3(static_cast<unsigned>(std::min(blocks, most))),
                     dim3(kElementwiseThreads), arguments);
}

}  // namespace ait::gpu
