// Attention on Hopper whose keys and values stay: all those of a head lie in shared memory at once,
// while its queries pass, 64 after another, each with whichever warpgroup is next. Warpgroups do not
// wait for each other, and the keys of the next head come meanwhile. Where a head has no more keys
// than one step multiplies, nothing is rescaled either.
#pragma once

#include <algorithm>
#include <cstdint>

#include "ait/cuda/attention_hopper.hpp"

namespace ait::cuda {

/// How many tiles of 64 queries a block takes of a head, one after the other.
struct QueryRuns {
  int tiles;
  /// In a head, and in all of them.
  unsigned of_head, all;
};

/// One warpgroup: every `kWarpgroups`-th tile of the block's queries.
template <class Kernel>
struct KeptConsumer {
  using Tiles = HopperAttention<Kernel>;
  using Ring = AttentionRing<Kernel>;
  using Steps = AttentionSteps<Kernel>;
  using Index = typename Kernel::Index;
  using Place = gpu::AttentionPlace<Index>;
  /// A head's keys are one step: its weights are final, and its sums the first ones.
  static constexpr bool kOneStep = Kernel::kOneStep;

  const typename Kernel::Arguments& arguments;
  const Ring& ring;
  const int own;
  /// The warpgroup's next tile, counted from the first of the run.
  int next;
  /// Where the keys of the run begin.
  typename Ring::Stage keys;
  Turn<2> queries;

  static __device__ __forceinline__ void release(Barrier* barrier) {
    if (threadIdx.x % 32 == 0) arrive(barrier);
  }

  /// The run's own tiles: of `tiles` from `place` on, each with `steps` steps of keys.
  __device__ __forceinline__ void run(const Place& place, int tiles, int steps) {
    if (next >= tiles) skip(steps);
    for (; next < tiles; next += Tiles::kWarpgroups) {
      multiply(place, place.first + next * 64, steps, next + Tiles::kWarpgroups >= tiles);
    }
    next -= tiles;
    for (int step = 0; step < steps; ++step) keys.advance();
  }

  /// Says that keys are not needed, once they are those of the run.
  __device__ __forceinline__ void skip(int steps) const {
    typename Ring::Stage at = keys;
    for (int step = 0; step < steps; ++step, at.advance()) {
      wait_barrier(ring.keys_full(at.index), at.parity);
      release(ring.keys_empty(at.index));
      wait_barrier(ring.values_full(at.index), at.parity);
      release(ring.values_empty(at.index));
    }
  }

  /// The results of 64 queries from `first` on. `releases`: the warpgroup's last ones of the run.
  __device__ __forceinline__ void multiply(const Place& place, Index first, int steps,
                                           bool releases) {
    WeightedSums<Kernel> rows;
    const int stage = own + queries.index * Tiles::kWarpgroups;
    if (steps > 0) wait_barrier(ring.queries_full(stage), queries.parity);
    typename Ring::Stage at = keys;
#pragma unroll 1
    for (int step = 0; step < steps; ++step) {
      typename Tiles::Scores scores;
      if constexpr (Kernel::kStarts && !Tiles::kStagesStarts) {
        Steps::start(arguments, place, first, step, nullptr, scores);
      }
      wait_barrier(ring.keys_full(at.index), at.parity);
      if constexpr (Tiles::kStagesStarts) {
        Steps::start(arguments, place, first, step, ring.starts(at.index), scores);
      }
      fence_products();
      Steps::multiply_keys(scores, ring.queries(stage), ring.keys(at.index));
      wait_for_products<0>();
      Steps::pin_all(scores, Tiles::kColumns / 2);
      if (releases) release(ring.keys_empty(at.index));
      if (step + 1 == steps) release(ring.queries_empty(stage));
      Steps::finish(arguments, place, first, step, scores);
      const bool grows = rows.bound(scores);
      if (!kOneStep && grows) rows.rescale();
      wait_barrier(ring.values_full(at.index), at.parity);
      Steps::weigh_values(rows, scores, ring, at.index, step > 0);
      wait_for_products<0>();
      Steps::pin_all(rows.sums, Tiles::kProducts / 2);
      if (releases) release(ring.values_empty(at.index));
      at.advance();
    }
    if (steps > 0) queries.advance();
    Steps::store(arguments, place, first, rows);
  }
};

/// `Kernel`: as that of `attention_hopper`, with `kStages` steps of keys, at least those of a head.
template <class Kernel>
__global__ void __launch_bounds__(HopperAttention<Kernel>::kThreads, Kernel::kBlocks)
    attention_kept(const __grid_constant__ typename Kernel::Arguments arguments,
                   const __grid_constant__ AttentionMaps maps, const QueryRuns runs) {
  using Tiles = HopperAttention<Kernel>;
  using Ring = AttentionRing<Kernel>;
  using Index = typename Kernel::Index;
  const Ring ring{dynamic_shared_tiles()};
  if (threadIdx.x == 0) {
    ring.init();
    prefetch_map(&maps.queries);
    prefetch_map(&maps.keys);
    prefetch_map(&maps.values);
  }
  ring.fill_ones();
  __syncthreads();
  gpu::wait_for_inputs();
  gpu::let_next_start();

  const int all_tiles = static_cast<int>((arguments.rows + 63) / 64);
  const int steps = static_cast<int>((arguments.columns + Tiles::kColumns - 1) / Tiles::kColumns);
  // Calls `use(place, tiles)` for each of the block's runs.
  const auto each_run = [&](const auto& use) {
    for (unsigned number = blockIdx.x; number < runs.all; number += gridDim.x) {
      const unsigned run = gpu::in_order(number, runs.all, arguments.backwards);
      const unsigned head = run / runs.of_head;
      const int first = static_cast<int>(run % runs.of_head) * runs.tiles;
      gpu::AttentionPlace<Index> place;
      place.batch = static_cast<Index>(head) / static_cast<Index>(arguments.heads);
      place.head = static_cast<Index>(head) % static_cast<Index>(arguments.heads);
      place.first = static_cast<Index>(first) * 64;
      place.keys = static_cast<Index>(arguments.columns);
      place.reach = static_cast<Index>(arguments.columns - arguments.rows);
      use(place, runs.tiles < all_tiles - first ? runs.tiles : all_tiles - first);
    }
  };

  // The shuffle tells the compiler that this is the same in all lanes.
  const int warpgroup = __shfl_sync(0xffffffffu, threadIdx.x / 128, 0);
  if (warpgroup == Tiles::kWarpgroups) {
    give_registers<Tiles::kProducers>();
    const int warp = __shfl_sync(0xffffffffu, threadIdx.x / 32 % 4, 0);
    typename Ring::Stage next;
    if (Tiles::kStagesStarts && warp == 1) {
      each_run([&](const auto& place, int) {
        for (int step = 0; step < steps; ++step) ring.load_starts(arguments, place, step, next);
      });
    }
    if (threadIdx.x != Tiles::kWarpgroups * 128 || steps == 0) return;
    typename Ring::QueryStage queries;
    each_run([&](gpu::AttentionPlace<Index> place, int tiles) {
      const KeySpan span{static_cast<int>(Kernel::group(arguments, place.head)), 0, steps};
      for (int tile = 0; tile < tiles; ++tile) {
        wait_barrier(ring.queries_empty(queries.index), queries.parity ^ 1u);
        ring.load_queries(maps, place, queries.index);
        queries.advance();
        place.first += 64;
        for (int step = 0; tile == 0 && step < steps; ++step) {
          wait_barrier(ring.keys_empty(next.index), next.parity ^ 1u);
          ring.load_keys(maps, place, span, step, next.index);
          wait_barrier(ring.values_empty(next.index), next.parity ^ 1u);
          ring.load_values(maps, place, span, step, next.index);
          next.advance();
        }
      }
    });
    return;
  }
  take_registers<Tiles::kConsumers>();
  KeptConsumer<Kernel> consumer{arguments, ring, warpgroup, warpgroup};
  each_run([&](const auto& place, int tiles) { consumer.run(place, tiles, steps); });
}

/// Runs of a head's queries that keep `blocks` blocks equally long at work: keys take about as long to
/// come as a tile of queries to be multiplied.
inline QueryRuns query_runs(int64_t heads, int64_t tiles, int64_t blocks) {
  QueryRuns best{};
  int64_t least = INT64_MAX;
  for (int64_t parts = 1; parts <= std::min<int64_t>(tiles, blocks); ++parts) {
    const int64_t run = (tiles + parts - 1) / parts, of_head = (tiles + run - 1) / run;
    const int64_t time = (heads * of_head + blocks - 1) / blocks * (run + 1);
    if (time < least) {
      least = time;
      best = {static_cast<int>(run), static_cast<unsigned>(of_head),
              static_cast<unsigned>(heads * of_head)};
    }
  }
  return best;
}

template <class Kernel>
ait::Status run_attention_kept(const ait::Launch& launch,
                               const typename Kernel::Arguments& arguments) {
  using Tiles = HopperAttention<Kernel>;
  unsigned tiles = 0;
  AIT_TRY(gpu::attention_blocks(arguments, 64, tiles));
  if (tiles == 0) return ait::ok();
  AttentionMaps maps;
  AIT_TRY(Kernel::describe(arguments, maps));
  const unsigned resident = static_cast<unsigned>(gpu::multiprocessors()) * Kernel::kBlocks;
  const QueryRuns runs = query_runs(arguments.batches * arguments.heads,
                                    (arguments.rows + 63) / 64, resident);
  return gpu::launch_with_shared(launch, attention_kept<Kernel>,
                                 dim3(std::min(runs.all, resident)), dim3(Tiles::kThreads),
                                 Tiles::kSharedBytes, arguments, maps, runs);
}

}  // namespace ait::cuda
