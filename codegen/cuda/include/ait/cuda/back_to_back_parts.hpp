// Two gemms for Hopper, the first of which computes the left factor of the second, for a middle that is
// also a result, or has more columns than registers hold: it passes in parts.
//
// Each warpgroup has 64 rows of a tile. It multiplies them with some columns of the first right factor,
// runs the middle region on these sums, stores what it gives if that is a result, and multiplies it, from
// registers, with as many rows of the second right factor; the sums of all columns of the second product
// stay in registers until the parts are through. Memory sets the pace, so what comes from it never waits
// for a tile to begin or end: one warp loads left factors, one right factors, which stay in shared memory
// if all of them fit, and the warps that multiply ask for what the middle region reads some slots ahead,
// into the next tile.
//
// `Kernel` is generated. It has load_a and load_b as a kernel of gemm_hopper.hpp, whose kTileN is a part
// of the middle, and
//   kColumns of the second product; kMajorC; Arguments have `middle` and `columns`;
//   load_c(arguments, maps, barrier, to, batch, column, k);
//   kLeft (steps along k of left factors in shared memory), kStages (steps of right ones), kStays
//   (whether those are all), kConstantFactors (whether they are weights);
//   Middle and End: how the tiles of both products end, in fragments (see gemm_finish.hpp); Middle's
//   kTileN is all of the middle, of which kSumColumns are a part; kKeepsMiddle (whether it is stored).
// There is one batch, and the middle is a whole number of parts.
#pragma once

#include <algorithm>
#include <cstdint>

#include "ait/cuda/column_packs.hpp"
#include "ait/cuda/gemm_hopper.hpp"

namespace ait::cuda {

/// Sizes that follow from a kernel's constants, and its shared memory.
template <class Kernel>
struct PartsShape {
  static constexpr int kThreads = kWarpgroup * (1 + Kernel::kConsumers);
  static constexpr int kLeftBytes = Kernel::kTileM * kStepBytes;
  static constexpr int kRightBytes = std::max(Kernel::kTileN, Kernel::kColumns) * kStepBytes;
  /// Registers of threads that multiply; others get few.
  static constexpr bool kMovesRegisters = Kernel::kConsumers > 1;
  static constexpr int kFewRegisters = Kernel::kConsumers == 3 ? 32 : kLeastRegisters;
  static constexpr int kManyRegisters = Kernel::kConsumers == 3 ? 160 : kMostRegisters;

  struct Shared {
    alignas(1024) char left[Kernel::kLeft][kLeftBytes];
    alignas(1024) char right[Kernel::kStages][kRightBytes];
    typename FragmentFinish<typename Kernel::Middle>::Shared middle[Kernel::kConsumers];
    typename FragmentFinish<typename Kernel::End>::Shared end[Kernel::kConsumers];
    Barrier left_full[Kernel::kLeft], left_empty[Kernel::kLeft];
    Barrier right_full[Kernel::kStages], right_empty[Kernel::kStages];
  };
};

/// The numbers of a run.
struct PartsOrder {
  int tiles, steps, parts;

  template <class Arguments>
  __host__ __device__ PartsOrder(const Arguments& arguments, int tile_rows, int part)
      : tiles(static_cast<int>((arguments.rows + tile_rows - 1) / tile_rows)),
        steps(static_cast<int>((arguments.depth + kStepK - 1) / kStepK)),
        parts(static_cast<int>(arguments.middle / part)) {}
};

/// What a warpgroup does with its 64 rows.
template <class Kernel>
struct PartsConsumer {
  using Shape = PartsShape<Kernel>;
  using Index = typename Kernel::Index;
  using Element = typename Kernel::Element;
  using Arguments = typename Kernel::Arguments;
  using Middle = FragmentFinish<typename Kernel::Middle>;
  using End = FragmentFinish<typename Kernel::End>;
  static constexpr int kPart = Kernel::kTileN, kColumns = Kernel::kColumns;
  static constexpr int kSwizzleB = Kernel::kMajorB == Major::K || kPart % 64 == 0 ? 128 : 64;
  static constexpr int kSwizzleC = Kernel::kMajorC == Major::K || kColumns % 64 == 0 ? 128 : 64;
  using TileA = SharedMatrix<128, Kernel::kMajorA>;
  using TileB = SharedMatrix<kSwizzleB, Kernel::kMajorB>;
  using TileC = SharedMatrix<kSwizzleC, Kernel::kMajorC>;
  /// A slot of the middle is as deep as a step along k of the second product.
  static_assert(Middle::kChunk == kStepK && kPart % kStepK == 0);
  static constexpr int kSlots = kPart / kStepK, kSixteens = kStepK / 16;
  using EndSums = typename End::Part::Sums;

  const Arguments& arguments;
  typename Shape::Shared& shared;
  const PartsOrder& order;
  int consumer;
  Place<Kernel::kLeft> left;
  Place<Kernel::kStages> right;
  /// Steps whose products are under way, to be given back; none are -1.
  int left_pending = -1, right_pending = -1;
  /// The place in the ring of what the middle region reads.
  int ring = 0;

  __device__ __forceinline__ Index warp_row(Index row) const {
    return row + static_cast<Index>(threadIdx.x / 32 % 4 * 16);
  }

  __device__ __forceinline__ void give_back() {
    if (threadIdx.x % 32 == 0) {
      if (left_pending >= 0) arrive(&shared.left_empty[left_pending]);
      if (!Kernel::kStays && right_pending >= 0) arrive(&shared.right_empty[right_pending]);
    }
    left_pending = right_pending = -1;
  }

  /// Ends the products of a step of the right factors, and gives back the one before.
  __device__ __forceinline__ void step_issued(int left_stage) {
    commit_products();
    wait_for_products<1>();
    give_back();
    left_pending = left_stage;
    right_pending = right.stage;
    right.next();
  }

  __device__ __forceinline__ const char* next_right() {
    wait_barrier(&shared.right_full[right.stage], Kernel::kStays ? 0 : right.parity);
    return shared.right[right.stage];
  }

  /// The sums of a part of the first product; also waits for those of the second one.
  __device__ __forceinline__ void multiply_part(float (&sums)[kPart / 2], bool is_last) {
    Place<Kernel::kLeft> at = left;
    for (int step = 0; step < order.steps; ++step, at.next()) {
      wait_barrier(&shared.left_full[at.stage], at.parity);
      const std::uint64_t a = TileA::describe(
          shared.left[at.stage] + consumer * 64 * kStepBytes, kStepK * 128);
      const std::uint64_t b = TileB::describe(next_right(), kStepK * kSwizzleB);
      fence_products();
#pragma unroll
      for (int k = 0; k < kStepK / 16; ++k) {
        multiply_shared<Element, kPart, Kernel::kMajorA, Kernel::kMajorB>(
            sums, a + k * TileA::kNextK, b + k * TileB::kNextK, step > 0 || k > 0);
      }
      step_issued(is_last ? at.stage : -1);
    }
    wait_for_products<0>();
    give_back();
    if (is_last) left = at;
  }

  /// The slot of the middle `ahead` slots from the first one of the tile at `row`, which may be one of
  /// the tile that follows it, at `next_row`.
  __device__ __forceinline__ void hold(int ahead, Index row, Index next_row, int place) {
    if constexpr (Kernel::Middle::kTiles > 0) {
      const int slots = order.parts * kSlots;
      if (ahead >= slots) ahead -= slots, row = next_row;
      Middle::hold_slot(arguments, shared.middle[consumer].warps[threadIdx.x / 32 % 4], Index{0},
                        warp_row(row), static_cast<Index>(ahead * kStepK), place);
      commit_copies();
    }
  }

  /// What is read once: by columns, and the first slots.
  __device__ __forceinline__ void begin(Index row, Index next_row) {
    Middle::hold_lines(arguments, shared.middle[consumer], Index{0}, Index{0});
    End::hold_lines(arguments, shared.end[consumer], Index{0}, Index{0});
    commit_copies();
#pragma unroll
    for (int slot = 0; slot < Kernel::Middle::kRing; ++slot) hold(slot, row, next_row, slot);
    if constexpr (Kernel::Middle::kTiles == 0) {
      wait_for_copies<0>();
      __syncwarp();
    }
  }

  /// A tile: the parts of the middle one after the other.
  __device__ __forceinline__ void run(Index row, Index next_row) {
    auto& middle = shared.middle[consumer];
    auto& mine = middle.warps[threadIdx.x / 32 % 4];
    typename Middle::Early early;
    typename End::Early end_early;
    Middle::read_rows(arguments, early, Index{0}, row);
    End::hold_first_slots(arguments, shared.end[consumer], Index{0}, row, Index{0});
    End::read_rows(arguments, end_early, Index{0}, row);
    float sums[1][kPart / 2];
    EndSums results;
    std::uint32_t factors[kSlots][kSixteens][1][4];
    for (int part = 0; part < order.parts; ++part) {
      multiply_part(sums[0], part + 1 == order.parts);
#pragma unroll
      for (int slot = 0; slot < kSlots; ++slot) {
        const int column = part * kPart + slot * kStepK;
        if constexpr (Kernel::Middle::kTiles > 0) {
          wait_for_copies<Kernel::Middle::kRing - 1>();
          __syncwarp();
        }
#pragma unroll
        for (int sixteen = 0; sixteen < kSixteens; ++sixteen) {
          Middle::compute_sixteen(arguments, sums, slot * kStepK + sixteen * 16, mine, ring,
                                  early.rows[0], Index{0}, warp_row(row), Index{0},
                                  column + sixteen * 16, sixteen, factors[slot][sixteen]);
        }
        const std::uint64_t c = TileC::describe(next_right(), kStepK * kSwizzleC);
        fence_products();
#pragma unroll
        for (int k = 0; k < kSixteens; ++k) {
          multiply_registers<Element, kColumns, Kernel::kMajorC>(
              results.value[0][0], factors[slot][k][0], c + k * TileC::kNextK,
              part > 0 || slot > 0 || k > 0);
        }
        step_issued(-1);
        __syncwarp();
        if constexpr (Kernel::kKeepsMiddle) {
          Middle::store_slot(arguments, mine, Index{0}, warp_row(row), static_cast<Index>(column));
          __syncwarp();
        }
        hold(column / kStepK + Kernel::Middle::kRing, row, next_row, ring);
        if (++ring == Kernel::Middle::kRing) ring = 0;
      }
    }
    wait_for_products<0>();
    give_back();
    End::finish_slots(arguments, results, shared.end[consumer], end_early, Index{0}, row, Index{0});
  }
};

/// The warp that loads left factors: one thread of it.
template <class Kernel>
__device__ __forceinline__ void load_left(const typename Kernel::Arguments& arguments,
                                          const typename Kernel::Maps& maps,
                                          typename PartsShape<Kernel>::Shared& shared,
                                          const PartsOrder& order) {
  using Index = typename Kernel::Index;
  Place<Kernel::kLeft> place;
  gpu::wait_for_inputs();
  for (int number = blockIdx.x; number < order.tiles; number += gridDim.x) {
    const int tile = gpu::in_order(number, order.tiles, arguments.backwards);
    for (int step = 0; step < order.steps; ++step, place.next()) {
      wait_barrier(&shared.left_empty[place.stage], place.parity ^ 1);
      arrive_expecting(&shared.left_full[place.stage], PartsShape<Kernel>::kLeftBytes);
      Kernel::load_a(arguments, maps, &shared.left_full[place.stage], shared.left[place.stage],
                     Index{0}, static_cast<Index>(tile * Kernel::kTileM), step * kStepK);
    }
  }
}

/// The warp that loads right factors, in the order in which they are multiplied: one thread of it.
template <class Kernel>
__device__ __forceinline__ void load_right(const typename Kernel::Arguments& arguments,
                                           const typename Kernel::Maps& maps,
                                           typename PartsShape<Kernel>::Shared& shared,
                                           const PartsOrder& order) {
  using Index = typename Kernel::Index;
  constexpr int kPart = Kernel::kTileN;
  Place<Kernel::kStages> place;
  if constexpr (!Kernel::kConstantFactors) gpu::wait_for_inputs();
  const auto next = [&](int columns) {
    wait_barrier(&shared.right_empty[place.stage], place.parity ^ 1);
    arrive_expecting(&shared.right_full[place.stage], columns * kStepBytes);
  };
  for (int tile = blockIdx.x; tile < order.tiles; tile += gridDim.x) {
    for (int part = 0; part < order.parts; ++part) {
      for (int step = 0; step < order.steps; ++step, place.next()) {
        next(kPart);
        Kernel::load_b(arguments, maps, &shared.right_full[place.stage], shared.right[place.stage],
                       Index{0}, static_cast<Index>(part * kPart), step * kStepK);
      }
      for (int slot = 0; slot < kPart / kStepK; ++slot, place.next()) {
        next(Kernel::kColumns);
        Kernel::load_c(arguments, maps, &shared.right_full[place.stage], shared.right[place.stage],
                       Index{0}, Index{0}, part * kPart + slot * kStepK);
      }
    }
    if constexpr (Kernel::kStays) break;
  }
}

template <class Kernel>
__global__ void __launch_bounds__(PartsShape<Kernel>::kThreads, 1)
    hopper_back_to_back_parts(const __grid_constant__ typename Kernel::Arguments arguments,
                              const __grid_constant__ typename Kernel::Maps maps) {
  using Shape = PartsShape<Kernel>;
  using Index = typename Kernel::Index;
  auto& shared = *reinterpret_cast<typename Shape::Shared*>(dynamic_shared_tiles());
  gpu::let_next_start();
  if (threadIdx.x == 0) {
    // Each warp that multiplies gives steps back.
    for (int stage = 0; stage < Kernel::kLeft; ++stage) {
      init_barrier(&shared.left_full[stage], 1);
      init_barrier(&shared.left_empty[stage], 4 * Kernel::kConsumers);
    }
    for (int stage = 0; stage < Kernel::kStages; ++stage) {
      init_barrier(&shared.right_full[stage], 1);
      init_barrier(&shared.right_empty[stage], 4 * Kernel::kConsumers);
    }
    fence_barriers();
  }
  __syncthreads();
  const PartsOrder order(arguments, Kernel::kTileM, Kernel::kTileN);
  // The same in all threads of a warp, and known to be.
  const int warpgroup = __shfl_sync(0xffffffffu, static_cast<int>(threadIdx.x) / kWarpgroup, 0);
  if (warpgroup == 0) {
    if constexpr (Shape::kMovesRegisters) give_registers<Shape::kFewRegisters>();
    if (threadIdx.x / 32 == 0 && is_elected()) load_left<Kernel>(arguments, maps, shared, order);
    if (threadIdx.x / 32 == 1 && is_elected()) load_right<Kernel>(arguments, maps, shared, order);
  } else {
    if constexpr (Shape::kMovesRegisters) take_registers<Shape::kManyRegisters>();
    gpu::wait_for_inputs();
    // Behind the last tile, in either order, are rows that there are not.
    const auto row_of = [&](int number) {
      const int tile = number < order.tiles ? gpu::in_order(number, order.tiles, arguments.backwards) : number;
      return static_cast<Index>(tile * Kernel::kTileM + (warpgroup - 1) * 64);
    };
    PartsConsumer<Kernel> mine{arguments, shared, order, warpgroup - 1, {}, {}};
    int tile = blockIdx.x;
    mine.begin(row_of(tile), row_of(tile + gridDim.x));
    for (; tile < order.tiles; tile += gridDim.x) {
      mine.run(row_of(tile), row_of(tile + gridDim.x));
    }
  }
}

template <class Kernel>
Status run_hopper_back_to_back_parts(const Launch& launch,
                                     const typename Kernel::Arguments& arguments) {
  using Shape = PartsShape<Kernel>;
  if (arguments.rows <= 0 || arguments.columns <= 0) return ok();
  constexpr std::int64_t kMostRows = INT32_MAX / 16;
  if (arguments.rows > kMostRows) {
    return Status{AIT_INVALID_INPUT, "a gemm's result has too many rows for one launch"};
  }
  typename Kernel::Maps maps;
  AIT_TRY(Kernel::make_maps(arguments, &maps));
  const PartsOrder order(arguments, Kernel::kTileM, Kernel::kTileN);
  const int blocks = std::min(order.tiles, gpu::multiprocessors());
  return gpu::launch_with_shared(launch, hopper_back_to_back_parts<Kernel>,
                                 dim3(static_cast<unsigned>(blocks)), dim3(Shape::kThreads),
                                 sizeof(typename Shape::Shared), arguments, maps);
}

}  // namespace ait::cuda
