// Two gemms for Hopper, the first of which computes the left factor of the second and keeps it in
// registers: the main loop of gemm_hopper.hpp, then one over the columns of the second product.
//
// One warp loads, each of one or two warpgroups has 64 rows of a tile. It multiplies them with all of
// the first right factor, runs the middle region on the sums, rounds them to the factors' type, and
// multiplies them, from registers, with the second right factor: as many of its columns at once as
// there are registers for. All tiles come through one ring.
//
// `Kernel` is generated. It has what load_tiles and multiply_tile of gemm_hopper.hpp ask of a product
// whose kTileN is all of the middle, and
//   kColumns of the second product at once; kMajorC; Arguments have `middle` and `columns`;
//   load_c(arguments, maps, barrier, to, batch, column, k);
//   kWholeMiddle (whether the middle fills kTileN), kExchanges (see column_packs.hpp), kPrefetches and
//   prefetch(arguments, batch, row, column);
//   kMiddlePack neighbours along the middle: Middle, load_middle(arguments, batch, row, column) and
//   middle(arguments, batch, row, column, loaded, sums, t);
//   kPack neighbours along the columns: After, load_after(...), epilogue(..., loaded, sums).
#pragma once

#include <algorithm>
#include <cstdint>

#include "ait/cuda/column_packs.hpp"
#include "ait/cuda/gemm_hopper.hpp"

namespace ait::cuda {

/// The first product, as the main loop of gemm_hopper.hpp sees it.
template <class Kernel>
struct FirstProduct : Kernel {
  static constexpr int kFactors = 1, kSplits = 1, kPack = 1;
  static constexpr bool kPingpong = false, kFragments = false, kPackRows = false;
};

/// The tiles of a block's rows as TileOrder knows them: one column.
struct RowBlocks {
  std::int64_t rows, columns, batches;
  bool backwards;
};

/// What a warpgroup does with its 64 rows.
template <class Kernel>
struct BackToBack {
  using First = FirstProduct<Kernel>;
  using Gemm = HopperGemm<First>;
  using Index = typename Kernel::Index;
  using Element = typename Kernel::Element;
  using Arguments = typename Kernel::Arguments;
  static constexpr int kSwizzleC = Kernel::kMajorC == Major::K || Kernel::kColumns % 64 == 0 ? 128 : 64;
  using TileC = SharedMatrix<kSwizzleC, Kernel::kMajorC>;
  static_assert(Kernel::kColumns % 32 == 0);
  static_assert(Gemm::kBlocks == 1, "a warpgroup has 64 rows");
  /// Steps of 16 along the middle, and those of a tile of the second right factor.
  static constexpr int kInner = Kernel::kTileN / 16, kInnerOfTile = kStepK / 16;
  static constexpr int kInnerTiles = (kInner + kInnerOfTile - 1) / kInnerOfTile;
  static constexpr int kBytesC = Kernel::kColumns * kStepK * 2;
  static_assert(Kernel::kColumns <= Kernel::kTileN, "sums have the place of those before");
  static constexpr int kSums = Kernel::kColumns / 2;

  const Arguments& arguments;
  typename Gemm::Shared& shared;
  Place<Kernel::kStages>& place;
  Index batch, first_row;

  /// The index of a row to read, whether there is one or not: no branch stands around reads.
  __device__ __forceinline__ Index safe_row(int row) const {
    const Index last = static_cast<Index>(arguments.rows) - 1;
    return first_row + row < last ? first_row + row : last;
  }

  /// Brings what the region reads for each result nearer.
  __device__ __forceinline__ void prefetch() const {
    if constexpr (Kernel::kPrefetches) {
      using Packs = ColumnPacks<Kernel::kColumns, Kernel::kPack, Kernel::kExchanges>;
      const auto last = static_cast<Index>(arguments.columns) - Kernel::kPack;
      for (Index first = 0; first < arguments.columns; first += Kernel::kColumns) {
#pragma unroll
        for (int pack = 0; pack < Packs::kCount; ++pack) {
          const Index column = first + Packs::column(pack);
#pragma unroll
          for (int half = 0; half < 2; ++half) {
            Kernel::prefetch(arguments, batch, safe_row(Packs::row(half)),
                             column < last ? column : last);
          }
        }
      }
    }
  }

  /// The left factor of the second product: what the middle region makes of the sums, rounded. Zero
  /// beyond the middle's end, whatever the region makes of nothing.
  __device__ __forceinline__ void make_left(std::uint32_t (&left)[kInner][4],
                                            const typename Gemm::Sums& sums) const {
    constexpr int kPack = Kernel::kMiddlePack;
    using Packs = ColumnPacks<Kernel::kTileN, kPack>;
    static_assert(kPack <= 2, "products take pairs as they are");
#pragma unroll
    for (int pair = 0; pair < Kernel::kTileN / 8; ++pair) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float t[2];
#pragma unroll
        for (int part = 0; part < 2 / kPack; ++part) {
          const int pack = pair * 2 / kPack + part;
          const int row = Packs::row(half), column = Packs::column(pack);
          float from[kPack], to[kPack];
          Packs::take(from, sums.value[0][0], pack, half);
          const auto last = static_cast<Index>(arguments.middle) - kPack;
          const bool inside = Kernel::kWholeMiddle || column < arguments.middle;
          const Index at = inside ? static_cast<Index>(column) : last;
          Kernel::middle(arguments, batch, safe_row(row), at,
                         Kernel::load_middle(arguments, batch, safe_row(row), at), from, to);
#pragma unroll
          for (int i = 0; i < kPack; ++i) t[part * kPack + i] = inside ? to[i] : 0.0f;
        }
        left[pair / 2][pair % 2 * 2 + half] = pair_of<Element>(t[0], t[1]);
      }
    }
  }

  /// The sums of kColumns columns of the second product.
  __device__ __forceinline__ void multiply(float (&sums)[kSums],
                                           std::uint32_t (&left)[kInner][4]) {
    const bool releases = threadIdx.x % 32 == 0;
    int last = 0;
#pragma unroll
    for (int step = 0; step < kInnerTiles; ++step) {
      wait_barrier(&shared.full[place.stage], place.parity);
      const std::uint64_t c =
          TileC::describe(shared.tiles[place.stage], kStepK * kSwizzleC);
      fence_products();
#pragma unroll
      for (int k = 0; k < kInnerOfTile; ++k) {
        const int at = step * kInnerOfTile + k;
        if (at >= kInner) break;
        multiply_registers<Element, Kernel::kColumns, Kernel::kMajorC>(
            sums, left[at], c + k * TileC::kNextK, at > 0);
      }
      commit_products();
      if (step > 0) {
        wait_for_products<1>();
        if (releases) arrive(&shared.empty[last]);
      }
      last = place.stage;
      place.next();
    }
    wait_for_products<0>();
    if (releases) arrive(&shared.empty[last]);
  }

  /// The region on the sums of the columns from `first` on, and its stores.
  __device__ __forceinline__ void finish(const float (&sums)[kSums], Index first) const {
    constexpr int kPack = Kernel::kPack;
    using Packs = ColumnPacks<Kernel::kColumns, kPack, Kernel::kExchanges>;
    const auto last = static_cast<Index>(arguments.columns) - kPack;
    const auto read = [&](typename Kernel::After(&loaded)[2], int pack) {
      const Index column = first + Packs::column(pack);
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        loaded[half] = Kernel::load_after(arguments, batch, safe_row(Packs::row(half)),
                                          column < last ? column : last);
      }
    };
    typename Kernel::After loaded[2], next[2];
    read(next, 0);
#pragma unroll
    for (int pack = 0; pack < Packs::kCount; ++pack) {
      const Index column = first + Packs::column(pack);
      // Stores hold up later loads: the next ones go first.
      loaded[0] = next[0], loaded[1] = next[1];
      if (pack + 1 < Packs::kCount) read(next, pack + 1);
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const auto row = static_cast<Index>(first_row + Packs::row(half));
        float from[kPack];
        Packs::take(from, sums, pack, half);
        if (row < arguments.rows && column < arguments.columns) {
          Kernel::epilogue(arguments, batch, row, column, loaded[half], from);
        }
      }
    }
  }
};

/// The warp that loads: one thread of it.
template <class Kernel>
__device__ __forceinline__ void load_both(const typename Kernel::Arguments& arguments,
                                          const typename Kernel::Maps& maps,
                                          typename BackToBack<Kernel>::Gemm::Shared& shared,
                                          const TileOrder<FirstProduct<Kernel>>& order, int steps) {
  using Both = BackToBack<Kernel>;
  using Gemm = typename Both::Gemm;
  using Index = typename Kernel::Index;
  Place<Kernel::kStages> place;
  const auto next = [&](int bytes) {
    wait_barrier(&shared.empty[place.stage], place.parity ^ 1);
    arrive_expecting(&shared.full[place.stage], bytes);
    return place.stage;
  };
  const auto load_a = [&](int stage, const auto& tile, int step) {
    Kernel::load_a(arguments, maps, &shared.full[stage], shared.tiles[stage], tile.batch, tile.row,
                   step * kStepK);
  };
  const auto load_b = [&](int stage, const auto& tile, int step) {
    Kernel::load_b(arguments, maps, &shared.full[stage], shared.tiles[stage] + Gemm::kBytesA,
                   tile.batch, Index{0}, step * kStepK);
  };
  int step = 0;
  // Weights do not depend on the kernel before: they are on their way while it ends.
  if constexpr (Kernel::kConstantB) {
    if (static_cast<int>(blockIdx.x) < order.tiles) {
      const auto tile = order.at(blockIdx.x);
      step = min(steps, Kernel::kStages);
      for (int i = 0; i < step; ++i, place.next()) load_b(next(Gemm::kBytes), tile, i);
      gpu::wait_for_inputs();
      for (int i = 0; i < step; ++i) load_a(i, tile, i);
    }
  }
  gpu::wait_for_inputs();
  for (int at = blockIdx.x; at < order.tiles; at += gridDim.x, step = 0) {
    const auto tile = order.at(at);
    for (; step < steps; ++step, place.next()) {
      const int stage = next(Gemm::kBytes);
      load_a(stage, tile, step);
      load_b(stage, tile, step);
    }
    for (Index column = 0; column < arguments.columns; column += Kernel::kColumns) {
      for (int inner = 0; inner < Both::kInnerTiles; ++inner, place.next()) {
        const int stage = next(Both::kBytesC);
        Kernel::load_c(arguments, maps, &shared.full[stage], shared.tiles[stage], tile.batch,
                       column, inner * kStepK);
      }
    }
  }
}

/// The warpgroups that multiply.
template <class Kernel>
__device__ __forceinline__ void multiply_both(const typename Kernel::Arguments& arguments,
                                              typename BackToBack<Kernel>::Gemm::Shared& shared,
                                              const TileOrder<FirstProduct<Kernel>>& order,
                                              int steps, int consumer) {
  using Both = BackToBack<Kernel>;
  using Index = typename Kernel::Index;
  gpu::wait_for_inputs();
  Place<Kernel::kStages> place;
  typename Both::Gemm::Sums first;
  // The same registers: products want theirs in one piece.
  auto& second = reinterpret_cast<float(&)[Both::kSums]>(first.value[0][0]);
  std::uint32_t left[Both::kInner][4];
  for (int at = blockIdx.x; at < order.tiles; at += gridDim.x) {
    const auto tile = order.at(at);
    Both both{arguments, shared, place, tile.batch, static_cast<Index>(tile.row + consumer * 64)};
    both.prefetch();
    multiply_tile<FirstProduct<Kernel>>(first, shared, place, steps, consumer, [] {});
    both.make_left(left, first);
    for (Index column = 0; column < arguments.columns; column += Kernel::kColumns) {
      both.multiply(second, left);
      both.finish(second, column);
    }
  }
}

template <class Kernel>
__global__ void __launch_bounds__(HopperGemm<FirstProduct<Kernel>>::kThreads, 1)
    hopper_back_to_back(const __grid_constant__ typename Kernel::Arguments arguments,
                        const __grid_constant__ typename Kernel::Maps maps) {
  using First = FirstProduct<Kernel>;
  using Gemm = HopperGemm<First>;
  auto& shared = *reinterpret_cast<typename Gemm::Shared*>(dynamic_shared_tiles());
  gpu::let_next_start();
  if (threadIdx.x == 0) {
    for (int stage = 0; stage < Kernel::kStages; ++stage) {
      init_barrier(&shared.full[stage], 1);
      // Each warp that multiplies the tile.
      init_barrier(&shared.empty[stage], 4 * Kernel::kConsumers);
    }
    fence_barriers();
  }
  __syncthreads();
  const TileOrder<First> order(RowBlocks{arguments.rows, 1, arguments.batches, arguments.backwards});
  const int steps = static_cast<int>((arguments.depth + kStepK - 1) / kStepK);
  // The same in all threads of a warp, and known to be.
  const int warpgroup = __shfl_sync(0xffffffffu, static_cast<int>(threadIdx.x) / kWarpgroup, 0);
  if (warpgroup == 0) {
    if constexpr (Gemm::kMovesRegisters) give_registers<kLeastRegisters>();
    if (threadIdx.x / 32 == 0 && is_elected()) {
      load_both<Kernel>(arguments, maps, shared, order, steps);
    }
  } else {
    if constexpr (Gemm::kMovesRegisters) take_registers<kMostRegisters>();
    multiply_both<Kernel>(arguments, shared, order, steps, warpgroup - 1);
  }
}

template <class Kernel>
Status run_hopper_back_to_back(const Launch& launch, const typename Kernel::Arguments& arguments) {
  using First = FirstProduct<Kernel>;
  std::int64_t tiles = 0;
  AIT_TRY(count_row_tiles<Kernel>(arguments, &tiles));
  if (tiles == 0) return ok();
  typename Kernel::Maps maps;
  AIT_TRY(Kernel::make_maps(arguments, &maps));
  const int blocks =
      std::min(static_cast<int>(tiles), gpu::multiprocessors() * Kernel::kResident);
  return gpu::launch_with_shared(launch, hopper_back_to_back<Kernel>,
                                 dim3(static_cast<unsigned>(blocks)),
                                 dim3(HopperGemm<First>::kThreads),
                                 sizeof(typename HopperGemm<First>::Shared), arguments, maps);
}

}  // namespace ait::cuda
