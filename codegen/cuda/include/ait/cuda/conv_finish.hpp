// What Hopper's convolutions share: the ring of stages, and the end of a tile.
#pragma once

#include <algorithm>
#include <cstdint>

#include "ait/cuda/warp.hpp"

namespace ait::cuda {

/// A position in the ring of stages, by the number of steps before it.
template <int Stages>
struct Ring {
  int stage;
  std::uint32_t parity;

  explicit __device__ __forceinline__ Ring(int steps = 0)
      : stage(steps % Stages), parity(steps / Stages & 1) {}

  __device__ __forceinline__ void next() {
    if (++stage == Stages) {
      stage = 0;
      parity ^= 1;
    }
  }
};

/// The elements of f32 from one row to the next in shared memory so that eight rows at one column lie
/// in different banks: at least `columns`.
constexpr int spread_pitch(int columns) {
  while (columns % 4 != 0 || (columns % 32 != 8 && columns % 32 != 24)) ++columns;
  return columns;
}

/// The widest part of `columns` that passes through a warp's own shared memory at once.
constexpr int staged_columns(int columns) {
  int width = std::min(columns, 64);
  while (columns % width != 0 || width % 8 != 0) --width;
  return width;
}

/// Rows that are neighbouring pixels, before the pixel `end`.
template <class Index>
struct PixelsInOrder {
  Index first, end;
  __device__ __forceinline__ Index operator()(int row) const {
    const Index pixel = first + row;
    return pixel < end ? pixel : -1;
  }
};

/// The end of sums of 64 pixels x `Columns` channels, as the products of a warpgroup leave them.
template <class Kernel, int Columns>
struct PixelFinish {
  using Index = typename Kernel::Index;
  static constexpr int kChunk = staged_columns(Columns), kPitch = spread_pitch(kChunk);
  static constexpr int kSlabBytes = 16 * kPitch * static_cast<int>(sizeof(float));
  static constexpr int kPack = Kernel::kPack, kPerRow = kChunk / kPack;
  static constexpr int kPieces = (16 * kPerRow + 31) / 32, kAccess = kPack < 4 ? kPack : 4;

  /// The region and its stores for the channels from `n` on. `pixel_of(row)` is the pixel of a row of
  /// the sums, negative if it has none. Sixteen rows of a warp at a time pass through `slab`, its own,
  /// so that a thread has neighbouring channels.
  template <class PixelOf>
  static __device__ __forceinline__ void rows(const typename Kernel::Arguments& arguments,
                                              const float (&sums)[Columns / 2], float* slab,
                                              int group, int n, const PixelOf& pixel_of) {
    const int lane = threadIdx.x % 32;
    const int first = threadIdx.x / 32 % 4 * 16;
    Index pixels[kPieces];
#pragma unroll
    for (int i = 0; i < kPieces; ++i) {
      const int row = (lane + i * 32) / kPerRow;
      pixels[i] = row < 16 ? pixel_of(first + row) : -1;
    }
#pragma unroll
    for (int chunk = 0; chunk < Columns; chunk += kChunk) {
      const auto channel = [&](int i) { return n + chunk + (lane + i * 32) % kPerRow * kPack; };
      const auto is_inside = [&](int i) { return pixels[i] >= 0 && channel(i) < Kernel::kOutputs; };
      // All reads are under way before the first is used.
      typename Kernel::Extras extras[kPieces];
#pragma unroll
      for (int i = 0; i < kPieces; ++i) {
        if (is_inside(i)) extras[i] = Kernel::read(arguments, group, pixels[i], channel(i));
      }
      __syncwarp();
#pragma unroll
      for (int j = 0; j < kChunk / 8; ++j) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const float* const pair = &sums[(chunk / 8 + j) * 4 + half * 2];
          float* const to = slab + (lane / 4 + half * 8) * kPitch + j * 8 + lane % 4 * 2;
          gpu::store_pack<2>(to, {pair[0], pair[1]});
        }
      }
      __syncwarp();
#pragma unroll
      for (int i = 0; i < kPieces; ++i) {
        if (is_inside(i)) {
          const int row = (lane + i * 32) / kPerRow, column = (lane + i * 32) % kPerRow * kPack;
          float values[kPack];
#pragma unroll
          for (int v = 0; v < kPack; v += kAccess) {
            const auto pack = gpu::load_pack<kAccess>(slab + row * kPitch + column + v);
#pragma unroll
            for (int e = 0; e < kAccess; ++e) values[v + e] = pack.value[e];
          }
          Kernel::finish(arguments, extras[i], group, pixels[i], channel(i), values);
        }
      }
    }
  }
};

}  // namespace ait::cuda
