// Convolution on Hopper (wgmma) as an implicit gemm: m = output pixels of all images, n = output
// channels of a group, k = taps x input channels, channels innermost. One thread starts the copies of
// pixels (TMA im2col) and weights (TMA); warpgroups multiply and finish. A block takes one tile after
// the other, from the last one on if it goes backwards; where tiles are few, the blocks of a cluster
// share the steps along k of one tile.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "ait/cuda/conv_finish.hpp"
#include "ait/cuda/hopper.hpp"
#include "ait/cuda/tensor_map.hpp"

namespace ait::cuda {

/// Where an output pixel lies.
struct Pixel {
  int image, row, column;
};

/// The tiles of `Kernel`, and how shared memory and warps are divided.
template <class Kernel>
struct HopperConv {
  using Element = typename Kernel::Element;
  static constexpr int kM = Kernel::kTileM, kN = Kernel::kTileN, kK = Kernel::kTileK;
  static constexpr int kStages = Kernel::kStages, kSplit = Kernel::kSplit;
  static constexpr int kWarpgroups = Kernel::kWarpgroups;
  static constexpr int kThreads = 128 * (1 + kWarpgroups);
  /// Warpgroups take whole tiles by turns, or a part each of the rows of one tile.
  static constexpr bool kTurns = Kernel::kPingpong;
  static constexpr int kRows = kTurns ? kM : kM / kWarpgroups, kBlocks = kRows / 64;
  static_assert(kRows % 64 == 0 && kN % 8 == 0 && (!kTurns || (kWarpgroups == 2 && kSplit == 1)));

  static constexpr int kRowBytes = kK * static_cast<int>(sizeof(Element));
  static constexpr int kBytesA = kM * kRowBytes, kBytesB = kN * kRowBytes;
  static constexpr int kStageBytes = (kBytesA + kBytesB + 1023) / 1024 * 1024;
  using Factor = SharedMatrix<kRowBytes, Major::K>;

  using Finish = PixelFinish<Kernel, kN>;
  static constexpr int kPartialPitch = spread_pitch(kN);
  static constexpr int kPartialBytes = kM * kPartialPitch * static_cast<int>(sizeof(float));
  static constexpr int kTileBytes = kSplit > 1 ? std::max(kStages * kStageBytes, kPartialBytes)
                                               : kStages * kStageBytes;
  static constexpr int kSlabsBytes = kSplit > 1 ? 0 : 4 * kWarpgroups * Finish::kSlabBytes;
  static constexpr int kSharedBytes = kTileBytes + kSlabsBytes + 2 * kStages * 8;

  static constexpr int kChannelSteps = (Kernel::kChannels + kK - 1) / kK;
  static constexpr int kSteps = Kernel::kTapsH * Kernel::kTapsW * kChannelSteps;
  static constexpr int kTilesN = (Kernel::kOutputs + kN - 1) / kN;

  static __device__ __forceinline__ char* stage(int index) {
    return dynamic_shared_tiles() + index * kStageBytes;
  }
  /// The warp's own memory, of a warp that multiplies.
  static __device__ __forceinline__ float* slab() {
    return reinterpret_cast<float*>(dynamic_shared_tiles() + kTileBytes +
                                    (static_cast<int>(threadIdx.x) / 32 - 4) * Finish::kSlabBytes);
  }
  static __device__ __forceinline__ Barrier* full(int index) {
    return reinterpret_cast<Barrier*>(dynamic_shared_tiles() + kTileBytes + kSlabsBytes) + index;
  }
  static __device__ __forceinline__ Barrier* empty(int index) { return full(kStages + index); }
};

/// The tiles of a convolution's result: channels of a group first, then pixels, then groups.
template <class Kernel>
struct ConvTiles {
  using Conv = HopperConv<Kernel>;
  using Index = typename Kernel::Index;
  int tiles_m, tiles;

  /// The first pixel and channel, the group.
  struct Tile {
    Index m;
    int n, group;
  };

  explicit __device__ __forceinline__ ConvTiles(const typename Kernel::Arguments& arguments)
      : tiles_m(static_cast<int>((arguments.m + Conv::kM - 1) / Conv::kM)),
        tiles(tiles_m * Conv::kTilesN * Kernel::kGroups) {}

  __device__ __forceinline__ bool has(int tile) const {
    return static_cast<unsigned>(tile) < static_cast<unsigned>(tiles);
  }
  __device__ __forceinline__ Tile at(int tile) const {
    const int row = tile / Conv::kTilesN;
    return {static_cast<Index>(row % tiles_m) * Conv::kM, tile % Conv::kTilesN * Conv::kN,
            row / tiles_m};
  }
};

/// What the thread that starts all copies does.
template <class Kernel>
__device__ __forceinline__ void load_conv(const typename Kernel::Arguments& arguments,
                                          const CUtensorMap* image, const CUtensorMap* weights,
                                          const ConvTiles<Kernel>& order, int first_tile,
                                          int tile_step, int first_step, int end_step) {
  using Conv = HopperConv<Kernel>;
  using Tile = typename ConvTiles<Kernel>::Tile;
  constexpr int kTaps = Kernel::kTapsH * Kernel::kTapsW;
  const auto load_weights = [&](const Tile& tile, int stage, int step) {
    const int chunk = step % Conv::kChannelSteps, tap = step / Conv::kChannelSteps;
    static_assert(kTaps > 0);
    arrive_expecting(Conv::full(stage), Conv::kBytesA + Conv::kBytesB);
    load_tile(Conv::stage(stage) + Conv::kBytesA, weights, Conv::full(stage), chunk * Conv::kK,
              tap % Kernel::kTapsW, tap / Kernel::kTapsW,
              tile.group * Kernel::kOutputs + tile.n, cache::kEvictLast);
  };
  // Constant weights need not wait for the kernel before this one.
  int ahead = 0;
  if constexpr (Kernel::kConstantWeights) {
    if (order.has(first_tile)) {
      const Tile tile = order.at(first_tile);
      for (; ahead < Conv::kStages && first_step + ahead < end_step; ++ahead) {
        load_weights(tile, ahead, first_step + ahead);
      }
    }
  }
  gpu::wait_for_inputs();
  gpu::let_next_start();
  Ring<Conv::kStages> ring;
  for (int index = first_tile; order.has(index); index += tile_step) {
    const Tile tile = order.at(index);
    const Pixel pixel = Kernel::pixel(arguments, tile.m);
    const int w = pixel.column * Kernel::kStrideW - Kernel::kLeft;
    const int h = pixel.row * Kernel::kStrideH - Kernel::kTop;
    int chunk = first_step % Conv::kChannelSteps;
    int s = first_step / Conv::kChannelSteps % Kernel::kTapsW;
    int r = first_step / Conv::kChannelSteps / Kernel::kTapsW;
    for (int step = first_step; step < end_step; ++step) {
      if (ahead > 0) {
        --ahead;
      } else {
        wait_barrier(Conv::empty(ring.stage), ring.parity ^ 1);
        load_weights(tile, ring.stage, step);
      }
      load_pixels(Conv::stage(ring.stage), image, Conv::full(ring.stage),
                  tile.group * Kernel::kChannels + chunk * Conv::kK, w, h, pixel.image,
                  static_cast<std::uint16_t>(s * Kernel::kDilationW),
                  static_cast<std::uint16_t>(r * Kernel::kDilationH));
      ring.next();
      if (++chunk == Conv::kChannelSteps) {
        chunk = 0;
        if (++s == Kernel::kTapsW) {
          s = 0;
          ++r;
        }
      }
    }
  }
}

/// A warpgroup's part of the products of one tile; `part` counts those that share its rows. Calls
/// `issued` when all products are under way.
template <class Kernel, class Issued>
__device__ __forceinline__ void multiply_conv(
    float (&sums)[HopperConv<Kernel>::kBlocks][HopperConv<Kernel>::kN / 2],
    Ring<HopperConv<Kernel>::kStages>& ring, int steps, int part, const Issued& issued) {
  using Conv = HopperConv<Kernel>;
  constexpr int kAdvance = 64 * Conv::kRowBytes >> 4;
  int previous = -1;
  for (int step = 0; step < steps; ++step) {
    wait_barrier(Conv::full(ring.stage), ring.parity);
    const char* const stage = Conv::stage(ring.stage);
    const std::uint64_t a = Conv::Factor::describe(stage + part * Conv::kRows * Conv::kRowBytes);
    const std::uint64_t b = Conv::Factor::describe(stage + Conv::kBytesA);
    fence_products();
#pragma unroll
    for (int k = 0; k < Conv::kK / 16; ++k) {
#pragma unroll
      for (int block = 0; block < Conv::kBlocks; ++block) {
        multiply_shared<typename Conv::Element, Conv::kN>(
            sums[block], a + block * kAdvance + k * Conv::Factor::kNextK,
            b + k * Conv::Factor::kNextK, step + k > 0);
      }
    }
    commit_products();
    wait_for_products<1>();
    if (previous >= 0 && threadIdx.x % 128 == 0) arrive(Conv::empty(previous));
    previous = ring.stage;
    ring.next();
  }
  issued();
  wait_for_products<0>();
  if (previous >= 0 && threadIdx.x % 128 == 0) arrive(Conv::empty(previous));
}

/// The region and the stores of a warpgroup's rows, which begin at pixel `m`.
template <class Kernel>
__device__ __forceinline__ void finish_conv(
    const typename Kernel::Arguments& arguments,
    const float (&sums)[HopperConv<Kernel>::kBlocks][HopperConv<Kernel>::kN / 2],
    const typename ConvTiles<Kernel>::Tile& tile, typename Kernel::Index m) {
  using Conv = HopperConv<Kernel>;
  using Index = typename Kernel::Index;
#pragma unroll
  for (int block = 0; block < Conv::kBlocks; ++block) {
    const PixelsInOrder<Index> pixels{m + block * 64, static_cast<Index>(arguments.m)};
    Conv::Finish::rows(arguments, sums[block], Conv::slab(), tile.group, tile.n, pixels);
  }
}

/// Writes a warpgroup's sums to the block's own shared memory, where the cluster reads them.
template <class Kernel>
__device__ __forceinline__ void keep_partial(
    const float (&sums)[HopperConv<Kernel>::kBlocks][HopperConv<Kernel>::kN / 2], int part) {
  using Conv = HopperConv<Kernel>;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32 % 4;
  auto* const partial = reinterpret_cast<float*>(dynamic_shared_tiles());
#pragma unroll
  for (int block = 0; block < Conv::kBlocks; ++block) {
#pragma unroll
    for (int j = 0; j < Conv::kN / 8; ++j) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int row = part * Conv::kRows + block * 64 + warp * 16 + lane / 4 + half * 8;
        const float* const pair = &sums[block][j * 4 + half * 2];
        gpu::store_pack<2>(partial + row * Conv::kPartialPitch + j * 8 + lane % 4 * 2,
                           {pair[0], pair[1]});
      }
    }
  }
}

/// The block's share of a tile whose parts of the sum lie in the blocks of the cluster: they are added
/// in the order of the blocks.
template <class Kernel>
__device__ __forceinline__ void finish_partials(const typename Kernel::Arguments& arguments,
                                                const typename ConvTiles<Kernel>::Tile& tile,
                                                int rank) {
  using Conv = HopperConv<Kernel>;
  using Index = typename Kernel::Index;
  constexpr int kPack = Kernel::kPack, kPerRow = Conv::kN / kPack;
  static_assert(kPack % 4 == 0, "partial sums are read in pieces of 16 bytes");
  constexpr int kAll = Conv::kM * kPerRow, kShare = (kAll + Conv::kSplit - 1) / Conv::kSplit;
  const auto* const partial = reinterpret_cast<const float*>(dynamic_shared_tiles());
  const int end = std::min(kAll, (rank + 1) * kShare);
  for (int piece = rank * kShare + static_cast<int>(threadIdx.x) - 128; piece < end;
       piece += 128 * Conv::kWarpgroups) {
    const int row = piece / kPerRow, column = piece % kPerRow * kPack;
    const Index pixel = tile.m + row;
    const int n = tile.n + column;
    if (pixel >= arguments.m || n >= Kernel::kOutputs) continue;
    const typename Kernel::Extras extras = Kernel::read(arguments, tile.group, pixel, n);
    float4 parts[Conv::kSplit][kPack / 4];
#pragma unroll
    for (int block = 0; block < Conv::kSplit; ++block) {
#pragma unroll
      for (int v = 0; v < kPack / 4; ++v) {
        const float* const part = partial + row * Conv::kPartialPitch + column + v * 4;
        parts[block][v] = load_remote(remote_address(part, block));
      }
    }
    float values[kPack] = {};
#pragma unroll
    for (int block = 0; block < Conv::kSplit; ++block) {
#pragma unroll
      for (int v = 0; v < kPack / 4; ++v) {
        values[v * 4 + 0] += parts[block][v].x;
        values[v * 4 + 1] += parts[block][v].y;
        values[v * 4 + 2] += parts[block][v].z;
        values[v * 4 + 3] += parts[block][v].w;
      }
    }
    Kernel::finish(arguments, extras, tile.group, pixel, n, values);
  }
}

/// `Kernel` is generated. It has the types `Element`, `Index`, `Arguments` (with the number of pixels
/// `m`) and `Extras` (what the region reads for kPack channels of a pixel), the constants used here,
/// `pixel(arguments, m)`, `read(arguments, group, m, n)` and
/// `finish(arguments, extras, group, m, n, sums)`: the region and its stores.
template <class Kernel>
__global__ void __launch_bounds__(HopperConv<Kernel>::kThreads, 1)
    __cluster_dims__(Kernel::kSplit, 1, 1)
        conv_hopper(const __grid_constant__ typename Kernel::Arguments arguments,
                    const __grid_constant__ CUtensorMap image,
                    const __grid_constant__ CUtensorMap weights) {
  using Conv = HopperConv<Kernel>;
  constexpr int kTurnBarrier = 1;
  const int warpgroup = static_cast<int>(threadIdx.x) / 128 - 1;
  const int rank = Conv::kSplit > 1 ? cluster_rank() : 0;
  const ConvTiles<Kernel> order(arguments);
  const int number = blockIdx.x / Conv::kSplit, clusters = gridDim.x / Conv::kSplit;
  const int first_tile = gpu::in_order(number, order.tiles, arguments.backwards);
  const int tile_step = arguments.backwards ? -clusters : clusters;
  const int first_step = Conv::kSteps * rank / Conv::kSplit;
  const int end_step = Conv::kSteps * (rank + 1) / Conv::kSplit;
  if (threadIdx.x == 0) {
    prefetch_map(&image);
    prefetch_map(&weights);
    for (int i = 0; i < Conv::kStages; ++i) {
      init_barrier(Conv::full(i), 1);
      init_barrier(Conv::empty(i), Conv::kTurns ? 1 : Conv::kWarpgroups);
    }
    fence_barriers();
  }
  __syncthreads();

  if (warpgroup < 0) {
    if constexpr (Conv::kWarpgroups == 2) give_registers<40>();
    if constexpr (Conv::kWarpgroups == 3) give_registers<32>();
    if (threadIdx.x == 0) {
      load_conv<Kernel>(arguments, &image, &weights, order, first_tile, tile_step, first_step,
                        end_step);
    }
    __syncwarp();
  } else {
    if constexpr (Conv::kWarpgroups == 2) take_registers<232>();
    if constexpr (Conv::kWarpgroups == 3) take_registers<160>();
    gpu::wait_for_inputs();
    float sums[Conv::kBlocks][Conv::kN / 2];
    if constexpr (Conv::kSplit > 1) {
      Ring<Conv::kStages> ring;
      multiply_conv<Kernel>(sums, ring, end_step - first_step, warpgroup, [] {});
      // Nobody multiplies from the stages any more.
      sync_threads(kTurnBarrier, 128 * Conv::kWarpgroups);
      keep_partial<Kernel>(sums, warpgroup);
    } else if constexpr (Conv::kTurns) {
      // The other warpgroup multiplies while this one finishes its tile.
      if (warpgroup == 1) arrive_threads(kTurnBarrier, 256);
      for (int turn = warpgroup, index = first_tile + warpgroup * tile_step; order.has(index);
           turn += 2, index += 2 * tile_step) {
        const auto tile = order.at(index);
        Ring<Conv::kStages> ring(turn * Conv::kSteps);
        sync_threads(kTurnBarrier + warpgroup, 256);
        multiply_conv<Kernel>(sums, ring, Conv::kSteps, 0,
                              [&] { arrive_threads(kTurnBarrier + 1 - warpgroup, 256); });
        finish_conv<Kernel>(arguments, sums, tile, tile.m);
      }
    } else {
      Ring<Conv::kStages> ring;
      for (int index = first_tile; order.has(index); index += tile_step) {
        const auto tile = order.at(index);
        multiply_conv<Kernel>(sums, ring, Conv::kSteps, warpgroup, [] {});
        finish_conv<Kernel>(arguments, sums, tile, tile.m + warpgroup * Conv::kRows);
      }
    }
  }
  if constexpr (Conv::kSplit > 1) {
    sync_cluster();
    if (warpgroup >= 0) {
      finish_partials<Kernel>(arguments, order.at(first_tile), rank);
    }
    // Others may still read this block's shared memory. What was read of theirs is stored by now.
    meet_cluster();
  }
}

template <class Kernel>
Status run_conv_hopper(const Launch& launch, const typename Kernel::Arguments& arguments,
                       const typename Kernel::Element* image, const Pixels& pixels,
                       const typename Kernel::Element* weights, const Tiles<4>& filters) {
  using Conv = HopperConv<Kernel>;
  if (arguments.m <= 0) return ok();
  const int64_t tiles_m = (int64_t{arguments.m} + Conv::kM - 1) / Conv::kM;
  const int64_t tiles = tiles_m * Conv::kTilesN * Kernel::kGroups;
  if (tiles * Conv::kSplit > INT32_MAX / 2) {
    return Status{AIT_INVALID_INPUT, "a convolution's result has too many tiles for one launch"};
  }
  CUtensorMap image_map, weights_map;
  AIT_TRY(make_map(&image_map, image, pixels));
  AIT_TRY(make_map(&weights_map, weights, filters));
  const int64_t blocks = Conv::kSplit > 1 ? tiles * Conv::kSplit
                                          : std::min<int64_t>(tiles, gpu::multiprocessors());
  return gpu::launch_with_shared(launch, conv_hopper<Kernel>, dim3(static_cast<unsigned>(blocks)),
                                 dim3(Conv::kThreads), Conv::kSharedBytes, arguments, image_map,
                                 weights_map);
}

}  // namespace ait::cuda
