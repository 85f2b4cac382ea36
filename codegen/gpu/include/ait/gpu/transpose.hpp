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

/// Writes the `Count` elements of each of the first `lanes` threads of a warp, which lie side by side
/// from `begin` on, so that neighbouring threads write neighbouring packs. All threads of the block
/// take part.
template <int Count, class Element>
__device__ __forceinline__ void store_side_by_side(Element* begin,
                                                   const Pack<Element, Count>& own, int lanes) {
  constexpr int kWarp = 32, kPack = 16 / static_cast<int>(sizeof(Element));
  constexpr int kPacks = Count / kPack;
  static_assert(Count % kPack == 0);
  __shared__ Pack<Element, kPack> lines[kElementwiseThreads / kWarp][kWarp * kPacks];
  const int lane = threadIdx.x % kWarp;
  auto& line = lines[threadIdx.x / kWarp];
#pragma unroll
  for (int i = 0; i < kPacks; ++i) {
    Pack<Element, kPack> pack;
#pragma unroll
    for (int j = 0; j < kPack; ++j) pack.value[j] = own.value[i * kPack + j];
    line[lane * kPacks + i] = pack;
  }
  __syncthreads();
#pragma unroll
  for (int i = 0; i < kPacks; ++i) {
    const int at = i * kWarp + lane;
    if (at / kPacks < lanes) store_pack<kPack>(begin + at * kPack, line[at]);
  }
  __syncthreads();  // before the next lines are written
}

// Elements that cannot be accessed as packs change sides in shared memory -------------------------

constexpr int kTransposeThreads = 256;
/// Elements of a block's tile along both axes.
constexpr int kTransposeSide = 64;

/// What a block has read of an operand: `value[column][row]`. Rows are a word longer than they must
/// be, so that neighbouring columns are in different banks.
template <class Element>
struct SharedTile {
  static constexpr int kWord = sizeof(Element) < 4 ? 4 / static_cast<int>(sizeof(Element)) : 1;
  Element value[kTransposeSide][kTransposeSide + kWord];
};

/// `Kernel` is generated: `Index`, `Arguments` (pointers, extents and `count` tiles), `Tiles`, `kThreads`
/// of a block, `kBlocks` of a multiprocessor at least (0: any), and `read(arguments, tile, tiles)` and
/// `write(arguments, tile, tiles)`.
template <class Kernel>
__global__ void __launch_bounds__(Kernel::kThreads, Kernel::kBlocks)
    transpose_tiles(const __grid_constant__ typename Kernel::Arguments arguments) {
  __shared__ typename Kernel::Tiles tiles;
  wait_for_inputs();
  let_next_start();
  const auto tile = static_cast<typename Kernel::Index>(blockIdx.x);
  Kernel::read(arguments, tile, tiles);
  __syncthreads();
  Kernel::write(arguments, tile, tiles);
}

template <class Kernel>
ait::Status run_transpose_tiles(const ait::Launch& launch,
                                const typename Kernel::Arguments& arguments) {
  if (arguments.count <= 0) return ait::ok();
  if (arguments.count > INT32_MAX) {
    return Status{AIT_INVALID_INPUT, "a tensor is too large for one launch"};
  }
  return gpu::launch(launch, transpose_tiles<Kernel>,
                     dim3(static_cast<unsigned>(arguments.count)), dim3(Kernel::kThreads),
                     arguments);
}

}  // namespace ait::gpu
