// Sums of `multiply`, which are spread over a warp, as packs of neighbours.
#pragma once

#include "ait/cuda/warp.hpp"

namespace ait::cuda {

/// Sixteen rows of `Columns` x 8 sums of one warp, which pass through its own part of shared memory.
template <int Columns>
struct Slab {
  static constexpr int kWidth = Columns * 8;
  // Rows eight banks apart: a half of the warp writes to all banks at once.
  static constexpr int kPitch = kWidth + 8;
  static constexpr int kBytes = 16 * kPitch * sizeof(float);

  /// Calls `use(row, column, values)` for all packs of `Pack` neighbours along a row. `memory` is the
  /// warp's own and aligned to 16 bytes.
  template <int Pack, class Use>
  static __device__ __forceinline__ void each(const float (&sums)[Columns][4], float* memory,
                                              const Use& use) {
    constexpr int kPerRow = kWidth / Pack, kAccess = Pack < 4 ? Pack : 4;
    const int lane = threadIdx.x % 32;
    __syncwarp();
#pragma unroll
    for (int j = 0; j < Columns; ++j) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float* to = memory + (lane / 4 + half * 8) * kPitch + j * 8 + lane % 4 * 2;
        gpu::store_pack<2>(to, {sums[j][half * 2], sums[j][half * 2 + 1]});
      }
    }
    __syncwarp();
    for (int piece = lane; piece < 16 * kPerRow; piece += 32) {
      const int row = piece / kPerRow, column = piece % kPerRow * Pack;
      float values[Pack];
#pragma unroll
      for (int v = 0; v < Pack; v += kAccess) {
        const auto pack = gpu::load_pack<kAccess>(memory + row * kPitch + column + v);
#pragma unroll
        for (int e = 0; e < kAccess; ++e) values[v + e] = pack.value[e];
      }
      use(row, column, values);
    }
  }
};

}  // namespace ait::cuda
