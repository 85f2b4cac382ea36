// A gemm and a softmax or norm of its rows for Hopper: the main loop of gemm_hopper.hpp, the row
// operations of rowwise.hpp.
//
// The blocks of a cluster have neighbouring columns of the same rows, which are all columns together.
// The sums of a tile stay in registers: a first pass makes of them what the row operation begins with,
// and gathers what its rows are like; warps that have the same rows tell each other, through the
// shared memory of the cluster; a second pass makes the results. All merge the parts in the same
// order, so that every block has the same bits.
//
// `Kernel` is generated. It has what load_tiles and multiply_tile of gemm_hopper.hpp ask for, and
//   kParts (of its columns, each of kTileN), kCluster (blocks that share a row), kWhole (whether rows fill all their columns), kEps;
//   kPack results are neighbours along columns; kExchanges, unless load_b brings columns in such an
//   order that the sums of a pack are a thread's own;
//   kHeldBytes of what the regions read for one pack are brought to shared memory while the tile is
//   multiplied, each thread its own, or to the cache: hold(arguments, batch, row, column, slot,
//   thread), if kHolds;
//   kColumnBytes of what varies along columns alone are in shared memory: keep(arguments, columns,
//   column, local) brings what belongs to a column, number `local` of the block's;
//   Before, load_before(arguments, batch, row, column, slot, thread, columns, local): what the prologue
//   reads for one pack; prologue(arguments, batch, row, column, loaded, sums [kPack], v [kPack]);
//   After, load_after(...): the same of the epilogue;
//   kReadsAhead, if some of that is in memory; kUsesSums (whether the epilogue does), epilogue(arguments, batch, row, column, loaded, y, v, sums).
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "ait/cuda/column_packs.hpp"
#include "ait/cuda/gemm_hopper.hpp"
#include "ait/gpu/rowwise.hpp"

namespace ait::cuda {

/// What the main loop sees: a product whose only column of tiles is the block's own.
template <class Kernel>
struct RowPart : Kernel {
  /// Columns that are too many for one product are as many right factors.
  static constexpr int kFactors = Kernel::kParts, kSplits = 1;
  static constexpr bool kFragments = false, kPackRows = false;

  static __device__ __forceinline__ int first_column() {
    return Kernel::kCluster == 1 ? 0 : cluster_rank() * Kernel::kParts * Kernel::kTileN;
  }
  static __device__ __forceinline__ void load_b(const typename Kernel::Arguments& arguments,
                                                const typename Kernel::Maps& maps, Barrier* barrier,
                                                char* to, typename Kernel::Index batch,
                                                typename Kernel::Index, int k) {
#pragma unroll
    for (int part = 0; part < Kernel::kParts; ++part) {
      Kernel::load_b(arguments, maps, barrier, to + part * Kernel::kTileN * kStepK * 2, batch,
                     first_column() + part * Kernel::kTileN, k);
    }
  }
};

/// The tiles of a cluster as TileOrder knows them: one column.
struct RowTiles {
  std::int64_t rows, columns, batches;
  bool backwards;

  template <class Kernel>
  static __host__ __device__ RowTiles of(const typename Kernel::Arguments& arguments) {
    return {arguments.rows, 1, arguments.batches, arguments.backwards};
  }
};

/// The end of a tile: what a warpgroup does with the sums of its rows.
template <class Kernel, class Kind>
struct RowFinish {
  using Index = typename Kernel::Index;
  using Arguments = typename Kernel::Arguments;
  using Gemm = HopperGemm<RowPart<Kernel>>;
  using State = typename Kind::State;
  static constexpr int kPack = Kernel::kPack;
  using Packs = ColumnPacks<Kernel::kTileN, kPack, Kernel::kExchanges>;
  /// Rows of a thread, its elements of each, in packs, and the rows of a warp.
  static constexpr int kRows = 2 * Gemm::kBlocks;
  static constexpr int kElements = Kernel::kParts * Packs::kElements;
  static constexpr int kPacks = Kernel::kParts * Packs::kCount;
  static constexpr int kWarpRows = 16 * Gemm::kBlocks, kWarps = 4 * Kernel::kConsumers;
  static constexpr int kHeldBytes =
      Gemm::kConsumerRows * Kernel::kParts * Kernel::kTileN / kPack * Kernel::kHeldBytes;
  /// Whether the elements of a row are looked at one pack after the other: where they are not all
  /// there, or not kept.
  static constexpr bool kStreams = Kernel::kUsesSums || !Kernel::kWhole;

  struct Shared : Gemm::Shared {
    alignas(16) char operands[Kernel::kConsumers][kHeldBytes > 0 ? kHeldBytes : 16];
    alignas(16) char columns[Kernel::kColumnBytes > 0 ? Kernel::kColumnBytes : 16];
    /// What the warps of the cluster say of their rows, for two tiles by turns. A block may be a tile
    /// ahead of others, so that each turn has its barrier.
    State parts[2][kWarps][Kernel::kCluster][kWarpRows];
    Barrier has_come[2][kWarps];
  };

  const Arguments& arguments;
  Shared& shared;
  int consumer;
  /// How many tiles the warpgroup has finished.
  int round = 0;
  Index batch, first_row, first_column;

  /// The thread's row r of the warpgroup's.
  static __device__ __forceinline__ int row_of(int r) { return r / 2 * 64 + Packs::row(r % 2); }

  __device__ __forceinline__ Index row(int r) const { return first_row + row_of(r); }
  /// The first column of the thread's pack c, of the block's and of all.
  static __device__ __forceinline__ int local(int c) {
    return c / Packs::kCount * Kernel::kTileN + Packs::column(c % Packs::kCount);
  }
  __device__ __forceinline__ Index column(int c) const { return first_column + local(c); }
  __device__ __forceinline__ bool has_columns(int c) const {
    return Kernel::kWhole || column(c) < arguments.columns;
  }
  __device__ __forceinline__ bool has(int r, int c) const {
    return row(r) < arguments.rows && has_columns(c);
  }
  /// A row and a column to read, whatever may become of them: no branch stands around the reads, and
  /// rows share what does not vary along them.
  __device__ __forceinline__ Index safe_row(int r) const {
    const Index last = static_cast<Index>(arguments.rows) - 1;
    return row(r) < last ? row(r) : last;
  }
  __device__ __forceinline__ Index safe_column(int c) const {
    const Index last = static_cast<Index>(arguments.columns) - kPack;
    return Kernel::kWhole || column(c) < last ? column(c) : last;
  }

  /// The sum of element i of pack c of row r.
  static __device__ __forceinline__ float& element(typename Gemm::Sums& sums, int c, int r, int i) {
    return sums.value[r / 2][c / Packs::kCount][Packs::place(c % Packs::kCount, r % 2, i)];
  }

  __device__ __forceinline__ char* slot(int r, int c) const {
    return shared.operands[consumer] + (c * kRows + r) * Kernel::kHeldBytes * kWarpgroup;
  }
  __device__ __forceinline__ static int thread() { return threadIdx.x % kWarpgroup; }

  /// Before the first tile: brings what belongs to the block's columns. All warpgroups that multiply
  /// call it.
  __device__ __forceinline__ void begin_columns() const {
    if constexpr (Kernel::kColumnBytes > 0) {
      constexpr int kThreads = Kernel::kConsumers * kWarpgroup;
      constexpr int kColumns = Kernel::kParts * Kernel::kTileN;
      for (int at = consumer * kWarpgroup + thread(); at < kColumns; at += kThreads) {
        const Index of_all = first_column + at;
        if (of_all < arguments.columns) Kernel::keep(arguments, shared.columns, of_all, at);
      }
      sync_threads(1, kThreads);
    }
  }

  /// Begins a tile, while it is being multiplied: brings what the regions read to shared memory, or
  /// nearer.
  __device__ __forceinline__ void begin(Index of_batch, Index row_of_tile) {
    batch = of_batch;
    first_row = row_of_tile;
    if constexpr (Kernel::kHolds) {
#pragma unroll 4
      for (int at = 0; at < kRows * kPacks; ++at) {
        const int r = at % kRows, c = at / kRows;
        if (has(r, c)) Kernel::hold(arguments, batch, row(r), column(c), slot(r, c), thread());
      }
      commit_copies();
    }
  }

  __device__ __forceinline__ typename Kernel::Before load_before(int r, int c) const {
    return Kernel::load_before(arguments, batch, safe_row(r), safe_column(c), slot(r, c), thread(),
                               shared.columns, local(c));
  }

  /// What the rows of the block's part are like.
  __device__ __forceinline__ void gather(typename Gemm::Sums& sums, State (&states)[kRows]) const {
#pragma unroll
    for (int r = 0; r < kRows; ++r) states[r] = Kind::nothing();
#pragma unroll
    for (int c = 0; c < kPacks; ++c) {
      typename Kernel::Before loaded[kRows];
#pragma unroll
      for (int r = 0; r < kRows; ++r) loaded[r] = load_before(r, c);
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        float pack[kPack], v[kPack];
        Packs::take(pack, sums.value[r / 2][c / Packs::kCount],
                                                 c % Packs::kCount, r % 2);
        Kernel::prologue(arguments, batch, row(r), column(c), loaded[r], pack, v);
        if constexpr (kStreams) {
          if (has_columns(c)) Kind::add(states[r], v);
        }
#pragma unroll
        for (int i = 0; i < kPack; ++i) {
          element(sums, c, r, i) = Kernel::kUsesSums ? pack[i] : v[i];
        }
      }
    }
    if constexpr (!kStreams) {
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        float all[kElements];
#pragma unroll
        for (int i = 0; i < kElements; ++i) all[i] = element(sums, i / kPack, r, i % kPack);
        Kind::add(states[r], all);
      }
    }
#pragma unroll
    for (int mask = 1; mask < 4; mask *= 2) {
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        states[r] = Kind::merge(states[r], gpu::shuffle(states[r], mask));
      }
    }
  }

  /// Makes of the states of the rows' parts those of whole rows, in all blocks of the cluster.
  __device__ __forceinline__ void exchange(State (&states)[kRows]) {
    const int warp = consumer * 4 + threadIdx.x / 32 % 4, lane = threadIdx.x % 32;
    const int turn = round % 2;
    auto& parts = shared.parts[turn][warp];
    Barrier* const has_come = &shared.has_come[turn][warp];
    // All lanes have read what was said of the tile before: others write there when they know of this one.
    __syncwarp();
    if (lane == 0) arrive_expecting(has_come, sizeof(parts));
    // Each of the four threads that share a row tells other blocks.
#pragma unroll
    for (int to = 0; to < (Kernel::kCluster + 3) / 4 * 4; to += 4) {
      const int block = to + lane % 4;
      if (block >= Kernel::kCluster) continue;
      const std::uint32_t barrier = remote_address(has_come, block);
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        const State& place = parts[cluster_rank()][r / 2 * 16 + r % 2 * 8 + lane / 4];
        send_remote(remote_address(&place, block), barrier, states[r]);
      }
    }
    wait_barrier_cluster(has_come, round / 2 % 2);
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const int at = r / 2 * 16 + r % 2 * 8 + lane / 4;
      states[r] = parts[0][at];
#pragma unroll
      for (int block = 1; block < Kernel::kCluster; ++block) {
        states[r] = Kind::merge(states[r], parts[block][at]);
      }
    }
  }

  __device__ __forceinline__ void load_after(typename Kernel::After (&loaded)[kRows], int c) const {
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      loaded[r] = Kernel::load_after(arguments, batch, safe_row(r), safe_column(c), slot(r, c),
                                     thread(), shared.columns, local(c));
    }
  }

  /// The results of the rows.
  __device__ __forceinline__ void store(typename Gemm::Sums& sums,
                                        const State (&states)[kRows]) const {
    typename Kernel::After next[kRows], loaded[kRows];
    if constexpr (Kernel::kReadsAhead) load_after(next, 0);
#pragma unroll
    for (int c = 0; c < kPacks; ++c) {
      if constexpr (Kernel::kReadsAhead) {
        // Stores hold up later loads: the next ones go first.
#pragma unroll
        for (int r = 0; r < kRows; ++r) loaded[r] = next[r];
        if (c + 1 < kPacks) load_after(next, c + 1);
      } else {
        load_after(loaded, c);
      }
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        float pack[kPack], v[kPack], y[kPack];
#pragma unroll
        for (int i = 0; i < kPack; ++i) v[i] = pack[i] = element(sums, c, r, i);
        if constexpr (Kernel::kUsesSums) {
          Kernel::prologue(arguments, batch, row(r), column(c), load_before(r, c), pack, v);
        }
#pragma unroll
        for (int i = 0; i < kPack; ++i) y[i] = Kind::make(states[r], v[i]);
        if (has(r, c)) {
          Kernel::epilogue(arguments, batch, row(r), column(c), loaded[r], y, v, pack);
        }
      }
    }
  }

  __device__ __forceinline__ void finish(typename Gemm::Sums& sums) {
    if constexpr (Kernel::kHolds) wait_for_copies<0>();
    State states[kRows];
    gather(sums, states);
    if constexpr (Kernel::kCluster > 1) exchange(states);
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      Kind::template close<Kernel>(states[r], arguments.columns);
    }
    store(sums, states);
    ++round;
  }
};

/// The warpgroups that multiply.
template <class Kernel, class Kind>
__device__ __forceinline__ void multiply_rows(const typename Kernel::Arguments& arguments,
                                              typename RowFinish<Kernel, Kind>::Shared& shared,
                                              const TileOrder<RowPart<Kernel>>& order,
                                              const Steps& steps, int consumer, int first_tile,
                                              int tile_step) {
  using Part = RowPart<Kernel>;
  using Gemm = HopperGemm<Part>;
  using Index = typename Kernel::Index;
  gpu::wait_for_inputs();
  Place<Kernel::kStages> place;
  typename Gemm::Sums sums;
  RowFinish<Kernel, Kind> finish{arguments, shared, consumer};
  finish.first_column = Part::first_column();
  finish.begin_columns();
  if constexpr (Kernel::kPingpong) {
    std::uint32_t turn = consumer == 0 ? 1 : 0;
    if (consumer == 1) place.skip(steps.count);
    for (int at = first_tile + consumer * tile_step; at < order.tiles; at += 2 * tile_step) {
      const auto tile = order.at(at);
      finish.begin(tile.batch, tile.row);
      wait_barrier(&shared.turn[consumer], turn);
      turn ^= 1;
      multiply_tile<Part>(sums, shared, place, steps.count, 0, [&] {
        if (threadIdx.x % 32 == 0) arrive(&shared.turn[1 - consumer]);
      });
      place.skip(steps.count);
      finish.finish(sums);
    }
  } else {
    for (int at = first_tile; at < order.tiles; at += tile_step) {
      const auto tile = order.at(at);
      finish.begin(tile.batch, static_cast<Index>(tile.row + consumer * Gemm::kConsumerRows));
      multiply_tile<Part>(sums, shared, place, steps.count, consumer * Gemm::kBlocks, [] {});
      finish.finish(sums);
    }
  }
}

template <class Kernel, class Kind>
__global__ void __launch_bounds__(HopperGemm<RowPart<Kernel>>::kThreads, 1)
    hopper_gemm_rowwise(const __grid_constant__ typename Kernel::Arguments arguments,
                        const __grid_constant__ typename Kernel::Maps maps) {
  using Part = RowPart<Kernel>;
  using Gemm = HopperGemm<Part>;
  using Finish = RowFinish<Kernel, Kind>;
  auto& shared = *reinterpret_cast<typename Finish::Shared*>(dynamic_shared_tiles());
  gpu::let_next_start();
  init_ring<Part>(shared);
  if (threadIdx.x == 0) {
    for (int warp = 0; warp < Finish::kWarps; ++warp) {
      init_barrier(&shared.has_come[0][warp], 1);
      init_barrier(&shared.has_come[1][warp], 1);
    }
    fence_barriers();
  }
  __syncthreads();
  if constexpr (Kernel::kCluster > 1) meet_cluster();

  const TileOrder<Part> order(RowTiles::of<Kernel>(arguments));
  const int first_tile = static_cast<int>(blockIdx.x) / Kernel::kCluster;
  const int tile_step = static_cast<int>(gridDim.x) / Kernel::kCluster;
  const Steps steps(static_cast<int>((arguments.depth + kStepK - 1) / kStepK), 0, 1);
  // The same in all threads of a warp, and known to be.
  const int warpgroup = __shfl_sync(0xffffffffu, static_cast<int>(threadIdx.x) / kWarpgroup, 0);
  if (warpgroup == 0) {
    if constexpr (Gemm::kMovesRegisters) give_registers<kLeastRegisters>();
    if (threadIdx.x / 32 == 0 && is_elected()) {
      load_tiles<Part>(arguments, maps, shared, order, steps, first_tile, tile_step);
    }
    __syncwarp();
  } else {
    if constexpr (Gemm::kMovesRegisters) take_registers<kMostRegisters>();
    multiply_rows<Kernel, Kind>(arguments, shared, order, steps, warpgroup - 1, first_tile,
                                tile_step);
  }
}

template <class Kernel, class Kind>
Status run_hopper_gemm_rowwise(const Launch& launch, const typename Kernel::Arguments& arguments) {
  using Finish = RowFinish<Kernel, Kind>;
  std::int64_t tiles = 0;
  AIT_TRY(count_row_tiles<Kernel>(arguments, &tiles));
  if (tiles == 0) return ok();
  typename Kernel::Maps maps;
  AIT_TRY(Kernel::make_maps(arguments, &maps));
  const dim3 threads(HopperGemm<RowPart<Kernel>>::kThreads);
  constexpr unsigned kShared = sizeof(typename Finish::Shared);
  int clusters = 0;
  AIT_TRY((gpu::clusters_at_once<hopper_gemm_rowwise<Kernel, Kind>>(threads, Kernel::kCluster,
                                                                    kShared, &clusters)));
  const int blocks = std::min(static_cast<int>(tiles), clusters) * Kernel::kCluster;
  return gpu::launch_in_clusters(launch, hopper_gemm_rowwise<Kernel, Kind>,
                                 dim3(static_cast<unsigned>(blocks)), threads, Kernel::kCluster,
                                 kShared, arguments, maps);
}

}  // namespace ait::cuda
