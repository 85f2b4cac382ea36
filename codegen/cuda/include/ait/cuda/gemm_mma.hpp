// Gemm on tensor cores with mma.sync (compute capability 8.0 and newer): factors of one 16-bit type, or of
// f32 as TF32 or as sums of two TF32 numbers, with any strides; results by packs along n.
#pragma once

#include <algorithm>
#include <cstdint>

#include "ait/cuda/mma_tiles.hpp"

namespace ait::cuda {

template <class Kernel>
using GemmTiles = MmaTiles<Kernel, typename Kernel::Left, typename Kernel::Right>;

/// Rows of tiles that run at about the same time, so that they find each other's columns in the cache.
constexpr int kTileRowsTogether = 8;

/// `Kernel` is generated. It has the types `Element`, `Index`, `Arguments` (with the extents `batches`,
/// `m`, `n`, `k`), the sources `Left` and `Right` of loaders, made of (arguments, batch), the constants
/// used by MmaTiles and here, and `finish(arguments, batch, m, n, sums)`: the region with its loads
/// and stores.
template <class Kernel>
__global__ void __launch_bounds__(GemmTiles<Kernel>::kThreads, Kernel::kResident)
    gemm_mma(const __grid_constant__ typename Kernel::Arguments arguments) {
  using Tiles = GemmTiles<Kernel>;
  using Index = typename Kernel::Index;
  const Index tiles_m = (arguments.m + Tiles::kM - 1) / Tiles::kM;
  const Index tiles_n = (arguments.n + Tiles::kN - 1) / Tiles::kN;
  const Index band_tiles = kTileRowsTogether * tiles_n;
  const Index first_row = static_cast<Index>(blockIdx.x) / band_tiles * kTileRowsTogether;
  const Index left = tiles_m - first_row;
  const Index rows = left < kTileRowsTogether ? left : Index{kTileRowsTogether};
  const Index in_band = static_cast<Index>(blockIdx.x) % band_tiles;
  TilePlace<Index> tile{0,
                        (first_row + in_band % rows) * Tiles::kM,
                        in_band / rows * Tiles::kN,
                        static_cast<Index>(arguments.m),
                        static_cast<Index>(arguments.n),
                        static_cast<Index>(arguments.k)};
  for (int64_t batch = blockIdx.y; batch < arguments.batches; batch += gridDim.y) {
    tile.outer = static_cast<Index>(batch);
    compute_tile<Kernel, typename Kernel::Left, typename Kernel::Right>(arguments, tile);
    // The next tile's copies go where other warps may still read sums.
    __syncthreads();
  }
}

template <class Kernel>
ait::Status run_gemm_mma(const ait::Launch& launch, const typename Kernel::Arguments& arguments) {
  using Tiles = GemmTiles<Kernel>;
  if (arguments.batches <= 0 || arguments.m <= 0 || arguments.n <= 0) return ait::ok();
  const int64_t tiles_m = (int64_t{arguments.m} + Tiles::kM - 1) / Tiles::kM;
  const int64_t tiles_n = (int64_t{arguments.n} + Tiles::kN - 1) / Tiles::kN;
  if (tiles_m * tiles_n > INT32_MAX) {
    return Status{AIT_INVALID_INPUT, "a gemm's result has too many tiles for one launch"};
  }
  const dim3 grid(static_cast<unsigned>(tiles_m * tiles_n),
                  static_cast<unsigned>(std::min<int64_t>(arguments.batches, 65535)));
  return gpu::launch_with_shared(launch, gemm_mma<Kernel>, grid, dim3(Tiles::kThreads),
                                 Tiles::kSharedBytes, arguments);
}

}  // namespace ait::cuda
