// Convolution of single channels: each output channel sees one input channel. A thread has a pack of
// neighbouring output channels, keeps their weights, and walks over a few pixels.
#pragma once

#include <cstdint>

#include "ait/gpu/access.hpp"

namespace ait::gpu {

constexpr int kDepthwiseThreads = 128;
constexpr int kDepthwisePixels = 4;

/// `Kernel` is generated: `Index`, `Arguments` (with the pixels `m` of all images), `Weight`, the
/// constants used here, `weight(arguments, tap, channel)`, `add(arguments, m, tap, channel, weights,
/// sums)`, which adds a tap's products to `sums`, and `finish(arguments, m, channel, sums)`.
template <class Kernel>
__global__ void __launch_bounds__(kDepthwiseThreads)
    depthwise(const __grid_constant__ typename Kernel::Arguments arguments) {
  using Index = typename Kernel::Index;
  using Weight = typename Kernel::Weight;
  constexpr int kVector = Kernel::kVector, kTaps = Kernel::kTaps;
  constexpr int kPacks = Kernel::kOutputs / kVector;
  constexpr int kKept = Kernel::kKeepsWeights ? kTaps : 1;

  wait_for_inputs();
  let_next_start();
  const int64_t step = int64_t{blockIdx.x} * kDepthwiseThreads + threadIdx.x;
  const int64_t first = step / kPacks * kDepthwisePixels;
  const Index channel = static_cast<Index>(step % kPacks) * kVector;
  if (first >= arguments.m) return;

  Weight weights[kKept][kVector];
  const auto read = [&](int tap, Weight(&to)[kVector]) {
#pragma unroll
    for (int v = 0; v < kVector; ++v) to[v] = Kernel::weight(arguments, tap, channel + v);
  };
  if constexpr (Kernel::kKeepsWeights) {
#pragma unroll
    for (int tap = 0; tap < kTaps; ++tap) read(tap, weights[tap]);
  }
#pragma unroll 1
  for (int64_t m = first; m < first + kDepthwisePixels && m < arguments.m; ++m) {
    float sums[kVector] = {};
    if constexpr (Kernel::kKeepsWeights) {
#pragma unroll
      for (int tap = 0; tap < kTaps; ++tap) {
        Kernel::add(arguments, static_cast<Index>(m), tap, channel, weights[tap], sums);
      }
    } else {
#pragma unroll 1
      for (int tap = 0; tap < kTaps; ++tap) {
        read(tap, weights[0]);
        Kernel::add(arguments, static_cast<Index>(m), tap, channel, weights[0], sums);
      }
    }
    Kernel::finish(arguments, static_cast<Index>(m), channel, sums);
  }
}

template <class Kernel>
ait::Status run_depthwise(const ait::Launch& launch, const typename Kernel::Arguments& arguments) {
  if (arguments.m <= 0) return ait::ok();
  const int64_t chunks = (arguments.m + kDepthwisePixels - 1) / kDepthwisePixels;
  const int64_t threads = chunks * (Kernel::kOutputs / Kernel::kVector);
  const int64_t blocks = (threads + kDepthwiseThreads - 1) / kDepthwiseThreads;
  if (blocks > INT32_MAX) {
    return Status{AIT_INVALID_INPUT, "a convolution's result is too large for one launch"};
  }
  return gpu::launch(launch, depthwise<Kernel>, dim3(static_cast<unsigned>(blocks)),
                     dim3(kDepthwiseThreads), arguments);
}

}  // namespace ait::gpu
