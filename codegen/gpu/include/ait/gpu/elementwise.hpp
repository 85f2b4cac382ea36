// Kernels that visit each index of a domain once.
#pragma once

#include <algorithm>
#include <cstdint>

#include "ait/gpu/access.hpp"

namespace ait::gpu {

constexpr int kElementwiseThreads = 256;

// In a grid-stride loop ---------------------------------------------------------------------------

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
  // A block for each step of its threads: blocks that loop are 5 to 10 % slower (H100).
  const int64_t blocks = (count + kElementwiseThreads - 1) / kElementwiseThreads;
  const int64_t most = INT32_MAX;
  return gpu::launch(launch, elementwise<Kernel>, dim3(static_cast<unsigned>(std::min(blocks, most))),
                     dim3(kElementwiseThreads), arguments);
}

// Some steps a thread, all of whose reads are under way before the first is waited for ------------

/// `Kernel` is generated: `Index`, `Arguments` (pointers, extents, `count` steps and `rest` elements
/// after them), `kSteps` of a thread, `kVector` elements of a step, and `Step` and `Rest`: of a step
/// or an element of the rest, `read(arguments, i)` and `finish(arguments, i, what was read)`.
template <class Kernel>
__global__ void __launch_bounds__(kElementwiseThreads)
    elementwise_ahead(const __grid_constant__ typename Kernel::Arguments arguments) {
  using Index = typename Kernel::Index;
  using Step = typename Kernel::Step;
  using Rest = typename Kernel::Rest;
  constexpr int kSteps = Kernel::kSteps;
  wait_for_inputs();
  let_next_start();
  const int64_t first = int64_t{blockIdx.x} * (kElementwiseThreads * kSteps) + threadIdx.x;
  if (first + (kSteps - 1) * kElementwiseThreads < arguments.count) {
    const Index step = static_cast<Index>(first);
    typename Step::Reads reads[kSteps];
#pragma unroll
    for (int i = 0; i < kSteps; ++i) {
      reads[i] = Step::read(arguments, step + i * kElementwiseThreads);
    }
#pragma unroll
    for (int i = 0; i < kSteps; ++i) {
      Step::finish(arguments, step + i * kElementwiseThreads, reads[i]);
    }
  } else {
    for (int64_t i = first; i < arguments.count; i += kElementwiseThreads) {
      const Index step = static_cast<Index>(i);
      Step::finish(arguments, step, Step::read(arguments, step));
    }
  }
  if (blockIdx.x == gridDim.x - 1 && threadIdx.x < arguments.rest) {
    const Index at = static_cast<Index>(arguments.count * Kernel::kVector + threadIdx.x);
    Rest::finish(arguments, at, Rest::read(arguments, at));
  }
}

template <class Kernel>
ait::Status run_ahead(const ait::Launch& launch, const typename Kernel::Arguments& arguments) {
  if (arguments.count <= 0 && arguments.rest <= 0) return ait::ok();
  constexpr int64_t kSteps = int64_t{kElementwiseThreads} * Kernel::kSteps;
  const int64_t blocks = std::max<int64_t>(1, (arguments.count + kSteps - 1) / kSteps);
  if (blocks > INT32_MAX) return Status{AIT_INVALID_INPUT, "a tensor is too large for one launch"};
  return gpu::launch(launch, elementwise_ahead<Kernel>, dim3(static_cast<unsigned>(blocks)),
                     dim3(kElementwiseThreads), arguments);
}

}  // namespace ait::gpu
