// Kernels that read along one axis and write along another.
#pragma once

#include "ait/gpu/elementwise.hpp"

namespace ait::gpu {

/// A place in a block of `Columns` x `Rows` tiles, one a thread.
struct TilePlace {
  int column, row;
};

/// A warp has 4 x 8 tiles, as far as there are so many, so that it reads and writes long runs.
template <int Columns, int Rows>
__device__ __forceinline__ constexpr TilePlace tile_place(int thread) {
  constexpr int kWarp = 32, kMost = 4;
  constexpr int kNarrow = Columns < kMost ? Columns : kMost;
  constexpr int kTall = Rows < kWarp / kNarrow ? Rows : kWarp / kNarrow;
  constexpr int kWide = kWarp / kTall;  // no more than there are: the block has more than a warp
  const int lane = thread % kWarp, warp = thread / kWarp;
  return {warp % (Columns / kWide) * kWide + lane % kWide,
          warp / (Columns / kWide) * kTall + lane / kWide};
}

}  // namespace ait::gpu
