// Convolution on tensor cores (mma.sync) as an implicit gemm: m = output pixels of all images, n =
// output channels of a group, k = taps x input channels, channels innermost.
#pragma once

#include <cstdint>

#include "ait/cuda/mma_tiles.hpp"

namespace ait::cuda {

template <class Kernel>
using ConvTiles = MmaTiles<Kernel, typename Kernel::Image, typename Kernel::Weights>;

/// `Kernel` is generated. It has the types `Element`, `Index`, `Arguments` (with the number of pixels
/// `m`), the sources `Image` and `Weights` of loaders, made of (arguments, group), the constants used
/// by MmaTiles and here, and `finish(arguments, group, m, n, sums)`: the region with its loads and
/// stores.
template <class Kernel>
__global__ void __launch_bounds__(ConvTiles<Kernel>::kThreads)
    conv(const __grid_constant__ typename Kernel::Arguments arguments) {
  using Tiles = ConvTiles<Kernel>;
  using Index = typename Kernel::Index;
  constexpr int kTilesN = (Kernel::kOutputs + Tiles::kN - 1) / Tiles::kN;
  const Index tile = static_cast<Index>(blockIdx.x);
  compute_tile<Kernel, typename Kernel::Image, typename Kernel::Weights>(
      arguments, {static_cast<Index>(blockIdx.y), tile / kTilesN * Tiles::kM,
                  tile % kTilesN * Tiles::kN, static_cast<Index>(arguments.m), Kernel::kOutputs,
                  Kernel::kDepth});
}

template <class Kernel>
ait::Status run_conv(const ait::Launch& launch, const typename Kernel::Arguments& arguments) {
  using Tiles = ConvTiles<Kernel>;
  if (arguments.m <= 0) return ait::ok();
  const int64_t tiles_m = (int64_t{arguments.m} + Tiles::kM - 1) / Tiles::kM;
  const int64_t tiles_n = (Kernel::kOutputs + Tiles::kN - 1) / Tiles::kN;
  if (tiles_m * tiles_n > INT32_MAX) {
    return Status{AIT_INVALID_INPUT, "a convolution's result has too many tiles for one launch"};
  }
  return gpu::launch_with_shared(launch, conv<Kernel>,
                                 dim3(static_cast<unsigned>(tiles_m * tiles_n), Kernel::kGroups),
                                 dim3(Tiles::kThreads), Tiles::kSharedBytes, arguments);
}

}  // namespace ait::cuda
