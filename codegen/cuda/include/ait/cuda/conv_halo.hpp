// Convolution of up to 64 channels with strides of 1 on Hopper (wgmma), every pixel loaded once: rows of
// the image lie in shared memory with the zeros around them, one pixel after the other, so that the
// pixels which a tap sees are the same rows of memory some pixels further on. Products begin there:
// swizzled rows are addressed by where they lie, not by where a factor begins. The sums of the few
// pixels between one row's end and the next one's begin are nobody's. A block keeps all weights; two
// warpgroups take half of a tile each, by turns, so that one multiplies while the other finishes.
#pragma once

#include <algorithm>
#include <cstdint>

#include "ait/cuda/conv_finish.hpp"
#include "ait/cuda/hopper.hpp"
#include "ait/cuda/tensor_map.hpp"

namespace ait::cuda {

/// The tiles of `Kernel`, and how shared memory is divided.
template <class Kernel>
struct HaloConv {
  using Element = typename Kernel::Element;
  static constexpr int kStages = Kernel::kStages, kThreads = 3 * 128;
  static constexpr int kN = (Kernel::kOutputs + 15) / 16 * 16, kTaps = Kernel::kTapsH * Kernel::kTapsW;
  static constexpr int kRowBytes = Kernel::kChannels * static_cast<int>(sizeof(Element));
  using Factor = SharedMatrix<kRowBytes, Major::K>;

  /// From a pixel to the one below.
  static constexpr int kPitch = Kernel::kColumns + (Kernel::kTapsW - 1) * Kernel::kDilationW;
  static constexpr int kImageRows = Kernel::kTileRows + (Kernel::kTapsH - 1) * Kernel::kDilationH;
  static constexpr int kLoadedBytes = kImageRows * kPitch * kRowBytes;
  static constexpr int kStageBytes = (kLoadedBytes + 1023) / 1024 * 1024;
  /// Pixels of a tile, with those between its rows; and how many times 64 a warpgroup has.
  static constexpr int kPixels = (Kernel::kTileRows - 1) * kPitch + Kernel::kColumns;
  static constexpr int kBlocks = (kPixels + 127) / 128;

  static constexpr int kTapBytes = kN * kRowBytes, kWeightBytes = kTaps * kTapBytes;
  using Finish = PixelFinish<Kernel, kN>;
  static constexpr int kSlabsBytes = 8 * Finish::kSlabBytes;
  static constexpr int kBeforeBarriers = kStages * kStageBytes + kWeightBytes + kSlabsBytes;
  static constexpr int kSharedBytes = kBeforeBarriers + (2 * kStages + 1) * 8;

  static constexpr int farthest() {
    const int pixel = kBlocks * 128 - 1 + (Kernel::kTapsH - 1) * Kernel::kDilationH * kPitch;
    return (pixel + (Kernel::kTapsW - 1) * Kernel::kDilationW + 1) * kRowBytes;
  }
  static_assert(farthest() <= kStageBytes + kWeightBytes + kSlabsBytes,
                "nobody's pixels lie in the block's memory");

  static __device__ __forceinline__ char* stage(int index) {
    return dynamic_shared_tiles() + index * kStageBytes;
  }
  static __device__ __forceinline__ char* weights() { return stage(kStages); }
  static __device__ __forceinline__ float* slab() {
    return reinterpret_cast<float*>(weights() + kWeightBytes +
                                    (static_cast<int>(threadIdx.x) / 32 - 4) * Finish::kSlabBytes);
  }
  static __device__ __forceinline__ Barrier* full(int index) {
    return reinterpret_cast<Barrier*>(dynamic_shared_tiles() + kBeforeBarriers) + index;
  }
  static __device__ __forceinline__ Barrier* empty(int index) { return full(kStages + index); }
  static __device__ __forceinline__ Barrier* weights_full() { return full(2 * kStages); }
};

/// Where the sums of a warpgroup belong: rows are pixels of a tile with those between its rows.
template <class Kernel>
struct HaloPixels {
  using Index = typename Kernel::Index;
  Index first;
  int before, rows;
  __device__ __forceinline__ Index operator()(int row) const {
    const int number = before + row;
    const int p = number / HaloConv<Kernel>::kPitch, q = number % HaloConv<Kernel>::kPitch;
    return p < rows && q < Kernel::kColumns ? first + p * Kernel::kColumns + q : -1;
  }
};

/// The tiles of all images in the order of their numbers, or the other way round.
template <class Kernel>
struct HaloTiles {
  int rows, tiles_p, tiles;
  bool backwards;

  struct Tile {
    int image, row;
  };

  explicit __device__ __forceinline__ HaloTiles(const typename Kernel::Arguments& arguments)
      : rows(static_cast<int>(arguments.rows)),
        tiles_p((rows + Kernel::kTileRows - 1) / Kernel::kTileRows),
        tiles(tiles_p * static_cast<int>(arguments.images)),
        backwards(arguments.backwards) {}

  __device__ __forceinline__ Tile at(int number) const {
    const int tile = gpu::in_order(number, tiles, backwards);
    return {tile / tiles_p, tile % tiles_p * Kernel::kTileRows};
  }
};

/// `Kernel` is generated. It has the types `Element`, `Index`, `Arguments` (with the numbers of images
/// and of rows of the result) and `Extras`, the constants used here, and `read` and `finish` as in
/// conv_hopper.hpp.
template <class Kernel>
__global__ void __launch_bounds__(HaloConv<Kernel>::kThreads, 1)
    conv_halo(const __grid_constant__ typename Kernel::Arguments arguments,
              const __grid_constant__ CUtensorMap image, const __grid_constant__ CUtensorMap weights) {
  using Conv = HaloConv<Kernel>;
  using Index = typename Kernel::Index;
  constexpr int kTurnBarrier = 1;
  const HaloTiles<Kernel> order(arguments);
  const int warpgroup = static_cast<int>(threadIdx.x) / 128 - 1;
  if (threadIdx.x == 0) {
    prefetch_map(&image);
    prefetch_map(&weights);
    for (int i = 0; i < Conv::kStages; ++i) {
      init_barrier(Conv::full(i), 1);
      init_barrier(Conv::empty(i), 2);
    }
    init_barrier(Conv::weights_full(), 1);
    fence_barriers();
  }
  __syncthreads();

  if (warpgroup < 0) {
    give_registers<40>();
    if (threadIdx.x == 0) {
      if constexpr (!Kernel::kConstantWeights) gpu::wait_for_inputs();
      arrive_expecting(Conv::weights_full(), Conv::kWeightBytes);
      for (int tap = 0; tap < Conv::kTaps; ++tap) {
        load_tile(Conv::weights() + tap * Conv::kTapBytes, &weights, Conv::weights_full(), 0,
                  tap % Kernel::kTapsW, tap / Kernel::kTapsW, 0, cache::kEvictLast);
      }
      if constexpr (Kernel::kConstantWeights) gpu::wait_for_inputs();
      gpu::let_next_start();
      Ring<Conv::kStages> ring;
      for (int number = blockIdx.x; number < order.tiles; number += gridDim.x) {
        const auto tile = order.at(number);
        wait_barrier(Conv::empty(ring.stage), ring.parity ^ 1);
        arrive_expecting(Conv::full(ring.stage), Conv::kLoadedBytes);
        load_tile(Conv::stage(ring.stage), &image, Conv::full(ring.stage), 0, -Kernel::kLeft,
                  tile.row - Kernel::kTop, tile.image);
        ring.next();
      }
    }
    return;
  }
  take_registers<232>();
  gpu::wait_for_inputs();
  wait_barrier(Conv::weights_full(), 0);
  const std::uint64_t filters = Conv::Factor::describe(Conv::weights());
  const int before = warpgroup * Conv::kBlocks * 64;
  float sums[Conv::kBlocks][Conv::kN / 2];
  if (warpgroup == 1) arrive_threads(kTurnBarrier, 256);
  Ring<Conv::kStages> ring;
  for (int number = blockIdx.x; number < order.tiles; number += gridDim.x) {
    const auto tile = order.at(number);
    wait_barrier(Conv::full(ring.stage), ring.parity);
    const std::uint64_t pixels =
        Conv::Factor::describe(Conv::stage(ring.stage)) + (before * Conv::kRowBytes >> 4);
    sync_threads(kTurnBarrier + warpgroup, 256);
    fence_products();
#pragma unroll
    for (int tap = 0; tap < Conv::kTaps; ++tap) {
      const int moved = tap / Kernel::kTapsW * Kernel::kDilationH * Conv::kPitch +
                        tap % Kernel::kTapsW * Kernel::kDilationW;
#pragma unroll
      for (int k = 0; k < Kernel::kChannels / 16; ++k) {
#pragma unroll
        for (int block = 0; block < Conv::kBlocks; ++block) {
          multiply_shared<typename Conv::Element, Conv::kN>(
              sums[block],
              pixels + ((moved + block * 64) * Conv::kRowBytes >> 4) + k * Conv::Factor::kNextK,
              filters + (tap * Conv::kTapBytes >> 4) + k * Conv::Factor::kNextK, tap + k > 0);
        }
      }
    }
    commit_products();
    arrive_threads(kTurnBarrier + 1 - warpgroup, 256);
    wait_for_products<0>();
    if (threadIdx.x % 128 == 0) arrive(Conv::empty(ring.stage));
    ring.next();
    const Index first = (static_cast<Index>(tile.image) * order.rows + tile.row) * Kernel::kColumns;
#pragma unroll
    for (int block = 0; block < Conv::kBlocks; ++block) {
      const HaloPixels<Kernel> places{first, before + block * 64,
                                      std::min(Kernel::kTileRows + 0, order.rows - tile.row)};
      Conv::Finish::rows(arguments, sums[block], Conv::slab(), 0, 0, places);
    }
  }
}

template <class Kernel>
Status run_conv_halo(const Launch& launch, const typename Kernel::Arguments& arguments,
                     const typename Kernel::Element* image, const Tiles<4>& rows,
                     const typename Kernel::Element* weights, const Tiles<4>& filters) {
  using Conv = HaloConv<Kernel>;
  const int64_t tiles_p = (arguments.rows + Kernel::kTileRows - 1) / Kernel::kTileRows;
  const int64_t tiles = tiles_p * arguments.images;
  if (tiles <= 0) return ok();
  if (tiles > INT32_MAX / 2) {
    return Status{AIT_INVALID_INPUT, "a convolution's result has too many tiles for one launch"};
  }
  CUtensorMap image_map, weights_map;
  AIT_TRY(make_map(&image_map, image, rows));
  AIT_TRY(make_map(&weights_map, weights, filters));
  const auto blocks = static_cast<unsigned>(std::min<int64_t>(tiles, gpu::multiprocessors()));
  return gpu::launch_with_shared(launch, conv_halo<Kernel>, dim3(blocks), dim3(Conv::kThreads),
                                 Conv::kSharedBytes, arguments, image_map, weights_map);
}

}  // namespace ait::cuda
