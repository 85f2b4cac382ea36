// Kernels that visit each index of a domain once.
#pragma once

#include <algorithm>
#include <cstdint>

#include "ait/gpu/access.hpp"
#include "ait/gpu/group.hpp"

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
  const int64_t block = in_order<unsigned>(blockIdx.x, gridDim.x, arguments.backwards);
  for (int64_t i = block * kElementwiseThreads + threadIdx.x; i < arguments.count; i += stride) {
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
__device__ __forceinline__ void steps_ahead(const typename Kernel::Arguments& arguments, unsigned block,
                                            bool is_last) {
  using Index = typename Kernel::Index;
  using Step = typename Kernel::Step;
  using Rest = typename Kernel::Rest;
  constexpr int kSteps = Kernel::kSteps;
  const int64_t first = int64_t{block} * (kElementwiseThreads * kSteps) + threadIdx.x;
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
  if (is_last && threadIdx.x < arguments.rest) {
    const Index at = static_cast<Index>(arguments.count * Kernel::kVector + threadIdx.x);
    Rest::finish(arguments, at, Rest::read(arguments, at));
  }
}

template <class Kernel>
__global__ void __launch_bounds__(kElementwiseThreads)
    elementwise_ahead(const __grid_constant__ typename Kernel::Arguments arguments) {
  wait_for_inputs();
  let_next_start();
  const unsigned block = in_order<unsigned>(blockIdx.x, gridDim.x, arguments.backwards);
  steps_ahead<Kernel>(arguments, block, block == gridDim.x - 1);
}

/// How many blocks do all steps; none where there is nothing to do.
template <class Kernel>
__host__ __device__ constexpr int64_t blocks_ahead(const typename Kernel::Arguments& arguments) {
  constexpr int64_t kSteps = int64_t{kElementwiseThreads} * Kernel::kSteps;
  if (arguments.count <= 0) return arguments.rest > 0 ? 1 : 0;
  return (arguments.count + kSteps - 1) / kSteps;
}

/// The same as a member of a group (group.hpp).
template <class Kernel>
struct AheadPart {
  static constexpr int kThreads = kElementwiseThreads;
  struct Parameters {
    typename Kernel::Arguments arguments;
  };

  static int64_t count(const Parameters& member) { return blocks_ahead<Kernel>(member.arguments); }
  static __device__ __forceinline__ void run(const Parameters& member, int block) {
    const bool is_last = block == blocks_ahead<Kernel>(member.arguments) - 1;
    steps_ahead<Kernel>(member.arguments, static_cast<unsigned>(block), is_last);
  }
};

template <class Kernel>
ait::Status run_ahead(const ait::Launch& launch, const typename Kernel::Arguments& arguments) {
  const int64_t blocks = blocks_ahead<Kernel>(arguments);
  if (blocks == 0) return ait::ok();
  if (blocks > INT32_MAX) return Status{AIT_INVALID_INPUT, "a tensor is too large for one launch"};
  return gpu::launch(launch, elementwise_ahead<Kernel>, dim3(static_cast<unsigned>(blocks)),
                     dim3(kElementwiseThreads), arguments);
}

}  // namespace ait::gpu
