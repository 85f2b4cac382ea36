// Gemm for Hopper in plain CUDA: tiles of the factors come by TMA through a ring in shared memory,
// warpgroups multiply them (wgmma), and the region runs on the sums in registers.
//
// One warp loads, one to three warpgroups multiply. *Cooperative*: they share the rows of a tile.
// *Pingpong*: each of two has a tile of its own, and finishes it while the other one multiplies. A
// block takes one tile after the other, from the last one on if it goes backwards. *Split*: the blocks of a cluster share the steps along k of
// one tile; each then adds up and finishes a part of it, in an order that is always the same.
//
// `Kernel` is generated. It names rows and columns of a tile as the tensor cores do (rows may be the
// op's n: few columns are cheap, few rows are not) and has
//   Element, Index, Arguments (with `rows`, `columns`, `depth`, `batches`), Maps;
//   kTileM, kTileN, kFactors (right factors: 1 or 2), kStages, kConsumers, kPingpong, kSplits,
//   kResident (blocks of a multiprocessor); kMajorA, kMajorB; kConstantA, kConstantB;
//   make_maps(arguments, maps) for the host;
//   load_a(maps, barrier, to, batch, row, k), load_b(maps, barrier, to, batch, column, k), which load
//   kStepK steps along k of a tile (load_b of all factors);
//   what the end of a tile needs, see gemm_finish.hpp; a split tile ends in packs.
#pragma once

#include <algorithm>
#include <cstdint>

#include "ait/cuda/early.hpp"
#include "ait/cuda/gemm_finish.hpp"
#include "ait/cuda/gemm_split.hpp"
#include "ait/cuda/hopper.hpp"
#include "ait/cuda/tensor_map.hpp"

namespace ait::cuda {

/// Steps along k of a tile in shared memory: rows of 128 bytes, which are so many factors of 16 bits.
constexpr int kStepBytes = 128, kStepK = 64;
/// The same of a kernel's factors.
template <class Kernel>
constexpr int kDepthOfStep = kStepBytes / static_cast<int>(sizeof(typename Kernel::Element));

/// Sizes that follow from a kernel's constants, and its shared memory.
template <class Kernel>
struct HopperGemm {
  static constexpr int kThreads = kWarpgroup * (1 + Kernel::kConsumers);
  static constexpr int kConsumerRows = GemmPart<Kernel>::kRows;
  static constexpr int kBlocks = GemmPart<Kernel>::kBlocks;
  static constexpr int kBytesA = Kernel::kTileM * kStepBytes;
  static constexpr int kBytesB = Kernel::kTileN * kStepBytes;
  static constexpr int kBytes = kBytesA + Kernel::kFactors * kBytesB;
  static constexpr int kSums = GemmPart<Kernel>::kSums;
  using Sums = typename GemmPart<Kernel>::Sums;
  /// Registers of threads that load and of threads that multiply; as compiled where there is room.
  static constexpr bool kMovesRegisters = Kernel::kConsumers > 1;
  static constexpr int kFewRegisters = Kernel::kConsumers == 3 ? 32 : 24;
  static constexpr int kManyRegisters = Kernel::kConsumers == 3 ? 160 : 240;
  static_assert(Kernel::kSplits == 1 || SplitTile<Kernel>::kBytes <= Kernel::kStages * kBytes,
                "the sums of a split need the room of the ring");

  struct Shared {
    alignas(1024) char tiles[Kernel::kStages][kBytes];
    typename Finish<Kernel>::Shared finish[Kernel::kConsumers];
    typename SplitTile<Kernel>::Inbox inbox;
    Barrier full[Kernel::kStages];
    Barrier empty[Kernel::kStages];
    Barrier turn[2];
  };
};

/// A place in the ring.
template <int Stages>
struct Place {
  int stage = 0;
  std::uint32_t parity = 0;

  __device__ __forceinline__ void next() {
    if (++stage == Stages) {
      stage = 0;
      parity ^= 1;
    }
  }
  __device__ __forceinline__ void skip(int steps) {
    const int to = stage + steps;
    parity ^= to / Stages & 1;
    stage = to % Stages;
  }
};

/// Tiles of the problem, in panels of a few tile rows: blocks that run together share factors.
template <class Kernel>
struct TileOrder {
  static constexpr int kPanel = 8;
  using Index = typename Kernel::Index;
  int rows, columns, tiles;
  bool backwards;

  template <class Arguments>
  __host__ __device__ explicit TileOrder(const Arguments& arguments)
      : rows(static_cast<int>((arguments.rows + Kernel::kTileM - 1) / Kernel::kTileM)),
        columns(static_cast<int>((arguments.columns + Kernel::kTileN - 1) / Kernel::kTileN)),
        tiles(rows * columns * static_cast<int>(arguments.batches)),
        backwards(arguments.backwards) {}

  struct Tile {
    Index batch, row, column;
  };

  __device__ __forceinline__ Tile at(int number) const {
    const int tile = gpu::in_order(number, tiles, backwards);
    const int batch = tile / (rows * columns), rest = tile % (rows * columns);
    const int panel = rest / (kPanel * columns), inside = rest % (kPanel * columns);
    const int height = min(kPanel, rows - panel * kPanel);
    return {static_cast<Index>(batch),
            static_cast<Index>(panel * kPanel + inside % height) * Kernel::kTileM,
            static_cast<Index>(inside / height) * Kernel::kTileN};
  }
};

/// The steps along k of one of the splits.
struct Steps {
  int first, count;

  __device__ __forceinline__ Steps(int all, int split, int splits)
      : first(all * split / splits), count(all * (split + 1) / splits - first) {}
};

/// Starts to bring a step along k of a tile to a stage: of A, of B or of both.
template <class Kernel, bool A, bool B, class Shared>
__device__ __forceinline__ void load_step(const typename Kernel::Arguments& arguments,
                                          const typename Kernel::Maps& maps, Shared& shared,
                                          int stage, const typename TileOrder<Kernel>::Tile& tile,
                                          int step) {
  const int k = step * kDepthOfStep<Kernel>;
  if constexpr (A) {
    Kernel::load_a(arguments, maps, &shared.full[stage], shared.tiles[stage], tile.batch, tile.row, k);
  }
  if constexpr (B) {
    Kernel::load_b(arguments, maps, &shared.full[stage],
                   shared.tiles[stage] + HopperGemm<Kernel>::kBytesA, tile.batch, tile.column, k);
  }
}

/// The first steps of a block's first tile, of which it returns the number; the inputs are there then.
///
/// Weights do not depend on the kernel before: they are on their way while it ends (early.hpp).
template <class Kernel, class Shared>
__device__ __forceinline__ int load_early(const typename Kernel::Arguments& arguments,
                                          const typename Kernel::Maps& maps, Shared& shared,
                                          Place<Kernel::kStages>& place,
                                          const typename TileOrder<Kernel>::Tile& tile,
                                          const Steps& steps) {
  using Gemm = HopperGemm<Kernel>;
  constexpr bool kA = Kernel::kConstantA, kB = Kernel::kConstantB;
  int early = 0;
  if constexpr (kA || kB) {
    constexpr int kWeights = (kA ? Gemm::kBytesA : 0) + (kB ? Kernel::kFactors * Gemm::kBytesB : 0);
    constexpr int kEarly = early_steps(kWeights, Kernel::kStages);
    early = min(steps.count, kEarly);
    for (int i = 0; i < early; ++i) {
      arrive_expecting(&shared.full[i], Gemm::kBytes);
      load_step<Kernel, kA, kB>(arguments, maps, shared, i, tile, steps.first + i);
    }
    gpu::wait_for_inputs();
    for (int i = 0; i < early; ++i) {
      load_step<Kernel, !kA, !kB>(arguments, maps, shared, i, tile, steps.first + i);
    }
    place.skip(early);
  }
  gpu::wait_for_inputs();
  return early;
}

/// The steps of a tile from `step` on.
template <class Kernel, class Shared>
__device__ __forceinline__ void load_steps(const typename Kernel::Arguments& arguments,
                                           const typename Kernel::Maps& maps, Shared& shared,
                                           Place<Kernel::kStages>& place,
                                           const typename TileOrder<Kernel>::Tile& tile,
                                           const Steps& steps, int step) {
  for (; step < steps.count; ++step, place.next()) {
    wait_barrier(&shared.empty[place.stage], place.parity ^ 1);
    arrive_expecting(&shared.full[place.stage], HopperGemm<Kernel>::kBytes);
    load_step<Kernel, true, true>(arguments, maps, shared, place.stage, tile, steps.first + step);
  }
}

/// The warp that loads: one thread of it.
template <class Kernel>
__device__ __forceinline__ void load_tiles(const typename Kernel::Arguments& arguments,
                                           const typename Kernel::Maps& maps,
                                           typename HopperGemm<Kernel>::Shared& shared,
                                           const TileOrder<Kernel>& order, const Steps& steps,
                                           int first_tile, int tile_step) {
  Place<Kernel::kStages> place;
  int step = 0;
  if (first_tile < order.tiles) {
    step = load_early<Kernel>(arguments, maps, shared, place, order.at(first_tile), steps);
  }
  gpu::wait_for_inputs();
  for (int at = first_tile; at < order.tiles; at += tile_step, step = 0) {
    load_steps<Kernel>(arguments, maps, shared, place, order.at(at), steps, step);
  }
}

/// Starts the products of the step along k that `tile` holds, of whose rows the warpgroup has those from
/// 64 * `first_block` on; they are added to what `products` holds unless `is_first`.
template <class Kernel, class Products>
__device__ __forceinline__ void multiply_step(Products& products, const char* tile, int first_block,
                                              bool is_first) {
  using Gemm = HopperGemm<Kernel>;
  using TileA = SharedMatrix<128, Kernel::kMajorA>;
  // A box of TMA holds as many columns as it can without being wider than the tile.
  constexpr int kSwizzleB =
      Kernel::kMajorB == Major::K || Kernel::kTileN % 64 == 0 ? 128 : Kernel::kTileN % 32 == 0 ? 64 : 32;
  using TileB = SharedMatrix<kSwizzleB, Kernel::kMajorB>;
  const std::uint64_t a = TileA::describe(tile + first_block * 64 * kStepBytes, kStepK * 128);
  const std::uint64_t b = TileB::describe(tile + Gemm::kBytesA, kStepK * kSwizzleB);
  fence_products();
#pragma unroll
  for (int k = 0; k < kStepBytes / 32; ++k) {
#pragma unroll
    for (int block = 0; block < Gemm::kBlocks; ++block) {
#pragma unroll
      for (int factor = 0; factor < Kernel::kFactors; ++factor) {
        multiply_shared<typename Kernel::Element, Kernel::kTileN, Kernel::kMajorA, Kernel::kMajorB>(
            products.at(block, factor), a + (block * 64 * kStepBytes >> 4) + k * TileA::kNextK,
            b + (factor * Gemm::kBytesB >> 4) + k * TileB::kNextK, !is_first || k > 0);
      }
    }
  }
  commit_products();
}

/// Calls `each(block, factor, i)` for each of a thread's sums.
template <class Kernel, class Each>
__device__ __forceinline__ void each_sum(const Each& each) {
  using Gemm = HopperGemm<Kernel>;
#pragma unroll
  for (int block = 0; block < Gemm::kBlocks; ++block) {
#pragma unroll
    for (int factor = 0; factor < Kernel::kFactors; ++factor) {
#pragma unroll
      for (int i = 0; i < Gemm::kSums; ++i) each(block, factor, i);
    }
  }
}

/// Where products of a kernel's factors are added: in its sums, or elsewhere before they become its sums.
template <class Kernel, class Element = typename Kernel::Element>
struct ProductSums {
  typename HopperGemm<Kernel>::Sums& sums;

  __device__ __forceinline__ auto& at(int block, int factor) { return sums.value[block][factor]; }
  __device__ __forceinline__ void finish() {}
};

/// Integers are added exactly.
template <class Kernel>
struct ProductSums<Kernel, std::int8_t> {
  using Gemm = HopperGemm<Kernel>;
  static_assert(Kernel::kSplits == 1, "parts of a sum would be rounded before they are added");
  typename Gemm::Sums& sums;
  int integers[Gemm::kBlocks][Kernel::kFactors][Gemm::kSums];

  __device__ __forceinline__ explicit ProductSums(typename Gemm::Sums& sums) : sums(sums) {}
  __device__ __forceinline__ auto& at(int block, int factor) { return integers[block][factor]; }
  __device__ __forceinline__ void finish() {
    each_sum<Kernel>([&](int block, int factor, int i) {
      sums.value[block][factor][i] = static_cast<float>(integers[block][factor][i]);
    });
  }
};

/// sums = the products of a tile's steps along k, of which the warpgroup has the rows from 64 *
/// `first_block` on. `issued` runs when the last products are on their way. Where
/// there is no step, which only a split tile can have, the sums are undefined.
template <class Kernel, class Shared, class Issued>
__device__ __forceinline__ void multiply_whole(typename HopperGemm<Kernel>::Sums& sums,
                                               Shared& shared, Place<Kernel::kStages>& place,
                                               int steps, int first_block, const Issued& issued) {
  const bool releases = threadIdx.x % 32 == 0;
  ProductSums<Kernel> products{sums};
  int last = 0;
  for (int step = 0; step < steps; ++step) {
    wait_barrier(&shared.full[place.stage], place.parity);
    multiply_step<Kernel>(products, shared.tiles[place.stage], first_block, step == 0);
    if (step > 0) {
      wait_for_products<1>();
      if (releases) arrive(&shared.empty[last]);
    }
    last = place.stage;
    place.next();
  }
  issued();
  wait_for_products<0>();
  if (releases && steps > 0) arrive(&shared.empty[last]);
  products.finish();
}

/// The same of 8-bit floats. Tensor cores keep some 14 bits of their sums, and cut off the others: in long
/// sums, all the small numbers would be lost. So they add up a step only, of 128 products, and these parts
/// are added in f32, while another warpgroup multiplies.
template <class Kernel, class Shared, class Issued>
__device__ __forceinline__ void multiply_in_parts(typename HopperGemm<Kernel>::Sums& sums,
                                                  Shared& shared, Place<Kernel::kStages>& place,
                                                  int steps, int first_block,
                                                  const Issued& issued) {
  const bool releases = threadIdx.x % 32 == 0;
  typename HopperGemm<Kernel>::Sums part;
  ProductSums<Kernel> products{part};
  each_sum<Kernel>([&](int block, int factor, int i) { sums.value[block][factor][i] = 0.0f; });
  for (int step = 0; step < steps; ++step) {
    wait_barrier(&shared.full[place.stage], place.parity);
    multiply_step<Kernel>(products, shared.tiles[place.stage], first_block, true);
    if (step + 1 == steps) issued();
    wait_for_products<0>();
    if (releases) arrive(&shared.empty[place.stage]);
    each_sum<Kernel>([&](int block, int factor, int i) { pin(part.value[block][factor][i]); });
    each_sum<Kernel>([&](int block, int factor, int i) {
      sums.value[block][factor][i] += part.value[block][factor][i];
    });
    place.next();
  }
  if (steps == 0) issued();
}

template <class Kernel, class Shared, class Issued>
__device__ __forceinline__ void multiply_tile(typename HopperGemm<Kernel>::Sums& sums,
                                              Shared& shared, Place<Kernel::kStages>& place, int steps,
                                              int first_block, const Issued& issued) {
  if constexpr (std::is_same_v<typename Kernel::Element, float8_e4m3_t>) {
    multiply_in_parts<Kernel>(sums, shared, place, steps, first_block, issued);
  } else {
    multiply_whole<Kernel>(sums, shared, place, steps, first_block, issued);
  }
}

/// The warpgroups that multiply.
template <class Kernel>
__device__ __forceinline__ void multiply_tiles(const typename Kernel::Arguments& arguments,
                                               typename HopperGemm<Kernel>::Shared& shared,
                                               const TileOrder<Kernel>& order, const Steps& steps,
                                               int consumer, int split, int first_tile,
                                               int tile_step) {
  using Gemm = HopperGemm<Kernel>;
  using Index = typename Kernel::Index;
  gpu::wait_for_inputs();
  Place<Kernel::kStages> place;
  typename Gemm::Sums sums;
  auto& finish = shared.finish[consumer];
  typename Finish<Kernel>::Early early;
  const auto nothing = [] {};
  if constexpr (Kernel::kPingpong) {
    std::uint32_t turn = consumer == 0 ? 1 : 0;
    if (consumer == 1) place.skip(steps.count);
    for (int at = first_tile + consumer * tile_step; at < order.tiles; at += 2 * tile_step) {
      const auto tile = order.at(at);
      Finish<Kernel>::begin(arguments, finish, early, tile.batch, tile.row, tile.column);
      wait_barrier(&shared.turn[consumer], turn);
      turn ^= 1;
      multiply_tile<Kernel>(sums, shared, place, steps.count, 0, [&] {
        if (threadIdx.x % 32 == 0) arrive(&shared.turn[1 - consumer]);
      });
      place.skip(steps.count);
      Finish<Kernel>::end(arguments, sums, finish, early, tile.batch, tile.row, tile.column);
    }
  } else {
    for (int at = first_tile; at < order.tiles; at += tile_step) {
      const auto tile = order.at(at);
      const auto row = static_cast<Index>(tile.row + consumer * Gemm::kConsumerRows);
      Finish<Kernel>::begin(arguments, finish, early, tile.batch, row, tile.column);
      multiply_tile<Kernel>(sums, shared, place, steps.count, consumer * Gemm::kBlocks, nothing);
      if constexpr (Kernel::kSplits > 1) {
        finish_split<Kernel>(arguments, sums, shared.inbox,
                             reinterpret_cast<float*>(shared.tiles), steps.count > 0, consumer,
                             split, tile.batch, tile.row, tile.column);
      } else {
        Finish<Kernel>::end(arguments, sums, finish, early, tile.batch, row, tile.column);
      }
    }
  }
}

/// Prepares the barriers of a block; all its threads wait for that before they use one.
template <class Kernel, class Shared>
__device__ __forceinline__ void init_ring(Shared& shared) {
  if (threadIdx.x == 0) {
    for (int stage = 0; stage < Kernel::kStages; ++stage) {
      init_barrier(&shared.full[stage], 1);
      // Each warp that multiplies the tile.
      init_barrier(&shared.empty[stage], Kernel::kPingpong ? 4 : 4 * Kernel::kConsumers);
    }
    init_barrier(&shared.turn[0], 4);
    init_barrier(&shared.turn[1], 4);
    fence_barriers();
  }
}

template <class Kernel>
__global__ void __launch_bounds__(HopperGemm<Kernel>::kThreads, 1)
    hopper_gemm(const __grid_constant__ typename Kernel::Arguments arguments,
                const __grid_constant__ typename Kernel::Maps maps) {
  using Gemm = HopperGemm<Kernel>;
  auto& shared = *reinterpret_cast<typename Gemm::Shared*>(dynamic_shared_tiles());
  gpu::let_next_start();
  const int split = Kernel::kSplits == 1 ? 0 : static_cast<int>(blockIdx.x) % Kernel::kSplits;
  if (threadIdx.x == 0) SplitTile<Kernel>::expect(shared.inbox, split);
  init_ring<Kernel>(shared);
  __syncthreads();
  // Others write to this block's memory once they know that it is there: see finish_split.
  if constexpr (Kernel::kSplits > 1) arrive_cluster();

  const TileOrder<Kernel> order(arguments);
  const int first_tile = static_cast<int>(blockIdx.x) / Kernel::kSplits;
  const int tile_step = static_cast<int>(gridDim.x) / Kernel::kSplits;
  const Steps steps(static_cast<int>((arguments.depth + kDepthOfStep<Kernel> - 1) / kDepthOfStep<Kernel>), split,
                    Kernel::kSplits);
  // The same in all threads of a warp, and known to be.
  const int warpgroup = __shfl_sync(0xffffffffu, static_cast<int>(threadIdx.x) / kWarpgroup, 0);
  if (warpgroup == 0) {
    if constexpr (Gemm::kMovesRegisters) give_registers<Gemm::kFewRegisters>();
    if (threadIdx.x / 32 == 0 && is_elected()) {
      load_tiles<Kernel>(arguments, maps, shared, order, steps, first_tile, tile_step);
    }
    if constexpr (Kernel::kSplits > 1) {
      __syncwarp();
      wait_cluster();
    }
  } else {
    if constexpr (Gemm::kMovesRegisters) take_registers<Gemm::kManyRegisters>();
    multiply_tiles<Kernel>(arguments, shared, order, steps, warpgroup - 1, split, first_tile,
                           tile_step);
  }
}

/// How many tiles a result has, of so many along each of its groups of dims.
inline Status count_tiles(std::int64_t batches, std::int64_t rows, std::int64_t columns,
                          std::int64_t* tiles) {
  *tiles = 0;
  if (batches <= 0 || rows <= 0 || columns <= 0) return ok();
  constexpr std::int64_t kMostTiles = INT32_MAX / 16;
  if (rows > kMostTiles || columns > kMostTiles / rows ||
      batches > kMostTiles / (rows * columns)) {
    return Status{AIT_INVALID_INPUT, "a gemm's result has too many tiles for one launch"};
  }
  *tiles = rows * columns * batches;
  return ok();
}

template <class Kernel>
Status count_tiles(const typename Kernel::Arguments& arguments, std::int64_t* tiles) {
  return count_tiles(arguments.batches, (arguments.rows + Kernel::kTileM - 1) / Kernel::kTileM,
                     (arguments.columns + Kernel::kTileN - 1) / Kernel::kTileN, tiles);
}

/// The same of tiles that are whole rows.
template <class Kernel>
Status count_row_tiles(const typename Kernel::Arguments& arguments, std::int64_t* tiles) {
  return count_tiles(arguments.batches, (arguments.rows + Kernel::kTileM - 1) / Kernel::kTileM,
                     arguments.columns > 0 ? 1 : 0, tiles);
}

template <class Kernel>
Status run_hopper_gemm(const Launch& launch, const typename Kernel::Arguments& arguments) {
  using Gemm = HopperGemm<Kernel>;
  std::int64_t tiles = 0;
  AIT_TRY(count_tiles<Kernel>(arguments, &tiles));
  if (tiles == 0) return ok();
  typename Kernel::Maps maps;
  AIT_TRY(Kernel::make_maps(arguments, &maps));
  const int all = static_cast<int>(tiles);
  const int blocks = Kernel::kSplits > 1
                         ? all * Kernel::kSplits
                         : std::min(all, gpu::multiprocessors() * Kernel::kResident);
  return gpu::launch_in_clusters(launch, hopper_gemm<Kernel>, dim3(static_cast<unsigned>(blocks)),
                                 dim3(Gemm::kThreads), Kernel::kSplits,
                                 sizeof(typename Gemm::Shared), arguments, maps);
}

}  // namespace ait::cuda
