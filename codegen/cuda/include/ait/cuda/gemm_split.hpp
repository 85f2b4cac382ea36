// The end of a Hopper gemm's tile whose steps along k the blocks of a cluster share: each block adds up
// and finishes a part of the columns.
//
// Threads of the same number have the same places of the tile in all blocks. Each sends what the others
// finish from its registers to theirs, 16 bytes beside those of its neighbours. They count at a barrier of
// the block that gets them, which nobody but that block waits for.
//
// `Kernel` is generated; see gemm_hopper.hpp. It ends its tiles in packs (gemm_finish.hpp).
#pragma once

#include <algorithm>
#include <cstdint>

#include "ait/cuda/gemm_finish.hpp"
#include "ait/cuda/hopper.hpp"

namespace ait::cuda {

template <class Kernel>
struct SplitTile {
  static constexpr int kThreads = Kernel::kConsumers * kWarpgroup;
  static constexpr int kRows = Kernel::kTileM / Kernel::kConsumers;
  static constexpr int kBlocks = kRows / 64;
  /// Eight columns each, of which a thread has four sums: (g, t), (g, t + 1), (g + 8, t), (g + 8, t + 1).
  static constexpr int kChunks = Kernel::kTileN / 8;
  /// Of a block; the last ones may have fewer.
  static constexpr int kOwnChunks = (kChunks + Kernel::kSplits - 1) / Kernel::kSplits;
  static constexpr int kColumns = kOwnChunks * 8;
  static constexpr int kParts = kBlocks * Kernel::kFactors * kOwnChunks;
  /// Sums of the block's columns: lines of packs, padded against bank conflicts.
  static constexpr int kLine = Kernel::kPackRows ? Kernel::kTileM + 4 : kColumns + 8;
  static constexpr int kLines = Kernel::kPackRows ? kColumns : Kernel::kTileM;
  static constexpr int kFactorSize = kLines * kLine;
  static constexpr int kBytes = Kernel::kFactors * kFactorSize * 4;

  /// What the other blocks send; next to nothing where there are none.
  static constexpr bool kIsSplit = Kernel::kSplits > 1;
  struct Inbox {
    alignas(16) float sums[kIsSplit ? Kernel::kSplits - 1 : 1][kIsSplit ? kParts : 1]
                          [kIsSplit ? kThreads : 1][4];
    Barrier has_come;
  };

  /// Before all else: the block of a split is ready for what others send. One thread calls it, and then
  /// `fence_barriers`.
  static __device__ __forceinline__ void expect(Inbox& inbox, int split) {
    if constexpr (kIsSplit) {
      const int left = kChunks - split * kOwnChunks;
      const int chunks = left < 0 ? 0 : left < kOwnChunks ? left : kOwnChunks;
      constexpr int kBytesOfChunk =
          (Kernel::kSplits - 1) * kBlocks * Kernel::kFactors * kThreads * sizeof(float[4]);
      init_barrier(&inbox.has_come, 1);
      arrive_expecting(&inbox.has_come, chunks * kBytesOfChunk);
    }
  }

  /// Calls function(part, block, factor, own chunk, chunk of the tile) for each part of a split.
  template <class Function>
  static __device__ __forceinline__ void for_parts(int split, const Function& function) {
#pragma unroll
    for (int s = 0; s < Kernel::kSplits; ++s) {
      if (s != split) continue;
#pragma unroll
      for (int part = 0; part < kParts; ++part) {
        const int own = part % kOwnChunks, chunk = s * kOwnChunks + own;
        const int factor = part / kOwnChunks % Kernel::kFactors;
        if (chunk < kChunks) function(part, part / kOwnChunks / Kernel::kFactors, factor, own, chunk);
      }
    }
  }

  /// The place in a block's inbox of what another one sends.
  static __device__ __forceinline__ int slot(int from, int to) { return from < to ? from : from - 1; }
};

/// Adds up the sums of the cluster's blocks and runs the region on this block's columns. `lines` has
/// kBytes of shared memory that nobody uses once the block has multiplied. All threads of the cluster
/// have called arrive_cluster, after one of each block has called `expect`. All that multiply call
/// this; the others call wait_cluster instead.
template <class Kernel, class Sums>
__device__ __forceinline__ void finish_split(const typename Kernel::Arguments& arguments,
                                             const Sums& sums,
                                             typename SplitTile<Kernel>::Inbox& inbox, float* lines,
                                             bool has_steps, int consumer, int split,
                                             typename Kernel::Index batch,
                                             typename Kernel::Index row,
                                             typename Kernel::Index column) {
  using Tile = SplitTile<Kernel>;
  using Index = typename Kernel::Index;
  constexpr int kPack = Kernel::kPack, kThreads = Tile::kThreads;
  const int thread = static_cast<int>(threadIdx.x) - kWarpgroup;
  // All blocks have begun.
  wait_cluster();
  const auto own_sum = [&](int block, int factor, int chunk, int i) {
    return has_steps ? sums.value[block][factor][chunk * 4 + i] : 0.0f;
  };
#pragma unroll
  for (int to = 0; to < Kernel::kSplits; ++to) {
    if (to == split) continue;
    const std::uint32_t has_come = remote_address(&inbox.has_come, to);
    auto& box = inbox.sums[Tile::slot(split, to)];
    Tile::for_parts(to, [&](int part, int block, int factor, int, int chunk) {
      const float values[4] = {own_sum(block, factor, chunk, 0), own_sum(block, factor, chunk, 1),
                               own_sum(block, factor, chunk, 2), own_sum(block, factor, chunk, 3)};
      send_remote(remote_address(box[part][thread], to), has_come, values);
    });
  }
  // All of the block have multiplied: `lines` are free.
  sync_threads(1, kThreads);
  wait_barrier_cluster(&inbox.has_come, 0);

  const int warp = thread / 32 % 4, g = thread % 32 / 4, t = thread % 4;
  Tile::for_parts(split, [&](int part, int block, int factor, int own, int chunk) {
    float totals[4];
#pragma unroll
    for (int from = 0; from < Kernel::kSplits; ++from) {
      const float* sent = inbox.sums[from == split ? 0 : Tile::slot(from, split)][part][thread];
      const auto values = gpu::load_pack<4>(sent);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float value = from == split ? own_sum(block, factor, chunk, i) : values.value[i];
        totals[i] = from == 0 ? value : totals[i] + value;
      }
    }
    float* to = lines + factor * Tile::kFactorSize;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int r = consumer * Tile::kRows + block * 64 + warp * 16 + half * 8 + g, c = own * 8 + t * 2;
      if constexpr (Kernel::kPackRows) {
        to[c * Tile::kLine + r] = totals[half * 2];
        to[(c + 1) * Tile::kLine + r] = totals[half * 2 + 1];
      } else {
        *reinterpret_cast<float2*>(to + r * Tile::kLine + c) =
            make_float2(totals[half * 2], totals[half * 2 + 1]);
      }
    }
  });
  sync_threads(1, kThreads);

  constexpr int kInLine = (Kernel::kPackRows ? Kernel::kTileM : Tile::kColumns) / kPack;
  constexpr int kPacks = Tile::kLines * kInLine;
  // Packs of a thread whose reads are on their way at once.
  constexpr int kTogether = std::clamp(32 / (Kernel::kFactors * kPack), 1, 4);
  // Columns beyond the tile are another one's.
  const int first_column = split * Tile::kColumns;
  const int width = Kernel::kTileN - first_column;
  for (int at = thread; at < kPacks; at += kThreads * kTogether) {
    Index rows[kTogether], columns[kTogether];
    bool inside[kTogether];
    typename Kernel::Loaded loaded[kTogether];
#pragma unroll
    for (int i = 0; i < kTogether; ++i) {
      const int pack = at + i * kThreads, line = pack / kInLine, first = pack % kInLine * kPack;
      const int own = Kernel::kPackRows ? line : first;
      rows[i] = row + (Kernel::kPackRows ? first : line);
      columns[i] = column + first_column + own;
      inside[i] = pack < kPacks && own < width && rows[i] < arguments.rows &&
                  columns[i] < arguments.columns;
      if (inside[i]) loaded[i] = Kernel::load(arguments, batch, rows[i], columns[i]);
    }
#pragma unroll
    for (int i = 0; i < kTogether; ++i) {
      if (!inside[i]) continue;
      const int pack = at + i * kThreads, line = pack / kInLine, first = pack % kInLine * kPack;
      float total[Kernel::kFactors][kPack];
#pragma unroll
      for (int factor = 0; factor < Kernel::kFactors; ++factor) {
        const float* from = lines + factor * Tile::kFactorSize + line * Tile::kLine + first;
        const auto values = gpu::load_pack<kPack>(from);
#pragma unroll
        for (int j = 0; j < kPack; ++j) total[factor][j] = values.value[j];
      }
      Kernel::finish(arguments, batch, rows[i], columns[i], loaded[i], total);
    }
  }
}

}  // namespace ait::cuda
