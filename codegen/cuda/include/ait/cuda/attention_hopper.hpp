// Attention on Hopper's tensor cores (wgmma), fed by its copy engine (TMA). A block has 64 queries for
// each of its warpgroups; keys and values stream through a ring of stages in shared memory. Scores stay
// in registers, where they become weights, which are the left factor of the second product as they are.
// Shah et al., "FlashAttention-3", 2024: the products of one tile run while the softmax of the tile
// before is computed, by the same warpgroup (`kOverlapped`) or by others, in turns or not.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include "ait/cuda/hopper.hpp"
#include "ait/cuda/tensor_map.hpp"
#include "ait/gpu/own_attention.hpp"

namespace ait::cuda {

/// Queries, keys and values as the copy engine sees them: [depth, row, head, batch].
struct AttentionMaps {
  CUtensorMap queries, keys, values;
};

/// The sizes of a block. `Kernel` is generated: see `attention_hopper` below.
template <class Kernel>
struct HopperAttention {
  using Element = typename Kernel::Element;
  static constexpr int kRows = Kernel::kTileRows, kColumns = Kernel::kTileColumns;
  static constexpr int kStages = Kernel::kStages;
  static constexpr int kWarpgroups = kRows / 64;
  static_assert(kRows % 64 == 0 && kColumns % 16 == 0, "a warpgroup multiplies 64 rows, 16 steps");
  static constexpr int kThreads = 128 * (kWarpgroups + (Kernel::kProducer ? 1 : 0));

  // A panel is 64 elements wide: 128 bytes, which is as far as a swizzle reaches. What of it lies
  // beyond the head reads as zero; products take whole steps of 16 of the depth, 8 of the values.
  static constexpr int kPanel = 64, kPanelBytes = kPanel * sizeof(Element);
  static constexpr int kSteps = (Kernel::kDepth + 15) / 16;
  static constexpr int kDepthPanels = (Kernel::kDepth + kPanel - 1) / kPanel;
  static constexpr int kSums = (Kernel::kValue + 7) / 8 * 8;
  static constexpr int kValuePanels = (Kernel::kValue + kPanel - 1) / kPanel;

  static constexpr int kQueryBytes = kDepthPanels * kRows * kPanelBytes;
  static constexpr int kKeyBytes = kDepthPanels * kColumns * kPanelBytes;
  static constexpr int kValueBytes = kValuePanels * kColumns * kPanelBytes;
  static constexpr int kBarriers = kQueryBytes + kStages * (kKeyBytes + kValueBytes);
  static constexpr unsigned kSharedBytes = kBarriers + (1 + 4 * kStages) * sizeof(Barrier);

  // A thread's registers: at launch all have the same, then the producer gives what it can.
  static constexpr int kLaunched = 65536 / Kernel::kBlocks / kThreads / 8 * 8;
  static constexpr int kProducers = kLaunched * (kWarpgroups + 1) >= 512 ? 32 : 24;
  static constexpr int kConsumers = std::min(
      240, (kLaunched * (kWarpgroups + 1) - kProducers) / std::max(1, kWarpgroups) / 8 * 8);

  using Rows = SharedMatrix<kPanelBytes, Major::K>;
  using Lines = SharedMatrix<kPanelBytes, Major::MN>;
  using Scores = float[kColumns / 2];
  using Weights = std::uint32_t[kColumns / 16][4];
  using Sums = float[kSums / 2];
};

/// The shared memory of a block, and the copies to it.
template <class Kernel>
struct AttentionRing {
  using Tiles = HopperAttention<Kernel>;
  char* memory;

  __device__ __forceinline__ char* queries() const { return memory; }
  __device__ __forceinline__ char* keys(int stage) const {
    return memory + Tiles::kQueryBytes + stage * Tiles::kKeyBytes;
  }
  __device__ __forceinline__ char* values(int stage) const {
    return keys(Tiles::kStages) + stage * Tiles::kValueBytes;
  }
  __device__ __forceinline__ Barrier* queries_full() const {
    return reinterpret_cast<Barrier*>(memory + Tiles::kBarriers);
  }
  __device__ __forceinline__ Barrier* keys_full(int stage) const {
    return queries_full() + 1 + stage;
  }
  __device__ __forceinline__ Barrier* values_full(int stage) const {
    return keys_full(stage) + Tiles::kStages;
  }
  __device__ __forceinline__ Barrier* keys_empty(int stage) const {
    return values_full(stage) + Tiles::kStages;
  }
  __device__ __forceinline__ Barrier* values_empty(int stage) const {
    return keys_empty(stage) + Tiles::kStages;
  }
  static __device__ __forceinline__ int stage_of(int tile) { return tile % Tiles::kStages; }
  /// Of the phase in which the stage's barriers fill for a tile.
  static __device__ __forceinline__ unsigned parity_of(int tile) {
    return static_cast<unsigned>(tile / Tiles::kStages) & 1u;
  }

  __device__ __forceinline__ void init() const {
    init_barrier(queries_full(), 1);
    for (int stage = 0; stage < Tiles::kStages; ++stage) {
      init_barrier(keys_full(stage), 1);
      init_barrier(values_full(stage), 1);
      // One thread of each warp that reads.
      init_barrier(keys_empty(stage), 4 * Tiles::kWarpgroups);
      init_barrier(values_empty(stage), 4 * Tiles::kWarpgroups);
    }
    fence_barriers();
  }

  template <class Place>
  __device__ __forceinline__ void load_queries(const AttentionMaps& maps, const Place& place) const {
    arrive_expecting(queries_full(), Tiles::kQueryBytes);
#pragma unroll
    for (int panel = 0; panel < Tiles::kDepthPanels; ++panel) {
      load_tile(queries() + panel * Tiles::kRows * Tiles::kPanelBytes, &maps.queries, queries_full(),
                panel * Tiles::kPanel, static_cast<int>(place.first),
                static_cast<int>(place.head) * Kernel::kQueryHead,
                static_cast<int>(place.batch) * Kernel::kQueryBatch, cache::kEvictFirst);
    }
  }

  template <class Place>
  __device__ __forceinline__ void load_keys(const AttentionMaps& maps, const Place& place, int group,
                                            int tile) const {
    const int stage = stage_of(tile);
    arrive_expecting(keys_full(stage), Tiles::kKeyBytes);
#pragma unroll
    for (int panel = 0; panel < Tiles::kDepthPanels; ++panel) {
      load_tile(keys(stage) + panel * Tiles::kColumns * Tiles::kPanelBytes, &maps.keys,
                keys_full(stage), panel * Tiles::kPanel, tile * Tiles::kColumns,
                group * Kernel::kKeyHead,
                static_cast<int>(place.batch) * Kernel::kKeyBatch, cache::kEvictLast);
    }
  }

  template <class Place>
  __device__ __forceinline__ void load_values(const AttentionMaps& maps, const Place& place,
                                              int group, int tile) const {
    const int stage = stage_of(tile);
    arrive_expecting(values_full(stage), Tiles::kValueBytes);
#pragma unroll
    for (int panel = 0; panel < Tiles::kValuePanels; ++panel) {
      load_tile(values(stage) + panel * Tiles::kColumns * Tiles::kPanelBytes, &maps.values,
                values_full(stage), panel * Tiles::kPanel, tile * Tiles::kColumns,
                group * Kernel::kValueHead,
                static_cast<int>(place.batch) * Kernel::kValueBatch, cache::kEvictLast);
    }
  }
};

/// The softmax of a thread's two rows (`lane / 4`, and eight more), which four threads share, and the
/// sums of the values that it weighs.
template <class Kernel>
struct WeightedSums {
  using Tiles = HopperAttention<Kernel>;
  static constexpr float kNothing = -std::numeric_limits<float>::infinity();
  /// From a score to the exponent of two of its weight.
  static constexpr float kScale = Kernel::kScale * 1.4426950408889634f;
  /// A larger score than the largest so far takes its place only when weights would exceed 2^8:
  /// sums are rescaled seldom, and what is stored of a weight is as exact at any scale.
  static constexpr float kSlack = 8.0f / kScale;

  float largest[2] = {kNothing, kNothing};
  float total[2] = {};
  float change[2];
  float sums[Tiles::kSums / 2] = {};

  /// Scores to weights. Whether `rescale` must follow before the next product, for all of the warp.
  __device__ __forceinline__ bool weigh(typename Tiles::Scores& scores) {
    bool grows = false;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float high[2] = {scores[half * 2], scores[half * 2 + 1]};
#pragma unroll
      for (int j = 1; j < Tiles::kColumns / 8; ++j) {
        high[0] = fmaxf(high[0], scores[j * 4 + half * 2]);
        high[1] = fmaxf(high[1], scores[j * 4 + half * 2 + 1]);
      }
      float next = fmaxf(high[0], high[1]);
      next = fmaxf(next, other_lane(next, 1));
      next = fmaxf(next, other_lane(next, 2));
      const bool larger = next > largest[half] + kSlack;
      next = larger ? next : largest[half];
      change[half] = larger ? fast_exp2((largest[half] - next) * kScale) : 1.0f;
      largest[half] = next;
      grows |= larger;
      // Where all scores are -inf so far, so are their differences from 0.
      const float base = next == kNothing ? 0.0f : next * kScale;
      float sum[2] = {};
#pragma unroll
      for (int j = 0; j < Tiles::kColumns / 8; ++j) {
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          float& score = scores[j * 4 + half * 2 + e];
          score = fast_exp2(fmaf(score, kScale, -base));
          sum[e] += score;
        }
      }
      // Each lane adds up its own columns; the four meet at the end.
      total[half] = fmaf(total[half], change[half], sum[0] + sum[1]);
    }
    return __any_sync(0xffffffffu, grows);
  }

  __device__ __forceinline__ void rescale() {
#pragma unroll
    for (int i = 0; i < Tiles::kSums / 2; ++i) sums[i] *= change[i / 2 % 2];
  }

  __device__ __forceinline__ void normalise() {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      total[half] += other_lane(total[half], 1);
      total[half] += other_lane(total[half], 2);
      change[half] = total[half] == 0.0f ? 0.0f : 1.0f / total[half];
    }
    rescale();
  }

  /// Calls `store(row, d, values)` for packs of neighbours along d of the warp's 16 rows.
  template <int Pack, class Store>
  __device__ __forceinline__ void each(const Store& store) {
    const int lane = threadIdx.x % 32, part = lane % 4;
    if constexpr (Pack == 8) {
      // Four lanes have two neighbours each of eight: they exchange four times eight.
#pragma unroll
      for (int first = 0; first < Tiles::kSums / 8; first += 4) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          float values[8];
#pragma unroll
          for (int turn = 0; turn < 4; ++turn) {
            // In each turn, a lane gives what the lane `turn` away wants of it.
            const int wanted = part ^ turn;
            float low = 0.0f, high = 0.0f;
#pragma unroll
            for (int j = 0; j < 4; ++j) {
              if (first + j >= Tiles::kSums / 8) continue;
              low = wanted == j ? sums[(first + j) * 4 + half * 2] : low;
              high = wanted == j ? sums[(first + j) * 4 + half * 2 + 1] : high;
            }
            low = other_lane(low, turn);
            high = other_lane(high, turn);
#pragma unroll
            for (int j = 0; j < 4; ++j) {
              values[j * 2] = wanted == j ? low : values[j * 2];
              values[j * 2 + 1] = wanted == j ? high : values[j * 2 + 1];
            }
          }
          if (first + part < Tiles::kSums / 8) store(lane / 4 + half * 8, (first + part) * 8, values);
        }
      }
    } else {
#pragma unroll
      for (int j = 0; j < Tiles::kSums / 8; ++j) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
#pragma unroll
          for (int e = 0; e < 2; e += Pack) {
            float values[Pack];
#pragma unroll
            for (int v = 0; v < Pack; ++v) values[v] = sums[j * 4 + half * 2 + e + v];
            store(lane / 4 + half * 8, j * 8 + part * 2 + e, values);
          }
        }
      }
    }
  }
};

/// The region on a warp's scores of rows from `row` and columns from `column` on. With `Edge`, some of
/// them may be of no key, or of one that is hidden.
template <class Kernel, bool Edge, class Index>
__device__ __forceinline__ void finish_scores(const typename Kernel::Arguments& arguments,
                                              const gpu::AttentionPlace<Index>& place, Index row,
                                              Index column,
                                              typename HopperAttention<Kernel>::Scores& scores) {
  constexpr float kNothing = WeightedSums<Kernel>::kNothing;
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const Index mine = row + lane / 4 + half * 8;
    // Queries beyond the last one are computed and not stored: what they read must be there.
    const Index last = static_cast<Index>(arguments.rows) - 1;
    [[maybe_unused]] const Index query = mine < last ? mine : last;
    Index end = static_cast<Index>(arguments.columns);
    if (Kernel::kCausal) end = mine + place.reach + 1 < end ? mine + place.reach + 1 : end;
    const int visible = static_cast<int>(end - column) - lane % 4 * 2;
#pragma unroll
    for (int j = 0; j < HopperAttention<Kernel>::kColumns / 8; ++j) {
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        float& score = scores[j * 4 + half * 2 + e];
        const bool hidden = Edge && j * 8 + e >= visible;
        if constexpr (Kernel::kScales) {
          score = hidden ? kNothing : score;
        } else {
          const Index key = column + j * 8 + lane % 4 * 2 + e;
          score = hidden
                      ? kNothing
                      : Kernel::score(arguments, place.batch, place.head, query, key, score);
        }
      }
    }
  }
}

/// `Kernel` is generated: `Element` of all factors, `Index`, `Arguments` (with `batches`, `heads`,
/// `rows`, `columns`), the constants used here, `group(arguments, head)`, the region as `kScale` alone
/// (`kScales`) or as `score(arguments, batch, head, row, column, dot)`, and `store(arguments, batch,
/// head, row, d, values)` of `kPack` results.
template <class Kernel>
__global__ void __launch_bounds__(HopperAttention<Kernel>::kThreads, Kernel::kBlocks)
    attention_hopper(const __grid_constant__ typename Kernel::Arguments arguments,
                     const __grid_constant__ AttentionMaps maps) {
  using Tiles = HopperAttention<Kernel>;
  using Index = typename Kernel::Index;
  using Element = typename Kernel::Element;
  constexpr int kColumns = Tiles::kColumns, kStages = Tiles::kStages;
  const AttentionRing<Kernel> ring{dynamic_shared_tiles()};
  if (threadIdx.x == 0) {
    ring.init();
    prefetch_map(&maps.queries);
    prefetch_map(&maps.keys);
    prefetch_map(&maps.values);
  }
  const auto place = gpu::attention_place<Index>(arguments, static_cast<Index>(blockIdx.x),
                                                 Tiles::kRows, Kernel::kCausal);
  const int group = static_cast<int>(Kernel::group(arguments, place.head));
  const int tiles = static_cast<int>((place.keys + kColumns - 1) / kColumns);
  __syncthreads();
  gpu::wait_for_inputs();
  gpu::let_next_start();

  const int warpgroup = threadIdx.x / 128;
  if (Kernel::kProducer && warpgroup == Tiles::kWarpgroups) {
    give_registers<Tiles::kProducers>();
    if (threadIdx.x == Tiles::kWarpgroups * 128 && tiles > 0) {
      ring.load_queries(maps, place);
      for (int tile = 0; tile < tiles; ++tile) {
        const int stage = ring.stage_of(tile);
        const unsigned before = ring.parity_of(tile) ^ 1u;
        wait_barrier(ring.keys_empty(stage), before);
        ring.load_keys(maps, place, group, tile);
        wait_barrier(ring.values_empty(stage), before);
        ring.load_values(maps, place, group, tile);
      }
    }
    return;
  }

  if constexpr (Kernel::kProducer) take_registers<Tiles::kConsumers>();
  if (!Kernel::kProducer && threadIdx.x == 0 && tiles > 0) {
    ring.load_queries(maps, place);
    for (int tile = 0; tile < std::min(kStages, tiles); ++tile) {
      ring.load_keys(maps, place, group, tile);
      ring.load_values(maps, place, group, tile);
    }
  }
  const int lane = threadIdx.x % 32;
  // The shuffle tells the compiler that this is the same in all lanes.
  const int own = __shfl_sync(0xffffffffu, warpgroup, 0);
  const Index first = place.first + own * 64;
  const Index row = first + threadIdx.x / 32 % 4 * 16;

  // Without a producer the first thread fills the stages again that all warps have done with.
  const auto refill_keys = [&](int done) {
    if (Kernel::kProducer || done + kStages >= tiles) return;
    if (threadIdx.x == 0) {
      wait_barrier(ring.keys_empty(ring.stage_of(done)), ring.parity_of(done));
      ring.load_keys(maps, place, group, done + kStages);
    }
    __syncwarp();
  };
  const auto refill_values = [&](int done) {
    if (Kernel::kProducer || done + kStages >= tiles) return;
    if (threadIdx.x == 0) {
      wait_barrier(ring.values_empty(ring.stage_of(done)), ring.parity_of(done));
      ring.load_values(maps, place, group, done + kStages);
    }
    __syncwarp();
  };
  const auto multiply_keys = [&](typename Tiles::Scores& scores, int tile) {
    const std::uint64_t left = Tiles::Rows::describe(ring.queries() + own * 64 * Tiles::kPanelBytes);
    const std::uint64_t right = Tiles::Rows::describe(ring.keys(ring.stage_of(tile)));
#pragma unroll
    for (int step = 0; step < Tiles::kSteps; ++step) {
      const int panel = step / 4;
      const std::uint64_t along = step % 4 * Tiles::Rows::kNextK;
      multiply_shared<Element, kColumns>(
          scores, left + along + (panel * Tiles::kRows * Tiles::kPanelBytes >> 4),
          right + along + (panel * kColumns * Tiles::kPanelBytes >> 4), step > 0);
    }
    commit_products();
  };
  WeightedSums<Kernel> rows;
  const auto multiply_values = [&](const typename Tiles::Weights& weights, int tile) {
    const std::uint64_t right = Tiles::Lines::describe(ring.values(ring.stage_of(tile)),
                                                       kColumns * Tiles::kPanelBytes);
#pragma unroll
    for (int step = 0; step < kColumns / 16; ++step) {
      multiply_registers<Element, Tiles::kSums, Major::MN>(
          rows.sums, weights[step], right + step * Tiles::Lines::kNextK, 1);
    }
    commit_products();
  };
  const auto finish = [&](typename Tiles::Scores& scores, int tile) {
    const Index column = static_cast<Index>(tile) * kColumns;
    const bool edge = column + kColumns > static_cast<Index>(arguments.columns) ||
                      (Kernel::kCausal && column + kColumns - 1 > first + place.reach);
    if (edge) {
      finish_scores<Kernel, true>(arguments, place, row, column, scores);
    } else if constexpr (!Kernel::kScales) {
      finish_scores<Kernel, false>(arguments, place, row, column, scores);
    }
  };
  const auto pack = [](typename Tiles::Weights& weights, const typename Tiles::Scores& scores) {
#pragma unroll
    for (int i = 0; i < kColumns / 4; ++i) {
      weights[i / 4][i % 4] = pair_of<Element>(scores[i * 2], scores[i * 2 + 1]);
    }
  };
  const auto pin_all = [](auto& values) {
#pragma unroll
    for (auto& value : values) pin(value);
  };

  if (tiles > 0) {
    wait_barrier(ring.queries_full(), 0);
    if constexpr (!Kernel::kOverlapped) {
#pragma unroll 1
      for (int tile = 0; tile < tiles; ++tile) {
        const int stage = ring.stage_of(tile);
        const unsigned parity = ring.parity_of(tile);
        typename Tiles::Scores scores;
        typename Tiles::Weights weights;
        wait_barrier(ring.keys_full(stage), parity);
        fence_products();
        multiply_keys(scores, tile);
        wait_for_products<0>();
        pin_all(scores);
        if (lane == 0) arrive(ring.keys_empty(stage));
        refill_keys(tile);
        finish(scores, tile);
        if (rows.weigh(scores)) rows.rescale();
        pack(weights, scores);
        wait_barrier(ring.values_full(stage), parity);
        fence_products();
        multiply_values(weights, tile);
        wait_for_products<0>();
        pin_all(rows.sums);
        if (lane == 0) arrive(ring.values_empty(stage));
        refill_values(tile);
      }
    } else {
      // Warpgroups take turns in starting products: one computes weights while another multiplies.
      const auto take_turn = [&] {
        if constexpr (Kernel::kTurns) sync_threads(1 + own, 256);
      };
      const auto pass_turn = [&] {
        if constexpr (Kernel::kTurns) {
          arrive_threads(own + 1 < Tiles::kWarpgroups ? own + 2 : 1, 256);
        }
      };
      if (Kernel::kTurns && own == Tiles::kWarpgroups - 1) arrive_threads(1, 256);
      typename Tiles::Weights weights;
      {
        typename Tiles::Scores scores;
        wait_barrier(ring.keys_full(0), 0);
        take_turn();
        fence_products();
        multiply_keys(scores, 0);
        pass_turn();
        wait_for_products<0>();
        pin_all(scores);
        if (lane == 0) arrive(ring.keys_empty(0));
        refill_keys(0);
        finish(scores, 0);
        rows.weigh(scores);
        pack(weights, scores);
      }
#pragma unroll 1
      for (int tile = 1; tile < tiles; ++tile) {
        typename Tiles::Scores scores;
        const int stage = ring.stage_of(tile), last = ring.stage_of(tile - 1);
        wait_barrier(ring.keys_full(stage), ring.parity_of(tile));
        take_turn();
        fence_products();
        multiply_keys(scores, tile);
        wait_barrier(ring.values_full(last), ring.parity_of(tile - 1));
        fence_products();
        multiply_values(weights, tile - 1);
        pass_turn();
        wait_for_products<1>();
        pin_all(scores);
        if (lane == 0) arrive(ring.keys_empty(stage));
        refill_keys(tile);
        finish(scores, tile);
        const bool grows = rows.weigh(scores);
        wait_for_products<0>();
        pin_all(rows.sums);
        if (lane == 0) arrive(ring.values_empty(last));
        refill_values(tile - 1);
        if (grows) rows.rescale();
        pack(weights, scores);
      }
      wait_barrier(ring.values_full(ring.stage_of(tiles - 1)), ring.parity_of(tiles - 1));
      fence_products();
      multiply_values(weights, tiles - 1);
      wait_for_products<0>();
      pin_all(rows.sums);
    }
  }

  rows.normalise();
  rows.template each<Kernel::kPack>([&](int line, int d, const float(&values)[Kernel::kPack]) {
    if (row + line < static_cast<Index>(arguments.rows) && d < Kernel::kValue) {
      Kernel::store(arguments, place.batch, place.head, row + line, d, values);
    }
  });
}

template <class Kernel>
ait::Status run_attention_hopper(const ait::Launch& launch,
                                 const typename Kernel::Arguments& arguments) {
  using Tiles = HopperAttention<Kernel>;
  unsigned blocks = 0;
  AIT_TRY(gpu::attention_blocks(arguments, Tiles::kRows, blocks));
  if (blocks == 0) return ait::ok();
  AttentionMaps maps;
  AIT_TRY(Kernel::describe(arguments, maps));
  return gpu::launch_with_shared(launch, attention_hopper<Kernel>, dim3(blocks),
                                 dim3(Tiles::kThreads), Tiles::kSharedBytes, arguments, maps);
}

}  // namespace ait::cuda
